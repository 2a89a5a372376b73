//! One connection with one request: read, answered, closed.

use std::io;
use std::time::{Duration, Instant};

use crate::endpoint::socket::Socket;
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};

/// Reads a request of so many bytes, sends as many back, and closes.
pub(super) struct Answer {
    socket: Option<Socket>,
    /// Bytes that are still to come, and to be sent.
    left: [usize; 2],
    buffer: Box<[u8]>,
    limit: Instant,
}

impl Answer {
    pub(super) fn new(mut socket: Socket, size: usize, now: Instant) -> Self {
        socket.send_apart();
        let buffer = vec![0; size.min(16 << 10)].into_boxed_slice();
        Answer { socket: Some(socket), left: [size, size], buffer, limit: now + LIMIT }
    }

    /// True once it is over.
    fn advance(&mut self, turn: &mut Turn) -> io::Result<bool> {
        let Some(socket) = &mut self.socket else { return Ok(true) };
        while self.left[0] > 0 {
            let most = self.left[0].min(self.buffer.len());
            match socket.read(turn, &mut self.buffer[..most])? {
                0 => return Ok(true),
                count => self.left[0] -= count,
            }
        }
        while self.left[1] > 0 {
            let most = self.left[1].min(self.buffer.len());
            self.left[1] -= socket.write(turn, &self.buffer[..most])?;
        }
        Ok(true)
    }
}

impl Task for Answer {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        turn.deadline(Some(self.limit));
        if let Some(socket) = &mut self.socket
            && socket.start(turn).is_err()
        {
            self.socket = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.advance(turn) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && turn.now() < self.limit => return Park::Wait,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Park::Again,
            _ => {}
        }
        if let Some(socket) = self.socket.take() {
            socket.close(turn, false);
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

/// How long a request may take to come.
const LIMIT: Duration = Duration::from_secs(10);
