//! The event loop: descriptors, deadlines and signals in; turns of tasks out. It knows nothing of sockets or sessions.
//!
//! A [`Task`] registers its sources once, for its whole life and for all directions; there is no interest to edit.
//! An event sets the source's [`Latch`] and queues the task. A turn does everything possible now and parks; a turn for
//! nothing is harmless. Work left over for fairness is [`Park::Again`]: the task goes to the end of the queue, and the
//! poll before it does not sleep.

mod ready;
pub mod shard;
mod signals;
mod timer;
mod turn;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use mio::{Events, Poll, Registry, Token, Waker};
use slab::Slab;
use smallvec::SmallVec;

use crate::error::Error;
use crate::outcome::{Ended, Outcome};
pub use ready::Latch;
use signals::Signals;
use timer::{Alarm, Timers};
pub use turn::{Remote, Turn};

/// Something that the reactor gives turns to.
pub trait Task {
    /// Registers sources, arms a deadline. Called once, before the first turn.
    ///
    /// # Errors
    /// The task is over, and the error is its outcome.
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error>;

    /// Does everything that can be done now. Must be harmless when called for nothing.
    fn turn(&mut self, turn: &mut Turn) -> Park;
}

/// How a turn ended.
#[derive(Debug)]
pub enum Park {
    /// Nothing more can be done until an event, the deadline or a wake.
    Wait,
    /// There is more to do, after everybody else had a turn.
    Again,
    /// The task is over.
    Done(Outcome),
}

/// Names a task; never reused while somebody may remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    index: u32,
    generation: u32,
}

/// Names one registered source of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    index: u32,
    generation: u32,
}

impl Slot {
    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    fn of(token: Token) -> Self {
        Slot { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

/// One epoll (kqueue) instance with its tasks.
pub struct Reactor {
    poll: Poll,
    events: Events,
    core: Core,
    /// Where [`Remote`] handles send their wakes; made with the first handle.
    inbox: Receiver<TaskId>,
}

/// Everything a [`Turn`] may touch.
struct Core {
    /// `None` only for a reactor without a kernel, in tests.
    registry: Option<Registry>,
    entries: Slab<Entry>,
    latches: Slab<Registered>,
    timers: Timers,
    queue: VecDeque<TaskId>,
    signals: Signals,
    generation: u32,
    remote: Option<Arc<Waker>>,
    outbox: Sender<TaskId>,
}

/// Most tasks have two sources at most, and there may be thousands of tasks.
type Few = SmallVec<[Slot; 2]>;

struct Entry {
    generation: u32,
    /// `None` during its own turn.
    task: Option<Box<dyn Task>>,
    parent: Option<TaskId>,
    alarm: Alarm,
    started: bool,
    /// Invariant: true exactly while the task stands in the queue.
    queued: bool,
    slots: Few,
    fired: Few,
    #[expect(clippy::box_collection, reason = "most tasks have no children, and there may be thousands of tasks")]
    finished: Option<Box<Vec<(TaskId, Outcome)>>>,
    signals: u64,
}

struct Registered {
    generation: u32,
    task: TaskId,
    /// Where it stands in its task's list of slots.
    place: u32,
    latch: Latch,
    /// Invariant: true exactly while the slot stands in its task's list of fired slots.
    fired: bool,
}

impl Reactor {
    /// A reactor without tasks.
    ///
    /// # Errors
    /// What epoll_create1 says, say that no descriptor is left.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let (outbox, inbox) = channel();
        Ok(Reactor { poll, events: Events::with_capacity(EVENTS), core: Core::new(Some(registry), outbox), inbox })
    }

    /// Runs `root` and everything it spawns until `root` is done.
    ///
    /// # Errors
    /// What polling says; the tasks' own failures are in the outcome.
    pub fn run(&mut self, root: Box<dyn Task>) -> io::Result<Outcome> {
        let root = self.core.add(root, None);
        self.run_to_the_end_of(root)
    }

    fn run_to_the_end_of(&mut self, root: TaskId) -> io::Result<Outcome> {
        loop {
            let now = Instant::now();
            self.fire_timers(now);
            for _ in 0..self.core.queue.len() {
                let Some(id) = self.core.queue.pop_front() else { break };
                if let Some(outcome) = self.core.run(id, now)
                    && let Some(outcome) = self.core.retire(id, outcome, root)
                {
                    return Ok(outcome);
                }
            }
            self.wait()?;
        }
    }

    /// Sleeps until something happens, not at all while tasks are queued, and queues whom it concerns.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = match self.core.queue.is_empty() {
            false => Some(std::time::Duration::ZERO),
            true => self.core.timers.next().map(|at| at.saturating_duration_since(Instant::now())),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                WAKER => {}
                SIGNALS => self.core.take_signals(),
                token => {
                    let odd =
                        event.is_read_closed() || event.is_write_closed() || event.is_error() || event.is_priority();
                    let told = match odd || event.is_readable() || !event.is_writable() {
                        true => Latch { odd, ..Latch::SET },
                        false => Latch::ROOM,
                    };
                    self.core.fire(Slot::of(token), told);
                }
            }
        }
        while let Ok(id) = self.inbox.try_recv() {
            self.core.enqueue(id);
        }
        Ok(())
    }

    fn fire_timers(&mut self, now: Instant) {
        let Core { entries, timers, .. } = &mut self.core;
        timers.trim(entries.iter_mut().map(|(index, entry)| {
            let id = TaskId { index: index as u32, generation: entry.generation };
            (id, &mut entry.alarm)
        }));
        while let Some((at, id)) = self.core.timers.pop(now) {
            let Core { entries, timers, .. } = &mut self.core;
            let Some(entry) = lookup(entries, id) else { continue };
            if timers.due((at, id), &mut entry.alarm, now) {
                self.core.enqueue(id);
            }
        }
    }
}

impl Core {
    fn new(registry: Option<Registry>, outbox: Sender<TaskId>) -> Self {
        Core {
            registry,
            entries: Slab::new(),
            latches: Slab::new(),
            timers: Timers::default(),
            queue: VecDeque::new(),
            signals: Signals::default(),
            generation: 0,
            remote: None,
            outbox,
        }
    }

    fn add(&mut self, task: Box<dyn Task>, parent: Option<TaskId>) -> TaskId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.entries.insert(Entry {
            generation,
            task: Some(task),
            parent,
            alarm: Alarm::default(),
            started: false,
            queued: false,
            slots: Few::new(),
            fired: Few::new(),
            finished: None,
            signals: 0,
        });
        let id = TaskId { index: index as u32, generation };
        self.enqueue(id);
        id
    }

    fn enqueue(&mut self, id: TaskId) {
        if let Some(entry) = lookup(&mut self.entries, id)
            && !entry.queued
        {
            entry.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Sets a latch and queues its task; an event for a slot that is gone is ignored.
    fn fire(&mut self, slot: Slot, told: Latch) {
        let Some(registered) = self.latches.get_mut(slot.index as usize) else { return };
        if registered.generation != slot.generation {
            return;
        }
        registered.latch = registered.latch.after(told);
        let id = registered.task;
        let first = !std::mem::replace(&mut registered.fired, true);
        if let Some(entry) = lookup(&mut self.entries, id) {
            if first {
                entry.fired.push(slot);
            }
            self.enqueue(id);
        }
    }

    fn take_signals(&mut self) {
        let (set, listeners) = self.signals.take();
        if set == 0 {
            return; // they were looked for, and found, before the poll told
        }
        for id in listeners {
            if let Some(entry) = lookup(&mut self.entries, id) {
                entry.signals |= set;
            }
            self.enqueue(id);
        }
    }

    /// Gives one task its turn; `Some` when it is over.
    fn run(&mut self, id: TaskId, now: Instant) -> Option<Outcome> {
        let entry = lookup(&mut self.entries, id)?;
        entry.queued = false;
        let mut task = entry.task.take()?;
        let started = std::mem::replace(&mut entry.started, true);
        let mut turn = Turn { core: self, id, now };
        let begun = if started { Ok(()) } else { task.start(&mut turn) };
        let park = match begun {
            Ok(()) => task.turn(&mut turn),
            Err(error) => Park::Done(Outcome::nothing_moved(Ended::Failed(error))),
        };
        let Core { entries, latches, .. } = self;
        let entry = lookup(entries, id)?;
        for slot in entry.fired.drain(..) {
            if let Some(registered) = latches.get_mut(slot.index as usize).filter(|r| r.generation == slot.generation) {
                registered.fired = false;
            }
        }
        entry.task = Some(task);
        match park {
            Park::Wait => None,
            Park::Again => {
                self.enqueue(id);
                None
            }
            Park::Done(outcome) => Some(outcome),
        }
    }

    /// Removes a finished task and tells its parent; `Some` when it was the root.
    fn retire(&mut self, id: TaskId, outcome: Outcome, root: TaskId) -> Option<Outcome> {
        let entry = self.entries.try_remove(id.index as usize)?;
        for slot in entry.slots {
            self.forget(slot);
        }
        self.signals.forget(id);
        if id == root {
            return Some(outcome);
        }
        if let Some(parent) = entry.parent
            && let Some(entry) = lookup(&mut self.entries, parent)
        {
            entry.finished.get_or_insert_default().push((id, outcome));
            self.enqueue(parent);
        }
        None
    }

    /// Frees a slot, and takes it off its task's list: in constant time, for a task may have thousands.
    fn release(&mut self, slot: Slot) {
        let Some(Registered { task, place, .. }) = self.forget(slot) else { return };
        let Some(entry) = lookup(&mut self.entries, task) else { return };
        let at = place as usize;
        if entry.slots.get(at) == Some(&slot) {
            entry.slots.swap_remove(at);
            if let Some(moved) = entry.slots.get(at)
                && let Some(registered) = self.latches.get_mut(moved.index as usize)
            {
                registered.place = place;
            }
        }
    }

    /// Frees a slot of a task that is gone, or that has taken it off its list.
    fn forget(&mut self, slot: Slot) -> Option<Registered> {
        let known = self.latches.get(slot.index as usize).is_some_and(|r| r.generation == slot.generation);
        known.then(|| self.latches.remove(slot.index as usize))
    }
}

fn lookup(entries: &mut Slab<Entry>, id: TaskId) -> Option<&mut Entry> {
    entries.get_mut(id.index as usize).filter(|entry| entry.generation == id.generation)
}

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
