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

    /// Makes the heap anew from all alarms once most of its entries are older ones that nobody wants any more: a
    /// deadline that alternates between soon and late leaves one behind each time.
    pub(super) fn trim<'a>(&mut self, alarms: impl ExactSizeIterator<Item = (TaskId, &'a mut Alarm)>) {
        if self.heap.len() <= SPARE + PER_TASK * alarms.len() {
            return;
        }
        self.heap.clear();
        for (task, alarm) in alarms {
            alarm.standing = alarm.wanted;
            self.heap.extend(alarm.wanted.map(|at| Reverse((at, task))));
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

/// Entries that the heap may have before it is made anew: this many, and so many for each task.
const SPARE: usize = 64;
const PER_TASK: usize = 4;

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

    #[test]
    fn deadlines_that_alternate_leave_a_small_heap_and_fire_once() {
        let (mut timers, mut alarm, start) = (Timers::default(), Alarm::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let late = at(1_000_000);
        for ms in 0..10_000 {
            timers.set(TASK, &mut alarm, Some(late));
            timers.set(TASK, &mut alarm, Some(at(ms)));
            let soon = timers.pop(at(ms)).unwrap();
            assert!(timers.due(soon, &mut alarm, at(ms)));
            timers.trim([(TASK, &mut alarm)].into_iter());
            assert!(timers.heap.len() <= SPARE + PER_TASK, "{} entries", timers.heap.len());
        }
        timers.set(TASK, &mut alarm, Some(late));
        let mut fired = 0;
        while let Some(entry) = timers.pop(late) {
            fired += u32::from(timers.due(entry, &mut alarm, late));
        }
        assert_eq!(fired, 1);
    }

    #[test]
    fn a_heap_made_anew_keeps_what_is_wanted() {
        let (mut timers, mut alarm, start) = (Timers::default(), Alarm::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for ms in (100..1000).rev() {
            timers.set(TASK, &mut alarm, Some(at(ms)));
        }
        timers.trim([(TASK, &mut alarm)].into_iter());
        assert_eq!((timers.heap.len(), timers.next()), (1, Some(at(100))));
        let entry = timers.pop(at(100)).unwrap();
        assert!(timers.due(entry, &mut alarm, at(100)));
    }
}
