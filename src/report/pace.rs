//! How fast it goes: the current rate over a sliding window, the average, and what follows from them. Pure; the time
//! is handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::amount::{Amount, Clock, json_secs, per_second};

/// Bytes, or whatever else is counted, per second over about the last two seconds.
#[derive(Debug)]
pub(super) struct RateWindow {
    /// Invariant: never empty; times and totals never fall; the first is the newest that is at least [`WINDOW`] old,
    /// or the very first.
    samples: VecDeque<(Instant, u64)>,
}

impl RateWindow {
    /// A window that opens at `now` with `total` bytes already moved.
    pub(super) fn new(now: Instant, total: u64) -> Self {
        RateWindow { samples: VecDeque::from([(now, total)]) }
    }

    /// Takes note of the total at `now`; totals seen less than [`STEP`] after the last are skipped, which bounds the
    /// memory.
    pub(super) fn record(&mut self, now: Instant, total: u64) {
        let newest = self.samples.back().map_or(now, |(at, _)| *at);
        if now.saturating_duration_since(newest) < STEP {
            return;
        }
        self.samples.push_back((now, total));
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The rate between the ends of the window; 0 before there are two.
    pub(super) fn per_sec(&self) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((from, before)), Some((to, after))) => {
                per_second(after.saturating_sub(*before), to.saturating_duration_since(*from))
            }
            _ => 0,
        }
    }
}

/// A moment of a transfer, with everything that is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) moved: u64,
    pub(super) size: Option<u64>,
    pub(super) elapsed: Duration,
    /// Bytes per second over the window.
    pub(super) current: u64,
    /// Records so far and records per second over the window, where they are counted.
    pub(super) records: Option<(u64, u64)>,
}

impl Pace {
    /// Bytes per second since the start.
    pub(super) fn average(&self) -> u64 {
        per_second(self.moved, self.elapsed)
    }

    /// 0 to 100, if the size is known; 100 also when more has moved than was foretold.
    pub(super) fn percent(&self) -> Option<f64> {
        let size = self.size?;
        match size {
            0 => Some(100.0),
            _ => Some((self.moved as f64 / size as f64 * 100.0).min(100.0)),
        }
    }

    /// Time to the end at the current rate; `None` when the size is unknown, nothing moves, or it is beyond 100 hours.
    pub(super) fn eta(&self) -> Option<Duration> {
        let left = self.size?.saturating_sub(self.moved);
        match (left, self.current) {
            (0, _) => Some(Duration::ZERO),
            (_, 0) => None,
            _ => Some(left as f64 / self.current as f64)
                .filter(|secs| *secs < LONGEST_ETA.as_secs_f64())
                .map(Duration::from_secs_f64),
        }
    }

    /// One line for a log, without its newline.
    pub(super) fn line(&self) -> String {
        let mut line = format!("haul: {}", Amount(self.moved));
        if let (Some(size), Some(percent)) = (self.size, self.percent()) {
            line += &format!(" of {} ({}%)", Amount(size), percent as u64);
        }
        line += &format!(" in {}", Clock(self.elapsed));
        line += &format!(", {}/s now, {}/s on average", Amount(self.current), Amount(self.average()));
        if let Some((records, current)) = self.records {
            line += &format!(", {records} records, {current} records/s now");
        }
        if let Some(eta) = self.eta() {
            line += &format!(", {} left", Clock(eta));
        }
        line
    }

    /// One JSON object, without its newline.
    pub(super) fn json(&self) -> Vec<u8> {
        let object = Object {
            v: 1,
            event: "progress",
            bytes: self.moved,
            secs: json_secs(self.elapsed),
            bytes_per_sec: self.current,
            average_bytes_per_sec: self.average(),
            records: self.records.map(|(records, _)| records),
            records_per_sec: self.records.map(|(_, current)| current),
            average_records_per_sec: self.records.map(|(records, _)| per_second(records, self.elapsed)),
            total_bytes: self.size,
            percent: self.percent().map(|percent| (percent * 10.0).floor() / 10.0),
            eta_secs: self.eta().map(json_secs),
        };
        // numbers and a constant: nothing that serde_json could refuse
        serde_json::to_vec(&object).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Object {
    v: u8,
    event: &'static str,
    bytes: u64,
    secs: f64,
    bytes_per_sec: u64,
    average_bytes_per_sec: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_per_sec: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_records_per_sec: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_secs: Option<f64>,
}

/// Long enough to be readable, short enough to follow a change.
const WINDOW: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(50);
const LONGEST_ETA: Duration = Duration::from_secs(100 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_current_rate_forgets_what_is_older_than_the_window() {
        let start = Instant::now();
        let mut window = RateWindow::new(start, 0);
        let mut total = 0;
        // 5 s at 1000 bytes a second, then 2 s at 9000
        for tick in 1..=50 {
            total += 100;
            window.record(start + ms(100 * tick), total);
        }
        assert_eq!(window.per_sec(), 1000);
        for tick in 51..=60 {
            total += 900;
            window.record(start + ms(100 * tick), total);
        }
        assert_eq!(window.per_sec(), 5000, "half of the window is new");
        for tick in 61..=70 {
            total += 900;
            window.record(start + ms(100 * tick), total);
        }
        assert_eq!(window.per_sec(), 9000);
        assert!(window.samples.len() <= 22);
    }

    #[test]
    fn a_stall_brings_the_current_rate_to_zero() {
        let start = Instant::now();
        let mut window = RateWindow::new(start, 0);
        for tick in 1..=10 {
            window.record(start + ms(100 * tick), 1_000_000);
        }
        assert_eq!(window.per_sec(), 1_000_000);
        for tick in 11..=31 {
            window.record(start + ms(100 * tick), 1_000_000);
        }
        assert_eq!(window.per_sec(), 0);
    }

    #[test]
    fn hasty_or_backward_clocks_neither_grow_the_window_nor_divide_by_zero() {
        let start = Instant::now() + ms(1000);
        let mut window = RateWindow::new(start, 0);
        for micro in 0..1000 {
            window.record(start + Duration::from_micros(micro), micro);
        }
        window.record(start - ms(500), 5);
        assert_eq!(window.samples.len(), 1);
        assert_eq!(window.per_sec(), 0);
    }

    #[test]
    fn percent_and_eta_are_sane_at_the_edges() {
        let pace = |moved, size, current| Pace { moved, size, elapsed: ms(1000), current, records: None };
        assert_eq!(pace(0, Some(0), 0).percent(), Some(100.0));
        assert_eq!(pace(7, Some(5), 1).percent(), Some(100.0));
        assert_eq!(pace(7, Some(5), 0).eta(), Some(Duration::ZERO));
        assert_eq!(pace(0, Some(5), 0).eta(), None);
        assert_eq!(pace(0, Some(u64::MAX), 1).eta(), None);
        assert_eq!(pace(1, None, 1).eta(), None);
        assert_eq!(pace(1 << 20, Some(3 << 20), 1 << 20).eta(), Some(ms(2000)));
    }

    #[test]
    fn lines_and_objects_say_the_same() {
        let pace = Pace { moved: 3 << 28, size: Some(1 << 30), elapsed: ms(3000), current: 512 << 20, records: None };
        assert_eq!(
            pace.line(),
            "haul: 768 MiB of 1.00 GiB (75%) in 0:03, 512 MiB/s now, 256 MiB/s on average, 0:00 left"
        );
        let json: serde_json::Value = serde_json::from_slice(&pace.json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"v": 1, "event": "progress", "bytes": 805306368, "secs": 3.0, "bytes_per_sec": 536870912,
                "average_bytes_per_sec": 268435456, "total_bytes": 1073741824, "percent": 75.0, "eta_secs": 0.5})
        );
        let unknown = Pace { size: None, ..pace };
        assert_eq!(unknown.line(), "haul: 768 MiB in 0:03, 512 MiB/s now, 256 MiB/s on average");
        let json: serde_json::Value = serde_json::from_slice(&unknown.json()).unwrap();
        assert!(json.get("records").is_none() && json.get("records_per_sec").is_none());
        let counted = Pace { records: Some((900, 7)), ..unknown };
        assert_eq!(counted.line(), format!("{}, 900 records, 7 records/s now", unknown.line()));
        let object: serde_json::Value = serde_json::from_slice(&counted.json()).unwrap();
        assert_eq!(
            (&object["records"], &object["records_per_sec"], &object["average_records_per_sec"]),
            (&900.into(), &7.into(), &300.into())
        );
        assert!(json.get("total_bytes").is_none() && json.get("percent").is_none() && json.get("eta_secs").is_none());
    }
}
