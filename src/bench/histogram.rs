//! Latencies in a fixed amount of memory: a histogram with three significant digits from 1 ns to 1 h.
//!
//! Values below 2048 ns have a bucket each; above, every power of two is cut into 1024 buckets of the same width, so that
//! a bucket is never wider than a thousandth of the values in it (the layout of HdrHistogram, hdrhistogram.org).
//! Recording is one index and a few additions, without allocation. Smallest, largest, mean and deviation are exact.
//!
//! *Coordinated omission*: who sends the next request only after the last answer asks nothing while the other side
//! stands still, and so leaves out the worst latencies. [`Histogram::record_corrected`] puts in those that a client
//! which asks at fixed times would have seen.

mod wire;

pub use wire::{BadHistogram, LONGEST};

/// Counts of latencies in nanoseconds. All of its memory, a quarter of a MiB, is touched only where values fall.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Invariant: `SLOTS` long, and the sum of it is `count`.
    counts: Box<[u64]>,
    count: u64,
    /// Nanoseconds; `u64::MAX` while there is no value.
    min: u64,
    max: u64,
    sum: u128,
    /// Of the squares, which saturates only behind 10^13 values of an hour each.
    squares: u128,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Histogram {
    /// Empty.
    pub fn new() -> Self {
        let counts = vec![0; SLOTS].into_boxed_slice();
        Histogram { counts, count: 0, min: u64::MAX, max: 0, sum: 0, squares: 0 }
    }

    /// Notes one value, in nanoseconds; what is above an hour counts as an hour.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        let nanos = nanos.min(HIGHEST);
        self.counts[slot(nanos)] += 1;
        self.count += 1;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.sum += u128::from(nanos);
        self.squares = self.squares.saturating_add(u128::from(nanos) * u128::from(nanos));
    }

    /// Notes one value of a client that meant to ask every `interval` nanoseconds, and the values of the requests that
    /// it left out meanwhile: `nanos - interval`, `nanos - 2 * interval`, … down to `interval`. An interval of 0 corrects
    /// nothing. However many are left out, the work is bounded by the number of buckets.
    pub fn record_corrected(&mut self, nanos: u64, interval: u64) {
        self.record(nanos);
        let nanos = nanos.min(HIGHEST);
        let Some(missing) = nanos.checked_div(interval).map(|times| times.saturating_sub(1)) else { return };
        // ascending: rest + interval, rest + 2 * interval, …, rest + missing * interval
        let rest = nanos % interval;
        if missing <= FEW {
            (1..=missing).for_each(|number| self.record(rest + number * interval));
            return;
        }
        let below = |bound: u64| (bound.saturating_sub(rest) / interval).min(missing);
        for slot in slot(rest + interval)..=slot(nanos - interval) {
            let added = below(highest_in(slot)) - lowest_in(slot).checked_sub(1).map_or(0, below);
            self.counts[slot] += added;
        }
        self.count += missing;
        self.min = self.min.min(rest + interval);
        let (n, r, i) = (u128::from(missing), u128::from(rest), u128::from(interval));
        let (linear, square) = (n * (n + 1) / 2, n * (n + 1) * (2 * n + 1) / 6);
        self.sum += n * r + i * linear;
        let squares = n * r * r + 2 * r * i * linear + i * i * square;
        self.squares = self.squares.saturating_add(squares);
    }

    /// Adds all values of another one.
    pub fn merge(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        // an empty bucket costs a read and no page of memory
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts).filter(|(_, theirs)| **theirs > 0) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.saturating_add(other.squares);
    }

    /// Forgets everything and keeps its memory.
    pub fn clear(&mut self) {
        if self.count > 0 {
            self.counts[slot(self.min)..=slot(self.max)].fill(0);
        }
        (self.count, self.min, self.max, self.sum, self.squares) = (0, u64::MAX, 0, 0, 0);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The smallest value in nanoseconds; 0 if there is none.
    pub fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    /// The largest value in nanoseconds; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean in nanoseconds; 0 if there is no value.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The standard deviation of the values in nanoseconds (of all of them, not of a sample); 0 if there is none.
    pub fn deviation(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.mean();
        (self.squares as f64 / self.count as f64 - mean * mean).max(0.0).sqrt()
    }

    /// The value in nanoseconds that `percent` of all values do not exceed, by the nearest rank: the largest value that its
    /// bucket stands for, which is at most a thousandth too much. 0 gives the smallest, 100 the largest value; both are
    /// exact. 0 if there is no value.
    pub fn percentile(&self, percent: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        // a share such as 99.9 is not exact, and must not be rounded up to the next rank for that
        let rank = percent.clamp(0.0, 100.0) / 100.0 * self.count as f64;
        let rank = (libm::ceil(rank - rank * 1e-12) as u64).clamp(1, self.count);
        if rank == 1 {
            return self.min;
        }
        let mut seen = 0u64;
        for slot in slot(self.min)..=slot(self.max) {
            seen = seen.saturating_add(self.counts[slot]);
            if seen >= rank {
                return highest_in(slot).min(self.max);
            }
        }
        self.max
    }

    /// The percentiles that are told everywhere.
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count,
            mean: self.mean(),
            p50: self.percentile(50.0),
            p90: self.percentile(90.0),
            p99: self.percentile(99.0),
            p999: self.percentile(99.9),
            max: self.max,
        }
    }

    /// How many values are at most `nanos`, to the end of its bucket.
    pub fn count_up_to(&self, nanos: u64) -> u64 {
        self.counts[..=slot(nanos.min(HIGHEST))].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The buckets that hold values: the lowest and the highest value in nanoseconds that each stands for, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let used = if self.count == 0 { 0..0 } else { slot(self.min)..slot(self.max) + 1 };
        used.filter(|slot| self.counts[*slot] > 0).map(|slot| (lowest_in(slot), highest_in(slot), self.counts[slot]))
    }
}

/// The usual percentiles of a histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: u64,
    /// 90 % are.
    pub p90: u64,
    /// 99 % are.
    pub p99: u64,
    /// 99.9 % are.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

/// The bucket of a value up to [`HIGHEST`].
#[inline]
fn slot(nanos: u64) -> usize {
    if nanos < EXACT {
        return nanos as usize;
    }
    // a value of `bits` bits keeps the eleven highest, of which the first is always set
    let shift = nanos.ilog2() - EXACT.ilog2() + 1;
    (u64::from(shift) * HALF + (nanos >> shift)) as usize
}

fn lowest_in(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < EXACT {
        return slot;
    }
    let shift = slot / HALF - 1;
    (slot - shift * HALF) << shift
}

fn highest_in(slot: usize) -> u64 {
    lowest_in(slot + 1) - 1
}

/// An hour, in nanoseconds: the largest value that is told from a larger one.
pub const HIGHEST: u64 = 3_600_000_000_000;

/// Values below have a bucket each.
const EXACT: u64 = 2048;
/// Buckets of each power of two above.
const HALF: u64 = EXACT / 2;
/// One behind the bucket of [`HIGHEST`], whose highest bit is the 42nd.
const SLOTS: usize = ((HIGHEST.ilog2() - EXACT.ilog2() + 3) as u64 * HALF) as usize;
/// Left-out values that are recorded one by one.
const FEW: u64 = 4096;

#[cfg(test)]
mod tests;
