use super::*;

fn asked() -> Asked {
    Asked {
        kind: Kind::Throughput,
        protocol: Protocol::Tcp,
        direction: Direction::Forward,
        streams: 1,
        block_bytes: None,
        pace: Pace::Free,
    }
}

#[test]
fn figures_of_iperf3_are_found() {
    let tcp = br#"{"start":{"test_start":{"protocol":"TCP"}},"intervals":[],"end":{"streams":[],
        "sum_sent":{"bits_per_second":6.8e9},"sum_received":{"bits_per_second":6.7e9}}}"#;
    let tcp = Baseline::parse(tcp).unwrap();
    assert_eq!(tcp.figures, Figures { bits_per_second: Some(6.7e9), ..Figures::default() });
    let check = |kind, protocol| tcp.check(&Asked { kind, protocol, ..asked() });
    assert_eq!(check(Kind::Throughput, Protocol::Tcp), Ok(()));
    assert_eq!(check(Kind::Throughput, Protocol::Udp), Err("it is of TCP, not of UDP".into()));
    assert_eq!(check(Kind::Requests, Protocol::Tcp), Err("it has no figure of such a run".into()));
    let udp = br#"{"start":{"test_start":{"protocol":"UDP"}},
        "end":{"sum":{"bits_per_second":1e7,"lost_percent":2.5}}}"#;
    let udp = Baseline::parse(udp).unwrap();
    assert_eq!((udp.figures.bits_per_second, udp.figures.lost_percent), (Some(1e7), Some(2.5)));
}

// Figures of another kind, or of the other way, would be held against each other without a word.
#[test]
fn only_a_run_of_the_same_kind_and_way_is_compared() {
    let of = |reverse: u8, bidir: u8, kind: &str| {
        let text = format!(
            r#"{{"start":{{"test_start":{{"protocol":"TCP","reverse":{reverse},"bidir":{bidir}}}}},
            "haul":{{"protocol":"TCP","kind":"{kind}","figures":
            {{"bits_per_second":1e9,"transactions_per_second":9.0,"p50_ns":5.0}}}}}}"#
        );
        Baseline::parse(text.as_bytes()).unwrap()
    };
    let refused = |file: Baseline, kind, direction| file.check(&Asked { kind, direction, ..asked() }).unwrap_err();
    let (up, down) = (Direction::Forward, Direction::Reverse);
    assert_eq!(
        refused(of(1, 0, "throughput"), Kind::Throughput, up),
        "it is of data from the server (-R), not to the server"
    );
    assert_eq!(
        refused(of(0, 1, "throughput"), Kind::Throughput, down),
        "it is of data both ways (--bidir), not from the server (-R)"
    );
    assert_eq!(refused(of(0, 0, "requests"), Kind::Connections, up), "it is of requests, not of connections");
    assert_eq!(refused(of(0, 0, "connections"), Kind::Requests, up), "it is of connections, not of requests");
    assert_eq!(refused(of(0, 0, "x"), Kind::Throughput, up), "it is of something else, not of throughput");
    assert_eq!(of(0, 0, "requests").check(&Asked { kind: Kind::Requests, ..asked() }), Ok(()));
}

// Four streams against one, or 10 Mbit/s against as much as goes, says nothing.
#[test]
fn only_a_run_with_the_same_load_is_compared() {
    let of = |kind: Kind, test: &str| {
        let text = format!(
            r#"{{"start":{{"test_start":{{{test}}}}},"haul":{{"kind":"{}","figures":
            {{"bits_per_second":1e9{}}}}}}}"#,
            kind.name(),
            if kind == Kind::Throughput { "" } else { r#","transactions_per_second":9.0"# }
        );
        Baseline::parse(text.as_bytes()).unwrap()
    };
    let (bytes, requests) = (Kind::Throughput, Kind::Requests);
    let plain = r#""num_streams":1,"blksize":131072,"target_bitrate":0"#;
    let held = r#""num_streams":1,"blksize":131072,"target_bitrate":10000000"#;
    let at_rate = r#""num_streams":1,"blksize":64,"target_bitrate":0,"haul_requests_per_second":1000.0"#;
    let free = r#""num_streams":1,"blksize":64,"target_bitrate":0"#;
    let asked = |kind| Asked { kind, block_bytes: Some(if kind == bytes { 131_072 } else { 64 }), ..asked() };
    for (file, asked, why) in [
        (of(bytes, plain), Asked { streams: 4, ..asked(bytes) }, "it is of 1 stream, not of 4"),
        (
            of(bytes, plain),
            Asked { block_bytes: Some(1000), ..asked(bytes) },
            "it is of blocks of 131072 bytes, not of 1000",
        ),
        (
            of(bytes, plain),
            Asked { pace: Pace::Bits(1_000_000), ..asked(bytes) },
            "it is of streams held to nothing, not to 1.00 Mbits/sec",
        ),
        (of(bytes, held), asked(bytes), "it is of streams held to 10.0 Mbits/sec, not to nothing"),
        (of(requests, at_rate), asked(requests), "it is of streams held to 1000/sec, not to nothing"),
        (
            of(requests, free),
            Asked { pace: Pace::Requests(50.0), ..asked(requests) },
            "it is of streams held to nothing, not to 50.0/sec",
        ),
    ] {
        assert_eq!(file.check(&asked), Err(why.into()));
    }
    assert_eq!(of(bytes, plain).check(&asked(bytes)), Ok(()));
    assert_eq!(of(bytes, plain).check(&Asked { block_bytes: None, ..asked(bytes) }), Ok(()));
    assert_eq!(of(bytes, held).check(&Asked { pace: Pace::Bits(10_485_760), ..asked(bytes) }), Ok(()));
    assert_eq!(of(requests, free).check(&asked(requests)), Ok(()));
}

#[test]
fn what_is_no_run_is_refused_with_a_reason() {
    let refused = |text: &str| Baseline::parse(text.as_bytes()).unwrap_err();
    assert_eq!(refused("nonsense"), "it is not JSON (line 1, column 2)");
    assert_eq!(refused("[1]"), "its fields are not those of a run");
    assert_eq!(refused("{}"), "it holds no run");
    assert_eq!(refused(r#"{"end":{}}"#), "it holds no figures");
    assert_eq!(refused(r#"{"end":[]}"#), "its fields are not those of a run");
    assert_eq!(refused(r#"{"end":3}"#), "its fields are not those of a run");
    assert_eq!(refused(r#"{"end":{"sum":{"bits_per_second":-1}}}"#), "it holds no figures");
    assert_eq!(refused(r#"{"end":{},"error":"the server is busy"}"#), "it is of a run that failed");
    assert_eq!(refused(&" ".repeat(LONGEST + 1)), "it is longer than 64 MiB");
}
