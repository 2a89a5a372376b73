//! A bad network in one direction of a session: seeded, repeatable mischief.
//!
//! Faults act on the plain bytes between the two ends: layers (TLS, `--verify`) stand outside, so that what is corrupted
//! here arrives there as if it had been sent so. A greeting of haul's own is not touched and not counted.
//!
//! Such a direction has a carrier of its own, a queue with due times (`held::Held`), and keeps nothing in the kernel;
//! one without faults keeps zero copy. What happens to a byte is decided by the seed, the number of the session, the
//! direction and the place of the byte in its stream: not by how the bytes came together, and not by the time. Only the
//! jitter belongs to what one read took: its place is that of the first byte.
//!
//! Deadlines are values and the time is always passed in; [`super::pump`] does the reading and writing.

pub mod datagram;
mod held;

use std::time::Instant;

use super::end::{End, Fault};
use super::parting::Manner;
use super::pump::Pump;
use super::{INWARD, Session, carrier::Pools, policy::Flow};
use crate::buffer::Buffer;
use crate::dice::Dice;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::plan::faults::{Direction, Way};
use held::Held;

/// What goes wrong in one direction, and what that holds back.
#[derive(Debug)]
pub struct Faults {
    way: Way,
    direction: Direction,
    dice: Dice,
    /// Most memory that may be held, in bytes.
    hold: usize,
    /// Bytes taken from the source: the place of the next one.
    taken: u64,
    /// Bytes that reached the sink.
    delivered: u64,
    held: Held,
    /// How the source ended, and when that is to be known.
    ending: Option<(Instant, Ending)>,
    /// There is more to be written at once, but it is the turn of others.
    paused: bool,
    /// Somebody was told of the stall.
    told: bool,
}

/// How a source ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// With an end of file.
    Eof,
    /// With a failure, which everything before it precedes.
    Failed(Fault),
}

impl Faults {
    /// The mischief in one direction of session number `session`; `None` where nothing goes wrong for a stream. A delay
    /// holds at most `hold` bytes of memory, buffers in whole, or one buffer where that is more.
    pub fn new(way: &Way, direction: Direction, seed: u64, session: u64, hold: usize) -> Option<Self> {
        let Way { delay, jitter, reset_after, stall_after, chop, corrupt, .. } = way;
        let streams = Way {
            delay: *delay,
            jitter: *jitter,
            reset_after: *reset_after,
            stall_after: *stall_after,
            chop: *chop,
            corrupt: *corrupt,
            ..Way::default()
        };
        let dice = dice(seed, session, direction);
        // without a delay nothing is gained by taking more than is under way
        let hold = if delay.is_zero() { 0 } else { hold };
        (!streams.is_sound()).then(|| Faults {
            way: streams,
            direction,
            dice,
            hold,
            taken: 0,
            delivered: 0,
            held: Held::default(),
            ending: None,
            paused: false,
            told: false,
        })
    }

    /// How much may be taken of `most`: no byte behind the one at which everything ends or stalls.
    pub(super) fn most(&self, most: usize) -> usize {
        let end = self.way.reset_after.or(self.way.stall_after);
        let left = end.map_or(u64::MAX, |end| end.saturating_sub(self.taken));
        most.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Room for what is taken next; `None` while as much is held as may be. With `fresh` in a buffer of its own.
    pub(super) fn room(&mut self, pools: &Pools, fresh: bool) -> Option<&mut Buffer> {
        self.held.room(pools, self.hold, fresh)
    }

    /// The last `count` bytes of the room were taken: does to them what is to be done, and holds them until they are due.
    pub(super) fn took(&mut self, count: usize, now: Instant) {
        let due = self.due_of(now, self.taken);
        self.dice.derived(CORRUPT).corrupt(self.way.corrupt, self.taken, self.held.newest(count));
        self.taken += count as u64;
        self.held.took(count, due);
    }

    /// The source has ended: that is known once everything before it has gone, and no sooner than a byte would be.
    pub(super) fn took_end(&mut self, ending: Ending, now: Instant) {
        let due = self.due_of(now, self.taken);
        self.ending = Some((due, ending));
    }

    /// What was taken before may be due later: it is a queue, and what would overtake waits.
    fn due_of(&self, now: Instant, place: u64) -> Instant {
        now + self.dice.derived(JITTER).varied(place, self.way.delay, self.way.jitter)
    }

    /// Gives back room in which nothing was put.
    pub(super) fn tidy(&mut self) {
        self.held.tidy();
    }

    /// What may be written now, by one call.
    pub(super) fn ready(&self, now: Instant) -> Option<&[u8]> {
        let ready = self.held.ready(now)?;
        let most = self.way.chop.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        Some(&ready[..ready.len().min(most)])
    }

    /// The first `count` bytes of [`Faults::ready`] reached the sink.
    pub(super) fn gone(&mut self, count: usize) {
        self.delivered += count as u64;
        self.held.gone(count);
    }

    /// True while something is held, be it only the end of the source.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty() || self.ending.is_some()
    }

    /// True while bytes are held.
    pub(super) fn has_bytes(&self) -> bool {
        !self.held.is_empty()
    }

    /// True once the source has ended, known or not.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.is_some()
    }

    /// The end of the source, once it is due and everything before it has gone.
    pub(super) fn take_ending(&mut self, now: Instant) -> Option<Ending> {
        if !self.held.is_empty() || self.ending.as_ref().is_none_or(|(due, _)| *due > now) {
            return None;
        }
        self.ending.take().map(|(_, ending)| ending)
    }

    /// When the next thing is due, if that is still to come.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let next = self.held.due().or(self.ending.as_ref().map(|(due, _)| *due));
        next.filter(|due| *due > now)
    }

    /// True once both sides are to be reset.
    pub(super) fn resets(&self) -> bool {
        self.way.reset_after == Some(self.delivered)
    }

    /// True once nothing more comes through.
    pub(super) fn is_stalled(&self) -> bool {
        self.way.stall_after == Some(self.delivered)
    }

    /// Remembers whether it stopped only to let others have their turn.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn has_paused(&self) -> bool {
        self.paused
    }

    /// Which direction it is, for people.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// What is to be told now: that it stalls, once.
    fn news(&mut self) -> Option<String> {
        if !self.is_stalled() || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(format!("{}: nothing more comes through after {}", self.direction.name(), bytes(self.delivered)))
    }

    fn chops(&self) -> bool {
        self.way.chop.is_some()
    }
}

/// The dice of one direction of one session.
pub fn dice(seed: u64, session: u64, direction: Direction) -> Dice {
    Dice::new(seed).derived(session).derived(match direction {
        Direction::Up => 0,
        Direction::Down => 1,
    })
}

fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".into() } else { format!("{count} bytes") }
}

impl Session {
    /// Makes mischief (index 0: from the first end to the second, 1: the other way).
    pub fn with_faults(mut self, faults: [Option<Faults>; 2]) -> Self {
        self.suffer(faults);
        self
    }

    pub(super) fn suffer(&mut self, faults: [Option<Faults>; 2]) {
        for (index, faults) in faults.into_iter().enumerate() {
            if index == INWARD && self.context.policy.flow == Flow::SendOnly {
                continue; // what is dropped anyway has nothing to suffer
            }
            let chops = faults.as_ref().is_some_and(Faults::chops);
            if let Some(sink) = self.ends[1 - index].as_mut().filter(|_| chops) {
                sink.send_apart();
            }
            if let Some(faults) = faults {
                self.pumps[index].suffer(faults);
            }
        }
    }

    /// Tells what a run came upon, and lets others have their turn if it has written much in little pieces.
    pub(super) fn heed_faults(&mut self, direction: usize, budget: &mut u64) {
        let Some(faults) = self.pumps[direction].faults() else { return };
        if faults.has_paused() {
            *budget = 0;
        }
        if let Some(text) = faults.news() {
            self.context.observer.observe(&Event::Note { verbosity: 1, text });
        }
    }

    /// `--reset-after`: everything that may be delivered was. What is on its way in the other direction is lost.
    pub(super) fn reset_by_fault(&mut self, direction: usize, way: Direction, now: Instant) {
        let error = self.fault(way, self.pumps[direction].delivered());
        self.fail(error);
        self.pumps[1 - direction].break_off();
        self.conclude(Manner::Reset, now);
    }

    /// What is said of a session that was reset on purpose.
    pub(super) fn fault(&self, way: Direction, delivered: u64) -> Error {
        let sentence = format!("reset on purpose, {} {} (--reset-after)", bytes(delivered), way.name());
        Error::begun(self.headline(), Cause::Said(sentence))
    }

    /// True if something is held back on purpose: nobody can be blamed for it.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        self.pumps.iter().any(|pump| pump.due(now).is_some())
    }

    /// True if one direction was stalled on purpose: its source has not come to its end.
    pub(super) fn is_stalled(&self) -> bool {
        self.pumps.iter().any(Pump::is_stalled)
    }
}

impl End {
    /// Over TCP, what one write gives is sent at once, in a segment of its own.
    fn send_apart(&mut self) {
        self.transport_mut().send_apart();
    }
}

const JITTER: u64 = 1;
const CORRUPT: u64 = 2;

#[cfg(test)]
mod tests;
