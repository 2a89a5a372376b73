//! Mischief on datagrams in one direction of one flow: lost, doubled, out of order, changed, late.
//!
//! Pure: datagrams and the time go in, datagrams come out. What happens to the nth datagram of a flow is decided by the
//! seed and by n, never by when it came; only what a full queue loses depends on the time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::units::Chance;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mischief {
    /// How often one is lost.
    pub loss: Chance,
    /// How often one comes twice, with a delay for each.
    pub dup: Chance,
    /// How often one comes after the next one; where none comes for a while, after that while.
    pub reorder: Chance,
    /// How often a byte has one of its bits flipped.
    pub corrupt: Chance,
    /// How long each is held back.
    pub delay: Duration,
    /// How much longer or shorter that may be. Datagrams overtake each other then.
    pub jitter: Duration,
}

/// A flow's datagrams on their way. `T` is a datagram with whatever has to stay with it.
#[derive(Debug)]
pub struct Line<T> {
    mischief: Mischief,
    dice: Dice,
    /// Datagrams that came so far.
    came: u64,
    /// Payload bytes that came so far: the place of the next one.
    bytes: u64,
    /// Datagrams that went in so far: of those due at the same time the older goes first.
    entered: u64,
    held: BinaryHeap<Reverse<Held<T>>>,
    /// One that waits for the next to overtake it.
    overtaken: Option<Held<T>>,
    memory: usize,
    /// Most memory, in bytes.
    hold: usize,
    /// Datagrams that were lost because the queue was full.
    overflowed: u64,
}

#[derive(Debug)]
struct Held<T> {
    due: Instant,
    nth: u64,
    datagram: T,
}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Clone> Line<T> {
    /// An empty line for one direction of one flow, which may hold `hold` bytes; whoever makes it derives the dice for
    /// them. One datagram always fits.
    pub fn new(mischief: Mischief, dice: Dice, hold: usize) -> Self {
        let (held, overtaken) = (BinaryHeap::new(), None);
        Line { mischief, dice, came: 0, bytes: 0, entered: 0, held, overtaken, memory: 0, hold, overflowed: 0 }
    }

    /// Takes the flow's next datagram.
    pub fn take(&mut self, mut datagram: T, now: Instant) {
        let Mischief { loss, dup, reorder, corrupt: chance, .. } = self.mischief;
        let (nth, at) = (self.came, self.bytes);
        self.came += 1;
        self.bytes += datagram.as_ref().len() as u64;
        if self.dice.derived(LOSS).hits(nth, loss) {
            return;
        }
        self.dice.derived(CORRUPT).corrupt(chance, at, datagram.as_mut());
        let twice = self.dice.derived(DUP).hits(nth, dup);
        let late = self.overtaken.is_none() && self.dice.derived(REORDER).hits(nth, reorder);
        if twice {
            let due = now + self.delay(2 * nth + 1);
            self.enter(datagram.clone(), due, false);
        }
        let due = now + self.delay(2 * nth);
        match late {
            true => self.enter(datagram, due + LATE, true),
            false => {
                self.enter(datagram, due, false);
                self.let_follow(due);
            }
        }
    }

    /// The one that was to be overtaken goes right behind the one that is due at `due`.
    fn let_follow(&mut self, due: Instant) {
        if let Some(mut overtaken) = self.overtaken.take() {
            let waited = overtaken.due.checked_sub(LATE).unwrap_or(overtaken.due);
            (overtaken.due, overtaken.nth) = (waited.max(due), self.entered);
            self.entered += 1;
            self.held.push(Reverse(overtaken));
        }
    }

    fn enter(&mut self, datagram: T, due: Instant, late: bool) {
        let cost = cost(&datagram);
        if self.memory > 0 && self.memory + cost > self.hold {
            self.overflowed += 1;
            return;
        }
        self.memory += cost;
        let held = Held { due, nth: self.entered, datagram };
        self.entered += 1;
        match late {
            true => self.overtaken = Some(held),
            false => self.held.push(Reverse(held)),
        }
    }

    /// The next datagram that is due, in the order in which they are.
    pub fn due(&mut self, now: Instant) -> Option<T> {
        if self.overtaken.as_ref().is_some_and(|late| late.due <= now) {
            self.held.extend(self.overtaken.take().map(Reverse));
        }
        if self.held.peek().is_none_or(|Reverse(first)| first.due > now) {
            return None;
        }
        let Reverse(Held { datagram, .. }) = self.held.pop()?;
        self.memory -= cost(&datagram);
        Some(datagram)
    }

    /// When there is something to be sent again; `None` while nothing is held.
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.held.peek().map(|Reverse(first)| first.due);
        first.into_iter().chain(self.overtaken.as_ref().map(|late| late.due)).min()
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Datagrams that were lost because it held as much as it may: not by chance, and worth counting.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    fn delay(&self, nth: u64) -> Duration {
        self.dice.derived(JITTER).varied(nth, self.mischief.delay, self.mischief.jitter)
    }
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.nth) == (other.due, other.nth)
    }
}

impl<T> Eq for Held<T> {}

impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.nth).cmp(&(other.due, other.nth))
    }
}

fn cost<T: AsRef<[u8]>>(datagram: &T) -> usize {
    datagram.as_ref().len() + size_of::<Held<T>>()
}

/// How long one waits to be overtaken where no other comes.
const LATE: Duration = Duration::from_millis(50);

const LOSS: u64 = 1;
const DUP: u64 = 2;
const REORDER: u64 = 3;
const CORRUPT: u64 = 4;
const JITTER: u64 = 5;

#[cfg(test)]
mod tests;
