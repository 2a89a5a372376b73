//! Requests and answers: when the next request is due, and from when its answer is timed.
//!
//! One [`Requests`] is the book of one connection (`--rr`), or of one maker of connections (`--crr`), with one request
//! on its way at a time. It owns no clock: times are passed in, and latencies are handed back to be recorded.
//!
//! Without a rate a request follows its predecessor's answer, and its latency is counted from when it was sent. At a rate
//! the n-th is due n intervals after the start, whatever became of those before, and its latency is counted from then: if
//! the other side stands still, the requests that could not be sent meanwhile have waited as well. This is the
//! correction for coordinated omission at its root; [`super::histogram::Histogram::record_corrected`] is for latencies
//! that were counted from the sending, which is what a probe beside other traffic gives: it must not add to the load by
//! keeping a CPU awake for the exact moment, nor by making up for what it left out.

mod blocking;
mod datagrams;

use std::time::{Duration, Instant};

pub use blocking::{Done, Load, Timed, run_crr, run_rr, serve_rr};
pub(super) use blocking::{TICK, is_timeout};
pub use datagrams::{SHORTEST, run_rr_datagrams, serve_rr_datagrams};

/// The book of one connection.
#[derive(Clone, Debug)]
pub struct Requests {
    start: Instant,
    rhythm: Rhythm,
    /// Before this nothing is counted.
    counted_from: Instant,
    /// How many were sent.
    sent: u64,
    /// How many of those that count were answered.
    answered: u64,
    /// How many of those that count were given up.
    given_up: u64,
    outstanding: Option<Outstanding>,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug)]
enum Rhythm {
    /// The answer before.
    Answer,
    /// Its time, at so many a second.
    Rate(f64),
    /// The answer before and an interval.
    Probe { interval: Duration, next: Instant },
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// Its latency is counted from here.
    from: Instant,
    /// It was really begun here.
    begun: Instant,
}

impl Requests {
    /// The first request is due at `start`. At a `rate`, in requests a second, more follow at fixed times (one that is no
    /// positive number is none). What is begun or due within `warm_up` of the start is not counted.
    pub fn new(start: Instant, rate: Option<f64>, warm_up: Duration) -> Self {
        let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
        Requests::with(start, rate.map_or(Rhythm::Answer, Rhythm::Rate), warm_up)
    }

    /// A probe beside other traffic: a request every `interval` at most, each timed from when it was really sent. Where
    /// every answer is known to come within the interval its latencies want
    /// [`super::histogram::Histogram::record_corrected`] with [`Requests::interval`]; on a longer path that would add
    /// requests that were never due.
    pub fn probe(start: Instant, interval: Duration, warm_up: Duration) -> Self {
        Requests::with(start, Rhythm::Probe { interval: interval.min(NEVER), next: start }, warm_up)
    }

    fn with(start: Instant, rhythm: Rhythm, warm_up: Duration) -> Self {
        Requests { start, rhythm, counted_from: start + warm_up, sent: 0, answered: 0, given_up: 0, outstanding: None }
    }

    /// When the next request is due; at a rate this may be long past, and if only the answer is waited for it always is.
    pub fn due(&self) -> Instant {
        match self.rhythm {
            Rhythm::Answer => self.start,
            Rhythm::Rate(rate) => {
                let since = Duration::try_from_secs_f64(self.sent as f64 / rate).unwrap_or(NEVER);
                self.start.checked_add(since.min(NEVER)).unwrap_or(self.start)
            }
            Rhythm::Probe { next, .. } => next,
        }
    }

    /// The expected time from one request to the next, in nanoseconds; 0 if only the answer is waited for.
    pub fn interval(&self) -> u64 {
        match self.rhythm {
            Rhythm::Answer => 0,
            Rhythm::Rate(rate) => (1e9 / rate) as u64,
            Rhythm::Probe { interval, .. } => nanos(interval),
        }
    }

    /// A request that is late by the accuracy of a timer has that in its latency: the wait for it has to be exact.
    fn is_exact(&self) -> bool {
        matches!(self.rhythm, Rhythm::Rate(_))
    }

    /// The next request is begun now: sent, or with `--crr` its connection.
    pub fn begun(&mut self, now: Instant) {
        let from = if self.is_exact() { self.due().min(now) } else { now };
        if let Rhythm::Probe { interval, next } = &mut self.rhythm {
            // what was left out is not made up for
            *next = next.checked_add(*interval).unwrap_or(now).max(now);
        }
        self.sent += 1;
        self.outstanding = Some(Outstanding { from, begun: now });
    }

    /// The connection for it is open: how long that took, in nanoseconds; `None` in the warm-up.
    pub fn connected(&self, now: Instant) -> Option<u64> {
        let outstanding = self.outstanding.filter(|outstanding| outstanding.from >= self.counted_from)?;
        Some(nanos(now.saturating_duration_since(outstanding.begun)))
    }

    /// The whole answer is there (with `--crr`: and the connection closed): its latency in nanoseconds; `None` in the
    /// warm-up, and if nothing was asked.
    pub fn answered(&mut self, now: Instant) -> Option<u64> {
        self.timed(now).and_then(|(nanos, counts)| counts.then_some(nanos))
    }

    /// The same with the answers of the warm-up; true of those that count.
    pub fn timed(&mut self, now: Instant) -> Option<(u64, bool)> {
        let outstanding = self.outstanding.take()?;
        let counts = outstanding.from >= self.counted_from;
        self.answered += u64::from(counts);
        Some((nanos(now.saturating_duration_since(outstanding.from)), counts))
    }

    /// The request on its way is not waited for any more.
    pub fn give_up(&mut self) {
        self.given_up += u64::from(self.is_waiting());
        self.outstanding = None;
    }

    /// How many behind the warm-up were waited for in vain.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// How many behind the warm-up have no answer: given up, or still on their way.
    pub fn unanswered(&self) -> u64 {
        self.given_up + u64::from(self.is_waiting())
    }

    /// How many were answered behind the warm-up.
    pub fn transactions(&self) -> u64 {
        self.answered
    }

    /// A request that counts is still on its way.
    pub fn is_waiting(&self) -> bool {
        self.outstanding.is_some_and(|outstanding| outstanding.from >= self.counted_from)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A time that does not come, and that no clock chokes on.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bench::histogram::Histogram;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn without_a_rate_a_request_is_timed_from_its_sending() {
        let start = Instant::now();
        let mut requests = Requests::new(start, None, Duration::ZERO);
        requests.begun(start + 7 * MILLI);
        assert!(requests.is_waiting());
        assert_eq!(requests.connected(start + 8 * MILLI), Some(1_000_000));
        assert_eq!(requests.answered(start + 10 * MILLI), Some(3_000_000));
        assert_eq!((requests.transactions(), requests.is_waiting(), requests.interval()), (1, false, 0));
        requests.begun(start + 10 * MILLI);
        assert_eq!(requests.unanswered(), 1);
        requests.give_up();
        requests.begun(start + 11 * MILLI);
        assert_eq!((requests.unanswered(), requests.answered(start + 12 * MILLI)), (2, Some(1_000_000)));
        assert_eq!(requests.unanswered(), 1);
        assert_eq!(requests.answered(start + 11 * MILLI), None, "nothing was asked");
    }

    // The server stands still for 100 ms; at 1000 requests a second a hundred of them waited for that, and not only one.
    #[test]
    fn a_stall_counts_for_all_that_were_due_in_it() {
        let start = Instant::now();
        let mut requests = Requests::new(start, Some(1000.0), Duration::ZERO);
        let (mut now, mut histogram) = (start, Histogram::new());
        let mut naive = Histogram::new();
        for number in 0..1000 {
            now = now.max(requests.due());
            requests.begun(now);
            let took = if number == 500 { 100 * MILLI } else { MILLI / 100 };
            now += took;
            histogram.record(requests.answered(now).unwrap());
            naive.record_corrected(nanos(took), requests.interval());
        }
        let slow = histogram.count() - histogram.count_up_to(2_000_000);
        assert!((97..=101).contains(&slow), "{slow}");
        assert!(histogram.percentile(99.0) > 80_000_000);
        // the correction afterwards finds the same
        let corrected = naive.count() - naive.count_up_to(2_000_000);
        assert!(slow.abs_diff(corrected) <= 3, "{slow} {corrected}");
    }

    // A probe that was held up goes on from there, and what it saw is corrected by its interval.
    #[test]
    fn a_probe_does_not_make_up_for_what_it_left_out() {
        let start = Instant::now();
        let mut probe = Requests::probe(start, 10 * MILLI, Duration::ZERO);
        assert_eq!((probe.due(), probe.interval()), (start, 10_000_000));
        probe.begun(start + MILLI);
        assert_eq!(probe.answered(start + 2 * MILLI), Some(1_000_000));
        assert_eq!(probe.due(), start + 10 * MILLI);
        probe.begun(start + 10 * MILLI);
        let latency = probe.answered(start + 55 * MILLI).unwrap();
        assert_eq!(latency, 45_000_000);
        probe.begun(start + 55 * MILLI);
        assert_eq!(probe.due(), start + 55 * MILLI);
        probe.begun(start + 55 * MILLI);
        assert_eq!(probe.due(), start + 65 * MILLI);
        let mut histogram = Histogram::new();
        histogram.record_corrected(latency, probe.interval());
        assert_eq!(histogram.count(), 4);
        let never = Requests::probe(start, Duration::MAX, Duration::ZERO);
        assert!(never.interval() > 0 && never.due() == start);
    }

    #[test]
    fn the_warm_up_is_not_counted() {
        let start = Instant::now();
        let mut requests = Requests::new(start, None, 10 * MILLI);
        requests.begun(start + 9 * MILLI);
        assert!(!requests.is_waiting());
        assert_eq!(requests.connected(start + 11 * MILLI), None);
        assert_eq!(requests.answered(start + 12 * MILLI), None);
        requests.begun(start + 9 * MILLI);
        assert_eq!(requests.timed(start + 12 * MILLI), Some((3_000_000, false)));
        requests.begun(start + 12 * MILLI);
        assert_eq!(requests.answered(start + 13 * MILLI), Some(1_000_000));
        requests.begun(start + 13 * MILLI);
        assert_eq!(requests.timed(start + 14 * MILLI), Some((1_000_000, true)));
        assert_eq!(requests.transactions(), 2);
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_none_or_never() {
        let start = Instant::now();
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Requests::new(start, Some(rate), Duration::ZERO).due(), start);
        }
        let mut slow = Requests::new(start, Some(f64::MIN_POSITIVE), Duration::ZERO);
        slow.begun(start);
        assert!(slow.due() > start + Duration::from_secs(86_400));
    }

    proptest! {
        // At any rate and however late the turns come: no request before its time, none left out, and no latency shorter
        // than what the answer took.
        #[test]
        fn a_rate_is_kept(rate in 1.0f64..1e6, spans in prop::collection::vec((0u64..3_000, 0u64..3_000), 1..200)) {
            let start = Instant::now();
            let mut requests = Requests::new(start, Some(rate), Duration::ZERO);
            let mut now = start;
            for (number, (late, took)) in spans.iter().enumerate() {
                let due = requests.due();
                let wanted = Duration::from_secs_f64(number as f64 / rate);
                prop_assert!((due - start).abs_diff(wanted) <= Duration::from_nanos(1));
                now = now.max(due) + Duration::from_micros(*late);
                requests.begun(now);
                now += Duration::from_micros(*took);
                let latency = requests.answered(now).unwrap();
                prop_assert!(latency >= took * 1000 && latency == nanos(now - due));
            }
            prop_assert_eq!(requests.transactions(), spans.len() as u64);
        }
    }
}
