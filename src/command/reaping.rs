//! The wait for one program, and how it is made to end.

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGKILL, SIGTERM};

use crate::endpoint::process::Child;
use crate::reactor::Turn;

/// A child that is waited for, and the ladder of signals that ends it.
pub(super) struct Reaping {
    child: Child,
    /// The next rung, and when.
    next: Option<(Instant, i32)>,
    grace: Duration,
    /// Its status is not that of the session.
    pub(super) unjudged: bool,
}

impl Reaping {
    /// A child that may take its time.
    pub(super) fn new(child: Child, grace: Duration) -> Self {
        Reaping { child, next: None, grace, unjudged: false }
    }

    /// What the program is called.
    pub(super) fn name(&self) -> &[u8] {
        self.child.name()
    }

    /// Asks for a turn when it ends.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(super) fn watch(&mut self, turn: &mut Turn) -> std::io::Result<()> {
        self.child.watch(turn)
    }

    /// Its status once it has ended; until then, signals that are due are sent.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Option<u8> {
        let status = self.child.status(turn);
        if status.is_none() {
            self.climb(turn.now());
        }
        status
    }

    /// When the next signal is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// Begins the ladder, or takes the next rung at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        let rung = self.next.map_or(SIGHUP, |(_, rung)| rung);
        self.next = Some((now, rung));
        self.climb(now);
    }

    /// Climbs the whole ladder at once.
    pub(super) fn kill(&mut self, now: Instant) {
        self.grace = Duration::ZERO;
        self.hurry(now);
    }

    /// Sends what is due: SIGHUP, then SIGTERM, then SIGKILL, a grace apart.
    fn climb(&mut self, now: Instant) {
        while let Some((at, rung)) = self.next.filter(|(at, _)| *at <= now) {
            self.child.signal(rung);
            self.next = match rung {
                SIGHUP => Some((at + self.grace, SIGTERM)),
                SIGTERM => Some((at + self.grace, SIGKILL)),
                _ => None,
            };
        }
    }
}
