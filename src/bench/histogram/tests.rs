use proptest::prelude::*;

use super::*;

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

/// The value of the nearest rank among sorted values.
fn exact(sorted: &[u64], percent: f64) -> u64 {
    let rank = percent / 100.0 * sorted.len() as f64;
    let rank = ((rank - rank * 1e-12).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

// Every value lies in the bucket that it is counted in, buckets meet without a gap, and none is wider than a thousandth.
#[test]
fn buckets_cover_everything_and_are_narrow() {
    for slot_number in 0..SLOTS - 1 {
        let (lowest, highest) = (lowest_in(slot_number), highest_in(slot_number));
        assert!(lowest <= highest);
        assert_eq!(highest + 1, lowest_in(slot_number + 1));
        assert!(highest - lowest <= lowest / 1000, "{lowest}..{highest}");
        if highest <= HIGHEST {
            assert_eq!((slot(lowest), slot(highest)), (slot_number, slot_number));
        }
    }
    assert!(slot(HIGHEST) < SLOTS && SLOTS * 8 <= 272 * 1024);
}

#[test]
fn nothing_recorded_is_told_as_nothing() {
    let empty = Histogram::new();
    assert_eq!((empty.count(), empty.min(), empty.max(), empty.percentile(99.0)), (0, 0, 0, 0));
    assert_eq!((empty.mean(), empty.deviation(), empty.buckets().count()), (0.0, 0.0, 0));
    assert_eq!(Histogram::from_json(&empty.to_json()), Ok(empty));
}

#[test]
fn known_data_gives_known_figures() {
    let values: Vec<u64> = (1..=1000).collect();
    let histogram = of(&values);
    assert_eq!(histogram.percentile(50.0), 500);
    assert_eq!(histogram.percentile(99.0), 990);
    assert_eq!(histogram.percentile(99.9), 999);
    assert_eq!((histogram.percentile(0.0), histogram.percentile(100.0)), (1, 1000));
    assert_eq!(histogram.mean(), 500.5);
    assert!((histogram.deviation() - 288.675).abs() < 0.001);
    assert_eq!(histogram.count_up_to(250), 250);
}

#[test]
fn more_than_an_hour_is_an_hour() {
    let histogram = of(&[u64::MAX]);
    assert_eq!((histogram.max(), histogram.percentile(50.0)), (HIGHEST, HIGHEST));
}

// A client that meant to ask every 10 ns and waited 45 ns for one answer left out three requests.
#[test]
fn what_was_left_out_is_put_in() {
    let mut corrected = Histogram::new();
    corrected.record_corrected(45, 10);
    assert_eq!(corrected, of(&[45, 35, 25, 15]));
    let mut free = Histogram::new();
    free.record_corrected(45, 0);
    free.record_corrected(45, 46);
    assert_eq!(free, of(&[45, 45]));
}

// An hour's stall of a client that asks every nanosecond is not corrected one by one.
#[test]
fn a_correction_without_bounds_is_quick() {
    let mut histogram = Histogram::new();
    histogram.record_corrected(u64::MAX, 1);
    assert_eq!((histogram.count(), histogram.min(), histogram.max()), (HIGHEST, 1, HIGHEST));
    assert!((histogram.mean() - HIGHEST as f64 / 2.0).abs() < 2.0);
    let half = histogram.percentile(50.0);
    assert!(half.abs_diff(HIGHEST / 2) <= HIGHEST / 2000, "{half}");
    assert_eq!(histogram.buckets().map(|(_, _, count)| count).sum::<u64>(), HIGHEST);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let good = of(&[100, 5000, 5001, 1_000_000]).to_json();
    assert!(Histogram::from_json(&good).is_ok());
    for (from, to) in [
        ("\"ns\"", "\"us\""),
        ("\"digits\":3", "\"digits\":2"),
        ("\"min\":100", "\"min\":101"),
        ("\"max\":1000000", "\"max\":2000000"),
        ("\"max\":1000000", "\"max\":-1"),
        ("[100,1", "[100,0"),
        ("[100,1", "[100,18446744073709551615"),
        ("[100,1", "[99999999,1"),
        ("[100,1,", "[100,"),
        ("\"sum\":1010101", "\"sum\":18446744073709551614"),
        ("\"sum\":1010101", "\"sum\":1"),
        ("{", "[{"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(Histogram::from_json(&bad).is_err(), "{bad}");
    }
    assert!(Histogram::from_json(&format!("{good}{}", " ".repeat(LONGEST))).is_err());
}

// The fullest histogram that a measurement can give still fits into what is read.
#[test]
fn a_full_histogram_fits() {
    let mut full = Histogram::new();
    for slot in 0..=slot(HIGHEST) {
        (0..3).for_each(|_| full.record(lowest_in(slot)));
    }
    let text = full.to_json();
    assert!(text.len() < LONGEST / 2, "{}", text.len());
    assert_eq!(Histogram::from_json(&text).map(|read| read.counts), Ok(full.counts));
}

/// Values of all magnitudes.
fn values(most: usize) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((0u32..42, any::<u64>()).prop_map(|(bits, any)| any & ((2u64 << bits) - 1)), 1..most)
}

proptest! {
    // Percentiles are those of the sorted values, up to a thousandth too much; the ends and the moments are exact.
    #[test]
    fn percentiles_are_those_of_sorted_data(values in values(400), percents in prop::collection::vec(0.0f64..=100.0, 5)) {
        let mut sorted: Vec<u64> = values.iter().map(|value| (*value).min(HIGHEST)).collect();
        sorted.sort_unstable();
        let histogram = of(&values);
        prop_assert_eq!(histogram.count(), sorted.len() as u64);
        prop_assert_eq!((histogram.min(), histogram.max()), (sorted[0], sorted[sorted.len() - 1]));
        for percent in percents.into_iter().chain([0.0, 50.0, 90.0, 99.0, 99.9, 100.0]) {
            let (told, exact) = (histogram.percentile(percent), exact(&sorted, percent));
            prop_assert!(told >= exact && told - exact <= exact / 1000, "{} %: {} not {}", percent, told, exact);
        }
        let count = sorted.len() as f64;
        let mean = sorted.iter().map(|value| *value as f64).sum::<f64>() / count;
        prop_assert!((histogram.mean() - mean).abs() <= mean * 1e-9);
        let variance = sorted.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / count;
        prop_assert!((histogram.deviation() - variance.sqrt()).abs() <= mean * 1e-5 + 1e-3);
    }

    // Merging is recording everything in one, in any order, and a cleared one is as new.
    #[test]
    fn merged_is_as_recorded_together(a in values(100), b in values(100)) {
        let (mut left, right) = (of(&a), of(&b));
        let mut other = right.clone();
        other.merge(&left);
        left.merge(&right);
        left.merge(&Histogram::new());
        prop_assert_eq!(&left, &of(&[a, b].concat()));
        prop_assert_eq!(&left, &other);
        left.clear();
        prop_assert_eq!(left, Histogram::new());
    }

    // The correction by buckets is the one by steps.
    #[test]
    fn both_ways_of_correcting_agree(interval in 1u64..200, steps in FEW + 1..FEW * 4, rest in 0u64..200) {
        let rest = rest % interval;
        let value = rest + interval * (steps + 1);
        let mut corrected = Histogram::new();
        corrected.record_corrected(value, interval);
        let mut one_by_one = Histogram::new();
        (1..=steps + 1).for_each(|number| one_by_one.record(rest + number * interval));
        prop_assert_eq!(corrected, one_by_one);
    }

    #[test]
    fn what_crosses_the_wire_comes_back(values in values(200)) {
        let histogram = of(&values);
        let read = Histogram::from_json(&histogram.to_json()).unwrap();
        prop_assert_eq!(&read.counts, &histogram.counts);
        prop_assert_eq!(read.quantiles(), Quantiles { mean: read.mean(), ..histogram.quantiles() });
        prop_assert!((read.mean() - histogram.mean()).abs() <= histogram.mean() * 1e-9);
        prop_assert!((read.deviation() - histogram.deviation()).abs() <= histogram.mean() * 1e-4 + 1e-3);
    }

    // Whatever a peer sends, reading it neither panics nor gives something that contradicts itself.
    #[test]
    fn any_text_is_read_or_refused(counts in prop::collection::vec(0u64..40_000, 0..8), min in 0u64..5000, max: u64, sum: u64) {
        let text = format!(
            r#"{{"unit":"ns","digits":3,"min":{min},"max":{max},"sum":{sum},"squares":1e300,"counts":{counts:?}}}"#
        );
        if let Ok(read) = Histogram::from_json(&text) {
            prop_assert_eq!(read.buckets().map(|(_, _, count)| count).sum::<u64>(), read.count());
            prop_assert!(read.percentile(50.0) <= read.max() && read.deviation() >= 0.0);
        }
    }
}
