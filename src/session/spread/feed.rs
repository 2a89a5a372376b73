//! Taking bytes from the source, and what its end or its failure means.

use std::time::Instant;

use super::{Spread, Supply};
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus};
use crate::reactor::Turn;
use crate::session::end::{End, Fault, Step};
use crate::session::parting::{headline, peer_failed};
use crate::session::pump::LEAST;

impl Spread {
    /// Takes what can be taken at once; true if anything moved.
    pub(super) fn feed(&mut self, turn: &mut Turn, budget: &mut u64) -> bool {
        match self.may_tee() {
            false => self.fill_ring(turn, budget),
            true if self.ring.is_empty() => self.tee(turn, budget),
            // what came through memory goes first
            true => false,
        }
    }

    /// Bytes that may be taken now.
    pub(super) fn allowance(&mut self, now: Instant, budget: u64) -> u64 {
        if self.supply != Supply::Open {
            return 0;
        }
        let left = self.context.stop_at.map_or(u64::MAX, |most| most.saturating_sub(self.taken));
        // a bucket that has nothing now names the instant; the deadline asks it again
        let by_rate = self.bucket.as_mut().map_or(u64::MAX, |bucket| bucket.allowance(now).unwrap_or(0));
        left.min(by_rate).min(budget)
    }

    /// Reads once into the ring. What some sink has by tee already is read for the others, whatever the limits are.
    pub(super) fn fill_ring(&mut self, turn: &mut Turn, budget: &mut u64) -> bool {
        let owed = self.taken - self.ring.end();
        let most = owed.saturating_add(self.allowance(turn.now(), *budget));
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.context.policy.block);
        if most == 0 || self.live().next().is_none() {
            return false;
        }
        if self.trunk.is_some() {
            return self.empty_trunk(turn, most);
        }
        let (Some(source), Some(tail)) = (&mut self.source, self.ring.tail()) else { return false };
        match source.read(turn, tail, most) {
            Step::Moved(count) => {
                if let Some(tap) = &self.tap {
                    tap.seen(0, self.ring.latest(count));
                }
                self.tell_route(false);
                let fresh = self.ring.end().saturating_sub(self.taken);
                self.took(fresh, budget, turn.now());
            }
            Step::Blocked => return false,
            Step::Eof if owed > 0 => {
                let gone = Cause::Said(format!("another reader took {owed} bytes that were due to every sink"));
                let error = Error::begun(headline([self.taken, 0]), gone).with_status(ExitStatus::LocalIo);
                self.source_failed(Fault::Layer(error), turn.now());
            }
            Step::Eof => self.source_ended(),
            Step::Failed(fault) => self.source_failed(fault, turn.now()),
        }
        true
    }

    /// Takes bytes out of our own kernel pipe into memory.
    fn empty_trunk(&mut self, turn: &mut Turn, most: usize) -> bool {
        let (Some(tail), Some(mut trunk)) = (self.ring.tail(), self.trunk.take()) else { return false };
        match trunk.read(tail.spare(most)) {
            Ok(count) => tail.fill(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.source_failed(error.into(), turn.now());
                return true;
            }
        }
        self.trunk = Some(trunk).filter(|trunk| trunk.held() > 0);
        true
    }

    /// Accounts for bytes that were taken from the source.
    pub(super) fn took(&mut self, count: u64, budget: &mut u64, now: Instant) {
        self.taken += count;
        *budget -= count.max(LEAST).min(*budget);
        (self.moved_at, self.taken_at) = (now, Some(now));
        if let Some(bucket) = &mut self.bucket {
            bucket.take(count);
        }
        if self.supply == Supply::Open && self.context.stop_at.is_some_and(|most| self.taken >= most) {
            (self.supply, self.is_stopped) = (Supply::Ended, true);
        }
    }

    fn source_ended(&mut self) {
        if self.supply == Supply::Open {
            let is_program = self.source.as_mut().is_some_and(|source| source.program().is_some());
            self.supply = if is_program { Supply::Held } else { Supply::Ended };
            self.has_news = true;
        }
    }

    /// What came before is still delivered.
    pub(super) fn source_failed(&mut self, fault: Fault, now: Instant) {
        let Some(source) = &self.source else { return };
        let name = source.name(true);
        let error = match fault {
            Fault::Layer(error) => error.at_peer(&headline([self.taken, 0]), &name),
            Fault::Io(error) if source.is_peer() => source.as_cut(peer_failed(headline([self.taken, 0]), &name, error)),
            Fault::Io(error) => Error::new(Op::Read, name, error),
        };
        self.conclude(Ended::Failed(error), now);
        self.give_up_owed(now);
    }

    /// What some sinks have by tee and the others do not will not be read for them any more: nobody may wait for it, and
    /// nobody who lacks it may take what he has for everything.
    fn give_up_owed(&mut self, now: Instant) {
        let end = self.ring.end();
        if self.trunk.is_some() || self.taken <= end {
            return;
        }
        (self.taken, self.supply) = (end, Supply::Cut);
        self.cut_at.get_or_insert(now);
        for sink in &mut self.sinks {
            sink.at = sink.at.min(end);
        }
    }

    /// A program whose output is all there is: an end that failed is not passed on as if it were the end of the data. One
    /// that has exited while something it started still holds the pipe has ended after a while of silence.
    pub(super) fn check_source_program(&mut self, turn: &mut Turn) {
        let (now, taken_at) = (turn.now(), self.taken_at);
        let Some(source) = self.source.as_mut().filter(|_| self.supply < Supply::Ended) else { return };
        // what has not been read for want of room is no silence
        let is_dry = self.supply == Supply::Held || !source.transport().can_read(turn);
        let Some(program) = source.program() else { return };
        if program.exited(turn).is_none() || !is_dry {
            return;
        }
        if self.supply == Supply::Open && program.silent_at(taken_at).is_some_and(|at| at > now) {
            return;
        }
        let Some(mut child) = source.take_program().map(|program| program.into_child(turn)) else { return };
        let status = child.status(turn).unwrap_or_default();
        self.children.push((None, child));
        match status {
            0 => self.supply = Supply::Ended,
            status => self.conclude(Ended::Program(status), now),
        }
        self.has_news = true;
    }

    /// Says once which way bytes take.
    pub(super) fn tell_route(&mut self, by_tee: bool) {
        // a single read that only settles a question is no way of its own
        let is_known = self.told[usize::from(!by_tee)] || !by_tee && self.may_tee();
        if is_known {
            return;
        }
        self.told[usize::from(!by_tee)] = true;
        let from = self.source.as_ref().map(|end| End::name(end, true)).unwrap_or_default();
        let to = match &self.sinks[..] {
            [sink] if sink.is_open() => sink.name(),
            [_] => "1 sink".into(),
            sinks => format!("{} sinks", sinks.len()),
        };
        let way = match (by_tee, self.sinks.len()) {
            (true, 1) => "splice",
            (true, _) => "tee",
            (false, _) => "ring",
        };
        let text = format!("{from} to {to}: {way}");
        self.context.observer.observe(&Event::Note { verbosity: 1, text });
    }
}
