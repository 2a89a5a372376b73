//! The connection of a stream, with the layers that stand on it, on its way from one task or thread to another.

use std::os::fd::OwnedFd;

use super::medium::Medium;
use crate::endpoint::Transport;
use crate::endpoint::socket::{Family, Socket};
use crate::layer::stack::Packed;
use crate::reactor::Turn;
use crate::session::end::{End, Side};

/// A socket that is registered with no reactor, and the layers whose handshakes are over on it.
#[derive(Debug)]
pub struct Layered {
    socket: Socket,
    layers: Option<Box<Packed>>,
}

impl Layered {
    /// Takes an end out of the reactor; `None` if it is over no socket.
    pub fn new(turn: &mut Turn, end: End) -> Option<Self> {
        let (transport, stack) = end.into_parts();
        let Transport::Socket(mut socket) = transport else { return None };
        socket.stop(turn);
        Some(Layered { socket, layers: stack.filter(|stack| !stack.is_bare()).map(|stack| stack.pack()) })
    }

    /// Its socket, for questions and options.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What is written from now on is sent at once.
    pub fn send_apart(&mut self) {
        self.socket.send_apart();
    }

    /// What a stream of bytes goes through.
    pub(super) fn medium(self) -> Medium {
        match self.layers {
            None => Medium::Bare(Transport::Socket(self.socket)),
            Some(_) => Medium::Layered(Box::new(self.end())),
        }
    }

    /// The end that it was, to be started.
    pub fn end(self) -> End {
        let stack = self.layers.map(|layers| layers.unpack());
        End::new(Transport::Socket(self.socket), Side::Peer("the other end".into()), stack)
    }

    /// Its descriptor, that of a Unix socket or not, and its layers, for calls that wait.
    pub(super) fn into_blocking(self, turn: &mut Turn) -> (OwnedFd, bool, Option<Box<Packed>>) {
        let is_unix = self.socket.family() != Family::Tcp;
        (self.socket.into_fd(turn), is_unix, self.layers)
    }

    /// Says a last word, as far as there is room for it, and closes.
    pub fn dismiss(self, turn: &mut Turn, word: &[u8]) {
        let Layered { socket, layers } = self;
        let mut stack = layers.map(|layers| layers.unpack());
        let wire = match &mut stack {
            None => Some(word),
            Some(stack) => {
                let taken = stack.encode(word);
                stack.close_plain();
                let said = taken.and_then(|_| stack.flush());
                stack.outgoing().filter(|_| said.is_ok()).map(|wire| wire.filled())
            }
        };
        if let Some(wire) = wire {
            // one that is gone is told nothing
            let _ = socket.send_first(wire);
        }
        socket.close(turn, false);
    }
}
