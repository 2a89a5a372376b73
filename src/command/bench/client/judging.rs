//! The results: printed, drawn, compared, and judged.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Measuring;
use super::setup;
use crate::bench::plot::Canvas;
use crate::bench::result::baseline::{Baseline, LONGEST};
use crate::bench::result::series::Series;
use crate::bench::result::verdict::{self, Thresholds, Verdict};
use crate::bench::result::{Limit, Protocol, Results, Setup, json, text};
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::bench::Client;
use crate::sys;

/// The results of an earlier run.
///
/// # Errors
/// The file cannot be read, or holds none that these could be compared with.
pub(super) fn baseline(path: &Path, wanted: &Client) -> Result<Baseline, Error> {
    let name = path.as_os_str().as_encoded_bytes();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Error::new(Op::Open, name, error))?;
    let read = file.take(LONGEST as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(Op::Read, name, error))?;
    let usable = |baseline: Baseline| baseline.check(&setup::asked(wanted)).map(|()| baseline);
    let refused = |why: String| {
        let error = Error::said(Op::Use, [b"--compare ", name].concat(), Escaped(why.as_bytes()).to_string());
        error.with_advice("a file that haul bench -J has written of a run like this one")
    };
    Baseline::parse(&bytes).and_then(usable).map_err(refused)
}

/// With `-n` and `-k`: what has arrived of what was sent in a direction, where that is less. Datagrams may be lost, and
/// with a warm-up the two ends have not begun to count at the same byte.
pub(super) fn missing(results: &Results) -> Option<[u64; 2]> {
    let Setup { limit, protocol, omit, .. } = &results.setup;
    if matches!(limit, Limit::Time(_)) || *protocol == Protocol::Udp || !omit.is_zero() {
        return None;
    }
    [true, false].into_iter().find_map(|is_sender| {
        let [arrived, sent] = [results.sum_received(is_sender)?.bytes, results.sum_sent(is_sender)?.bytes];
        (arrived < sent).then_some([arrived, sent])
    })
}

/// The runs that a series is about: one that was cut short says nothing about the others, but is better than nothing.
fn counted(done: &[Results], is_cut: bool) -> &[Results] {
    match done {
        [whole @ .., _] if is_cut && !whole.is_empty() => whole,
        all => all,
    }
}

impl Measuring {
    /// Prints the results of one run.
    pub(super) fn show(&mut self, results: &Results, server_output: Option<&str>) {
        if self.plan.print.json_stream && self.wanted.repeat > 1 {
            // a run by itself is told with what it is judged by
            self.printer.line(json::end(results, &[]).as_bytes());
        }
        if self.plan.print.json || self.plan.print.json_stream {
            return;
        }
        self.printer.line(text::summary(results).as_bytes());
        if self.plan.print.percentiles {
            let Results { latency, exchange, .. } = results;
            let all = [
                ("Idle", latency.idle.as_ref()),
                ("Loaded", latency.loaded.as_ref()),
                ("Requests", exchange.as_ref().map(|exchange| &exchange.latency)),
            ];
            for (name, histogram) in all {
                if let Some(histogram) = histogram {
                    self.printer.line(format!("\n{}", text::percentiles(name, histogram)).as_bytes());
                }
            }
        }
        self.draw(results);
        if let Some(text) = server_output {
            let lines = text.lines().map(|line| Escaped(line.as_bytes()).to_string());
            let lines: Vec<_> = lines.collect();
            self.printer.line(format!("\nServer output:\n{}", lines.join("\n")).as_bytes());
        }
    }

    /// Draws a small picture, where that is seen.
    fn draw(&mut self, results: &Results) {
        let Some(canvas) = Canvas::new(sys::stdout_columns(), |name| std::env::var_os(name)) else { return };
        let counted = results.intervals.iter().filter(|interval| !interval.is_omitted);
        let rates: Vec<f64> = counted
            .map(|interval| {
                let both = [interval.sum(true), interval.sum(false)];
                both.iter().flatten().map(|slice| slice.bits_per_second()).sum()
            })
            .collect();
        let seconds = results.totals.iter().filter_map(|total| total.sent.or(total.received));
        let seconds = seconds.map(|side| side.elapsed.as_secs_f64()).fold(0.0, f64::max);
        let picture = match &results.exchange {
            Some(exchange) => canvas.latencies(&exchange.latency),
            None => canvas.rates(&rates, seconds),
        };
        if let Some(picture) = picture {
            self.printer.line(format!("\n{picture}").as_bytes());
        }
    }

    /// All is measured: what it comes to, and what is not good enough about it.
    pub(super) fn judge(&mut self) -> Ended {
        let mut series = Series::default();
        let counted = counted(&self.done, self.is_cut);
        counted.iter().for_each(|results| series.add(results.figures()));
        let figures = match counted {
            [one] => one.figures(),
            _ => series.mean(),
        };
        let bounds = self.wanted.thresholds;
        let thresholds = Thresholds { min: bounds.least_rate, max_p99: bounds.most_p99, max_loss: bounds.most_loss };
        let mut verdicts = thresholds.judge(&figures);
        if let (Some(before), Some(first)) = (&self.before, self.done.first()) {
            verdicts.extend(verdict::compare(first.setup.kind, &figures, &before.figures, self.wanted.tolerance));
        }
        self.tell(&series, &verdicts);
        let corrupt: u64 = self.done.iter().filter_map(|results| results.corrupt_blocks).sum();
        if corrupt > 0 {
            let blocks = if corrupt == 1 { "1 block".to_owned() } else { format!("{corrupt} blocks") };
            let error = Error::said(Op::Transfer, self.way(), format!("{blocks} were not as they had been sent"));
            return Ended::Failed(error.with_status(ExitStatus::Verify));
        }
        if let Some([arrived, sent]) = self.missing {
            let why = format!("only {arrived} of {sent} bytes have arrived");
            return Ended::Failed(Error::said(Op::Transfer, self.way(), why));
        }
        verdict::failure(&verdicts).map_or(Ended::Clean, Ended::Failed)
    }

    /// A run has measured nothing: for programs the one object, or the summary, says what was measured before.
    pub(super) fn fall_short(&mut self, why: String) {
        let print = &self.plan.print;
        if !print.json && !print.json_stream {
            return;
        }
        match self.done.last_mut() {
            None if print.json => self.printer.bytes(json::nothing(&why).as_bytes()),
            None => {}
            Some(last) => {
                last.error.get_or_insert(why);
                let _ = self.judge();
            }
        }
    }

    fn tell(&mut self, series: &Series, verdicts: &[Verdict]) {
        let print = self.plan.print.clone();
        match self.done.as_slice() {
            [] => {}
            [one] if print.json => self.printer.bytes(json::whole(one, verdicts).as_bytes()),
            all if print.json => self.printer.bytes(json::repeated(all, series, verdicts).as_bytes()),
            [one] if print.json_stream && self.wanted.repeat == 1 => {
                self.printer.line(json::end(one, verdicts).as_bytes());
            }
            all if print.json_stream => self.printer.line(json::summary(all, series, verdicts).as_bytes()),
            [_] => {}
            _ => self.printer.line(format!("\n{}", series.text()).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result::Direction;
    use crate::bench::result::testing::run;

    // Half a second of an interrupted run is no deviation of the others.
    #[test]
    fn a_run_that_was_cut_short_is_left_out_of_the_mean() {
        let all = [1, 2, 3].map(|streams| run(Protocol::Tcp, Direction::Forward, streams));
        assert_eq!(counted(&all, false).len(), 3);
        let kept: Vec<_> = counted(&all, true).iter().map(|results| results.setup.streams).collect();
        assert_eq!(kept, [1, 2]);
        assert_eq!(counted(&all[..1], true).len(), 1);
        assert!(counted(&[], true).is_empty());
    }
}
