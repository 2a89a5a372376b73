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
    /// How often the end of file was passed on.
    pub(crate) ends: usize,
    /// `Some(reset)` once it was closed.
    pub(crate) closed: Option<bool>,
    /// Bytes that pretend to be unacknowledged.
    pub(crate) unsent: usize,
    /// Reads and writes made while the latch said no.
    pub(crate) useless: usize,
}

/// A scripted transport.
#[derive(Debug)]
pub(crate) struct Script {
    reads: VecDeque<Read>,
    writes: VecDeque<Write>,
    slot: Option<Slot>,
    broken: bool,
    /// What the test looks at.
    pub(crate) seen: Rc<RefCell<Seen>>,
}

impl Script {
    pub(crate) fn new(reads: Vec<Read>, writes: Vec<Write>) -> Self {
        Script { reads: reads.into(), writes: writes.into(), slot: None, broken: false, seen: Rc::default() }
    }

    /// The slot, once started.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.slot
    }

    pub(super) fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.slot = Some(turn.always_ready());
        Ok(())
    }

    pub(super) fn can_read(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).read)
    }

    pub(super) fn can_write(&self, turn: &Turn) -> bool {
        self.slot.is_some_and(|slot| turn.latch(slot).write)
    }

    pub(super) fn would_block(&self, turn: &mut Turn, access: Access) {
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
                self.broken = true;
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
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.writes.pop_front() {
            Some(Write::Block) => {
                self.would_block(turn, Access::Write);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(Write::Fail(kind)) => {
                self.broken = true;
                Err(kind.into())
            }
            Some(Write::Take(most)) => {
                let count = bytes.len().min(most.max(1));
                self.seen.borrow_mut().written.extend(&bytes[..count]);
                Ok(count)
            }
            None => {
                self.seen.borrow_mut().written.extend(bytes);
                Ok(bytes.len())
            }
        }
    }

    pub(super) fn close_write(&mut self) -> io::Result<()> {
        self.seen.borrow_mut().ends += 1;
        if self.broken { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    pub(super) fn unsent(&self) -> usize {
        self.seen.borrow().unsent
    }

    pub(super) fn close(self, reset: bool) {
        self.seen.borrow_mut().closed = Some(reset);
    }
}
