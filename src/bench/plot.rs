//! A run as a small picture on a terminal: the rate over time, and how the latencies are distributed.
//!
//! Pure text, fitted to a width: blocks of an eighth where the locale has them, else ASCII, never a colour.

use std::ffi::OsString;

use super::histogram::Histogram;
use super::result::figure::{Bitrate, Latency};

/// Where it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Columns that may be used.
    columns: usize,
    blocks: bool,
}

impl Canvas {
    /// For a terminal of so many columns, in the locale that `variable` tells: LC_ALL, LC_CTYPE, LANG in this order
    /// (locale(7)). `None` if there is no terminal, or no room.
    pub fn new(columns: Option<u16>, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        // the last column is where terminals disagree about when to wrap
        let columns = usize::from(columns?).checked_sub(1).filter(|columns| *columns >= NARROWEST)?;
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        Some(Canvas { columns: columns.min(WIDEST), blocks: locale.contains("utf-8") || locale.contains("utf8") })
    }

    /// Bits a second over time, from 0 up, one value an interval of the same length: [`ROWS`] lines of columns and a
    /// line of time below. `None` for less than two values. Where there are more values than columns, a column is the mean of
    /// several.
    pub fn rates(&self, rates: &[f64], seconds: f64) -> Option<String> {
        let highest = rates.iter().copied().filter(|rate| rate.is_finite()).fold(0.0, f64::max);
        if rates.len() < 2 || highest <= 0.0 {
            return None;
        }
        let top = Bitrate(highest).to_string();
        let margin = top.trim_start().len();
        let room = self.columns - margin - 2;
        let columns = self.columns_of(rates, room);
        let mut lines = Vec::new();
        for row in (0..ROWS).rev() {
            let label = if row == ROWS - 1 { top.trim_start() } else { "" };
            let bar: String = columns.iter().map(|rate| self.cell(rate / highest * ROWS as f64 - row as f64)).collect();
            lines.push(format!("{label:>margin$} {}{bar}", self.wall()).trim_end().to_owned());
        }
        let end = format!("{seconds:.0} s");
        let gap = columns.len().saturating_sub(end.len() + 1);
        lines.push(format!("{:>margin$}  0{:gap$}{end}", "", ""));
        Some(lines.join("\n"))
    }

    /// One value a column: several columns a value where there is room, else the mean of several values.
    fn columns_of(&self, rates: &[f64], room: usize) -> Vec<f64> {
        let each = (room / rates.len()).min(MOST_COLUMNS_EACH);
        if each > 0 {
            return rates.iter().flat_map(|rate| std::iter::repeat_n(*rate, each)).collect();
        }
        let mean = |column: usize| {
            let (from, to) = (column * rates.len() / room, (column + 1) * rates.len() / room);
            rates[from..to].iter().sum::<f64>() / (to - from) as f64
        };
        (0..room).map(mean).collect()
    }

    /// How latencies are distributed: at most [`BARS`] lines of equal steps of a factor from the smallest to that of 99.9 %,
    /// and one for the tail. `None` for less than two values.
    pub fn latencies(&self, histogram: &Histogram) -> Option<String> {
        if histogram.count() < 2 {
            return None;
        }
        let bars = bars(histogram);
        let most = bars.iter().map(|bar| bar.count).max()?;
        let label = |nanos: u64| Latency(nanos as f64).to_string();
        let digits = most.to_string().len();
        // "  812 ns ..  1.02 us " and " 12345"
        let room = self.columns.saturating_sub(LABELS + 1 + digits + 1);
        let lines = bars.iter().map(|bar| {
            let drawn = self.bar(bar.count as f64 / most as f64, room);
            let (from, to, wall) = (label(bar.from), label(bar.to), self.wall());
            format!("{from:>8} .. {to:>8} {wall}{drawn:<room$} {:>digits$}", bar.count)
        });
        Some(lines.collect::<Vec<_>>().join("\n"))
    }

    fn wall(&self) -> char {
        if self.blocks { '│' } else { '|' }
    }

    /// One cell of a column that fills so much of it.
    fn cell(&self, share: f64) -> char {
        let eighths = (share.clamp(0.0, 1.0) * 8.0) as usize;
        match (self.blocks, eighths) {
            (true, eighths) => UPWARDS[eighths],
            (false, 0..2) => ' ',
            (false, 2..5) => '.',
            (false, 5..8) => ':',
            (false, _) => '#',
        }
    }

    /// A bar from the left that fills so much of `room`; what is not nothing is drawn.
    fn bar(&self, share: f64, room: usize) -> String {
        let share = share.clamp(0.0, 1.0) * room as f64;
        if !self.blocks {
            return "#".repeat((share as usize).max(usize::from(share > 0.0)));
        }
        let eighths = ((share * 8.0) as usize).max(usize::from(share > 0.0));
        let last = ALONG[eighths % 8];
        "█".repeat(eighths / 8) + last
    }
}

/// A line of a distribution: so many values from one latency in nanoseconds to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bar {
    from: u64,
    to: u64,
    count: u64,
}

fn bars(histogram: &Histogram) -> Vec<Bar> {
    let (min, body, max) = (histogram.min(), histogram.percentile(99.9), histogram.max());
    let factor = libm::pow(body.max(1) as f64 / min.max(1) as f64, 1.0 / BARS as f64);
    let (mut bars, mut below, mut from, mut bound) = (Vec::new(), 0, min, min.max(1) as f64);
    for number in 1..=BARS {
        bound *= factor;
        let to = if number == BARS { body } else { bound as u64 };
        // values closer to each other than this share a line
        if to <= from && number < BARS {
            continue;
        }
        let up_to = histogram.count_up_to(to);
        bars.push(Bar { from, to, count: up_to - below });
        (below, from) = (up_to, to);
    }
    if max > body && histogram.count() > below {
        bars.push(Bar { from: body, to: max, count: histogram.count() - below });
    }
    bars
}

const UPWARDS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ALONG: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// Lines of the rate.
pub const ROWS: usize = 4;
/// Lines of a distribution, without the tail.
pub const BARS: usize = 10;
/// The columns before a bar of a distribution.
const LABELS: usize = 21;
/// Below this there is no room for labels and a picture.
const NARROWEST: usize = 36;
/// Wider ones are no easier to read.
const WIDEST: usize = 99;
const MOST_COLUMNS_EACH: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canvas(columns: u16, locale: &str) -> Canvas {
        Canvas::new(Some(columns), |name| (name == "LANG").then(|| locale.into())).unwrap()
    }

    #[test]
    fn no_terminal_or_no_room_is_no_canvas() {
        assert_eq!(Canvas::new(None, |_| None), None);
        assert_eq!(Canvas::new(Some(30), |_| None), None);
        assert!(Canvas::new(Some(80), |_| None).is_some_and(|canvas| !canvas.blocks));
        assert!(canvas(80, "de_DE.UTF-8").blocks && canvas(80, "C.utf8").blocks);
        // an earlier variable wins, an empty one is none
        let variable = |name: &str| match name {
            "LC_ALL" => Some("".into()),
            "LC_CTYPE" => Some("C".into()),
            _ => Some("en_US.UTF-8".into()),
        };
        assert!(Canvas::new(Some(80), variable).is_some_and(|canvas| !canvas.blocks));
    }

    #[test]
    fn rates_are_drawn_from_zero_up() {
        let rates = [1e9, 0.5e9, 0.0, 0.25e9, 0.875e9];
        let drawn = canvas(40, "C.UTF-8").rates(&rates, 5.0).unwrap();
        let wanted = "
1.00 Gbits/sec │████            ▄▄▄▄
               │████            ████
               │████████        ████
               │████████    ████████
                0                5 s";
        assert_eq!(drawn, wanted.trim_start_matches('\n'), "\n{drawn}");
        let plain = canvas(40, "C").rates(&rates, 5.0).unwrap();
        let wanted = "
1.00 Gbits/sec |####            ....
               |####            ####
               |########        ####
               |########    ########
                0                5 s";
        assert_eq!(plain, wanted.trim_start_matches('\n'), "\n{plain}");
    }

    #[test]
    fn nothing_to_see_is_not_drawn() {
        let canvas = canvas(80, "C");
        assert_eq!(canvas.rates(&[1e9], 1.0), None);
        assert_eq!(canvas.rates(&[0.0, 0.0], 2.0), None);
        assert_eq!(canvas.latencies(&Histogram::new()), None);
    }

    #[test]
    fn a_distribution_has_a_line_for_its_tail() {
        let mut histogram = Histogram::new();
        (0..990).for_each(|number| histogram.record(10_000 + number * 10));
        (0..9).for_each(|_| histogram.record(40_000));
        histogram.record(5_000_000);
        let drawn = canvas(60, "C").latencies(&histogram).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 11, "\n{drawn}");
        assert_eq!(lines[10], format!(" 40.0 us ..  5.00 ms |#{}   1", " ".repeat(32)), "\n{drawn}");
        assert!(lines[0].starts_with(" 10.0 us ..  11.5 us |##"), "\n{drawn}");
        let mut same = Histogram::new();
        (0..5).for_each(|_| same.record(777));
        let bars = bars(&same);
        assert_eq!(bars, [Bar { from: 777, to: 777, count: 5 }]);
    }

    proptest! {
        // Whatever is drawn fits, and every value is in some line.
        #[test]
        fn it_fits_and_counts_everything(
            columns in 37u16..300,
            blocks: bool,
            rates in prop::collection::vec(0.0f64..1e12, 2..500),
            values in prop::collection::vec(any::<u64>(), 2..100),
            shift in 0u32..60,
        ) {
            let canvas = canvas(columns, if blocks { "C.UTF-8" } else { "C" });
            let mut histogram = Histogram::new();
            values.iter().for_each(|value| histogram.record(value >> shift));
            let counted: u64 = bars(&histogram).iter().map(|bar| bar.count).sum();
            prop_assert_eq!(counted, values.len() as u64);
            let drawn = [canvas.rates(&rates, rates.len() as f64), canvas.latencies(&histogram)];
            for line in drawn.iter().flatten().flat_map(|drawn| drawn.lines()) {
                prop_assert!(line.chars().count() < usize::from(columns), "{}", line);
                prop_assert!(blocks || line.is_ascii());
            }
        }
    }
}
