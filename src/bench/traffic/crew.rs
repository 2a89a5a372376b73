//! Who runs the flows: the thread that leads the test, or several more.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Receiver;

use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::reactor::shard::Shard;
use crate::reactor::{Park, Task, TaskId, Turn};

/// What a thread is told.
enum Order {
    Run(Box<dyn FnOnce() -> Box<dyn Task> + Send>),
    /// Look at the phase.
    Nudge,
    /// End, once nothing runs any more.
    Leave,
}

/// Threads that run flows; none where the leader does it. Clones share them.
#[derive(Clone)]
pub struct Crew(Rc<Threads>);

struct Threads {
    shards: Vec<Shard<Order>>,
    next: Cell<usize>,
}

/// The flows of one test.
pub struct Band {
    crew: Crew,
    /// Those that the leader's thread runs.
    own: Vec<TaskId>,
}

impl Crew {
    /// So many threads; with fewer than two the leader's own is the only one.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(threads: usize) -> io::Result<Self> {
        let count = if threads < 2 { 0 } else { threads };
        let start = |index| {
            Shard::start(&format!("bench {index}"), |orders| {
                Box::new(Worker { orders, flows: Vec::new(), leaving: false }) as Box<dyn Task>
            })
        };
        let shards = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Crew(Rc::new(Threads { shards, next: Cell::new(0) })))
    }

    /// The flows of one more test.
    pub fn band(&self) -> Band {
        Band { crew: self.clone(), own: Vec::new() }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for shard in &self.shards {
            // one that has ended has nobody to tell
            let _ = shard.send(Order::Leave);
        }
        self.shards.drain(..).for_each(Shard::join);
    }
}

impl Band {
    /// Runs a flow, on the thread whose turn it is.
    ///
    /// # Errors
    /// That thread has ended, which it should not have.
    pub fn run(&mut self, turn: &mut Turn, make: impl FnOnce() -> Box<dyn Task> + Send + 'static) -> io::Result<()> {
        let Threads { shards, next } = &*self.crew.0;
        if shards.is_empty() {
            self.own.push(turn.spawn(make()));
            return Ok(());
        }
        let index = next.get() % shards.len();
        next.set(index + 1);
        let order = Order::Run(Box::new(make));
        shards[index].send(order).map_err(|_| io::Error::other("a thread has ended"))
    }

    /// The phase has changed: everybody is to look.
    pub fn nudge(&self, turn: &mut Turn) {
        for id in &self.own {
            turn.wake(*id);
        }
        for shard in &self.crew.0.shards {
            let _ = shard.send(Order::Nudge);
        }
    }
}

/// The root task of a thread.
struct Worker {
    orders: Receiver<Order>,
    flows: Vec<TaskId>,
    leaving: bool,
}

impl Task for Worker {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Run(make) => self.flows.push(turn.spawn(make())),
                Order::Nudge => self.flows.iter().for_each(|id| turn.wake(*id)),
                Order::Leave => self.leaving = true,
            }
        }
        while let Some((id, _)) = turn.finished() {
            self.flows.retain(|known| *known != id);
        }
        match self.leaving && self.flows.is_empty() {
            true => Park::Done(Outcome::nothing_moved(Ended::Clean)),
            false => Park::Wait,
        }
    }
}
