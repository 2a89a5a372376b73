//! One rate for many sessions (`--limit-total`): a bucket a direction, and a queue, so that each gets its turn.
//!
//! A session that finds nothing takes its place behind everybody else and sleeps until those before it have had as much
//! as they usually take; when its turn comes it may take one helping at a time while others wait (deficit round robin).
//! Whoever comes first by accident of the timers therefore cannot starve the rest.
//!
//! A session that says little is not to wait behind those that always have more: as long as it takes less than half of
//! an even part, its next helping comes at once, out of a quarter of the rate that is kept for such (RFC 8290 gives
//! sparse flows precedence for the same reason). What goes that way is borrowed from the others, who wait as much longer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Bucket;
use crate::units::Rate;

/// The rate that sessions share, in each direction; sessions of other threads too.
#[derive(Debug)]
pub struct Common {
    /// The smallest helping while others wait, in bytes.
    helping: u64,
    ways: [Mutex<Way>; 2],
}

/// One direction of all of them. Positions in the queue are counted in bytes: what those before usually take.
#[derive(Debug)]
struct Way {
    bucket: Bucket,
    /// What sessions that say little may borrow from `bucket`. Its burst and that of `bucket` are together what one rate
    /// may be ahead.
    sparse: Bucket,
    /// The end of the queue, and how far it was served or left. Nobody waits where they are equal.
    tail: u64,
    head: u64,
    /// How many wait, and how many of them have come at `came`.
    waiting: u64,
    fresh: u64,
    came: Instant,
}

/// What one session has to do with it.
#[derive(Debug)]
pub struct Share {
    common: Arc<Common>,
    ways: [Part; 2],
}

/// One direction of a session.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where it waits, if it does.
    place: Option<Place>,
    /// What it takes at a turn, at most a helping.
    usual: u64,
    /// What its turn has given it.
    granted: u64,
    /// From then on it has taken so little that it need not wait.
    sparse_from: Instant,
    /// What it was last allowed is borrowed.
    borrows: bool,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The end of the queue when it was taken.
    position: u64,
    /// How far it moved the end.
    bytes: u64,
    /// When to ask again.
    at: Instant,
}

impl Common {
    /// A rate of so many bytes a second in each direction.
    pub fn new(rate: Rate, now: Instant) -> Arc<Self> {
        let way = || {
            let (bucket, sparse) = (Bucket::with_burst(rate, BURST, now), Bucket::new(Rate(rate.0 / 4), now));
            Mutex::new(Way { bucket, sparse, tail: 0, head: 0, waiting: 0, fresh: 0, came: now })
        };
        Arc::new(Common { helping: (rate.0 / 100).clamp(1, HELPING), ways: [way(), way()] })
    }
}

impl Way {
    fn queue(&mut self, bytes: u64, now: Instant) -> Place {
        let position = self.tail;
        self.tail += bytes;
        self.waiting += 1;
        self.fresh = if self.came == now { self.fresh + 1 } else { 1 };
        self.came = now;
        Place { position, bytes, at: now }
    }

    /// Among how many what has gathered is shared out: who comes only now has had his part, or has to wait for it.
    fn ripe(&self, now: Instant) -> u64 {
        let fresh = if self.came == now { self.fresh } else { 0 };
        self.waiting.saturating_sub(fresh).max(1)
    }

    /// Somebody has been served, or does not wait any more. Everybody is as much nearer, also those before: whoever
    /// remains alone is the first.
    fn strike_off(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.head += place.bytes;
            self.waiting -= 1;
        }
    }
}

impl Share {
    /// A session that has asked for nothing yet at `now`.
    pub fn new(common: Arc<Common>, now: Instant) -> Self {
        // too little is found out at the first turn, too much keeps everybody else waiting
        let usual = common.helping.div_ceil(16);
        let part = Part { place: None, usual, granted: 0, sparse_from: now, borrows: false };
        Share { common, ways: [part; 2] }
    }

    /// How many bytes it may take now in this direction; otherwise when to ask again.
    ///
    /// # Errors
    /// The instant at which its turn may have come.
    pub fn allowance(&mut self, direction: usize, now: Instant) -> Result<u64, Instant> {
        let Part { place, usual, granted, sparse_from, borrows } = &mut self.ways[direction];
        *borrows = false;
        let is_sparse = *sparse_from <= now + AT_ONCE;
        let waits_until = place.map(|place| place.at).filter(|at| *at > now);
        if let (Some(at), false) = (waits_until, is_sparse) {
            return Err(at);
        }
        let helping = self.common.helping;
        let mut way = locked(&self.common.ways[direction]);
        let found = way.bucket.allowance(now);
        if place.is_none()
            && let (Ok(level), 0) = (&found, way.waiting)
        {
            *granted = *level;
            return Ok(*level);
        }
        if is_sparse && let Ok(level) = way.sparse.allowance(now) {
            *borrows = true;
            *granted = level.min(helping);
            return Ok(*granted);
        }
        if let Some(at) = waits_until {
            return Err(at);
        }
        let is_new = place.is_none();
        let place = place.get_or_insert_with(|| way.queue(*usual, now));
        let before = place.position.saturating_sub(way.head);
        let level = way.bucket.level();
        // nearly as much as usual will do: who was late left as much less to the next; but nobody has two turns at once
        if level >= before + usual.div_ceil(2) && (!is_new || way.waiting < 2) {
            *granted = (level / way.ripe(now)).max(helping).min(level);
            return Ok(*granted);
        }
        let mut at = way.bucket.when(before + *usual);
        if !is_sparse {
            at = at.min(*sparse_from);
        }
        // those before may take less, or leave
        let soon = SOON.max(at.saturating_duration_since(now) / 4);
        place.at = at.clamp(now + AT_ONCE, now + soon);
        Err(place.at)
    }

    /// Accounts for bytes that it took at `now`.
    pub fn take(&mut self, direction: usize, bytes: u64, now: Instant) {
        if bytes == 0 {
            return;
        }
        let part = &mut self.ways[direction];
        let mut way = locked(&self.common.ways[direction]);
        way.strike_off(part.place.take());
        // who has taken all of it would have taken more, and may have had but half of the usual
        let usual = if bytes >= part.granted { part.usual.max(4 * bytes) } else { bytes };
        part.usual = usual.min(self.common.helping);
        // half of an even part, between it and those who wait
        let takes = way.bucket.time_of(bytes.saturating_mul(2 * (way.waiting + 1)));
        let from = part.sparse_from.max(now);
        part.sparse_from = from.checked_add(takes).unwrap_or(from).min(now + FORGOTTEN);
        match part.borrows {
            true => {
                way.bucket.borrow(bytes);
                way.sparse.take(bytes);
            }
            false => way.bucket.take(bytes),
        }
    }

    /// When it is to ask again in this direction, if it was refused.
    pub fn appointment(&self, direction: usize) -> Option<Instant> {
        self.ways[direction].place.map(|place| place.at)
    }

    /// It takes nothing in this direction, now or for ever: nobody has to wait for it.
    pub fn leave(&mut self, direction: usize) {
        if let Some(place) = self.ways[direction].place.take() {
            locked(&self.common.ways[direction]).strike_off(Some(place));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        (0..self.ways.len()).for_each(|direction| self.leave(direction));
    }
}

/// A panic elsewhere leaves numbers behind that are still numbers.
fn locked(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most that a smallest helping is: enough for a read to be worth its call.
const HELPING: u64 = 16 * 1024;

/// What gathers at most, as time, beside the 10 ms that those who say little may borrow.
const BURST: Duration = Duration::from_millis(30);

/// How long whoever waits sleeps at least: timers are no finer.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How long whoever waits sleeps at most before it looks whether the queue has become shorter, or a quarter of what is
/// before it.
const SOON: Duration = Duration::from_millis(50);

/// How long ago it may be that a session took much for it to wait with those who do.
const FORGOTTEN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
