//! `--repeat N`: the same run several times, its figures told by mean and standard deviation.

use super::figure::Percent;
use super::verdict::{Figure, Figures};

/// The figures of several runs, in their order.
#[derive(Clone, Debug, Default)]
pub struct Series {
    runs: Vec<Figures>,
}

/// One figure over all runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean of the runs.
    pub mean: f64,
    /// The standard deviation of a sample: the squares are divided by one less than the number of runs. 0 for one run.
    pub deviation: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Series {
    /// Adds a run.
    pub fn add(&mut self, figures: Figures) {
        self.runs.push(figures);
    }

    /// How many runs there were.
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// One figure over all runs; `None` unless every run measured it.
    pub fn spread(&self, figure: Figure) -> Option<Spread> {
        let values: Vec<f64> = self.runs.iter().map(|run| run.of(figure)).collect::<Option<_>>()?;
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Spread {
            mean,
            deviation: if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 },
            lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
            highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// The means, by which thresholds and comparisons judge a series.
    pub fn mean(&self) -> Figures {
        let mean = |figure| self.spread(figure).map(|spread| spread.mean);
        Figures {
            bits_per_second: mean(Figure::Rate),
            reverse_bits_per_second: mean(Figure::ReverseRate),
            transactions_per_second: mean(Figure::Transactions),
            p50_ns: mean(Figure::P50),
            p99_ns: mean(Figure::P99),
            lost_percent: mean(Figure::Loss),
        }
    }

    /// A line for each figure that all runs measured.
    pub fn text(&self) -> String {
        let runs = if self.count() == 1 { "run" } else { "runs" };
        let mut lines = vec![format!("Over {} {runs}:", self.count())];
        for figure in Figure::ALL {
            let Some(spread) = self.spread(figure) else { continue };
            let shown = |value| figure.shown(value);
            let share = match spread.mean {
                0.0 => String::new(),
                mean => format!(" ({})", Percent(spread.deviation * 100.0 / mean)),
            };
            lines.push(format!(
                "  {:<14}  mean {}, standard deviation {}{share}, lowest {}, highest {}",
                figure.name(),
                shown(spread.mean),
                shown(spread.deviation),
                shown(spread.lowest),
                shown(spread.highest),
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rates: &[f64]) -> Series {
        let mut series = Series::default();
        rates.iter().for_each(|rate| series.add(Figures { bits_per_second: Some(*rate), ..Figures::default() }));
        series
    }

    #[test]
    fn mean_and_deviation_are_those_of_a_sample() {
        let spread = series(&[2e9, 4e9, 4e9, 4e9, 5e9, 5e9, 7e9, 9e9]).spread(Figure::Rate).unwrap();
        assert_eq!((spread.mean, spread.lowest, spread.highest), (5e9, 2e9, 9e9));
        assert!((spread.deviation - 2.138_089_9e9).abs() < 1e2);
        assert_eq!(series(&[3.0]).spread(Figure::Rate).unwrap().deviation, 0.0);
        assert_eq!(series(&[]).spread(Figure::Rate), None);
    }

    // A mean of some of the runs would be taken for one of all.
    #[test]
    fn what_one_run_did_not_measure_has_no_mean() {
        let mut some = series(&[1.0, 2.0]);
        some.add(Figures { p99_ns: Some(1.0), ..Figures::default() });
        assert_eq!(some.mean(), Figures::default());
    }

    #[test]
    fn a_series_is_told_in_lines() {
        assert_eq!(
            series(&[9e9, 10e9, 11e9]).text(),
            "Over 3 runs:\n  rate            mean 10.0 Gbits/sec, standard deviation 1.00 Gbits/sec (10%), \
             lowest 9.00 Gbits/sec, highest 11.0 Gbits/sec"
        );
    }
}
