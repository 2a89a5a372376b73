//! Sizes, rates, spans and chances as people write them: parse and Display, each the other's inverse.
//!
//! `k M G T` are decimal, `Ki Mi Gi Ti` binary, a trailing `B` changes nothing; `10M` as a rate is bytes per second,
//! `100Mbit` bits per second; a plain number as a span is seconds, `us ms s m h d` are accepted. Fractions are exact
//! (`1.5G` is 1500000000) and what is left below one byte or one nanosecond is cut off.
//!
//! Display prints the exact value for a script; `human` prints three significant digits for a person.

mod chance;
mod correction;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use chance::Chance;
use correction::{RATE, SIZE, SPAN};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes per second, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A length of time; parsed ones are at most a hundred years, so that adding one to a clock cannot overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Why a word is no size, rate or span: one sentence, and the corrected spelling where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuantity {
    /// Lower case, no full stop; never holds what was typed.
    pub cause: String,
    /// What to type instead.
    pub hint: Option<String>,
}

impl fmt::Display for BadQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for BadQuantity {}

impl FromStr for Size {
    type Err = BadQuantity;

    /// # Errors
    /// [`BadQuantity`] for a malformed number, an unknown unit, and what does not fit 64 bits.
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        parse_size(text).map(Size).map_err(|cause| SIZE.explain(cause, text))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(f, self.0, SIZES)
    }
}

impl Size {
    /// For a person: `512 B`, `1.20 GiB`; binary units, three significant digits.
    pub fn human(self) -> String {
        // What is at or above this would be rounded to 1024 of its unit.
        const NEXT: f64 = 1023.5;
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= NEXT && unit + 1 < HUMAN.len() {
            value /= 1024.0;
            unit += 1;
        }
        if unit == 0 { format!("{} B", self.0) } else { format!("{} {}", three_digits(value), HUMAN[unit]) }
    }
}

impl Size {
    /// For a person who goes on from there: `512 B`, `1.20 MiB (1258291 bytes)`.
    pub fn told(self) -> String {
        match self.0 {
            0..1024 => self.human(),
            exact => format!("{} ({exact} bytes)", self.human()),
        }
    }
}

impl FromStr for Rate {
    type Err = BadQuantity;

    /// # Errors
    /// As for [`Size`], and for 0, which would never move a byte.
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        parse_rate(text).map(Rate).map_err(|cause| RATE.explain(cause, text))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(f, self.0, SIZES)
    }
}

impl Rate {
    /// What `bytes` in `elapsed` come to; 0 where no time has passed.
    pub fn measured(bytes: u64, elapsed: Duration) -> Self {
        let nanos = elapsed.as_nanos();
        let per_second = (u128::from(bytes) * 1_000_000_000).checked_div(nanos).unwrap_or(0);
        Rate(u64::try_from(per_second).unwrap_or(u64::MAX))
    }

    /// For a person: `1.20 GiB/s`.
    pub fn human(self) -> String {
        format!("{}/s", Size(self.0).human())
    }
}

impl FromStr for Span {
    type Err = BadQuantity;

    /// # Errors
    /// [`BadQuantity`] for a malformed number, an unknown unit, and more than a hundred years.
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let span = |nanos| Span(Duration::from_nanos(nanos));
        parse_span(text).map(span).map_err(|cause| SPAN.explain(cause, text))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if !nanos.is_multiple_of(1_000) {
            return write!(f, "{}.{:03}us", nanos / 1_000, nanos % 1_000);
        }
        match u64::try_from(nanos) {
            Ok(0) => f.write_str("0s"),
            Ok(nanos) => write_exact(f, nanos, SPANS),
            Err(_) => write!(f, "{}us", nanos / 1_000),
        }
    }
}

impl Span {
    /// For a person, say as elapsed time: `350 us`, `12.3 ms`, `1.23 s`, `1m 23s`, `2h 5m`, `3d 4h`.
    pub fn human(self) -> String {
        // From here on three digits of seconds would read "60.0 s".
        const MINUTE: f64 = 59.95;
        let seconds = self.0.as_secs_f64();
        if seconds < 0.000_999_5 {
            return format!("{} us", (seconds * 1e6).round());
        }
        if seconds < 0.999_5 {
            return format!("{} ms", three_digits(seconds * 1e3));
        }
        if seconds < MINUTE {
            return format!("{} s", three_digits(seconds));
        }
        let whole = self.0.as_secs() + u64::from(self.0.subsec_millis() >= 500);
        let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
        match (days, hours) {
            (0, 0) => format!("{minutes}m {}s", whole % 60),
            (0, _) => format!("{hours}h {minutes}m"),
            _ => format!("{days}d {hours}h"),
        }
    }
}

fn parse_size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = Number::split(text)?;
    let factor = lookup(SIZES, unit.strip_suffix('B').unwrap_or(unit)).ok_or(NO_SIZE_UNIT)?;
    number.times(factor, 1).ok_or("it is too large")
}

fn parse_rate(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = Number::split(text)?;
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let (prefix, divisor) = match unit.strip_suffix("bit") {
        Some(prefix) => (prefix, 8),
        None => (unit.strip_suffix('B').unwrap_or(unit), 1),
    };
    let factor = lookup(SIZES, prefix).ok_or(NO_RATE_UNIT)?;
    match number.times(factor, divisor) {
        None => Err("it is too large"),
        Some(0) => Err("a rate is at least one byte per second"),
        Some(rate) => Ok(rate),
    }
}

fn parse_span(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = Number::split(text)?;
    let unit = if unit.is_empty() { "s" } else { unit };
    let factor = lookup(SPANS, unit).ok_or("the unit is not one of us ms s m h d")?;
    number.times(factor, 1).filter(|nanos| *nanos <= LONGEST).ok_or("it is longer than a hundred years")
}

/// A decimal number: `fraction / 10^digits` beside the whole part.
struct Number {
    whole: u64,
    fraction: u64,
    digits: u32,
}

impl Number {
    /// Splits `1.5Gi` into the number and the unit.
    fn split(text: &str) -> Result<(Number, &str), &'static str> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err("a digit has to follow the point"),
            Some((whole, fraction)) => (whole, fraction),
            None if number.is_empty() => return Err("it does not begin with a number"),
            None => (number, ""),
        };
        if fraction.contains('.') || fraction.len() > 18 {
            return Err("the number has more than one point or too many digits");
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| "it is too large")? };
        let digits = fraction.len() as u32;
        let fraction = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| "it is too large")? };
        Ok((Number { whole, fraction, digits }, unit))
    }

    /// The number times `factor / divisor` (at most 8), rounded down; `None` where it does not fit.
    fn times(&self, factor: u64, divisor: u64) -> Option<u64> {
        let scale = 10u128.pow(self.digits);
        let whole = u128::from(self.whole) * u128::from(factor);
        // 2^67 * 10^18 and the fraction's share still fit 128 bits.
        if whole > u128::from(u64::MAX) * 8 {
            return None;
        }
        let total = whole * scale + u128::from(self.fraction) * u128::from(factor);
        u64::try_from(total / (scale * u128::from(divisor))).ok()
    }
}

fn lookup(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

/// The shortest exact spelling: 1073741824 is `1Gi`, 1500000 `1500k`, 1234 `1234`.
fn write_exact(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = units.iter().filter(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let spelled = exact.map(|(name, factor)| format!("{}{name}", value / factor));
    f.write_str(&spelled.min_by_key(String::len).unwrap_or_else(|| value.to_string()))
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

const HUMAN: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

const NO_SIZE_UNIT: &str = "the unit is not one of k M G T Ki Mi Gi Ti";
const NO_RATE_UNIT: &str = "the unit is not one of k M G T Ki Mi Gi Ti, or one of these with bit";

/// `K` comes last: it is read as `k`, and never written.
const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("K", 1_000),
];

/// In nanoseconds; seconds first, for a number of them is the most usual.
const SPANS: &[(&str, u64)] = &[
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// A hundred Julian years in nanoseconds.
const LONGEST: u64 = 36_525 * 86_400_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_rates_and_spans_mean_what_the_manual_says() {
        for (text, bytes) in
            [("0", 0), ("64k", 64_000), ("64K", 64_000), ("1Ki", 1024), ("1.5G", 1_500_000_000), ("2TiB", 2 << 40)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for (text, rate) in [
            ("10M", 10_000_000),
            ("100Mbit", 12_500_000),
            ("100Mbit/s", 12_500_000),
            ("1.5MB/s", 1_500_000),
            ("4KiB/s", 4096),
            ("9bit", 1),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for (text, ms) in [("5", 5_000), ("0.5s", 500), (".5", 500), ("250ms", 250), ("1500us", 1), ("2m", 120_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_millis(), ms, "{text}");
        }
    }

    #[test]
    fn a_wrong_spelling_is_answered_with_the_right_one() {
        let hint = |text: &str| text.parse::<Size>().unwrap_err().hint;
        for (text, right) in [("1,5G", "1.5G"), ("10m", "10M"), ("10 M", "10M"), ("1,000", "1000"), ("3 bytes", "3B")] {
            assert_eq!(hint(text).as_deref(), Some(right), "{text}");
        }
        for text in ["", "M", "-1", "1..2", "5.", "10X", "99999999999T", "1e9", "\x1b[0m", "٣"] {
            assert_eq!(hint(text), None, "{text}");
        }
        let hint = |text: &str| text.parse::<Rate>().unwrap_err().hint;
        for (text, right) in [("10MBit", "10Mbit"), ("10Mb", "10Mbit"), ("1 Gbps", "1Gbit/s"), ("5 mib/s", "5MiB/s")] {
            assert_eq!(hint(text).as_deref(), Some(right), "{text}");
        }
        assert_eq!("0".parse::<Rate>().unwrap_err().to_string(), "a rate is at least one byte per second");
        assert!("7bit".parse::<Rate>().is_err());
        let hint = |text: &str| text.parse::<Span>().unwrap_err().hint;
        for (text, right) in [("5 sec", "5s"), ("5S", "5s"), ("2 Minutes", "2m"), ("0,5", "0.5"), ("3 ms", "3ms")] {
            assert_eq!(hint(text).as_deref(), Some(right), "{text}");
        }
        assert_eq!("101y".parse::<Span>().unwrap_err().to_string(), "the unit is not one of us ms s m h d");
        assert_eq!("36526d".parse::<Span>().unwrap_err().to_string(), "it is longer than a hundred years");
    }

    #[test]
    fn display_is_exact_and_short() {
        let shown = [1 << 30, 1_500_000, 1234, 0, 1_000_000].map(|n| Size(n).to_string());
        assert_eq!(shown, ["1Gi", "1500k", "1234", "0", "1M"]);
        let shown = [0, 1_500_000_000, 90_000_000_000, 1_234_567, 3_600_000_000_000]
            .map(|nanos| Span(Duration::from_nanos(nanos)).to_string());
        assert_eq!(shown, ["0s", "1500ms", "90s", "1234.567us", "1h"]);
    }

    #[test]
    fn people_get_three_digits_and_never_1024_of_a_unit() {
        let shown = [0, 512, 1023, 1024, 1_048_575, 1_288_490_189, u64::MAX].map(|n| Size(n).human());
        assert_eq!(shown, ["0 B", "512 B", "1023 B", "1.00 KiB", "1.00 MiB", "1.20 GiB", "16.0 EiB"]);
        let told = [0, 1023, 1024, 1_048_577].map(|n| Size(n).told());
        assert_eq!(told, ["0 B", "1023 B", "1.00 KiB (1024 bytes)", "1.00 MiB (1048577 bytes)"]);
        assert_eq!(Rate::measured(1 << 30, Duration::from_millis(500)).human(), "2.00 GiB/s");
        assert_eq!(Rate::measured(1, Duration::ZERO).human(), "0 B/s");
        let shown = [0, 350, 12_300, 999_600, 59_940_000, 59_960_000, 83_000_000, 7_530_000_000, 273_600_000_000]
            .map(|us| Span(Duration::from_micros(us)).human());
        assert_eq!(shown, ["0 us", "350 us", "12.3 ms", "1.00 s", "59.9 s", "1m 0s", "1m 23s", "2h 5m", "3d 4h"]);
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(bytes: u64, short in 0u64..5000, nanos in 0..=LONGEST) {
            for bytes in [bytes, short << 20, short * 1_000_000] {
                prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
                prop_assert_eq!(Rate(bytes | 1).to_string().parse(), Ok(Rate(bytes | 1)));
            }
            for nanos in [nanos, short * 1_000, short * 60_000_000_000] {
                let span = Span(Duration::from_nanos(nanos));
                prop_assert_eq!(span.to_string().parse(), Ok(span));
            }
        }

        #[test]
        fn no_text_panics_and_every_hint_is_legal(text in "[0-9.,]{0,25}[ a-zA-Z/µ]{0,6}|.{0,30}") {
            if let Err(BadQuantity { hint: Some(hint), .. }) = text.parse::<Size>() {
                prop_assert!(hint.parse::<Size>().is_ok());
            }
            if let Err(BadQuantity { hint: Some(hint), .. }) = text.parse::<Rate>() {
                prop_assert!(hint.parse::<Rate>().is_ok());
            }
            if let Err(BadQuantity { hint: Some(hint), .. }) = text.parse::<Span>() {
                prop_assert!(hint.parse::<Span>().is_ok());
            }
        }
    }
}
