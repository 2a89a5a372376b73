//! A pump in a direction with faults: what was taken is held until it is due, and goes out in pieces.

use std::io;

use super::{Filled, Pump, State, Stop, Terms};
use crate::reactor::Turn;
use crate::session::end::{End, Fault, Step};
use crate::session::faults::{Ending, Faults};
use crate::sys::Access;

impl Pump {
    /// Puts faults in its way.
    pub fn suffer(&mut self, faults: Faults) {
        if self.state != State::Done {
            self.faults = Some(Box::new(faults));
        }
    }

    pub(in crate::session) fn faults(&mut self) -> Option<&mut Faults> {
        self.faults.as_deref_mut()
    }

    /// When what is held back on purpose goes on, if that is still to come.
    pub fn due(&self, now: std::time::Instant) -> Option<std::time::Instant> {
        self.faults.as_ref().and_then(|faults| faults.due(now))
    }

    /// True if the last run stopped only to let others have their turn.
    pub fn has_paused(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.has_paused())
    }

    /// True once nothing more comes through, on purpose.
    pub fn is_stalled(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.is_stalled())
    }

    /// As [`Pump::shovel`], with faults.
    pub(super) fn shovel_badly(
        &mut self,
        faults: &mut Faults,
        turn: &mut Turn,
        from: &mut End,
        to: &mut End,
        terms: &Terms,
        taken: &mut u64,
    ) -> Stop {
        let mut left = Helping { writes: WRITES, bytes: BYTES };
        faults.pause(false);
        loop {
            match self.deliver(faults, turn, to, terms, &mut left) {
                // faults may hold more than is under way: the source is read on
                Step::Blocked | Step::Eof | Step::Moved(_) => {}
                Step::Failed(fault) => return Stop::SinkFailed(fault),
            }
            if faults.has_paused() {
                return Stop::Spent;
            }
            if faults.resets() {
                return Stop::Reset(faults.direction());
            }
            match self.state {
                State::Filling => {}
                State::Done => return Stop::Blocked,
                _ if self.greeting.is_some() || faults.has_bytes() => return Stop::Blocked,
                State::Abandoned => return Stop::Ended,
                State::Closing => return self.pass_end_on(turn, to),
            }
            match faults.take_ending(turn.now()) {
                Some(Ending::Eof) => {
                    self.state = State::Closing;
                    continue;
                }
                Some(Ending::Failed(fault)) => return Stop::SourceFailed(fault),
                None if faults.has_ended() => return Stop::Blocked,
                None => {}
            }
            match self.take(faults, turn, from, to, terms, taken) {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Gives what is due to the sink, and no more than a helping.
    fn deliver(
        &mut self,
        faults: &mut Faults,
        turn: &mut Turn,
        to: &mut End,
        terms: &Terms,
        left: &mut Helping,
    ) -> Step {
        match self.drain(turn, to, terms) {
            Step::Eof | Step::Moved(_) => self.return_empty_carriers(),
            other => return other, // the greeting comes first
        }
        while let Some(ready) = faults.ready(turn.now()) {
            if left.writes == 0 || left.bytes == 0 {
                faults.pause(true);
                return Step::Blocked;
            }
            let piece = &ready[..ready.len().min(terms.block)];
            match to.write(turn, piece) {
                Step::Moved(count) => {
                    if let Some(tap) = terms.tap {
                        tap.delivered(&piece[..count]);
                    }
                    faults.gone(count);
                    self.delivered += count as u64;
                    left.writes -= 1;
                    left.bytes = left.bytes.saturating_sub(count);
                }
                other => return other,
            }
        }
        Step::Eof
    }

    /// Takes something from the source, or says why not.
    fn take(
        &mut self,
        faults: &mut Faults,
        turn: &mut Turn,
        from: &mut End,
        to: &mut End,
        terms: &Terms,
        taken: &mut u64,
    ) -> Result<(), Stop> {
        let left = usize::try_from(terms.most.saturating_sub(*taken)).unwrap_or(usize::MAX);
        if faults.most(1) == 0 {
            // nobody reads it any more, but it may be known to be gone
            from.look_for_cut();
            return Err(match from.is_cut() && faults.is_stalled() {
                true => Stop::SourceFailed(Fault::Io(io::ErrorKind::ConnectionReset.into())),
                false => Stop::Blocked,
            });
        }
        if left == 0 {
            return Err(Stop::Spent);
        }
        let records = from.transport().keeps_records(Access::Read);
        let whole = records && to.transport().keeps_records(Access::Write);
        let most = if whole { usize::MAX } else { faults.most(left.min(terms.block)) };
        let Some(room) = faults.room(terms.pools, records) else { return Err(Stop::Blocked) };
        let most = most.min(room.tail());
        let filled = Filled::from(from.read(turn, room, most));
        if let Filled::Taken(count) = filled {
            if let Some(tap) = terms.tap {
                tap.taken(&room.filled()[room.len() - count..]);
            }
            self.route = Some(super::Route::Buffer);
            *taken += count as u64;
            faults.took(count, turn.now());
            return Ok(());
        }
        faults.tidy();
        match filled {
            Filled::Eof => faults.took_end(Ending::Eof, turn.now()),
            Filled::SourceFailed(fault) | Filled::SinkFailed(fault) => {
                faults.took_end(Ending::Failed(fault), turn.now());
            }
            Filled::Blocked | Filled::Taken(_) => return Err(Stop::Blocked),
        }
        Ok(())
    }
}

/// What one run may still write before others have their turn.
struct Helping {
    writes: usize,
    bytes: usize,
}

/// System calls in one run: what is chopped small must not hold the loop.
const WRITES: usize = 256;

/// Bytes in one run: what was held back may be due all at once.
const BYTES: usize = 1 << 20;
