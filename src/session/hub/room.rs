//! Clients that have ended and are kept for what may still be sent to them: for how long, and who of them goes first.

use std::time::{Duration, Instant};

use super::Hub;
use super::client::{Input, Outlet};
use crate::outcome::Ended;
use crate::reactor::Turn;
use crate::session::policy::AfterPeerEof;

impl Hub {
    /// Closes, by an orderly end, the client that has been half-closed for the longest time among those that have
    /// got everything; false if there is none. For whoever has no room for a client that waits; the one that went is
    /// told by [`Hub::departed`]. With `--after-peer-eof send` nobody goes like this.
    pub fn make_room(&mut self, turn: &mut Turn) -> bool {
        if self.context.policy.after_peer_eof != AfterPeerEof::Auto {
            return false;
        }
        let keys = self.clients.iter().map(|(key, _)| key);
        let mut kept: Vec<usize> = keys.filter(|key| self.is_half_closed(*key)).collect();
        kept.sort_by_key(|key| (self.clients[*key].ended_at, self.clients[*key].number));
        let oldest = kept.into_iter().find(|key| self.has_everything(*key));
        let Some(key) = oldest else { return false };
        let now = turn.now();
        self.leave(key, Ended::Clean, false, now);
        let client = &mut self.clients[key];
        // all of it is acknowledged: what is left to say is the end itself, and that is the kernel's to deliver
        let _ = client.end.close_write_for_good(turn);
        if let Some(leaving) = &mut client.leaving {
            leaving.until = Some(now);
        }
        self.close(turn, key);
        true
    }

    /// True for a client that sends nothing more and may still get something.
    pub(super) fn is_half_closed(&self, key: usize) -> bool {
        let client = &self.clients[key];
        matches!(client.input, Input::Ended(_)) && client.outlet == Outlet::Open && client.leaving.is_none()
    }

    /// True if what the client sent is written, and what was due to it is acknowledged.
    fn has_everything(&mut self, key: usize) -> bool {
        let client = &mut self.clients[key];
        let written = matches!(client.input, Input::Ended(position) if position <= self.output.written());
        let caught_up = client.cursor.as_mut().is_none_or(|cursor| self.backlog.next(cursor).is_empty());
        written && caught_up && client.greeting.is_none() && client.end.unsent() == 0
    }

    /// Takes note that a client has ended; one that is kept had better be there still.
    pub(super) fn note_end(&mut self, key: usize, now: Instant) {
        self.clients[key].ended_at = Some(now);
        if self.is_half_closed(key) {
            self.clients[key].end.probe();
        }
    }
}

/// How long a client that has ended is kept without anything to send to it.
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(300);
