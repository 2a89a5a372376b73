//! Sockets that send to one place, and the addresses of an endpoint that are tried for it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use socket2::{Domain, SockAddr, Socket, Type};

use super::super::options::{self, Phase, Target};
use super::super::printed;
use super::super::resolve::{Lookup, NoAddress};
use super::super::unix_path::{self, SocketFile};
use super::{interface, look_up, scoped, set_options, sorted, widen};
use crate::error::{Error, Op, sentence};
use crate::outcome::ExitStatus;
use crate::plan::address::{Address, Kind, Options, UnixSocket};
use crate::sys;

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
    /// The most bytes of one datagram, and what over.
    pub most: (usize, &'static str),
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
                places(in_order(found), &to.options).map_err(refused)?
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

    /// True if there is an address that was not tried yet.
    pub fn has_more(&self) -> bool {
        !self.left.is_empty()
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

/// A socket towards one of the addresses of `to`, whose name somebody else looks up; that of a Unix socket needs none.
/// Its source, if it has one, must be no name: nothing is waited for.
///
/// # Errors
/// The outer one is the user's: an option or a source address that does not work. The inner one is the address's.
pub fn point_at(to: &Address, address: Option<SocketAddr>) -> Result<io::Result<Pointed>, Error> {
    let refused = |why: NoAddress| why.into_error(Op::Connect, printed::object(to, "localhost"));
    let place = match (address, &to.kind) {
        (Some(address), _) => places(vec![address], &to.options).map_err(refused)?.pop_front(),
        (None, Kind::Unix(name, UnixSocket::Datagram)) => {
            Some(Place { address: unix_path::address(name).map_err(refused)?, source: None })
        }
        (None, _) => None,
    };
    match place {
        Some(place) => point(&place, &to.options),
        None => Ok(Err(io::ErrorKind::AddrNotAvailable.into())),
    }
}

/// The addresses of an endpoint that need no looking up, in the order in which they are tried.
///
/// # Errors
/// None of the family that was asked for.
pub fn known_addresses(to: &Address) -> Result<Vec<SocketAddr>, Error> {
    let Kind::Udp(at) = &to.kind else { return Ok(Vec::new()) };
    let found = Lookup::new(at, &to.options).and_then(Lookup::wait);
    found.map(in_order).map_err(|why| why.into_error(Op::Connect, printed::object(to, "localhost")))
}

/// This machine by both families: what knows only one of them knows IPv4.
pub fn in_order(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let here = found.iter().all(|address| address.ip().is_loopback());
    if here { sorted(found) } else { found }
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
        // a port that nobody asked for is nothing to tell
        let shown = source.as_socket().filter(|source| source.port() == 0).map(|source| printed::host(&source));
        let object = || format!("source address {}", shown.unwrap_or_else(|| printed::name(source)));
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
        most,
    }))
}

/// What one datagram holds: 65535 bytes less the headers; over IPv6 its own header does not count.
pub(super) const MOST_OVER_V4: usize = 65_507;
pub(super) const MOST_OVER_V6: usize = 65_527;

/// net.core.wmem_default of a kernel that nobody has tuned, and what unix(7) leaves free of it.
const DEFAULT_SNDBUF: usize = 212_992;
const UNIX_OVERHEAD: usize = 32;

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
    // unix(7) takes what fits into the send buffer beside its own account of it
    let most = socket.send_buffer_size().unwrap_or(DEFAULT_SNDBUF).saturating_sub(UNIX_OVERHEAD);
    let most = (most, "a Unix socket with this send buffer");
    Ok(Ok(Pointed { file, fd: socket.into(), protocol: "unix-dgram", to: None, peer, local, most }))
}

/// A name of our own in the directory for temporary files.
fn bind_aside(socket: &Socket) -> io::Result<SocketFile> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("haul-{}-{}.sock", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let path = std::env::temp_dir().join(name);
    SocketFile::bind(socket, &path, Some(0o600)).map_err(|error| io::Error::other(error.line()))
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
