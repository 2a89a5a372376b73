//! Linux: the address of this host that a datagram came to, and the one that an answer leaves from (ip(7), IP_PKTINFO;
//! ipv6(7), IPV6_PKTINFO).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use super::datagram::LocalIp;

/// Has each receive tell which address of this host the datagram came to: for sockets that are bound to all of them.
///
/// # Errors
/// What setsockopt(2) says.
pub fn tell_destinations(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    // a socket of both families tells of IPv4 in both ways, but only in this one whether it was a broadcast
    let v4 = super::set_int(socket, libc::SOL_IP, libc::IP_PKTINFO, 1);
    if ipv6 { super::set_int(socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1) } else { v4 }
}

/// Where a datagram over IPv4 came to: the address of its header, if it is the one that the kernel would answer from. It
/// is another one for groups and broadcasts.
pub(super) fn of_v4(told: &libc::in_pktinfo) -> Option<LocalIp> {
    let ip = Ipv4Addr::from(told.ipi_addr.s_addr.to_ne_bytes());
    let own = told.ipi_addr.s_addr == told.ipi_spec_dst.s_addr && !ip.is_unspecified();
    own.then_some(LocalIp { ip: IpAddr::V4(ip), scope: 0 })
}

/// The same over IPv6, or over IPv4 through a socket of both families.
pub(super) fn of_v6(told: &libc::in6_pktinfo) -> Option<LocalIp> {
    let ip = Ipv6Addr::from(told.ipi6_addr.s6_addr);
    match ip.to_ipv4_mapped() {
        Some(ip) if ip.is_multicast() || ip.is_broadcast() => None,
        Some(ip) => Some(LocalIp { ip: IpAddr::V4(ip), scope: 0 }),
        None if ip.is_multicast() => None,
        None => {
            let scope = if ip.is_unicast_link_local() { told.ipi6_ifindex } else { 0 };
            Some(LocalIp { ip: IpAddr::V6(ip), scope })
        }
    }
}

/// What a send takes to leave from an IPv4 address, also through a socket of both families. The interface is the
/// system's choice.
pub(super) fn from_v4(ip: Ipv4Addr) -> libc::in_pktinfo {
    let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: libc::in_addr { s_addr: 0 } }
}

/// The same for an IPv6 address.
pub(super) fn from_v6(ip: Ipv6Addr, scope: u32) -> libc::in6_pktinfo {
    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: scope }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(ip: &str, index: u32) -> Option<LocalIp> {
        of_v6(&from_v6(ip.parse().unwrap(), index))
    }

    #[test]
    fn groups_and_broadcasts_are_no_addresses_to_answer_from() {
        let local = |ip: &str, scope| Some(LocalIp { ip: ip.parse().unwrap(), scope });
        assert_eq!(v6("::1", 1), local("::1", 0));
        assert_eq!(v6("fe80::1", 7), local("fe80::1", 7));
        assert_eq!(v6("::ffff:127.0.0.5", 1), local("127.0.0.5", 0));
        for none in ["ff02::1", "::ffff:224.0.0.1", "::ffff:255.255.255.255"] {
            assert_eq!(v6(none, 1), None, "{none}");
        }
        let mut told = from_v4(Ipv4Addr::new(192, 0, 2, 7));
        told.ipi_addr = told.ipi_spec_dst;
        assert_eq!(of_v4(&told), local("192.0.2.7", 0));
        told.ipi_addr.s_addr = u32::from_ne_bytes([192, 0, 2, 255]);
        assert_eq!(of_v4(&told), None);
    }
}
