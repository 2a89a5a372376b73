//! A histogram as JSON, to cross from one haul to the other: the sums, and the buckets that hold something.
//!
//! ```json
//! {"unit":"ns","digits":3,"min":11200,"max":90112,"sum":1480000,"squares":2.4e10,"counts":[4610,3,17,1]}
//! ```
//!
//! `counts` has two numbers a bucket: how far its index is from the bucket before (the first: from 0), and its count.

use serde::{Deserialize, Serialize};

use super::{HIGHEST, Histogram, SLOTS, slot};

/// What another haul sent is no histogram: a sentence without what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHistogram(&'static str);

impl std::fmt::Display for BadHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadHistogram {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    unit: String,
    digits: u8,
    min: u64,
    max: u64,
    sum: u128,
    squares: f64,
    counts: Vec<u64>,
}

impl Histogram {
    /// As JSON text, without a newline.
    pub fn to_json(&self) -> String {
        let mut counts = Vec::new();
        let mut before = 0;
        for (lowest, _, count) in self.buckets() {
            let at = slot(lowest);
            counts.extend([(at - before) as u64, count]);
            before = at;
        }
        let wire = Wire {
            unit: "ns".into(),
            digits: DIGITS,
            min: self.min(),
            max: self.max,
            // more than 580 years of latency are no measurement, and not every reader has 128 bits
            sum: self.sum.min(u128::from(u64::MAX)),
            squares: self.squares as f64,
            counts,
        };
        // a struct of numbers always serialises
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// From JSON text of at most [`LONGEST`] bytes, of which nothing is believed.
    ///
    /// # Errors
    /// [`BadHistogram`] for what is longer, no JSON, of another layout, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, BadHistogram> {
        if text.len() > LONGEST {
            return Err(BadHistogram("the histogram is too long"));
        }
        let wire: Wire = serde_json::from_str(text).map_err(|_| BadHistogram("the histogram is malformed"))?;
        if wire.unit != "ns" || wire.digits != DIGITS || !wire.counts.len().is_multiple_of(2) {
            return Err(BadHistogram("the histogram is of an unknown layout"));
        }
        let mut histogram = Histogram::new();
        let mut at = 0usize;
        for (number, pair) in wire.counts.chunks_exact(2).enumerate() {
            let step = usize::try_from(pair[0]).unwrap_or(SLOTS);
            at = at.saturating_add(step);
            if at >= SLOTS || pair[1] == 0 || (number > 0 && step == 0) {
                return Err(CONTRADICTION);
            }
            histogram.counts[at] = pair[1];
            histogram.count = histogram.count.saturating_add(pair[1]);
        }
        if histogram.count > MOST {
            return Err(BadHistogram("the histogram counts more than can be measured"));
        }
        if histogram.count == 0 {
            return Ok(histogram);
        }
        let first = histogram.counts.iter().position(|count| *count > 0);
        let fits = wire.min <= wire.max
            && wire.max <= HIGHEST
            && first == Some(slot(wire.min))
            && at == slot(wire.max)
            && wire.squares.is_finite()
            && wire.squares >= 0.0;
        if !fits {
            return Err(CONTRADICTION);
        }
        (histogram.min, histogram.max) = (wire.min, wire.max);
        let mean = wire.sum / u128::from(histogram.count);
        if mean > u128::from(wire.max) || (mean < u128::from(wire.min) && wire.sum != u128::from(u64::MAX)) {
            return Err(CONTRADICTION);
        }
        (histogram.sum, histogram.squares) = (wire.sum, wire.squares as u128);
        Ok(histogram)
    }
}

const CONTRADICTION: BadHistogram = BadHistogram("the histogram contradicts itself");
const DIGITS: u8 = 3;
/// The most values of one: a thousand million a second for a week and more. It leaves room to add to them.
const MOST: u64 = 1 << 50;

/// The longest text that is read, in bytes: every bucket used, with counts of ten digits.
pub const LONGEST: usize = 512 * 1024;
