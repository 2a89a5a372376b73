//! Is it good enough: `--min`, `--max-p99`, `--max-loss`, and `--compare` with an earlier run.
//!
//! What was asked about and not measured is not met: a check that cannot be made must not pass. A rate is what the
//! receivers counted, in bits a second, and not measured where none of them told: what was sent need not have come. The
//! latency is that of the
//! requests, or that under load beside a throughput run.
//!
//! A comparison asks for the rate, the transactions and the share of datagrams that came to be no less than before, less
//! the tolerance, and, of requests, for a median and a p99 no more than before, plus the tolerance. It leaves latency under
//! load alone, which differs by more than any useful tolerance from run to run: that has `--max-p99`.

use std::fmt;
use std::time::Duration;

use super::figure::{Bitrate, Latency, PerSecond, Percent};
use super::{Kind, Protocol, Results, Side, per_second};
use crate::error::{Cause, Error};
use crate::outcome::ExitStatus;
use crate::units::{Chance, Rate};

/// What a run is judged by; `None` was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Payload bits a second: of the only direction, or with `--bidir` of the forward one; of requests, those of one way.
    pub bits_per_second: Option<f64>,
    /// With `--bidir`, of the reverse direction.
    pub reverse_bits_per_second: Option<f64>,
    /// Of requests.
    pub transactions_per_second: Option<f64>,
    /// Median latency in nanoseconds.
    pub p50_ns: Option<f64>,
    /// What 99 % of the latencies do not exceed, in nanoseconds.
    pub p99_ns: Option<f64>,
    /// Datagrams lost, in percent of those sent; the worse direction.
    pub lost_percent: Option<f64>,
}

/// One of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// [`Figures::bits_per_second`].
    Rate,
    /// [`Figures::reverse_bits_per_second`].
    ReverseRate,
    /// [`Figures::transactions_per_second`].
    Transactions,
    /// [`Figures::p50_ns`].
    P50,
    /// [`Figures::p99_ns`].
    P99,
    /// [`Figures::lost_percent`].
    Loss,
}

impl Figure {
    /// All of them, in the order in which they are told.
    pub const ALL: [Figure; 6] =
        [Figure::Rate, Figure::ReverseRate, Figure::Transactions, Figure::P50, Figure::P99, Figure::Loss];

    /// As a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Rate => "rate",
            Figure::ReverseRate => "reverse rate",
            Figure::Transactions => "transactions",
            Figure::P50 => "median latency",
            Figure::P99 => "p99 latency",
            Figure::Loss => "loss",
        }
    }

    /// Its name in JSON, with the unit.
    pub fn key(self) -> &'static str {
        match self {
            Figure::Rate => "bits_per_second",
            Figure::ReverseRate => "reverse_bits_per_second",
            Figure::Transactions => "transactions_per_second",
            Figure::P50 => "p50_ns",
            Figure::P99 => "p99_ns",
            Figure::Loss => "lost_percent",
        }
    }

    /// A value of it with its unit.
    pub fn shown(self, value: f64) -> String {
        let text = match self {
            Figure::Rate | Figure::ReverseRate => Bitrate(value).to_string(),
            Figure::Transactions => PerSecond(value).to_string(),
            Figure::P50 | Figure::P99 => Latency(value).to_string(),
            Figure::Loss => Percent(value).to_string(),
        };
        text.trim_start().to_owned()
    }
}

impl Figures {
    /// What was measured of one.
    pub fn of(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => self.bits_per_second,
            Figure::ReverseRate => self.reverse_bits_per_second,
            Figure::Transactions => self.transactions_per_second,
            Figure::P50 => self.p50_ns,
            Figure::P99 => self.p99_ns,
            Figure::Loss => self.lost_percent,
        }
    }
}

impl Results {
    /// What the run is judged by.
    pub fn figures(&self) -> Figures {
        if let Some(exchange) = &self.exchange {
            let bits = exchange.transactions as f64 * self.setup.block_bytes as f64 * 8.0;
            let some = |percent| (!exchange.latency.is_empty()).then(|| exchange.latency.percentile(percent) as f64);
            return Figures {
                bits_per_second: Some(per_second(bits, exchange.elapsed)),
                transactions_per_second: Some(exchange.rate()),
                p50_ns: some(50.0),
                p99_ns: some(99.0),
                lost_percent: exchange.lost_percent().filter(|_| self.setup.protocol == Protocol::Udp),
                ..Figures::default()
            };
        }
        let rate = |is_sender| self.sum_received(is_sender).map(|side: Side| side.bits_per_second());
        let goes = |is_sender| self.totals_of(is_sender).next().is_some();
        let lost = |is_sender| {
            let datagrams = self.sum_received(is_sender)?.datagrams?;
            (datagrams.sent > 0).then(|| datagrams.loss_percent())
        };
        let loaded = self.latency.loaded.as_ref().filter(|loaded| !loaded.is_empty());
        Figures {
            bits_per_second: rate(goes(true)),
            reverse_bits_per_second: if goes(true) { rate(false) } else { None },
            transactions_per_second: None,
            p50_ns: loaded.map(|loaded| loaded.percentile(50.0) as f64),
            p99_ns: loaded.map(|loaded| loaded.percentile(99.0) as f64),
            lost_percent: [lost(true), lost(false)].into_iter().flatten().reduce(f64::max),
        }
    }
}

/// What has to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// `--min`: each direction at least so fast.
    pub min: Option<Rate>,
    /// `--max-p99`.
    pub max_p99: Option<Duration>,
    /// `--max-loss`.
    pub max_loss: Option<Chance>,
}

/// A figure and what was wanted of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Which.
    pub figure: Figure,
    /// What was measured.
    pub measured: Option<f64>,
    /// What was wanted.
    pub bound: f64,
    /// The bound is the least that is wanted; else the most.
    pub is_least: bool,
    /// Of a comparison: what it was before, and the tolerance in percent.
    pub before: Option<(f64, f64)>,
}

impl Verdict {
    /// True if it is good enough.
    pub fn is_met(&self) -> bool {
        match self.measured {
            Some(measured) if self.is_least => measured >= self.bound,
            Some(measured) => measured <= self.bound,
            None => false,
        }
    }
}

impl fmt::Display for Verdict {
    /// `rate 8.12 Gbits/sec, at least 9.00 Gbits/sec wanted`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, which) = (self.figure.name(), if self.is_least { "at least" } else { "at most" });
        match self.measured {
            Some(measured) => write!(f, "{name} {}", self.figure.shown(measured))?,
            None => write!(f, "{name} was not measured")?,
        }
        write!(f, ", {which} {} wanted", self.figure.shown(self.bound))?;
        match self.before {
            Some((before, tolerance)) => {
                let (before, tolerance) = (self.figure.shown(before), Percent(tolerance));
                write!(f, " (it was {before}, tolerance {tolerance})")
            }
            None => Ok(()),
        }
    }
}

impl Thresholds {
    /// One verdict a threshold; of `--min` one a direction.
    pub fn judge(&self, figures: &Figures) -> Vec<Verdict> {
        let verdict = |figure: Figure, bound, is_least| Verdict {
            figure,
            measured: figures.of(figure),
            bound,
            is_least,
            before: None,
        };
        let bits = self.min.map(|rate| rate.0 as f64 * 8.0);
        let reverse = bits.filter(|_| figures.reverse_bits_per_second.is_some());
        let latency = self.max_p99.map(|most| most.as_nanos() as f64);
        let loss = self.max_loss.map(percent);
        let all = [
            bits.map(|bits| verdict(Figure::Rate, bits, true)),
            reverse.map(|bits| verdict(Figure::ReverseRate, bits, true)),
            latency.map(|most| verdict(Figure::P99, most, false)),
            loss.map(|most| verdict(Figure::Loss, most, false)),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Compares with an earlier run: one verdict for each figure of it that comparisons are about. None if it has no such
/// figure, which is no success: [`super::baseline`] refuses such a file.
pub fn compare(kind: Kind, now: &Figures, before: &Figures, tolerance: Chance) -> Vec<Verdict> {
    let tolerance_percent = percent(tolerance);
    let share = tolerance_percent / 100.0;
    let verdict = |figure: Figure| {
        let was = before.of(figure)?;
        let (bound, is_least) = match figure {
            Figure::P50 | Figure::P99 => (was * (1.0 + share), false),
            // a share of what came, since no loss at all would forgive nothing
            Figure::Loss => (was + (100.0 - was) * share, false),
            _ => (was * (1.0 - share), true),
        };
        let before = Some((was, tolerance_percent));
        Some(Verdict { figure, measured: now.of(figure), bound, is_least, before })
    };
    figures_compared(kind).iter().filter_map(|figure| verdict(*figure)).collect()
}

/// What a comparison is about.
pub(super) fn figures_compared(kind: Kind) -> &'static [Figure] {
    match kind {
        Kind::Throughput => &[Figure::Rate, Figure::ReverseRate, Figure::Loss],
        Kind::Requests | Kind::Connections => &[Figure::Transactions, Figure::P50, Figure::P99],
    }
}

/// The line and the exit status of what was not met; `None` if everything was.
pub fn failure(verdicts: &[Verdict]) -> Option<Error> {
    let missed: Vec<String> =
        verdicts.iter().filter(|verdict| !verdict.is_met()).map(|verdict| verdict.to_string()).collect();
    let error = match missed.as_slice() {
        [] => return None,
        [one] => Error::begun("threshold not met", Cause::Said(one.clone())),
        all => Error::begun("thresholds not met", Cause::Said(format!("{} of {}", all.len(), verdicts.len())))
            .with_facts(missed),
    };
    Some(error.with_status(ExitStatus::Expectation))
}

fn percent(chance: Chance) -> f64 {
    chance.parts() as f64 * 100.0 / Chance::ALWAYS.parts() as f64
}

#[cfg(test)]
mod tests;
