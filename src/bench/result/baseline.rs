//! `--compare FILE`: an earlier `-J`, haul's own or iperf3's, read for its figures.

use serde::Deserialize;

use super::verdict::{Figures, figures_compared};
use super::{Direction, Kind, Protocol};

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
        Ok(Baseline { figures, protocol: named.or(test.protocol), kind: own_kind.or(kind), direction })
    }

    /// Can a run of this kind be compared with it?
    ///
    /// # Errors
    /// A sentence if it was of another protocol, kind or direction.
    pub fn check(&self, kind: Kind, protocol: &Protocol, direction: Direction) -> Result<(), String> {
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
        match figures_compared(kind).iter().any(|figure| self.figures.of(*figure).is_some()) {
            true if kind == Kind::Throughput && self.figures.transactions_per_second.is_some() => {
                Err("it is of requests, not of throughput".into())
            }
            true => Ok(()),
            false => Err("it has no figure of such a run".into()),
        }
    }
}

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
mod tests {
    use super::*;

    #[test]
    fn figures_of_iperf3_are_found() {
        let tcp = br#"{"start":{"test_start":{"protocol":"TCP"}},"intervals":[],"end":{"streams":[],
            "sum_sent":{"bits_per_second":6.8e9},"sum_received":{"bits_per_second":6.7e9}}}"#;
        let tcp = Baseline::parse(tcp).unwrap();
        assert_eq!(tcp.figures, Figures { bits_per_second: Some(6.7e9), ..Figures::default() });
        let check = |kind, protocol| tcp.check(kind, &protocol, Direction::Forward);
        assert_eq!(check(Kind::Throughput, Protocol::Tcp), Ok(()));
        assert_eq!(check(Kind::Throughput, Protocol::Udp), Err("it is of TCP, not of UDP".into()));
        assert_eq!(check(Kind::Requests, Protocol::Tcp), Err("it has no figure of such a run".into()));
        let udp = br#"{"start":{"test_start":{"protocol":"UDP"}},
            "end":{"sum":{"bits_per_second":1e7,"lost_percent":2.5}}}"#;
        let udp = Baseline::parse(udp).unwrap();
        assert_eq!((udp.figures.bits_per_second, udp.figures.lost_percent), (Some(1e7), Some(2.5)));
    }

    // Figures of another kind, or of the other way, would be held against each other without a word.
    #[test]
    fn only_a_run_of_the_same_kind_and_way_is_compared() {
        let of = |reverse: u8, bidir: u8, kind: &str| {
            let text = format!(
                r#"{{"start":{{"test_start":{{"protocol":"TCP","reverse":{reverse},"bidir":{bidir}}}}},
                "haul":{{"protocol":"TCP","kind":"{kind}","figures":
                {{"bits_per_second":1e9,"transactions_per_second":9.0,"p50_ns":5.0}}}}}}"#
            );
            Baseline::parse(text.as_bytes()).unwrap()
        };
        let refused = |file: Baseline, kind, direction| file.check(kind, &Protocol::Tcp, direction).unwrap_err();
        let (up, down) = (Direction::Forward, Direction::Reverse);
        assert_eq!(
            refused(of(1, 0, "throughput"), Kind::Throughput, up),
            "it is of data from the server (-R), not to the server"
        );
        assert_eq!(
            refused(of(0, 1, "throughput"), Kind::Throughput, down),
            "it is of data both ways (--bidir), not from the server (-R)"
        );
        assert_eq!(refused(of(0, 0, "requests"), Kind::Connections, up), "it is of requests, not of connections");
        assert_eq!(refused(of(0, 0, "connections"), Kind::Requests, up), "it is of connections, not of requests");
        assert_eq!(refused(of(0, 0, "x"), Kind::Throughput, up), "it is of something else, not of throughput");
        assert_eq!(of(0, 0, "requests").check(Kind::Requests, &Protocol::Tcp, up), Ok(()));
    }

    #[test]
    fn what_is_no_run_is_refused_with_a_reason() {
        let refused = |text: &str| Baseline::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused("nonsense"), "it is not JSON (line 1, column 2)");
        assert_eq!(refused("[1]"), "its fields are not those of a run");
        assert_eq!(refused("{}"), "it holds no run");
        assert_eq!(refused(r#"{"end":{}}"#), "it holds no figures");
        assert_eq!(refused(r#"{"end":[]}"#), "its fields are not those of a run");
        assert_eq!(refused(r#"{"end":3}"#), "its fields are not those of a run");
        assert_eq!(refused(r#"{"end":{"sum":{"bits_per_second":-1}}}"#), "it holds no figures");
        assert_eq!(refused(r#"{"end":{},"error":"the server is busy"}"#), "it is of a run that failed");
        assert_eq!(refused(&" ".repeat(LONGEST + 1)), "it is longer than 64 MiB");
    }
}
