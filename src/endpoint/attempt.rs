//! One connect to one address: opened, under way, proven or failed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use socket2::{Domain, SockAddr, Type};

use super::dial::Connected;
use super::options::{self, Phase, Target};
use super::printed;
use super::socket::{Family, Socket};
use crate::error::{Error, Op, sentence};
use crate::plan::address::Options;
use crate::reactor::{Latch, Slot, Turn};
use crate::sys;

/// One address to try.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: SockAddr,
    /// Bound before connecting.
    pub(super) source: Option<SockAddr>,
    pub(super) kind: Family,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) candidate: Candidate,
    socket: socket2::Socket,
    multipath: bool,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The connect is under way (or done), and the poll will tell.
    Pending(Slot),
    /// A Unix listener's backlog is full: no event will tell, so it is tried again at this time.
    Full { again: Instant, pause: Duration },
}

/// What one look at an attempt says.
pub(super) enum Verdict {
    NotYet,
    Up(Option<io::Error>),
    Failed(io::Error),
}

/// Why an attempt could not be started.
pub(super) enum Trouble {
    /// This address does not work; another may.
    Candidate(io::Error),
    /// The user's options do not work, whatever the address.
    Options(Box<Error>),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Candidate(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Options(Box::new(error))
    }
}

impl Attempt {
    pub(super) fn open(turn: &mut Turn, candidate: Candidate, options: &Options) -> Result<Self, Trouble> {
        let (socket, multipath) = new_socket(&candidate, options.mptcp)?;
        let target = Target::of(candidate.address.domain(), candidate.kind != Family::Seqpacket);
        options::apply(options, &socket, target, Phase::BeforeBind)?;
        if let Some(source) = &candidate.source {
            // two attempts of one race may ask for the same port, and so may a run right after another
            socket.set_reuse_address(true)?;
            socket.bind(source).map_err(|error| cannot_bind(source, error))?;
        }
        options::apply(options, &socket, target, Phase::BeforeConnect)?;
        let stage = connect(turn, &socket, &candidate, Duration::ZERO)?;
        Ok(Attempt { candidate, socket, multipath, stage })
    }

    /// Tries a full backlog again, if it is time.
    pub(super) fn retry(&mut self, turn: &mut Turn) -> io::Result<()> {
        let Stage::Full { again, pause } = self.stage else { return Ok(()) };
        if again <= turn.now() {
            self.stage = connect(turn, &self.socket, &self.candidate, pause)?;
        }
        Ok(())
    }

    /// mio's steps, but where the event says as much: after an event, SO_ERROR, then the peer's name.
    pub(super) fn verdict(&mut self, turn: &mut Turn) -> Verdict {
        let Stage::Pending(slot) = self.stage else { return Verdict::NotYet };
        let latch = turn.latch(slot);
        if !latch.write && !latch.read {
            return Verdict::NotYet;
        }
        if !self.is_proven_by(latch) {
            match self.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) if is_cut(&error) => return Verdict::Up(Some(error)),
                Ok(Some(error)) if is_under_way(&error) => {}
                Ok(Some(error)) | Err(error) => return Verdict::Failed(error),
            }
            match self.socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    // it said itself that it is not ready, and the end of the connect raises an edge
                    turn.read_would_block(slot);
                    turn.write_would_block(slot);
                    return Verdict::NotYet;
                }
                Err(error) => return Verdict::Failed(error),
            }
        }
        if self.is_connected_to_itself() {
            sys::arm_reset(self.socket.as_fd());
            return Verdict::Failed(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        Verdict::Up(None)
    }

    /// Multipath TCP is asked: its event is made of those of several connections.
    fn is_proven_by(&self, latch: Latch) -> bool {
        let plain_tcp = self.candidate.kind == Family::Tcp && !self.multipath;
        sys::ROOM_PROVES_CONNECT && plain_tcp && latch.write && !latch.odd
    }

    /// A connect to a free port of this machine may be given that very port as its own, and then meets itself by TCP's
    /// simultaneous open (RFC 9293, 3.5). Nobody listens there.
    fn is_connected_to_itself(&self) -> bool {
        if self.candidate.kind != Family::Tcp {
            return false;
        }
        let Ok(local) = self.socket.local_addr() else { return false };
        let port = |address: &SockAddr| address.as_socket().map(|address| address.port());
        // what was typed may be another name of the address that it is
        port(&local) == port(&self.candidate.address) && self.socket.peer_addr().is_ok_and(|peer| peer == local)
    }

    pub(super) fn finish(self, cut: Option<io::Error>) -> Connected {
        // a peer that is gone has no name any more
        let peer = printed::name(&self.candidate.address);
        let protocol = match (self.candidate.kind, self.multipath) {
            (Family::Tcp, false) => "tcp",
            (Family::Tcp, true) => "mptcp",
            (Family::Unix, _) => "unix",
            (Family::Seqpacket, _) => "unix-seqpacket",
        };
        let socket = Socket::own(OwnedFd::from(self.socket), self.candidate.kind);
        let socket = match self.stage {
            Stage::Pending(slot) => socket.with_slot(slot),
            Stage::Full { .. } => socket,
        };
        Connected { socket, protocol, peer, cut }
    }

    pub(super) fn close(self, turn: &mut Turn) {
        if let Stage::Pending(slot) = self.stage {
            turn.deregister(&mut SourceFd(&self.socket.as_raw_fd()), slot);
        }
    }
}

impl Stage {
    pub(super) fn told(&self) -> String {
        match self {
            Stage::Pending(_) => "no answer".into(),
            Stage::Full { .. } => "its queue of connections is full".into(),
        }
    }
}

impl Candidate {
    pub(super) fn printed(&self) -> String {
        printed::name(&self.address)
    }

    pub(super) fn host(&self) -> String {
        self.address.as_socket().map_or_else(|| self.printed(), |address| printed::host(&address))
    }

    pub(super) fn explain(&self, error: &io::Error) -> String {
        let link_local =
            self.address.as_socket_ipv6().is_some_and(|v6| v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
        if link_local && error.kind() == io::ErrorKind::InvalidInput {
            return "a link-local address needs its interface, as in fe80::1%eth0".into();
        }
        sentence(error)
    }
}

fn new_socket(candidate: &Candidate, multipath: bool) -> io::Result<(socket2::Socket, bool)> {
    let domain = candidate.address.domain();
    let ty = if candidate.kind == Family::Seqpacket { Type::SEQPACKET } else { Type::STREAM };
    open_socket(domain, ty, multipath && candidate.kind == Family::Tcp)
}

/// A socket, of multipath TCP if that is wanted and this kernel has it; whether it is.
pub(super) fn open_socket(domain: Domain, ty: Type, multipath: bool) -> io::Result<(socket2::Socket, bool)> {
    if multipath && let Some(protocol) = sys::MULTIPATH {
        match sys::socket(domain, ty, Some(protocol)) {
            Ok(socket) => return Ok((socket, true)),
            // not built in, or switched off by net.mptcp.enabled
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((sys::socket(domain, ty, None)?, false))
}

/// connect(2), and registration after it: before it, the poll reports a hang-up that means nothing.
fn connect(turn: &mut Turn, socket: &socket2::Socket, to: &Candidate, paused: Duration) -> io::Result<Stage> {
    match socket.connect(&to.address) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) || error.kind() == io::ErrorKind::Interrupted => {}
        // Unix only (connect(2)): the backlog is full. Elsewhere it means that no local port is left.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && to.kind != Family::Tcp => {
            let pause = (paused * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            return Ok(Stage::Full { again: turn.now() + pause, pause });
        }
        Err(error) => return Err(error),
    }
    Ok(Stage::Pending(turn.register(&mut SourceFd(&socket.as_raw_fd()))?))
}

fn cannot_bind(source: &SockAddr, error: io::Error) -> Error {
    Error::new(Op::Use, format!("source address {}", printed::name(source)), error)
}

/// The handshake was done and then the peer cut it.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionReset | BrokenPipe | NotConnected)
}

fn is_under_way(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY))
}

/// How soon a full backlog is tried again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
