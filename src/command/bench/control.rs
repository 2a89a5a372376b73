//! A control connection: the bytes of a conversation, moved in both directions.

use std::io;
use std::time::Instant;

use crate::bench::traffic::Layered;
use crate::bench::traffic::medium::moved;
use crate::buffer::Buffer;
use crate::endpoint::Transport;
use crate::endpoint::socket::Socket;
use crate::reactor::Turn;
use crate::session::end::End;

/// A connection over which two ends agree.
pub(super) struct Control {
    end: End,
    buffer: Buffer,
    /// The peer says nothing more.
    ended: bool,
}

impl Control {
    /// Over this connection.
    pub(super) fn new(mut over: Layered) -> Self {
        // one byte a step: none of them is to wait for another
        over.send_apart();
        let end = over.end();
        // a peer that is gone without a word is noticed
        end.probe();
        Control { end, buffer: Buffer::new(4096), ended: false }
    }

    /// Registers it.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(super) fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.end.start(turn)
    }

    /// Reads what is there, and gives it to `take`.
    ///
    /// # Errors
    /// What the system or a layer says, but not that nothing is there.
    pub(super) fn read(&mut self, turn: &mut Turn, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.end.tick(turn.now());
        // a peer that talks without end is heard in later turns
        for _ in 0..16 {
            if self.ended {
                break;
            }
            self.buffer.clear();
            match moved(self.end.read(turn, &mut self.buffer, usize::MAX)) {
                Ok(0) => self.ended = true,
                Ok(_) => take(self.buffer.filled()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// True once the peer has said everything.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Sends what waits; true once the system has all of it.
    ///
    /// # Errors
    /// What the system or a layer says, but not that there is no room.
    pub(super) fn write(&mut self, turn: &mut Turn, waiting: &mut Vec<u8>) -> io::Result<bool> {
        let mut sent = 0;
        let result = loop {
            if sent == waiting.len() {
                self.end.flush(turn);
                break Ok(self.end.unflushed() == 0 || self.end.is_mute());
            }
            match moved(self.end.write(turn, &waiting[sent..])) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        waiting.drain(..sent);
        result
    }

    /// Its socket.
    pub(super) fn socket(&self) -> Option<&Socket> {
        match self.end.transport() {
            Transport::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// When a layer wants a turn at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.end.deadline()
    }

    /// Closes it, and says so as far as there is room for that.
    pub(super) fn close(mut self, turn: &mut Turn) {
        if self.end.has_layers() {
            self.end.close_write_for_good(turn);
        }
        // a socket's close tells nothing
        let _ = self.end.close(turn, false);
    }
}
