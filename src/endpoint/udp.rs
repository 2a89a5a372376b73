//! Datagram sockets, opened by plan: bound to listen, groups joined, or pointed at a peer. Moving datagrams is the
//! business of others; what is given out is a descriptor, non-blocking, and what there is to know about it.
//!
//! Names are looked up here, before there is a loop.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::options::{self, Phase, Target, told};
use super::printed;
use super::resolve::{Lookup, NoAddress};
use super::unix_path::{self, SocketFile};
use crate::error::{Error, Op, sentence};
use crate::outcome::ExitStatus;
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

/// A socket that sends to one place. Dropping it closes it and removes the file of a name that it was given.
#[derive(Debug)]
pub struct Pointed {
    /// Where there is no autobind: the name by which a Unix peer answers. Removed before the socket is closed.
    pub file: Option<SocketFile>,
    /// It: non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// `udp`, `unix-dgram`.
    pub protocol: &'static str,
    /// Where each datagram goes, if the socket is not connected: what is sent to a group or a broadcast address is
    /// answered from other addresses, which a connected socket would not hear. A connected one is told refusals.
    pub to: Option<SocketAddr>,
    /// The peer as printed.
    pub peer: String,
    /// Our side as printed; a wildcard until something is sent, where it is not connected.
    pub local: String,
    /// The most bytes of one datagram, and what over; a Unix socket's are limited by its send buffer.
    pub most: Option<(usize, &'static str)>,
}

/// The addresses of an endpoint, one after the other: whoever is refused by one before anything came back goes on to the
/// next.
#[derive(Debug)]
pub struct Course {
    object: Vec<u8>,
    options: Options,
    left: VecDeque<Place>,
    failed: Vec<(String, io::Error)>,
}

#[derive(Debug)]
struct Place {
    address: SockAddr,
    source: Option<SockAddr>,
}

impl Course {
    /// Looks the endpoint up, and the source address if there is one.
    ///
    /// # Errors
    /// No such name, no address of the family that is asked for, or none of the family of the source.
    pub fn new(to: &Address) -> Result<Self, Error> {
        let object = printed::object(to, "localhost");
        let refused = |why: NoAddress| why.into_error(Op::Connect, &object);
        let left = match &to.kind {
            Kind::Udp(at) => {
                let found = Lookup::new(at, &to.options).and_then(Lookup::wait).map_err(refused)?;
                // this machine by both families: what knows only one of them knows IPv4
                let here = found.iter().all(|address| address.ip().is_loopback());
                let found = if here { sorted(found) } else { found };
                places(found, &to.options).map_err(refused)?
            }
            Kind::Unix(name, UnixSocket::Datagram) => {
                let address = unix_path::address(name).map_err(refused)?;
                VecDeque::from([Place { address, source: None }])
            }
            _ => return Err(Error::said(Op::Connect, object, "no datagrams go there")),
        };
        Ok(Course { object, options: to.options.clone(), left, failed: Vec::new() })
    }

    /// Opens a socket towards the next address that works.
    ///
    /// # Errors
    /// An option or a source address that does not work, at once; that no address is left, with what each said.
    pub fn open_next(&mut self) -> Result<Pointed, Error> {
        while let Some(place) = self.left.pop_front() {
            match point(&place, &self.options)? {
                Ok(pointed) => return Ok(pointed),
                Err(error) => self.failed.push((printed::name(&place.address), error)),
            }
        }
        Err(self.over())
    }

    /// Notes what came back from a place that [`Course::open_next`] gave: a refusal.
    pub fn refused(&mut self, pointed: &Pointed, error: io::Error) {
        self.failed.push((pointed.peer.clone(), error));
    }

    /// One line where all causes are the same, else a line each.
    fn over(&self) -> Error {
        let told: Vec<_> = self.failed.iter().map(|(peer, error)| (peer.as_str(), sentence(error))).collect();
        let denied = self.failed.iter().any(|(_, error)| error.kind() == io::ErrorKind::PermissionDenied);
        let error = match told.as_slice() {
            [] => Error::said(Op::Connect, &self.object, "it has no address"),
            [(peer, cause)] if peer.as_bytes() == self.object => Error::said(Op::Connect, &self.object, cause.as_str()),
            [(_, first), rest @ ..] if rest.iter().all(|(_, cause)| cause == first) => {
                let tried: Vec<_> = told.iter().map(|(peer, _)| *peer).collect();
                Error::said(Op::Connect, &self.object, format!("{first} (tried {})", tried.join(", ")))
            }
            all => {
                let facts = all.iter().map(|(peer, cause)| format!("{peer}  {cause}")).collect();
                Error::said(Op::Connect, &self.object, "no address works").with_facts(facts)
            }
        };
        // connect(2) says so of a broadcast address without SO_BROADCAST
        if denied && !self.options.broadcast && self.failed.iter().all(|(peer, _)| !peer.starts_with(['/', '@', '.'])) {
            return error.with_advice("-b, if that is a broadcast address").with_status(ExitStatus::Usage);
        }
        error
    }
}

/// A socket for one address. The outer error is the user's, the inner one the address's.
fn point(place: &Place, options: &Options) -> Result<io::Result<Pointed>, Error> {
    match place.address.as_socket() {
        Some(address) => point_ip(address, place.source.as_ref(), options),
        None => point_unix(&place.address, options),
    }
}

fn point_ip(address: SocketAddr, source: Option<&SockAddr>, options: &Options) -> Result<io::Result<Pointed>, Error> {
    let group = address.ip().is_multicast();
    let index = if group { interface(options, &address)? } else { 0 };
    let address = scoped(address, index);
    let socket = match sys::socket(Domain::for_address(address), Type::DGRAM, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error)),
    };
    set_options(&socket, options, group, index, address.is_ipv6())?;
    if let Some(source) = source {
        let object = || format!("source address {}", printed::name(source));
        socket.bind(source).map_err(|error| Error::new(Op::Use, object(), error))?;
    }
    widen(&socket, options);
    let apart = group || options.broadcast || address.ip() == IpAddr::V4(Ipv4Addr::BROADCAST);
    if !apart && let Err(error) = socket.connect(&SockAddr::from(address)) {
        return Ok(Err(error));
    }
    let local = socket.local_addr().map_or_else(|_| printed::UNNAMED.into(), |local| printed::name(&local));
    let most = if address.is_ipv4() { (MOST_OVER_V4, "IPv4") } else { (MOST_OVER_V6, "IPv6") };
    Ok(Ok(Pointed {
        file: None,
        fd: socket.into(),
        protocol: "udp",
        to: apart.then_some(address),
        peer: printed::inet(&address),
        local,
        most: Some(most),
    }))
}

/// What one datagram holds: 65535 bytes less the headers; over IPv6 its own header does not count.
const MOST_OVER_V4: usize = 65_507;
const MOST_OVER_V6: usize = 65_527;

fn point_unix(address: &SockAddr, options: &Options) -> Result<io::Result<Pointed>, Error> {
    let socket = match sys::socket(Domain::UNIX, Type::DGRAM, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error)),
    };
    options::apply(options, &socket, Target::Unix, Phase::BeforeConnect)?;
    if let Err(error) = socket.connect(address) {
        return Ok(Err(error));
    }
    // whoever has no name gets no answer
    let file = match sys::AUTOBIND {
        true => SockAddr::unix("").and_then(|none| socket.bind(&none)).map(|()| None),
        false => bind_aside(&socket).map(Some),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    widen(&socket, options);
    let local = socket.local_addr().map_or_else(|_| printed::UNNAMED.into(), |local| printed::name(&local));
    let peer = printed::name(address);
    Ok(Ok(Pointed { file, fd: socket.into(), protocol: "unix-dgram", to: None, peer, local, most: None }))
}

/// A name of our own in the directory for temporary files.
fn bind_aside(socket: &Socket) -> io::Result<SocketFile> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("haul-{}-{}.sock", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let path = std::env::temp_dir().join(name);
    SocketFile::bind(socket, &path, Some(0o600)).map_err(|error| io::Error::other(error.line()))
}

/// IPv4 first.
fn sorted(mut list: Vec<SocketAddr>) -> Vec<SocketAddr> {
    list.sort_by_key(SocketAddr::is_ipv6);
    list
}

fn look_up(host: &Host, port: u16, options: &Options) -> Result<Vec<SocketAddr>, NoAddress> {
    Lookup::new(&HostPort { host: host.clone(), port }, options).and_then(Lookup::wait)
}

/// Each address with a source of its family; those that have none are left out.
fn places(found: Vec<SocketAddr>, options: &Options) -> Result<VecDeque<Place>, NoAddress> {
    let port = options.source_port.unwrap_or(0);
    let sources = match (&options.source, options.source_port) {
        (Some(host), _) => look_up(host, port, options)?,
        (None, Some(_)) => vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()],
        (None, None) => {
            let place = |address| Place { address: SockAddr::from(address), source: None };
            return Ok(found.into_iter().map(place).collect());
        }
    };
    let place = |address: SocketAddr| {
        let source = sources.iter().find(|source| source.is_ipv4() == address.is_ipv4())?;
        Some(Place { address: SockAddr::from(address), source: Some(SockAddr::from(*source)) })
    };
    let places: VecDeque<Place> = found.into_iter().filter_map(place).collect();
    if places.is_empty() {
        return Err(NoAddress::said("it has no address of the same family as the source address"));
    }
    Ok(places)
}

/// The index of the interface for a group: the option's, or the scope of its address; 0 is the system's choice.
fn interface(options: &Options, group: &SocketAddr) -> Result<u32, Error> {
    match (&options.iface, group) {
        (Some(name), _) => told("iface", name, sys::interface_index(name)),
        (None, SocketAddr::V6(v6)) => Ok(v6.scope_id()),
        (None, SocketAddr::V4(_)) => Ok(0),
    }
}

/// The same address, with the scope that it lacks.
fn scoped(address: SocketAddr, index: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() == 0 && index != 0 => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), index).into()
        }
        SocketAddr::V4(v4) => SocketAddrV4::new(*v4.ip(), v4.port()).into(),
        address => address,
    }
}

/// Everything that is set before the socket has a name.
fn set_options(socket: &Socket, options: &Options, group: bool, index: u32, ipv6: bool) -> Result<(), Error> {
    let target = if ipv6 { Target::V6 } else { Target::V4 };
    if options.df {
        told("df", "on", sys::never_fragment(socket.as_fd(), ipv6))?;
    }
    if options.broadcast && !ipv6 {
        told("broadcast", "on", socket.set_broadcast(true))?;
    }
    if !group {
        if options.loopback.is_some() {
            return Err(Error::said(Op::Use, "--loop", "it is about a multicast group, and that is none"));
        }
        if options.ttl == Some(0) {
            return Err(Error::said(Op::Use, "--ttl 0", "only to a multicast group a packet may have no hop"));
        }
        options::apply(options, socket, target, Phase::BeforeBind)?;
        return options::apply(options, socket, target, Phase::BeforeConnect);
    }
    // a group goes by an interface of its own, and has a hop limit of its own
    let rest = Options { ttl: None, ..options.clone() };
    options::apply(&rest, socket, target, Phase::BeforeConnect)?;
    if index != 0 {
        let shown = options.iface.clone().unwrap_or_else(|| index.to_string());
        told("iface", shown, sys::send_groups_by(socket.as_fd(), ipv6, index))?;
    }
    if let Some(hops) = options.ttl {
        let hops = u32::from(hops);
        let set = if ipv6 { socket.set_multicast_hops_v6(hops) } else { socket.set_multicast_ttl_v4(hops) };
        told("ttl", hops, set)?;
    }
    if let Some(on) = options.loopback {
        let set = if ipv6 { socket.set_multicast_loop_v6(on) } else { socket.set_multicast_loop_v4(on) };
        told("loop", if on { "on" } else { "off" }, set)?;
    }
    Ok(())
}

/// Room for a burst while haul is not looking, unless somebody has said how much; the kernel clamps it to
/// net.core.rmem_max, and a refusal costs datagrams under load and nothing else.
fn widen(socket: &Socket, options: &Options) {
    if options.rcvbuf.is_none() {
        let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER);
    }
}

const RECEIVE_BUFFER: usize = 8 << 20;

#[cfg(test)]
mod tests;
