//! Listening sockets: bound and listening before anything is announced, accepted from until WouldBlock.
//!
//! What goes wrong with one connection concerns that connection: the next is taken. When descriptors or memory run out
//! the listener pauses on a timer, with its latch untouched, instead of spinning on an event that is still true.

use std::io;
use std::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use socket2::SockAddr;

use super::bind::{self, Listener};
use super::options::{self, Phase};
use super::printed;
use super::socket::{Family, Socket};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Kind, Options, UnixName, UnixSocket};
use crate::reactor::{Slot, Turn};
use crate::sys;

/// A socket that listens. Dropping it closes it and removes its socket file.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    options: Options,
    /// What the user typed, for messages.
    object: Vec<u8>,
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
    /// Our side, as printed, where a PROXY header told it; otherwise the socket knows.
    pub told_local: Option<String>,
    /// The peer's address, for access lists; `None` for Unix sockets.
    pub ip: Option<IpAddr>,
}

impl Accepted {
    /// Our side, as printed. The socket is asked, so that who does not want it need not wait.
    pub fn local(&self) -> String {
        self.told_local.clone().unwrap_or_else(|| self.socket.local())
    }
}

/// A listener that waits for descriptors or memory.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    /// The length of the last pause; zero once a connection was taken.
    length: Duration,
    /// Something has run out here; otherwise connections are lost before they can be taken.
    is_scarcity: bool,
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
        let options = address.options.clone();
        let listener = match &address.kind {
            Kind::Tcp(at) => bind::tcp(at, &options, &object)?,
            Kind::Unix(name, kind) => bind::unix(name, *kind, &options, &object)?,
            Kind::Path(path) => bind::unix(&UnixName::Path(path.clone()), UnixSocket::Stream, &options, &object)?,
            Kind::Fd { read, .. } => bind::adopted(*read, &object)?,
            _ => return Err(Error::said(Op::Listen, object, "nothing of this kind accepts connections")),
        };
        Ok(Acceptor { listener, options, object, slot: None, pause: Pause::default() })
    }

    /// In the fixed shape of the manual: `127.0.0.1:40123`, `*:40123`, `/run/a.sock`, `@name`.
    pub fn address(&self) -> &str {
        &self.listener.printed
    }

    /// `tcp`, `mptcp`, `unix`, `unix-seqpacket`.
    pub fn protocol(&self) -> &'static str {
        self.listener.protocol
    }

    /// The port that was really bound; `None` for Unix sockets.
    pub fn port(&self) -> Option<u16> {
        self.listener.local.as_socket().map(|address| address.port())
    }

    /// The address that was really bound; `None` for Unix sockets.
    pub fn ip(&self) -> Option<IpAddr> {
        self.listener.local.as_socket().map(|address| address.ip())
    }

    /// The path of a Unix socket as its raw bytes say, for those who connect to it.
    pub fn path(&self) -> Option<&Path> {
        self.listener.local.as_pathname()
    }

    /// The host that a client on this machine can connect to: the loopback address where every address is bound.
    pub fn hint_address(&self) -> String {
        match self.listener.local.as_socket().map(printed::unmapped) {
            Some(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Some(SocketAddr::V6(v6)) if v6.ip().is_unspecified() => {
                let only_v6 = self.listener.socket.only_v6().unwrap_or(true);
                if only_v6 { Ipv6Addr::LOCALHOST.to_string() } else { Ipv4Addr::LOCALHOST.to_string() }
            }
            Some(address) => printed::host(&address),
            None => self.listener.printed.clone(),
        }
    }

    /// Registers the listener.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let slot = turn.register(&mut SourceFd(&self.listener.socket.as_raw_fd()));
        self.slot = Some(slot.map_err(|error| Error::new(Op::Listen, &self.object, error))?);
        Ok(())
    }

    /// Takes the next connection; `None` when nobody is waiting, or while the listener pauses. Call it again until
    /// then, or until the budget of the turn is used up: the latch remembers.
    ///
    /// # Errors
    /// The listener is of no use any more.
    pub fn accept(&mut self, turn: &mut Turn) -> Result<Option<Accepted>, Error> {
        let Some(slot) = self.slot else { return Ok(None) };
        if self.pause.holds(turn.now()) || !turn.latch(slot).read {
            return Ok(None);
        }
        for _ in 0..MOST_IN_A_ROW {
            match self.take() {
                Ok((socket, peer)) => {
                    self.pause = Pause::default();
                    // the listener took these options: what refuses them now is a connection that is gone
                    if self.has_options()
                        || options::apply(&self.options, &socket, self.listener.target, Phase::Accepted).is_ok()
                    {
                        return Ok(Some(self.named(socket, &peer)));
                    }
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
                    Mishap::Fatal => return Err(Error::new(Op::Accept, &self.listener.printed, error)),
                },
            }
        }
        // so many in a row are no accident: say a filter that answers EPERM for ever
        self.pause.lengthen(turn.now(), io::Error::from_raw_os_error(libc::ECONNABORTED));
        Ok(None)
    }

    /// True if somebody waits to be accepted.
    pub fn is_awaited(&self, turn: &Turn) -> bool {
        let told = self.slot.is_some_and(|slot| turn.latch(slot).read);
        told && sys::poll_now(self.listener.socket.as_fd()).readable
    }

    /// True while the listener pauses because descriptors or memory have run out.
    pub fn is_starved(&self) -> bool {
        self.pause.until.is_some() && self.pause.is_scarcity
    }

    /// Ends the pause: there is room again, and nothing to be told.
    pub fn resume(&mut self) {
        (self.pause.until, self.pause.reason) = (None, None);
    }

    /// The end of the pause.
    pub fn deadline(&self) -> Option<Instant> {
        self.pause.until
    }

    /// Why the listener began to pause; once per period.
    pub fn trouble(&mut self) -> Option<Error> {
        let reason = self.pause.reason.take()?;
        Some(Error::new(Op::Accept, &self.listener.printed, reason))
    }

    /// Stops listening: out of the poll, its file removed, closed. Connections that wait in the backlog are reset.
    pub fn close(mut self, turn: &mut Turn) {
        if let Some(slot) = self.slot.take() {
            turn.deregister(&mut SourceFd(&self.listener.socket.as_raw_fd()), slot);
        }
    }

    /// True if what was accepted has its options from a listener of ours: that saves a call for each.
    fn has_options(&self) -> bool {
        sys::LISTENER_HANDS_ON && self.listener.family == Family::Tcp && !self.listener.inherited
    }

    fn take(&self) -> io::Result<(socket2::Socket, SockAddr)> {
        if self.listener.inherited && !sys::poll_now(self.listener.socket.as_fd()).readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        sys::accept(self.listener.socket.as_fd())
    }

    fn named(&self, socket: socket2::Socket, peer: &SockAddr) -> Accepted {
        let socket = Socket::own(OwnedFd::from(socket), self.listener.family);
        let ip = peer.as_socket().map(|address| address.ip().to_canonical());
        Accepted { socket, protocol: self.listener.protocol, peer: printed::name(peer), told_local: None, ip }
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
        self.is_scarcity = mishap(&error) == Mishap::Exhausted;
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

/// Pauses when descriptors have run out: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Lost connections that one call passes over.
const MOST_IN_A_ROW: usize = 64;

#[cfg(test)]
mod tests;
