//! Protocols that cannot half-close (WebSocket, TLS 1.2): saying the end of our bytes ends both directions.
//!
//! So it is held while an answer may still come: until the peer has been silent for a while after our source's end. Then
//! it is said, and what comes before the peer's own end is still delivered. Where the peer ends first, a program gets the
//! time to say what it makes of that end, as the peer may wait for it, and then the session is over.
//!
//! Where proxies lead to the peer and TLS has told it our end, the wire is kept until the peer's: simple proxies drop both
//! directions at the first end of file.

use std::time::{Duration, Instant};

use super::end::{End, closed_by};
use super::parting::Manner;
use super::policy::{AfterPeerEof, Policy};
use super::{OUTWARD, Session};
use crate::error::Error;
use crate::plan::Flow;
use crate::reactor::Turn;

impl Session {
    /// Everything in this direction was delivered; its end is held back where it would end the other one, too.
    pub(super) fn hold_close(&mut self, direction: usize, now: Instant) {
        let policy = &self.context.policy;
        // nobody said that it was enough; and then the peer says when it is
        let never = direction == OUTWARD && (!policy.shutdown || policy.flow == Flow::ReceiveOnly);
        let holds = self.ends[1 - direction].as_ref().is_some_and(|end| end.holds_close());
        if holds {
            self.late_mut().held[1 - direction] = Some(Held { since: now, never, said: None });
        }
    }

    /// True if the end of standard input is held back: `-q` then is no limit of its own.
    pub(super) fn holds_quitting(&self) -> bool {
        self.late().held[1].is_some_and(|held| !held.never)
    }

    /// Says the ends that were held for long enough.
    pub(super) fn say_held(&mut self, turn: &mut Turn) {
        let now = turn.now();
        for index in [0, 1] {
            let due = self.held_until(index).is_some_and(|at| at <= now);
            let held = self.late.as_mut().and_then(|late| late.held[index].as_mut());
            let (true, Some(end), Some(held)) = (due, &mut self.ends[index], held) else { continue };
            if held.said.is_none() {
                // it was for us to speak until now: only from here on the peer's silence counts
                self.moved_at = now;
            }
            let said = *held.said.get_or_insert(now);
            // what fails here is told by reading
            end.close_write_for_good(turn);
            if said + ANSWER <= now && self.parting.is_none() {
                self.conclude(Manner::Orderly, now);
            }
        }
    }

    /// Until when the end towards this peer is held, counted from what it said last.
    fn held_until(&self, index: usize) -> Option<Instant> {
        let Held { since, never, said } = self.late().held[index]?;
        if said.is_some() {
            return said;
        }
        let heard = self.flowed_at[index].map_or(since, |at| at.max(since));
        (!never).then(|| heard + patience(&self.context.policy))
    }

    /// True while an end is held that is to be said: the silence is ours, then, and no limit for the peer's.
    pub(super) fn is_holding(&self) -> bool {
        self.late().held.iter().flatten().any(|held| !held.never && held.said.is_none())
    }

    /// When the next one is to be said, or its answer given up.
    pub(super) fn holding_deadline(&self) -> Option<Instant> {
        let due = |index: usize| match self.late().held[index]?.said {
            Some(said) => Some(said + ANSWER),
            None => self.held_until(index),
        };
        [0, 1].into_iter().filter_map(due).min()
    }

    /// A peer has ended both directions. A program or another peer may still come to its end, and what it says until then
    /// is sent: the peer may wait for it. What is read here has no such end. Nobody may take it for sent; whether there is
    /// any shows soon.
    pub(super) fn heed_close(&mut self, turn: &mut Turn, direction: usize) {
        if !self.ends_both(direction) || self.pumps[1 - direction].is_over() || self.drops(1 - direction) {
            return;
        }
        let comes_to_an_end = self.is_program(1 - direction) || self.is_peer(1 - direction);
        let typed = self.ends[1 - direction].as_ref().is_some_and(|end| end.transport().reads_terminal());
        let patience = match self.context.policy.after_peer_eof {
            _ if comes_to_an_end => CLOSING,
            AfterPeerEof::Auto | AfterPeerEof::Send if !typed => INPUT,
            _ => Duration::ZERO,
        };
        self.late_mut().closing_by[direction] = Some(turn.now() + patience);
        if let Some(end) = self.ends[direction].as_mut().filter(|_| !comes_to_an_end) {
            end.shut();
            // what fails here fails again when it is parted from
            end.close_write_for_good(turn);
        }
    }

    /// Where a peer has ended both directions: what is on its way to it fails by itself, and if there is nothing of the
    /// kind the session is over.
    pub(super) fn leave_closed(&mut self, turn: &Turn) {
        let now = turn.now();
        for index in [0, 1] {
            let due = self.late().closing_by[index].is_some_and(|at| at <= now);
            if !due || self.pumps[1 - index].is_over() || self.parting.is_some() {
                continue;
            }
            let readable = self.ends[1 - index].as_ref().is_some_and(|end| end.transport().can_read(turn));
            let is_left = self.pumps[1 - index].is_carrying() || readable;
            match &self.ends[index] {
                Some(end) if is_left && end.is_shut() => continue, // it fails at the next write
                Some(end) if is_left => self.fail(Error::begun(self.headline(), closed_by(&end.name(false)))),
                _ => {}
            }
            self.conclude(Manner::Orderly, now);
        }
    }

    /// When that is looked at.
    pub(super) fn closing_deadline(&self, now: Instant) -> Option<Instant> {
        self.late().closing_by.iter().flatten().filter(|at| **at > now).min().copied()
    }
}

impl Session {
    /// Ends the wires that were kept for an answer, where none comes: a peer may want to hear it from there after all.
    pub(super) fn end_kept_wires(&mut self, turn: &mut Turn) {
        if self.wires_kept_until().is_none_or(|at| at > turn.now()) || self.parting.is_some() {
            return;
        }
        for end in self.ends.iter_mut().flatten().filter(|end| end.keeps_wire()) {
            // what fails here is told by reading
            end.close_write_for_good(turn);
        }
    }

    /// When nothing will have moved for the longest time that may pass at a close.
    pub(super) fn wires_kept_until(&self) -> Option<Instant> {
        let kept = self.ends.iter().flatten().any(End::keeps_wire);
        let since = self.late().half_closed_at.filter(|_| kept)?;
        Some(since.max(self.moved_at) + self.context.policy.linger)
    }
}

/// An end that is to be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// When the source ended.
    since: Instant,
    /// It is the peer that ends it.
    never: bool,
    /// When it was told.
    said: Option<Instant>,
}

/// How long a peer may be silent before it is told the end: no longer than it may be silent at all.
pub(super) fn patience(policy: &Policy) -> Duration {
    let patience = policy.quit_after.unwrap_or(SILENCE);
    policy.idle.into_iter().chain(policy.half_close).fold(patience, Duration::min)
}

/// How long a peer may be silent before it is told the end, where `-q` does not say.
pub const SILENCE: Duration = Duration::from_secs(2);

/// How long the peer may take to answer the end: longer than a layer that waits for that itself.
const ANSWER: Duration = Duration::from_millis(5500);

/// How long our bytes may take to their end after the peer's Close: less than the 5 s that it waits for the answer.
const CLOSING: Duration = Duration::from_secs(4);

/// How long standard input may be silent then until it counts as having had nothing more.
const INPUT: Duration = Duration::from_secs(1);
