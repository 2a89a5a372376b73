//! Where a sender's datagrams come from: the same bytes again and again, or a stream that is taken apart.

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
}

/// A stream of bytes that is taken apart.
pub(super) struct Stream {
    from: Transport,
    name: String,
    splitter: Splitter,
    buffer: Buffer,
    /// Bytes asked for in one read; 0 for as many as there is room.
    piece: usize,
    /// The message at the head of the buffer, once it is known.
    found: Option<Message>,
    ended: bool,
}

impl Messages {
    /// Takes apart what `from` gives, into payloads of at most `limit` bytes; `name` is for errors.
    pub(super) fn stream(from: Transport, name: String, split: Option<Split>, limit: usize) -> Self {
        let by_default = if from.reads_terminal() { Split::Line } else { Split::Read };
        let (rule, piece) = match split.unwrap_or(by_default) {
            Split::Read => (Rule::Read, READ.min(limit).max(1)),
            Split::Line => (Rule::Line, 0),
            Split::Nul => (Rule::Nul, 0),
            Split::Size(size) => (Rule::Size(size), 0),
            Split::Len16 => (Rule::Len16, 0),
            Split::Whole => (Rule::None, 0),
        };
        let splitter = Splitter::new(rule, limit);
        let buffer = Buffer::new(splitter.room().max(BUFFER));
        Messages::Stream(Box::new(Stream { from, name, splitter, buffer, piece, found: None, ended: false }))
    }

    /// Registers what it reads.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        match self {
            Messages::Same(_) => Ok(()),
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
        }
    }

    /// The payload that [`Messages::next`] gave is done with.
    pub(super) fn take(&mut self) {
        if let Messages::Stream(stream) = self
            && let Some(message) = stream.found.take()
        {
            stream.buffer.consume(message.used);
        }
    }

    /// The payload that [`Messages::next`] gave and those behind it, where they have one length, at most `most`.
    pub(super) fn block(&self, most: u64) -> Option<(&[u8], usize)> {
        let Messages::Stream(stream) = self else { return None };
        let size = stream.splitter.size()?;
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

    /// Nothing more is wanted.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        if let Messages::Stream(stream) = self {
            stream.from.close_read(turn);
        }
    }
}

impl Stream {
    fn next(&mut self, turn: &mut Turn) -> Result<Next<'_>, Error> {
        while self.found.is_none() {
            let found = self.splitter.next(self.buffer.filled(), self.ended);
            self.found = found.map_err(|unfit| Error::said(Op::Use, &self.name, unfit.to_string()))?;
            if self.found.is_some() {
                break;
            }
            if self.ended {
                return Ok(Next::Over);
            }
            let most = if self.piece > 0 { self.piece } else { usize::MAX };
            // a whole read must fit where each is a datagram, and a whole message elsewhere
            let room = if self.piece > 0 { self.piece } else { self.splitter.room() - self.buffer.len() };
            self.buffer.spare(room.max(1));
            match self.from.read(turn, self.buffer.spare(most)) {
                Ok(0) => self.ended = true,
                Ok(count) => self.buffer.fill(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Later),
                Err(error) => return Err(Error::new(Op::Read, &self.name, error)),
            }
        }
        let Some(Message { start, length, .. }) = self.found else { return Ok(Next::Over) };
        Ok(Next::Payload(&self.buffer.filled()[start..start + length]))
    }
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

/// Bytes read ahead.
const BUFFER: usize = 128 * 1024;
