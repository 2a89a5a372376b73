//! One deadline per task, kept in a heap that is only touched when a deadline comes nearer.
//!
//! A deadline that moves later (an idle limit, at each message) changes a field; the heap's entry fires early, is
//! compared with the field, and is put back. So the data path never pushes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::TaskId;

/// Pending alarms, soonest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, TaskId)>>,
}

/// A task's own part: what it wants and what stands in the heap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alarm {
    /// When the task wants its next turn at the latest.
    pub(super) wanted: Option<Instant>,
    /// The earliest entry in the heap for this task. Invariant: `wanted` is never before it without an entry.
    standing: Option<Instant>,
}

impl Timers {
    /// Sets or clears the task's deadline.
    pub(super) fn set(&mut self, task: TaskId, alarm: &mut Alarm, at: Option<Instant>) {
        alarm.wanted = at;
        if let Some(at) = at
            && alarm.standing.is_none_or(|standing| at < standing)
        {
            alarm.standing = Some(at);
            self.heap.push(Reverse((at, task)));
        }
    }

    /// When the next entry is due, whether or not its task still wants it.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one entry that is due. The caller looks its task up and asks [`Timers::due`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, TaskId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// True when the entry popped for this alarm means that the deadline has passed; otherwise it is put back for later.
    pub(super) fn due(&mut self, (at, task): (Instant, TaskId), alarm: &mut Alarm, now: Instant) -> bool {
        if alarm.standing != Some(at) {
            return false; // an older entry, superseded by a sooner one that already fired
        }
        alarm.standing = None;
        match alarm.wanted {
            Some(wanted) if wanted <= now => {
                alarm.wanted = None;
                true
            }
            wanted => {
                self.set(task, alarm, wanted);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TASK: TaskId = TaskId { index: 0, generation: 0 };

    #[test]
    fn a_deadline_that_moves_later_fires_once_at_the_later_time() {
        let (mut timers, mut alarm, start) = (Timers::default(), Alarm::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        timers.set(TASK, &mut alarm, Some(at(10)));
        for ms in 11..20 {
            timers.set(TASK, &mut alarm, Some(at(ms)));
        }
        assert_eq!(timers.heap.len(), 1, "moving later must not push");
        let early = timers.pop(at(10)).unwrap();
        assert!(!timers.due(early, &mut alarm, at(10)));
        assert!(timers.pop(at(18)).is_none());
        let late = timers.pop(at(19)).unwrap();
        assert!(timers.due(late, &mut alarm, at(19)));
        assert!(timers.next().is_none());
    }

    #[test]
    fn a_sooner_deadline_supersedes_and_a_cleared_one_never_fires() {
        let (mut timers, mut alarm, start) = (Timers::default(), Alarm::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        timers.set(TASK, &mut alarm, Some(at(50)));
        timers.set(TASK, &mut alarm, Some(at(5)));
        let soon = timers.pop(at(5)).unwrap();
        assert!(timers.due(soon, &mut alarm, at(5)));
        timers.set(TASK, &mut alarm, None);
        let stale = timers.pop(at(60)).unwrap();
        assert!(!timers.due(stale, &mut alarm, at(60)));
    }
}
