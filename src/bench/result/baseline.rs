//! `--compare FILE`: an earlier `-J`, haul's own or iperf3's, read for its figures.

use serde::Deserialize;

use super::figure::{Bitrate, PerSecond};
use super::verdict::{Figures, figures_compared};
use super::{Direction, Kind, Pace, Protocol, Setup};

/// What an earlier run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Its figures.
    pub figures: Figures,
    /// What carried it, as its file says.
    protocol: Option<String>,
    /// What was measured, as haul's own files say.
    kind: Option<String>,
    direction: Option<Direction>,
    /// How many streams each way.
    streams: Option<f64>,
    /// Bytes of a write, a datagram, or a request.
    block_bytes: Option<f64>,
    /// Bits a second that each stream was held to, 0 for as many as go.
    bits: Option<f64>,
    /// The same of requests, which are free where it is not said.
    requests: Option<f64>,
}

/// What a run is to measure, as far as it is known before it has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What is measured.
    pub kind: Kind,
    /// What carries it.
    pub protocol: Protocol,
    /// Which way it goes.
    pub direction: Direction,
    /// How many streams each way.
    pub streams: u32,
    /// Bytes of a write, a datagram, or a request; `None` if the path decides.
    pub block_bytes: Option<u64>,
    /// What each stream is held to.
    pub pace: Pace,
}

impl From<&Setup> for Asked {
    fn from(setup: &Setup) -> Self {
        Asked {
            kind: setup.kind,
            protocol: setup.protocol.clone(),
            direction: setup.direction,
            streams: setup.streams,
            block_bytes: Some(setup.block_bytes),
            pace: setup.pace,
        }
    }
}

/// Only what is looked at; both programs may add what they like.
#[derive(Deserialize)]
struct File {
    start: Option<Start>,
    /// With `--repeat`.
    runs: Option<Vec<Run>>,
    end: Option<End>,
    haul: Option<Own>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Start {
    test_start: Option<TestStart>,
}

/// Of several runs, which are like each other.
#[derive(Deserialize)]
struct Run {
    start: Option<Start>,
    haul: Option<Own>,
}

#[derive(Default, Deserialize)]
struct TestStart {
    protocol: Option<String>,
    reverse: Option<u8>,
    bidir: Option<u8>,
    num_streams: Option<f64>,
    blksize: Option<f64>,
    target_bitrate: Option<f64>,
    haul_requests_per_second: Option<f64>,
}

impl TestStart {
    /// Which way it went; releases of iperf3 that knew one way only do not say.
    fn direction(&self) -> Option<Direction> {
        match (self.reverse, self.bidir) {
            (None, None) => None,
            (_, Some(1..)) => Some(Direction::Both),
            (Some(1..), _) => Some(Direction::Reverse),
            _ => Some(Direction::Forward),
        }
    }
}

#[derive(Deserialize)]
struct End {
    sum: Option<Sum>,
    sum_sent: Option<Sum>,
    sum_received: Option<Sum>,
    sum_sent_bidir_reverse: Option<Sum>,
    sum_received_bidir_reverse: Option<Sum>,
}

#[derive(Clone, Copy, Deserialize)]
struct Sum {
    bits_per_second: Option<f64>,
    lost_percent: Option<f64>,
}

#[derive(Deserialize)]
struct Own {
    protocol: Option<String>,
    kind: Option<String>,
    figures: Option<OwnFigures>,
}

#[derive(Deserialize)]
struct OwnFigures {
    bits_per_second: Option<f64>,
    reverse_bits_per_second: Option<f64>,
    transactions_per_second: Option<f64>,
    p50_ns: Option<f64>,
    p99_ns: Option<f64>,
    lost_percent: Option<f64>,
}

impl Baseline {
    /// From the text of a file, of which nothing is believed but that it is of at most [`LONGEST`] bytes.
    ///
    /// # Errors
    /// A sentence without what the file says: not JSON, not of a run, of a run that failed, or without a figure.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {} MiB", LONGEST >> 20));
        }
        let file: File = serde_json::from_slice(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "its fields are not those of a run".to_owned(),
            _ => format!("it is not JSON (line {}, column {})", error.line(), error.column()),
        })?;
        if file.error.is_some() {
            return Err("it is of a run that failed".into());
        }
        let first = file.runs.and_then(|runs| runs.into_iter().next());
        let (first, kind) = first.map_or((None, None), |run| (run.start, run.haul.and_then(|own| own.kind)));
        let test = file.start.or(first).and_then(|start| start.test_start).unwrap_or_default();
        let direction = test.direction();
        let (named, own_kind, own) = file.haul.map_or((None, None, None), |own| (own.protocol, own.kind, own.figures));
        let figures = match (own, file.end) {
            (Some(own), _) => Figures::from(own),
            (None, Some(end)) => Figures::from(end),
            (None, None) => return Err("it holds no run".into()),
        };
        let figures = figures.sane();
        if figures == Figures::default() {
            return Err("it holds no figures".into());
        }
        Ok(Baseline {
            figures,
            protocol: named.or(test.protocol),
            kind: own_kind.or(kind),
            direction,
            streams: test.num_streams,
            block_bytes: test.blksize,
            bits: test.target_bitrate,
            requests: test.haul_requests_per_second,
        })
    }

    /// Can such a run be compared with it?
    ///
    /// # Errors
    /// A sentence if it was of another protocol, kind or direction, of other streams, blocks or rates.
    pub fn check(&self, asked: &Asked) -> Result<(), String> {
        let Asked { kind, ref protocol, direction, .. } = *asked;
        let same = |name: &String| name.eq_ignore_ascii_case(protocol.name());
        if let Some(other) = self.protocol.as_ref().filter(|name| !same(name)) {
            let known = PROTOCOLS.into_iter().find(|known| other.eq_ignore_ascii_case(known));
            return Err(format!("it is of {}, not of {}", known.unwrap_or("another protocol"), protocol.name()));
        }
        if let Some(other) = self.kind.as_ref().filter(|name| *name != kind.name()) {
            let known = Kind::ALL.into_iter().map(Kind::name).find(|known| other == known);
            return Err(format!("it is of {}, not of {}", known.unwrap_or("something else"), kind.name()));
        }
        if let Some(other) = self.direction.filter(|other| *other != direction) {
            return Err(format!("it is of data {}, not {}", way(other), way(direction)));
        }
        self.check_load(asked)?;
        match figures_compared(kind).iter().any(|figure| self.figures.of(*figure).is_some()) {
            true if kind == Kind::Throughput && self.figures.transactions_per_second.is_some() => {
                Err("it is of requests, not of throughput".into())
            }
            true => Ok(()),
            false => Err("it has no figure of such a run".into()),
        }
    }
}

impl Baseline {
    /// The same of what each stream did.
    fn check_load(&self, asked: &Asked) -> Result<(), String> {
        let differs = |before: Option<f64>, now: f64| before.filter(|before| (before - now).abs() > now * ALIKE);
        let count = |count: f64, one: &str| format!("{count:.0} {one}{}", if count == 1.0 { "" } else { "s" });
        let streams = f64::from(asked.streams);
        if let Some(before) = differs(self.streams, streams) {
            return Err(format!("it is of {}, not of {streams}", count(before, "stream")));
        }
        let block = asked.block_bytes.map(|bytes| bytes as f64);
        if let Some((before, now)) = block.and_then(|now| Some((differs(self.block_bytes, now)?, now))) {
            return Err(format!("it is of blocks of {}, not of {now}", count(before, "byte")));
        }
        let held = |rate: f64, shown: &dyn Fn(f64) -> String| match rate {
            0.0 => "to nothing".to_owned(),
            rate => format!("to {}", shown(rate).trim_start()),
        };
        let bits = |rate: f64| Bitrate(rate).to_string();
        let requests = |rate: f64| PerSecond(rate).to_string();
        let (before, now, shown): (_, _, &dyn Fn(f64) -> String) = match (asked.kind, asked.pace) {
            (Kind::Throughput, Pace::Bits(rate)) => (self.bits, rate as f64, &bits),
            (Kind::Throughput, _) => (self.bits, 0.0, &bits),
            (_, Pace::Requests(rate)) => (self.requests.or(self.streams.map(|_| 0.0)), rate, &requests),
            (..) => (self.requests, 0.0, &requests),
        };
        match differs(before, now) {
            Some(before) => Err(format!("it is of streams held {}, not {}", held(before, shown), held(now, shown))),
            None => Ok(()),
        }
    }
}

/// A share by which two parameters may differ: what is 1M to haul is 1,048,576 to iperf3 where it sends datagrams.
const ALIKE: f64 = 0.05;

/// Which way the data of a file went.
fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "to the server",
        Direction::Reverse => "from the server (-R)",
        Direction::Both => "both ways (--bidir)",
    }
}

/// Names that a file may have for what carried its data.
const PROTOCOLS: [&str; 9] = ["TCP", "UDP", "unix", "tls", "ws", "wss", "tls+unix", "ws+unix", "wss+unix"];

impl Figures {
    /// Without what no run can have measured.
    fn sane(self) -> Self {
        let sane = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        Figures {
            bits_per_second: sane(self.bits_per_second),
            reverse_bits_per_second: sane(self.reverse_bits_per_second),
            transactions_per_second: sane(self.transactions_per_second),
            p50_ns: sane(self.p50_ns),
            p99_ns: sane(self.p99_ns),
            lost_percent: sane(self.lost_percent).filter(|percent| *percent <= 100.0),
        }
    }
}

impl From<OwnFigures> for Figures {
    fn from(own: OwnFigures) -> Self {
        Figures {
            bits_per_second: own.bits_per_second,
            reverse_bits_per_second: own.reverse_bits_per_second,
            transactions_per_second: own.transactions_per_second,
            p50_ns: own.p50_ns,
            p99_ns: own.p99_ns,
            lost_percent: own.lost_percent,
        }
    }
}

impl From<End> for Figures {
    /// What iperf3 wrote; releases differ in which of the sums of UDP they give.
    fn from(end: End) -> Self {
        let rate = |sums: [Option<Sum>; 3]| sums.into_iter().flatten().find_map(|sum| sum.bits_per_second);
        let all = [end.sum, end.sum_received, end.sum_received_bidir_reverse];
        Figures {
            bits_per_second: rate([end.sum_received, end.sum, end.sum_sent]),
            reverse_bits_per_second: rate([end.sum_received_bidir_reverse, end.sum_sent_bidir_reverse, None]),
            lost_percent: all.into_iter().flatten().filter_map(|sum| sum.lost_percent).reduce(f64::max),
            ..Figures::default()
        }
    }
}

/// The longest file that is read, in bytes: a day of intervals of 128 streams.
pub const LONGEST: usize = 64 << 20;

#[cfg(test)]
mod tests;
