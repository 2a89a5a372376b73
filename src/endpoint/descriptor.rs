//! One descriptor used one way: standard input, a file, a FIFO's end, an inherited number.
//!
//! Other processes may share the description behind an inherited descriptor, so O_NONBLOCK is never set on it. What is
//! tried, in this order: a regular file or a device that epoll refuses is always ready; a pipe or terminal is opened
//! anew, privately and non-blocking; a socket is used with MSG_DONTWAIT and never spliced (that would sleep); a pipe
//! or terminal that cannot be opened anew is asked by poll(2) before each single call.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::unix::SourceFd;

use super::Spliceable;
use super::records::{self, Records};
use super::settle::Settle;
use crate::reactor::{Slot, Turn};
use crate::sys::{self, Access, Kind};

/// How a call on the descriptor is kept from sleeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// It never sleeps for long: files, and devices that epoll refuses.
    AlwaysReady,
    /// The description is ours and non-blocking.
    NonBlocking,
    /// A socket: MSG_DONTWAIT.
    DontWait,
    /// poll(2), then one call; a write of at most PIPE_BUF.
    PollFirst,
}

/// One descriptor and the way it is used.
#[derive(Debug)]
pub struct Descriptor {
    /// What the calls go to.
    fd: OwnedFd,
    /// The inherited descriptor that `fd` is a private opening of; closed together with it.
    inherited: Option<OwnedFd>,
    access: Access,
    kind: Kind,
    guard: Guard,
    /// `Some` for a socket that keeps records.
    records: Option<Box<Records>>,
    /// `None` before `start` and after `close`.
    slot: Option<Slot>,
    append: bool,
    /// What is left to be done when everything is written; `None` for nothing.
    settle: Option<Box<Settle>>,
}

impl Descriptor {
    /// A descriptor that the parent left open, with whatever its description is.
    ///
    /// # Errors
    /// EBADF if it is not open in that direction, EISDIR for a directory.
    pub fn inherited(number: i32, access: Access) -> io::Result<Self> {
        if sys::was_closed_at_start(number) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let fd = sys::adopt(number)?;
        if !sys::allows(fd.as_fd(), access) {
            let _ = std::os::fd::IntoRawFd::into_raw_fd(fd); // not ours after all: leave it open
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Descriptor::shared(fd, access)
    }

    /// A descriptor of a description that others use too; it is open in that direction.
    ///
    /// # Errors
    /// What fstat(2) says, EISDIR for a directory.
    pub fn shared(fd: OwnedFd, access: Access) -> io::Result<Self> {
        let kind = sys::kind(fd.as_fd())?;
        let append = sys::is_append(fd.as_fd());
        let (fd, inherited, guard) = match kind {
            Kind::Directory => return Err(io::ErrorKind::IsADirectory.into()),
            Kind::File | Kind::Null => (fd, None, Guard::AlwaysReady),
            Kind::Socket => (fd, None, Guard::DontWait),
            Kind::Pipe | Kind::Terminal | Kind::Device => match sys::reopen(fd.as_fd(), access) {
                Ok(private) => (private, Some(fd), Guard::NonBlocking),
                Err(_) => (fd, None, Guard::PollFirst),
            },
        };
        let keeps_records = kind == Kind::Socket && Records::are_kept_by(fd.as_fd());
        let records = keeps_records.then(|| Box::new(Records::new()));
        Ok(Descriptor { fd, inherited, access, kind, guard, records, slot: None, append, settle: None })
    }

    /// A descriptor that haul opened itself; non-blocking where that means anything.
    ///
    /// # Errors
    /// What fstat(2) says, EISDIR for a directory.
    pub fn own(fd: OwnedFd, access: Access) -> io::Result<Self> {
        let kind = sys::kind(fd.as_fd())?;
        let guard = match kind {
            Kind::Directory => return Err(io::ErrorKind::IsADirectory.into()),
            Kind::File | Kind::Null => Guard::AlwaysReady,
            Kind::Pipe | Kind::Terminal | Kind::Device | Kind::Socket => Guard::NonBlocking,
        };
        let append = sys::is_append(fd.as_fd());
        Ok(Descriptor { fd, inherited: None, access, kind, guard, records: None, slot: None, append, settle: None })
    }

    /// Standard output that was closed when haul was started: fine while there is nothing to write, EBADF from the
    /// kernel at the first byte.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn closed_for_writing() -> io::Result<Self> {
        let fd = OwnedFd::from(std::fs::File::open("/dev/null")?);
        // not as the null device, since what is written there would be dropped unseen
        let kind = Kind::Device;
        let guard = Guard::AlwaysReady;
        let access = Access::Write;
        Ok(Descriptor {
            fd,
            inherited: None,
            access,
            kind,
            guard,
            records: None,
            slot: None,
            append: false,
            settle: None,
        })
    }

    /// The same, with this to be done before it counts as written.
    pub(super) fn with_settle(mut self, settle: Settle) -> Self {
        self.settle = Some(Box::new(settle));
        self
    }

    /// The same, with something else in the place of fsync(2).
    #[cfg(test)]
    pub(crate) fn synced_by(mut self, sync: impl FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static) -> Self {
        self.settle = self.settle.take().map(|settle| Box::new(settle.by(sync)));
        self
    }

    /// Has it synced (fsync(2)) before it counts as written; nothing where there is no disk behind it, or where that is
    /// to be done anyway.
    pub fn sync_before_close(&mut self) {
        let stored = matches!(self.kind, Kind::File | Kind::Device);
        if stored && self.access == Access::Write && self.settle.is_none() {
            self.settle = Some(Box::new(Settle::syncing()));
        }
    }

    /// Brings what was written to where it is safe; at once where nothing of the kind was asked for.
    ///
    /// # Errors
    /// WouldBlock until it is done, and then the task gets a turn; what fsync(2), linkat(2) and rename(2) say.
    pub fn settle(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.settle.as_mut().map_or(Ok(()), |settle| settle.turn(turn, self.fd.as_fd()))
    }

    /// True while that is under way.
    pub fn is_settling(&self) -> bool {
        self.settle.as_ref().is_some_and(|settle| settle.is_under_way())
    }

    /// True if it takes its name only when it is settled.
    pub fn is_whole(&self) -> bool {
        self.settle.as_ref().is_some_and(|settle| settle.publishes())
    }

    /// Keeps settling from beginning.
    pub fn hold_settling(&mut self, held: bool) {
        if let Some(settle) = &mut self.settle {
            settle.hold(held);
        }
    }

    /// It is not to be settled any more: a whole file is given up.
    pub fn give_up_settling(&mut self) {
        self.settle = None;
    }

    /// True for a file with so much left that moving it by splice pays.
    pub fn is_long_file(&self) -> bool {
        self.kind == Kind::File
            && sys::file_size_and_offset(self.fd.as_fd()).is_none_or(|(size, offset)| size >= offset + LONG_FILE)
    }

    /// Bytes left to read, where that is known: in a regular file, on a block device.
    pub fn bytes_left(&self) -> Option<u64> {
        sys::bytes_left(self.fd.as_fd())
    }

    /// Widens a pipe, so that more moves with each splice; anything else is left alone.
    pub fn widen(&self) {
        if self.kind == Kind::Pipe {
            sys::widen_pipe(self.fd.as_fd(), PIPE_WIDTH);
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// True for a socket that keeps the bounds of records.
    pub fn keeps_records(&self) -> bool {
        self.records.is_some()
    }

    /// Registers it with the reactor. What epoll refuses with EPERM is always ready.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        if self.guard == Guard::AlwaysReady {
            self.slot = Some(turn.always_ready());
            return Ok(());
        }
        match turn.register(&mut SourceFd(&self.fd.as_raw_fd())) {
            Ok(slot) => self.slot = Some(slot),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.guard = Guard::AlwaysReady;
                self.slot = Some(turn.always_ready());
            }
            Err(error) => return Err(error),
        }
        if let Some(slot) = self.slot
            && self.has_end_before_registration()
        {
            turn.arm(slot);
        }
        Ok(())
    }

    /// Its registration, once there is one.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// A FIFO opened anew after its writers left shows no hang-up of its own; the inherited description does.
    fn has_end_before_registration(&self) -> bool {
        self.access == Access::Read
            && self.kind == Kind::Pipe
            && self.inherited.as_ref().is_some_and(|fd| sys::poll_now(fd.as_fd()).hung_up)
    }

    /// False when a call now would only be told WouldBlock, or would stop a background job at its terminal.
    pub fn is_ready(&self, turn: &Turn) -> bool {
        let Some(slot) = self.slot else { return false };
        let latch = turn.latch(slot);
        match self.access {
            Access::Read => latch.read && !self.would_stop_the_job(),
            Access::Write => latch.write,
        }
    }

    /// A read from the terminal by a background job raises SIGTTIN. The latch stays set: SIGCONT is the wake.
    fn would_stop_the_job(&self) -> bool {
        self.kind == Kind::Terminal && !sys::is_foreground(self.fd.as_fd())
    }

    /// One read. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock when it is not ready; what read(2) says. EIO from a terminal that hung up is an end of file.
    pub fn read(&mut self, turn: &mut Turn, buffer: &mut [u8]) -> io::Result<usize> {
        self.check(turn)?;
        let result = match (&mut self.records, self.guard) {
            (Some(records), _) => match records.read(self.fd.as_fd(), buffer) {
                Ok(None) => return Err(records::come_back(turn, self.slot)),
                result => result.map(Option::unwrap_or_default),
            },
            (None, Guard::DontWait) => sys::receive(self.fd.as_fd(), buffer),
            _ => sys::read(self.fd.as_fd(), buffer),
        };
        let result = match result {
            // how a terminal, or the other side of a pty, says that it hung up
            Err(error) if self.kind == Kind::Terminal && error.raw_os_error() == Some(libc::EIO) => Ok(0),
            result => result,
        };
        self.judge(turn, result)
    }

    /// One write.
    ///
    /// # Errors
    /// WouldBlock when it is not ready; what write(2) says.
    pub fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        self.check(turn)?;
        let result = match (&mut self.records, self.guard) {
            (Some(records), _) => records.write(self.fd.as_fd(), bytes),
            (None, Guard::DontWait) => sys::send(self.fd.as_fd(), bytes),
            (None, Guard::PollFirst) => sys::write(self.fd.as_fd(), &bytes[..bytes.len().min(PIPE_BUF)]),
            (None, Guard::AlwaysReady | Guard::NonBlocking) => sys::write(self.fd.as_fd(), bytes),
        };
        self.judge(turn, result)
    }

    /// WouldBlock unless a call may be made now.
    fn check(&mut self, turn: &mut Turn) -> io::Result<()> {
        if !self.is_ready(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.guard == Guard::PollFirst && !self.polls_ready() {
            self.would_block(turn);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn judge(&self, turn: &mut Turn, result: io::Result<usize>) -> io::Result<usize> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.would_block(turn);
        }
        result
    }

    /// Clears the latch: only after WouldBlock from this descriptor.
    pub fn would_block(&self, turn: &mut Turn) {
        if let Some(slot) = self.slot {
            match self.access {
                Access::Read => turn.read_would_block(slot),
                Access::Write => turn.write_would_block(slot),
            }
        }
    }

    /// What poll(2) says of this descriptor's direction at this moment.
    pub fn polls_ready(&self) -> bool {
        let polled = sys::poll_now(self.fd.as_fd());
        match self.access {
            Access::Read => polled.readable,
            Access::Write => polled.writable,
        }
    }

    /// The descriptor for splice(2) and copy_file_range(2); `None` where splice would sleep or be refused.
    pub fn spliceable(&self) -> Option<Spliceable<'_>> {
        let fit = match (self.kind, self.guard) {
            (Kind::Pipe, _) => true,
            (Kind::Null, _) => self.access == Access::Write,
            (Kind::File, _) => !(self.append && self.access == Access::Write),
            _ => false,
        };
        let (is_pipe, is_file) = (self.kind == Kind::Pipe, self.kind == Kind::File);
        let is_always_ready = self.guard == Guard::AlwaysReady;
        fit.then(|| Spliceable { fd: self.fd.as_fd(), is_pipe, is_file, is_always_ready })
    }

    /// Takes it out of the poll and closes it, the inherited original too. A socket is shut down in this direction
    /// first, since whoever shares it would keep it open. A whole file that was not settled is given up.
    ///
    /// # Errors
    /// What closing says of data that could not be written.
    pub fn close(mut self, turn: &mut Turn) -> io::Result<()> {
        if let Some(slot) = self.slot.take() {
            match self.guard {
                Guard::AlwaysReady => turn.release(slot),
                _ => turn.deregister(&mut SourceFd(&self.fd.as_raw_fd()), slot),
            }
        }
        if self.kind == Kind::Socket {
            let how = match self.access {
                Access::Read => std::net::Shutdown::Read,
                Access::Write => std::net::Shutdown::Write,
            };
            // it may be gone already
            let _ = socket2::SockRef::from(&self.fd).shutdown(how);
        }
        let original = self.inherited.take().map_or(Ok(()), sys::close);
        sys::close(self.fd).and(original)
    }
}

/// A write of at most this many bytes to a pipe that polls writable does not sleep (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Pipes are widened to this much, the most that an unprivileged process may have: fewer and longer splices.
const PIPE_WIDTH: usize = 1 << 20;

/// A shorter file is read and written at once, which costs less than making a pipe for it.
const LONG_FILE: u64 = 64 * 1024;
