//! When the next datagram may go: `-i`, `--pps`, `-L` and `--count`, on a time that is passed in.
//!
//! Each limit is a schedule: the time at which the next datagram is due moves on by what each one costs, so that a turn
//! which comes late is made up for and the mean is exact. Made up for is at most [`CATCH_UP`] (but always one datagram):
//! after a stall no burst longer than that follows, and what could not be sent by then is not sent faster later.

use std::time::{Duration, Instant};

/// What was asked for; `None` everywhere is as fast as possible, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Time from one datagram to the next.
    pub interval: Option<Duration>,
    /// Datagrams a second; 0 counts as 1.
    pub per_second: Option<u64>,
    /// Payload bytes a second; 0 counts as 1.
    pub rate: Option<u64>,
    /// Datagrams in all.
    pub count: Option<u64>,
}

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// So many datagrams may go, at least one.
    Now(u64),
    /// None before this time.
    At(Instant),
    /// All that were asked for are sent.
    Over,
}

/// Femtoseconds: at 7 million datagrams a second a nanosecond would be half a percent, and at 200 Gbit/s a byte is 40
/// picoseconds, so that one of those would be several.
const SECOND: u128 = 1_000_000_000_000_000;
/// Of these in a nanosecond.
const NANO: u128 = SECOND / 1_000_000_000;

/// One limit.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// What one unit, a datagram or a byte, costs, in femtoseconds.
    unit: u128,
    /// A unit is a byte.
    bytes: bool,
    /// When the next one is due, since the start.
    due: u128,
}

impl Schedule {
    fn cost(&self, size: usize) -> u128 {
        if self.bytes { self.unit * size as u128 } else { self.unit }
    }

    /// How many of `size` bytes may go at `now`.
    fn ready(&mut self, now: u128, size: usize) -> u64 {
        let cost = self.cost(size);
        // time that cannot be made up for is gone; one datagram that is due always waits for its turn
        self.due = self.due.max(now.saturating_sub(CATCH_UP.as_nanos() * NANO));
        if self.due > now {
            return 0;
        }
        match (now - self.due).checked_div(cost) {
            Some(more) => u64::try_from(more + 1).unwrap_or(u64::MAX),
            None => u64::MAX,
        }
    }
}

/// The pace of one sender.
#[derive(Clone, Debug)]
pub struct Pace {
    start: Instant,
    schedules: Vec<Schedule>,
    /// Datagrams that may still go.
    left: Option<u64>,
}

impl Pace {
    /// Begins at `start`: the first datagram is due then.
    pub fn new(start: Instant, limits: Limits) -> Self {
        let interval = limits.interval.filter(|interval| !interval.is_zero());
        let each = |unit| Schedule { unit, bytes: false, due: 0 };
        let byte = |unit| Schedule { unit, bytes: true, due: 0 };
        let schedules = [
            interval.map(|interval| each(interval.as_nanos() * NANO)),
            limits.per_second.map(|count| each(SECOND / u128::from(count.max(1)))),
            limits.rate.map(|rate| byte(SECOND / u128::from(rate.max(1)))),
        ];
        Pace { start, schedules: schedules.into_iter().flatten().collect(), left: limits.count }
    }

    /// How many datagrams of `size` bytes may go at `now`, or when the next one may.
    pub fn ready(&mut self, now: Instant, size: usize) -> Ready {
        if self.left == Some(0) {
            return Ready::Over;
        }
        let now = now.saturating_duration_since(self.start).as_nanos() * NANO;
        let mut most = self.left.unwrap_or(u64::MAX);
        let mut due = 0;
        for schedule in &mut self.schedules {
            most = most.min(schedule.ready(now, size));
            due = due.max(schedule.due);
        }
        if most > 0 {
            return Ready::Now(most);
        }
        let wait = u64::try_from(due.div_ceil(NANO)).unwrap_or(u64::MAX);
        // a time beyond what the clock can tell is never; a day from now is asked again
        let at = self.start.checked_add(Duration::from_nanos(wait));
        Ready::At(at.unwrap_or(self.start + Duration::from_nanos((now / NANO) as u64) + DAY))
    }

    /// Notes that datagrams of `bytes` payload bytes in all have gone.
    pub fn sent(&mut self, datagrams: u64, bytes: u64) {
        for schedule in &mut self.schedules {
            let units = if schedule.bytes { bytes } else { datagrams };
            schedule.due += schedule.unit * u128::from(units);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(datagrams);
        }
    }

    /// True if nothing bounds the speed.
    pub fn is_free(&self) -> bool {
        self.schedules.is_empty()
    }
}

/// The longest delay that is made up for by a burst, and so the longest burst, in time: turns come every 1 to 2 ms while
/// something waits for one, later on a machine that is busy.
pub const CATCH_UP: Duration = Duration::from_millis(10);

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends as allowed for `length`, with turns that come as late as `late` says; when each datagram went.
    fn run(limits: Limits, size: usize, length: Duration, mut late: impl FnMut() -> Duration) -> Vec<Duration> {
        let start = Instant::now();
        let (mut pace, mut now, mut times) = (Pace::new(start, limits), start, Vec::new());
        while now < start + length {
            match pace.ready(now, size) {
                Ready::Now(count) => {
                    assert!(count < 1_000_000, "no limit at all");
                    pace.sent(count, count * size as u64);
                    times.extend((0..count).map(|_| now - start));
                }
                Ready::At(at) => {
                    assert!(at > now, "asked to wait for what is past");
                    now = at + late();
                }
                Ready::Over => break,
            }
        }
        times
    }

    fn per_second(count: u64) -> Limits {
        Limits { per_second: Some(count), ..Limits::default() }
    }

    #[test]
    fn an_interval_is_kept_without_drift() {
        let limits = Limits { interval: Some(Duration::from_millis(100)), ..Limits::default() };
        let times = run(limits, 1, Duration::from_secs(10), || Duration::from_millis(1));
        assert_eq!(times.len(), 100);
        for (number, time) in times.iter().enumerate() {
            let due = Duration::from_millis(100) * number as u32;
            assert!(*time >= due && *time <= due + Duration::from_millis(1), "{number}: {time:?}");
        }
    }

    #[test]
    fn a_count_ends_it_exactly() {
        let limits = Limits { count: Some(7), ..per_second(1000) };
        assert_eq!(run(limits, 1, Duration::from_secs(10), || Duration::from_millis(3)).len(), 7);
        let mut pace = Pace::new(Instant::now(), Limits { count: Some(7), ..Limits::default() });
        assert_eq!(pace.ready(Instant::now(), 1), Ready::Now(7));
        pace.sent(7, 7);
        assert_eq!(pace.ready(Instant::now(), 1), Ready::Over);
    }

    #[test]
    fn after_a_stall_no_more_than_the_stated_burst_follows() {
        let start = Instant::now();
        let mut pace = Pace::new(start, per_second(100_000));
        assert_eq!(pace.ready(start, 1), Ready::Now(1), "no burst at the start");
        pace.sent(1, 1);
        let Ready::Now(count) = pace.ready(start + Duration::from_secs(5), 1) else { panic!("not due") };
        assert_eq!(count, 1001);
        pace.sent(count, count);
        assert!(matches!(pace.ready(start + Duration::from_secs(5), 1), Ready::At(_)));
    }

    #[test]
    fn a_rate_counts_bytes() {
        let limits = Limits { rate: Some(1_000_000), ..Limits::default() };
        let times = run(limits, 1000, Duration::from_secs(2), || Duration::from_millis(1));
        assert!((1999..=2001).contains(&times.len()), "{}", times.len());
        // empty datagrams cost nothing
        assert_eq!(Pace::new(Instant::now(), limits).ready(Instant::now(), 0), Ready::Now(u64::MAX));
    }

    #[test]
    fn the_tightest_limit_rules() {
        let limits = Limits { rate: Some(1_000_000), per_second: Some(100), ..Limits::default() };
        let times = run(limits, 1000, Duration::from_secs(2), Duration::default);
        assert_eq!(times.len(), 200);
    }

    #[test]
    fn a_pace_that_no_clock_can_tell_only_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Limits { interval: Some(Duration::MAX), ..Limits::default() });
        assert_eq!(pace.ready(start, 1), Ready::Now(1));
        pace.sent(1, 1);
        assert!(matches!(pace.ready(start, 1), Ready::At(at) if at > start));
    }

    proptest! {
        // The mean is right to 2 % at any pace and with turns that come up to 8 ms late, and no second is above it.
        #[test]
        fn the_mean_pace_is_exact(count in 1u64..7_000_000, lates in prop::collection::vec(0u64..8_000, 1..50)) {
            let seconds = if count > 100_000 { 1 } else { 5 };
            let mut next = 0;
            let late = || {
                next += 1;
                Duration::from_micros(lates[next % lates.len()])
            };
            let start = Instant::now();
            let (mut pace, mut now, mut sent, mut late) = (Pace::new(start, per_second(count)), start, 0u64, late);
            while now < start + Duration::from_secs(seconds) {
                match pace.ready(now, 1) {
                    Ready::Now(most) => {
                        prop_assert!(most <= count / 100 + 2, "{} at once", most);
                        pace.sent(most, most);
                        sent += most;
                    }
                    Ready::At(at) => now = at + late(),
                    Ready::Over => break,
                }
            }
            let wanted = count * seconds;
            let allowed = wanted / 50 + 1;
            prop_assert!(sent.abs_diff(wanted) <= allowed, "{} instead of {}", sent, wanted);
        }
    }
}
