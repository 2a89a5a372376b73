//! Ends over a protocol that cannot end one direction alone (TLS 1.2, WebSocket).
//!
//! Saying the end would end the other direction, too. So it is held back until nothing has come for a while, which may
//! mean that the peer waits for it, and then said; what the peer still sends is taken until it has been silent again.

use std::time::{Duration, Instant};

use super::end::{End, Step};
use super::limits::soonest;
use super::parting::Manner;
use super::{LOCAL, Session};
use crate::reactor::Turn;

impl Session {
    /// Says ends that were held back for long enough, and ends the session when that has had its effect or none.
    pub(super) fn mind_held_ends(&mut self, turn: &mut Turn) {
        let now = turn.now();
        for index in [LOCAL, 1] {
            if !self.holds(index) || self.parting.is_some() {
                continue;
            }
            let due = self.held_until(index).is_some_and(|until| until <= now);
            if due && self.overtime.is_some() {
                return self.conclude(Manner::Orderly, now);
            }
            if !due && self.overtime.is_none() {
                continue;
            }
            self.overtime.get_or_insert(now);
            let Some(end) = &mut self.ends[index] else { continue };
            if !end.is_write_closed()
                && let Step::Failed(fault) = end.close_write_for_good(turn)
            {
                self.sink_failed(turn, 1 - index, fault);
            }
        }
    }

    /// When the next of that is due.
    pub(super) fn overtime_deadline(&self) -> Option<Instant> {
        soonest([LOCAL, 1].map(|index| self.held_until(index)))
    }

    /// True for an end that was not told, or not at once, that its source has ended, and that still may say something.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.ends[index].as_ref().is_some_and(End::holds_close) && !self.pumps[index].is_over()
    }

    /// When an end that is held back is said, or when that has had its time.
    fn held_until(&self, index: usize) -> Option<Instant> {
        let (since, limit) = match self.overtime {
            Some(said) => (said, ANSWER),
            None => (self.half_closed_at?, self.context.policy.quit_after.unwrap_or(SILENCE)),
        };
        self.holds(index).then(|| self.flowed_at[index].map_or(since, |at| at.max(since)) + limit)
    }
}

/// How long nothing comes before an end that was held back is said, where `-q` does not say it.
pub const SILENCE: Duration = Duration::from_secs(2);

/// How long a peer that was told may be silent before it ends, too.
const ANSWER: Duration = Duration::from_secs(5);
