//! Opening an endpoint, whatever it is.

use std::io;
use std::time::{Duration, Instant};

use super::Transport;
use super::accept::Accepted;
use super::dial::Dial;
use crate::error::Error;
use crate::plan::address::Address;
use crate::reactor::Turn;

/// An endpoint on its way to being open.
pub struct Opening {
    dial: Dial,
}

/// An open endpoint.
pub struct Opened {
    /// It.
    pub transport: Transport,
    /// `tcp`, …
    pub protocol: &'static str,
    /// The peer as printed.
    pub peer: String,
    /// Our side as printed.
    pub local: String,
    /// The peer was found to be gone already.
    pub cut: Option<io::Error>,
}

impl Opening {
    /// Dials.
    pub fn new(address: &Address, _reads: bool, _writes: bool) -> Result<Self, Error> {
        Ok(Opening { dial: Dial::new(address) })
    }
    /// For what is listened on without accepting.
    pub fn listening(_address: &Address) -> Result<Option<Self>, Error> {
        Ok(None)
    }
    /// Starts.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.dial.start(turn)
    }
    /// Goes on.
    pub fn turn(&mut self, turn: &mut Turn) -> Result<Option<Opened>, Error> {
        Ok(self.dial.turn(turn)?.map(|c| Opened {
            transport: Transport::Socket(c.socket),
            protocol: c.protocol,
            peer: c.peer,
            local: c.local,
            cut: c.cut,
        }))
    }
    /// When.
    pub fn deadline(&self) -> Option<Instant> {
        self.dial.deadline()
    }
    /// Gives up.
    pub fn abandon(&mut self, turn: &mut Turn) {
        self.dial.abandon(turn);
    }
    /// Error.
    pub fn timed_out(&self, limit: Duration) -> Error {
        self.dial.timed_out(limit)
    }
}

impl From<Accepted> for Opened {
    fn from(a: Accepted) -> Self {
        Opened { transport: Transport::Socket(a.socket), protocol: a.protocol, peer: a.peer, local: a.local, cut: None }
    }
}
