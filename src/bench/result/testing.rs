//! Runs to tell of, as small as they can be.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

pub(crate) fn setup(protocol: Protocol, direction: Direction, streams: u32) -> Setup {
    let both = if direction == Direction::Both { 2 } else { 1 };
    let connection = |number: u32| Connection {
        id: 5 + 2 * number,
        is_sender: direction != Direction::Reverse && number < streams,
        local: "127.0.0.1".into(),
        local_port: 44772 + number as u16,
        remote: "127.0.0.1".into(),
        remote_port: 5201,
    };
    Setup {
        host: "127.0.0.1".into(),
        port: Some(5201),
        is_server: false,
        protocol,
        direction,
        kind: Kind::Throughput,
        streams,
        block_bytes: 131_072,
        omit: Duration::ZERO,
        limit: Limit::Time(Duration::from_secs(2)),
        pace: Pace::Free,
        tos: 0,
        buffers: Buffers { asked: None, send: Some(16_384), receive: Some(131_072) },
        mss: Some(32_768),
        cookie: "cp5f7v4mrio7rl52jqe556opag2xjshkgl6n".into(),
        started: UNIX_EPOCH + Duration::from_secs(1_795_179_428),
        connections: (0..streams * both).map(connection).collect(),
    }
}

/// Two seconds of half a gigabit each, by every stream.
pub(crate) fn run(protocol: Protocol, direction: Direction, streams: u32) -> Results {
    let setup = setup(protocol, direction, streams);
    let is_udp = setup.protocol == Protocol::Udp;
    let bytes = 62_500_000;
    let count = |is_receiver: bool| Datagrams {
        offered: (!is_receiver).then_some(510),
        sent: 500,
        received: is_receiver.then_some(490),
        lost: if is_receiver { 10 } else { 0 },
        out_of_order: if is_receiver { 2 } else { 0 },
        jitter: Some(Duration::from_micros(if is_receiver { 8 } else { 0 })),
        ..Datagrams::default()
    };
    let facts = TcpFacts {
        retransmits: 3,
        congestion_window: 3_533_701,
        peer_window: Some(33_029_120),
        rtt: Duration::from_micros(153),
        rtt_variation: Duration::from_micros(154),
        path_mtu: Some(65_535),
    };
    let slice = |second: u64, connection: &Connection| Slice {
        id: connection.id,
        is_sender: connection.is_sender,
        start: Duration::from_secs(second),
        end: Duration::from_secs(second + 1),
        bytes,
        tcp: (setup.protocol.is_over_tcp() && connection.is_sender).then_some(facts),
        datagrams: is_udp.then(|| count(!connection.is_sender)),
    };
    let intervals: Vec<Interval> = (0..2)
        .map(|second| Interval {
            slices: setup.connections.iter().map(|connection| slice(second, connection)).collect(),
            ..Interval::default()
        })
        .collect();
    let total = |connection: &Connection| {
        let side = |is_receiver: bool| Side {
            elapsed: Duration::from_millis(if is_receiver { 2010 } else { 2000 }),
            bytes: 2 * bytes,
            tcp: if is_receiver { None } else { Results::tcp_total(&intervals, connection.id) },
            datagrams: is_udp.then(|| count(is_receiver)),
        };
        let (id, is_sender) = (connection.id, connection.is_sender);
        StreamTotal { id, is_sender, sent: Some(side(false)), received: Some(side(true)) }
    };
    let congestion = setup.protocol.is_over_tcp().then(|| "bbr".to_owned());
    Results {
        totals: setup.connections.iter().map(total).collect(),
        cpu: [Some(Cpu { total: 13.4, user: 0.0, system: 13.4 }), Some(Cpu { total: 10.8, user: 0.1, system: 10.7 })],
        congestion: [congestion.clone(), congestion],
        latency: Latency::default(),
        exchange: None,
        corrupt_blocks: None,
        error: None,
        intervals,
        setup,
    }
}

/// Of requests: a hundred round trips of 1 to 100 us, in a second.
pub(crate) fn requests() -> Results {
    let mut latency = Histogram::new();
    (1..=100).for_each(|micros| latency.record(micros * 1000));
    let mut results = run(Protocol::Tcp, Direction::Forward, 1);
    (results.setup.kind, results.setup.block_bytes) = (Kind::Requests, 64);
    for interval in &mut results.intervals {
        interval.latency = Some(latency.quantiles());
        interval.slices.iter_mut().for_each(|slice| slice.tcp = None);
    }
    let elapsed = Duration::from_secs(1);
    let exchange = Exchange { transactions: 100, unanswered: 0, elapsed, latency, connecting: None };
    Results { totals: Vec::new(), exchange: Some(exchange), ..results }
}
