//! Linux: splice(2), pipe sizing (fcntl(2), F_SETPIPE_SZ), SIOCOUTQ (tcp(7), unix(7)), reopening through /proc.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::Access;

/// Moves at most `most` bytes from one descriptor to another, at least one of which is a pipe. `Ok(0)` is end of file.
///
/// # Errors
/// WouldBlock where either end is not ready (which one it does not say); EINVAL where this pair cannot be spliced:
/// nothing has moved then, and a copy through a buffer is the way.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    // SPLICE_F_NONBLOCK covers pipes only: sockets and files go by their own O_NONBLOCK
    Ok(rustix::pipe::splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

/// Has the file system copy at most `most` bytes from one regular file to another, each from where its description
/// stands (copy_file_range(2)). `Ok(0)` is end of file, or a file without a length of its own.
///
/// # Errors
/// EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, EBADF (O_APPEND) where this pair cannot be copied so: nothing has moved then. ENOSPC,
/// EFBIG and EIO as for a write.
pub fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    Ok(rustix::fs::copy_file_range(from, None, to, None, most)?)
}

/// Gives at most `most` bytes at the front of one pipe to another as well; they stay where they are. `Ok(0)` means that
/// there is nothing and that nobody is left to write anything.
///
/// # Errors
/// WouldBlock where the first is empty or the second full (which one it does not say); EINVAL where one is no pipe, or
/// both are the same.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    Ok(rustix::pipe::tee(from, to, most, SpliceFlags::NONBLOCK)?)
}

/// An own pipe, close-on-exec and non-blocking, as near to `size` bytes as the kernel allows; its real capacity last.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn kernel_pipe(size: usize) -> io::Result<(OwnedFd, OwnedFd, usize)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let capacity = widen_pipe(write.as_fd(), size);
    Ok((read, write, capacity))
}

/// Fills `bytes` with what nobody can foresee.
///
/// # Errors
/// ENOSYS, EPERM in a sandbox.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut have = 0;
    while have < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[have..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => have += count,
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Grows a pipe to `size` bytes if it is smaller and the kernel lets us (pipe-user-pages-soft); its capacity then,
/// or 0 if it is no pipe.
pub fn widen_pipe(pipe: BorrowedFd<'_>, size: usize) -> usize {
    let now = rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(0);
    if now == 0 || now >= size {
        return now;
    }
    rustix::pipe::fcntl_setpipe_size(pipe, size).unwrap_or(now)
}

/// Has each read of a pipe give what one write through this descriptor put there, or a page of it if that was longer;
/// what a read has no room for is lost.
///
/// # Errors
/// EINVAL where pipes know no such thing.
pub fn keep_writes_apart(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::DIRECT)?)
}

/// A private description of the file, pipe or terminal behind an inherited descriptor: non-blocking without any other
/// process noticing, since O_NONBLOCK belongs to the description. Never makes a terminal ours (O_NOCTTY).
///
/// # Errors
/// ENXIO for writing to a FIFO that nobody reads; EACCES for what another user opened; ENXIO for sockets.
pub fn reopen(fd: BorrowedFd<'_>, access: Access) -> io::Result<OwnedFd> {
    let flags = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
    };
    Ok(rustix::fs::open(proc_name(fd), flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A file in this directory that has no name and is open for writing: unless [`give_name`] gives it one, it is gone when
/// its last descriptor is, whatever ends the process (open(2), O_TMPFILE). `mode` and the umask as for any new file.
///
/// # Errors
/// EOPNOTSUPP from file systems that know no such thing; EACCES, ENOSPC, EROFS. Unsupported where no name could be given
/// later, since /proc is not there.
pub fn unnamed_file(directory: BorrowedFd<'_>, mode: Mode) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, ".", flags, mode)?;
    let (own, shown) = (rustix::fs::fstat(&fd)?, rustix::fs::stat(proc_name(fd.as_fd())));
    match shown {
        Ok(shown) if (shown.st_dev, shown.st_ino) == (own.st_dev, own.st_ino) => Ok(fd),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Gives a file of [`unnamed_file`] a name, which nothing may have yet.
///
/// # Errors
/// EEXIST, ENOSPC, and what else linkat(2) says.
pub fn give_name(fd: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    // by the descriptor itself (AT_EMPTY_PATH) only who has CAP_DAC_READ_SEARCH may link
    Ok(rustix::fs::linkat(CWD, proc_name(fd), directory, name, AtFlags::SYMLINK_FOLLOW)?)
}

fn proc_name(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Bytes in the socket's send queue that the peer's kernel has not acknowledged (TCP) or the peer has not read (Unix);
/// a FIN on its way counts as one on TCP.
///
/// # Errors
/// ENOTTY, EINVAL for what is not a connected socket.
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `socket` is borrowed and so open; TIOCOUTQ (= SIOCOUTQ) writes one int to the pointer and keeps nothing.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// As [`super::send`], and on TCP nothing that is sent later shares a segment with these bytes: MSG_EOR, since Linux 4.7.
///
/// # Errors
/// As [`super::send`].
pub fn send_apart(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::EOR)?)
}

/// Drops at most `most` received bytes inside the kernel (tcp(7), MSG_TRUNC); `Ok(0)` is end of file. TCP only.
///
/// # Errors
/// WouldBlock; EFAULT on sockets other than TCP: nothing was dropped then.
pub fn discard(socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC on a TCP socket the kernel counts and drops, and never touches the (null) buffer; where it
    // would (other families), the null pointer makes it answer EFAULT.
    let count =
        unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), most, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(count as usize)
}

/// The length of the record that the next receive gives (recv(2), MSG_TRUNC); 0 for an empty one and at the end.
///
/// # Errors
/// WouldBlock, and what else recv(2) says.
pub fn record_length(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let nothing: &mut [u8] = &mut [];
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    let (_, length) = rustix::net::recv(socket, nothing, flags)?;
    Ok(length)
}

/// A socket that is non-blocking and close-on-exec from its first moment.
///
/// # Errors
/// EAFNOSUPPORT, EPROTONOSUPPORT, EMFILE, ENFILE.
pub fn socket(domain: Domain, ty: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new_raw(domain, ty.nonblocking().cloexec(), protocol)
}

/// Takes one connection from a listener, non-blocking and close-on-exec, and its peer's address.
///
/// # Errors
/// What accept4(2) says: WouldBlock, the connection's own mishaps, EMFILE and its like.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, SockAddr)> {
    SockRef::from(&listener).accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
}

/// Ties a socket to one network interface (socket(7), SO_BINDTODEVICE).
///
/// # Errors
/// ENODEV if there is none of that name; EPERM from kernels before 5.7.
pub fn bind_to_interface(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    SockRef::from(&socket).bind_device(Some(name.as_bytes()))
}

/// Picks the congestion control of a TCP socket (tcp(7), TCP_CONGESTION).
///
/// # Errors
/// ENOENT for one that is not loaded, EPERM for one that is not open to users.
pub fn set_congestion(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_congestion(name.as_bytes())
}

/// Bounds the time that sent bytes may stay unacknowledged (RFC 5482, TCP_USER_TIMEOUT).
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_user_timeout(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_user_timeout(Some(limit))
}

/// The protocol number of multipath TCP (RFC 8684).
pub const MULTIPATH: Option<Protocol> = Some(Protocol::MPTCP);

/// True where zero copy is worth a try at all.
pub const SPLICE: bool = true;

/// Everything that a descriptor can tell the poll, urgent bytes included (they cut reads short).
pub fn every_interest() -> mio::Interest {
    mio::Interest::READABLE | mio::Interest::WRITABLE | mio::Interest::PRIORITY
}

/// True if an accepted socket has the TCP options of its listener.
pub const LISTENER_HANDS_ON: bool = true;

/// [`set_user_timeout`] works.
pub const USER_TIMEOUT: bool = true;

/// True if an event of a connecting TCP socket that tells of room, and of no error or hang-up, proves that it is connected.
/// tcp_poll tells nothing before the handshake is over, and sets EPOLLERR as long as SO_ERROR would say anything.
pub const ROOM_PROVES_CONNECT: bool = true;

/// True if a short read of a TCP socket proves that its queue is empty.
pub const SHORT_READ_EMPTIES: bool = true;

/// A descriptor that becomes readable when a child of ours ends (pidfd_open(2)).
///
/// # Errors
/// ENOSYS on an old kernel, EMFILE.
pub fn pidfd(child: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK)?)
}

/// Marks every descriptor from `first` on as close-on-exec. Async-signal-safe: it runs between fork and exec.
pub fn close_on_exec_from(first: u32) {
    // SAFETY: close_range takes numbers only; with CLOSE_RANGE_CLOEXEC nothing is closed before the exec.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done != 0 {
        for number in first..MOST_DESCRIPTORS {
            // SAFETY: fcntl with F_SETFD takes numbers only; for one that is not open it answers EBADF.
            unsafe { libc::fcntl(number as i32, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// How far the search goes on a kernel without close_range(2), that is before 5.9.
const MOST_DESCRIPTORS: u32 = 65536;

/// What TCP knows of a connection, as far as this kernel tells.
///
/// # Errors
/// EOPNOTSUPP, ENOPROTOOPT for what is not TCP; Unsupported where the kernel tells less than is asked for.
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<super::TcpInfo> {
    // SAFETY: `tcp_info` is plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has that size, and keeps neither pointer.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // an older kernel fills less of it
    let length = length as usize;
    let has = |offset: usize| length >= offset + size_of::<u32>();
    if !has(std::mem::offset_of!(libc::tcp_info, tcpi_total_retrans)) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let has_window = has(std::mem::offset_of!(libc::tcp_info, tcpi_snd_wnd));
    Ok(super::TcpInfo {
        retransmits: info.tcpi_total_retrans,
        rtt: Duration::from_micros(info.tcpi_rtt.into()),
        rttvar: Duration::from_micros(info.tcpi_rttvar.into()),
        window: u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss),
        peer_window: has_window.then(|| u64::from(info.tcpi_snd_wnd)),
        path_mtu: info.tcpi_pmtu,
    })
}

/// The congestion control in force on a TCP socket.
pub fn congestion(socket: BorrowedFd<'_>) -> Option<String> {
    let name = SockRef::from(&socket).tcp_congestion().ok()?;
    let name: Vec<u8> = name.into_iter().take_while(|byte| byte.is_ascii_graphic()).collect();
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

/// A file in memory with these bytes (memfd_create(2)).
///
/// # Errors
/// EMFILE, ENOMEM.
pub fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("haul", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut written = 0;
    while written < bytes.len() {
        written += rustix::io::write(&fd, &bytes[written..])?;
    }
    Ok(fd)
}

/// Sends at most `most` bytes of a file from `offset` on through a socket that never sleeps (sendfile(2)).
///
/// # Errors
/// WouldBlock, and what a send says.
pub fn send_file(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, most: usize) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), most)?)
}

/// Keeps this thread, and those that it starts, on one CPU.
///
/// # Errors
/// EINVAL if there is no such CPU for this process.
pub fn stay_on(cpu: usize) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: `cpu` is within the set, as was just seen.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads as many bytes as the set has, and keeps no pointer.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
