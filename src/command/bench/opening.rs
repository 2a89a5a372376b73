//! Opening the streams of a client: one after the other, because the server counts them in the order in which they come.

use std::time::Instant;

use crate::bench::protocol::{Cookie, stream_id};
use crate::endpoint::dial::Dial;
use crate::endpoint::socket::Socket;
use crate::error::{Error, Op};
use crate::plan::address::Address;
use crate::reactor::Turn;

use super::ledger::Lane;

/// A stream that is open, and its place in the books.
pub(super) struct Opened {
    pub(super) lane: Lane,
    pub(super) socket: Socket,
}

/// Streams on their way.
pub(super) struct Opening {
    to: Address,
    cookie: Cookie,
    /// For each stream whether this end sends.
    wanted: Vec<bool>,
    opened: Vec<Opened>,
    dial: Option<Dial>,
}

impl Opening {
    /// Streams to this address; `wanted` says of each whether this end sends.
    pub(super) fn new(to: &Address, cookie: &Cookie, wanted: Vec<bool>) -> Self {
        Opening { to: to.clone(), cookie: *cookie, wanted, opened: Vec::new(), dial: None }
    }

    /// Does everything possible now; true once all are open.
    ///
    /// # Errors
    /// One cannot be opened.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        while self.opened.len() < self.wanted.len() {
            let dial = match &mut self.dial {
                Some(dial) => dial,
                none => {
                    let mut dial = Dial::new(&self.to);
                    dial.start(turn)?;
                    none.insert(dial)
                }
            };
            let Some(mut connected) = dial.turn(turn)? else { return Ok(false) };
            self.dial = None;
            let sent = connected.socket.send_first(&self.cookie.0);
            match sent {
                Ok(count) if count == self.cookie.0.len() => {}
                Ok(_) => return Err(Error::said(Op::Connect, self.to.to_string(), "it takes no cookie")),
                Err(error) => return Err(Error::new(Op::Transfer, connected.peer, error)),
            }
            connected.socket.stop(turn);
            let index = self.opened.len();
            let is_sender = self.wanted[index];
            let lane = Lane::new(stream_id(index), is_sender, &connected.socket);
            self.opened.push(Opened { lane, socket: connected.socket });
        }
        Ok(true)
    }

    /// What is open.
    pub(super) fn take(&mut self) -> Vec<Opened> {
        std::mem::take(&mut self.opened)
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.dial.as_ref().and_then(Dial::deadline)
    }
}
