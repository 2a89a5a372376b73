//! A run for programs: `-J`, one object, and `--json-stream`, one object a line.
//!
//! Where the meaning is iperf3's, so are the names: `start`, `intervals`, `end`, `streams`, `sum_sent`, `sum_received`,
//! `cpu_utilization_percent`, …; round trips of `rtt` are in microseconds there. `socket` is the number in brackets, and
//! `sender` says that this end sends. What iperf3 does not have stands under `haul`, with the unit in each name.
//! The stream's lines are `{"event":"start","data":…}`, `interval`, `end` and `error`, as of iperf3 3.18, and with
//! `--repeat` a `summary` behind all of those.

mod view;

use serde::Serialize;
use serde::ser::Serializer;

use super::series::{Series, Spread};
use super::verdict::{Figure, Figures, Verdict};
use super::{Interval, Results, Setup};
use crate::bench::histogram::Histogram;
use view::{EndView, IntervalView, StartView};

/// `-J`: everything as one object over several lines, with a newline at its end.
pub fn whole(results: &Results, verdicts: &[Verdict]) -> String {
    pretty(&Whole::new(results, verdicts))
}

/// `-J` with `--repeat`: the objects of all runs under `runs`, and under `haul` what they come to.
pub fn repeated(runs: &[Results], series: &Series, verdicts: &[Verdict]) -> String {
    pretty(&Repeated {
        runs: runs.iter().map(|run| Whole::new(run, &[])).collect(),
        error: runs.iter().rev().find_map(|run| run.error.as_deref()),
        haul: RepeatedHaul::new(runs, series, verdicts),
    })
}

/// `-J` where nothing was measured: why, in iperf3's frame; a sentence, escaped.
pub fn nothing(sentence: &str) -> String {
    #[derive(Serialize)]
    struct Empty {}
    #[derive(Serialize)]
    struct Nothing<'a> {
        start: Empty,
        intervals: [(); 0],
        end: Empty,
        error: &'a str,
    }
    pretty(&Nothing { start: Empty {}, intervals: [], end: Empty {}, error: sentence })
}

/// `--json-stream`: what is known before anything is measured; a line without its newline.
pub fn start(setup: &Setup) -> String {
    line("start", &StartView::new(setup))
}

/// `--json-stream`: one interval.
pub fn interval(interval: &Interval) -> String {
    line("interval", &IntervalView::new(interval))
}

/// `--json-stream`: the end of a run, with what haul adds.
pub fn end(results: &Results, verdicts: &[Verdict]) -> String {
    let end = End { end: EndView::new(results), haul: Haul::new(results, verdicts) };
    line("end", &end)
}

/// `--json-stream` with `--repeat`: what the runs come to, behind the last of them.
pub fn summary(runs: &[Results], series: &Series, verdicts: &[Verdict]) -> String {
    #[derive(Serialize)]
    struct Summary {
        haul: RepeatedHaul,
    }
    line("summary", &Summary { haul: RepeatedHaul::new(runs, series, verdicts) })
}

/// `--json-stream`: why it stopped; a sentence, escaped.
pub fn error(sentence: &str) -> String {
    line("error", sentence)
}

fn line(event: &'static str, data: &(impl Serialize + ?Sized)) -> String {
    #[derive(Serialize)]
    struct Line<'a, T: ?Sized> {
        event: &'static str,
        data: &'a T,
    }
    // structs of numbers and text always serialise
    serde_json::to_string(&Line { event, data }).unwrap_or_default()
}

fn pretty(object: &impl Serialize) -> String {
    serde_json::to_string_pretty(object).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Whole<'a> {
    start: StartView<'a>,
    intervals: Vec<IntervalView>,
    end: EndView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    haul: Haul,
}

impl<'a> Whole<'a> {
    fn new(results: &'a Results, verdicts: &[Verdict]) -> Self {
        Whole {
            start: StartView::new(&results.setup),
            intervals: results.intervals.iter().map(IntervalView::new).collect(),
            end: EndView::new(results),
            error: results.error.as_deref(),
            haul: Haul::new(results, verdicts),
        }
    }
}

#[derive(Serialize)]
struct End<'a> {
    #[serde(flatten)]
    end: EndView<'a>,
    haul: Haul,
}

#[derive(Serialize)]
struct Haul {
    version: &'static str,
    protocol: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<LatencyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_connect: Option<LatencyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_idle: Option<LatencyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_loaded: Option<LatencyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrupt_blocks: Option<u64>,
    figures: FiguresView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdicts: Vec<VerdictView>,
}

impl Haul {
    fn new(results: &Results, verdicts: &[Verdict]) -> Self {
        let exchange = results.exchange.as_ref();
        let view = |histogram: Option<&Histogram>| histogram.map(LatencyView::new);
        Haul {
            version: VERSION,
            protocol: results.setup.protocol.name(),
            kind: results.setup.kind.name(),
            transactions: exchange.map(|exchange| exchange.transactions),
            unanswered: exchange.map(|exchange| exchange.unanswered),
            latency: view(exchange.map(|exchange| &exchange.latency)),
            latency_connect: view(exchange.and_then(|exchange| exchange.connecting.as_ref())),
            latency_idle: view(results.latency.idle.as_ref()),
            latency_loaded: view(results.latency.loaded.as_ref()),
            corrupt_blocks: results.corrupt_blocks,
            figures: FiguresView::from(results.figures()),
            verdicts: verdicts.iter().map(VerdictView::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct Repeated<'a> {
    runs: Vec<Whole<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    haul: RepeatedHaul,
}

#[derive(Serialize)]
struct RepeatedHaul {
    version: &'static str,
    protocol: &'static str,
    kind: &'static str,
    count: usize,
    spread: Named,
    figures: FiguresView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdicts: Vec<VerdictView>,
}

impl RepeatedHaul {
    fn new(runs: &[Results], series: &Series, verdicts: &[Verdict]) -> Self {
        let figures = Figure::ALL.map(|figure| (figure.key(), series.spread(figure).map(SpreadView::from)));
        RepeatedHaul {
            version: VERSION,
            protocol: runs.first().map_or("", |run| run.setup.protocol.name()),
            kind: runs.first().map_or("", |run| run.setup.kind.name()),
            count: runs.len(),
            spread: Named(figures.into_iter().filter_map(|(key, spread)| Some((key, spread?))).collect()),
            figures: FiguresView::from(series.mean()),
            verdicts: verdicts.iter().map(VerdictView::from).collect(),
        }
    }
}

/// A map in the order in which it was made.
struct Named(Vec<(&'static str, SpreadView)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, spread)| (key, spread)))
    }
}

#[derive(Serialize)]
struct SpreadView {
    mean: f64,
    standard_deviation: f64,
    lowest: f64,
    highest: f64,
}

impl From<Spread> for SpreadView {
    fn from(Spread { mean, deviation, lowest, highest }: Spread) -> Self {
        SpreadView { mean, standard_deviation: deviation, lowest, highest }
    }
}

/// A histogram by its percentiles.
#[derive(Serialize)]
struct LatencyView {
    samples: u64,
    min_ns: u64,
    mean_ns: f64,
    stddev_ns: f64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    #[serde(rename = "p99.9_ns")]
    p999_ns: u64,
    #[serde(rename = "p99.99_ns")]
    p9999_ns: u64,
    max_ns: u64,
}

impl LatencyView {
    fn new(histogram: &Histogram) -> Self {
        LatencyView {
            samples: histogram.count(),
            min_ns: histogram.min(),
            mean_ns: histogram.mean(),
            stddev_ns: histogram.deviation(),
            p50_ns: histogram.percentile(50.0),
            p90_ns: histogram.percentile(90.0),
            p99_ns: histogram.percentile(99.0),
            p999_ns: histogram.percentile(99.9),
            p9999_ns: histogram.percentile(99.99),
            max_ns: histogram.max(),
        }
    }
}

/// What `--compare` reads again.
#[derive(Serialize)]
struct FiguresView {
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_bits_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_percent: Option<f64>,
}

impl From<Figures> for FiguresView {
    fn from(figures: Figures) -> Self {
        FiguresView {
            bits_per_second: figures.bits_per_second,
            reverse_bits_per_second: figures.reverse_bits_per_second,
            transactions_per_second: figures.transactions_per_second,
            p50_ns: figures.p50_ns,
            p99_ns: figures.p99_ns,
            lost_percent: figures.lost_percent,
        }
    }
}

#[derive(Serialize)]
struct VerdictView {
    figure: &'static str,
    measured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<f64>,
    met: bool,
}

impl From<&Verdict> for VerdictView {
    fn from(verdict: &Verdict) -> Self {
        VerdictView {
            figure: verdict.figure.key(),
            measured: verdict.measured,
            at_least: verdict.is_least.then_some(verdict.bound),
            at_most: (!verdict.is_least).then_some(verdict.bound),
            before: verdict.before.map(|(before, _)| before),
            met: verdict.is_met(),
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests;
