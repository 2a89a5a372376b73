//! The plain ways: what Linux does better answers "unsupported" here, and the caller copies through a buffer.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::Access;

/// Not here.
///
/// # Errors
/// Always `Unsupported`; nothing has moved.
pub fn splice(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`; nothing has moved.
pub fn copy_range(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`; nothing was given.
pub fn tee(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: without splice an own pipe is of no use.
///
/// # Errors
/// Always `Unsupported`.
pub fn kernel_pipe(_size: usize) -> io::Result<(OwnedFd, OwnedFd, usize)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fills `bytes` with what nobody can foresee.
///
/// # Errors
/// The device for that is missing.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

/// A pipe's capacity cannot be changed: 0, as if it were unknown.
pub fn widen_pipe(_pipe: BorrowedFd<'_>, _size: usize) -> usize {
    0
}

/// Pipes keep no bounds here.
///
/// # Errors
/// Always.
pub fn keep_writes_apart(_pipe: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: the caller falls back to guarded reads and writes.
///
/// # Errors
/// Always `Unsupported`.
pub fn reopen(_fd: BorrowedFd<'_>, _access: Access) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: the caller makes a file with a temporary name.
///
/// # Errors
/// Always `Unsupported`.
pub fn unnamed_file(_directory: BorrowedFd<'_>, _mode: Mode) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here: there is no file without a name.
///
/// # Errors
/// Always `Unsupported`.
pub fn give_name(_fd: BorrowedFd<'_>, _directory: BorrowedFd<'_>, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes not yet acknowledged.
///
/// # Errors
/// What the ioctl says; `Unsupported` where there is none.
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `socket` is borrowed and so open; TIOCOUTQ writes one int to the pointer and keeps nothing.
    let result =
        unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// As [`super::send`]: elsewhere MSG_EOR on a stream is an error, and it is left to TCP_NODELAY.
///
/// # Errors
/// As [`super::send`].
pub fn send_apart(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    super::send(socket, bytes)
}

/// Not here: the caller reads into a buffer.
///
/// # Errors
/// Always `Unsupported`.
pub fn discard(_socket: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No less than the length of the record that the next receive gives: all that is queued. 0 for an empty record and at
/// the end.
///
/// # Errors
/// WouldBlock, and what else recv(2) says.
pub fn record_length(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut byte = [0; 1];
    match rustix::net::recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)? {
        (0, _) => Ok(0),
        _ => Ok(usize::try_from(rustix::io::ioctl_fionread(socket)?).unwrap_or(usize::MAX)),
    }
}

/// A socket that is non-blocking and close-on-exec.
///
/// # Errors
/// EAFNOSUPPORT, EPROTONOSUPPORT, EMFILE, ENFILE.
pub fn socket(domain: Domain, ty: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, ty, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Takes one connection from a listener, non-blocking and close-on-exec, and its peer's address.
///
/// # Errors
/// What accept(2) says: WouldBlock, the connection's own mishaps, EMFILE and its like.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, SockAddr)> {
    let (socket, peer) = SockRef::from(&listener).accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn bind_to_interface(_socket: BorrowedFd<'_>, _name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn set_congestion(_socket: BorrowedFd<'_>, _name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn set_user_timeout(_socket: BorrowedFd<'_>, _limit: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No multipath TCP: plain TCP takes its place.
pub const MULTIPATH: Option<Protocol> = None;

/// Zero copy is not worth a try.
pub const SPLICE: bool = false;

/// Everything that a descriptor can tell the poll.
pub fn every_interest() -> mio::Interest {
    mio::Interest::READABLE | mio::Interest::WRITABLE
}

/// True if an accepted socket has the TCP options of its listener.
pub const LISTENER_HANDS_ON: bool = false;

/// [`set_user_timeout`] works.
pub const USER_TIMEOUT: bool = false;

/// True if an event of a connecting TCP socket that tells of room, and of no error or hang-up, proves that it is connected.
pub const ROOM_PROVES_CONNECT: bool = false;

/// True if a short read of a TCP socket proves that its queue is empty.
pub const SHORT_READ_EMPTIES: bool = false;

/// Not here: SIGCHLD tells.
///
/// # Errors
/// Always `Unsupported`.
pub fn pidfd(_child: u32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Marks every descriptor from `first` on as close-on-exec. Async-signal-safe: it runs between fork and exec.
pub fn close_on_exec_from(first: u32) {
    for number in first..MOST_DESCRIPTORS {
        // SAFETY: fcntl with F_SETFD takes numbers only; for one that is not open it answers EBADF.
        unsafe { libc::fcntl(number as i32, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// How far the search for inherited descriptors goes.
const MOST_DESCRIPTORS: u32 = 4096;

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn tcp_info(_socket: BorrowedFd<'_>) -> io::Result<super::TcpInfo> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not known here.
pub fn congestion(_socket: BorrowedFd<'_>) -> Option<String> {
    None
}

/// Not here: what is sent is copied.
///
/// # Errors
/// Always `Unsupported`.
pub fn memory_file(_bytes: &[u8]) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`; nothing was sent.
pub fn send_file(_socket: BorrowedFd<'_>, _file: BorrowedFd<'_>, _offset: u64, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always `Unsupported`.
pub fn stay_on(_cpu: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
