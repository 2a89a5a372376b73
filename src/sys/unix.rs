//! What all Unixes share about descriptors: their kinds, single reads and writes that never sleep, terminals, names.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::Access;

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A pipe or a FIFO.
    Pipe,
    /// A socket of any family.
    Socket,
    /// A terminal.
    Terminal,
    /// The null device.
    Null,
    /// Any other device.
    Device,
}

/// Classifies an open descriptor.
///
/// # Errors
/// EBADF and what else fstat(2) says.
pub fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice if is_null(&stat) => Kind::Null,
        FileType::CharacterDevice if rustix::termios::isatty(fd) => Kind::Terminal,
        _ => Kind::Device,
    })
}

/// The null device has a number of its own on Linux; elsewhere it is the node at its well-known path.
fn is_null(stat: &rustix::fs::Stat) -> bool {
    rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == stat.st_rdev)
}

/// The length of a regular file, and where its description stands in it.
pub fn file_size_and_offset(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let stat = rustix::fs::fstat(fd).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    Some((u64::try_from(stat.st_size).ok()?, rustix::fs::tell(fd).unwrap_or(0)))
}

/// Bytes that are left to read from where the description stands, in a regular file or on a block device.
pub fn bytes_left(fd: BorrowedFd<'_>) -> Option<u64> {
    if let Some((size, offset)) = file_size_and_offset(fd) {
        return Some(size.saturating_sub(offset));
    }
    let stat = rustix::fs::fstat(fd).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
        return None;
    }
    // a block device has no length in its inode; it is where seeking ends, and from there back at once
    let offset = rustix::fs::tell(fd).ok()?;
    let end = rustix::fs::seek(fd, rustix::fs::SeekFrom::End(0)).ok()?;
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(offset)).ok()?;
    Some(end.saturating_sub(offset))
}

/// True if the description was opened to append.
pub fn is_append(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::APPEND))
}

/// True if the description may be used in this way.
pub fn allows(fd: BorrowedFd<'_>, access: Access) -> bool {
    let Ok(flags) = rustix::fs::fcntl_getfl(fd) else { return false };
    let mode = flags & OFlags::RWMODE;
    mode == OFlags::RDWR || mode == if access == Access::Read { OFlags::RDONLY } else { OFlags::WRONLY }
}

/// Takes over a descriptor that the parent left open for us.
///
/// # Errors
/// EBADF if it is not open, or if it is one that haul has opened itself under that number: those are closed by exec(2),
/// and what came through it never is.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_GETFD only looks a number up and touches no memory.
    let flags = if number < 0 { -1 } else { unsafe { libc::fcntl(number, libc::F_GETFD) } };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is open and not of our making, and the command line gave it to us: a plan names each number
    // once, and nothing else in haul uses inherited descriptors, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A second descriptor for what an inherited one names.
///
/// # Errors
/// EBADF if it is not open, EMFILE.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    let fd = adopt(number)?;
    let copy = rustix::io::fcntl_dupfd_cloexec(&fd, 3);
    let _ = fd.into_raw_fd(); // it stays as it was
    Ok(copy?)
}

/// Closes a descriptor that is 0, 1 or 2 by putting the null device in its place, so that no later file gets the number;
/// others are simply closed.
///
/// # Errors
/// What closing says of data that could not be written (NFS, quotas).
pub fn close(fd: OwnedFd) -> io::Result<()> {
    // closing a duplicate flushes like closing the last one and, unlike dropping, tells the error
    let flushed = match rustix::io::dup(&fd) {
        Ok(copy) => close_raw(copy.into_raw_fd()),
        Err(_) => Ok(()),
    };
    if fd.as_raw_fd() > 2 {
        drop(fd);
        return flushed;
    }
    let number = fd.into_raw_fd();
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty()) {
        // SAFETY: `null` is open; `number` was ours and is replaced in one step.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
        return flushed;
    }
    // no descriptor left for the null device: closed at least, so that whoever reads our output gets its end
    close_raw(number).and(flushed)
}

fn close_raw(number: RawFd) -> io::Result<()> {
    // SAFETY: the caller gave up ownership of `number`, which is open and is not used again.
    match unsafe { libc::close(number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One read(2).
///
/// # Errors
/// WouldBlock on a non-blocking description without data, and what else read(2) says.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// One write(2).
///
/// # Errors
/// WouldBlock on a non-blocking description without room, and what else write(2) says.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// One recv(2) that does not sleep, whatever the description's flags are.
///
/// # Errors
/// WouldBlock, and what else recv(2) says.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// The same, but what was received stays where it is.
///
/// # Errors
/// WouldBlock, and what else recv(2) says.
pub fn peek(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT | RecvFlags::PEEK)?;
    Ok(count)
}

/// One send(2) that does not sleep, whatever the description's flags are, and raises no SIGPIPE.
///
/// # Errors
/// WouldBlock, and what else send(2) says.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// The same with two pieces, the one behind the other, in one call: in one segment where they fit.
///
/// # Errors
/// As [`send`].
pub fn send_both(socket: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let pieces = [IoSlice::new(first), IoSlice::new(second)];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), flags)?)
}

/// True if a socket that keeps records, where a receive has just given nothing, has nothing more to give. With the
/// peer's end seen no record can come any more; only empty ones may still be queued then, and they hold no byte.
pub fn is_record_end(socket: BorrowedFd<'_>) -> bool {
    let mut set = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
    let ended =
        look(&mut set).is_ok() && set[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::NVAL);
    // in this order: what is queued no longer grows
    ended && rustix::io::ioctl_fionread(socket).unwrap_or(0) == 0
}

/// What poll(2) says at this moment, without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    /// A read would not sleep: data, end of file or an error.
    pub readable: bool,
    /// A write would not sleep: room, or an error.
    pub writable: bool,
    /// The other side hung up.
    pub hung_up: bool,
}

/// Asks poll(2) without waiting. A signal interrupts even that, and to take it for an answer would be to sleep in a read
/// that nothing has asked for.
fn look(set: &mut [PollFd<'_>]) -> io::Result<()> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(set, Some(&at_once))).map(drop)?)
}

/// Asks poll(2) about one descriptor.
pub fn poll_now(fd: BorrowedFd<'_>) -> Polled {
    let mut set = [PollFd::from_borrowed_fd(fd, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
    let seen = match look(&mut set) {
        Ok(()) => set[0].revents(),
        // told nothing, the caller must try: a spurious call is harmless, a missing one a hang
        Err(_) => PollFlags::all(),
    };
    Polled::from(seen)
}

/// Asks poll(2) at once whether one descriptor can be read and another be written.
pub fn poll_pair(reader: BorrowedFd<'_>, writer: BorrowedFd<'_>) -> (bool, bool) {
    let mut set = [
        PollFd::from_borrowed_fd(reader, PollFlags::IN | PollFlags::RDHUP),
        PollFd::from_borrowed_fd(writer, PollFlags::OUT),
    ];
    match look(&mut set) {
        Ok(()) => (Polled::from(set[0].revents()).readable, Polled::from(set[1].revents()).writable),
        Err(_) => (true, true),
    }
}

impl From<PollFlags> for Polled {
    fn from(seen: PollFlags) -> Self {
        let broken = seen.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        Polled {
            readable: broken || seen.intersects(PollFlags::IN | PollFlags::RDHUP),
            writable: broken || seen.contains(PollFlags::OUT),
            hung_up: seen.contains(PollFlags::HUP),
        }
    }
}

/// True if a read from this terminal would not stop us: the job is in its foreground, or it is not our terminal.
pub fn is_foreground(terminal: BorrowedFd<'_>) -> bool {
    match rustix::termios::tcgetpgrp(terminal) {
        Ok(group) => group == rustix::process::getpgrp(),
        Err(_) => true,
    }
}

/// Makes the next close of this socket a reset: what is unsent is thrown away and the peer is told (socket(7), SO_LINGER).
pub fn arm_reset(socket: BorrowedFd<'_>) {
    // refused by sockets that have no such notion (Unix): their close with unread data says as much
    let _ = socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO));
}

/// True for a socket that listen(2) was called on (socket(7), SO_ACCEPTCONN).
pub fn is_listening(fd: BorrowedFd<'_>) -> bool {
    let (mut value, mut length): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has that size, and keeps neither pointer.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    result == 0 && value != 0
}

/// The index of a network interface, which is what the scope of an IPv6 address holds.
///
/// # Errors
/// ENODEV if there is none of that name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: `name` is a string with its NUL, alive during the call, which keeps nothing of it.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// The name of a network interface; `None` if there is none with that index.
pub fn interface_name(index: u32) -> Option<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the call writes at most IF_NAMESIZE bytes, its NUL included, into the buffer, which has that size.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// True if descriptor 0, 1 or 2 was closed when haul was started. The Rust runtime opens the null device in their
/// place before `main`, and output that silently vanishes there would be a lie.
pub fn was_closed_at_start(number: RawFd) -> bool {
    (0..3).contains(&number) && CLOSED_AT_START.load(Relaxed) & (1 << number) != 0
}

static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

extern "C" fn note_closed_descriptors() {
    for number in 0..3 {
        // SAFETY: fcntl with F_GETFD only looks a number up; it needs nothing of the runtime that is not up yet.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            CLOSED_AT_START.fetch_or(1 << number, Relaxed);
        }
    }
}

// SAFETY: the loader calls what stands in this section before `main`, with arguments that a C function may ignore.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static AT_START: extern "C" fn() = note_closed_descriptors;

/// The device or file behind two descriptors is one and the same.
pub fn is_same_file(a: impl AsFd, b: impl AsFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => a.st_dev == b.st_dev && a.st_ino == b.st_ino,
        _ => false,
    }
}

/// Columns of the terminal on standard error; `None` if it is none.
pub fn stderr_columns() -> Option<u16> {
    columns(rustix::stdio::stderr())
}

/// Columns of the terminal on standard output; `None` if it is none.
pub fn stdout_columns() -> Option<u16> {
    columns(rustix::stdio::stdout())
}

fn columns(fd: BorrowedFd<'_>) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    // a terminal that does not know its own size still is one
    Some(if size.ws_col == 0 { 80 } else { size.ws_col })
}

/// Makes a description of our own non-blocking.
///
/// # Errors
/// EBADF.
pub fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// The C library's `pow`, for the one call of it in this program (indicatif's estimate of a rate): without this the
/// loader maps all of libm at every start, a third of a megabyte, to find one function.
// SAFETY: the name and the signature are those of C11, 7.12.7.4, and the result is that of musl's implementation, so it
// may stand in for the C library's wherever that is called.
#[unsafe(no_mangle)]
extern "C" fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_signal_does_not_make_an_empty_pipe_look_readable() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let noted = signal_hook::flag::register(libc::SIGURG, Arc::default()).unwrap();
        let looking = std::thread::spawn(move || {
            let mut looks = 0..;
            looks.find(|_| poll_now(reader.as_fd()).readable || seen.load(Ordering::Relaxed));
            poll_now(reader.as_fd()).readable || !seen.load(Ordering::Relaxed)
        });
        for _ in 0..100_000 {
            crate::sys::testing::interrupt(&looking, libc::SIGURG);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(!looking.join().unwrap());
        signal_hook::low_level::unregister(noted);
    }
}
