//! One connection with one request: read, answered, closed.

use std::io;
use std::time::{Duration, Instant};

use crate::bench::traffic::Layered;
use crate::bench::traffic::medium::moved;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};
use crate::session::end::{End, Step};

/// Reads a request of so many bytes, sends as many back, and closes.
pub(super) struct Answer {
    end: Option<End>,
    /// Bytes that are still to come, and to be sent.
    left: [usize; 2],
    buffer: Buffer,
    /// What an answer is made of.
    piece: Box<[u8]>,
    limit: Instant,
}

impl Answer {
    pub(super) fn new(mut over: Layered, size: usize, now: Instant) -> Self {
        over.send_apart();
        let piece = vec![0; size.min(PIECE)].into_boxed_slice();
        Answer { end: Some(over.end()), left: [size, size], buffer: Buffer::new(PIECE), piece, limit: now + LIMIT }
    }

    /// True once it is over.
    fn advance(&mut self, turn: &mut Turn) -> io::Result<bool> {
        let Some(end) = &mut self.end else { return Ok(true) };
        while self.left[0] > 0 {
            self.buffer.clear();
            match moved(end.read(turn, &mut self.buffer, self.left[0]))? {
                0 => return Ok(true),
                count => self.left[0] -= count,
            }
        }
        while self.left[1] > 0 {
            let most = self.left[1].min(self.piece.len());
            self.left[1] -= moved(end.write(turn, &self.piece[..most]))?;
        }
        match end.has_layers().then(|| end.close_write_for_good(turn)) {
            // the last of it waits for room
            Some(Step::Blocked) if end.unflushed() > 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(true),
        }
    }
}

impl Task for Answer {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        turn.deadline(Some(self.limit));
        if let Some(end) = &mut self.end
            && end.start(turn).is_err()
        {
            self.end = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.advance(turn) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && turn.now() < self.limit => return Park::Wait,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Park::Again,
            _ => {}
        }
        if let Some(end) = self.end.take() {
            // a socket has nothing to tell at its close
            let _ = end.close(turn, false);
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

/// Bytes that are read or written at once.
const PIECE: usize = 16 << 10;

/// How long a request may take to come.
const LIMIT: Duration = Duration::from_secs(10);
