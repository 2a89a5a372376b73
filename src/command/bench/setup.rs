//! From a plan to what is agreed on, and from that to what is reported.

use std::time::{Duration, SystemTime};

use crate::bench::protocol::{Cookie, Extra, Parameters, Trip};
use crate::bench::result::baseline::Asked;
use crate::bench::result::{self, Buffers, Connection, Kind, Limit, Pace, Protocol, Setup};
use crate::plan::address::{Address, Options};
use crate::plan::bench::{Client, Direction, Load, Until};

/// iperf3's rate of datagrams where none is given, bits a second.
const UDP_RATE: u64 = 1_000_000;

/// Bytes of a datagram where the segment size is not known.
const UDP_BLOCK: usize = 1460;

/// What a client asks for; `segment` is what one segment of the control connection holds.
pub(super) fn parameters(client: &Client, segment: Option<u32>) -> Parameters {
    let Load { udp, direction, streams, until, omit, block, rate, burst, zerocopy, check, wide, server_output, trip } =
        client.load;
    let options = &client.address().options;
    let (time, bytes, blocks) = match until {
        Until::Time(time) => (whole(time), 0, 0),
        Until::Bytes(bytes) => (0, bytes, 0),
        Until::Blocks(blocks) => (0, 0, blocks),
    };
    let fit = segment.map_or(UDP_BLOCK, |bytes| bytes as usize).clamp(16, 65_507);
    let trip = trip.map(|trip| Trip { size: trip.size, connects: trip.connects });
    Parameters {
        udp,
        omit: whole(omit),
        time,
        bytes,
        blocks,
        parallel: streams,
        reverse: direction == Direction::Down,
        bidirectional: direction == Direction::Both,
        length: block.unwrap_or(if udp { fit } else { crate::bench::traffic::BLOCK }),
        rate: rate.unwrap_or(if udp && trip.is_none() { UDP_RATE } else { 0 }),
        burst: if burst > 1 { burst.into() } else { 0 },
        mss: options.mss.unwrap_or(0),
        nodelay: options.nodelay,
        window: options.rcvbuf.or(options.sndbuf).unwrap_or(0),
        tos: options.dscp.unwrap_or(0) << 2,
        congestion: options.congestion.clone(),
        wide,
        zerocopy,
        server_output,
        extra: Some(Extra { trip, probe: client.is_probed(), check }),
    }
}

/// Whole seconds, as iperf3 counts: what is begun counts.
fn whole(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The options of a server's streams that its client has asked for.
pub(super) fn options(asked: &Parameters) -> Options {
    Options {
        nodelay: asked.nodelay,
        rcvbuf: Some(asked.window).filter(|bytes| *bytes > 0),
        sndbuf: Some(asked.window).filter(|bytes| *bytes > 0),
        dscp: Some(asked.tos >> 2).filter(|code| *code > 0),
        congestion: asked.congestion.clone(),
        ..Options::default()
    }
}

/// Who measures with whom.
pub(super) struct Between<'a> {
    /// The other end.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) is_server: bool,
    /// What carries the streams.
    pub(super) over: Protocol,
    pub(super) cookie: &'a Cookie,
    /// As exactly as this end knows.
    pub(super) until: Option<Until>,
    pub(super) omit: Option<Duration>,
}

/// What is reported of the beginning.
pub(super) fn setup(between: Between<'_>, asked: &Parameters, connections: Vec<Connection>) -> Setup {
    let seconds = Duration::from_secs;
    let trip = asked.extra.and_then(|extra| extra.trip);
    let limit = match between.until {
        Some(Until::Time(time)) => Limit::Time(time),
        _ if asked.bytes > 0 => Limit::Bytes(asked.bytes),
        _ if asked.blocks > 0 => Limit::Blocks(asked.blocks),
        _ => Limit::Time(seconds(asked.time)),
    };
    let cookie = String::from_utf8_lossy(&between.cookie.0[..36]).trim_end_matches('\0').to_owned();
    Setup {
        host: between.host,
        port: between.port,
        is_server: between.is_server,
        protocol: if asked.udp { Protocol::Udp } else { between.over },
        direction: match (asked.bidirectional, asked.reverse) {
            (true, _) => result::Direction::Both,
            (false, true) => result::Direction::Reverse,
            (false, false) => result::Direction::Forward,
        },
        kind: match trip {
            None => Kind::Throughput,
            Some(Trip { connects: false, .. }) => Kind::Requests,
            Some(Trip { connects: true, .. }) => Kind::Connections,
        },
        streams: asked.parallel.into(),
        block_bytes: trip.map_or(asked.length, |trip| trip.size) as u64,
        omit: between.omit.unwrap_or(seconds(asked.omit)),
        limit,
        pace: pace(asked),
        tos: asked.tos,
        buffers: Buffers { asked: Some(asked.window).filter(|bytes| *bytes > 0), ..Buffers::default() },
        mss: Some(asked.mss).filter(|bytes| *bytes > 0),
        cookie,
        started: SystemTime::now(),
        connections,
    }
}

/// What each stream is held to.
fn pace(asked: &Parameters) -> Pace {
    match (asked.rate, asked.extra.and_then(|extra| extra.trip)) {
        (0, _) => Pace::Free,
        (rate, Some(trip)) => Pace::Requests(rate as f64 / (trip.size.max(1) * 8) as f64),
        (rate, None) => Pace::Bits(rate),
    }
}

/// What a client is about to measure, before it knows the path.
pub(super) fn asked(client: &Client) -> Asked {
    let (load, parameters) = (&client.load, parameters(client, None));
    let trip = load.trip.map(|trip| trip.size);
    // the size of a datagram is that of a segment, where none is given
    let block = trip.or(load.block).or((!load.udp).then_some(parameters.length));
    let streams = client.via.as_ref().unwrap_or(client.address());
    Asked {
        kind: match load.trip {
            None => Kind::Throughput,
            Some(trip) if trip.connects => Kind::Connections,
            Some(_) => Kind::Requests,
        },
        protocol: if load.udp { Protocol::Udp } else { protocol(streams) },
        direction: direction(load.direction),
        streams: load.streams.into(),
        block_bytes: block.map(|bytes| bytes as u64),
        pace: pace(&parameters),
    }
}

/// What is said before anything is measured; without the heading where no line follows.
pub(super) fn opening(setup: &Setup, has_lines: bool) -> String {
    let text = result::text::opening(setup);
    match text.rsplit_once('\n') {
        Some((before, _)) if !has_lines => before.to_owned(),
        _ => text,
    }
}

/// A printed address as a host and a port; what has no port is all host.
pub(super) fn split(printed: &str) -> (String, u16) {
    match printed.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host.trim_matches(['[', ']']).to_owned(), port),
        _ => (printed.to_owned(), 0),
    }
}

/// Which way it goes, as it is reported.
fn direction(wanted: Direction) -> result::Direction {
    match wanted {
        Direction::Up => result::Direction::Forward,
        Direction::Down => result::Direction::Reverse,
        Direction::Both => result::Direction::Both,
    }
}

/// What carries streams to an endpoint.
pub(super) fn protocol(address: &Address) -> Protocol {
    match address.protocol() {
        "tcp" => Protocol::Tcp,
        "path" => Protocol::Other("unix"),
        name => Protocol::Other(name),
    }
}

/// The host and the port of an endpoint, as they are shown.
pub(super) fn shown(address: &Address) -> (String, Option<u16>) {
    use crate::plan::address::{Host, HostPort, Kind};
    match &address.kind {
        Kind::Tcp(HostPort { host: Host::Unspecified, port }) => ("localhost".into(), Some(*port)),
        Kind::Tcp(at) => (at.host.to_string(), Some(at.port)),
        _ => (crate::escape::Escaped(address.to_string().as_bytes()).to_string(), None),
    }
}
