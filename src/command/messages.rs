//! Where a sender's datagrams come from: the same bytes again and again, or a stream that is taken apart.
//!
//! What was taken from a stream can be remembered for a while, and begun anew: it may have gone to an address where
//! nobody listens.

use std::io;

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
    /// What one write put there, or a page of it: with `more`, the rest of it follows at once.
    Write { more: bool },
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
        Messages::taken_apart(from, name, (Rule::Read, Pieces::Write { more: false }), limit)
    }

    fn taken_apart(from: Transport, name: String, (rule, pieces): (Rule, Pieces), limit: usize) -> Self {
        let splitter = Splitter::new(rule, limit);
        let buffer = Buffer::new(splitter.room().max(BUFFER) + LONGEST_PAGE);
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

    /// The payload that [`Messages::next`] gave and those behind it, where they have one length, at most `most`.
    pub(super) fn block(&self, most: u64) -> Option<(&[u8], usize)> {
        let Messages::Stream(stream) = self else { return None };
        // what is to be remembered goes one by one
        let size = stream.splitter.size().filter(|_| stream.memory.is_none())?;
        let filled = stream.buffer.filled();
        let count = (filled.len() / size).min(usize::try_from(most).unwrap_or(usize::MAX));
        (count > 1).then(|| (&filled[..count * size], size))
    }

    /// So many of a block are done with.
    pub(super) fn take_block(&mut self, count: usize, size: usize) {
        if let Messages::Stream(stream) = self
            && count > 0
        {
            // the first of them was asked for
            stream.found = None;
            stream.splitter.skipped(count as u64 - 1, ((count - 1) * size) as u64);
            stream.buffer.consume(count * size);
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
            if !matches!(self.pieces, Pieces::Write { more: true }) {
                let found = self.splitter.next(self.buffer.filled(), self.ended);
                self.found = found.map_err(|unfit| Error::said(Op::Use, &self.name, unfit.to_string()))?;
                if self.found.is_some() {
                    break;
                }
                if self.ended {
                    return Ok(Next::Over);
                }
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

    /// One read; false if nothing can be known before an event.
    fn read(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let (most, room) = match self.pieces {
            // a whole read must fit where each is a datagram, and a whole message elsewhere
            Pieces::Message(most) => (most, most),
            Pieces::Any => (usize::MAX, self.splitter.room() - self.buffer.len()),
            Pieces::Write { .. } => (usize::MAX, LONGEST_PAGE),
        };
        self.buffer.spare(room.max(1));
        let result = self.from.read(turn, self.buffer.spare(most));
        let count = match &result {
            Ok(count) => *count,
            Err(_) => 0,
        };
        let more = match &mut self.pieces {
            Pieces::Write { more } => {
                let before = *more;
                // the pages of one write are all there by the time that the first can be read
                *more = count > 0 && count.is_multiple_of(PAGE) && self.buffer.len() + count < self.limit;
                before
            }
            _ => false,
        };
        match result {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.fill(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(more),
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

/// What every page is a multiple of, and none is longer than: a write that is longer is cut into pages.
const PAGE: usize = 4096;
const LONGEST_PAGE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::drive;
    use crate::endpoint::{Descriptors, file};
    use crate::plan::address::Options;

    /// Runs `body` on the messages of a file, within the loop.
    fn with_file<T: 'static>(
        content: &[u8],
        split: Split,
        mut body: impl FnMut(&mut Messages, &mut Turn) -> T + 'static,
    ) -> T {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, content).unwrap();
        let from: Descriptors = file::open(&path, &Options::default(), true, false).unwrap();
        let mut messages = Messages::stream(Transport::Descriptors(from), "f".into(), Some(split), 65_507);
        drive(move |turn| {
            messages.start(turn).unwrap();
            Ok(body(&mut messages, turn))
        })
    }

    /// Takes `count` payloads, or fewer if there are no more.
    fn take(messages: &mut Messages, turn: &mut Turn, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            let Next::Payload(payload) = messages.next(turn).unwrap() else { break };
            all.push(payload.to_vec());
            messages.take();
        }
        all
    }

    #[test]
    fn what_is_remembered_is_given_again_and_the_rest_follows() {
        with_file(b"a\n\nc\nd\ne", Split::Line, |messages, turn| {
            messages.remember();
            assert_eq!(take(messages, turn, 3), [&b"a"[..], b"", b"c"]);
            assert!(messages.rewind());
            assert_eq!(take(messages, turn, 2), [&b"a"[..], b""]);
            assert!(messages.rewind());
            assert_eq!(take(messages, turn, 9), [&b"a"[..], b"", b"c", b"d", b"e"]);
            assert_eq!(messages.next(turn).unwrap(), Next::Over);
            messages.close(turn);
            assert!(messages.rewind());
            assert_eq!(take(messages, turn, 9), [&b"a"[..], b"", b"c", b"d", b"e"]);
            messages.forget();
            assert!(!messages.rewind());
        });
    }

    #[test]
    fn much_is_not_remembered_and_nothing_is_lost_by_that() {
        let content: Vec<u8> = (0..400_000u32).map(|at| (at / 1000) as u8).collect();
        let expected = content.clone();
        with_file(&content, Split::Size(1000), move |messages, turn| {
            messages.remember();
            assert!(messages.block(64).is_none());
            let all = take(messages, turn, 1000);
            assert_eq!(all.concat(), expected);
            assert!(!messages.rewind());
        });
    }
}
