//! A reactor without a kernel, for tests of tasks over scripted transports: the test sets the latches.

use std::sync::mpsc::channel;
use std::time::Instant;

use super::{Core, Latch, Park, Slot, Task, TaskId, Turn};

/// One task under test, with its slots and a clock that the test moves.
pub(crate) struct Bench {
    core: Core,
    id: TaskId,
    /// The time of the next turn.
    pub(crate) now: Instant,
}

impl Bench {
    /// A bench with nothing on it.
    pub(crate) fn new() -> Self {
        let mut core = Core::new(None, channel().0);
        let id = core.add(Box::new(Idle), None);
        Bench { core, id, now: Instant::now() }
    }

    /// A turn as the reactor would give it.
    pub(crate) fn turn(&mut self) -> Turn<'_> {
        Turn { core: &mut self.core, id: self.id, now: self.now }
    }

    /// What an event for `slot` does.
    pub(crate) fn fire(&mut self, slot: Slot) {
        self.core.fire(slot, Latch::SET);
    }

    /// The latch of a slot.
    pub(crate) fn latch(&mut self, slot: Slot) -> Latch {
        self.turn().latch(slot)
    }

    /// True if the task was to have another turn since this was asked last.
    pub(crate) fn was_woken(&mut self) -> bool {
        let woken = !self.core.queue.is_empty();
        self.core.queue.clear();
        self.core.entries.iter_mut().for_each(|(_, entry)| entry.queued = false);
        woken
    }

    /// The deadline that the task has set.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.core.entries.get(self.id.index as usize).and_then(|entry| entry.alarm.wanted)
    }
}

struct Idle;

impl Task for Idle {
    fn start(&mut self, _: &mut Turn) -> Result<(), crate::error::Error> {
        Ok(())
    }

    fn turn(&mut self, _: &mut Turn) -> Park {
        Park::Wait
    }
}
