//! A rate for datagrams that nobody waits for: what comes faster is dropped, as a link does that is full.
//!
//! Each datagram that is let through books the time that it takes at the rate; a datagram is let through if what is
//! booked reaches at most [`BURST`] ahead (the virtual scheduling of ITU-T I.371, counted in bytes). The mean is exact,
//! and a datagram of any length gets through a rate that has been left alone.

use std::sync::{Mutex, PoisonError};
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
        let admits = self.ahead(now) <= BURST;
        if admits {
            self.book(now, bytes);
        }
        admits
    }

    /// How far ahead it is booked.
    fn ahead(&self, now: Instant) -> Duration {
        self.booked.saturating_duration_since(now)
    }

    fn book(&mut self, now: Instant, bytes: usize) {
        let from = self.booked.max(now);
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.rate);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.booked = from.checked_add(takes).unwrap_or(from);
    }
}

/// One rate for many flows: each may have as much as those that have the most, and who offers less loses nothing.
///
/// It is max-min fairness without a queue. What flows have had is measured from a common water level, which rises by what
/// is let through while there is room to spare: so it rises as fast as the even part of those that offer more than that,
/// and everybody may come up to it.
#[derive(Debug)]
pub struct SharedPolicer {
    state: Mutex<Shared>,
    /// How far above the water a flow may be, in bytes.
    play: u64,
}

#[derive(Debug)]
struct Shared {
    policer: Policer,
    /// Bytes that a flow may have had without having had more than others.
    water: u64,
}

/// What one flow has had of a shared rate, in bytes above the water level's beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portion(u64);

impl SharedPolicer {
    /// So many bytes a second; 0 counts as 1.
    pub fn new(rate: u64, now: Instant) -> Self {
        SharedPolicer { state: Mutex::new(Shared { policer: Policer::new(rate, now), water: 0 }), play: rate / 100 }
    }

    /// Whether a datagram of so many bytes of the flow with this portion may go on at `now`; it is accounted for.
    pub fn admits(&self, portion: &mut Portion, now: Instant, bytes: usize) -> bool {
        // a panic elsewhere leaves numbers behind that are still numbers
        let mut shared = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = shared.policer.ahead(now);
        let has_had = portion.0.max(shared.water);
        let above = has_had - shared.water;
        // beyond the burst of one flow: even parts, and the last of it for who offers little
        let limit = match above {
            0 => BURST * 3 / 2,
            above if above <= self.play => BURST * 5 / 4,
            _ => BURST,
        };
        if ahead > limit {
            return false;
        }
        portion.0 = has_had + bytes as u64;
        if above > self.play {
            // there is room to spare: the level rises for everybody
            shared.water = portion.0 - self.play;
        }
        shared.policer.book(now, bytes);
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

    /// What flows get in `secs` that offer `offers` times a rate, in datagrams of `size` bytes; each begins `lag`
    /// seconds after the one before.
    fn portions(rate: u64, offers: &[f64], size: usize, secs: u64, lag: u64) -> Vec<f64> {
        let start = Instant::now();
        let shared = SharedPolicer::new(rate, start);
        let mut flows: Vec<_> = offers
            .iter()
            .enumerate()
            .map(|(index, offer)| {
                let gap = Duration::from_secs_f64(size as f64 / rate as f64 / offer);
                (start + Duration::from_secs(lag * index as u64), gap, Portion::default(), 0u64)
            })
            .collect();
        while let Some((at, gap, portion, got)) = flows.iter_mut().min_by_key(|(at, ..)| *at) {
            if *at >= start + Duration::from_secs(secs) {
                break;
            }
            *got += if shared.admits(portion, *at, size) { size as u64 } else { 0 };
            *at += *gap;
        }
        flows.into_iter().map(|(.., got)| got as f64 / (rate * secs) as f64).collect()
    }

    #[test]
    fn one_rate_is_shared_out_evenly_and_who_offers_less_loses_nothing() {
        for (rate, size) in [(1_000_000, 200), (10_000_000, 1400), (100_000_000, 60_000)] {
            let near = |got: f64, part: f64, what: &str| {
                assert!(
                    (got - part).abs() <= part / 20.0 + 0.01,
                    "{got} instead of {part}: {what} at {rate} by {size}"
                );
            };
            let got = portions(rate, &[10.0, 0.3], size, 4, 0);
            near(got[1], 0.3, "a small one beside a flood");
            near(got[0], 0.7, "the flood");
            let got = portions(rate, &[20.0, 2.0, 1.0], size, 4, 0);
            got.iter().for_each(|got| near(*got, 1.0 / 3.0, "one of three that have more"));
            let got = portions(rate, &[9.0, 4.0, 0.1, 0.2], size, 4, 0);
            near(got[0], 0.35, "a flood");
            near(got[1], 0.35, "another");
            near(got[2], 0.1, "a small one");
            near(got[3], 0.2, "a small one");
            // alone for half of the time: who comes later need not wait until the first has paid for that
            let got = portions(rate, &[5.0, 5.0], size, 4, 2);
            near(got[0], 0.75, "the first");
            near(got[1], 0.25, "the second");
            near(portions(rate, &[3.0], size, 4, 0)[0], 1.0, "one alone");
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
