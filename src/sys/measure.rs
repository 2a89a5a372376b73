//! What the system knows of a run and of its sockets: CPU time, segments sent again, the congestion control.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::SockRef;

/// What TCP knows of one connection (tcp(7), TCP_INFO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again, since its beginning.
    pub retransmits: u32,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// How much that varies.
    pub rttvar: Duration,
    /// The congestion window, in bytes.
    pub window: u64,
    /// The window that the peer offers, in bytes, where the kernel tells.
    pub peer_window: Option<u64>,
    /// The largest packet of its path.
    pub path_mtu: u32,
}

/// CPU time of this process so far: of the program, and of the kernel for it (getrusage(2)).
pub fn cpu_time() -> [Duration; 2] {
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the struct, which has the size that it expects, and keeps no pointer.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    if result != 0 {
        return [Duration::ZERO; 2];
    }
    [usage.ru_utime, usage.ru_stime].map(|time| {
        let (seconds, micros) = (time.tv_sec.max(0) as u64, time.tv_usec.clamp(0, 999_999) as u32);
        Duration::new(seconds, micros * 1000)
    })
}

/// The most bytes of one segment of this TCP connection.
pub fn segment_size(socket: BorrowedFd<'_>) -> Option<u32> {
    SockRef::from(&socket).tcp_mss().ok().filter(|bytes| *bytes > 0)
}

/// A connection to a Unix socket: its path, or a 0 and its name. Calls may sleep in it.
///
/// # Errors
/// What connect(2) says.
pub fn connect_unix(name: &[u8]) -> io::Result<UnixStream> {
    use std::os::unix::ffi::OsStrExt;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.connect(&socket2::SockAddr::unix(std::ffi::OsStr::from_bytes(name))?)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

/// Makes a description of our own one that calls may sleep in, for at most `limit` each.
///
/// # Errors
/// What fcntl(2) and setsockopt(2) say.
pub fn set_blocking(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))
}
