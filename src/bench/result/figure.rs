//! Figures of a result as iperf3 shows them: bytes in powers of 1024, bits in powers of 1000, four columns of digits.

use std::fmt;

/// Bytes with a unit of a power of 1024: `1.83 GBytes`, ` 626 MBytes`, `0.00 Bytes`.
#[derive(Clone, Copy, Debug)]
pub struct Transfer(pub u64);

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, prefix) = scaled(self.0 as f64, 1024.0);
        f.pad(&format!("{} {prefix}Bytes", four_columns(value)))
    }
}

/// Bits a second with a unit of a power of 1000: `15.7 Gbits/sec`, ` 105 Mbits/sec`.
#[derive(Clone, Copy, Debug)]
pub struct Bitrate(pub f64);

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, prefix) = scaled(self.0, 1000.0);
        f.pad(&format!("{} {prefix}bits/sec", four_columns(value)))
    }
}

/// A latency in nanoseconds with three digits: `812 ns`, `11.9 us`, `2.04 ms`, `1.50 s`.
#[derive(Clone, Copy, Debug)]
pub struct Latency(pub f64);

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        let mut units = ["ns", "us", "ms", "s"].into_iter();
        let mut unit = units.next().unwrap_or_default();
        for next in units {
            // what would be rounded to 1000 belongs to the next unit
            if value < 999.5 {
                break;
            }
            (value, unit) = (value / 1000.0, next);
        }
        let whole = unit == "ns";
        let text = if whole { format!("{value:.0}") } else { four_columns(value) };
        f.pad(&format!("{} {unit}", text.trim_start()))
    }
}

/// A number of events a second: `81234/sec`, `12.5/sec`.
#[derive(Clone, Copy, Debug)]
pub struct PerSecond(pub f64);

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.0 < 99.95 { 1 } else { 0 };
        f.pad(&format!("{:.decimals$}/sec", self.0))
    }
}

/// A share in percent with as many digits as say something: `0%`, `0.013%`, `2.6%`.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // two significant digits
        let decimals = match self.0.abs() {
            value if value >= 9.95 => 0,
            value if value >= 0.995 => 1,
            value if value >= 0.099_5 => 2,
            value if value >= 0.009_95 => 3,
            _ => 5,
        };
        let text = format!("{:.decimals$}", self.0);
        let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.pad(&format!("{text}%"))
    }
}

/// Brings a value below `step` of some unit, up to tera.
fn scaled(value: f64, step: f64) -> (f64, &'static str) {
    let (mut value, mut prefix) = (value, "");
    for next in ["K", "M", "G", "T"] {
        if value < step {
            break;
        }
        (value, prefix) = (value / step, next);
    }
    (value, prefix)
}

/// Three significant digits, or all before the point, in four columns.
fn four_columns(value: f64) -> String {
    // the limits are those at which rounding would add a digit
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:4.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // What iperf3 3.12 printed for such numbers.
    #[test]
    fn figures_read_like_those_of_iperf3() {
        assert_eq!(Transfer(0).to_string(), "0.00 Bytes");
        assert_eq!(Transfer(131_072).to_string(), " 128 KBytes");
        assert_eq!(Transfer(1_277_952).to_string(), "1.22 MBytes");
        assert_eq!(Transfer(10 << 20).to_string(), "10.0 MBytes");
        assert_eq!(Transfer(1009 << 20).to_string(), "1009 MBytes");
        assert_eq!(Transfer(u64::MAX).to_string(), "16777216 TBytes");
        assert_eq!(Bitrate(10_222_870.18).to_string(), "10.2 Mbits/sec");
        assert_eq!(Bitrate(4_068_385_156.98).to_string(), "4.07 Gbits/sec");
        assert_eq!(Bitrate(0.0).to_string(), "0.00 bits/sec");
        assert_eq!(Percent(0.0).to_string(), "0%");
        assert_eq!(Percent(100.0).to_string(), "100%");
        assert_eq!(Percent(2.597).to_string(), "2.6%");
        assert_eq!(Percent(0.0130).to_string(), "0.013%");
        assert_eq!(Percent(1.0).to_string(), "1%");
    }

    #[test]
    fn latencies_keep_three_digits() {
        let shown = |nanos| Latency(nanos).to_string();
        assert_eq!(shown(0.0), "0 ns");
        assert_eq!(shown(812.4), "812 ns");
        assert_eq!(shown(999.6), "1.00 us");
        assert_eq!(shown(11_940.0), "11.9 us");
        assert_eq!(shown(2_040_000.0), "2.04 ms");
        assert_eq!(shown(3_600e9), "3600 s");
        assert_eq!(PerSecond(81_234.4).to_string(), "81234/sec");
        assert_eq!(PerSecond(12.54).to_string(), "12.5/sec");
    }
}
