//! Sockets that hear whoever sends to them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::super::options::{self, Phase, Target};
use super::super::printed;
use super::super::resolve::{Lookup, NoAddress};
use super::super::unix_path::{self, SocketFile};
use super::{interface, look_up, scoped, set_options, sorted, widen};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Family, Host, HostPort, Kind, Options, UnixName, UnixSocket};
use crate::sys;

/// A socket that hears whoever sends to it. Dropping it closes it and removes its socket file.
#[derive(Debug)]
pub struct Bound {
    /// Removed before the socket is closed; whoever takes the descriptor out keeps it alive as long.
    pub file: Option<SocketFile>,
    /// It: unconnected, non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// `udp`, `unix-dgram`.
    pub protocol: &'static str,
    /// The name that was really bound, as printed; `*` is every address of both families.
    pub printed: String,
    /// The same, if it is an IP address.
    pub local: Option<SocketAddr>,
    /// The same, if it is a path.
    pub path: Option<PathBuf>,
}

/// Binds the first of the endpoint's addresses that can be bound; a group is joined.
///
/// # Errors
/// No such name or interface, an option that does not work, an address that cannot be bound; with status 2.
pub fn bind(at: &Address) -> Result<Bound, Error> {
    let object = printed::object(at, "*");
    match &at.kind {
        Kind::Udp(place) => bind_ip(place, &at.options, &object),
        Kind::Unix(name, UnixSocket::Datagram) => bind_unix(name, &at.options, &object),
        _ => Err(Error::said(Op::Listen, object, "no datagrams come in there")),
    }
}

/// One more socket for the address of `first`, which the kernel gives a part of the clients (SO_REUSEPORT): always all of
/// a client's datagrams. Neither a group nor a Unix socket can have one.
///
/// # Errors
/// It cannot be bound.
pub fn bind_beside(at: &Address, first: &Bound) -> Result<Bound, Error> {
    let object = printed::object(at, "*");
    let failed = |error| Error::new(Op::Listen, &object, error);
    let Some(local) = first.local else {
        return Err(Error::said(Op::Listen, &object, "only UDP has several sockets for one port"));
    };
    // not before the first was bound: somebody else's port is not to be shared by accident
    SockRef::from(&first.fd).set_reuse_port(true).map_err(failed)?;
    let everywhere = first.printed.starts_with('*') && local.is_ipv6();
    let opened = sys::socket(Domain::for_address(local), Type::DGRAM, None).and_then(|socket| {
        if local.is_ipv6() {
            socket.set_only_v6(!everywhere)?;
        }
        socket.set_reuse_port(true)?;
        Ok(socket)
    });
    let socket = opened.map_err(failed)?;
    set_options(&socket, &at.options, false, 0, local.is_ipv6())?;
    if local.ip().is_unspecified() {
        let _ = sys::tell_destinations(socket.as_fd(), local.is_ipv6());
    }
    socket.bind(&SockAddr::from(local)).map_err(failed)?;
    widen(&socket, &at.options);
    Ok(Bound {
        file: None,
        fd: socket.into(),
        protocol: "udp",
        printed: first.printed.clone(),
        local: first.local,
        path: None,
    })
}

fn bind_ip(at: &HostPort, options: &Options, object: &[u8]) -> Result<Bound, Error> {
    let refused = |why: NoAddress| why.into_error(Op::Listen, object);
    let (v4, v6) = ((Ipv4Addr::UNSPECIFIED, at.port).into(), (Ipv6Addr::UNSPECIFIED, at.port).into());
    let everywhere = at.host == Host::Unspecified && options.family.is_none();
    let places: Vec<SocketAddr> = match (&at.host, options.family) {
        (Host::Unspecified, None) => vec![v6, v4],
        (Host::Unspecified, Some(Family::V4)) => vec![v4],
        (Host::Unspecified, Some(Family::V6)) => vec![v6],
        // IPv4 first, as for listeners of streams
        _ => sorted(Lookup::new(at, options).and_then(Lookup::wait).map_err(refused)?),
    };
    let wanted = match &options.source {
        Some(host) => look_up(host, 0, options).map_err(refused)?,
        None => Vec::new(),
    };
    let mut first = None;
    for place in places {
        if options.source.is_some() && !place.ip().is_multicast() {
            let why = "--source picks a sender of a multicast group, and that is no group";
            return Err(Error::said(Op::Listen, object, why).with_advice("--allow ADDR, for any datagrams"));
        }
        match bind_one(place, everywhere, &wanted, options)? {
            Ok(bound) => return Ok(bound),
            // IPv4 is the answer only to IPv6 that is not there, not to a port that is taken
            Err(error) if everywhere && !is_absent(&error) => return Err(Error::new(Op::Listen, object, error)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(Error::new(Op::Listen, object, first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// The outer error is the user's, the inner one the address's.
fn bind_one(
    place: SocketAddr,
    everywhere: bool,
    wanted: &[SocketAddr],
    options: &Options,
) -> Result<io::Result<Bound>, Error> {
    let group = place.ip().is_multicast();
    let index = if group { interface(options, &place)? } else { 0 };
    let place = scoped(place, index);
    let opened = sys::socket(Domain::for_address(place), Type::DGRAM, None).and_then(|socket| {
        if place.is_ipv6() {
            socket.set_only_v6(!everywhere)?;
        }
        if group {
            // a group may have several listeners on one machine; elsewhere it would let a stranger take the port
            socket.set_reuse_address(true)?;
        }
        Ok(socket)
    });
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error)),
    };
    set_options(&socket, options, group, index, place.is_ipv6())?;
    if place.ip().is_unspecified() {
        // before anything can come in; without it answers leave from an address of the system's choice
        let _ = sys::tell_destinations(socket.as_fd(), place.is_ipv6());
    }
    if let Err(error) = socket.bind(&SockAddr::from(place)) {
        return Ok(Err(error));
    }
    if group {
        join(&socket, place, wanted, index)?;
    }
    widen(&socket, options);
    Ok(socket.local_addr().map(|local| {
        let address = local.as_socket();
        let printed = match address {
            Some(local) if everywhere && local.is_ipv6() => format!("*:{}", local.port()),
            _ => printed::name(&local),
        };
        Bound { file: None, fd: socket.into(), protocol: "udp", printed, local: address, path: None }
    }))
}

fn join(socket: &Socket, group: SocketAddr, wanted: &[SocketAddr], index: u32) -> Result<(), Error> {
    let object = || format!("the group {}", printed::host(&group));
    let failed = |error: io::Error| {
        let error = Error::new(Op::Use, object(), error);
        if index == 0 { error.with_advice("--iface IF, the interface to join it on") } else { error }
    };
    let address = SockAddr::from(group);
    sys::hear_own_groups_only(socket.as_fd(), group.is_ipv6());
    if wanted.is_empty() {
        return sys::join_group(socket.as_fd(), &address, None, index).map_err(failed);
    }
    let mut fitting = wanted.iter().filter(|source| source.is_ipv4() == group.is_ipv4()).peekable();
    if fitting.peek().is_none() {
        return Err(Error::said(Op::Use, object(), "its --source has no address of the same family"));
    }
    fitting.try_for_each(|source| {
        sys::join_group(socket.as_fd(), &address, Some(&SockAddr::from(*source)), index).map_err(failed)
    })
}

fn bind_unix(name: &UnixName, options: &Options, object: &[u8]) -> Result<Bound, Error> {
    let failed = |error| Error::new(Op::Listen, object, error);
    let socket = sys::socket(Domain::UNIX, Type::DGRAM, None).map_err(failed)?;
    options::apply(options, &socket, Target::Unix, Phase::BeforeConnect)?;
    let (file, path) = match name {
        UnixName::Path(path) => (Some(SocketFile::bind(&socket, path, options.mode)?), Some(path.clone())),
        UnixName::Abstract(_) => {
            let address = unix_path::address(name).map_err(|why| why.into_error(Op::Listen, object))?;
            socket.bind(&address).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => failed(error).with_advice("another name"),
                _ => failed(error),
            })?;
            (None, None)
        }
    };
    widen(&socket, options);
    let printed = socket.local_addr().map(|local| printed::name(&local)).map_err(failed)?;
    Ok(Bound { file, fd: socket.into(), protocol: "unix-dgram", printed, local: None, path })
}

impl Bound {
    /// The address as a client on this machine can use it: a wildcard is the loopback address.
    pub fn reachable(&self) -> Option<SocketAddr> {
        self.local.map(|local| match printed::unmapped(local) {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() && self.printed.starts_with('*') => {
                (Ipv4Addr::LOCALHOST, v6.port()).into()
            }
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
            address => address,
        })
    }

    /// The path of a Unix socket's file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
