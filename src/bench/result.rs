//! What a run measured: one struct, from which come the text, the JSON, the thresholds and the comparison.
//!
//! Nothing here knows a socket. Times are counted from the start of the measurement (behind `-O`), bytes are payload,
//! latencies are round trips. *Forward* is what this end sends, *reverse* what it receives.

pub mod baseline;
pub mod figure;
pub mod json;
pub mod series;
pub mod text;
pub mod verdict;

use std::time::{Duration, SystemTime};

use super::histogram::{Histogram, Quantiles};
pub use verdict::Figures;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was asked for, and between whom.
    pub setup: Setup,
    /// In the order of time, those of the warm-up first.
    pub intervals: Vec<Interval>,
    /// One a stream, in the order of [`Setup::connections`].
    pub totals: Vec<StreamTotal>,
    /// Of this end, and of the other if it told.
    pub cpu: [Option<Cpu>; 2],
    /// The congestion control in force at the sender and at the receiver of the first stream, where they have one.
    pub congestion: [Option<String>; 2],
    /// Round trips beside the throughput.
    pub latency: Latency,
    /// Requests and answers, if the run was of those.
    pub exchange: Option<Exchange>,
    /// Blocks whose payload was not what had been sent; `None` if that was not looked at.
    pub corrupt_blocks: Option<u64>,
    /// Why it stopped before its end: a sentence, escaped.
    pub error: Option<String>,
}

/// What was asked for, and between whom.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The other end as the user typed it; on a server the address of the client. Escaped where it came from outside.
    pub host: String,
    /// Its port, where it has one.
    pub port: Option<u16>,
    /// True on the end that was connected to.
    pub is_server: bool,
    /// What carries the payload.
    pub protocol: Protocol,
    /// Which way it goes.
    pub direction: Direction,
    /// What is measured.
    pub kind: Kind,
    /// How many streams each way.
    pub streams: u32,
    /// Bytes of a write, a datagram, or a request.
    pub block_bytes: u64,
    /// The warm-up that counts for nothing.
    pub omit: Duration,
    /// What ends it.
    pub limit: Limit,
    /// What each stream is held to, or each connection of requests.
    pub pace: Pace,
    /// The type-of-service byte.
    pub tos: u8,
    /// Asked for with `-w`, and what the system gave: send, receive.
    pub buffers: Buffers,
    /// Maximum segment size in bytes.
    pub mss: Option<u32>,
    /// iperf3's name of the run: 36 characters.
    pub cookie: String,
    /// When it started.
    pub started: SystemTime,
    /// One a stream: first those that this end sends on.
    pub connections: Vec<Connection>,
}

/// What carries the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Another kind of stream, by its scheme: `unix`, `tls`, `pipe`, ….
    Other(&'static str),
}

impl Protocol {
    /// True where TCP is below it, whose facts are told.
    pub fn is_over_tcp(&self) -> bool {
        matches!(self, Protocol::Tcp | Protocol::Other("tls" | "ws" | "wss"))
    }

    /// As it is shown.
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Other(name) => name,
        }
    }
}

/// Which way the payload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Forward,
    /// `-R`.
    Reverse,
    /// `--bidir`.
    Both,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Throughput,
    /// `--rr`: requests on open connections.
    Requests,
    /// `--crr`: a connection for each request.
    Connections,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Throughput, Kind::Requests, Kind::Connections];

    /// Its name in JSON, and in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Throughput => "throughput",
            Kind::Requests => "requests",
            Kind::Connections => "connections",
        }
    }
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `-t`.
    Time(Duration),
    /// `-n`: bytes of all streams.
    Bytes(u64),
    /// `-k`: blocks of all streams.
    Blocks(u64),
}

/// What a stream is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it goes.
    Free,
    /// `-b`: bits a second.
    Bits(u64),
    /// Requests a second.
    Requests(f64),
}

/// Bytes of socket buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// As asked for; `None` leaves it to the system.
    pub asked: Option<u64>,
    /// What the system gives the sender.
    pub send: Option<u64>,
    /// What it gives the receiver.
    pub receive: Option<u64>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The number in brackets.
    pub id: u32,
    /// This end sends on it.
    pub is_sender: bool,
    /// The address of this end, without the port.
    pub local: String,
    /// Its port; 0 where there is none.
    pub local_port: u16,
    /// The address of the other end.
    pub remote: String,
    /// Its port.
    pub remote_port: u16,
}

/// What happened in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// One a stream.
    pub slices: Vec<Slice>,
    /// Round trips in it: of the requests, or beside the throughput.
    pub latency: Option<Quantiles>,
    /// It belongs to the warm-up.
    pub is_omitted: bool,
}

/// What one stream, or the sum of some, did in one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// The stream.
    pub id: u32,
    /// This end sends on it.
    pub is_sender: bool,
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// Payload bytes.
    pub bytes: u64,
    /// What the kernel tells of a sender's connection.
    pub tcp: Option<TcpFacts>,
    /// Of datagrams.
    pub datagrams: Option<Datagrams>,
}

/// What the kernel tells of a sending TCP connection at the end of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFacts {
    /// Segments sent again in this interval.
    pub retransmits: u64,
    /// Congestion window in bytes.
    pub congestion_window: u64,
    /// The window that the peer offers, in bytes.
    pub peer_window: Option<u64>,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variation: Duration,
    /// Path MTU in bytes.
    pub path_mtu: Option<u32>,
}

/// What became of datagrams. Each is either received or lost; what comes again is only duplicated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Datagrams {
    /// What the asked rate comes to, and no less than was sent, since the first is due at once; more than was sent if the
    /// sender could not keep up.
    pub offered: Option<u64>,
    /// Sent; as a receiver knows it, up to the last that came.
    pub sent: u64,
    /// Different ones that came, as far as this end knows.
    pub received: Option<u64>,
    /// Sent and not come.
    pub lost: u64,
    /// Came after a later one.
    pub out_of_order: u64,
    /// Came too late to know whether for the first time.
    pub late: u64,
    /// Came again.
    pub duplicated: u64,
    /// Of the lost ones, what this end's receive buffer had no room for.
    pub dropped_here: u64,
    /// Jitter as RFC 3550, 6.4.1 smooths it; `None` if the other end has told none that can be.
    pub jitter: Option<Duration>,
}

/// One stream from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamTotal {
    /// The stream.
    pub id: u32,
    /// This end sends on it.
    pub is_sender: bool,
    /// As the sender counted; `None` if nobody told this end.
    pub sent: Option<Side>,
    /// As the receiver counted.
    pub received: Option<Side>,
}

/// One end's count of one stream, or of the sum of some.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Side {
    /// How long it took.
    pub elapsed: Duration,
    /// Payload bytes.
    pub bytes: u64,
    /// Of a TCP sender.
    pub tcp: Option<TcpTotal>,
    /// Of datagrams.
    pub datagrams: Option<Datagrams>,
}

/// What the kernel told of a sending TCP connection, over all intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTotal {
    /// Segments sent again.
    pub retransmits: u64,
    /// The largest congestion window in bytes.
    pub max_congestion_window: u64,
    /// The largest window that the peer offered, in bytes.
    pub max_peer_window: Option<u64>,
    /// The shortest, the mean and the longest smoothed round-trip time; `None` if there was none.
    pub rtt: Option<[Duration; 3]>,
}

/// Shares of one CPU that an end used, in percent: 200 is two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// In all.
    pub total: f64,
    /// In user mode.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

/// Round trips of small requests beside a throughput run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Before anything else was sent.
    pub idle: Option<Histogram>,
    /// While the streams were running.
    pub loaded: Option<Histogram>,
}

/// A run of requests and answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Requests that were answered.
    pub transactions: u64,
    /// Requests that were not, when it ended.
    pub unanswered: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// From the request, or from when it was due, to its whole answer.
    pub latency: Histogram,
    /// Of `--crr`: from the start of the connection until it was open.
    pub connecting: Option<Histogram>,
}

impl Exchange {
    /// Transactions a second.
    pub fn rate(&self) -> f64 {
        per_second(self.transactions as f64, self.elapsed)
    }

    /// The share of the requests that have no answer, in percent; `None` if it is known of none.
    pub fn lost_percent(&self) -> Option<f64> {
        let asked = self.transactions.saturating_add(self.unanswered);
        (asked > 0).then(|| self.unanswered as f64 * 100.0 / asked as f64)
    }
}

/// The sum, `None` if one is; what the other end says of itself may be anything, and must not overflow.
fn total(mut counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    counts.try_fold(0, |sum: u64, count| Some(sum.saturating_add(count?)))
}

/// So much a second; 0 where no time has passed.
pub fn per_second(amount: f64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { amount / elapsed.as_secs_f64() }
}

impl Datagrams {
    /// The share of what was sent that was lost, in percent.
    pub fn loss_percent(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.lost as f64 * 100.0 / self.sent as f64 }
    }

    /// Adds another stream's; `jitter` becomes the sum, to be divided.
    fn add(&mut self, other: &Datagrams) {
        let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        *self = Datagrams {
            offered: both(self.offered, other.offered),
            sent: self.sent.saturating_add(other.sent),
            received: both(self.received, other.received),
            lost: self.lost.saturating_add(other.lost),
            out_of_order: self.out_of_order.saturating_add(other.out_of_order),
            late: self.late.saturating_add(other.late),
            duplicated: self.duplicated.saturating_add(other.duplicated),
            dropped_here: self.dropped_here.saturating_add(other.dropped_here),
            jitter: self.jitter.zip(other.jitter).map(|(a, b)| a.saturating_add(b)),
        };
    }

    /// The sum of several streams; the jitter is the mean. `None` if one has no datagrams, or there is none.
    fn sum(all: impl Iterator<Item = Option<Datagrams>>) -> Option<Datagrams> {
        let mut all = all;
        let mut sum = all.next()??;
        let mut count = 1;
        for datagrams in all {
            sum.add(&datagrams?);
            count += 1;
        }
        sum.jitter = sum.jitter.map(|jitter| jitter / count);
        Some(sum)
    }
}

impl Slice {
    /// Bits a second.
    pub fn bits_per_second(&self) -> f64 {
        per_second(self.bytes as f64 * 8.0, self.end.saturating_sub(self.start))
    }

    /// The sum of several streams over the span of the first; windows and round trips have no sum and are 0. `None` if
    /// there is none.
    pub fn sum<'a>(slices: impl Iterator<Item = &'a Slice> + Clone) -> Option<Slice> {
        let first = slices.clone().next()?;
        let retransmits = total(slices.clone().map(|slice| slice.tcp.map(|tcp| tcp.retransmits)));
        Some(Slice {
            bytes: slices.clone().map(|slice| slice.bytes).fold(0, u64::saturating_add),
            tcp: retransmits.map(|retransmits| TcpFacts { retransmits, ..TcpFacts::default() }),
            datagrams: Datagrams::sum(slices.map(|slice| slice.datagrams)),
            ..*first
        })
    }
}

impl Interval {
    /// The sum of what this end sends, or of what it receives.
    pub fn sum(&self, is_sender: bool) -> Option<Slice> {
        Slice::sum(self.slices.iter().filter(|slice| slice.is_sender == is_sender))
    }
}

impl Side {
    /// Bits a second.
    pub fn bits_per_second(&self) -> f64 {
        per_second(self.bytes as f64 * 8.0, self.elapsed)
    }

    /// The sum of several streams, over the longest of their times. `None` if one is unknown, or there is none.
    fn sum(sides: impl Iterator<Item = Option<Side>> + Clone) -> Option<Side> {
        sides.clone().next()??;
        let mut sum = Side::default();
        for side in sides.clone() {
            let side = side?;
            sum.elapsed = sum.elapsed.max(side.elapsed);
            sum.bytes = sum.bytes.saturating_add(side.bytes);
        }
        let tcp = sides.clone().map(|side| side.and_then(|side| side.tcp));
        let retransmits = total(tcp.map(|tcp| tcp.map(|tcp| tcp.retransmits)));
        sum.tcp = retransmits.map(|retransmits| TcpTotal { retransmits, ..TcpTotal::default() });
        sum.datagrams = Datagrams::sum(sides.map(|side| side.and_then(|side| side.datagrams)));
        Some(sum)
    }
}

impl Results {
    fn totals_of(&self, is_sender: bool) -> impl Iterator<Item = &StreamTotal> + Clone {
        self.totals.iter().filter(move |total| total.is_sender == is_sender)
    }

    /// What the senders of one direction count together: of what this end sends, or of what it receives.
    pub fn sum_sent(&self, is_sender: bool) -> Option<Side> {
        Side::sum(self.totals_of(is_sender).map(|total| total.sent))
    }

    /// What the receivers of one direction count together.
    pub fn sum_received(&self, is_sender: bool) -> Option<Side> {
        Side::sum(self.totals_of(is_sender).map(|total| total.received))
    }

    /// Totals of a TCP sender from what the kernel told in its intervals, without the warm-up; `None` if it told nothing.
    pub fn tcp_total(intervals: &[Interval], id: u32) -> Option<TcpTotal> {
        let counted = intervals.iter().filter(|interval| !interval.is_omitted);
        let facts = counted.flat_map(|interval| &interval.slices).filter(|slice| slice.id == id);
        let facts: Vec<TcpFacts> = facts.filter_map(|slice| slice.tcp).collect();
        let trips = || facts.iter().map(|facts| facts.rtt).filter(|rtt| !rtt.is_zero());
        let count = trips().count() as u32;
        let rtt = trips().min().zip(trips().max()).map(|(min, max)| [min, trips().sum::<Duration>() / count, max]);
        (!facts.is_empty()).then(|| TcpTotal {
            retransmits: facts.iter().map(|facts| facts.retransmits).sum(),
            max_congestion_window: facts.iter().map(|facts| facts.congestion_window).max().unwrap_or(0),
            max_peer_window: facts.iter().filter_map(|facts| facts.peer_window).max(),
            rtt,
        })
    }
}

#[cfg(test)]
pub(crate) mod testing;
