//! Listening sockets: bound and listening before anything is announced, accepted from until WouldBlock.
//!
//! What goes wrong with one connection concerns that connection: the next is taken. When descriptors or memory run out
//! the listener pauses on a timer, with its latch untouched, instead of spinning on an event that is still true.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use socket2::{Domain, SockAddr, Type};

use super::dial::open_socket;
use super::options::{self, Phase, Target};
use super::printed;
use super::resolve::{Lookup, NoAddress};
use super::socket::{Family, Socket};
use super::unix_path::{self, SocketFile};
use crate::error::{Error, Op};
use crate::plan::address::{self, Address, Host, HostPort, Kind, Options, UnixName, UnixSocket};
use crate::reactor::{Slot, Turn};
use crate::sys;

/// A socket that listens. Dropping it closes it and removes its socket file.
#[derive(Debug)]
pub struct Acceptor {
    /// Removed before the socket is closed: as long as it is alive, no other listener takes the path for stale.
    file: Option<SocketFile>,
    socket: socket2::Socket,
    family: Family,
    target: Target,
    protocol: &'static str,
    options: Options,
    object: Vec<u8>,
    printed: String,
    local: SockAddr,
    /// An inherited listener: its O_NONBLOCK is not ours to set, so it is asked by poll(2) before each accept.
    inherited: bool,
    slot: Option<Slot>,
    pause: Pause,
}

/// One accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// Not registered yet.
    pub socket: Socket,
    /// `tcp`, `mptcp`, `unix`, `unix-seqpacket`.
    pub protocol: &'static str,
    /// The peer, as printed; a client of a dual-stack listener in its own family.
    pub peer: String,
    /// Our side, as printed.
    pub local: String,
}

/// A listener that waits for descriptors or memory.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// The length of the last pause; zero once a connection was taken.
    length: Duration,
    /// Why, until somebody asked.
    reason: Option<io::Error>,
}

/// What a failed accept means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// Nobody is waiting.
    Empty,
    /// That connection is lost, or nothing happened at all: on to the next.
    Next,
    /// The process or the system is out of something.
    Exhausted,
    /// The listener is of no use any more.
    Fatal,
}

impl Acceptor {
    /// Binds and listens, or takes over the listening descriptor of `fd,listen:N`. A host's name is resolved here and
    /// now; the first of its addresses that can be bound is taken.
    ///
    /// # Errors
    /// Cannot bind, an option is refused, the name is unknown: all of them are the caller's to repair (status 2).
    pub fn open(address: &Address) -> Result<Self, Error> {
        let object = printed::object(address, "*");
        match &address.kind {
            Kind::Tcp(at) => tcp(at, address.options.clone(), object),
            Kind::Unix(name, kind) => unix(name, *kind, address.options.clone(), object),
            Kind::Path(path) => {
                unix(&UnixName::Path(path.clone()), UnixSocket::Stream, address.options.clone(), object)
            }
            Kind::Fd { read, .. } => adopted(*read, address.options.clone(), object),
            _ => Err(Error::said(Op::Listen, object, "nothing of this kind accepts connections")),
        }
    }

    /// In the fixed shape of the manual: `127.0.0.1:40123`, `*:40123`, `/run/a.sock`, `@name`.
    pub fn address(&self) -> &str {
        &self.printed
    }

    /// `tcp`, `mptcp`, `unix`, `unix-seqpacket`.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The port that was really bound; `None` for Unix sockets.
    pub fn port(&self) -> Option<u16> {
        self.local.as_socket().map(|address| address.port())
    }

    /// The path of a Unix socket as its raw bytes say, for those who connect to it.
    pub fn path(&self) -> Option<&Path> {
        self.local.as_pathname()
    }

    /// The host that a client on this machine can connect to: the loopback address where every address is bound.
    pub fn hint_address(&self) -> String {
        match self.local.as_socket().map(printed::unmapped) {
            Some(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Some(SocketAddr::V6(v6)) if v6.ip().is_unspecified() => {
                let only_v6 = self.socket.only_v6().unwrap_or(true);
                if only_v6 { Ipv6Addr::LOCALHOST.to_string() } else { Ipv4Addr::LOCALHOST.to_string() }
            }
            Some(address) => printed::host(&address),
            None => self.printed.clone(),
        }
    }

    /// Registers the listener.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let slot = turn.register(&mut SourceFd(&self.socket.as_raw_fd()));
        self.slot = Some(slot.map_err(|error| Error::new(Op::Listen, &self.object, error))?);
        Ok(())
    }

    /// Takes the next connection; `None` when nobody is waiting, or while the listener pauses. Call it again until
    /// then, or until the budget of the turn is used up: the latch remembers.
    ///
    /// # Errors
    /// The listener is of no use any more, or an option is refused by what was accepted.
    pub fn accept(&mut self, turn: &mut Turn) -> Result<Option<Accepted>, Error> {
        let Some(slot) = self.slot else { return Ok(None) };
        if self.pause.holds(turn.now()) || !turn.latch(slot).read {
            return Ok(None);
        }
        for _ in 0..MOST_IN_A_ROW {
            match self.take() {
                Ok((socket, peer)) => {
                    self.pause = Pause::default();
                    return self.prepare(socket, &peer).map(Some);
                }
                Err(error) => match mishap(&error) {
                    Mishap::Empty => {
                        turn.read_would_block(slot);
                        return Ok(None);
                    }
                    Mishap::Next => {}
                    Mishap::Exhausted => {
                        self.pause.lengthen(turn.now(), error);
                        return Ok(None);
                    }
                    Mishap::Fatal => return Err(Error::new(Op::Accept, &self.printed, error)),
                },
            }
        }
        // so many in a row are no accident: say a filter that answers EPERM for ever
        self.pause.lengthen(turn.now(), io::Error::from_raw_os_error(libc::ECONNABORTED));
        Ok(None)
    }

    /// The end of the pause.
    pub fn deadline(&self) -> Option<Instant> {
        self.pause.until
    }

    /// Why the listener began to pause; once per period.
    pub fn trouble(&mut self) -> Option<Error> {
        let reason = self.pause.reason.take()?;
        Some(Error::new(Op::Accept, &self.printed, reason))
    }

    /// Stops listening: out of the poll, its file removed, closed. Connections that wait in the backlog are reset.
    pub fn close(mut self, turn: &mut Turn) {
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut SourceFd(&self.socket.as_raw_fd()), slot);
        }
    }

    fn take(&self) -> io::Result<(socket2::Socket, SockAddr)> {
        if self.inherited && !sys::poll_now(self.socket.as_fd()).readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        sys::accept(self.socket.as_fd())
    }

    fn prepare(&self, socket: socket2::Socket, peer: &SockAddr) -> Result<Accepted, Error> {
        options::apply(&self.options, &socket, self.target, Phase::Accepted)?;
        let local = match socket.local_addr() {
            Ok(address) => printed::name(&address),
            Err(_) => self.printed.clone(),
        };
        let socket = Socket::own(OwnedFd::from(socket), self.family);
        Ok(Accepted { socket, protocol: self.protocol, peer: printed::name(peer), local })
    }
}

impl Pause {
    /// True until it is over.
    fn holds(&mut self, now: Instant) -> bool {
        self.until = self.until.filter(|until| *until > now);
        self.until.is_some()
    }

    /// Each pause after a failure is twice as long as the one before, and only the first one is worth a word.
    fn lengthen(&mut self, now: Instant, error: io::Error) {
        if self.length.is_zero() {
            self.reason = Some(error);
        }
        self.length = (self.length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.until = Some(now + self.length);
    }
}

/// accept(2) lists them; Linux passes on what was already wrong with the new connection.
fn mishap(error: &io::Error) -> Mishap {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Mishap::Empty;
    }
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Mishap::Exhausted,
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EFAULT) => Mishap::Fatal,
        _ => Mishap::Next,
    }
}

fn tcp(at: &HostPort, options: Options, object: Vec<u8>) -> Result<Acceptor, Error> {
    let places = match &at.host {
        Host::Unspecified => everywhere(at.port, options.family),
        _ => resolve(at, &options, &object)?.into_iter().map(|address| (address, Everything::No)).collect(),
    };
    let mut first = None;
    for (address, everything) in places {
        match bind_tcp(address, everything, &options) {
            Ok(Bound { socket, multipath }) => {
                let target = Target::of(SockAddr::from(address).domain(), true);
                let local = socket.local_addr().map_err(|error| Error::new(Op::Listen, &object, error))?;
                let printed = match (everything, local.as_socket()) {
                    (Everything::Yes, Some(local)) => format!("*:{}", local.port()),
                    _ => printed::name(&local),
                };
                let protocol = if multipath { "mptcp" } else { "tcp" };
                let acceptor = Acceptor::new(socket, (Family::Tcp, target, protocol), options, object, printed, local);
                return Ok(acceptor);
            }
            Err(Trouble::Options(error)) => return Err(*error),
            Err(Trouble::Here(error)) => {
                // IPv4 is the answer only to IPv6 that is not there, not to a port that is taken
                let absent = matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL));
                if everything == Everything::Yes && !absent {
                    return Err(Error::new(Op::Listen, &object, error));
                }
                first.get_or_insert(error);
            }
        }
    }
    Err(Error::new(Op::Listen, &object, first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

/// Whether a socket stands for every address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Everything {
    Yes,
    No,
}

/// Where a bare port is bound: both families through one IPv6 socket; IPv4 alone where there is no IPv6.
fn everywhere(port: u16, family: Option<address::Family>) -> Vec<(SocketAddr, Everything)> {
    let (v4, v6) = ((Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into());
    match family {
        None => vec![(v6, Everything::Yes), (v4, Everything::Yes)],
        Some(address::Family::V4) => vec![(v4, Everything::No)],
        Some(address::Family::V6) => vec![(v6, Everything::No)],
    }
}

/// A name's addresses, IPv4 first: a name such as localhost has both, one socket has one, and clients that know only
/// `127.0.0.1` are more than those that know only `::1`.
fn resolve(at: &HostPort, options: &Options, object: &[u8]) -> Result<Vec<SocketAddr>, Error> {
    let found = Lookup::new(at, options).and_then(Lookup::wait);
    let mut list = found.map_err(|why| no_address(object, why))?;
    list.sort_by_key(SocketAddr::is_ipv6);
    Ok(list)
}

fn no_address(object: &[u8], why: NoAddress) -> Error {
    let error = Error::said(Op::Listen, object, why.cause);
    match why.advice {
        Some(advice) => error.with_advice(advice),
        None => error,
    }
}

struct Bound {
    socket: socket2::Socket,
    multipath: bool,
}

/// Why one address could not be listened on.
enum Trouble {
    Here(io::Error),
    Options(Box<Error>),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Here(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Options(Box::new(error))
    }
}

fn bind_tcp(address: SocketAddr, everything: Everything, options: &Options) -> Result<Bound, Trouble> {
    let address = SockAddr::from(address);
    let domain = address.domain();
    let (socket, multipath) = open_socket(domain, Type::STREAM, options.mptcp)?;
    let target = Target::of(domain, true);
    if domain == Domain::IPV6 {
        socket.set_only_v6(everything == Everything::No)?;
    }
    // past connections in TIME_WAIT do not block the port; SO_REUSEPORT would share it with a stranger
    socket.set_reuse_address(true)?;
    options::apply(options, &socket, target, Phase::BeforeBind)?;
    socket.bind(&address)?;
    options::apply(options, &socket, target, Phase::BeforeConnect)?;
    socket.listen(BACKLOG)?;
    Ok(Bound { socket, multipath })
}

fn unix(name: &UnixName, kind: UnixSocket, options: Options, object: Vec<u8>) -> Result<Acceptor, Error> {
    let (ty, family, protocol) = match kind {
        UnixSocket::Stream => (Type::STREAM, Family::Unix, "unix"),
        UnixSocket::Seqpacket => (Type::SEQPACKET, Family::Seqpacket, "unix-seqpacket"),
        UnixSocket::Datagram => {
            return Err(Error::said(Op::Listen, object, "a datagram socket accepts no connections"));
        }
    };
    let failed = |error| Error::new(Op::Listen, &object, error);
    let socket = sys::socket(Domain::UNIX, ty, None).map_err(failed)?;
    let target = Target::of(Domain::UNIX, kind == UnixSocket::Stream);
    options::apply(&options, &socket, target, Phase::BeforeConnect)?;
    let file = match name {
        UnixName::Path(path) => Some(SocketFile::bind(&socket, path, options.mode)?),
        UnixName::Abstract(_) => {
            let address = unix_path::address(name).map_err(|why| no_address(&object, why))?;
            socket.bind(&address).map_err(failed)?;
            None
        }
    };
    socket.listen(BACKLOG).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    let printed = printed::name(&local);
    let mut acceptor = Acceptor::new(socket, (family, target, protocol), options, object, printed, local);
    acceptor.file = file;
    Ok(acceptor)
}

/// A listening socket that the parent left open; its file, if it has one, is the parent's.
fn adopted(number: i32, options: Options, object: Vec<u8>) -> Result<Acceptor, Error> {
    let failed = |error| Error::new(Op::Listen, &object, error);
    let fd = sys::adopt(number).map_err(failed)?;
    if !sys::is_listening(fd.as_fd()) {
        // not ours to close after all
        let _ = std::os::fd::IntoRawFd::into_raw_fd(fd);
        return Err(Error::said(Op::Listen, &object, "it is no listening socket"));
    }
    let socket = socket2::Socket::from(fd);
    let local = socket.local_addr().map_err(failed)?;
    let stream = socket.r#type().map_err(failed)? == Type::STREAM;
    let (family, protocol) = match (local.domain(), stream) {
        (Domain::IPV4 | Domain::IPV6, true) => (Family::Tcp, "tcp"),
        (Domain::UNIX, true) => (Family::Unix, "unix"),
        (Domain::UNIX, false) => (Family::Seqpacket, "unix-seqpacket"),
        _ => return Err(Error::said(Op::Listen, &object, "neither a TCP nor a Unix socket")),
    };
    let everything =
        local.as_socket_ipv6().is_some_and(|v6| v6.ip().is_unspecified()) && !socket.only_v6().map_err(failed)?;
    let printed = match local.as_socket() {
        Some(address) if everything => format!("*:{}", address.port()),
        _ => printed::name(&local),
    };
    let target = Target::of(local.domain(), stream);
    let mut acceptor = Acceptor::new(socket, (family, target, protocol), options, object, printed, local);
    acceptor.inherited = true;
    Ok(acceptor)
}

impl Acceptor {
    fn new(
        socket: socket2::Socket,
        (family, target, protocol): (Family, Target, &'static str),
        options: Options,
        object: Vec<u8>,
        printed: String,
        local: SockAddr,
    ) -> Self {
        Acceptor {
            file: None,
            socket,
            family,
            target,
            protocol,
            options,
            object,
            printed,
            local,
            inherited: false,
            slot: None,
            pause: Pause::default(),
        }
    }
}

/// The kernel clamps it to net.core.somaxconn. A short one makes bursts of clients wait for a lost SYN's repetition.
const BACKLOG: i32 = 4096;
/// Pauses when descriptors have run out: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Lost connections that one call passes over.
const MOST_IN_A_ROW: usize = 64;
