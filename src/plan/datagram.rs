//! What is asked for where messages are moved instead of bytes: `haul send-udp`, `listen -u` and `connect -u`.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Family, Host, Kind, UnixSocket};
use super::advice::{Advice, advice, clash};
use super::{Announce, Flow, Local, Report, Serving, Share, Transfer};
use crate::error::{Error, Op};
use crate::units::Rate;

/// The most bytes that one datagram holds over IPv4: 65535, less the headers of IPv4 and UDP (RFC 791, RFC 768).
pub const MOST_OVER_V4: usize = 65_507;

/// The same over IPv6, whose header does not count (RFC 8200, 3).
pub const MOST_OVER_V6: usize = 65_527;

/// `-w` where it is not given.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// `--flow-idle` where it is not given.
pub const DEFAULT_FLOW_IDLE: Duration = Duration::from_secs(60);

/// `haul send-udp`: datagrams out, and answers in.
#[derive(Clone, Debug, PartialEq)]
pub struct SendUdp {
    /// Where to, with its socket options. Invariant: UDP, or a Unix datagram socket.
    pub to: Address,
    /// What is sent.
    pub payload: Payload,
    /// `--split`: how the payload is taken apart; where it is not given, by lines from a terminal, by reads otherwise.
    /// Invariant: not given for [`Payload::Bytes`], which are one datagram.
    pub split: Option<Split>,
    /// How many, and how fast.
    pub pacing: Pacing,
    /// `-W`: answers after which it ends; status 3 if they have not come in time.
    pub replies: Option<u64>,
    /// `-w`: how long answers are waited for once everything is sent; 0 is not at all.
    pub wait: Duration,
    /// `--max-time`: longest time for everything, with status 3.
    pub max_time: Option<Duration>,
    /// `--seq`: each datagram begins with a stamp.
    pub stamped: bool,
    /// What is told, and to whom.
    pub report: Report,
}

/// `haul connect -u`: a connected datagram socket and the local side.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectUdp {
    /// Where to, with its socket options. Invariant: UDP, or a Unix datagram socket.
    pub to: Address,
    /// What is joined to it. A program's writes are datagrams; what is received comes to it as a stream of bytes.
    pub local: Local,
    /// False for `-d` and `--recv-only`: standard input is left alone, and so never ends.
    pub stdin: bool,
    /// `--split`: how standard input is taken apart; where it is not given, as for [`SendUdp::split`]. What is received is
    /// told apart in the same way, see [`ConnectUdp::framing`].
    pub split: Option<Split>,
    /// How fast; `count` is never given.
    pub pacing: Pacing,
    /// `-W`: received datagrams after which it ends.
    pub replies: Option<u64>,
    /// `-w`: how long after the end of standard input answers are waited for, from the latest of them; then it ends, with
    /// status 0, or with 3 if `-W` asks for more. Where standard input is left alone it counts from the start, and without
    /// it (`None`) nothing does.
    pub wait: Option<Duration>,
    /// `--idle`: longest time without a datagram either way, with status 3.
    pub idle: Option<Duration>,
    /// `--max-time`: longest time for everything, with status 3.
    pub max_time: Option<Duration>,
    /// What is told, and to whom.
    pub report: Report,
}

impl ConnectUdp {
    /// How received datagrams are told apart on standard output, where the bytes between those that are sent tell it.
    pub fn framing(&self) -> Option<Framing> {
        match self.split? {
            Split::Line => Some(Framing::Line),
            Split::Nul => Some(Framing::Nul),
            Split::Len16 => Some(Framing::Len16),
            Split::Read | Split::Size(_) | Split::Whole => None,
        }
    }
}

/// `haul listen -u`: one unconnected socket that serves every peer.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenUdp {
    /// Where to listen, with its socket options; a group address is joined, on the interface of the option `iface`, and if
    /// its option `source` is given, for what that host sends. Invariant: UDP, or a Unix datagram socket.
    pub at: Address,
    /// Who is told the address once it is bound.
    pub announce: Announce,
    /// What is joined: standard input and output for all peers, or a program for each.
    pub local: Local,
    /// False for `-d` and `--recv-only`: nothing is answered.
    pub stdin: bool,
    /// Whom, and how many peers at once (`most`) and in all (`count`). Every peer is served whatever `keep` says; datagrams
    /// of peers beyond a limit are dropped and counted. `share` is always [`Share::Merge`], `most_per_ip` never given.
    pub serving: Serving,
    /// `--flow-idle`: a peer that has been silent for this long, both ways, is forgotten.
    pub flow_idle: Duration,
    /// `--split`: how datagrams are told apart on standard output, and taken apart from standard input. Where it is not
    /// given the output is raw, and the input goes by lines from a terminal and by reads otherwise.
    pub framing: Option<Framing>,
    /// `-W`: received datagrams after which it ends, with status 0.
    pub datagrams: Option<u64>,
    /// `--accept-timeout`: longest wait for the first datagram, with status 3.
    pub first_within: Option<Duration>,
    /// `-w`: longest time without a datagram either way, with status 3.
    pub idle: Option<Duration>,
    /// `--max-time`: longest time for everything, with status 3.
    pub max_time: Option<Duration>,
    /// `--seq`: datagrams begin with a stamp, and what was lost, reordered and duplicated is reported.
    pub stamped: bool,
    /// What is told, and to whom.
    pub report: Report,
}

/// What `send-udp` sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Standard input.
    Stdin,
    /// DATA or `--data-hex`: one datagram, sent as often as `--count` says.
    Bytes(Vec<u8>),
    /// `--file`.
    File(PathBuf),
}

/// Where one datagram ends and the next begins in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What one read gives, at most [`READ`] bytes.
    Read,
    /// A line, without its newline; an empty line is an empty datagram.
    Line,
    /// What stands before a NUL byte.
    Nul,
    /// This many bytes; what is left at the end is a shorter one. Invariant: from 1 to what a datagram holds.
    Size(usize),
    /// Two bytes of length, the high one first, in front of each.
    Len16,
    /// Everything up to the end is one.
    Whole,
}

/// The most bytes of a datagram that is what one read gave.
pub const READ: usize = 8192;

/// How datagrams are told apart in a stream of bytes, both when they are written and when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A newline behind each.
    Line,
    /// A NUL byte behind each.
    Nul,
    /// Two bytes of length, the high one first, in front of each.
    Len16,
}

impl Framing {
    /// The same for taking a stream apart.
    pub fn split(self) -> Split {
        match self {
            Framing::Line => Split::Line,
            Framing::Nul => Split::Nul,
            Framing::Len16 => Split::Len16,
        }
    }
}

/// How many datagrams, and how fast. `interval` and `per_second` exclude each other; otherwise the slowest decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pacing {
    /// `--count`: how many; without it one of DATA, and of anything else all that there are.
    pub count: Option<u64>,
    /// `-i`: the time from one to the next.
    pub interval: Option<Duration>,
    /// `--pps`: datagrams per second.
    pub per_second: Option<u64>,
    /// `-L`: bytes of payload per second.
    pub rate: Option<Rate>,
}

/// True for what carries datagrams.
pub fn is_datagram(address: &Address) -> bool {
    address.layers.is_empty() && matches!(address.kind, Kind::Udp(_) | Kind::Unix(_, UnixSocket::Datagram))
}

/// Whether a host is a multicast group; a name tells only once it is resolved.
pub fn is_group(host: &Host) -> Option<bool> {
    match host {
        Host::Unspecified => Some(false),
        Host::Name(_) => None,
        Host::V4(ip) => Some(ip.is_multicast()),
        Host::V6(ip, _) => Some(ip.is_multicast()),
    }
}

/// The most bytes that a datagram to `to` can hold, and what over; a Unix socket's depends on its send buffer, and a
/// name's on its address.
pub fn most(to: &Address) -> Option<(usize, &'static str)> {
    let Kind::Udp(at) = &to.kind else { return None };
    match (&at.host, to.options.family) {
        (Host::V4(_), _) | (_, Some(Family::V4)) => Some((MOST_OVER_V4, "IPv4")),
        _ => Some((MOST_OVER_V6, "IPv6")),
    }
}

/// Refuses more bytes than one datagram holds.
///
/// # Errors
/// `length` is more than `limit`, which is that of `over`.
pub fn fits(length: usize, limit: usize, over: &str) -> Result<(), Error> {
    if length <= limit {
        return Ok(());
    }
    let cause = format!("over {over} a datagram holds at most {limit}");
    let error = Error::said(Op::Use, format!("{length} bytes as one datagram"), cause);
    Err(error.with_advice("--split 1400, which sends several"))
}

/// Refuses what cannot be sent, and gives what is odd.
pub(super) fn send(plan: &SendUdp) -> Result<Vec<Advice>, Error> {
    if plan.pacing.interval.is_some() && plan.pacing.per_second.is_some() {
        return Err(clash("-i", "--pps", "both say how fast", "one of them"));
    }
    if plan.replies.is_some() && plan.wait.is_zero() {
        return Err(clash("-W", "-w 0", "answers take time", "a longer -w"));
    }
    let bytes = match (&plan.payload, plan.split) {
        (Payload::Bytes(_), Some(_)) => {
            return Err(clash("--split", "DATA", "DATA is one datagram", "--file or standard input for several"));
        }
        (Payload::Bytes(bytes), None) => bytes.len(),
        (_, Some(Split::Size(bytes))) => bytes,
        _ => 0,
    };
    if let Some((limit, over)) = most(&plan.to) {
        fits(bytes, limit, over)?;
    }
    let mut odd = Vec::new();
    let one = plan.pacing.count.unwrap_or(1) == 1 && matches!(plan.payload, Payload::Bytes(_));
    let paced = plan.pacing.interval.is_some() || plan.pacing.per_second.is_some() || plan.pacing.rate.is_some();
    if one && paced {
        odd.push(advice("-i, --pps and -L change nothing for one datagram", "--count N for more of them"));
    }
    Ok(odd)
}

/// Refuses what `listen -u` cannot do, and gives what is odd.
pub(super) fn listen(plan: &ListenUdp) -> Result<Vec<Advice>, Error> {
    let serving = &plan.serving;
    let lists = (!serving.allow.is_empty()).then_some("--allow").or((!serving.deny.is_empty()).then_some("--deny"));
    match (&plan.at.kind, lists, serving.share) {
        (_, _, Share::FanOut) => {
            let why = "standard input answers the peer that was heard last";
            return Err(clash("--fan-out", "-u", why, "it without --fan-out"));
        }
        (_, _, Share::Broker) => {
            return Err(clash("--broker", "-u", "datagrams have no connections to join", "a multicast group"));
        }
        (Kind::Unix(..), Some(flag), _) => {
            let why = "who sends there has no address";
            return Err(clash(flag, &plan.at.to_string(), why, "--mode, for the permissions of the socket's file"));
        }
        _ => {}
    }
    if serving.most_per_ip.is_some() {
        let why = "the source of a datagram can be forged, so it would shut out whoever is named";
        return Err(clash("--max-per-ip", "-u", why, "-m, for all peers together"));
    }
    let program = plan.local != Local::Stdio;
    if program && !plan.stdin {
        let why = "what the program writes is sent, and standard input is not read anyway";
        return Err(clash("-d", "a program", why, "it without -d"));
    }
    if program && plan.framing.is_some() {
        let why = "each write of the program is a datagram, and what it reads has no bounds";
        return Err(clash("--split", "a program", why, "it without --split"));
    }
    let mut odd = Vec::new();
    let mut note = |condition: bool, sentence: &str, remedy: &str| {
        if condition {
            odd.push(advice(sentence, remedy));
        }
    };
    let options = &plan.at.options;
    note(
        options.loopback.is_some(),
        "--loop is about what is sent to a group, not about listening",
        "it at the sender",
    );
    note(options.broadcast, "a listener hears broadcasts without -b", "the endpoint without broadcast");
    note(serving.open && !program, "--open is about programs, and none is run", "the command without it");
    note(
        plan.max_time.is_some_and(|all| plan.idle.is_some_and(|idle| idle >= all)),
        "--max-time passes before --idle can",
        "a shorter --idle",
    );
    Ok(odd)
}

/// Refuses what `connect -u` cannot do.
pub(super) fn connect(plan: &ConnectUdp) -> Result<Vec<Advice>, Error> {
    if plan.local != Local::Stdio {
        if !plan.stdin {
            let why = "what the program writes is sent, and standard input is not read anyway";
            return Err(clash("-d", "a program", why, "it without -d"));
        }
        if plan.split.is_some() {
            let why = "each write of the program is a datagram, and what it reads has no bounds";
            return Err(clash("--split", "a program", why, "it without --split"));
        }
    }
    if let (Some(Split::Size(bytes)), Some((limit, over))) = (plan.split, most(&plan.to)) {
        fits(bytes, limit, over)?;
    }
    let mut odd = Vec::new();
    if !plan.stdin && plan.split.is_some() {
        odd.push(advice("--split is about standard input, which is not read", "the command without it"));
    }
    Ok(odd)
}

/// The flags of a byte stream that were given together with `-u`: refuses those that datagrams have no use for, and
/// notes those that change nothing. `plain` is what no flag at all makes.
///
/// # Errors
/// The first flag that cannot be meant.
pub fn without_a_stream(given: &Transfer, plain: &Transfer) -> Result<Vec<Advice>, Error> {
    let table: [(bool, &str, &str, &str); 10] = [
        (given.flow == Flow::SendOnly, "--send-only", "a sender alone is a command of its own", "haul send-udp"),
        (!given.shutdown, "--no-shutdown", "a datagram socket has no end to tell", "it without --no-shutdown"),
        (given.after_peer_eof != plain.after_peer_eof, "--after-peer-eof", "a peer has no end", "--idle or -W"),
        (given.max_bytes.is_some(), "--max-bytes", "datagrams are counted, not bytes", "-W N"),
        (given.crlf, "-C", "a datagram goes as it is", "it without -C"),
        (!given.banner.is_empty(), "--banner", "a peer is known once it has sent something", "a program"),
        (given.copy.is_some(), "-o", "a copy would not tell one datagram from the next", "--split len16, and tee"),
        (given.verify, "--verify", "datagrams may be lost, and nobody repeats them", "TCP"),
        (given.out.is_some(), "--out", "datagrams have no end that would make a file complete", "> FILE"),
        (given.fsync, "--fsync", "nobody waits for what a datagram was written to", "it without --fsync"),
    ];
    if let Some((_, flag, why, remedy)) = table.iter().find(|(given, ..)| *given) {
        return Err(clash(flag, "-u", why, remedy));
    }
    let buffers = given.block != plain.block || given.buffer != plain.buffer || given.splice != plain.splice;
    let mut odd = Vec::new();
    if buffers || given.linger != plain.linger {
        let sentence = "--block, --buffer, --splice and --linger change nothing for datagrams";
        odd.push(advice(sentence, "--rcvbuf and --sndbuf, for the kernel's buffers"));
    }
    Ok(odd)
}
