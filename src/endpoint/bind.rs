//! Making sockets that listen: bound to an address, a path or an abstract name, or inherited as they are.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{Domain, SockAddr, Type};

use super::attempt::{Trouble, open_socket};
use super::options::{self, Phase, Target};
use super::printed;
use super::resolve::Lookup;
use super::socket::Family;
use super::unix_path::{self, SocketFile};
use crate::error::{Error, Op};
use crate::plan::address::{self, Host, HostPort, Options, UnixName, UnixSocket};
use crate::sys;

/// A socket that listens, and what there is to know about it. Dropping it closes it and removes its socket file.
#[derive(Debug)]
pub(super) struct Listener {
    /// Removed before the socket is closed: as long as it is alive, no other listener takes the path for stale.
    #[expect(dead_code, reason = "its drop is its use")]
    file: Option<SocketFile>,
    pub(super) socket: socket2::Socket,
    pub(super) family: Family,
    pub(super) target: Target,
    pub(super) protocol: &'static str,
    /// The name that was really bound.
    pub(super) local: SockAddr,
    /// The same as printed; `*` is every address of both families.
    pub(super) printed: String,
    /// Its O_NONBLOCK is not ours to set.
    pub(super) inherited: bool,
}

/// Listens on the first of the host's addresses that can be bound.
pub(super) fn tcp(at: &HostPort, options: &Options, object: &[u8]) -> Result<Listener, Error> {
    let places = match &at.host {
        Host::Unspecified => everywhere(at.port, options.family),
        _ => resolve(at, options, object)?.into_iter().map(|address| (address, Everything::No)).collect(),
    };
    let mut first = None;
    for (address, everything) in places {
        match bind_tcp(address, everything, options) {
            Ok(listener) => return Ok(listener),
            Err(Trouble::Options(error)) => return Err(*error),
            Err(Trouble::Candidate(error)) => {
                // IPv4 is the answer only to IPv6 that is not there, not to a port that is taken
                let absent = matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL));
                if everything == Everything::Yes && !absent {
                    return Err(Error::new(Op::Listen, object, error));
                }
                first.get_or_insert(error);
            }
        }
    }
    Err(Error::new(Op::Listen, object, first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
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
    let mut list = found.map_err(|why| why.into_error(Op::Listen, object))?;
    list.sort_by_key(SocketAddr::is_ipv6);
    Ok(list)
}

fn bind_tcp(address: SocketAddr, everything: Everything, options: &Options) -> Result<Listener, Trouble> {
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
    let local = socket.local_addr()?;
    let printed = match local.as_socket() {
        Some(local) if everything == Everything::Yes => format!("*:{}", local.port()),
        _ => printed::name(&local),
    };
    let protocol = if multipath { "mptcp" } else { "tcp" };
    Ok(Listener { file: None, socket, family: Family::Tcp, target, protocol, local, printed, inherited: false })
}

/// Listens on a path or an abstract name.
pub(super) fn unix(name: &UnixName, kind: UnixSocket, options: &Options, object: &[u8]) -> Result<Listener, Error> {
    let (ty, family, protocol) = match kind {
        UnixSocket::Stream => (Type::STREAM, Family::Unix, "unix"),
        UnixSocket::Seqpacket => (Type::SEQPACKET, Family::Seqpacket, "unix-seqpacket"),
        UnixSocket::Datagram => {
            return Err(Error::said(Op::Listen, object, "a datagram socket accepts no connections"));
        }
    };
    let failed = |error| Error::new(Op::Listen, object, error);
    let socket = sys::socket(Domain::UNIX, ty, None).map_err(failed)?;
    let target = Target::of(Domain::UNIX, kind == UnixSocket::Stream);
    options::apply(options, &socket, target, Phase::BeforeConnect)?;
    let file = match name {
        UnixName::Path(path) => Some(SocketFile::bind(&socket, path, options.mode)?),
        UnixName::Abstract(_) => {
            let address = unix_path::address(name).map_err(|why| why.into_error(Op::Listen, object))?;
            socket.bind(&address).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => failed(error).with_advice("another name"),
                _ => failed(error),
            })?;
            None
        }
    };
    socket.listen(BACKLOG).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    let printed = printed::name(&local);
    Ok(Listener { file, socket, family, target, protocol, local, printed, inherited: false })
}

/// A listening socket that the parent left open; its file, if it has one, is the parent's.
pub(super) fn adopted(number: i32, object: &[u8]) -> Result<Listener, Error> {
    let failed = |error| Error::new(Op::Listen, object, error);
    let fd = sys::adopt(number).map_err(failed)?;
    if !sys::is_listening(fd.as_fd()) {
        // not ours to close after all
        let _ = std::os::fd::IntoRawFd::into_raw_fd(fd);
        return Err(Error::said(Op::Listen, object, "it is no listening socket"));
    }
    let socket = socket2::Socket::from(fd);
    let local = socket.local_addr().map_err(failed)?;
    let stream = socket.r#type().map_err(failed)? == Type::STREAM;
    let (family, protocol) = match (local.domain(), stream) {
        (Domain::IPV4 | Domain::IPV6, true) => (Family::Tcp, "tcp"),
        (Domain::UNIX, true) => (Family::Unix, "unix"),
        (Domain::UNIX, false) => (Family::Seqpacket, "unix-seqpacket"),
        _ => return Err(Error::said(Op::Listen, object, "neither a TCP nor a Unix socket")),
    };
    let everything =
        local.as_socket_ipv6().is_some_and(|v6| v6.ip().is_unspecified()) && !socket.only_v6().map_err(failed)?;
    let printed = match local.as_socket() {
        Some(address) if everything => format!("*:{}", address.port()),
        _ => printed::name(&local),
    };
    let target = Target::of(local.domain(), stream);
    Ok(Listener { file: None, socket, family, target, protocol, local, printed, inherited: true })
}

/// The kernel clamps it to net.core.somaxconn. A short one makes bursts of clients wait for a lost SYN's repetition.
const BACKLOG: i32 = 4096;
