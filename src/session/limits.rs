//! Limits as values: a token bucket and deadlines. The time is always passed in.

use std::time::{Duration, Instant};

use crate::units::Rate;

/// A token bucket in bytes: over any span of `t` seconds it lets through at most `rate * t` plus one burst, which is
/// 40 ms worth of the rate. It starts empty, and hands out nothing until 10 ms worth has gathered, so that a slow rate
/// does not cost a turn a byte.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: u64,
    /// The most that gathers, in bytes.
    burst: u64,
    /// Bytes that may go now. Invariant: at most one burst.
    level: u64,
    /// The instant up to which the level is accounted for; in the future while something is owed.
    updated: Instant,
}

impl Bucket {
    /// An empty bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Bucket::with_burst(rate, BURST, now)
    }

    /// An empty bucket with another burst: so much time's worth of the rate, at least the 10 ms that are handed out.
    pub fn with_burst(rate: Rate, burst: Duration, now: Instant) -> Self {
        let rate = rate.0.max(1);
        let burst = u128::from(rate) * burst.as_nanos() / NANOS;
        Bucket { rate, burst: u64::try_from(burst).unwrap_or(u64::MAX).max(1), level: 0, updated: now }
    }

    fn quantum(&self) -> u64 {
        (self.rate / 100).max(1)
    }

    fn refill(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.updated).as_nanos();
        let gained = nanos * u128::from(self.rate) / NANOS;
        let room = u128::from(self.burst - self.level.min(self.burst));
        if gained > room {
            // time that a full bucket could not use is gone, or a pause would be followed by a flood
            self.level = self.burst;
            self.updated = now;
        } else if gained > 0 {
            self.level += gained as u64;
            // only the time that these whole bytes took: the rest counts towards the next byte
            let used = (gained * NANOS).div_ceil(u128::from(self.rate));
            self.updated += Duration::from_nanos(used.min(nanos) as u64);
        }
    }

    /// How many bytes may go now; otherwise when to ask again.
    ///
    /// # Errors
    /// The instant at which the next bytes may go.
    pub fn allowance(&mut self, now: Instant) -> Result<u64, Instant> {
        self.refill(now);
        if self.level >= self.quantum() {
            return Ok(self.level);
        }
        Err(self.when(self.quantum()))
    }

    /// When so many bytes will have gathered, as of the last question.
    pub fn when(&self, bytes: u64) -> Instant {
        let wait = self.time_of(bytes.saturating_sub(self.level));
        self.updated.checked_add(wait).unwrap_or(self.updated)
    }

    /// How long so many bytes take at the rate.
    pub fn time_of(&self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Bytes that may go as of the last question.
    pub fn level(&self) -> u64 {
        self.level
    }

    /// Accounts for bytes that went.
    pub fn take(&mut self, bytes: u64) {
        self.level = self.level.saturating_sub(bytes);
    }

    /// The same for bytes that went although they were not there yet: nothing more goes until they would have been.
    pub fn borrow(&mut self, bytes: u64) {
        let owed = self.time_of(bytes.saturating_sub(self.level));
        self.updated = self.updated.checked_add(owed).unwrap_or(self.updated);
        self.take(bytes);
    }
}

/// What gathers at most, as time.
const BURST: Duration = Duration::from_millis(40);

const NANOS: u128 = 1_000_000_000;

/// The soonest of several deadlines.
pub fn soonest(deadlines: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn over_any_two_seconds_the_rate_is_kept_within_two_percent(
            rate in 10_000u64..10_000_000_000,
            delays in proptest::collection::vec(0u64..8_000_000, 600..900),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(Rate(rate), start);
            let (mut now, mut log, mut total) = (start, vec![(start, 0u64)], 0u64);
            // a greedy sender that is woken up to 8 ms late each time
            for delay in delays {
                match bucket.allowance(now) {
                    Ok(bytes) => {
                        bucket.take(bytes);
                        total += bytes;
                        log.push((now, total));
                    }
                    Err(at) => {
                        prop_assert!(at > now, "a refusal must name a later instant");
                        now = at + Duration::from_nanos(delay);
                    }
                }
            }
            let window = Duration::from_secs(2);
            for (i, (from, before)) in log.iter().enumerate() {
                let Some((_, after)) = log[i..].iter().rev().find(|(at, _)| *at <= *from + window) else { continue };
                prop_assert!(after - before <= rate * 2 * 102 / 100 + 1);
                // and never too little either, where a whole window is left
                if *from + window <= now {
                    prop_assert!((after - before) as f64 >= rate as f64 * 2.0 * 0.98 - 1.0, "{} in 2 s", after - before);
                }
            }
            let spent = now.duration_since(start).as_secs_f64();
            if spent >= 2.0 {
                prop_assert!(total as f64 >= rate as f64 * spent * 0.98 - rate as f64 / 25.0, "{total} in {spent} s");
            }
        }
    }

    #[test]
    fn a_pause_is_not_followed_by_a_flood() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate(1_000_000), start);
        assert_eq!(bucket.allowance(start + Duration::from_secs(3600)), Ok(40_000));
    }

    #[test]
    fn what_was_borrowed_is_paid_back_before_anything_goes() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::with_burst(Rate(1_000_000), Duration::from_millis(30), start);
        assert_eq!(bucket.allowance(after(20)), Ok(20_000));
        bucket.borrow(25_000);
        assert_eq!(bucket.allowance(after(21)), Err(after(35)), "5 ms are owed, and 10 ms have to gather");
        assert_eq!(bucket.allowance(after(35)), Ok(10_000));
        assert_eq!(bucket.allowance(after(3600)), Ok(30_000));
    }
}
