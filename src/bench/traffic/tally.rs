//! What a flow counts and what it goes by, shared with the task that leads the test.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use std::time::Duration;

use crate::bench::result::Datagrams;
use crate::reactor::{Remote, TaskId, Turn};

/// How far a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The streams are there.
    Waiting,
    /// They are used.
    Running,
    /// Nothing more is sent; what still comes counts.
    Draining,
    /// Nothing more is sent; what still comes is dropped and not counted.
    Over,
    /// The streams are to be closed.
    Gone,
}

/// The phase that all flows of a test look at.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

impl Stage {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        match self.0.load(Relaxed) {
            0 => Phase::Waiting,
            1 => Phase::Running,
            2 => Phase::Draining,
            3 => Phase::Over,
            _ => Phase::Gone,
        }
    }

    /// Goes on to a later phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Relaxed);
    }
}

/// What one flow has counted. Only its task writes the numbers.
#[derive(Debug, Default)]
pub struct Tally {
    bytes: AtomicU64,
    corrupt: AtomicU64,
    /// Datagrams: see [`Tally::publish`].
    account: [AtomicU64; 8],
    ended: AtomicBool,
    error: Mutex<Option<io::Error>>,
}

impl Tally {
    /// Adds bytes that were sent or received.
    pub fn add(&self, bytes: usize) {
        // one writer: no locked instruction is needed
        self.bytes.store(self.bytes.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Adds blocks whose payload was not what had been sent.
    pub fn spoil(&self, blocks: u64) {
        self.corrupt.store(self.corrupt.load(Relaxed) + blocks, Relaxed);
    }

    /// Adds datagrams that were sent.
    pub fn add_sent(&self, datagrams: u64) {
        self.account[0].store(self.account[0].load(Relaxed) + datagrams, Relaxed);
    }

    /// What a receiver of datagrams knows by now.
    pub fn publish(&self, known: &Datagrams) {
        let Datagrams { sent, received, lost, out_of_order, late, duplicated, dropped_here, jitter, .. } = *known;
        let jitter = u64::try_from(jitter.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let all = [sent, received.unwrap_or(0), lost, out_of_order, late, duplicated, dropped_here, jitter];
        for (place, number) in self.account.iter().zip(all) {
            place.store(number, Relaxed);
        }
    }

    /// What became of the datagrams so far; of a sender only how many there were.
    pub fn datagrams(&self) -> Datagrams {
        let [sent, received, lost, out_of_order, late, duplicated, dropped_here, jitter] =
            std::array::from_fn(|index| self.account[index].load(Relaxed));
        Datagrams {
            offered: None,
            sent,
            received: Some(received),
            lost,
            out_of_order,
            late,
            duplicated,
            dropped_here,
            jitter: Some(Duration::from_nanos(jitter)),
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Blocks so far that were not what had been sent.
    pub fn corrupt(&self) -> u64 {
        self.corrupt.load(Relaxed)
    }

    /// Nothing more will be counted; why, if something failed.
    pub fn end(&self, error: Option<io::Error>) {
        if let Some(error) = error {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.ended.store(true, Relaxed);
    }

    /// True if nothing more will be counted.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// What failed, told once.
    pub fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Wakes the task that leads a test, from whatever thread.
#[derive(Clone)]
pub struct Bell {
    remote: Remote,
    leader: TaskId,
}

impl Bell {
    /// For the task whose turn it is.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn of(turn: &mut Turn) -> io::Result<Self> {
        Ok(Bell { remote: turn.remote()?, leader: turn.id() })
    }

    /// Wakes it.
    pub fn ring(&self) {
        self.remote.wake(self.leader);
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

/// What all senders of a test may send together, or what all receivers are to receive (`-n`, `-k`).
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// So many units.
    pub fn new(units: u64) -> Self {
        Budget(AtomicU64::new(units))
    }

    /// Takes at most `most`; 0 if nothing is left.
    pub fn take(&self, most: u64) -> u64 {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(most)));
        taken.map_or(0, |left| left.min(most))
    }

    /// Puts back what was taken and not sent.
    pub fn give_back(&self, units: u64) {
        self.0.fetch_add(units, Relaxed);
    }

    /// True if nothing is left.
    pub fn is_spent(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}
