//! Addresses as people read them: in messages, events and the names that are handed to scripts.
//!
//! `127.0.0.1:80`, `[fe80::1%eth0]:80`, a path, `@name`. A peer that came in over IPv4 through a dual-stack listener is
//! an IPv4 address. Everything here is escaped: a socket's name may hold any byte.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use socket2::SockAddr;

use crate::escape::Escaped;
use crate::plan::address::{Address, Host, HostPort, Kind, UnixName};
use crate::sys::{self, Peer};

/// Any socket's address. What has no name (the usual client of a Unix socket) is `unnamed`.
pub fn name(address: &SockAddr) -> String {
    if let Some(address) = address.as_socket() {
        return inet(&address);
    }
    if let Some(path) = address.as_pathname() {
        return Escaped(path.as_os_str().as_bytes()).to_string();
    }
    match address.as_abstract_namespace() {
        Some(name) => format!("@{}", Escaped(name)),
        None => UNNAMED.to_string(),
    }
}

/// A socket without a name.
pub const UNNAMED: &str = "unnamed";

/// A Unix socket's name as raw bytes: a path, a 0 and an abstract name, or nothing.
pub fn unix(name: &[u8]) -> String {
    match name {
        [] => UNNAMED.to_string(),
        name => {
            SockAddr::unix(std::ffi::OsStr::from_bytes(name)).map_or_else(|_| UNNAMED.to_string(), |at| self::name(&at))
        }
    }
}

/// An internet address, with the interface's name as its scope.
pub fn inet(address: &SocketAddr) -> String {
    match unmapped(*address) {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            let scope = sys::interface_name(v6.scope_id()).unwrap_or_else(|| v6.scope_id().to_string());
            format!("[{}%{}]:{}", v6.ip(), Escaped(scope.as_bytes()), v6.port())
        }
        SocketAddr::V4(v4) => inet_v4(v4),
        address => address.to_string(),
    }
}

/// `127.0.0.1:80`. A server makes two of them for each connection, and what the standard library does for one is a
/// twentieth of all that a short session of a relay takes in user space.
fn inet_v4(address: SocketAddrV4) -> String {
    let mut printed = String::with_capacity("255.255.255.255:65535".len());
    for (index, number) in address.ip().octets().map(u16::from).into_iter().chain([address.port()]).enumerate() {
        match index {
            0 => {}
            4 => printed.push(':'),
            _ => printed.push('.'),
        }
        let mut unit = 10_000;
        while unit > 1 && number < unit {
            unit /= 10;
        }
        while unit > 0 {
            printed.push(char::from(b'0' + (number / unit % 10) as u8));
            unit /= 10;
        }
    }
    printed
}

/// A peer of datagrams.
pub fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Ip(address) => inet(address),
        Peer::Unnamed => UNNAMED.into(),
        name @ Peer::Unix(_) => name.to_string(),
    }
}

/// An address as connections over a dual-stack socket show it, back in its own family (RFC 4291, 2.5.5.2).
pub fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, v6.port()).into(),
            None => v6.into(),
        },
        v4 => v4,
    }
}

/// An internet address without its port: `::1`, `10.0.0.7`.
pub fn host(address: &SocketAddr) -> String {
    match unmapped(*address) {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            let whole = inet(&SocketAddrV6::new(*v6.ip(), 0, 0, v6.scope_id()).into());
            whole.trim_start_matches('[').trim_end_matches("]:0").to_string()
        }
        address => address.ip().to_string(),
    }
}

/// The object of an error message: what the user typed, without options, and without its scheme unless there are layers.
/// Not escaped yet, since [`crate::error::Error::new`] does that.
pub fn object(address: &Address, unspecified: &str) -> Vec<u8> {
    match address.layers.is_empty() {
        true => bare(address, unspecified),
        false => [address.protocol().as_bytes(), b":", &bare(address, unspecified)].concat(),
    }
}

fn bare(address: &Address, unspecified: &str) -> Vec<u8> {
    match &address.kind {
        Kind::Stdio => b"standard input and output".to_vec(),
        Kind::Tcp(at) | Kind::Udp(at) => host_port(at, unspecified).into_bytes(),
        Kind::Unix(UnixName::Path(path), _) | Kind::Path(path) | Kind::File(path) | Kind::Fifo(path) => {
            path.as_os_str().as_bytes().to_vec()
        }
        Kind::Unix(UnixName::Abstract(name), _) => [b"@", name.as_slice()].concat(),
        Kind::Exec(command) | Kind::Shell(command) => command.as_bytes().to_vec(),
        Kind::Fd { read, write } if read == write => format!("fd:{read}").into_bytes(),
        Kind::Fd { read, write } => format!("fd:{read}/{write}").into_bytes(),
        Kind::Null => b"null:".to_vec(),
        Kind::Echo => b"echo:".to_vec(),
        Kind::Discard => b"discard:".to_vec(),
        Kind::Zero => b"zero:".to_vec(),
        Kind::Random => b"random:".to_vec(),
        Kind::Text(_) => b"text:".to_vec(),
        Kind::Proxy(url) => url.clone().into_bytes(),
    }
}

/// The same for something that is connected to: `db:5432 through socks5://proxy:1080`.
pub fn goal(address: &Address, unspecified: &str) -> Vec<u8> {
    address.with_way(&object(address, unspecified))
}

/// Who is at the other end of a connection through proxies: the target as typed, since its address is known to none but
/// them. `None` for a connection that goes straight there.
pub fn beyond(address: &Address) -> Option<String> {
    match (&address.options.way, &address.kind) {
        (Some(_), Kind::Tcp(at)) => Some(host_port(at, "localhost")),
        _ => None,
    }
}

fn host_port(at: &HostPort, unspecified: &str) -> String {
    let port = at.port;
    match &at.host {
        Host::Unspecified => format!("{unspecified}:{port}"),
        Host::Name(name) => format!("{name}:{port}"),
        Host::V4(ip) => format!("{ip}:{port}"),
        Host::V6(ip, None) => format!("[{ip}]:{port}"),
        Host::V6(ip, Some(scope)) => format!("[{ip}%{scope}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_shown_as_ipv4_and_scopes_by_name() {
        assert_eq!(inet(&"[::ffff:10.0.0.1]:80".parse().unwrap()), "10.0.0.1:80");
        assert_eq!(inet(&"[::1]:80".parse().unwrap()), "[::1]:80");
        let lo = sys::interface_index("lo").unwrap();
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, lo));
        assert_eq!(inet(&scoped), "[fe80::1%lo]:80");
        assert_eq!(host(&scoped), "fe80::1%lo");
        assert_eq!(host(&"[::ffff:10.0.0.1]:80".parse().unwrap()), "10.0.0.1");
    }

    #[test]
    fn every_ipv4_address_is_printed_as_the_standard_library_does() {
        for number in (0..=u16::MAX).step_by(7).chain([1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, u16::MAX]) {
            let [high, low] = number.to_be_bytes();
            let address = SocketAddrV4::new([high, low, 0, low / 10].into(), number);
            assert_eq!(inet(&address.into()), address.to_string());
        }
    }

    #[test]
    fn socket_names_are_escaped() {
        assert_eq!(name(&SockAddr::unix("/tmp/a\x1bb").unwrap()), "/tmp/a\\x1bb");
        assert_eq!(name(&SockAddr::unix("\0n").unwrap()), "@n");
        assert_eq!(name(&SockAddr::unix("").unwrap()), "unnamed");
    }
}
