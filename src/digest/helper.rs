//! The thread that hashes beside the event loop: one for all streams of the process, begun when a long one comes, and
//! only where there is a second processor for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

use blake3::hazmat::ChainingValue;

use super::tree::hash;
use crate::buffer::{Kept, Portion};

/// A subtree that was given away to be hashed. Whoever asked never waits for it: [`Errand::value`] does what was not done.
#[derive(Debug)]
pub(super) struct Errand {
    /// Groups before it.
    groups: u64,
    /// Its bytes, until somebody has hashed them. Never locked for longer than it takes to look.
    bytes: Mutex<Option<Kept>>,
    done: OnceLock<ChainingValue>,
}

impl Errand {
    /// True once the helper has hashed it.
    pub(super) fn is_done(&self) -> bool {
        self.done.get().is_some()
    }

    /// Its chaining value.
    pub(super) fn value(&self) -> ChainingValue {
        let bytes = self.bytes().clone();
        match bytes {
            // also if the helper is at it just now
            Some(bytes) => *self.done.get_or_init(|| hash(self.groups, &bytes)),
            // they are given up only after the value is there
            None => match self.done.get() {
                Some(value) => *value,
                None => unreachable!("bytes are given up once their value is known"),
            },
        }
    }

    fn bytes(&self) -> MutexGuard<'_, Option<Kept>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the helper does.
    fn run(&self) {
        let bytes = self.bytes().clone();
        if let Some(bytes) = bytes.filter(|_| !self.is_done()) {
            // not within the cell: nobody is to wait for it there
            let _ = self.done.set(hash(self.groups, &bytes));
        }
        *self.bytes() = None;
    }
}

/// Gives a subtree away; `None` if it cannot be kept, or the helper has enough to do, or there is none.
pub(super) fn ask(groups: u64, part: Portion<'_>) -> Option<Arc<Errand>> {
    let helper = helper()?;
    let errand = Arc::new(Errand { groups, bytes: Mutex::new(Some(part.keep()?)), done: OnceLock::new() });
    helper.take(&errand).then_some(errand)
}

/// The thread, and what it has to do.
struct Helper {
    desk: Arc<Desk>,
    thread: Thread,
}

/// Never locked for longer than it takes to put something there or take it away.
struct Desk(Mutex<VecDeque<Arc<Errand>>>);

impl Helper {
    /// The thread, if there is a second processor for it.
    fn begin() -> Option<Self> {
        if thread::available_parallelism().map_or(1, usize::from) < 2 {
            return None;
        }
        let desk = Arc::new(Desk(Mutex::new(VecDeque::with_capacity(MOST))));
        let own = Arc::clone(&desk);
        let thread = thread::Builder::new().name("digest".into()).stack_size(STACK).spawn(move || own.work()).ok()?;
        Some(Helper { desk, thread: thread.thread().clone() })
    }

    /// Takes an errand unless there are enough already. For a single one it is not woken: that waits for the next, and
    /// is done by who asked if none comes.
    fn take(&self, errand: &Arc<Errand>) -> bool {
        let mut errands = self.desk.errands();
        if errands.len() >= MOST {
            return false;
        }
        errands.push_back(Arc::clone(errand));
        let is_due = errands.len() >= WORTH_WAKING;
        drop(errands);
        if is_due {
            self.thread.unpark();
        }
        true
    }
}

impl Desk {
    fn errands(&self) -> MutexGuard<'_, VecDeque<Arc<Errand>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> ! {
        loop {
            let errand = self.errands().pop_front();
            match errand {
                Some(errand) => errand.run(),
                None => thread::park(),
            }
        }
    }
}

fn helper() -> Option<&'static Helper> {
    static HELPER: OnceLock<Option<Helper>> = OnceLock::new();
    HELPER.get_or_init(Helper::begin).as_ref()
}

/// Errands of all streams that may wait.
const MOST: usize = 16;

/// Errands for which the helper is woken: to wake it costs a system call, and its processor a while.
const WORTH_WAKING: usize = 2;

/// Bytes of its stack: it calls nothing but the hash.
const STACK: usize = 256 * 1024;
