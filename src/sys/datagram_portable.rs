//! Datagrams one a call: recvmsg(2) and sendmsg(2), without offload.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::datagram::{Arrival, Manner, Parcel, Peer, Refusal};

/// Most receives in one call.
pub const MOST_ARRIVALS: usize = 1;

/// Most sends in one call.
pub const MOST_PARCELS: usize = 1;

/// Most datagrams in one send.
pub const MOST_SEGMENTS: usize = 1;

/// A datagram that there is no room for is cut, and its length is not known.
pub const TELLS_LENGTHS: bool = false;

/// Takes one datagram into the first `each` bytes of `room`.
///
/// # Errors
/// WouldBlock; what the kernel keeps for this socket, say ECONNREFUSED: it is about something sent earlier.
pub fn receive_datagrams(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    each: usize,
    _manner: Manner,
    arrivals: &mut [Arrival],
) -> io::Result<usize> {
    let (Some(arrival), Some(room)) = (arrivals.first_mut(), room.get_mut(..each)) else { return Ok(0) };
    let mut vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: addresses and message headers are plain numbers and pointers, for which zero is a value.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    // SAFETY: the header points to an address, a vector and a buffer with their true lengths, which live until after
    // the call; without a control area nobody can send us descriptors.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    *arrival = Arrival {
        from: Peer::decode(&name, header.msg_namelen),
        length,
        segment: length,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        drops: 0,
        to: None,
    };
    Ok(1)
}

/// Sends the first parcel, which must be one datagram. It leaves from an address of the system's choice.
///
/// # Errors
/// WouldBlock, EMSGSIZE: nothing was sent. Or what the kernel keeps for this socket, say ECONNREFUSED: that is about
/// something sent earlier.
pub fn send_parcels(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    let Some(parcel) = parcels.first() else { return Ok(0) };
    if parcel.segment != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut vector = libc::iovec { iov_base: parcel.bytes.as_ptr().cast_mut().cast(), iov_len: parcel.bytes.len() };
    // SAFETY: addresses and message headers are plain numbers and pointers, for which zero is a value.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    if let Some(to) = parcel.to {
        header.msg_namelen = to.encode(&mut name);
        header.msg_name = (&raw mut name).cast();
    }
    // SAFETY: the header points to an address, a vector and bytes with their true lengths, which live until after the
    // call; a send does not write to the bytes.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(1) }
}

/// Not here: a receive gives one datagram.
///
/// # Errors
/// Always `Unsupported`.
pub fn join_arrivals(_socket: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: what is dropped looks as if the network had lost it.
///
/// # Errors
/// Always `Unsupported`.
pub fn tell_drops(_socket: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: answers leave from an address of the system's choice.
///
/// # Errors
/// Always `Unsupported`.
pub fn tell_destinations(_socket: BorrowedFd<'_>, _ipv6: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
pub fn drops_so_far(_socket: BorrowedFd<'_>) -> Option<u32> {
    None
}

/// Not here: an unconnected socket is not told.
///
/// # Errors
/// Always `Unsupported`.
pub fn keep_refusals(_socket: BorrowedFd<'_>, _ipv6: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: nothing was kept.
///
/// # Errors
/// Always `WouldBlock`.
pub fn take_refusal(_socket: BorrowedFd<'_>) -> io::Result<Refusal> {
    Err(io::ErrorKind::WouldBlock.into())
}
