//! What a task may do in its turn, and how other threads ask for one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use mio::Waker;
use mio::event::Source;

use super::{Core, Latch, Registered, SIGNALS, Slot, Task, TaskId, WAKER, lookup};
use crate::outcome::Outcome;
use crate::sys;

/// What a task sees of the reactor during its turn.
pub struct Turn<'a> {
    pub(super) core: &'a mut Core,
    pub(super) id: TaskId,
    pub(super) now: Instant,
}

impl Turn<'_> {
    /// The time of this turn; the data path never reads the clock itself.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The name of the task whose turn it is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The slots of this task that had events since its last turn.
    pub fn fired(&self) -> &[Slot] {
        self.core.entries.get(self.id.index as usize).map_or(&[], |entry| entry.fired.as_slice())
    }

    /// Registers a source for all directions, edge-triggered. Its latch starts cleared: the first event, which the
    /// kernel sends at once for what is already ready, sets it (a FIFO read before that gives a false end of file).
    ///
    /// # Errors
    /// EPERM for what epoll does not poll (regular files), ENOMEM, ENOSPC.
    pub fn register(&mut self, source: &mut impl Source) -> io::Result<Slot> {
        let slot = self.slot(Latch::default());
        let registry = match &self.core.registry {
            Some(registry) => registry,
            None => return Ok(slot),
        };
        match registry.register(source, slot.token(), sys::every_interest()) {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.release(slot);
                Err(error)
            }
        }
    }

    /// A slot for what is always ready: nothing ever says WouldBlock, so nothing ever clears it.
    pub fn always_ready(&mut self) -> Slot {
        self.slot(Latch::SET)
    }

    /// Sets both latches, as most events do: for who knows better than the kernel that a call is worth a try.
    pub fn arm(&mut self, slot: Slot) {
        self.core.fire(slot, Latch::SET);
    }

    fn slot(&mut self, latch: Latch) -> Slot {
        self.core.generation = self.core.generation.wrapping_add(1);
        let generation = self.core.generation;
        let place = self.core.entries.get(self.id.index as usize).map_or(0, |entry| entry.slots.len());
        let registered = Registered { generation, task: self.id, place: place as u32, latch, fired: false };
        let index = self.core.latches.insert(registered);
        let slot = Slot { index: index as u32, generation };
        if let Some(entry) = lookup(&mut self.core.entries, self.id) {
            entry.slots.push(slot);
        }
        slot
    }

    /// Takes a source out of the poll and frees its slot. Call it before closing: a description that somebody else
    /// shares stays in epoll after our close.
    pub fn deregister(&mut self, source: &mut impl Source, slot: Slot) {
        if let Some(registry) = &self.core.registry {
            // a source that was never polled, or whose description is gone, has nothing to take out
            let _ = registry.deregister(source);
        }
        self.release(slot);
    }

    /// Frees a slot that has no source in the poll any more.
    pub fn release(&mut self, slot: Slot) {
        self.core.release(slot);
    }

    /// The latch of a slot of this task; for a slot that is gone, one that says ready, so that the system call tells.
    pub fn latch(&self, slot: Slot) -> Latch {
        match self.core.latches.get(slot.index as usize) {
            Some(registered) if registered.generation == slot.generation => registered.latch,
            _ => Latch::SET,
        }
    }

    /// Clears the read half: only for who was told WouldBlock by a read of this very source.
    pub fn read_would_block(&mut self, slot: Slot) {
        if let Some(registered) = self.core.latches.get_mut(slot.index as usize)
            && registered.generation == slot.generation
        {
            registered.latch.read = false;
        }
    }

    /// Clears the write half: only for who was told WouldBlock by a write to this very source.
    pub fn write_would_block(&mut self, slot: Slot) {
        if let Some(registered) = self.core.latches.get_mut(slot.index as usize)
            && registered.generation == slot.generation
        {
            registered.latch.write = false;
        }
    }

    /// Sets this task's one deadline: it gets a turn then at the latest. `None` clears it.
    pub fn deadline(&mut self, at: Option<Instant>) {
        let Core { entries, timers, .. } = &mut *self.core;
        if let Some(entry) = lookup(entries, self.id) {
            timers.set(self.id, &mut entry.alarm, at);
        }
    }

    /// Makes this task's deadline no later than `at`: for who wraps something that sets it.
    pub fn deadline_at_most(&mut self, at: Instant) {
        let wanted = self.core.entries.get(self.id.index as usize).and_then(|entry| entry.alarm.wanted);
        self.deadline(Some(wanted.map_or(at, |wanted| wanted.min(at))));
    }

    /// Adds a task; its outcome comes back to this one through [`Turn::finished`].
    pub fn spawn(&mut self, task: Box<dyn Task>) -> TaskId {
        let parent = self.id;
        self.core.add(task, Some(parent))
    }

    /// A spawned task that is over, with its outcome.
    pub fn finished(&mut self) -> Option<(TaskId, Outcome)> {
        lookup(&mut self.core.entries, self.id)?.finished.as_mut()?.pop()
    }

    /// Gives another task a turn.
    pub fn wake(&mut self, task: TaskId) {
        self.core.enqueue(task);
    }

    /// A handle for other threads to wake tasks of this reactor.
    ///
    /// # Errors
    /// What eventfd or epoll_ctl say.
    pub fn remote(&mut self) -> io::Result<Remote> {
        self.core.remote()
    }

    /// Delivers these signals to this task from now on, as turns with [`Turn::signals`]. A signal that was ignored
    /// when haul started stays ignored, as POSIX asks of programs started in the background.
    ///
    /// # Errors
    /// What sigaction or epoll_ctl say.
    pub fn listen_for(&mut self, numbers: &[i32]) -> io::Result<()> {
        self.core.signals.add(self.core.registry.as_ref(), SIGNALS, numbers, self.id)
    }

    /// The signals that came since the last call, each as bit `1 << number`.
    pub fn signals(&mut self) -> u64 {
        lookup(&mut self.core.entries, self.id).map_or(0, |entry| std::mem::take(&mut entry.signals))
    }

    /// Declares which of the signals that this task listens for end it; see [`Turn::is_told_to_end`].
    pub fn end_at(&mut self, numbers: &[i32]) {
        self.core.signals.end(self.id, numbers);
    }

    /// True if a signal that ends this task has come and [`Turn::signals`] has not told it: the poll may have told of
    /// something else first. Then there will be another turn. Always false for a task that has not declared any.
    pub fn is_told_to_end(&mut self) -> bool {
        let ends = self.core.signals.that_end(self.id);
        if ends == 0 {
            return false;
        }
        self.core.take_signals();
        lookup(&mut self.core.entries, self.id).is_some_and(|entry| entry.signals & ends != 0)
    }
}

impl Core {
    /// A handle for other threads.
    pub(super) fn remote(&mut self) -> io::Result<Remote> {
        let waker = match (&self.remote, &self.registry) {
            (Some(waker), _) => Arc::clone(waker),
            (None, Some(registry)) => Arc::new(Waker::new(registry, WAKER)?),
            (None, None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        self.remote = Some(Arc::clone(&waker));
        Ok(Remote { waker, outbox: self.outbox.clone() })
    }
}

/// Wakes tasks of one reactor from another thread.
#[derive(Clone)]
pub struct Remote {
    waker: Arc<Waker>,
    outbox: Sender<TaskId>,
}

impl Remote {
    /// Gives `task` a turn soon. Waking a task that is gone is harmless.
    pub fn wake(&self, task: TaskId) {
        if self.outbox.send(task).is_ok() {
            // a failure to write the eventfd means that the reactor is gone
            let _ = self.waker.wake();
        }
    }
}
