//! Linux: what ICMP messages say of datagrams that an unconnected socket has sent (ip(7), IP_RECVERR).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::datagram::{Peer, Refusal};

/// Has the kernel keep what it is told of datagrams that did not arrive, for [`take_refusal`]; the next call on the
/// socket then fails once. Without it only connected sockets are told.
///
/// # Errors
/// What setsockopt(2) says.
pub fn keep_refusals(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    // a socket of both families is told by both
    let v4 = super::set_int(socket, libc::SOL_IP, libc::IP_RECVERR, 1);
    if ipv6 { super::set_int(socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1) } else { v4 }
}

/// The oldest of what was kept.
///
/// # Errors
/// WouldBlock if nothing was.
pub fn take_refusal(socket: BorrowedFd<'_>) -> io::Result<Refusal> {
    // the payload that came back is of no use
    let mut payload = [0u8; 1];
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: addresses and message headers are plain numbers and pointers, for which zero is a value.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = CONTROL as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to an address, a vector, a byte and a control area with their true lengths, which live
    // until after the call.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    let to = Peer::decode(&name, header.msg_namelen);
    let mut code = libc::ECONNREFUSED;
    // SAFETY: the header is the one that the kernel has filled in; its control area is still alive and holds
    // `msg_controllen` bytes of whole control messages, or is empty.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: `next` is a whole control message inside that area, aligned as the kernel aligns them; both kinds
        // that are looked at begin with the struct that is read, without asking for alignment.
        unsafe {
            let kind = ((*next).cmsg_level, (*next).cmsg_type);
            if matches!(kind, (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)) {
                let told = libc::CMSG_DATA(next).cast::<libc::sock_extended_err>().read_unaligned();
                code = told.ee_errno as i32;
            }
            next = libc::CMSG_NXTHDR(&raw const header, next);
        }
    }
    Ok(Refusal { to, error: io::Error::from_raw_os_error(code) })
}

/// Room for the control messages of one receive: a struct of 16 bytes with an address behind it, and the count of drops.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

const CONTROL: usize = 256;
