//! Counters that a Session bumps and that `report` reads: relaxed atomics, so that they work across shards.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes delivered so far in each direction (index 0: first end to second, 1: the other way), and records.
#[derive(Debug, Default)]
pub struct Meter {
    delivered: [AtomicU64; 2],
    records: AtomicU64,
}

impl Meter {
    /// Adds `bytes` that reached their sink in `direction` (0 or 1).
    pub fn add(&self, direction: usize, bytes: u64) {
        self.delivered[direction].fetch_add(bytes, Relaxed);
    }

    /// Adds `records` whose end has passed.
    pub fn add_records(&self, records: u64) {
        self.records.fetch_add(records, Relaxed);
    }

    /// Records whose end has passed, where they are counted.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Bytes delivered so far in `direction` (0 or 1).
    pub fn delivered(&self, direction: usize) -> u64 {
        self.delivered[direction].load(Relaxed)
    }
}
