//! A rate for datagrams that nobody waits for: what comes faster is dropped, as a link does that is full.
//!
//! Each datagram that is let through books the time that it takes at the rate; a datagram is let through if what is
//! booked reaches at most [`BURST`] ahead (the virtual scheduling of ITU-T I.371, counted in bytes). The mean is exact,
//! and a datagram of any length gets through a rate that has been left alone.

use std::time::{Duration, Instant};

/// The longest time that can be booked ahead: what a burst at full speed may hold.
pub const BURST: Duration = Duration::from_millis(100);

/// One rate.
#[derive(Clone, Copy, Debug)]
pub struct Policer {
    /// Bytes a second, at least 1.
    rate: u64,
    /// Until when it is booked.
    booked: Instant,
}

impl Policer {
    /// So many bytes a second; 0 counts as 1.
    pub fn new(rate: u64, now: Instant) -> Self {
        Policer { rate: rate.max(1), booked: now }
    }

    /// Whether a datagram of so many bytes may go on at `now`; it is accounted for.
    pub fn admits(&mut self, now: Instant, bytes: usize) -> bool {
        let from = self.booked.max(now);
        if from.saturating_duration_since(now) > BURST {
            return false;
        }
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.rate);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.booked = from.checked_add(takes).unwrap_or(from);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_the_rate_whatever_is_offered() {
        for (rate, size) in [(100_000, 1000), (1_000_000, 1), (8_000, 60_000), (50_000_000, 1400)] {
            let start = Instant::now();
            let (mut policer, mut passed) = (Policer::new(rate, start), 0u64);
            let seconds = if rate < 10_000 { 60 } else { 2 };
            // four times as much as may pass
            let gap = Duration::from_secs_f64(size as f64 / rate as f64 / 4.0);
            let mut now = start;
            while now < start + Duration::from_secs(seconds) {
                passed += if policer.admits(now, size) { size as u64 } else { 0 };
                now += gap;
            }
            let most = rate * seconds + rate / 10 + size as u64;
            assert!(passed <= most, "{passed} of {most} at {rate}");
            assert!(passed >= rate * seconds * 9 / 10, "{passed} at {rate}");
        }
    }

    #[test]
    fn one_datagram_of_any_length_passes_a_rate_that_was_left_alone() {
        let start = Instant::now();
        let mut policer = Policer::new(1, start);
        assert!(policer.admits(start, 65_507));
        assert!(!policer.admits(start + Duration::from_secs(1000), 1));
        assert!(policer.admits(start + Duration::from_secs(65_507), 65_507));
    }

    #[test]
    fn empty_datagrams_cost_nothing() {
        let start = Instant::now();
        let mut policer = Policer::new(1, start);
        assert!((0..10_000).all(|_| policer.admits(start, 0)));
    }
}
