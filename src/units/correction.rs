//! The right spelling of a quantity written wrongly: a decimal comma, spaces, the unit in the wrong case or in words.

use super::{BadQuantity, SIZES, SPANS, parse_rate, parse_size, parse_span};

/// How one kind of quantity is written.
pub(super) struct Grammar {
    units: &'static [(&'static str, u64)],
    /// What may follow each unit.
    suffixes: &'static [&'static str],
    /// What people write, and what they mean.
    words: &'static [(&'static str, &'static str)],
    parse: fn(&str) -> Result<u64, &'static str>,
}

pub(super) const SIZE: Grammar = Grammar { units: SIZES, suffixes: &["", "B"], words: SIZE_WORDS, parse: parse_size };

pub(super) const RATE: Grammar =
    Grammar { units: SIZES, suffixes: &["", "B", "bit", "/s", "B/s", "bit/s"], words: RATE_WORDS, parse: parse_rate };

pub(super) const SPAN: Grammar = Grammar { units: SPANS, suffixes: &[""], words: SPAN_WORDS, parse: parse_span };

impl Grammar {
    /// The error for `text`, which `parse` refused for this cause; its hint is legal.
    pub(super) fn explain(&self, cause: &str, text: &str) -> BadQuantity {
        let joined: String = text.split_whitespace().collect();
        let joined = match joined.split_once(',') {
            // `1,000` groups thousands, `1,5` is a fraction.
            Some((whole, rest)) if rest.bytes().take_while(u8::is_ascii_digit).count() == 3 => format!("{whole}{rest}"),
            Some((whole, rest)) => format!("{whole}.{rest}"),
            None => joined,
        };
        let end = joined.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(joined.len());
        let (number, unit) = joined.split_at(end);
        let hint = format!("{number}{}", self.unit(unit));
        let hint = Some(hint).filter(|hint| hint != text && (self.parse)(hint).is_ok());
        let cause = if text.is_empty() { "it is empty" } else { cause };
        BadQuantity { cause: cause.to_owned(), hint }
    }

    /// The unit that was most likely meant.
    fn unit(&self, typed: &str) -> String {
        let known =
            || self.units.iter().flat_map(|(name, _)| self.suffixes.iter().map(move |end| format!("{name}{end}")));
        let meant =
            |typed: &str| self.words.iter().find(|(word, _)| *word == typed).map(|(_, right)| (*right).to_owned());
        if known().any(|name| name == typed) {
            return typed.to_owned();
        }
        let lower = typed.to_ascii_lowercase();
        let in_this_case = meant(typed).or_else(|| known().find(|name| name.eq_ignore_ascii_case(typed)));
        in_this_case.or_else(|| meant(&lower)).unwrap_or(lower)
    }
}

const SIZE_WORDS: &[(&str, &str)] = &[("byte", "B"), ("bytes", "B"), ("Mb", "MB"), ("Gb", "GB")];

/// A small `b` after a large prefix is how people write bits.
const RATE_WORDS: &[(&str, &str)] = &[
    ("kb", "kbit"),
    ("Kb", "kbit"),
    ("Mb", "Mbit"),
    ("Gb", "Gbit"),
    ("Mb/s", "Mbit/s"),
    ("Gb/s", "Gbit/s"),
    ("bps", "bit/s"),
    ("kbps", "kbit/s"),
    ("mbps", "Mbit/s"),
    ("gbps", "Gbit/s"),
    ("bits", "bit"),
];

const SPAN_WORDS: &[(&str, &str)] = &[
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("msec", "ms"),
    ("usec", "us"),
    ("\u{b5}s", "us"),
];
