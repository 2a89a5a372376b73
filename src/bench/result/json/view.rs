//! The three parts that iperf3 has, under its names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::bench::histogram::Quantiles;
use crate::bench::result::{
    Connection, Cpu, Datagrams, Direction, Interval, Limit, Pace, Results, Setup, Side, Slice, StreamTotal, TcpTotal,
};

/// `start`.
#[derive(Serialize)]
pub(super) struct StartView<'a> {
    connected: Vec<ConnectionView<'a>>,
    version: String,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    connecting_to: Option<PlaceView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_connection: Option<PlaceView<'a>>,
    cookie: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_mss: Option<u32>,
    target_bitrate: u64,
    sock_bufsize: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sndbuf_actual: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcvbuf_actual: Option<u64>,
    test_start: TestStart,
}

#[derive(Serialize)]
struct ConnectionView<'a> {
    socket: u32,
    local_host: &'a str,
    local_port: u16,
    remote_host: &'a str,
    remote_port: u16,
}

#[derive(Serialize)]
struct PlaceView<'a> {
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Serialize)]
struct Timestamp {
    time: String,
    timesecs: u64,
}

#[derive(Serialize)]
struct TestStart {
    protocol: &'static str,
    num_streams: u32,
    blksize: u64,
    omit: f64,
    duration: f64,
    bytes: u64,
    blocks: u64,
    reverse: u8,
    tos: u8,
    target_bitrate: u64,
    bidir: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_requests_per_second: Option<f64>,
}

impl<'a> StartView<'a> {
    pub(super) fn new(setup: &'a Setup) -> Self {
        let place = PlaceView { host: &setup.host, port: setup.port };
        let (connecting_to, accepted_connection) =
            if setup.is_server { (None, Some(place)) } else { (Some(place), None) };
        let target_bitrate = if let Pace::Bits(bits) = setup.pace { bits } else { 0 };
        let (duration, bytes, blocks) = match setup.limit {
            Limit::Time(time) => (time.as_secs_f64(), 0, 0),
            Limit::Bytes(bytes) => (0.0, bytes, 0),
            Limit::Blocks(blocks) => (0.0, 0, blocks),
        };
        StartView {
            connected: setup.connections.iter().map(ConnectionView::new).collect(),
            version: concat!("haul ", env!("CARGO_PKG_VERSION")).into(),
            timestamp: Timestamp::new(setup.started),
            connecting_to,
            accepted_connection,
            cookie: &setup.cookie,
            tcp_mss: setup.mss,
            target_bitrate,
            sock_bufsize: setup.buffers.asked.unwrap_or(0),
            sndbuf_actual: setup.buffers.send,
            rcvbuf_actual: setup.buffers.receive,
            test_start: TestStart {
                protocol: setup.protocol.name(),
                num_streams: setup.streams,
                blksize: setup.block_bytes,
                omit: setup.omit.as_secs_f64(),
                duration,
                bytes,
                blocks,
                reverse: u8::from(setup.direction == Direction::Reverse),
                tos: setup.tos,
                target_bitrate,
                bidir: u8::from(setup.direction == Direction::Both),
                haul_requests_per_second: if let Pace::Requests(rate) = setup.pace { Some(rate) } else { None },
            },
        }
    }
}

impl<'a> ConnectionView<'a> {
    fn new(connection: &'a Connection) -> Self {
        ConnectionView {
            socket: connection.id,
            local_host: &connection.local,
            local_port: connection.local_port,
            remote_host: &connection.remote,
            remote_port: connection.remote_port,
        }
    }
}

impl Timestamp {
    /// `Fri, 20 Nov 2026 12:57:08 GMT`, RFC 9110, 5.6.7.
    fn new(at: SystemTime) -> Self {
        let timesecs = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // the first day of the epoch was a Thursday
        let weekday = DAYS[(timesecs / 86_400 % 7) as usize];
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(timesecs)).to_string();
        let part = |from: usize, to: usize| at.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
        let (day, month, year) = (part(8, 10), month.copied().unwrap_or_default(), part(0, 4));
        Timestamp { time: format!("{weekday}, {day} {month} {year} {} GMT", part(11, 19)), timesecs }
    }
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One of `intervals`.
#[derive(Serialize)]
pub(super) struct IntervalView {
    streams: Vec<SliceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<SliceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_bidir_reverse: Option<SliceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_latency: Option<QuantilesView>,
}

#[derive(Serialize)]
struct SliceView {
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<u32>,
    start: f64,
    end: f64,
    seconds: f64,
    bytes: u64,
    bits_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snd_cwnd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snd_wnd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rttvar: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pmtu: Option<u32>,
    #[serde(flatten)]
    datagrams: Option<DatagramsView>,
    omitted: bool,
    sender: bool,
}

#[derive(Serialize)]
struct QuantilesView {
    samples: u64,
    mean_ns: f64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    #[serde(rename = "p99.9_ns")]
    p999_ns: u64,
    max_ns: u64,
}

impl IntervalView {
    pub(super) fn new(interval: &Interval) -> Self {
        let view = |slice: &Slice, is_sum| SliceView::new(slice, is_sum, interval.is_omitted);
        let sum = |is_sender| interval.sum(is_sender).map(|sum| view(&sum, true));
        let (sent, received) = (sum(true), sum(false));
        let (sum, sum_bidir_reverse) = if sent.is_some() { (sent, received) } else { (received, None) };
        IntervalView {
            streams: interval.slices.iter().map(|slice| view(slice, false)).collect(),
            sum,
            sum_bidir_reverse,
            haul_latency: interval.latency.map(QuantilesView::new),
        }
    }
}

impl SliceView {
    fn new(slice: &Slice, is_sum: bool, omitted: bool) -> Self {
        // windows and round trips are not summed up
        let facts = slice.tcp.filter(|_| !is_sum);
        SliceView {
            socket: (!is_sum).then_some(slice.id),
            start: slice.start.as_secs_f64(),
            end: slice.end.as_secs_f64(),
            seconds: slice.end.saturating_sub(slice.start).as_secs_f64(),
            bytes: slice.bytes,
            bits_per_second: slice.bits_per_second(),
            retransmits: slice.tcp.map(|tcp| tcp.retransmits),
            snd_cwnd: facts.map(|tcp| tcp.congestion_window),
            snd_wnd: facts.and_then(|tcp| tcp.peer_window),
            rtt: facts.map(|tcp| micros(tcp.rtt)),
            rttvar: facts.map(|tcp| micros(tcp.rtt_variation)),
            pmtu: facts.and_then(|tcp| tcp.path_mtu),
            datagrams: slice.datagrams.map(|datagrams| DatagramsView::new(&datagrams, slice.is_sender)),
            omitted,
            sender: slice.is_sender,
        }
    }
}

impl QuantilesView {
    fn new(quantiles: Quantiles) -> Self {
        let Quantiles { count, mean, p50, p90, p99, p999, max } = quantiles;
        QuantilesView {
            samples: count,
            mean_ns: mean,
            p50_ns: p50,
            p90_ns: p90,
            p99_ns: p99,
            p999_ns: p999,
            max_ns: max,
        }
    }
}

/// What is said of datagrams, in the object of the stream or the sum that they belong to.
#[derive(Serialize)]
struct DatagramsView {
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_packets: Option<u64>,
    packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_order: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_offered_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_received_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_late_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_duplicate_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    haul_dropped_here_packets: Option<u64>,
}

impl DatagramsView {
    /// A sender of an interval knows only how many it sent.
    fn new(datagrams: &Datagrams, only_sent: bool) -> Self {
        let seen = |count: u64| (!only_sent).then_some(count);
        let known = datagrams.received.is_some() && !only_sent;
        let own = |count: u64| known.then_some(count);
        DatagramsView {
            jitter_ms: datagrams.jitter.filter(|_| !only_sent).map(|jitter| jitter.as_secs_f64() * 1e3),
            lost_packets: seen(datagrams.lost),
            packets: datagrams.sent,
            lost_percent: (!only_sent).then(|| datagrams.loss_percent()),
            out_of_order: seen(datagrams.out_of_order),
            haul_offered_packets: datagrams.offered,
            haul_received_packets: datagrams.received.filter(|_| !only_sent),
            haul_late_packets: own(datagrams.late),
            haul_duplicate_packets: own(datagrams.duplicated),
            haul_dropped_here_packets: own(datagrams.dropped_here),
        }
    }
}

/// `end`.
#[derive(Serialize)]
pub(super) struct EndView<'a> {
    streams: Vec<TotalView>,
    /// UDP only, as in iperf3.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_sent: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_received: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_sent_bidir_reverse: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_received_bidir_reverse: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_utilization_percent: Option<CpuView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_tcp_congestion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_tcp_congestion: Option<&'a str>,
}

#[derive(Serialize)]
struct TotalView {
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<SideView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<SideView>,
}

#[derive(Serialize)]
struct SideView {
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<u32>,
    start: f64,
    end: f64,
    seconds: f64,
    bytes: u64,
    bits_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_snd_cwnd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_snd_wnd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_rtt: Option<u64>,
    #[serde(flatten)]
    datagrams: Option<DatagramsView>,
    sender: bool,
}

#[derive(Serialize)]
struct CpuView {
    #[serde(skip_serializing_if = "Option::is_none")]
    host_total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_user: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_system: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_user: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_system: Option<f64>,
}

impl<'a> EndView<'a> {
    pub(super) fn new(results: &'a Results) -> Self {
        let forward = results.totals.iter().any(|total| total.is_sender);
        let reverse = results.totals.iter().any(|total| !total.is_sender);
        // the only direction goes by the plain names
        let first = forward;
        let second = (forward && reverse).then_some(false);
        let sent = |way: bool| results.sum_sent(way).map(|side| SideView::new(&side, None, way));
        let received = |way: bool| results.sum_received(way).map(|side| SideView::new(&side, None, way));
        let datagrams = |side: &Side| side.datagrams.is_some();
        let sum = merged(results.sum_sent(first).as_ref(), results.sum_received(first).as_ref());
        let [local, remote] = results.cpu;
        let part = |cpu: Option<Cpu>, of: fn(&Cpu) -> f64| cpu.as_ref().map(of);
        EndView {
            streams: results.totals.iter().map(TotalView::new).collect(),
            sum: sum.filter(datagrams).map(|side| SideView::new(&side, None, first)),
            sum_sent: sent(first),
            sum_received: received(first),
            sum_sent_bidir_reverse: second.and_then(sent),
            sum_received_bidir_reverse: second.and_then(received),
            cpu_utilization_percent: local.or(remote).map(|_| CpuView {
                host_total: part(local, |cpu| cpu.total),
                host_user: part(local, |cpu| cpu.user),
                host_system: part(local, |cpu| cpu.system),
                remote_total: part(remote, |cpu| cpu.total),
                remote_user: part(remote, |cpu| cpu.user),
                remote_system: part(remote, |cpu| cpu.system),
            }),
            sender_tcp_congestion: results.congestion[0].as_deref(),
            receiver_tcp_congestion: results.congestion[1].as_deref(),
        }
    }
}

/// What both ends know of datagrams as one: the sender's bytes, the receiver's losses.
fn merged(sent: Option<&Side>, received: Option<&Side>) -> Option<Side> {
    let Some(sent) = sent else { return received.copied() };
    let mut merged = *sent;
    if let (Some(mine), Some(theirs)) = (&mut merged.datagrams, received.and_then(|side| side.datagrams)) {
        *mine = Datagrams { offered: mine.offered, ..theirs };
    }
    Some(merged)
}

impl TotalView {
    fn new(total: &StreamTotal) -> Self {
        let view = |side: &Side| SideView::new(side, Some(total.id), total.is_sender);
        let is_datagrams = [total.sent, total.received].iter().flatten().any(|side| side.datagrams.is_some());
        if is_datagrams {
            let both = merged(total.sent.as_ref(), total.received.as_ref());
            return TotalView { udp: both.as_ref().map(view), sender: None, receiver: None };
        }
        TotalView { udp: None, sender: total.sent.as_ref().map(view), receiver: total.received.as_ref().map(view) }
    }
}

impl SideView {
    fn new(side: &Side, socket: Option<u32>, sender: bool) -> Self {
        let facts: Option<TcpTotal> = side.tcp.filter(|_| socket.is_some());
        let trip = |at: usize| facts.and_then(|facts| facts.rtt).map(|rtt| micros(rtt[at]));
        SideView {
            socket,
            start: 0.0,
            end: side.elapsed.as_secs_f64(),
            seconds: side.elapsed.as_secs_f64(),
            bytes: side.bytes,
            bits_per_second: side.bits_per_second(),
            retransmits: side.tcp.map(|tcp| tcp.retransmits),
            max_snd_cwnd: facts.map(|tcp| tcp.max_congestion_window),
            max_snd_wnd: facts.and_then(|tcp| tcp.max_peer_window),
            max_rtt: trip(2),
            min_rtt: trip(0),
            mean_rtt: trip(1),
            datagrams: side.datagrams.map(|datagrams| DatagramsView::new(&datagrams, false)),
            sender,
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
