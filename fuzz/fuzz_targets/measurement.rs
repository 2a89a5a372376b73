//! Any bytes as what bench reads of others: a histogram, an earlier run, datagrams with iperf3's header. Nothing panics,
//! what is refused is refused in a plain sentence, and what is taken does not contradict itself.
#![no_main]

use std::time::Duration;

use haul::bench::histogram::Histogram;
use haul::bench::plot::Canvas;
use haul::bench::reception::{Counters, Reception};
use haul::bench::result::baseline::Baseline;
use haul::bench::result::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        histogram(text);
    }
    match Baseline::parse(input) {
        Ok(baseline) => assert!(baseline.figures.lost_percent.is_none_or(|lost| (0.0..=100.0).contains(&lost))),
        Err(sentence) => assert!(sentence.is_ascii() && !sentence.contains(char::is_control)),
    }
    reception(input);
});

fn histogram(input: &str) {
    let Ok(histogram) = Histogram::from_json(input) else { return };
    let counted: u64 = histogram.buckets().map(|(_, _, count)| count).sum();
    assert_eq!(counted, histogram.count());
    assert!(histogram.percentile(50.0) <= histogram.percentile(99.9) && histogram.percentile(100.0) == histogram.max());
    let again = Histogram::from_json(&histogram.to_json()).expect("what was read can be read again");
    assert_eq!(again.quantiles(), histogram.quantiles());
    let _ = text::percentiles("latency", &histogram);
    let canvas = Canvas::new(Some(80), |_| None).expect("there is room");
    let _ = canvas.latencies(&histogram);
    let mut both = again;
    both.merge(&histogram);
    assert_eq!(both.max(), histogram.max());
}

/// Takes the input as datagrams of one length after the other.
fn reception(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else { return };
    let counters = if how & 1 == 0 { Counters::Short } else { Counters::Long };
    let (mut reception, mut received) = (Reception::new(counters), 0);
    for (at, datagram) in rest.chunks(usize::from(how >> 1) + 1).enumerate() {
        reception.came(datagram, datagram.len(), Duration::from_millis(at as u64));
        received += reception.interval().received.unwrap_or(0);
    }
    let total = reception.total();
    assert_eq!(total.received, Some(received));
    assert_eq!(total.sent, total.lost + received);
    assert!((0.0..=100.0).contains(&total.loss_percent()));
}
