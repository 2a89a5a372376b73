//! `--compare FILE`: an earlier `-J`, haul's own or iperf3's, read for its figures.

use serde::Deserialize;

use super::verdict::{Figures, figures_compared};
use super::{Kind, Protocol};

/// What an earlier run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Its figures.
    pub figures: Figures,
    /// What carried it, as its file says.
    protocol: Option<String>,
}

/// Only what is looked at; both programs may add what they like.
#[derive(Deserialize)]
struct File {
    start: Option<Start>,
    end: Option<End>,
    haul: Option<Own>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Start {
    test_start: Option<TestStart>,
}

#[derive(Deserialize)]
struct TestStart {
    protocol: Option<String>,
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
        let started = file.start.and_then(|start| start.test_start).and_then(|test| test.protocol);
        let (named, own) = file.haul.map_or((None, None), |own| (own.protocol, own.figures));
        let figures = match (own, file.end) {
            (Some(own), _) => Figures::from(own),
            (None, Some(end)) => Figures::from(end),
            (None, None) => return Err("it holds no run".into()),
        };
        let figures = figures.sane();
        if figures == Figures::default() {
            return Err("it holds no figures".into());
        }
        Ok(Baseline { figures, protocol: named.or(started) })
    }

    /// Can a run of this kind be compared with it?
    ///
    /// # Errors
    /// A sentence if it was of another protocol or kind.
    pub fn check(&self, kind: Kind, protocol: &Protocol) -> Result<(), String> {
        let same = |name: &String| name.eq_ignore_ascii_case(protocol.name());
        if let Some(other) = self.protocol.as_ref().filter(|name| !same(name)) {
            let known = ["TCP", "UDP"].into_iter().find(|known| other.eq_ignore_ascii_case(known));
            return Err(format!("it is of {}, not of {}", known.unwrap_or("another protocol"), protocol.name()));
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
        assert_eq!(tcp.check(Kind::Throughput, &Protocol::Tcp), Ok(()));
        assert_eq!(tcp.check(Kind::Throughput, &Protocol::Udp), Err("it is of TCP, not of UDP".into()));
        assert_eq!(tcp.check(Kind::Requests, &Protocol::Tcp), Err("it has no figure of such a run".into()));
        let udp = br#"{"start":{"test_start":{"protocol":"UDP"}},
            "end":{"sum":{"bits_per_second":1e7,"lost_percent":2.5}}}"#;
        let udp = Baseline::parse(udp).unwrap();
        assert_eq!((udp.figures.bits_per_second, udp.figures.lost_percent), (Some(1e7), Some(2.5)));
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
