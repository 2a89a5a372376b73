//! One deadline per client, kept in a heap that is only touched when a deadline comes nearer.
//!
//! As in the reactor's timers, a deadline that moves later (an idle limit, at each message) changes a field of the
//! client alone: the heap's entry comes early, and the client is asked again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Pending alarms of many clients, soonest first.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// A client's own part: the earliest entry that stands in the heap for it.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl Alarms {
    /// Sets the deadline of the client called `key`; one that moves later, or is no more, comes early or for nothing.
    pub(super) fn set(&mut self, key: usize, alarm: &mut Alarm, at: Option<Instant>) {
        if let Some(at) = at
            && alarm.0.is_none_or(|standing| at < standing)
        {
            alarm.0 = Some(at);
            self.heap.push(Reverse((at, key)));
        }
    }

    /// When the next entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one entry that is due: its time and its client, which must be told by [`Alarm::came`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, usize)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl Alarm {
    /// An entry of this client's came; false if it is an old one, which a sooner one has replaced.
    pub(super) fn came(&mut self, at: Instant) -> bool {
        self.0.take_if(|standing| *standing == at).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_that_moves_later_adds_no_entry_and_a_sooner_one_comes_first() {
        let (mut alarms, mut alarm, start) = (Alarms::default(), Alarm::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for ms in 10..20 {
            alarms.set(7, &mut alarm, Some(at(ms)));
        }
        assert_eq!(alarms.heap.len(), 1);
        alarms.set(7, &mut alarm, Some(at(5)));
        assert_eq!(alarms.pop(at(4)), None);
        assert_eq!(alarms.pop(at(12)), Some((at(5), 7)));
        assert!(alarm.came(at(5)));
        assert_eq!(alarms.pop(at(12)), Some((at(10), 7)));
        assert!(!alarm.came(at(10)), "it had been replaced");
    }
}
