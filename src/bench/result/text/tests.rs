use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::bench::result::testing::{requests, run};
use crate::bench::result::verdict::{Thresholds, failure};
use crate::bench::result::{Exchange, Latency};
use crate::bench::result::{json, series::Series};

/// All that is said of a run.
fn told(results: &Results) -> String {
    let mut text = opening(&results.setup);
    for (number, each) in results.intervals.iter().enumerate() {
        text = text + "\n" + &interval(&results.setup, each, number == 0);
    }
    text + "\n" + &summary(results)
}

#[track_caller]
fn assert_told(results: &Results, wanted: &str) {
    let told = told(results);
    assert_eq!(told, wanted.trim_matches('\n'), "\n{told}");
    assert!(told.lines().all(|line| line.trim_end() == line), "trailing blanks");
}

// What iperf3 3.12 prints of such a run, with the round trips behind it and two lines below.
#[test]
fn tcp_reads_like_iperf3() {
    assert_told(
        &run(Protocol::Tcp, Direction::Forward, 1),
        "
Connecting to host 127.0.0.1, port 5201
[  5] local 127.0.0.1 port 44772 connected to 127.0.0.1 port 5201
[ ID] Interval           Transfer     Bitrate         Retr  Cwnd         RTT
[  5]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec    3   3.37 MBytes    153 us
[  5]   1.00-2.00   sec  59.6 MBytes   500 Mbits/sec    3   3.37 MBytes    153 us
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Retr
[  5]   0.00-2.00   sec   119 MBytes   500 Mbits/sec    6             sender
[  5]   0.00-2.01   sec   119 MBytes   498 Mbits/sec                  receiver
CPU Utilization: local/sender 13.4% (0.0%u/13.4%s), remote/receiver 10.8% (0.1%u/10.7%s)
Congestion control: bbr (sender), bbr (receiver)
",
    );
}

// What stands on TCP has its columns, above each figure of them.
#[test]
fn layers_over_tcp_read_as_it_does() {
    let plain = told(&run(Protocol::Tcp, Direction::Forward, 1));
    for name in ["tls", "ws", "wss"] {
        assert_eq!(told(&run(Protocol::Other(name), Direction::Forward, 1)), plain);
    }
}

#[test]
fn both_directions_have_their_roles_and_sums() {
    let mut both = run(Protocol::Tcp, Direction::Both, 2);
    both.cpu[1] = None;
    both.intervals.truncate(2);
    both.intervals[0].is_omitted = true;
    let told = told(&both);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[5], "[ ID][Role] Interval           Transfer     Bitrate         Retr  Cwnd         RTT");
    assert_eq!(
        lines[6..13],
        [
            "[  5][TX-C]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec    3   3.37 MBytes    153 us  (omitted)",
            "[  7][TX-C]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec    3   3.37 MBytes    153 us  (omitted)",
            "[SUM][TX-C]   0.00-1.00   sec   119 MBytes  1.00 Gbits/sec    6  (omitted)",
            "[  9][RX-C]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec  (omitted)",
            "[ 11][RX-C]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec  (omitted)",
            "[SUM][RX-C]   0.00-1.00   sec   119 MBytes  1.00 Gbits/sec  (omitted)",
            RULE,
        ]
    );
    assert_eq!(lines.iter().filter(|line| **line == RULE).count(), 2);
    assert_eq!(lines.iter().filter(|line| line.starts_with("[SUM]")).count(), 8);
    assert!(told.contains("\nCPU Utilization: local 13.4% (0.0%u/13.4%s)\n"));
}

#[test]
fn datagrams_are_told_apart() {
    assert_told(
        &Results { cpu: [None; 2], ..run(Protocol::Udp, Direction::Forward, 1) },
        "
Connecting to host 127.0.0.1, port 5201
[  5] local 127.0.0.1 port 44772 connected to 127.0.0.1 port 5201
[ ID] Interval           Transfer     Bitrate         Total Datagrams
[  5]   0.00-1.00   sec  59.6 MBytes   500 Mbits/sec  500
[  5]   1.00-2.00   sec  59.6 MBytes   500 Mbits/sec  500
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Jitter    Lost/Total Datagrams
[  5]   0.00-2.00   sec   119 MBytes   500 Mbits/sec  0.000 ms  0/500 (0%)  sender
[  5]   0.00-2.01   sec   119 MBytes   498 Mbits/sec  0.008 ms  10/500 (2%)  receiver
Datagrams: offered 510, sent 500, received 490, lost 10 (2%), out of order 2, late 0, duplicate 0
",
    );
}

#[test]
fn a_receiver_sees_the_loss_of_each_interval() {
    let told = told(&run(Protocol::Udp, Direction::Reverse, 1));
    assert!(told.contains("\nReverse mode, remote host 127.0.0.1 is sending\n"));
    assert!(told.contains("\n[  5]   1.00-2.00   sec  59.6 MBytes   500 Mbits/sec  0.008 ms  10/500 (2%)\n"));
    assert!(told.contains("\nCPU Utilization: local/receiver 13.4%"));
}

// A server knows its own half only, and says no more.
#[test]
fn a_server_tells_its_own_half() {
    let mut results = run(Protocol::Tcp, Direction::Reverse, 1);
    results.setup.is_server = true;
    for total in &mut results.totals {
        (total.sent, total.is_sender) = (None, false);
    }
    let told = told(&results);
    assert!(told.starts_with("Accepted connection from 127.0.0.1, port 5201\n[  5] local"));
    assert!(told.contains("receiver") && !told.contains("  sender\n"));
}

#[test]
fn requests_are_told_by_their_latency() {
    let mut results = requests();
    results.setup.connections.clear();
    (results.cpu, results.congestion) = ([None; 2], [None, None]);
    assert_told(
        &results,
        "
Connecting to host 127.0.0.1, port 5201
[ ID] Interval           Requests     Rate          p50       p99       max
[  5]   0.00-1.00   sec  100          100/sec       50.0 us   99.0 us   100 us
[  5]   1.00-2.00   sec  100          100/sec       50.0 us   99.0 us   100 us
- - - - - - - - - - - - - - - - - - - - - - - - -
Requests: 100 answered in 1.00 sec, 100/sec
Latency         p50 50.0 us  p90 90.0 us  p99 99.0 us  p99.9 100 us  max 100 us (100 samples)
",
    );
}

#[test]
fn the_rest_is_said_below_the_table() {
    let Exchange { latency, .. } = requests().exchange.unwrap();
    let mut results = run(Protocol::Other("unix"), Direction::Forward, 1);
    results.latency = Latency { idle: Some(latency.clone()), loaded: Some(latency.clone()) };
    (results.corrupt_blocks, results.error) = (Some(1), Some("the server went away".into()));
    let told = told(&results);
    for line in [
        "stopped early: the server went away",
        "Latency idle    p50 50.0 us  p90 90.0 us  p99 99.0 us  p99.9 100 us  max 100 us (100 samples)",
        "Latency loaded  p50 50.0 us  p90 90.0 us  p99 99.0 us  p99.9 100 us  max 100 us (100 samples)",
        "Payload: 1 block was not as it was sent",
        "[  5]   0.00-2.00   sec   119 MBytes   500 Mbits/sec  sender",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n\n{told}");
    }
    let mut results = requests();
    results.setup.kind = Kind::Connections;
    results.exchange = Some(Exchange {
        transactions: 3,
        unanswered: 1,
        elapsed: Duration::from_secs(2),
        connecting: Some(latency.clone()),
        latency,
    });
    let told = summary(&results);
    assert!(told.contains("\nConnections: 3 answered in 2.00 sec, 1.5/sec, 1 unanswered\nConnect         p50 50.0 us"));
}

#[test]
fn percentiles_go_down_to_the_last_sample() {
    let mut histogram = Histogram::new();
    assert_eq!(percentiles("Latency", &histogram).lines().count(), 9);
    (1..=1000).for_each(|nanos| histogram.record(nanos));
    let table = percentiles("Latency", &histogram);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "Latency: percentile     latency      samples up to it");
    assert_eq!(lines[3], "         50              500 ns                 500");
    assert_eq!(lines[9], "         99.9            999 ns                 999");
    assert_eq!(lines[11], "         100            1.00 us                1000");
    assert_eq!(lines[12], "         mean 500 ns, standard deviation 289 ns, 1000 samples");
    assert_eq!(lines.len(), 13);
}

proptest! {
    // What the other end says of itself may be anything: it is told, and nothing overflows.
    #[test]
    fn any_figures_can_be_told(
        kind in 0usize..3, way in 0usize..3, streams in 1u32..3,
        bytes: u64, count: u64, nanos: u64, percent: f64,
    ) {
        let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Other("pipe")][kind].clone();
        let mut results = run(protocol, [Direction::Forward, Direction::Reverse, Direction::Both][way], streams);
        let span = Duration::from_nanos(nanos);
        for slice in results.intervals.iter_mut().flat_map(|interval| &mut interval.slices) {
            (slice.bytes, slice.start, slice.end) = (bytes, span, span / 2);
            slice.tcp.iter_mut().for_each(|tcp| (tcp.retransmits, tcp.congestion_window, tcp.rtt) = (count, bytes, span));
        }
        for side in results.totals.iter_mut().flat_map(|total| [&mut total.sent, &mut total.received]).flatten() {
            (side.bytes, side.elapsed) = (bytes, span);
            side.tcp.iter_mut().for_each(|tcp| tcp.retransmits = count);
            let counts = side.datagrams.iter_mut();
            counts.for_each(|it| (it.sent, it.lost, it.late, it.jitter) = (count, bytes, nanos, Some(Duration::MAX)));
        }
        results.cpu[1] = Some(Cpu { total: percent, user: -percent, system: f64::NAN });
        let mut series = Series::default();
        (0..3).for_each(|_| series.add(results.figures()));
        prop_assert!(told(&results).is_ascii() && series.text().is_ascii());
        let thresholds = Thresholds { min: Some(crate::units::Rate(bytes.max(1))), max_p99: Some(span), max_loss: None };
        let verdicts = thresholds.judge(&series.mean());
        prop_assert!(failure(&verdicts).is_some(), "no latency was measured");
        let object = json::whole(&results, &verdicts);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&object).is_ok());
    }
}

// The line after one that came late may have next to no time of its own.
#[test]
fn the_ends_of_a_slice_are_told_apart() {
    let mut slice = run(Protocol::Tcp, Direction::Forward, 1).intervals[0].slices[0].clone();
    slice.start = Duration::from_nanos(2_000_012_345);
    for nanos in [1, 500, 5_000, 49_000, 90_000, 300_000, 5_000_000, 1_000_000_000] {
        slice.end = slice.start + Duration::from_nanos(nanos);
        let span = span(&slice);
        let (start, end) = span.split_once('-').unwrap();
        assert_ne!(start.trim(), end.trim(), "{nanos}");
    }
}
