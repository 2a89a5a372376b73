//! Linux: multicast groups by the index of the interface (ip(7), ipv6(7), RFC 3678), and datagrams in one piece.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockAddr, SockRef};

/// Joins a group on an interface, 0 being the system's choice; with a source, only for what that host sends to it (RFC
/// 4607). The ports of the addresses count for nothing.
///
/// # Errors
/// ENODEV for an interface without multicast, EADDRINUSE for a group joined twice, what else setsockopt(2) says.
pub fn join_group(socket: BorrowedFd<'_>, group: &SockAddr, source: Option<&SockAddr>, index: u32) -> io::Result<()> {
    let level = if group.is_ipv6() { libc::IPPROTO_IPV6 } else { libc::IPPROTO_IP };
    match source {
        None => {
            let request = libc::group_req { gr_interface: index, gr_group: storage(group) };
            set(socket, level, libc::MCAST_JOIN_GROUP, &request)
        }
        Some(source) => {
            let request =
                libc::group_source_req { gsr_interface: index, gsr_group: storage(group), gsr_source: storage(source) };
            set(socket, level, libc::MCAST_JOIN_SOURCE_GROUP, &request)
        }
    }
}

/// Keeps what others on this machine have joined away from a socket. Old kernels lack the option for IPv6; there the
/// address that the socket is bound to is the filter.
pub fn hear_own_groups_only(socket: BorrowedFd<'_>, ipv6: bool) {
    let no: libc::c_int = 0;
    let (level, option) = match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL),
        true => (libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL),
    };
    let _ = set(socket, level, option, &no);
}

/// Not in the libc crate for every libc; linux/in6.h.
const IPV6_MULTICAST_ALL: libc::c_int = 29;

/// Sends what goes to groups out by the interface of this index.
///
/// # Errors
/// ENODEV and EADDRNOTAVAIL for what is no interface, what else setsockopt(2) says.
pub fn send_groups_by(socket: BorrowedFd<'_>, ipv6: bool, index: u32) -> io::Result<()> {
    if ipv6 {
        return SockRef::from(&socket).set_multicast_if_v6(index);
    }
    let any = libc::in_addr { s_addr: 0 };
    let request = libc::ip_mreqn { imr_multiaddr: any, imr_address: any, imr_ifindex: index as libc::c_int };
    set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
}

/// Sends every datagram in one piece, and says EMSGSIZE to what is too long for the path (IP_MTU_DISCOVER).
///
/// # Errors
/// What setsockopt(2) says.
pub fn never_fragment(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    // an IPv6 socket for both families has both fields, and one for IPv6 alone may refuse this one
    let v4 = set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO);
    if !ipv6 {
        return v4;
    }
    let yes: libc::c_int = 1;
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IPV6_PMTUDISC_DO)?;
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, &yes)
}

/// True if binding a Unix socket to no name gives it a free one in the abstract space (unix(7), autobind).
pub const AUTOBIND: bool = true;

fn storage(address: &SockAddr) -> libc::sockaddr_storage {
    // SAFETY: a socket address is plain numbers, for which zero is a value.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    // SAFETY: `address` holds len() initialised bytes behind its pointer, and no address is longer than the storage.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            (address.len() as usize).min(size_of::<libc::sockaddr_storage>()),
        );
    }
    storage
}

fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes, which is what the value has, and keeps no pointer to them.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
