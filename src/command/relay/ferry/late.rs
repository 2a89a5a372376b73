//! What is held back on purpose, and when it is due: one queue of times for all flows.

use std::cmp::{Ordering, Reverse};
use std::time::Instant;

use super::flight::UP;
use super::{Ferry, Name, ROUNDS};
use crate::reactor::Turn;

/// A way of a flow that has something due then. The earliest is the greatest, for a heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) at: Instant,
    name: Name,
    way: usize,
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |late: &Late| Reverse((late.at, late.name.number, late.way));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ferry {
    /// Sends what is due; true if there is more.
    pub(super) fn run_late(&mut self, turn: &mut Turn) -> bool {
        for _ in 0..ROUNDS * ROUNDS {
            let Some(late) = self.late.peek().copied().filter(|late| late.at <= turn.now()) else { return false };
            self.late.pop();
            let Some(held) = self.flight(late.name).and_then(|flight| flight.held(late.way)) else { continue };
            if held.armed != Some(late.at) {
                continue; // an earlier time has taken its place
            }
            held.armed = None;
            self.release(turn, late.name, late.way);
            match self.living(late.name) {
                Some(id) => {
                    if late.way == UP {
                        self.flush_up(turn, id);
                    }
                    self.may_leave(turn, id);
                }
                None => self.let_go(turn, late.name.number),
            }
        }
        true
    }

    /// Passes on what one way of a flow holds and is due; sees to the rest in time.
    pub(super) fn release(&mut self, turn: &mut Turn, name: Name, way: usize) {
        let now = turn.now();
        loop {
            let Some(held) = self.flight(name).and_then(|flight| flight.held(way)) else { return };
            let Some(datagram) = held.line.due(now) else { break };
            match way {
                UP => match self.living(name) {
                    Some(id) => self.push_up(turn, id, &datagram, datagram.len()),
                    None => Ferry::lose(&mut self.traffic, 1),
                },
                _ => self.push_down(turn, name, &datagram, datagram.len()),
            }
        }
        let Some(held) = self.flight(name).and_then(|flight| flight.held(way)) else { return };
        let overflowed = held.line.overflowed();
        let lost = overflowed - std::mem::replace(&mut held.overflowed, overflowed);
        if let Some(at) = held.line.next_due()
            && held.armed.is_none_or(|armed| at < armed)
        {
            held.armed = Some(at);
            self.late.push(Late { at, name, way });
        }
        Ferry::lose(&mut self.traffic, lost);
    }
}
