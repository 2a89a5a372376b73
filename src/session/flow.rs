//! Running the pumps: how much may be taken now, and what a run means.

use std::time::Instant;

use super::end::Step;
use super::parting::Manner;
use super::policy::{Flow, Policy};
use super::pump::{self, Run, Stop, Terms};
use super::{Context, INWARD, OUTWARD, Session};
use crate::event::Event;
use crate::reactor::Turn;

impl Session {
    /// Runs both pumps until nothing moves or their budgets are spent; true if there is more to do at once.
    pub(super) fn pump_all(&mut self, turn: &mut Turn) -> bool {
        let mut budgets = [self.context.policy.budget; 2];
        loop {
            let mut moved = self.flush_layers(turn);
            for (direction, budget) in budgets.iter_mut().enumerate() {
                moved |= self.pump_one(turn, direction, budget);
            }
            for end in self.ends.iter_mut().flatten() {
                moved |= end.take_stirred();
            }
            if self.parting.is_some() {
                return false;
            }
            if budgets.contains(&0) {
                return true;
            }
            if !moved {
                return false;
            }
        }
    }

    /// A peer that takes nothing any more need not say that it is done: what it sent before is there, or lost.
    pub(super) fn leave_forsaken(&mut self, turn: &Turn) {
        let Some(index) = self.late().forsaken else { return };
        let Some(end) = &mut self.ends[index] else { return };
        if (end.gives_nothing() || end.is_dry(turn)) && !self.pumps[index].is_carrying() {
            self.conclude(Manner::Reset, turn.now());
        }
    }

    fn flush_layers(&mut self, turn: &mut Turn) -> bool {
        let mut moved = false;
        for end in self.ends.iter_mut().flatten() {
            // a failure here comes again when a pump touches the end, and is judged there
            moved |= matches!(end.flush(turn), Step::Moved(_));
        }
        moved | self.attend_receipts(turn)
    }

    /// Runs one pump; true if it made any progress.
    fn pump_one(&mut self, turn: &mut Turn, direction: usize, budget: &mut u64) -> bool {
        let now = turn.now();
        if self.pumps[direction].is_over() || *budget == 0 || self.parting.is_some() {
            return false;
        }
        // a bucket that has nothing now names the instant; next_deadline asks again
        let most = self.allowance(direction, now).min(*budget);
        self.hold_settling(turn, direction);
        let drops = self.drops(direction);
        let tap = self.tap.as_ref().and_then(|tap| tap.on(direction));
        let Context { policy, pools, .. } = &*self.context;
        let terms = Terms { pools, splice: policy.splice, block: policy.block, most, tap };
        let [Some(local), Some(peer)] = &mut self.ends else { return false };
        let pump = &mut self.pumps[direction];
        let route = pump.route();
        let run = match direction {
            OUTWARD if drops => pump.discard(turn, local, &terms),
            OUTWARD => pump.run(turn, local, peer, &terms),
            _ if drops => pump.discard(turn, peer, &terms),
            _ => pump.run(turn, peer, local, &terms),
        };
        let changed = pump.route().filter(|_| pump.route() != route);
        *budget -= run.cost().min(*budget);
        if let Some(share) = &mut self.share {
            share.take(direction, run.taken, now);
            if matches!(run.stop, Stop::Blocked) {
                // an event will tell when there is something to ask for
                share.leave(direction);
            }
        }
        if let Some(route) = changed {
            self.tell_route(direction, route);
        }
        self.heed_faults(direction, budget);
        self.account(turn, direction, run)
    }

    /// Books what a run did and draws the consequences; true if it made any progress.
    fn account(&mut self, turn: &mut Turn, direction: usize, run: Run) -> bool {
        let now = turn.now();
        self.taken[direction] += run.taken;
        let stopped = direction == OUTWARD && run.taken > 0 && self.has_stopped_source();
        if stopped {
            self.pumps[OUTWARD].hold_end(false);
            self.pumps[OUTWARD].end_source();
        }
        if let Some(buckets) = &mut self.buckets {
            buckets[direction].take(run.taken);
        }
        if run.taken > 0 || run.delivered > 0 {
            self.moved_at = now;
            self.flowed_at[direction] = Some(now);
            self.context.meter.add(direction, run.delivered);
        }
        let over = match run.stop {
            Stop::Blocked | Stop::Spent => false,
            Stop::Ended => {
                self.direction_ended(turn, direction);
                true
            }
            Stop::SourceFailed(fault) => {
                self.source_failed(turn, direction, fault);
                true
            }
            Stop::SinkFailed(fault) => {
                self.sink_failed(turn, direction, fault);
                true
            }
            Stop::Reset(way) => {
                self.reset_by_fault(direction, way, now);
                true
            }
        };
        if self.received_enough() {
            self.conclude(Manner::Reset, now);
        }
        over || run.taken > 0 || run.delivered > 0
    }

    /// `--stop-at`: as much was taken from the local end as was asked for, and nobody reads the rest.
    pub(super) fn has_stopped_source(&self) -> bool {
        self.context.policy.stop_at.is_some_and(|most| self.taken[OUTWARD] >= most)
    }

    /// `--max-bytes`: everything allowed was taken from the peer and delivered.
    fn received_enough(&self) -> bool {
        self.parting.is_none()
            && self.context.policy.max_bytes.is_some_and(|most| self.pumps[INWARD].delivered() >= most)
    }

    /// Bytes that may be taken now in this direction.
    fn allowance(&mut self, direction: usize, now: Instant) -> u64 {
        let by_rate = match &mut self.buckets {
            Some(buckets) => buckets[direction].allowance(now).unwrap_or(0),
            None => u64::MAX,
        };
        let by_rate = match &mut self.share {
            Some(share) if by_rate > 0 && self.pumps[direction].is_taking() => {
                by_rate.min(share.allowance(direction, now).unwrap_or(0))
            }
            _ => by_rate,
        };
        let Policy { max_bytes, stop_at, flow, .. } = &self.context.policy;
        match *max_bytes {
            _ if direction == OUTWARD && stop_at.is_some() => {
                by_rate.min(stop_at.unwrap_or(u64::MAX).saturating_sub(self.taken[OUTWARD]))
            }
            // what is only dropped does not count as received
            Some(most) if direction == INWARD && *flow != Flow::SendOnly => {
                by_rate.min(most.saturating_sub(self.taken[direction]))
            }
            _ => by_rate,
        }
    }

    /// Gives up appointments under a rate that all sessions share where nothing will be taken any more.
    pub(super) fn leave_share(&mut self) {
        let Some(share) = &mut self.share else { return };
        for (direction, pump) in self.pumps.iter().enumerate() {
            if self.parting.is_some() || !pump.is_taking() {
                share.leave(direction);
            }
        }
    }

    fn tell_route(&self, direction: usize, route: pump::Route) {
        if !self.context.observer.wants_details() {
            return;
        }
        let name = |end: usize, reading: bool| self.ends[end].as_ref().map(|end| end.name(reading)).unwrap_or_default();
        let text = format!("{} to {}: {}", name(direction, true), name(1 - direction, false), route.describe());
        self.context.observer.observe(&Event::Note { verbosity: 1, text });
    }
}
