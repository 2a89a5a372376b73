//! Standard output for datagrams: their payloads raw or framed, as many by one write as the other side may see at once.
//!
//! A terminal and a socket that keeps records get each datagram by a write of its own; the null device gets nothing at
//! all; elsewhere what one receive gave is one write.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IsTerminal};

use crate::datagram::split::Framing;
use crate::endpoint::{Transport, stdio};
use crate::error::{Error, Op};
use crate::outcome::Ended;
use crate::plan::datagram;
use crate::reactor::Turn;
use crate::sys::Access;

/// Where payloads go.
pub(super) struct Output {
    /// `None` once it is closed.
    out: Option<Transport>,
    framing: Framing,
    manner: Manner,
    /// What is to be written; the first `written` bytes of it are out.
    pending: Vec<u8>,
    written: usize,
    /// The lengths of the writes that `pending` is to become, for [`Manner::Each`] alone.
    writes: VecDeque<usize>,
}

/// How datagrams become writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nothing is written: the null device drops it anyway.
    Dropped,
    /// As it comes.
    Joined,
    /// Each by one write.
    Each,
}

impl Output {
    /// Opens standard output. One that is closed is an error only once there is something to write.
    ///
    /// # Errors
    /// What the system says of it.
    pub(super) fn open(framing: Option<datagram::Framing>) -> Result<Self, Error> {
        let out = stdio::open(false, true)?;
        let manner = match () {
            () if out.drops_everything() => Manner::Dropped,
            () if out.keeps_records(Access::Write) || io::stdout().is_terminal() => Manner::Each,
            () => Manner::Joined,
        };
        if manner == Manner::Joined {
            out.widen_pipes();
        }
        Ok(Output::to(out, manner, framing))
    }

    fn to(out: Transport, manner: Manner, framing: Option<datagram::Framing>) -> Self {
        let framing = match framing {
            None => Framing::Raw,
            Some(datagram::Framing::Line) => Framing::Line,
            Some(datagram::Framing::Nul) => Framing::Nul,
            Some(datagram::Framing::Len16) => Framing::Len16,
        };
        Output { out: Some(out), framing, manner, pending: Vec::new(), written: 0, writes: VecDeque::new() }
    }

    /// Registers it with the reactor.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.out.as_mut().map_or(Ok(()), |out| out.start(turn)).map_err(failed)
    }

    /// True while so much is queued that nothing should be received.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() - self.written >= ENOUGH
    }

    /// True if nothing of what is given is of use to anybody.
    pub(super) fn drops(&self) -> bool {
        self.manner == Manner::Dropped
    }

    /// True if payloads may be given several at once, by [`Output::joined`].
    pub(super) fn joins(&self) -> bool {
        self.drops() || self.framing == Framing::Raw && self.manner != Manner::Each
    }

    /// The payloads of several datagrams, one behind the other; only if it [`Output::joins`].
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(super) fn joined(&mut self, turn: &mut Turn, bytes: &[u8]) -> Result<(), Ended> {
        if self.drops() {
            return Ok(());
        }
        let mut bytes = bytes;
        if self.pending.is_empty() && bytes.len() >= DIRECT {
            // straight from where it was received
            match self.write(turn, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(ended(error)),
            }
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// The payload of one datagram.
    ///
    /// # Errors
    /// It is longer than its frame can say; nothing of it is written, and the output goes on.
    pub(super) fn datagram(&mut self, payload: &[u8]) -> Result<(), Error> {
        if self.drops() {
            return Ok(());
        }
        let before = self.pending.len();
        let Some(head) = self.framing.before(payload.len()) else {
            let object = format!("a record of {} bytes", payload.len());
            let why = format!("a len16 record holds at most {}", u16::MAX);
            return Err(Error::said(Op::Write, object, why));
        };
        self.pending.extend_from_slice(head.as_bytes());
        self.pending.extend_from_slice(payload);
        self.pending.extend_from_slice(self.framing.after());
        if self.manner == Manner::Each && self.pending.len() > before {
            self.writes.push_back(self.pending.len() - before);
        }
        Ok(())
    }

    /// Writes what there is room for; true once everything is out.
    ///
    /// # Errors
    /// The run is over: nobody reads any more, or the output failed.
    pub(super) fn flush(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        while self.written < self.pending.len() {
            let most = self.writes.front().copied().unwrap_or(self.pending.len() - self.written);
            let pending = std::mem::take(&mut self.pending);
            let result = self.write(turn, &pending[self.written..self.written + most]);
            self.pending = pending;
            match result {
                Ok(count) => {
                    self.written += count;
                    match self.writes.front_mut() {
                        Some(left) if *left > count => *left -= count,
                        _ => drop(self.writes.pop_front()),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.make_room();
                    return Ok(false);
                }
                Err(error) => return Err(ended(error)),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(true)
    }

    /// Forgets what is out, once that is the greater part.
    fn make_room(&mut self) {
        if self.written * 2 >= self.pending.len() {
            self.pending.drain(..self.written);
            self.written = 0;
        }
    }

    fn write(&mut self, turn: &mut Turn, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(bytes.len()), |out| out.write(turn, bytes))
    }

    /// Closes it, once everything is out.
    ///
    /// # Errors
    /// What a file says of data that could not be written.
    pub(super) fn close(&mut self, turn: &mut Turn) -> Result<(), Ended> {
        self.out.take().map_or(Ok(()), |out| out.close(turn, false)).map_err(ended)
    }
}

fn ended(error: io::Error) -> Ended {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ended::ReaderGone,
        _ => Ended::Failed(failed(error)),
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Op::Write, "standard output", error)
}

/// Bytes in the queue beyond which nothing should be added.
const ENOUGH: usize = 256 * 1024;

/// Bytes of a run that are worth a write of their own instead of a copy.
const DIRECT: usize = 16 * 1024;
