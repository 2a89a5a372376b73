//! The totals of a run, as one line for people and one object for scripts, from the same struct.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::amount::{Amount, json_secs, per_second};
use crate::outcome::{Ended, Outcome};

/// What moved, how long it took and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// How it ended, see [`reason`]; `None` while it runs (SIGUSR1).
    pub reason: Option<String>,
}

impl Summary {
    /// The totals of a run that is over. `inward` (0 or 1) is the direction of the outcome that received.
    pub fn of(outcome: &Outcome, inward: usize) -> Self {
        Summary {
            bytes_in: outcome.bytes[inward & 1],
            bytes_out: outcome.bytes[1 - (inward & 1)],
            elapsed: outcome.elapsed,
            reason: Some(reason(&outcome.ended)),
        }
    }

    /// Bytes per second, both directions together.
    pub fn bytes_per_sec(&self) -> u64 {
        per_second(self.bytes_in.saturating_add(self.bytes_out), self.elapsed)
    }

    /// The fields of a JSON object that tell these totals, units in their names.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields {
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            secs: json_secs(self.elapsed),
            bytes_per_sec: self.bytes_per_sec(),
            reason: self.reason.as_deref(),
        }
    }
}

impl fmt::Display for Summary {
    /// `received 1.00 GiB, sent 0 B in 0.52 s (1.92 GiB/s)`. A failure is not repeated here: it has its own line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = Amount(self.bytes_per_sec());
        let secs = self.elapsed.as_secs_f64();
        write!(f, "received {}, sent {} in {secs:.2} s ({rate}/s)", Amount(self.bytes_in), Amount(self.bytes_out))
    }
}

/// What went through a pipe, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Bytes delivered.
    pub bytes: u64,
    /// Records whose end was delivered, where they are counted.
    pub records: Option<u64>,
    /// Since the start.
    pub elapsed: Duration,
}

impl Passage {
    /// The fields of a JSON object that tell this, units in their names. What comes in goes out.
    pub(super) fn fields(&self) -> PassageFields {
        PassageFields {
            bytes_in: self.bytes,
            bytes_out: self.bytes,
            records: self.records,
            secs: json_secs(self.elapsed),
            bytes_per_sec: per_second(self.bytes, self.elapsed),
            records_per_sec: self.records.map(|records| per_second(records, self.elapsed)),
        }
    }
}

impl fmt::Display for Passage {
    /// `1.00 GiB in 0.52 s (1.92 GiB/s), 52 records (100 records/s)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, rate) = (self.elapsed.as_secs_f64(), Amount(per_second(self.bytes, self.elapsed)));
        write!(f, "{} in {secs:.2} s ({rate}/s)", Amount(self.bytes))?;
        match self.records {
            Some(records) => write!(f, ", {records} records ({} records/s)", per_second(records, self.elapsed)),
            None => Ok(()),
        }
    }
}

/// The JSON side of a [`Passage`].
#[derive(Serialize)]
pub(super) struct PassageFields {
    bytes_in: u64,
    bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    secs: f64,
    bytes_per_sec: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_per_sec: Option<u64>,
}

/// The JSON side of a [`Summary`].
#[derive(Serialize)]
pub(super) struct Fields<'a> {
    bytes_in: u64,
    bytes_out: u64,
    secs: f64,
    bytes_per_sec: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// How something ended, in one line: `clean`, or what went wrong.
pub fn reason(ended: &Ended) -> String {
    match ended {
        Ended::Clean | Ended::Told(_) => "clean".to_string(),
        Ended::Failed(error) => error.line(),
        Ended::ReaderGone => "the reader of standard output went away".to_string(),
        Ended::Program(0) => "clean".into(),
        Ended::Program(code) => format!("the program exited with status {code}"),
        Ended::Signal(number) => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Op};

    #[test]
    fn the_line_of_totals_has_its_documented_shape() {
        let summary = Summary { bytes_in: 1 << 30, elapsed: Duration::from_millis(520), ..Summary::default() };
        assert_eq!(summary.to_string(), "received 1.00 GiB, sent 0 B in 0.52 s (1.92 GiB/s)");
        assert_eq!(Summary::default().to_string(), "received 0 B, sent 0 B in 0.00 s (0 B/s)");
    }

    #[test]
    fn the_object_has_the_same_numbers_and_says_how_it_ended() {
        let failed = Ended::Failed(Error::said(Op::Transfer, "a:1", "it tore"));
        let outcome = Outcome { ended: failed, bytes: [7, 9], elapsed: Duration::from_millis(1500) };
        let json = serde_json::to_value(Summary::of(&outcome, 1).fields()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"bytes_in": 9, "bytes_out": 7, "secs": 1.5, "bytes_per_sec": 10,
                "reason": "cannot transfer with a:1: it tore"})
        );
    }

    #[test]
    fn a_passage_tells_bytes_once_and_records_only_where_they_are_counted() {
        let passage = Passage { bytes: 1 << 30, records: None, elapsed: Duration::from_millis(520) };
        assert_eq!(passage.to_string(), "1.00 GiB in 0.52 s (1.92 GiB/s)");
        let counted = Passage { bytes: 900, records: Some(30), elapsed: Duration::from_millis(1500) };
        assert_eq!(counted.to_string(), "900 B in 1.50 s (600 B/s), 30 records (20 records/s)");
        assert_eq!(
            serde_json::to_value(counted.fields()).unwrap(),
            serde_json::json!({"bytes_in": 900, "bytes_out": 900, "records": 30, "secs": 1.5, "bytes_per_sec": 600,
                "records_per_sec": 20})
        );
    }

    #[test]
    fn every_ending_is_one_line() {
        assert_eq!(reason(&Ended::Clean), "clean");
        assert_eq!(reason(&Ended::Signal(15)), "signal 15");
        assert_eq!(reason(&Ended::ReaderGone), "the reader of standard output went away");
    }
}
