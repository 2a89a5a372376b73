//! A control connection: the bytes of a conversation, moved in both directions.

use std::io;

use crate::endpoint::Transport;
use crate::endpoint::socket::Socket;
use crate::reactor::Turn;

/// A connection over which two ends agree.
pub(super) struct Control {
    transport: Transport,
    /// The peer says nothing more.
    ended: bool,
}

impl Control {
    /// Over this socket.
    pub(super) fn new(mut socket: Socket) -> Self {
        // one byte a step: none of them is to wait for another
        socket.send_apart();
        let transport = Transport::Socket(socket);
        // a peer that is gone without a word is noticed
        transport.probe();
        Control { transport, ended: false }
    }

    /// Registers it.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(super) fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.transport.start(turn)
    }

    /// Reads what is there, and gives it to `take`.
    ///
    /// # Errors
    /// What the system says, but not that nothing is there.
    pub(super) fn read(&mut self, turn: &mut Turn, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = [0; 4096];
        // a peer that talks without end is heard in later turns
        for _ in 0..16 {
            if self.ended {
                break;
            }
            match self.transport.read(turn, &mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => take(&buffer[..count]),
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

    /// Sends what waits; true once all of it is taken.
    ///
    /// # Errors
    /// What the system says, but not that there is no room.
    pub(super) fn write(&mut self, turn: &mut Turn, waiting: &mut Vec<u8>) -> io::Result<bool> {
        let mut sent = 0;
        let result = loop {
            if sent == waiting.len() {
                break Ok(true);
            }
            match self.transport.write(turn, &waiting[sent..]) {
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
        match &self.transport {
            Transport::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// Closes it.
    pub(super) fn close(self, turn: &mut Turn) {
        // a socket's close tells nothing
        let _ = self.transport.close(turn, false);
    }
}
