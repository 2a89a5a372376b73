//! Where a sender's datagrams come from: the same bytes again and again, or a stream that is taken apart.
//!
//! What was taken from a stream can be remembered for a while, and begun anew: it may have gone to an address where
//! nobody listens.

use std::io;

use super::writes;
use crate::buffer::Buffer;
use crate::datagram::pace;
use crate::datagram::split::{Message, Rule, Splitter};
use crate::endpoint::Transport;
use crate::error::{Error, Op};
use crate::plan::datagram::{Pacing, READ, Split};
use crate::reactor::Turn;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// This payload; it stays the next one until it is taken.
    Payload(&'a [u8]),
    /// Nothing before an event of the source.
    Later,
    /// Nothing more.
    Over,
}

/// How far one look at a direction came: `Wait` for an event or the deadline, or there is more to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing more before that.
    Wait,
    /// There is more.
    Again,
}

/// A source of payloads.
pub(super) enum Messages {
    /// These bytes, as often as they are asked for.
    Same(Vec<u8>),
    /// What a stream gives.
    Stream(Box<Stream>),
    /// None, and no end of them either.
    Nothing,
}

/// A stream of bytes that is taken apart.
pub(super) struct Stream {
    from: Transport,
    name: String,
    splitter: Splitter,
    buffer: Buffer,
    pieces: Pieces,
    limit: usize,
    /// The message at the head of the buffer, once it is known.
    found: Option<Message>,
    ended: bool,
    memory: Option<Memory>,
}

/// What one read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// As much as there is room for: the bounds are in the bytes.
    Any,
    /// A message, of so many bytes at most.
    Message(usize),
    /// What one write put there.
    Write,
}

/// Messages that were taken, to be given again.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    /// The next one to be given, and where it begins. Invariant: `next <= lengths.len()`.
    next: usize,
    at: usize,
}

impl Memory {
    fn has_next(&self) -> bool {
        self.next < self.lengths.len()
    }

    fn payload(&self) -> &[u8] {
        let length = self.lengths.get(self.next).copied().unwrap_or_default();
        &self.bytes[self.at..self.at + length]
    }
}

impl Messages {
    /// Takes apart what `from` gives, into payloads of at most `limit` bytes; `name` is for errors.
    pub(super) fn stream(from: Transport, name: String, split: Option<Split>, limit: usize) -> Self {
        let by_default = if from.reads_terminal() { Split::Line } else { Split::Read };
        let (rule, pieces) = match split.unwrap_or(by_default) {
            Split::Read => (Rule::Read, Pieces::Message(READ.min(limit).max(1))),
            Split::Line => (Rule::Line, Pieces::Any),
            Split::Nul => (Rule::Nul, Pieces::Any),
            Split::Size(size) => (Rule::Size(size), Pieces::Any),
            Split::Len16 => (Rule::Len16, Pieces::Any),
            Split::Whole => (Rule::None, Pieces::Any),
        };
        Messages::taken_apart(from, name, (rule, pieces), limit)
    }

    /// What a program writes, as it was started for messages: each write is one.
    pub(super) fn writes(from: Transport, name: String, limit: usize) -> Self {
        Messages::taken_apart(from, name, (Rule::Read, Pieces::Write), limit)
    }

    fn taken_apart(from: Transport, name: String, (rule, pieces): (Rule, Pieces), limit: usize) -> Self {
        let splitter = Splitter::new(rule, limit);
        let buffer = Buffer::new(splitter.room().max(BUFFER) + writes::ROOM);
        let (found, ended, memory) = (None, false, None);
        Messages::Stream(Box::new(Stream { from, name, splitter, buffer, pieces, limit, found, ended, memory }))
    }

    /// Registers what it reads.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        match self {
            Messages::Same(_) | Messages::Nothing => Ok(()),
            Messages::Stream(stream) => {
                stream.from.start(turn).map_err(|error| Error::new(Op::Read, &stream.name, error))
            }
        }
    }

    /// The next payload.
    ///
    /// # Errors
    /// Reading failed; a message is longer than a datagram or cut short.
    pub(super) fn next(&mut self, turn: &mut Turn) -> Result<Next<'_>, Error> {
        match self {
            Messages::Same(bytes) => Ok(Next::Payload(bytes)),
            Messages::Stream(stream) => stream.next(turn),
            Messages::Nothing => Ok(Next::Later),
        }
    }

    /// The payload that [`Messages::next`] gave is done with.
    pub(super) fn take(&mut self) {
        if let Messages::Stream(stream) = self {
            stream.take();
        }
    }

    /// The length of each payload, where they all have one and may be taken by [`Messages::fill`].
    pub(super) fn size(&self) -> Option<usize> {
        let Messages::Stream(stream) = self else { return None };
        // what is to be remembered goes one by one, and so does a shorter one at the end
        stream.splitter.size().filter(|_| stream.memory.is_none() && !stream.ended)
    }

    /// Fills `space`, of whole payloads of one [`Messages::size`], with as many as one read gives: how many there are
    /// now at its head, which are done with. 0 if only [`Messages::next`] can tell what comes: an event has to happen
    /// first, or it is the end.
    ///
    /// # Errors
    /// Reading failed.
    pub(super) fn fill(&mut self, turn: &mut Turn, space: &mut [u8]) -> Result<usize, Error> {
        match self {
            Messages::Stream(stream) => stream.fill(turn, space),
            Messages::Same(_) | Messages::Nothing => Ok(0),
        }
    }

    /// Keeps what is taken from now on, as long as that is little.
    pub(super) fn remember(&mut self) {
        if let Messages::Stream(stream) = self {
            stream.memory = Some(Memory::default());
        }
    }

    /// What was taken will not be wanted again.
    pub(super) fn forget(&mut self) {
        if let Messages::Stream(stream) = self
            && !stream.memory.as_ref().is_some_and(Memory::has_next)
        {
            stream.memory = None;
        }
    }

    /// Begins anew with the first one. False, and nothing done, if that is not known any more.
    pub(super) fn rewind(&mut self) -> bool {
        match self {
            Messages::Same(_) | Messages::Nothing => true,
            Messages::Stream(stream) => match &mut stream.memory {
                Some(memory) => {
                    (memory.next, memory.at) = (0, 0);
                    true
                }
                None => false,
            },
        }
    }

    /// Nothing more is wanted; what is remembered still is.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        if let Messages::Stream(stream) = self {
            stream.ended = true;
            stream.found = None;
            stream.buffer.clear();
            stream.from.close_read(turn);
        }
    }
}

impl Stream {
    fn next(&mut self, turn: &mut Turn) -> Result<Next<'_>, Error> {
        let again = self.memory.as_ref().is_some_and(Memory::has_next);
        while !again && self.found.is_none() {
            let found = self.splitter.next(self.buffer.filled(), self.ended);
            self.found = found.map_err(|unfit| Error::said(Op::Use, &self.name, unfit.to_string()))?;
            if self.found.is_some() {
                break;
            }
            if self.ended {
                return Ok(Next::Over);
            }
            if !self.read(turn)? {
                return Ok(Next::Later);
            }
        }
        if again && let Some(memory) = &self.memory {
            return Ok(Next::Payload(memory.payload()));
        }
        let Some(Message { start, length, .. }) = self.found else { return Ok(Next::Over) };
        Ok(Next::Payload(&self.buffer.filled()[start..start + length]))
    }

    /// What was read ahead, then one read straight to where the payloads are wanted.
    fn fill(&mut self, turn: &mut Turn, space: &mut [u8]) -> Result<usize, Error> {
        let Some(size) = self.splitter.size() else { return Ok(0) };
        // a part of a payload at the end would come before what is still ahead
        let whole = space.len() / size * size;
        let space = &mut space[..whole];
        let ahead = self.buffer.len().min(space.len());
        space[..ahead].copy_from_slice(&self.buffer.filled()[..ahead]);
        self.buffer.consume(ahead);
        let mut filled = ahead;
        if filled < size && filled < space.len() {
            match self.from.read(turn, &mut space[filled..]) {
                Ok(0) => self.ended = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::new(Op::Read, &self.name, error)),
            }
        }
        let count = filled / size;
        // what is over begins a payload of which the rest has to come, so there is room for it
        self.buffer.push(&space[count * size..filled]);
        if count > 0 {
            // the first of them may have been asked for
            let asked = u64::from(self.found.take().is_some());
            self.splitter.skipped(count as u64 - asked, (count * size) as u64 - asked * size as u64);
        }
        Ok(count)
    }

    /// One read; false if nothing can be known before an event.
    fn read(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let (most, room) = match self.pieces {
            // a whole read must fit where each is a datagram, and a whole message elsewhere
            Pieces::Message(most) => (most, most),
            Pieces::Any => (usize::MAX, self.splitter.room() - self.buffer.len()),
            Pieces::Write => (usize::MAX, self.limit + writes::ROOM),
        };
        self.buffer.spare(room.max(1));
        let space = self.buffer.spare(most);
        let result = match self.pieces {
            Pieces::Write => writes::one_write(&mut self.from, turn, space, self.limit),
            Pieces::Any | Pieces::Message(_) => self.from.read(turn, space),
        };
        match result {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.fill(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Error::new(Op::Read, &self.name, error)),
        }
        Ok(true)
    }

    fn take(&mut self) {
        if let Some(memory) = self.memory.as_mut().filter(|memory| memory.has_next()) {
            memory.at += memory.payload().len();
            memory.next += 1;
            return;
        }
        let Some(Message { start, length, used }) = self.found.take() else { return };
        if let Some(memory) = &mut self.memory {
            if memory.lengths.len() == REMEMBERED || memory.bytes.len() + length > BUFFER {
                self.memory = None;
            } else {
                memory.bytes.extend_from_slice(&self.buffer.filled()[start..start + length]);
                memory.lengths.push(length);
                (memory.next, memory.at) = (memory.lengths.len(), memory.bytes.len());
            }
        }
        self.buffer.consume(used);
    }
}

/// True if all bytes of a stream are payload when it is taken apart like this: its size is what will be sent.
pub(super) fn sends_every_byte(split: Option<Split>) -> bool {
    matches!(split, None | Some(Split::Read | Split::Size(_) | Split::Whole))
}

/// The limits of a pace; the same bytes go once unless a count is given.
pub(super) fn limits(pacing: &Pacing, same: bool) -> pace::Limits {
    pace::Limits {
        interval: pacing.interval,
        per_second: pacing.per_second,
        rate: pacing.rate.map(|rate| rate.0),
        count: pacing.count.or(same.then_some(1)),
    }
}

/// Bytes read ahead, and remembered.
const BUFFER: usize = 128 * 1024;

/// Messages that are remembered.
const REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests;
