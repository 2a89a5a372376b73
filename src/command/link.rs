//! One connection with what it is joined to, from its first byte until its programs are reaped.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::mover::Mover;
use super::reaping::Reaping;
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Turn};
use crate::report::summary::reason;
use crate::session::limits::soonest;
use crate::session::spread::Spread;

/// A session, then the wait for its programs.
pub(super) struct Link {
    mover: Mover,
    number: u64,
    grace: Duration,
    observer: Rc<dyn Observer>,
    /// What is left to do once the session has ended.
    aftermath: Option<Box<Aftermath>>,
    /// Programs of a session that ended well may take their time.
    patient: bool,
    /// Since when it is told to have lasted, where that is not the time when bytes began to move.
    since: Option<Instant>,
}

/// A session that has ended, whose programs are waited for.
struct Aftermath {
    /// How it ended.
    outcome: Outcome,
    reaping: Vec<Reaping>,
    /// The worst status of its programs.
    status: u8,
}

impl Link {
    /// What moves bytes and has begun, with the wait for its programs, each rung of their ladder `grace` apart.
    pub(super) fn new(mover: Mover, number: u64, grace: Duration, observer: Rc<dyn Observer>) -> Self {
        Link { mover, number, grace, observer, aftermath: None, patient: true, since: None }
    }

    /// The same, whose time (`--max-time`) runs from then, if that is given.
    pub(super) fn counted_from(mut self, began: Option<Instant>) -> Self {
        began.into_iter().for_each(|began| self.mover.count_from(began));
        self
    }

    /// The same, which is told to have lasted since then.
    pub(super) fn lasting_since(mut self, since: Option<Instant>) -> Self {
        self.since = since;
        self
    }

    /// The spread, where that is what moves bytes and it is not over.
    pub(super) fn spread(&mut self) -> Option<&mut Spread> {
        match &mut self.mover {
            Mover::Spread(spread) if self.aftermath.is_none() => Some(spread),
            _ => None,
        }
    }

    /// Does everything possible now.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Park {
        if self.aftermath.is_none() {
            match self.mover.turn(turn) {
                Park::Done(outcome) => self.begin_reaping(turn, outcome),
                park => return park,
            }
        }
        self.reap(turn)
    }

    /// Ends it before its own end, and then leaves its programs no time of their own.
    pub(super) fn hurry(&mut self, ended: Ended, now: Instant) {
        self.patient = false;
        self.stop(ended, now);
    }

    /// Ends it and its programs at once.
    pub(super) fn kill(&mut self, ended: Ended, now: Instant) {
        self.hurry(ended, now);
        self.grace = Duration::ZERO;
        for reaping in self.aftermath.iter_mut().flat_map(|aftermath| &mut aftermath.reaping) {
            reaping.kill(now);
        }
    }

    /// Ends it before its own end; a second time ends the wait for programs, too.
    pub(super) fn stop(&mut self, ended: Ended, now: Instant) {
        match &mut self.aftermath {
            None => self.mover.stop(ended, now),
            Some(aftermath) => aftermath.reaping.iter_mut().for_each(|reaping| reaping.hurry(now)),
        }
    }

    /// What a signal asks for: the first time what is in transit is still written, `again` is the end at once, which is
    /// then given; but programs are waited for until they are dead.
    pub(super) fn interrupt(&mut self, number: i32, again: bool, now: Instant) -> Option<Outcome> {
        let ended = Ended::Signal(number);
        match again {
            false => self.stop(ended, now),
            true if self.has_programs() => self.kill(ended, now),
            true => return Some(Outcome { bytes: self.bytes(), ..Outcome::nothing_moved(ended) }),
        }
        None
    }

    /// True once everything from the first end was delivered and its end passed on.
    pub(super) fn has_delivered_everything(&self) -> bool {
        self.mover.has_delivered_everything()
    }

    /// True if the sink of this place, counted from 0, did not fail while the others went on.
    pub(super) fn has_served(&self, index: usize) -> bool {
        self.mover.has_served(index)
    }

    /// True if nothing is on its way and no direction has ended: stopping it now cuts nothing short.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.aftermath.is_none() && self.mover.is_idle(now)
    }

    /// True while a program of it has not been reaped.
    pub(super) fn has_programs(&self) -> bool {
        self.aftermath.as_ref().is_some_and(|aftermath| !aftermath.reaping.is_empty()) || self.mover.has_programs()
    }

    /// Bytes delivered in each direction so far.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.mover.bytes()
    }

    /// A session that ended well leaves its programs the time they want; after anything else they are told to end.
    fn begin_reaping(&mut self, turn: &mut Turn, mut outcome: Outcome) {
        let now = turn.now();
        if let Some(since) = self.since {
            outcome.elapsed = now.saturating_duration_since(since);
        }
        let ended_well = matches!(outcome.ended, Ended::Clean | Ended::Told(_));
        let mut waited_for = Vec::new();
        for (child, unjudged) in self.mover.take_children() {
            let mut reaping = Reaping::new(child, self.grace);
            reaping.unjudged = unjudged;
            if let Err(error) = reaping.watch(turn) {
                let reason = Error::new(Op::Start, reaping.name(), error).line();
                self.observer.observe(&Event::Error { session: Some(self.number), reason });
            }
            if !ended_well || !self.patient || reaping.unjudged {
                reaping.hurry(now);
            }
            waited_for.push(reaping);
        }
        let [bytes_out, bytes_in] = outcome.bytes;
        let (elapsed, reason, session) = (outcome.elapsed, reason(&outcome.ended), self.number);
        self.observer.observe(&Event::Closed { session, bytes_in, bytes_out, elapsed, reason });
        self.aftermath = Some(Box::new(Aftermath { outcome, reaping: waited_for, status: 0 }));
    }

    /// Waits for programs; a clean end becomes their status.
    fn reap(&mut self, turn: &mut Turn) -> Park {
        let Some(aftermath) = &mut self.aftermath else { return Park::Wait };
        let mut left = Vec::new();
        for mut reaping in aftermath.reaping.drain(..) {
            match reaping.turn(turn) {
                Some(status) => {
                    if !reaping.unjudged {
                        aftermath.status = aftermath.status.max(status);
                    }
                    let name = String::from_utf8_lossy(reaping.name()).into_owned();
                    let text = format!("session {}: {name} exited with status {status}", self.number);
                    self.observer.observe(&Event::Note { verbosity: 1, text });
                }
                None => left.push(reaping),
            }
        }
        aftermath.reaping = left;
        if !aftermath.reaping.is_empty() {
            turn.deadline(soonest(aftermath.reaping.iter().map(Reaping::deadline)));
            return Park::Wait;
        }
        let outcome = std::mem::replace(&mut aftermath.outcome, Outcome::nothing_moved(Ended::Clean));
        match aftermath.status {
            status if status != 0 && matches!(outcome.ended, Ended::Clean) => {
                Park::Done(Outcome { ended: Ended::Program(status), ..outcome })
            }
            _ => Park::Done(outcome),
        }
    }
}
