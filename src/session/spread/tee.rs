//! Zero copy to pipes: what is at the front of one pipe is given to all but one of the sinks by tee(2), and to the last by
//! splice(2), which takes it out.
//!
//! The pipe is the source itself where that is one, else a kernel pipe of our own, the trunk, which is filled by splice
//! only when it is empty. tee(2) always gives from the front. So a sink may be given something only while its position is
//! the front's; one that is ahead has more than has been taken out, and waits until the front is where it is. At least
//! one sink stands at the front, and only when it is the only one may it take out, up to the next one's position.

use std::io::ErrorKind;

use super::{Spread, Supply};
use crate::endpoint::Transport;
use crate::plan::pipe::OnSlow;
use crate::reactor::Turn;
use crate::session::end::End;
use crate::session::pump::{is_refusal, is_shortage};
use crate::sys::{self, Access};

impl Spread {
    /// True where bytes may pass without anybody looking at them. A sink that may be dropped must not hold up the pipe
    /// of the others, and a ring that was asked for is used.
    pub(super) fn may_tee(&self) -> bool {
        let context = &self.context;
        let wanted = context.buffer.is_none() && context.on_slow == OnSlow::Wait && self.tap.is_none();
        let possible = sys::SPLICE && context.policy.splice && !self.is_refused;
        let is_pipe = |end: &End| end.spliceable(Access::Write).is_some_and(|fd| fd.is_pipe);
        wanted
            && possible
            && self.live().next().is_some()
            && self.live().all(|sink| sink.end.as_ref().is_some_and(is_pipe))
            && self.source.as_ref().is_some_and(|source| source.spliceable(Access::Read).is_some())
    }

    /// One round: every sink at the front is given what there is. True if anything moved.
    pub(super) fn tee(&mut self, turn: &mut Turn, budget: &mut u64) -> bool {
        let is_straight = self.is_straight();
        let mut moved = false;
        if !is_straight && self.trunk.is_none() {
            moved = self.fill_trunk(turn, budget);
            if self.trunk.is_none() {
                return moved;
            }
        }
        let front = self.ring.end();
        for index in 0..self.sinks.len() {
            let sink = &self.sinks[index];
            if !(sink.is_open() && sink.at == front) {
                continue;
            }
            moved |= self.give(turn, index, is_straight, budget);
            if !self.ring.is_empty() || self.ring.end() != front || !self.may_tee() {
                return moved;
            }
        }
        // whoever stood at the front is gone: what the others have already goes the way of the ring
        if self.live().all(|sink| sink.at > front) {
            moved |= self.fill_ring(turn, budget);
        }
        moved
    }

    fn is_straight(&self) -> bool {
        self.source.as_ref().and_then(|end| end.spliceable(Access::Read)).is_some_and(|fd| fd.is_pipe)
    }

    /// Gives one sink at the front what there is.
    fn give(&mut self, turn: &mut Turn, index: usize, is_straight: bool, budget: &mut u64) -> bool {
        let (now, front) = (turn.now(), self.ring.end());
        let owed = self.taken - front;
        let reach = match is_straight {
            true => owed.saturating_add(self.allowance(now, *budget)),
            false => owed,
        };
        let others = |(at, sink): (usize, &super::Sink)| (at != index && sink.is_live()).then_some(sink.at);
        let nearest = self.sinks.iter().enumerate().filter_map(others).min();
        let takes_out = nearest.is_none_or(|at| at > front);
        let most = if takes_out { nearest.map_or(reach, |at| at - front) } else { reach };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.context.policy.block);
        let (Some(source), Some(sink)) = (&self.source, &self.sinks[index].end) else { return false };
        let has_bytes = owed > 0 || source.transport().can_read(turn);
        if most == 0 || !has_bytes || !sink.transport().can_write(turn) {
            return false;
        }
        let (Some(from), Some(to)) = (source.spliceable(Access::Read), sink.spliceable(Access::Write)) else {
            return false;
        };
        let result = match &mut self.trunk {
            Some(trunk) if takes_out => trunk.drain(to.fd, most),
            Some(trunk) => trunk.duplicate(to.fd, most),
            None if takes_out => sys::splice(from.fd, to.fd, most),
            None => sys::tee(from.fd, to.fd, most),
        };
        match result {
            Ok(0) if owed == 0 => return self.fill_ring(turn, budget), // only a plain read knows whether that is the end
            Ok(0) => self.is_refused = true,
            Ok(count) => self.gave(index, count as u64, takes_out, budget, now),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.blame(turn, index, budget),
            Err(error) if is_refusal(&error) => self.is_refused = true,
            // a pipe that is read has nothing that could fail
            Err(error) => self.sink_failed(turn, index, error.into()),
        }
        true
    }

    fn gave(&mut self, index: usize, count: u64, takes_out: bool, budget: &mut u64, now: std::time::Instant) {
        let sink = &mut self.sinks[index];
        sink.at += count;
        (sink.moved_at, self.moved_at) = (now, now);
        let fresh = sink.at.saturating_sub(self.taken);
        if takes_out {
            self.ring.skip(count);
            self.trunk = self.trunk.take().filter(|trunk| trunk.held() > 0);
        }
        self.tell_route(true);
        if fresh > 0 {
            self.took(fresh, budget, now);
        }
    }

    /// A tee or a splice said WouldBlock without saying which end it means. Where bytes are known to be there it is the
    /// sink; else poll tells, and only the end that is not ready loses its latch. If both are ready (they became so
    /// meanwhile), one plain read settles it.
    fn blame(&mut self, turn: &mut Turn, index: usize, budget: &mut u64) -> bool {
        let (Some(source), Some(sink)) = (&self.source, &self.sinks[index].end) else { return false };
        let (from, to): (&Transport, &Transport) = (source.transport(), sink.transport());
        if self.taken > self.ring.end() {
            to.would_block(turn, Access::Write);
            return false;
        }
        let (readable, writable) = (from.polls_ready(Access::Read), to.polls_ready(Access::Write));
        if !readable {
            from.would_block(turn, Access::Read);
        }
        if !writable {
            to.would_block(turn, Access::Write);
        }
        readable && writable && self.fill_ring(turn, budget)
    }

    /// Splices from the source into a pipe of our own, which is empty.
    fn fill_trunk(&mut self, turn: &mut Turn, budget: &mut u64) -> bool {
        let pools = std::rc::Rc::clone(&self.context.pools);
        let most = usize::try_from(self.allowance(turn.now(), *budget)).unwrap_or(usize::MAX);
        let most = most.min(self.context.policy.block).min(pools.pipe_size());
        let Some(source) = &mut self.source else { return false };
        if most == 0 || self.supply != Supply::Open || !source.transport().can_read(turn) {
            return false;
        }
        let mut trunk = match pools.pipe() {
            Ok(trunk) => trunk,
            Err(error) => {
                // without a descriptor it is memory for this time; a pipe that came out short would do so at every fill
                self.is_refused = !is_shortage(&error);
                return self.fill_ring(turn, budget);
            }
        };
        let Some(from) = source.spliceable(Access::Read) else { return false };
        match trunk.fill(from.fd, most) {
            Ok(0) => self.fill_ring(turn, budget), // only a plain read knows whether that is the end
            Ok(count) => {
                self.trunk = Some(trunk);
                self.took(count as u64, budget, turn.now());
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // an urgent byte makes splice say so for ever; one plain read goes past it
                if source.transport().is_odd(turn) && source.transport().polls_ready(Access::Read) {
                    return self.fill_ring(turn, budget);
                }
                source.transport().would_block(turn, Access::Read);
                false
            }
            Err(error) if is_refusal(&error) => {
                self.is_refused = true;
                true
            }
            Err(error) => {
                let fault = source.failed(error);
                self.source_failed(fault, turn.now());
                true
            }
        }
    }
}
