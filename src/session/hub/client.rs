//! One client of a hub.

use std::time::{Duration, Instant};

use super::alarms::Alarm;
use super::backlog::Cursor;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::session::end::{End, Fault};
use crate::session::limits::Bucket;
use crate::session::linger::Linger;
use crate::session::parting::{headline, peer_failed};
use crate::session::tap::Tap;

/// One client, from the moment it was added to its close.
pub(super) struct Client {
    /// Number of its session.
    pub(super) number: u64,
    pub(super) end: End,
    pub(super) input: Input,
    pub(super) outlet: Outlet,
    /// What is left of the banner, which it gets before anything else.
    pub(super) greeting: Option<Box<Buffer>>,
    /// Who looks at what it sends and gets.
    pub(super) tap: Option<Box<Tap>>,
    /// How far it has come with what it is to get. Invariant: `None` once the outlet is over.
    pub(super) cursor: Option<Cursor>,
    /// A line that is not yet whole, of what it sends. Invariant: no newline in it.
    pub(super) held: Vec<u8>,
    /// It came in the midst of a line that it gets nothing of.
    pub(super) skips: bool,
    /// Bytes sent to it, bytes received from it.
    pub(super) bytes: [u64; 2],
    /// What it may send (`-L`).
    pub(super) bucket: Option<Bucket>,
    pub(super) started: Instant,
    /// When its time is over (`--max-time`).
    pub(super) until: Option<Instant>,
    /// When a byte moved either way.
    pub(super) moved_at: Instant,
    /// When it took something last.
    pub(super) taken_at: Instant,
    /// When the end of what it sends was read.
    pub(super) ended_at: Option<Instant>,
    /// When the end of what it gets was passed on.
    pub(super) quiet_since: Option<Instant>,
    /// Invariant: true while it stands in the list of those that get a turn.
    pub(super) is_ready: bool,
    /// Invariant: true while it stands in the list of those that wait for room before they are heard.
    pub(super) is_waiting: bool,
    pub(super) alarm: Alarm,
    /// The first failure; it decides how it ends.
    pub(super) failure: Option<Box<Error>>,
    /// On its way out.
    pub(super) leaving: Option<Box<Leaving>>,
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// There may be more.
    Open,
    /// It has ended; it is delivered once the output has been written up to here.
    Ended(u64),
}

/// What a client gets. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlet {
    /// There may be more.
    Open,
    /// The source has ended; the rest is to be delivered and the end passed on.
    Ending,
    /// Nothing more.
    Over,
}

/// A client on its way out.
pub(super) struct Leaving {
    pub(super) ended: Ended,
    /// It must not look like an orderly end.
    pub(super) reset: bool,
    /// No waiting beyond this, whatever moves.
    pub(super) until: Option<Instant>,
    pub(super) linger: Linger,
    /// How long to the next look at the send queue.
    pub(super) pause: Duration,
}

/// A client that is gone.
#[derive(Debug)]
pub struct Departed {
    /// Number of its session.
    pub number: u64,
    /// How it ended: bytes sent to it (index 0) and received from it (index 1).
    pub outcome: Outcome,
}

impl Client {
    pub(super) fn new(number: u64, end: End, now: Instant) -> Self {
        Client {
            number,
            end,
            input: Input::Open,
            outlet: Outlet::Over,
            greeting: None,
            tap: None,
            cursor: None,
            skips: false,
            held: Vec::new(),
            bytes: [0, 0],
            bucket: None,
            started: now,
            until: None,
            moved_at: now,
            taken_at: now,
            ended_at: None,
            quiet_since: None,
            is_ready: false,
            is_waiting: false,
            alarm: Alarm::default(),
            failure: None,
            leaving: None,
        }
    }

    /// True while it may still be heard.
    pub(super) fn is_speaker(&self) -> bool {
        self.input == Input::Open && self.leaving.is_none()
    }
}

/// What a fault of a client's connection means to a person.
pub(super) fn explain(fault: Fault, bytes: [u64; 2], end: &End) -> Error {
    match fault {
        Fault::Io(error) => peer_failed(headline(bytes), &end.name(true), error),
        Fault::Layer(error) => error.at_peer(&headline(bytes), &end.name(true)),
    }
}
