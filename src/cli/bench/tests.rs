//! Command lines of `haul bench`, and the plans that they make.

use std::time::Duration;

use super::super::plan;
use super::*;
use crate::plan::bench::{Direction, Trip, Until};

fn parsed(line: &str) -> Result<Bench, Error> {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    match plan(words.map(OsString::from).collect())? {
        Request::Run(Plan::Bench(plan)) => Ok(*plan),
        other => panic!("{other:?}"),
    }
}

fn client(line: &str) -> Client {
    match parsed(line).unwrap().role {
        Role::Client(client) => *client,
        other => panic!("{other:?}"),
    }
}

fn serving(line: &str) -> Server {
    match parsed(line).unwrap().role {
        Role::Server(server) => *server,
        other => panic!("{other:?}"),
    }
}

fn refused(line: &str) -> String {
    let error = parsed(line).unwrap_err();
    assert_eq!(error.status().code(), 2, "{line}");
    error.line()
}

#[test]
fn the_port_is_iperf3s_unless_another_is_given() {
    for (line, expected) in [
        ("host", "tcp:host:5201"),
        ("-c host", "tcp:host:5201"),
        ("-c host -p 7", "tcp:host:7"),
        ("host 7", "tcp:host:7"),
        ("host:7", "tcp:host:7"),
        ("::1", "tcp:::1/5201"),
        ("unix:/s", "unix:/s"),
        ("127.0.0.1 -p 9", "tcp:127.0.0.1:9"),
    ] {
        assert_eq!(client(line).address().to_string(), expected, "{line}");
    }
    for (line, expected) in
        [("-s", "tcp:5201"), ("-s -p 7", "tcp:7"), ("-s 7", "tcp:7"), ("-s ::1", "tcp:::1/5201"), ("-s @x", "unix:@x")]
    {
        assert_eq!(serving(line).at.to_string(), expected, "{line}");
    }
}

#[test]
fn iperf3s_letters_take_iperf3s_units() {
    let plan = client("host -t 2 -P 3 -R -b 10M -l 64K -w 1M -M 1000 -N -C reno -S 0x20 -O 1 -Z -i 0.5");
    let load = &plan.load;
    assert_eq!((load.rate, load.block, load.streams), (Some(10_000_000), Some(65_536), 3));
    assert_eq!((load.direction, load.omit), (Direction::Down, Duration::from_secs(1)));
    // both ends begin to count together, and a server is told of whole seconds
    assert_eq!(client("host -O 0.5").load.omit, Duration::from_secs(1));
    assert_eq!(plan.interval, Some(Duration::from_millis(500)));
    let options = &plan.address().options;
    assert_eq!((options.rcvbuf, options.sndbuf, options.mss), (Some(1 << 20), Some(1 << 20), Some(1000)));
    assert_eq!((options.nodelay, options.dscp), (true, Some(8)));
    assert_eq!(options.congestion.as_deref(), Some("reno"));
    assert_eq!(client("host -n 2M").load.until, Until::Bytes(2 << 20));
    assert_eq!(client("host -k 5").load.until, Until::Blocks(5));
    assert_eq!(client("host -b 1.5G").load.rate, Some(1_500_000_000));
    assert_eq!(client("host -i 0").interval, None);
}

// What would be measured as something else than was asked for, or would do nothing, is refused.
#[test]
fn what_cannot_be_done_is_refused() {
    for line in [
        "host --rr=10M",
        "host --rr=100G",
        "host --crr=0",
        "host -n 0",
        "host -k 0",
        "host -w 100T",
        "host -S 0x20 --dscp ef",
        "host 7 -p 8",
        "host:7 -p 8",
        "-c host:7 -p 8",
        "-s 7 -p 8",
        "host --stats",
        "host --progress",
        "::1:5715",
    ] {
        refused(line);
    }
    assert_eq!(parsed("::1:5715").unwrap_err().advice(), Some("::1/5715"));
    assert_eq!(client("--local -6").address().to_string(), "tcp,6:::1/0");
    assert_eq!(client("::1:571").address().to_string(), "tcp:::1:571/5201");
    assert_eq!(client("--rr=1M host").load.trip.map(|trip| trip.size), Some(1 << 20));
}

#[test]
fn what_haul_adds_reaches_the_plan() {
    let load = |line: &str| client(line).load;
    assert_eq!((load("host -b 10M/5").rate, load("host -b 10M/5").burst), (Some(10_000_000), 5));
    assert_eq!((load("host -b 10M").burst, load("host").burst), (1, 1));
    assert_eq!(client("host --rr").load.trip, Some(Trip { size: 64, connects: false }));
    assert_eq!(client("host --crr=1K").load.trip, Some(Trip { size: 1024, connects: true }));
    assert!(client("host --check --bidir").load.check);
    assert!(parsed("host --rr --percentiles").unwrap().print.percentiles);
    assert!(matches!(client("--local").peer, Peer::Here { pipes: false, .. }));
    assert!(matches!(client("--local pipe").peer, Peer::Here { pipes: true, .. }));
    assert!(client("--local unix").address().to_string().starts_with("unix:@haul-bench-"));
    assert_eq!(client("host --via 127.0.0.1:9").via.unwrap().to_string(), "tcp:127.0.0.1:9");
    let server = serving("-s -1 --max-clients 3 --max-time 1m --max-rate 1Gbit");
    assert_eq!((server.once, server.most_clients, server.most_time), (true, Some(3), Some(Duration::from_secs(60))));
    assert_eq!(server.most_rate.unwrap().0, 125_000_000);
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for (line, expected) in [
        ("", "cannot understand 'haul bench': it does not say which server"),
        ("host -R --bidir", "cannot use -R with --bidir: --bidir sends both ways"),
        ("host -t 1 -n 5", "cannot use -t with -n or -k: one thing ends it"),
        ("host -u -Z", "cannot use -Z with -u: the kernel reads a file only into a stream"),
        ("host -u -M 1000", "cannot use -M with -u: it is about TCP"),
        ("host -u -C reno", "cannot use -C with -u: it is about TCP"),
        ("host -u -N", "cannot use -N with -u: it is about TCP"),
        ("host -w 1M --rcvbuf 1M", "cannot use -w with --rcvbuf or --sndbuf: they set the same buffers"),
        ("-s -w 1M --sndbuf 1M", "cannot use -w with --rcvbuf or --sndbuf: they set the same buffers"),
        ("host --crr -u", "cannot use --crr with -u: datagrams have no connection"),
        ("host --rr=7 -u", "cannot use -u with --rr=7: a request in a datagram has 8 to 65507 bytes"),
        ("host --rr --crr", "cannot use --rr with --crr: one of them is measured"),
        ("host --max-loss 1%", "cannot use --max-loss without -u: a stream loses nothing"),
        (
            "host --tolerance 1%",
            "cannot use --tolerance without --compare: there is nothing that it could be worse than",
        ),
        ("-s -t 1", "cannot use -s with -t: the client says what is measured"),
        ("host --max-clients 1", "cannot use --max-clients without -s: only a server has it"),
        ("host -1", "cannot use -1 without -s: only a server has it"),
        ("--local host", "cannot use --local host: there is no such scheme"),
        ("udp:host:1", "cannot use udp:host:1: a measurement needs a TCP port or a Unix stream socket"),
        ("host -J --json-stream", "cannot use -J with --json-stream: the results are printed once"),
        ("host -u -l 4", "cannot use -l: a datagram has 12 to 65507 bytes"),
    ] {
        assert_eq!(refused(line), expected, "bench {line}");
    }
    for line in ["host -b 1M/0", "host -b 1M/1001", "host -b 1M/x", "host -b /5", "host -b 0/5", "host --rr -b 1M/5"] {
        refused(line);
    }
    for line in ["host -P 0", "host -P 129", "host -S 3", "host -b x", "host -M 10"] {
        refused(line);
    }
}
