//! What `haul bench` was asked to do, and what of it fits together.

mod explain;

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Kind, Message, UnixSocket};
use super::advice::{advice, clash, family, lonely, same_descriptor, unused};
use super::role::in_this_version;
use super::{Announce, Report};
use crate::error::{Error, Op};
use crate::units::{Chance, Rate};
pub(super) use explain::explain;

/// The port where none is given: iperf3's.
pub const DEFAULT_PORT: u16 = 5201;

/// How long it takes where nothing says so.
pub const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// How long each step of setting up may take where nothing says so.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// `haul bench`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bench {
    /// Which end this is.
    pub role: Role,
    /// `--threads`: how many move the bytes; chosen by the number of streams and CPUs where it is not given.
    pub threads: Option<usize>,
    /// `-A`: the CPU that everything runs on.
    pub affinity: Option<usize>,
    /// How results are printed.
    pub print: Print,
    /// What is told besides, and to whom.
    pub report: Report,
}

/// Which end it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// `-s`.
    Server(Box<Server>),
    /// `-c`, or neither.
    Client(Box<Client>),
}

/// `-s`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where it listens.
    pub at: Address,
    /// `-1`: one test, then the end.
    pub once: bool,
    /// `--max-clients`: tests at once.
    pub most_clients: Option<u64>,
    /// `--max-time`: how long a test may be.
    pub most_time: Option<Duration>,
    /// `--max-rate`: how much each test may move, bytes a second.
    pub most_rate: Option<Rate>,
    /// `-i`: how often a line is printed of each test; `None` for never.
    pub interval: Option<Duration>,
    /// Who is told the address once it is bound.
    pub announce: Announce,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// The other end.
    pub peer: Peer,
    /// `--via`: where the streams connect to instead.
    pub via: Option<Address>,
    /// What is measured.
    pub load: Load,
    /// How each step of setting up is bounded.
    pub patience: Duration,
    /// `-i`: how often a line is printed; `None` for none.
    pub interval: Option<Duration>,
    /// `--repeat`: how often it is measured.
    pub repeat: u32,
    /// What makes it a failure.
    pub thresholds: Thresholds,
    /// `--compare`.
    pub compare: Option<PathBuf>,
    /// `--tolerance`: how much worse than the one it is compared with it may be.
    pub tolerance: Chance,
}

/// The other end.
#[derive(Clone, Debug, PartialEq)]
pub enum Peer {
    /// Somewhere else.
    There(Address),
    /// `--local`: here too; with `pipes` the streams are pipes.
    Here {
        /// Where they agree.
        at: Address,
        /// What they agree on goes through pipes.
        pipes: bool,
    },
}

/// What is sent, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// `-u`.
    pub udp: bool,
    /// Which way.
    pub direction: Direction,
    /// `-P`: streams each way.
    pub streams: u16,
    /// What ends it.
    pub until: Until,
    /// `-O`: what does not count at the beginning.
    pub omit: Duration,
    /// `-l`: bytes of one write or datagram.
    pub block: Option<usize>,
    /// `-b`: bits a second of each stream; 0 for as many as can be.
    pub rate: Option<u64>,
    /// `-b RATE/BURST`: blocks or datagrams that go together, at least 1.
    pub burst: u16,
    /// `-Z`.
    pub zerocopy: bool,
    /// `--check`.
    pub check: bool,
    /// `--udp-counters-64bit`.
    pub wide: bool,
    /// `--get-server-output`.
    pub server_output: bool,
    /// `--rr`, `--crr`.
    pub trip: Option<Trip>,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    #[default]
    Up,
    /// `-R`: from the server.
    Down,
    /// `--bidir`.
    Both,
}

/// What ends a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// `-t`.
    Time(Duration),
    /// `-n`: bytes of all streams.
    Bytes(u64),
    /// `-k`: blocks of all streams.
    Blocks(u64),
}

/// Requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Bytes of each.
    pub size: usize,
    /// `--crr`: each on a connection of its own.
    pub connects: bool,
}

/// What makes a measurement a failure with status 8.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// `--min`: the least throughput, bytes a second.
    pub least_rate: Option<Rate>,
    /// `--max-p99`.
    pub most_p99: Option<Duration>,
    /// `--max-loss`.
    pub most_loss: Option<Chance>,
}

/// How results are printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// `-J`: one object.
    pub json: bool,
    /// `--json-stream`: one object a line.
    pub json_stream: bool,
    /// `--percentiles`.
    pub percentiles: bool,
}

impl Thresholds {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        *self == Thresholds::default()
    }
}

impl Client {
    /// The endpoint of the other end.
    pub fn address(&self) -> &Address {
        match &self.peer {
            Peer::There(address) | Peer::Here { at: address, .. } => address,
        }
    }

    /// True if round trips are measured beside the load: those go over a stream, which has to go the way of the load.
    pub fn is_probed(&self) -> bool {
        self.load.trip.is_none() && !(self.load.udp && self.via.is_some())
    }
}

/// Completes a plan: refuses what cannot work.
pub(super) fn settle(plan: &mut Bench, flags: &super::address::Options) -> Result<(), Error> {
    let address = match &plan.role {
        Role::Server(server) => {
            carries(Op::Listen, &server.at)?;
            same_descriptor(server.announce.ready_fd, plan.report.events.as_ref())?;
            &server.at
        }
        Role::Client(client) => {
            let address = client.address();
            carries(Op::Connect, address)?;
            if let Some(via) = &client.via {
                passes(client.load.udp, via)?;
                family(via)?;
            }
            piped(client)?;
            load(&client.load, address)?;
            judged(client)?;
            address
        }
    };
    family(address)?;
    let mut odd = unused(flags, std::slice::from_ref(address));
    if let Role::Client(client) = &plan.role
        && client.load.trip.is_none()
        && !client.is_probed()
    {
        odd.push(advice(
            "-u --via measures no round trips beside the datagrams",
            "-u --rr --via for those of datagrams",
        ));
    }
    plan.report.advice.extend(odd);
    Ok(())
}

/// Refuses endpoints over which no test can be.
fn carries(op: Op, address: &Address) -> Result<(), Error> {
    let fine = matches!(address.kind, Kind::Tcp(_) | Kind::Unix(_, UnixSocket::Stream) | Kind::Path(_));
    if !fine || address.options.listen {
        let why = "a measurement needs a TCP port or a Unix stream socket";
        let error = Error::said(Op::Use, address.to_string(), why);
        let udp = matches!(address.kind, Kind::Udp(_));
        return Err(if udp { error.with_advice("-u, with a TCP port for what the two ends agree on") } else { error });
    }
    let web = &address.options.web;
    if web.message == Some(Message::Text) {
        let why = "a measurement sends bytes, which are no text";
        return Err(Error::said(Op::Use, address.to_string(), why).with_advice("it without --text"));
    }
    if web.ping.is_some() {
        let why = "a measurement has limits of its own for a peer that is gone";
        return Err(Error::said(Op::Use, address.to_string(), why).with_advice("it without --ping"));
    }
    in_this_version(op, address)
}

/// Refuses a way that the streams, or the datagrams, cannot go.
fn passes(udp: bool, via: &Address) -> Result<(), Error> {
    if !udp {
        return carries(Op::Connect, via);
    }
    if !matches!(via.kind, Kind::Udp(_)) || via.options.listen {
        carries(Op::Connect, via)?;
    }
    datagrams(via)
}

/// Refuses endpoints to which no datagrams can be sent.
fn datagrams(address: &Address) -> Result<(), Error> {
    if !matches!(address.kind, Kind::Tcp(_) | Kind::Udp(_)) {
        return Err(clash("-u", &address.to_string(), "datagrams need an IP address", "a host and a port"));
    }
    if !address.layers.is_empty() {
        let why = "datagrams have no layers, which go over a stream";
        return Err(clash("-u", &address.to_string(), why, "it without -u"));
    }
    Ok(())
}

fn load(load: &Load, address: &Address) -> Result<(), Error> {
    if load.udp {
        datagrams(address)?;
    }
    if load.zerocopy && !address.layers.is_empty() {
        let why = "what the kernel reads goes out as it is";
        return Err(clash("-Z", &address.to_string(), why, "it without -Z"));
    }
    let options = &address.options;
    let stream = [(options.mss.is_some(), "-M"), (options.congestion.is_some(), "-C"), (options.nodelay, "-N")];
    if let Some((_, flag)) = stream.iter().find(|(given, _)| load.udp && *given) {
        return Err(clash(flag, "-u", "it is about TCP", "one of them"));
    }
    if load.udp && load.zerocopy {
        return Err(clash("-Z", "-u", "the kernel reads a file only into a stream", "one of them"));
    }
    if load.check && load.zerocopy {
        return Err(clash("--check", "-Z", "what is checked differs in each block", "one of them"));
    }
    if load.wide && !load.udp {
        let why = "only datagrams have counters";
        return Err(lonely("--udp-counters-64bit", "-u", why, "-u"));
    }
    let Some(Trip { connects, .. }) = load.trip else { return Ok(()) };
    let flag = if connects { "--crr" } else { "--rr" };
    if load.burst > 1 {
        let why = "one request is on its way at a time";
        return Err(clash(flag, "-b RATE/BURST", why, "-b RATE"));
    }
    if load.udp && connects {
        return Err(clash("--crr", "-u", "datagrams have no connection", "-u --rr"));
    }
    let told = [
        (load.direction != Direction::Up, "-R or --bidir"),
        (load.zerocopy, "-Z"),
        (load.check, "--check"),
        (matches!(load.until, Until::Bytes(_) | Until::Blocks(_)), "-n or -k"),
        (load.block.is_some(), "-l"),
    ];
    if let Some(Trip { size, .. }) = load.trip.filter(|trip| load.udp && !DATAGRAM.contains(&trip.size)) {
        let why = format!("a request in a datagram has {} to {} bytes", DATAGRAM.start(), DATAGRAM.end());
        return Err(Error::said(Op::Use, format!("-u with --rr={size}"), why).with_advice("-u --rr=64"));
    }
    match told.iter().find(|(given, _)| *given) {
        Some((_, "-l")) => Err(clash(flag, "-l", "the size stands behind it", &format!("{flag}=SIZE"))),
        Some((_, other)) => Err(clash(flag, other, "requests and responses are measured by themselves", "one of them")),
        None => Ok(()),
    }
}

/// Bytes of a request in a datagram: its number, to what UDP can carry.
const DATAGRAM: std::ops::RangeInclusive<usize> = 8..=65_507;

/// What pipes cannot do.
fn piped(client: &Client) -> Result<(), Error> {
    let Peer::Here { pipes: true, .. } = client.peer else { return Ok(()) };
    let told = [
        (client.load.udp, "-u"),
        (client.load.zerocopy, "-Z"),
        (client.load.trip.is_some(), "--rr or --crr"),
        (client.via.is_some(), "--via"),
    ];
    match told.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(clash("--local pipe", flag, "a pipe goes one way, from here to here", "--local tcp")),
        None => Ok(()),
    }
}

fn judged(client: &Client) -> Result<(), Error> {
    let Client { load, thresholds, .. } = client;
    if thresholds.most_loss.is_some() && !load.udp {
        return Err(lonely("--max-loss", "-u", "a stream loses nothing", "-u"));
    }
    if thresholds.most_p99.is_some() && load.trip.is_none() && !client.is_probed() {
        let why = "no round trips are measured beside datagrams that go another way";
        return Err(clash("--max-p99", "-u --via", why, "-u --rr"));
    }
    if thresholds.least_rate.is_some() && load.trip.is_some() {
        return Err(clash("--min", "--rr or --crr", "a rate of bytes is not what they measure", "--max-p99"));
    }
    Ok(())
}
