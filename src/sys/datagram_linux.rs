//! Linux: many datagrams a call (recvmmsg(2), sendmmsg(2)), and segmentation offload (udp(7), UDP_SEGMENT, UDP_GRO).

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::datagram::{Arrival, LocalIp, Manner, Parcel, Peer};
use super::destinations_linux::{from_v4, from_v6, of_v4, of_v6};

/// Most receives in one call.
pub const MOST_ARRIVALS: usize = 16;

/// Most sends in one call.
pub const MOST_PARCELS: usize = 32;

/// Most datagrams in one send; newer kernels take 128.
pub const MOST_SEGMENTS: usize = 64;

/// A receive can tell how long a datagram is that there is no room for (recv(2), MSG_TRUNC).
pub const TELLS_LENGTHS: bool = true;

/// Room for control messages.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control<const BYTES: usize>([u8; BYTES]);

/// Of one receive: the segment size, an int, the count of drops, an int too, and where it came to in both families.
const TOLD: usize = 128;

/// Of one send: the segment size, two bytes, and where it leaves from.
const ASKED: usize = 64;

/// Takes what is there: at most one arrival for each part of `each` bytes of `room`, in order, and at most
/// `arrivals.len()` and [`MOST_ARRIVALS`].
///
/// # Errors
/// WouldBlock; what the kernel keeps for this socket, say ECONNREFUSED: it is about something sent earlier.
pub fn receive_datagrams(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    each: usize,
    manner: Manner,
    arrivals: &mut [Arrival],
) -> io::Result<usize> {
    match arrivals.len() {
        0 => Ok(0),
        1 => receive::<1>(socket, room, each, manner, arrivals),
        2..=4 => receive::<4>(socket, room, each, manner, arrivals),
        _ => receive::<MOST_ARRIVALS>(socket, room, each, manner, arrivals),
    }
}

fn receive<const N: usize>(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    each: usize,
    manner: Manner,
    arrivals: &mut [Arrival],
) -> io::Result<usize> {
    // SAFETY: addresses, vectors and message headers are plain numbers and pointers, for which zero is a value.
    let (mut names, mut vectors, mut messages): ([libc::sockaddr_storage; N], [libc::iovec; N], [libc::mmsghdr; N]) =
        unsafe { zeroed() };
    let mut controls = [Control([0; TOLD]); N];
    let mut count = 0;
    for (part, index) in room.chunks_exact_mut(each.max(1)).zip(0..N.min(arrivals.len())) {
        vectors[index] = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        let header = &mut messages[index].msg_hdr;
        header.msg_name = (&raw mut names[index]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        if manner.control {
            header.msg_control = (&raw mut controls[index]).cast();
            header.msg_controllen = TOLD as _;
        }
        count += 1;
    }
    let flags = libc::MSG_DONTWAIT | if manner.whole_length { libc::MSG_TRUNC } else { 0 };
    // SAFETY: `count` headers are filled in; each points to an address, a vector, a control area and a part of `room` of
    // its own, with their true lengths, all of which live until after the call. The timeout may be null.
    let got = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            flags as _,
            std::ptr::null_mut(),
        )
    };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    for index in 0..got.min(count) {
        arrivals[index] = arrival(&messages[index], &names[index]);
    }
    Ok(got)
}

fn arrival(message: &libc::mmsghdr, name: &libc::sockaddr_storage) -> Arrival {
    let header = &message.msg_hdr;
    let length = message.msg_len as usize;
    let mut arrival = Arrival {
        from: Peer::decode(name, header.msg_namelen),
        length,
        segment: length,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        drops: 0,
        to: None,
    };
    let mut by_v4 = false;
    // SAFETY: the header is the one that the kernel has filled in; its control area is still alive and holds
    // `msg_controllen` bytes of whole control messages, or is null and empty.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: `next` is a whole control message inside that area, aligned as the kernel aligns them; each kind
        // that is looked at holds what is read, without asking for alignment: a 32-bit number, or its struct.
        unsafe {
            let data = libc::CMSG_DATA(next);
            let value = || data.cast::<u32>().read_unaligned();
            match ((*next).cmsg_level, (*next).cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => arrival.segment = value() as usize,
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => arrival.drops = value(),
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    by_v4 = true;
                    arrival.to = of_v4(&data.cast::<libc::in_pktinfo>().read_unaligned());
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) if !by_v4 => {
                    arrival.to = of_v6(&data.cast::<libc::in6_pktinfo>().read_unaligned());
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    if arrival.segment == 0 {
        arrival.segment = length;
    }
    arrival
}

/// Sends parcels in order, at most [`MOST_PARCELS`]; how many the kernel took, each of them whole.
///
/// # Errors
/// About the first parcel, and then nothing was sent: WouldBlock; EINVAL, EMSGSIZE, EIO where it cannot be segmented.
/// Or what the kernel keeps for this socket, say ECONNREFUSED: that is about something sent earlier.
pub fn send_parcels(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    match parcels.len() {
        0 => Ok(0),
        1 => send::<1>(socket, parcels),
        2..=4 => send::<4>(socket, parcels),
        _ => send::<MOST_PARCELS>(socket, parcels),
    }
}

fn send<const N: usize>(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    // SAFETY: addresses, vectors and message headers are plain numbers and pointers, for which zero is a value.
    let (mut names, mut vectors, mut messages): ([libc::sockaddr_storage; N], [libc::iovec; N], [libc::mmsghdr; N]) =
        unsafe { zeroed() };
    let mut controls = [Control([0; ASKED]); N];
    let count = parcels.len().min(N);
    for (index, parcel) in parcels[..count].iter().enumerate() {
        vectors[index] = libc::iovec { iov_base: parcel.bytes.as_ptr().cast_mut().cast(), iov_len: parcel.bytes.len() };
        let header = &mut messages[index].msg_hdr;
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        if let Some(to) = parcel.to {
            header.msg_namelen = to.encode(&mut names[index]);
            header.msg_name = (&raw mut names[index]).cast();
        }
        let (control, mut used) = (&mut controls[index], 0);
        if parcel.segment > 0 {
            used = ask(control, used, (libc::SOL_UDP, libc::UDP_SEGMENT), parcel.segment);
        }
        if let Some(LocalIp { ip, scope }) = parcel.from {
            used = match ip {
                IpAddr::V4(ip) => ask(control, used, (libc::SOL_IP, libc::IP_PKTINFO), from_v4(ip)),
                IpAddr::V6(ip) => ask(control, used, (libc::SOL_IPV6, libc::IPV6_PKTINFO), from_v6(ip, scope)),
            };
        }
        if used > 0 {
            header.msg_control = (&raw mut *control).cast();
            header.msg_controllen = used as _;
        }
    }
    // SAFETY: `count` headers are filled in; each points to an address, a vector, a control area and bytes with their
    // true lengths, all of which live until after the call; a send does not write to the bytes.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Adds a control message behind the `used` bytes of others; how many bytes there are then.
fn ask<T: Copy>(control: &mut Control<ASKED>, used: usize, (level, kind): (i32, i32), value: T) -> usize {
    // SAFETY: both only compute.
    let (space, length) = unsafe { (libc::CMSG_SPACE(size_of::<T>() as u32), libc::CMSG_LEN(size_of::<T>() as u32)) };
    let end = used + space as usize;
    let part = control.0[used..end].as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: `part` is the beginning of a piece of the area that was just found to be as long as a header with this
    // value and their padding, and it is aligned: the area is, and what stands before it has the length that CMSG_SPACE
    // gives. The value is written without asking for alignment.
    unsafe {
        (*part).cmsg_level = level;
        (*part).cmsg_type = kind;
        (*part).cmsg_len = length as _;
        libc::CMSG_DATA(part).cast::<T>().write_unaligned(value);
    }
    end
}

/// Lets the kernel join datagrams of one sender and one length, so that one receive gives many (udp(7), UDP_GRO). The
/// buffers of a receive must then have 64 KiB.
///
/// # Errors
/// ENOPROTOOPT on an old kernel or another kind of socket.
pub fn join_arrivals(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Has each receive tell how many packets the socket has dropped for want of room (socket(7), SO_RXQ_OVFL). Datagrams that were joined count as one packet.
///
/// # Errors
/// What setsockopt(2) says.
pub fn tell_drops(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Packets that the socket has dropped so far, whether or not anything came after them (socket(7), SO_MEMINFO); `None`
/// where the kernel cannot say.
pub fn drops_so_far(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut values = [0u32; MEMORY_VALUES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the array, which has as many, and says how many.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_MEMINFO, values.as_mut_ptr().cast(), &raw mut length)
    };
    (done == 0 && length as usize == size_of_val(&values)).then_some(values[MEMORY_DROPS])
}

/// Not in the libc crate for every architecture; asm-generic/socket.h.
const SO_MEMINFO: libc::c_int = 55;
/// linux/sock_diag.h: how many values there are, and which of them counts the drops.
const MEMORY_VALUES: usize = 9;
const MEMORY_DROPS: usize = 8;

/// Sets an option that is an int.
pub(super) fn set_int(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an int of this frame, whose length is given, and the kernel keeps nothing.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
