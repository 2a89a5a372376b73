//! Datagrams, as far as every Unix agrees: addresses of either family, and what goes into and comes out of one call.

use std::fmt;
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::escape::Escaped;

/// Bytes that the name of a Unix socket may have here.
const NAME: usize = size_of::<libc::sockaddr_un>() - NAME_AT;
const NAME_AT: usize = offset_of!(libc::sockaddr_un, sun_path);

/// Who a datagram is from or for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A Unix socket without a name: nobody can answer it.
    #[default]
    Unnamed,
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A path, or on Linux an abstract name.
    Unix(UnixName),
}

/// The name of a Unix socket: the bytes of a path without a NUL, or a NUL and the bytes of an abstract name.
#[derive(Clone, Copy, Debug)]
pub struct UnixName {
    bytes: [u8; NAME],
    length: u8,
}

impl UnixName {
    /// A name of these bytes.
    ///
    /// # Errors
    /// `InvalidInput` if they are none, too many for the system, or a path with a NUL inside.
    pub fn new(name: &[u8]) -> io::Result<Self> {
        let is_path = name.first().is_some_and(|first| *first != 0);
        // a path needs room for a NUL behind it
        let fits = !name.is_empty() && name.len() + usize::from(is_path) <= NAME;
        if !fits || (is_path && name.contains(&0)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = [0; NAME];
        bytes[..name.len()].copy_from_slice(name);
        Ok(UnixName { bytes, length: name.len() as u8 })
    }

    /// Its bytes; an abstract name begins with a NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl PartialEq for UnixName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for UnixName {}

impl std::hash::Hash for UnixName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Peer::Ip(address)
    }
}

impl fmt::Display for Peer {
    /// As in an endpoint of the command line; an abstract name begins with `@`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Unnamed => f.write_str("(unnamed)"),
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix(name) => match name.as_bytes() {
                [0, rest @ ..] => write!(f, "@{}", Escaped(rest)),
                path => Escaped(path).fmt(f),
            },
        }
    }
}

impl Peer {
    /// The IP address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Peer::Ip(address) => Some(*address),
            _ => None,
        }
    }

    /// Writes the address as the system wants it; its length. An unnamed peer has none.
    pub(super) fn encode(&self, raw: &mut libc::sockaddr_storage) -> libc::socklen_t {
        // SAFETY (all three writes): sockaddr_storage is as large and as aligned as any address of the system, and all
        // of these structs are plain numbers, for which zero is a value.
        match self {
            Peer::Unnamed => 0,
            Peer::Ip(SocketAddr::V4(address)) => {
                let mut v4: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                v4.sin_family = libc::AF_INET as libc::sa_family_t;
                v4.sin_port = address.port().to_be();
                v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                unsafe { (&raw mut *raw).cast::<libc::sockaddr_in>().write(v4) };
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            Peer::Ip(SocketAddr::V6(address)) => {
                let mut v6: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                v6.sin6_port = address.port().to_be();
                v6.sin6_addr.s6_addr = address.ip().octets();
                v6.sin6_flowinfo = address.flowinfo();
                v6.sin6_scope_id = address.scope_id();
                unsafe { (&raw mut *raw).cast::<libc::sockaddr_in6>().write(v6) };
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
            Peer::Unix(name) => {
                let mut unix: libc::sockaddr_un = unsafe { std::mem::zeroed() };
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                for (to, from) in unix.sun_path.iter_mut().zip(name.as_bytes()) {
                    *to = *from as libc::c_char;
                }
                unsafe { (&raw mut *raw).cast::<libc::sockaddr_un>().write(unix) };
                let is_path = name.bytes[0] != 0;
                (NAME_AT + usize::from(name.length) + usize::from(is_path)) as libc::socklen_t
            }
        }
    }

    /// Reads what the system wrote: `length` bytes of `raw`.
    pub(super) fn decode(raw: &libc::sockaddr_storage, length: libc::socklen_t) -> Self {
        let length = length as usize;
        // SAFETY (all three reads): the storage is as large and as aligned as any address, every byte of it is
        // initialised, and all of these structs are plain numbers.
        match i32::from(raw.ss_family) {
            libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
                let v4 = unsafe { (&raw const *raw).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Peer::Ip(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
                let v6 = unsafe { (&raw const *raw).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Peer::Ip(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            libc::AF_UNIX if length > NAME_AT => {
                let unix = unsafe { (&raw const *raw).cast::<libc::sockaddr_un>().read() };
                let mut name = [0; NAME];
                for (to, from) in name.iter_mut().zip(unix.sun_path) {
                    *to = from as u8;
                }
                let mut name = &name[..(length - NAME_AT).min(NAME)];
                if name[0] != 0 {
                    // the length of a path may or may not include its NUL
                    name = name.split(|byte| *byte == 0).next().unwrap_or(name);
                }
                UnixName::new(name).map_or(Peer::Unnamed, Peer::Unix)
            }
            _ => Peer::Unnamed,
        }
    }
}

/// An address of this host: the one that a datagram came to, or the one that it is to leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalIp {
    /// It, in its own family: never an IPv4 address in the clothes of IPv6.
    pub ip: IpAddr,
    /// The index of the interface of a link-local address, which means nothing without it; else 0.
    pub scope: u32,
}

impl LocalIp {
    /// It as the address of a socket.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }
}

/// What one receive gave: a datagram or, by offload, several of one sender, of one length but the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// Who sent it.
    pub from: Peer,
    /// Bytes in the buffer.
    pub length: usize,
    /// Bytes of each datagram but the last, which may be shorter; 0 only if there is nothing but one empty datagram.
    pub segment: usize,
    /// The datagram was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// What the socket has dropped in all before this one for want of room, where the kernel tells and this is not 0.
    pub drops: u32,
    /// The address of this host that it was sent to, where the kernel [tells](super::tell_destinations); `None` for a
    /// multicast group or a broadcast address, from which nothing can be answered.
    pub to: Option<LocalIp>,
}

/// How datagrams are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The kernel may join datagrams and tell of drops, if those options are on; on Unix sockets it must be off, or a peer
    /// could send us descriptors.
    pub control: bool,
    /// An arrival's length is that of the datagram, also where there is no room for it; only where [`super::TELLS_LENGTHS`].
    pub whole_length: bool,
}

/// What the kernel was told of a datagram that did not arrive.
#[derive(Debug)]
pub struct Refusal {
    /// Where it was sent.
    pub to: Peer,
    /// Why.
    pub error: io::Error,
}

/// What one send takes: a datagram or, by offload, several to one receiver, of one length but the last.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// The payload, or all of them one behind the other.
    pub bytes: &'a [u8],
    /// Bytes of each datagram but the last; 0 if this is one datagram.
    pub segment: u16,
    /// Where to; `None` on a connected socket.
    pub to: Option<&'a Peer>,
    /// The address of this host that it leaves from; `None` is the socket's own, or the system's choice.
    pub from: Option<LocalIp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(peer: Peer) -> Peer {
        // SAFETY: plain numbers.
        let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let length = peer.encode(&mut raw);
        Peer::decode(&raw, length)
    }

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        let longest = vec![b'p'; NAME - 1];
        let full = [&[0][..], &[b'a'; NAME - 1]].concat();
        for peer in [
            Peer::Unnamed,
            Peer::Ip("192.0.2.7:65535".parse().unwrap()),
            Peer::Ip(SocketAddrV6::new("ff02::1".parse().unwrap(), 53, 0, 7).into()),
            Peer::Unix(UnixName::new(b"/run/app.sock").unwrap()),
            Peer::Unix(UnixName::new(&longest).unwrap()),
            Peer::Unix(UnixName::new(b"\0abstract\0with a NUL").unwrap()),
            Peer::Unix(UnixName::new(&full).unwrap()),
        ] {
            assert_eq!(there_and_back(peer), peer);
        }
    }

    #[test]
    fn names_that_no_socket_can_have_are_refused() {
        for name in [&b""[..], b"a\0b", &[b'p'; NAME], &[0; NAME + 1]] {
            assert!(UnixName::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn peers_are_shown_as_they_are_typed() {
        let shown = |peer: Peer| peer.to_string();
        assert_eq!(shown(Peer::Ip("[::1]:9".parse().unwrap())), "[::1]:9");
        assert_eq!(shown(Peer::Unix(UnixName::new(b"\0name").unwrap())), "@name");
        assert!(!shown(Peer::Unix(UnixName::new(b"/p\x1b[2J").unwrap())).contains('\x1b'));
    }
}
