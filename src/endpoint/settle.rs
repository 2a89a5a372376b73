//! What becomes of a written file before it counts as written: it is synced (`--fsync`), and a whole file takes its name.
//!
//! Both may take seconds, so a helper thread does them and wakes the task; until then closing answers `WouldBlock`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::Transport;
use super::descriptor::Descriptor;
use super::whole::Whole;
use crate::reactor::Turn;

/// The last thing that is done with a file. Dropped before it is done, a whole file does not take its name, unless it
/// has it already.
pub(crate) struct Settle {
    whole: Option<Arc<Whole>>,
    state: State,
    sync: Sync,
    /// Not before somebody says so.
    held: bool,
}

enum State {
    /// Nothing was done yet.
    New,
    /// A helper thread is at it.
    Asked(Receiver<io::Result<()>>),
    /// Done, or failed and told.
    Over,
}

/// What brings the bytes to the disk; tests have their own.
type Sync = Box<dyn FnOnce(&File) -> io::Result<()> + Send>;

impl Settle {
    /// To be synced.
    pub(super) fn syncing() -> Self {
        Settle::new(None)
    }

    /// To be synced, and then to take its name.
    pub(super) fn publishing(whole: Whole) -> Self {
        Settle::new(Some(Arc::new(whole)))
    }

    fn new(whole: Option<Arc<Whole>>) -> Self {
        Settle { whole, state: State::New, sync: Box::new(sync), held: false }
    }

    /// The same with something else in the place of fsync(2).
    #[cfg(test)]
    pub(crate) fn by(mut self, sync: impl FnOnce(&File) -> io::Result<()> + Send + 'static) -> Self {
        self.sync = Box::new(sync);
        self
    }

    /// True if a file is to take its name.
    pub(super) fn publishes(&self) -> bool {
        self.whole.is_some()
    }

    /// Nothing is begun while it is held.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// True while a helper thread is at it.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Asked(_))
    }

    /// Begins, or looks whether it is done. The task that began gets a turn then.
    ///
    /// # Errors
    /// WouldBlock until it is done; what fsync(2), linkat(2) and rename(2) say.
    pub(super) fn turn(&mut self, turn: &mut Turn, fd: BorrowedFd<'_>) -> io::Result<()> {
        match &self.state {
            State::New if self.held => Err(io::ErrorKind::WouldBlock.into()),
            State::New => self.begin(turn, fd),
            State::Asked(answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => Err(io::ErrorKind::WouldBlock.into()),
                answered => {
                    self.state = State::Over;
                    answered.unwrap_or_else(|_| Err(io::Error::other("the helper thread gave up")))
                }
            },
            State::Over => Ok(()),
        }
    }

    fn begin(&mut self, turn: &mut Turn, fd: BorrowedFd<'_>) -> io::Result<()> {
        let file = File::from(fd.try_clone_to_owned()?);
        let (whole, sync) = (self.whole.clone(), std::mem::replace(&mut self.sync, Box::new(sync)));
        let (remote, task) = (turn.remote()?, turn.id());
        let (sender, answer) = channel();
        let helper = std::thread::Builder::new().name("settle".into());
        let spawned = helper.spawn(move || {
            let done = settle(&file, whole.as_deref(), sync);
            drop(file);
            // nobody waits any more: it was given up
            let _ = sender.send(done.map_err(never_would_block));
            remote.wake(task);
        });
        spawned.map_err(never_would_block)?;
        self.state = State::Asked(answer);
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if let Some(whole) = &self.whole {
            whole.abandon();
        }
    }
}

impl std::fmt::Debug for Settle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::New => "new",
            State::Asked(_) => "asked",
            State::Over => "over",
        };
        f.debug_struct("Settle").field("whole", &self.whole).field("state", &state).finish_non_exhaustive()
    }
}

/// The calls that sleep, in the order that a crash at any moment allows.
fn settle(file: &File, whole: Option<&Whole>, sync: Sync) -> io::Result<()> {
    sync(file)?;
    let Some(whole) = whole else { return Ok(()) };
    whole.publish(file.as_fd())?;
    whole.sync_name()
}

/// fsync(2), where there is a disk behind it.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        result => result,
    }
}

/// "Try again" of a thread or a file server is a failure here: no event would ever come.
fn never_would_block(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other(crate::error::sentence(&error)),
        _ => error,
    }
}

impl Transport {
    fn writer(&self) -> Option<&Descriptor> {
        if let Transport::Descriptors(both) = self { both.writer.as_ref() } else { None }
    }

    fn writer_mut(&mut self) -> Option<&mut Descriptor> {
        if let Transport::Descriptors(both) = self { both.writer.as_mut() } else { None }
    }

    /// Has what is written to a file synced before it counts as written (`--fsync`); nothing for pipes, sockets and
    /// terminals, which have no disk.
    pub fn sync_before_close(&mut self) {
        if let Some(fd) = self.writer_mut() {
            fd.sync_before_close();
        }
    }

    /// Brings what was written to where it is safe, as `--fsync` and whole files ask for; [`Transport::close_write`]
    /// does this first.
    ///
    /// # Errors
    /// WouldBlock until it is done, and then the task gets a turn; what fsync(2), linkat(2) and rename(2) say.
    pub fn settle(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.writer_mut().map_or(Ok(()), |fd| fd.settle(turn))
    }

    /// True while [`Transport::settle`] is under way.
    pub fn is_settling(&self) -> bool {
        self.writer().is_some_and(Descriptor::is_settling)
    }

    /// True if what is written takes its name only when it is settled, and is lost otherwise.
    pub fn is_whole(&self) -> bool {
        self.writer().is_some_and(Descriptor::is_whole)
    }

    /// Settling may not begin while it is held: whether all went well where the bytes come from is not known yet.
    pub fn hold_settling(&mut self, held: bool) {
        if let Some(fd) = self.writer_mut() {
            fd.hold_settling(held);
        }
    }

    /// What was written is not to be settled any more: a whole file is given up, the old one stays.
    pub fn give_up_settling(&mut self) {
        if let Some(fd) = self.writer_mut() {
            fd.give_up_settling();
        }
    }
}

#[cfg(test)]
mod tests;
