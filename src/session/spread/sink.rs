//! One sink of a spread, and where it stands.

use std::time::{Duration, Instant};

use crate::session::end::End;
use crate::session::linger::{FIRST_LOOK, LOOK_AGAIN, Linger};

/// A sink, or the place of one.
pub(super) struct Sink {
    /// Invariant: `Some` exactly while it is open or leaving.
    pub(super) end: Option<End>,
    pub(super) stage: Stage,
    /// Position of the next byte that it is due.
    pub(super) at: u64,
    /// When it took something last.
    pub(super) moved_at: Instant,
    /// Nothing more is heard of its peer.
    pub(super) is_silent: bool,
    /// It did not get everything, or may not have.
    pub(super) has_failed: bool,
}

/// Where a sink stands. It only ever moves down this list.
pub(super) enum Stage {
    /// It is being opened.
    Expected,
    /// It takes what comes.
    Open,
    /// Everything was given to it; its send queue is waited for.
    Leaving(Leaving),
    /// It is closed, or never came.
    Gone,
}

/// An end on its way out.
pub(super) struct Leaving {
    /// Its peer is told that this is no end of file.
    pub(super) resets: bool,
    pub(super) linger: Linger,
    /// When to look at the send queue again, and how long to the look after that.
    pub(super) look_at: Instant,
    pause: Duration,
}

impl Sink {
    /// A place for a sink.
    pub(super) fn expected(now: Instant) -> Self {
        Sink { end: None, stage: Stage::Expected, at: 0, moved_at: now, is_silent: false, has_failed: false }
    }

    /// True if something may still be given to it.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Expected | Stage::Open)
    }

    /// True while it takes what comes.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        self.end.as_ref().map(|end| end.name(false)).unwrap_or_default()
    }
}

impl Leaving {
    /// The first look is due.
    pub(super) fn new(resets: bool, now: Instant) -> Self {
        Leaving { resets, linger: Linger::new(now), look_at: now, pause: FIRST_LOOK }
    }

    /// Nothing came of a look: the next one is later.
    pub(super) fn wait(&mut self, now: Instant) {
        self.look_at = now + self.pause;
        self.pause = (self.pause * 2).min(LOOK_AGAIN);
    }
}
