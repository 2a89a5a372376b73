//! The books of one test: what each stream has counted, interval by interval, and what the other end says of it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bench::histogram::Quantiles;
use crate::bench::protocol::{self, Counted, More};
use crate::bench::result::{
    Connection, Cpu, Datagrams, Exchange, Interval, Latency, Pace, Protocol, Results, Setup, Side, Slice, StreamTotal,
    TcpFacts,
};
use crate::bench::traffic::Tally;
use crate::endpoint::socket::{Name, Socket};
use crate::escape::Escaped;
use crate::report::summary::Summary;
use crate::sys;

/// One stream, in the books.
pub(super) struct Lane {
    pub(super) connection: Connection,
    pub(super) tally: Arc<Tally>,
    /// A second descriptor of its socket, for questions. While it is there the connection is open.
    watch: Option<OwnedFd>,
    /// What was asked last.
    known: Option<sys::TcpInfo>,
    congestion: Option<String>,
    /// At the end of the interval before.
    last: Count,
    /// When the measurement began.
    base: Count,
}

/// What was counted up to some moment.
#[derive(Clone, Copy, Default)]
struct Count {
    bytes: u64,
    retransmits: u32,
    datagrams: Datagrams,
}

/// What is asked of a stream of datagrams.
#[derive(Clone, Copy)]
struct Udp {
    rate: Option<u64>,
    block: u64,
}

/// The books.
pub(super) struct Ledger {
    pub(super) setup: Setup,
    pub(super) lanes: Vec<Lane>,
    intervals: Vec<Interval>,
    /// When the running period began: the warm-up, then the measurement.
    began: Instant,
    last: Instant,
    cpu: [Duration; 2],
    is_omitting: bool,
    /// Round trips beside the streams.
    pub(super) latency: Latency,
    /// Round trips instead of them.
    pub(super) exchange: Option<Exchange>,
    /// The payload is looked at.
    pub(super) checks: bool,
    /// The end, once it is reached.
    span: Option<(Duration, [Duration; 2])>,
    /// When the last datagram came, where the books were kept open behind the end until none came any more.
    drained: Option<Duration>,
    /// How long the other end was left to read what it had before it was told of the end.
    left_to_read: Duration,
}

impl Lane {
    /// The stream with this number, over this socket.
    pub(super) fn new(id: u32, is_sender: bool, socket: &Socket) -> Self {
        let names = socket.ends().ok();
        let name = |index: usize| match names.as_ref().map(|names| &names[index]) {
            Some(Name::Inet(address)) => (address.ip().to_canonical().to_string(), address.port()),
            Some(Name::Unix(name)) => (crate::endpoint::printed::unix(name), 0),
            None => ("gone".into(), 0),
        };
        // without a second descriptor nothing is known but what is counted here
        Lane { watch: socket.fd().try_clone_to_owned().ok(), ..Lane::named(id, is_sender, name(1), name(0)) }
    }

    /// The same for datagrams between these two.
    pub(super) fn named(id: u32, is_sender: bool, local: (String, u16), remote: (String, u16)) -> Self {
        let ((local, local_port), (remote, remote_port)) = (local, remote);
        Lane {
            connection: Connection { id, is_sender, local, local_port, remote, remote_port },
            tally: Arc::default(),
            watch: None,
            known: None,
            congestion: None,
            last: Count::default(),
            base: Count::default(),
        }
    }

    fn info(&self) -> Option<sys::TcpInfo> {
        match self.watch.as_ref().filter(|_| self.connection.is_sender) {
            Some(watch) => sys::tcp_info(watch.as_fd()).ok(),
            None => self.known,
        }
    }

    /// The last questions: from now on its task alone holds the connection open.
    fn release(&mut self) {
        self.known = self.info();
        self.congestion = self.watch.take().and_then(|watch| sys::congestion(watch.as_fd()));
    }

    /// True if the system of the other end has everything that was sent.
    fn is_delivered(&self) -> bool {
        let unsent = self.watch.as_ref().filter(|_| self.connection.is_sender).map(|watch| sys::unsent(watch.as_fd()));
        // of one that is broken nothing more is delivered
        unsent.is_none_or(|unsent| unsent.unwrap_or(0) == 0)
    }

    fn count(&self) -> (Count, Option<sys::TcpInfo>) {
        let info = self.info();
        let retransmits = info.map_or(0, |info| info.retransmits);
        (Count { bytes: self.tally.bytes(), retransmits, datagrams: self.tally.datagrams() }, info)
    }

    /// What became of datagrams since then.
    fn datagrams(&self, now: &Datagrams, before: &Datagrams, offered: Option<u64>) -> Datagrams {
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let received = now.received.filter(|_| !self.connection.is_sender);
        let sent = since(now.sent, before.sent);
        Datagrams {
            offered: offered.map(|count| count.max(sent)),
            sent,
            received: received.map(|count| since(count, before.received.unwrap_or(0))),
            lost: since(now.lost, before.lost),
            out_of_order: since(now.out_of_order, before.out_of_order),
            late: since(now.late, before.late),
            duplicated: since(now.duplicated, before.duplicated),
            dropped_here: since(now.dropped_here, before.dropped_here),
            jitter: now.jitter,
        }
    }

    fn slice(&mut self, start: Duration, end: Duration, udp: Option<Udp>) -> Slice {
        let (count, info) = self.count();
        let before = std::mem::replace(&mut self.last, count);
        Slice {
            id: self.connection.id,
            is_sender: self.connection.is_sender,
            start,
            end,
            bytes: count.bytes - before.bytes,
            tcp: info.map(|info| TcpFacts {
                retransmits: u64::from(info.retransmits.saturating_sub(before.retransmits)),
                congestion_window: info.window,
                peer_window: info.peer_window,
                rtt: info.rtt,
                rtt_variation: info.rttvar,
                path_mtu: Some(info.path_mtu).filter(|bytes| *bytes > 0),
            }),
            datagrams: udp.map(|udp| self.datagrams(&count.datagrams, &before.datagrams, udp.offered(end - start))),
        }
    }
}

impl Udp {
    /// Datagrams that the rate comes to in this time.
    fn offered(self, time: Duration) -> Option<u64> {
        let bits = self.rate? as f64 * time.as_secs_f64();
        Some((bits / 8.0 / self.block.max(1) as f64) as u64)
    }
}

impl Ledger {
    fn udp(&self) -> Option<Udp> {
        let rate = match self.setup.pace {
            Pace::Bits(rate) => Some(rate),
            _ => None,
        };
        (self.setup.protocol == Protocol::Udp).then_some(Udp { rate, block: self.setup.block_bytes })
    }

    /// Opens the books.
    pub(super) fn new(setup: Setup, lanes: Vec<Lane>, now: Instant) -> Self {
        let is_omitting = !setup.omit.is_zero();
        Ledger {
            setup,
            lanes,
            intervals: Vec::new(),
            began: now,
            last: now,
            cpu: sys::cpu_time(),
            is_omitting,
            latency: Latency::default(),
            exchange: None,
            checks: false,
            span: None,
            drained: None,
            left_to_read: Duration::ZERO,
        }
    }

    /// The test begins.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.began, self.last, self.cpu) = (now, now, sys::cpu_time());
    }

    /// The warm-up is over: what was counted so far does not count.
    pub(super) fn begin_counting(&mut self, now: Instant) {
        self.is_omitting = false;
        self.begin(now);
        for lane in &mut self.lanes {
            lane.base = lane.count().0;
            lane.last = lane.base;
        }
    }

    /// True while nothing counts yet.
    pub(super) fn is_omitting(&self) -> bool {
        self.is_omitting
    }

    /// The end of an interval.
    pub(super) fn tick(&mut self, now: Instant, latency: Option<Quantiles>) -> (&Interval, bool) {
        let (start, end) = (self.last - self.began, now.saturating_duration_since(self.began));
        self.last = now;
        let udp = self.udp();
        let slices = self.lanes.iter_mut().map(|lane| lane.slice(start, end, udp)).collect();
        let interval = Interval { slices, latency, is_omitted: self.is_omitting };
        self.intervals.push(interval);
        let newest = self.intervals.len() - 1;
        (&self.intervals[newest], newest == 0)
    }

    /// When the last interval ended.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// The end of the test, with the rest of the last interval.
    pub(super) fn end(&mut self, now: Instant) {
        if self.is_untold() {
            self.tick(now, None);
        }
        self.lanes.iter_mut().for_each(Lane::release);
        let elapsed = now.saturating_duration_since(self.began);
        let cpu = sys::cpu_time();
        self.span = Some((elapsed, [cpu[0].saturating_sub(self.cpu[0]), cpu[1].saturating_sub(self.cpu[1])]));
    }

    /// Behind the end: nothing comes any more of what was sent, and this was when the last of it came.
    pub(super) fn drained(&mut self, last: Instant) {
        self.drained = Some(last.saturating_duration_since(self.began));
    }

    /// True if the systems of the other end have everything that was sent.
    pub(super) fn is_delivered(&self) -> bool {
        self.lanes.iter().all(Lane::is_delivered)
    }

    /// The other end was left so long to read what its system had, which is none of the test's.
    pub(super) fn left_to_read(&mut self, time: Duration) {
        self.left_to_read = time;
    }

    /// True if no interval was told yet.
    pub(super) fn is_untold(&self) -> bool {
        self.intervals.iter().all(|interval| interval.is_omitted)
    }

    /// Bytes that counted, of both directions.
    pub(super) fn bytes(&self) -> [u64; 2] {
        let sum = |is_sender| {
            let lanes = self.lanes.iter().filter(|lane| lane.connection.is_sender == is_sender);
            lanes.map(|lane| lane.tally.bytes().saturating_sub(lane.base.bytes)).sum()
        };
        [sum(true), sum(false)]
    }

    /// Bytes that have come in all, those of the warm-up included.
    pub(super) fn received(&self) -> u64 {
        self.lanes.iter().filter(|lane| !lane.connection.is_sender).map(|lane| lane.tally.bytes()).sum()
    }

    /// What counts so far, since the measurement began.
    pub(super) fn summary(&self, now: Instant) -> Summary {
        let [bytes_out, bytes_in] = self.bytes();
        Summary { bytes_in, bytes_out, elapsed: now.saturating_duration_since(self.began), reason: None }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(elapsed, _)| elapsed)
    }

    /// How long a stream was counted.
    fn elapsed_of(&self, lane: &Lane) -> Duration {
        match self.drained {
            Some(drained) if !lane.connection.is_sender => drained.max(self.elapsed()),
            _ => self.elapsed(),
        }
    }

    fn cpu(&self) -> Cpu {
        let Some((elapsed, [user, system])) = self.span else { return Cpu::default() };
        let percent = |time: Duration| match elapsed.is_zero() {
            true => 0.0,
            false => time.as_secs_f64() * 100.0 / elapsed.as_secs_f64(),
        };
        Cpu { total: percent(user + system), user: percent(user), system: percent(system) }
    }

    /// The congestion control of the first stream.
    fn congestion(&self) -> Option<String> {
        self.lanes.first()?.congestion.clone()
    }

    /// What is told to the other end.
    pub(super) fn told(&self) -> protocol::Results {
        let cpu = self.cpu();
        let datagrams = |lane: &Lane| match self.udp() {
            Some(_) => lane.tally.datagrams(),
            None => Datagrams::default(),
        };
        let more = |lane: &Lane| {
            let Datagrams { out_of_order, late, duplicated, dropped_here, .. } =
                lane.datagrams(&datagrams(lane), &lane.base.datagrams, None);
            More { reordered: out_of_order, duplicated, late, dropped_here, corrupted: lane.tally.corrupt() }
        };
        let counted = |lane: &Lane| Counted {
            id: lane.connection.id,
            jitter: datagrams(lane).jitter.map(|jitter| jitter.as_secs_f64()),
            lost: datagrams(lane).lost,
            packets: datagrams(lane).sent,
            omitted: self.udp().map_or([0, 0], |_| [lane.base.datagrams.sent, lane.base.datagrams.lost]),
            more: Some(more(lane)).filter(|_| !lane.connection.is_sender),
            bytes: lane.tally.bytes().saturating_sub(lane.base.bytes),
            retransmits: lane.info().map(|info| u64::from(info.retransmits.saturating_sub(lane.base.retransmits))),
            seconds: Some(self.elapsed_of(lane).as_secs_f64()),
        };
        protocol::Results {
            cpu: Some([cpu.total, cpu.user, cpu.system]),
            congestion: self.congestion(),
            streams: self.lanes.iter().map(counted).collect(),
            server_output: None,
        }
    }

    /// Everything, with what the other end has told.
    pub(super) fn close(&mut self, theirs: Option<&protocol::Results>, error: Option<String>) -> Results {
        let totals = self.lanes.iter().map(|lane| self.total(lane, theirs)).collect();
        let corrupt: u64 = self.lanes.iter().map(|lane| lane.tally.corrupt()).sum();
        let told = theirs.iter().flat_map(|theirs| &theirs.streams);
        let theirs_corrupt: u64 = told.filter_map(|stream| Some(stream.more?.corrupted)).sum();
        let [first, second] = [self.congestion(), theirs.and_then(|theirs| theirs.congestion.clone())];
        let name = |name: Option<String>| name.map(|name| Escaped(name.as_bytes()).to_string());
        let sends = self.lanes.first().is_some_and(|lane| lane.connection.is_sender);
        let congestion = if sends { [name(first), name(second)] } else { [name(second), name(first)] };
        let their_cpu = theirs.and_then(|theirs| theirs.cpu).map(|[total, user, system]| Cpu { total, user, system });
        Results {
            setup: self.setup.clone(),
            intervals: std::mem::take(&mut self.intervals),
            totals,
            cpu: [Some(self.cpu()), their_cpu],
            congestion,
            latency: std::mem::take(&mut self.latency),
            exchange: self.exchange.take(),
            corrupt_blocks: self.checks.then_some(corrupt + theirs_corrupt),
            error,
        }
    }

    fn total(&self, lane: &Lane, theirs: Option<&protocol::Results>) -> StreamTotal {
        let Connection { id, is_sender, .. } = lane.connection;
        let own = Side {
            elapsed: self.elapsed_of(lane),
            bytes: lane.tally.bytes().saturating_sub(lane.base.bytes),
            tcp: if is_sender { Results::tcp_total(&self.intervals, id) } else { None },
            datagrams: self.udp().map(|udp| {
                let offered = udp.offered(self.elapsed()).filter(|_| is_sender);
                lane.datagrams(&lane.tally.datagrams(), &lane.base.datagrams, offered)
            }),
        };
        let told = theirs.and_then(|theirs| theirs.streams.iter().find(|stream| stream.id == id));
        let elapsed = |seconds| match Duration::from_secs_f64(seconds) {
            elapsed if is_sender && !self.left_to_read.is_zero() => {
                elapsed.saturating_sub(self.left_to_read).max(self.elapsed())
            }
            elapsed => elapsed,
        };
        let other = told.map(|told| Side {
            elapsed: told.seconds.map_or(self.elapsed(), elapsed),
            bytes: told.bytes,
            tcp: told
                .retransmits
                .filter(|_| !is_sender)
                .map(|retransmits| crate::bench::result::TcpTotal { retransmits, ..Default::default() }),
            datagrams: self.udp().map(|_| their_datagrams(told, lane)),
        });
        let (sent, mut received) = if is_sender { (Some(own), other) } else { (other, Some(own)) };
        if let (Some(told), Some(datagrams)) = (told, received.as_mut().and_then(|side| side.datagrams.as_mut()))
            && let Some(most) = most_sent(told, lane)
        {
            // a haul that receives has waited until nothing came any more, and iperf3 was left the time to read it
            let is_read = told.more.is_some() || !self.left_to_read.is_zero();
            bound(datagrams, most, if is_sender { is_read } else { self.drained.is_some() });
        }
        StreamTotal { id, is_sender, sent, received }
    }
}

/// What the other end has told of datagrams. One that tells nothing of the warm-up has counted it, as iperf3 3.12 does.
fn their_datagrams(told: &Counted, lane: &Lane) -> Datagrams {
    let [packets, lost] = match told.omitted {
        [0, 0] => [lane.base.datagrams.sent, lane.base.datagrams.lost],
        omitted => omitted,
    };
    let (sent, lost) = (told.packets.saturating_sub(packets), told.lost.saturating_sub(lost));
    let receives = lane.connection.is_sender;
    let more = told.more.unwrap_or_default();
    Datagrams {
        offered: None,
        sent,
        received: receives.then_some(sent.saturating_sub(lost)),
        lost: if receives { lost } else { 0 },
        out_of_order: more.reordered,
        late: more.late,
        duplicated: more.duplicated,
        dropped_here: more.dropped_here,
        jitter: told.jitter.map(Duration::from_secs_f64),
    }
}

/// How many datagrams its sender has sent since the receiver began to count; `None` where that is not known.
fn most_sent(told: &Counted, lane: &Lane) -> Option<u64> {
    let base = lane.base.datagrams.sent;
    let most = match (lane.connection.is_sender, told.omitted) {
        // whether it has counted the warm-up is not known
        (_, [0, 0]) if base > 0 => return None,
        (true, [omitted, _]) => lane.tally.datagrams().sent.saturating_sub(omitted),
        (false, _) => told.packets.saturating_sub(base),
    };
    Some(most).filter(|most| *most > 0)
}

/// A number beyond what was sent was none of the sender's, whatever it was: what it made missing was not lost. No gap
/// tells of what was lost at the end: where nothing has come that is all, and where nothing more can come it is the rest.
fn bound(datagrams: &mut Datagrams, most: u64, is_drained: bool) {
    let received = datagrams.received.unwrap_or(0);
    if is_drained || datagrams.sent == 0 && received == 0 {
        (datagrams.sent, datagrams.lost) = (most, most.saturating_sub(received));
        return;
    }
    datagrams.sent = datagrams.sent.min(most);
    datagrams.lost = datagrams.lost.min(most.saturating_sub(received));
}

#[cfg(test)]
mod tests {
    use super::*;

    // A threshold on the loss must not pass because not even a gap has come.
    #[test]
    fn where_nothing_came_all_was_lost() {
        let mut datagrams = Datagrams { received: Some(0), ..Datagrams::default() };
        bound(&mut datagrams, 39, false);
        assert_eq!((datagrams.sent, datagrams.lost, datagrams.loss_percent()), (39, 39, 100.0));
        let mut datagrams = Datagrams { sent: 50, received: Some(30), lost: 20, ..Datagrams::default() };
        bound(&mut datagrams, 39, false);
        assert_eq!((datagrams.sent, datagrams.lost), (39, 9));
    }

    #[test]
    fn what_is_missing_at_the_end_is_lost_once_nothing_more_comes() {
        let seen = Datagrams { sent: 20, received: Some(18), lost: 2, ..Datagrams::default() };
        for (is_drained, expected) in [(false, (20, 2)), (true, (39, 21))] {
            let mut datagrams = seen;
            bound(&mut datagrams, 39, is_drained);
            assert_eq!((datagrams.sent, datagrams.lost), expected);
        }
    }
}
