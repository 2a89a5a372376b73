//! Everything that is opened rather than accepted, behind one noun: dialled, awaited, or there at once.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Type};

use super::accept::Accepted;
use super::descriptor::Descriptor;
use super::dial::{Connected, Dial};
use super::fifo::Fifo;
use super::file::{self, Found};
use super::process::{self, Child};
use super::socket::{Family, Socket};
use super::synthetic::Synthetic;
use super::{Descriptors, Transport, any_number, printed, stdio};
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::plan::address::{Address, Kind, Program};
use crate::reactor::Turn;
use crate::sys::{self, Access};

/// What the command line wants an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To be waited at.
    Listen,
    /// To be gone to.
    Connect,
}

/// True if connections are accepted at this address, by an [`super::accept::Acceptor`]; what else there is, an
/// [`Opening`] opens. A path is listened at unless a FIFO or a device is there.
pub fn accepts(address: &Address, role: Role) -> bool {
    let listens = role == Role::Listen || address.options.listen;
    listens
        && match &address.kind {
            Kind::Tcp(_) | Kind::Unix(..) => true,
            Kind::Fd { .. } => address.options.listen,
            Kind::Path(path) => !matches!(file::find(path), Ok(Found::Fifo | Found::Device)),
            _ => false,
        }
}

/// Something that is being opened.
#[derive(Debug)]
pub struct Opening {
    address: Rc<Address>,
    /// Whether bytes will come from it.
    reads: bool,
    /// Whether bytes will go to it.
    writes: bool,
    state: State,
}

/// Something that is open.
#[derive(Debug)]
pub struct Opened {
    /// To be started by its user; harmless where the dialling has done that.
    pub transport: Transport,
    /// `tcp`, `mptcp`, `unix`, `unix-seqpacket`, `file`, `fifo`, `fd`, `stdio`, `synthetic`.
    pub protocol: &'static str,
    /// The other side, as printed.
    pub peer: String,
    /// Our side, as printed, where somebody else told it; otherwise see [`Opened::local`].
    pub told_local: Option<String>,
    /// The peer has cut the connection already; what came before can still be read.
    pub cut: Option<io::Error>,
    /// The program that stands there.
    pub child: Option<Child>,
}

#[derive(Debug)]
enum State {
    New,
    /// To be dialled by this.
    Prepared(Box<Dial>),
    Dialling(Box<Dial>),
    Awaiting(Fifo),
    Ready(Box<Opened>),
    Over,
}

impl Opening {
    /// Prepares to open `address`; nothing is touched yet.
    ///
    /// # Errors
    /// A kind that nobody opens here.
    pub fn new(address: &Rc<Address>, reads: bool, writes: bool) -> Result<Self, Error> {
        match &address.kind {
            Kind::Proxy(_) | Kind::Udp(_) => Err(wrong_kind(address)),
            _ => Ok(Opening { address: Rc::clone(address), reads, writes, state: State::New }),
        }
    }

    /// The same for a dial that was prepared elsewhere.
    pub fn dialling(address: &Rc<Address>, dial: Dial) -> Self {
        Opening { address: Rc::clone(address), reads: true, writes: true, state: State::Prepared(Box::new(dial)) }
    }

    /// The same for an address to be waited at; `None` if connections are accepted there.
    ///
    /// # Errors
    /// As [`Opening::new`].
    pub fn listening(address: &Rc<Address>, reads: bool, writes: bool) -> Result<Option<Self>, Error> {
        if accepts(address, Role::Listen) {
            return Ok(None);
        }
        Opening::new(address, reads, writes).map(Some)
    }

    /// Begins.
    ///
    /// # Errors
    /// What can be told at once: a file that is missing, an option that is refused, a kind that cannot be opened.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Prepared(dial) => State::Dialling(dial),
            _ => self.begin()?,
        };
        match &mut self.state {
            State::Dialling(dial) => dial.start(turn),
            State::Awaiting(fifo) => fifo.start(turn),
            State::New | State::Prepared(_) | State::Ready(_) | State::Over => Ok(()),
        }
    }

    /// Does everything possible now; `Some` once it is open. Harmless when called for nothing.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn turn(&mut self, turn: &mut Turn) -> Result<Option<Opened>, Error> {
        let opened = match &mut self.state {
            State::Dialling(dial) => dial.turn(turn)?.map(Opened::from),
            State::Awaiting(fifo) => {
                let opened = fifo.turn()?;
                opened.map(|both| self.named(Transport::from(both), "fifo"))
            }
            State::Ready(_) => match std::mem::replace(&mut self.state, State::Over) {
                State::Ready(opened) => Some(*opened),
                _ => None,
            },
            State::New | State::Prepared(_) | State::Over => None,
        };
        if opened.is_some() {
            self.state = State::Over;
        }
        Ok(opened)
    }

    /// When the next turn is due at the latest, whatever happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Dialling(dial) => dial.deadline(),
            _ => None,
        }
    }

    /// Gives it up.
    pub fn abandon(&mut self, turn: &mut Turn) {
        if let State::Dialling(dial) = &mut self.state {
            dial.abandon(turn);
        }
        self.state = State::Over;
    }

    /// True while it sleeps until the other side of a FIFO is there: nothing would be gained by doing it anew, and the
    /// thread that sleeps for it cannot be called back.
    pub fn is_asleep(&self) -> bool {
        matches!(self.state, State::Awaiting(_))
    }

    /// What to say when the caller's time limit passed.
    pub fn timed_out(&self, limit: Duration) -> Error {
        match &self.state {
            State::Dialling(dial) => dial.timed_out(limit),
            _ => Error::new(Op::Open, self.object(), crate::error::Cause::TimedOut(limit)),
        }
    }

    fn begin(&self) -> Result<State, Error> {
        let Opening { address, reads, writes, .. } = self;
        let (reads, writes) = (*reads, *writes);
        let synthetic = match &address.kind {
            Kind::Tcp(_) | Kind::Unix(..) => return Ok(State::Dialling(Box::new(Dial::new(address)))),
            Kind::Path(path) => return self.path(path),
            Kind::File(path) if !address.options.atomic && matches!(file::find(path), Ok(Found::Fifo)) => {
                return self.fifo(path);
            }
            Kind::File(path) => return self.file(path),
            Kind::Fifo(path) => return self.fifo(path),
            Kind::Stdio => return Ok(self.ready(stdio::open(reads, writes)?, "stdio")),
            Kind::Fd { read, write } => return Ok(self.ready(self.descriptors(*read, *write)?, "fd")),
            Kind::Null => Synthetic::null(),
            Kind::Echo => Synthetic::echo(),
            Kind::Discard => Synthetic::discard(),
            Kind::Zero => Synthetic::zero(),
            Kind::Random => Synthetic::random(address.options.seed.unwrap_or_else(any_number)),
            Kind::Text(bytes) => Synthetic::text(bytes.clone()),
            Kind::Exec(_) | Kind::Shell(_) | Kind::Proxy(_) | Kind::Udp(_) => {
                return program(address).map_or_else(|| Err(wrong_kind(address)), |program| self.program(&program));
            }
        };
        Ok(self.ready(synthetic.into(), "synthetic"))
    }

    /// A bare path is what stands there; a missing one was meant to be a socket.
    fn path(&self, path: &Path) -> Result<State, Error> {
        match file::find(path).map_err(|error| Error::new(Op::Open, self.object(), error))? {
            Found::Socket | Found::Nothing => Ok(State::Dialling(Box::new(Dial::new(&self.address)))),
            Found::Fifo => self.fifo(path),
            Found::Device => self.file(path),
            Found::Directory => Err(Error::new(Op::Open, self.object(), io::Error::from(io::ErrorKind::IsADirectory))),
            Found::File => {
                let advice = format!("file:{}, if the file itself is meant", Escaped(path.as_os_str().as_bytes()));
                Err(Error::said(Op::Use, self.object(), "it is a regular file and not a socket").with_advice(advice))
            }
        }
    }

    fn program(&self, program: &Program) -> Result<State, Error> {
        let (both, child) = process::start(program, &[])?;
        let opened = self.named(Transport::from(both), "exec");
        Ok(State::Ready(Box::new(Opened { child: Some(child), ..opened })))
    }

    fn file(&self, path: &Path) -> Result<State, Error> {
        let both = file::open(path, &self.address.options, self.reads, self.writes)?;
        Ok(self.ready(Transport::from(both), "file"))
    }

    fn fifo(&self, path: &Path) -> Result<State, Error> {
        match (self.reads, self.writes) {
            (true, false) => Ok(State::Awaiting(Fifo::new(path, Access::Read))),
            (false, true) => Ok(State::Awaiting(Fifo::new(path, Access::Write))),
            (false, false) => Ok(self.ready(Descriptors::default().into(), "fifo")),
            (true, true) => Err(Error::said(Op::Use, self.object(), "a FIFO goes one way")
                .with_advice("--send-only to write it, --recv-only to read it")),
        }
    }

    /// Descriptors that the parent left open, as they are.
    fn descriptors(&self, read: i32, write: i32) -> Result<Transport, Error> {
        let failed = |error| Error::new(Op::Open, self.object(), error);
        if read == write {
            let fd = sys::adopt(read).map_err(failed)?;
            if sys::kind(fd.as_fd()).map_err(failed)? == sys::Kind::Socket {
                return self.shared_socket(fd);
            }
            let _ = fd.into_raw_fd(); // adopted again below, each direction by itself
        }
        let mut both = Descriptors::default();
        if self.reads && self.writes && read == write {
            // one number a direction, so that the end of one does not close the other
            let copy = sys::duplicate(read).map_err(failed)?;
            self.allowed(copy.as_fd(), read, Access::Write)?;
            both.writer = Some(Descriptor::shared(copy, Access::Write).map_err(failed)?);
        } else if self.writes {
            self.allowed_number(write, Access::Write)?;
            both.writer = Some(Descriptor::inherited(write, Access::Write).map_err(failed)?);
        }
        if self.reads {
            self.allowed_number(read, Access::Read)?;
            both.reader = Some(Descriptor::inherited(read, Access::Read).map_err(failed)?);
        }
        Ok(Transport::from(both))
    }

    fn allowed_number(&self, number: i32, access: Access) -> Result<(), Error> {
        match sys::duplicate(number) {
            Ok(copy) => self.allowed(copy.as_fd(), number, access),
            Err(error) => Err(Error::new(Op::Open, self.object(), error)),
        }
    }

    /// A descriptor that is open one way is not used the other way; its error would read as if it were not open.
    fn allowed(&self, fd: BorrowedFd<'_>, number: i32, access: Access) -> Result<(), Error> {
        if sys::allows(fd, access) {
            return Ok(());
        }
        let (only, flag) = match access {
            Access::Read => ("writing", "--send-only"),
            Access::Write => ("reading", "--recv-only"),
        };
        let sentence = format!("descriptor {number} is open for {only} only");
        let error = Error::said(Op::Use, self.object(), sentence);
        Err(if self.reads && self.writes { error.with_advice(flag) } else { error })
    }

    fn shared_socket(&self, fd: OwnedFd) -> Result<Transport, Error> {
        let failed = |error| Error::new(Op::Open, self.object(), error);
        let refused = |fd: OwnedFd, sentence: &str| {
            let _ = fd.into_raw_fd(); // not ours to close after all
            Error::said(Op::Use, self.object(), sentence)
        };
        if sys::is_listening(fd.as_fd()) {
            return Err(refused(fd, "it is a listening socket").with_advice("fd,listen:N"));
        }
        let socket = SockRef::from(&fd);
        let (local, ty) = (socket.local_addr().map_err(failed)?, socket.r#type().map_err(failed)?);
        let family = match (local.domain(), ty) {
            (Domain::IPV4 | Domain::IPV6, Type::STREAM) => Family::Tcp,
            (_, Type::STREAM) => Family::Unix,
            (Domain::UNIX, Type::SEQPACKET) => Family::Seqpacket,
            _ => return Err(refused(fd, "it is a socket that carries no stream")),
        };
        Ok(Transport::Socket(Socket::shared(fd, family)))
    }

    fn ready(&self, transport: Transport, protocol: &'static str) -> State {
        State::Ready(Box::new(self.named(transport, protocol)))
    }

    fn named(&self, transport: Transport, protocol: &'static str) -> Opened {
        let peer = Escaped(&self.object()).to_string();
        Opened { transport, protocol, peer, told_local: None, cut: None, child: None }
    }

    fn object(&self) -> Vec<u8> {
        printed::object(&self.address, "localhost")
    }
}

impl Opened {
    /// Our side, as printed; `-` for what has none. The socket is asked, so that who does not want it need not wait.
    pub fn local(&self) -> String {
        match (&self.told_local, &self.transport) {
            (Some(told), _) => told.clone(),
            (None, Transport::Socket(socket)) => socket.local(),
            (None, _) => "-".into(),
        }
    }
}

impl From<Connected> for Opened {
    fn from(connected: Connected) -> Self {
        let Connected { socket, protocol, peer, cut } = connected;
        Opened { transport: Transport::Socket(socket), protocol, peer, told_local: None, cut, child: None }
    }
}

impl From<Accepted> for Opened {
    fn from(accepted: Accepted) -> Self {
        let Accepted { socket, protocol, peer, told_local, ip: _ } = accepted;
        Opened { transport: Transport::Socket(socket), protocol, peer, told_local, cut: None, child: None }
    }
}

fn wrong_kind(address: &Address) -> Error {
    let object = printed::object(address, "localhost");
    match &address.kind {
        Kind::Proxy(_) => Error::said(Op::Use, object, "a proxy is not an endpoint").with_advice("-x"),
        _ => Error::said(Op::Use, object, "this kind of endpoint does not work here"),
    }
}

/// The program that an address names.
pub fn program(address: &Address) -> Option<Program> {
    match &address.kind {
        Kind::Exec(text) => Some(Program::Words(split_words(text))),
        Kind::Shell(text) => Some(Program::Shell(text.clone())),
        _ => None,
    }
}

/// The words of `exec:`: split on spaces, nothing is quoted.
fn split_words(text: &OsStr) -> Vec<OsString> {
    let words = text.as_bytes().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    words.map(|word| OsStr::from_bytes(word).to_os_string()).collect()
}

#[cfg(test)]
mod tests;
