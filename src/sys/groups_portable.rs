//! The plain ways: IPv6 groups go by an interface, IPv4 ones only by the system's choice.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use socket2::{SockAddr, SockRef};

/// Joins a group on an interface, 0 being the system's choice.
///
/// # Errors
/// `Unsupported` with a source, and for an IPv4 group on an interface of the caller's; what setsockopt(2) says.
pub fn join_group(socket: BorrowedFd<'_>, group: &SockAddr, source: Option<&SockAddr>, index: u32) -> io::Result<()> {
    match (group.as_socket_ipv4(), group.as_socket_ipv6(), source) {
        (Some(group), _, None) if index == 0 => {
            SockRef::from(&socket).join_multicast_v4(group.ip(), &Ipv4Addr::UNSPECIFIED)
        }
        (_, Some(group), None) => SockRef::from(&socket).join_multicast_v6(group.ip(), index),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Not here: the address that the socket is bound to is the filter.
pub fn hear_own_groups_only(_socket: BorrowedFd<'_>, _ipv6: bool) {}

/// Sends what goes to groups out by the interface of this index.
///
/// # Errors
/// `Unsupported` for IPv4; what setsockopt(2) says.
pub fn send_groups_by(socket: BorrowedFd<'_>, ipv6: bool, index: u32) -> io::Result<()> {
    if ipv6 { SockRef::from(&socket).set_multicast_if_v6(index) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn never_fragment(_socket: BorrowedFd<'_>, _ipv6: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// True if binding a Unix socket to no name gives it a free one.
pub const AUTOBIND: bool = false;
