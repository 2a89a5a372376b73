//! A transport that does what a test says: short reads, short writes, WouldBlock, end of file, errors.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::reactor::{Slot, Turn};
use crate::sys::Access;

/// What the next read does.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Gives these bytes, over several reads if the buffer is short.
    Data(Vec<u8>),
    /// Has nothing until the next event.
    Block,
    /// Ends; so does every read after it.
    End,
    /// Fails once; reads after it give 0, as sockets do.
    Fail(io::ErrorKind),
}

/// What the next write does; when nothing is left, everything is taken.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Takes at most this many bytes.
    Take(usize),
    /// Has no room until the next event.
    Block,
    /// Fails, and so does every write after it with EPIPE.
    Fail(io::ErrorKind),
}

/// What a test sees of a script afterwards.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Everything that was written.
    pub(crate) written: Vec<u8>,
    /// The most bytes that one write took.
    pub(crate) largest: usize,
    /// How many bytes were read.
    pub(crate) read: usize,
    /// How often the end of file was passed on.
    pub(crate) ends: usize,
    /// `Some(reset)` once it was closed.
    pub(crate) closed: Option<bool>,
    /// Bytes that pretend to be unacknowledged.
    pub(crate) unsent: usize,
    /// Every write adds to `unsent`, until the test acknowledges it.
    pub(crate) holds: bool,
    /// Bytes in `unsent` when it was closed.
    pub(crate) unsent_at_close: usize,
    /// Bytes written after the end of file.
    pub(crate) late: usize,
    /// It failed once; a peer would be gone.
    pub(crate) broken: bool,
    /// Some call was told WouldBlock, and the test has not yet fired the slot.
    pub(crate) blocked: bool,
    /// The end of file was not the last word: a reset came after it, which only [`Script::take_error`] tells.
    pub(crate) resets_after_end: bool,
    /// The reader was closed early.
    pub(crate) read_closed: bool,
    /// Where to fire events, once started.
    pub(crate) slot: Option<Slot>,
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.written.extend(bytes);
        self.largest = self.largest.max(bytes.len());
        self.late += if self.ends > 0 { bytes.len() } else { 0 };
        self.unsent += if self.holds { bytes.len() } else { 0 };
    }
}

/// A scripted transport.
#[derive(Debug)]
pub struct Script {
    reads: VecDeque<Read>,
    writes: VecDeque<Write>,
    slot: Option<Slot>,
    /// Its reads come from a terminal.
    pub(crate) terminal: bool,
    /// What the test looks at.
    pub(crate) seen: Rc<RefCell<Seen>>,
}

impl Script {
    pub(crate) fn new(reads: Vec<Read>, writes: Vec<Write>) -> Self {
        Script { reads: reads.into(), writes: writes.into(), slot: None, terminal: false, seen: Rc::default() }
    }

    /// The slot, once started.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.slot
    }

    pub(super) fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.slot = Some(turn.always_ready());
        self.seen.borrow_mut().slot = self.slot;
        Ok(())
    }

    pub(super) fn can_read(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).read)
    }

    pub(super) fn can_write(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).write)
    }

    pub(super) fn would_block(&self, turn: &mut Turn, access: Access) {
        self.seen.borrow_mut().blocked = true;
        match (self.slot, access) {
            (Some(slot), Access::Read) => turn.read_would_block(slot),
            (Some(slot), Access::Write) => turn.write_would_block(slot),
            (None, _) => {}
        }
    }

    pub(super) fn read(&mut self, turn: &mut Turn, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.can_read(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.reads.pop_front() {
            Some(Read::Data(mut bytes)) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                self.seen.borrow_mut().read += count;
                if count < bytes.len() {
                    self.reads.push_front(Read::Data(bytes.split_off(count)));
                }
                Ok(count)
            }
            Some(Read::Block) => {
                self.would_block(turn, Access::Read);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(Read::Fail(kind)) => {
                self.seen.borrow_mut().broken = true;
                self.reads = [Read::End].into();
                Err(kind.into())
            }
            Some(Read::End) | None => {
                self.reads = [Read::End].into();
                Ok(0)
            }
        }
    }

    pub(super) fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        if !self.can_write(turn) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.seen.borrow().broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.writes.pop_front() {
            Some(Write::Block) => {
                self.would_block(turn, Access::Write);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(Write::Fail(kind)) => {
                self.seen.borrow_mut().broken = true;
                Err(kind.into())
            }
            Some(Write::Take(most)) => {
                let count = bytes.len().min(most.max(1));
                self.seen.borrow_mut().take(&bytes[..count]);
                Ok(count)
            }
            None => {
                self.seen.borrow_mut().take(bytes);
                Ok(bytes.len())
            }
        }
    }

    pub(super) fn close_write(&mut self) -> io::Result<()> {
        let mut seen = self.seen.borrow_mut();
        seen.ends += 1;
        seen.unsent += usize::from(seen.holds); // as TCP counts it
        if seen.broken { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        let mut seen = self.seen.borrow_mut();
        let reset = std::mem::take(&mut seen.resets_after_end);
        seen.broken |= reset;
        reset.then(|| io::ErrorKind::ConnectionReset.into())
    }

    pub(super) fn close_read(&mut self) {
        self.seen.borrow_mut().read_closed = true;
    }

    pub(super) fn unsent(&self) -> usize {
        self.seen.borrow().unsent
    }

    pub(super) fn close(self, reset: bool) {
        let mut seen = self.seen.borrow_mut();
        seen.closed = Some(reset);
        seen.unsent_at_close = seen.unsent;
    }
}
