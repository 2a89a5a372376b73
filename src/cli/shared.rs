//! Flags that several subcommands share, in groups of at most 12, and the parts of a plan that they make.

use std::path::PathBuf;
use std::time::Duration;

use super::program::Copies;
use super::value::{self, Choice, Value};
use crate::error::Error;
use crate::plan::address::{Family, Keepalive, Options};
use crate::plan::{AfterPeerEof, Announce, DEFAULT_LINGER, EventSink, Flow, Progress, Report, Transfer, advice};
use crate::units::{Rate, Size};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Address")]
pub(super) struct Route {
    /// Use IPv4 only [default: both families]
    #[arg(short = '4')]
    ipv4: bool,

    /// Use IPv6 only [default: both families]
    #[arg(short = '6')]
    ipv6: bool,

    /// Take addresses and ports as numbers only; nothing is looked up.
    #[arg(short = 'n')]
    numeric: bool,

    /// Use this network interface only, say eth0.
    #[arg(long, value_name = "IF", value_parser = Value(|v| value::setting("iface", v, |o| o.iface)))]
    iface: Option<String>,
}

impl Route {
    /// Adds what was given to `options`.
    pub(super) fn add_to(self, options: &mut Options) -> Result<(), Error> {
        options.family = family(self.ipv4, self.ipv6)?;
        options.numeric = self.numeric;
        options.iface = self.iface;
        Ok(())
    }
}

/// What `-4` and `-6` leave.
pub(super) fn family(ipv4: bool, ipv6: bool) -> Result<Option<Family>, Error> {
    match (ipv4, ipv6) {
        (true, true) => Err(advice::clash("-4", "-6", "nothing is left", "one of them, or neither for both")),
        (true, false) => Ok(Some(Family::V4)),
        (false, true) => Ok(Some(Family::V6)),
        (false, false) => Ok(None),
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Socket tuning")]
pub(super) struct Tuning {
    /// Send small writes at once (TCP_NODELAY) [default: the system collects them]
    #[arg(long)]
    nodelay: bool,

    /// Probe a silent peer (SO_KEEPALIVE), every T if given [default: off; without T the system's times]
    #[arg(long, value_name = "T", num_args = 0..=1, require_equals = true,
          value_parser = Value(|v| value::setting("keepalive", v, |o| o.keepalive)))]
    keepalive: Option<Option<Keepalive>>,

    /// Give up when sent data stays unacknowledged for T (TCP_USER_TIMEOUT) [default: the system's, about 15 minutes]
    #[arg(long, value_name = "T", value_parser = Value(|v| value::setting("user-timeout", v, |o| o.user_timeout)))]
    user_timeout: Option<Duration>,

    /// Size of the kernel's receive buffer in bytes (SO_RCVBUF) [default: the system tunes it]
    #[arg(long, value_name = "SIZE", value_parser = Value(|v| value::setting("rcvbuf", v, |o| o.rcvbuf)))]
    rcvbuf: Option<u64>,

    /// Size of the kernel's send buffer in bytes (SO_SNDBUF) [default: the system tunes it]
    #[arg(long, value_name = "SIZE", value_parser = Value(|v| value::setting("sndbuf", v, |o| o.sndbuf)))]
    sndbuf: Option<u64>,

    /// Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]
    #[arg(long, value_name = "NAME", value_parser = Value(|v| value::setting("dscp", v, |o| o.dscp)))]
    dscp: Option<u8>,

    /// Hops that a packet may take, 1 to 255 [default: the system's, mostly 64]
    #[arg(long, value_name = "N", value_parser = Value(|v| value::setting("ttl", v, |o| o.ttl)))]
    ttl: Option<u8>,

    /// Congestion control of this connection, say reno, cubic or bbr [default: the system's]
    #[arg(long, value_name = "CC", value_parser = Value(|v| value::setting("congestion", v, |o| o.congestion)))]
    congestion: Option<String>,

    /// Use multipath TCP where the peer can, TCP where it cannot.
    #[arg(long)]
    mptcp: bool,
}

impl Tuning {
    /// Adds what was given to `options`.
    pub(super) fn add_to(self, options: &mut Options) {
        options.nodelay = self.nodelay;
        options.keepalive = self.keepalive.map(|every| every.unwrap_or(Keepalive::Default));
        options.user_timeout = self.user_timeout;
        options.rcvbuf = self.rcvbuf;
        options.sndbuf = self.sndbuf;
        options.dscp = self.dscp;
        options.ttl = self.ttl;
        options.congestion = self.congestion;
        options.mptcp = self.mptcp;
    }
}

/// Limits of a conversation: they need two directions, or a peer.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Stops {
    /// End with status 3 when no byte has moved either way for T [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) idle: Option<Duration>,

    /// End with status 0 when T has passed since the end of standard input [default: no limit]
    #[arg(short = 'q', value_name = "T", value_parser = value::span())]
    quit_after: Option<Duration>,

    /// End with status 0 when SIZE bytes have been received; the connection is reset [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = value::size())]
    max_bytes: Option<Size>,
}

/// Limits of everything that moves bytes.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// End with status 3 when the transfer, connecting and handshakes included, has taken T; the connection is reset [default: no limit]
    ///
    /// A listener counts from when a client came; --wait tries again, and each try counts anew.
    #[arg(long, value_name = "T", value_parser = value::limit())]
    max_time: Option<Duration>,

    /// At the end, wait for T without progress until the peer has acknowledged everything [default: 30s]
    #[arg(long, value_name = "T", value_parser = value::span())]
    linger: Option<Duration>,

    /// Move at most RATE in each direction: 10M is bytes a second, 100Mbit bits [default: no limit]
    ///
    /// In any span of time no more passes than RATE allows and one burst, which is what RATE moves in 40 ms.
    #[arg(short = 'L', value_name = "RATE", value_parser = value::rate())]
    rate: Option<Rate>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Directions and the end")]
pub(super) struct Directions {
    /// Leave standard input alone: nothing is sent, and the sending side stays open.
    #[arg(short = 'd')]
    no_stdin: bool,

    /// Only receive: standard input is left alone, and the peer is told at once that nothing will come.
    #[arg(long)]
    recv_only: bool,

    /// Only send: what the peer sends is discarded, and the end is when it has acknowledged everything.
    #[arg(long)]
    send_only: bool,

    /// Do not tell the peer when standard input ends [default: it is told, by a FIN]
    #[arg(long)]
    no_shutdown: bool,

    /// Tell the peer when standard input ends: the default, for habits from other netcats.
    #[arg(short = 'N')]
    shutdown: bool,

    /// What the peer's end means for what is still being sent [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = AFTER_PEER_EOF)]
    after_peer_eof: Option<AfterPeerEof>,
}

const AFTER_PEER_EOF: Choice<AfterPeerEof> = Choice(&[
    ("auto", AfterPeerEof::Auto, "go on until standard input ends, but stop if it is a terminal"),
    ("exit", AfterPeerEof::Exit, "stop; the connection is reset if standard input has not ended"),
    ("send", AfterPeerEof::Send, "go on until standard input ends"),
]);

/// What a transfer can prove.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Proof")]
pub(super) struct Proof {
    /// Verify with the haul at the other end, which needs --verify too, that every byte has arrived; if not, status 4
    ///
    /// The stream is framed, with its length and its BLAKE3 digest, and the receiver reports back when everything is
    /// written, and a program that takes it has exited with status 0. So the sender's status 0 means that the receiver
    /// has every byte where it was to go. What was cut short or changed on the way, what the receiver could not write,
    /// and a peer without --verify, end with status 4. The side whose own disk is full ends with status 5.
    #[arg(long)]
    verify: bool,

    /// Before a file counts as written, have it on the disk (fsync); with --verify, before that is reported.
    #[arg(long)]
    fsync: bool,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Buffers")]
pub(super) struct Buffers {
    /// Move at most SIZE bytes in one system call, 1 to 1Gi [default: chosen for the kind of endpoint]
    #[arg(long, value_name = "SIZE", value_parser = value::memory())]
    block: Option<Size>,

    /// Whether the kernel may move bytes without copying them through haul [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = SPLICE)]
    splice: Option<bool>,
}

/// `--buffer` of a conversation; in a pipe it is a ring.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Buffers")]
pub(super) struct InTransit {
    /// Hold at most SIZE bytes, 1 to 1Gi, in transit in each direction [default: chosen for the kind of endpoint]
    #[arg(long, value_name = "SIZE", value_parser = value::memory())]
    pub(super) buffer: Option<Size>,
}

const SPLICE: Choice<bool> =
    Choice(&[("auto", true, "where the kernel can"), ("never", false, "every byte passes through a buffer of haul's")]);

/// Every flag about how bytes move and how it ends.
#[derive(Debug, Default)]
pub(super) struct Moving {
    pub(super) directions: Directions,
    pub(super) stops: Stops,
    pub(super) limits: Limits,
    pub(super) copies: Copies,
    pub(super) proof: Proof,
    pub(super) buffers: Buffers,
    pub(super) buffer: Option<Size>,
}

impl Moving {
    /// The part of a plan that says so.
    pub(super) fn transfer(self) -> Result<Transfer, Error> {
        let Moving { directions, stops, limits, copies, proof, buffers, buffer } = self;
        let flow = match (directions.recv_only, directions.send_only) {
            (false, false) => Flow::Both,
            (true, false) => Flow::ReceiveOnly,
            (false, true) => Flow::SendOnly,
            (true, true) => {
                return Err(advice::clash("--recv-only", "--send-only", "nothing is left to move", "one of them"));
            }
        };
        if directions.shutdown && directions.no_shutdown {
            return Err(advice::clash("-N", "--no-shutdown", "they say the opposite", "one of them"));
        }
        Ok(Transfer {
            crlf: copies.crlf,
            banner: Vec::new(),
            out: copies.out.clone(),
            copy: copies.copy()?,
            flow,
            stdin: !directions.no_stdin,
            shutdown: !directions.no_shutdown,
            after_peer_eof: directions.after_peer_eof.unwrap_or(AfterPeerEof::Auto),
            quit_after: stops.quit_after,
            linger: limits.linger.unwrap_or(DEFAULT_LINGER),
            idle: stops.idle,
            max_time: limits.max_time,
            max_bytes: stops.max_bytes.map(|size| size.0),
            rate: limits.rate,
            block: buffers.block,
            buffer,
            splice: buffers.splice.unwrap_or(true),
            verify: proof.verify,
            fsync: proof.fsync,
        })
    }
}

/// Who is told where something listens.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Announcing {
    /// Once listening, write ADDR:PORT and a newline to this descriptor and close it [default: to none]
    #[arg(long, value_name = "N", value_parser = value::ready_fd())]
    ready_fd: Option<i32>,

    /// Once listening, write the port, or the path of a Unix socket, to this file [default: to none]
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

impl Announcing {
    /// The part of a plan that says so.
    pub(super) fn announce(self) -> Announce {
        Announce { ready_fd: self.ready_fd, port_file: self.port_file }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// Say more on standard error; -vv says still more [default: failures, and the address of a free port]
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbosity: u8,

    /// Say nothing on standard error but failures.
    #[arg(long)]
    quiet: bool,

    /// Print what would be done, a decision a line, and do nothing.
    #[arg(long)]
    pub(super) explain: bool,

    /// Write a JSON object a line for everything that happens, to a descriptor or at the end of a file.
    #[arg(long, value_name = "fd:N|FILE", value_parser = value::events())]
    events: Option<EventSink>,

    /// Print totals on standard error at the end.
    #[arg(long)]
    stats: bool,

    /// Show progress on standard error [default: off; without HOW a bar, if that is a terminal and does not show the payload too]
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, value_parser = PROGRESS)]
    progress: Option<Option<Progress>>,
}

const PROGRESS: Choice<Progress> = Choice(&[
    ("bar", Progress::Bar, "a bar, also if it is no terminal"),
    ("line", Progress::Line, "a line a second"),
    ("json", Progress::Json, "a JSON object a second"),
    ("off", Progress::Off, "nothing"),
]);

impl Output {
    /// The part of a plan that says what is told.
    pub(super) fn report(self) -> Result<Report, Error> {
        let progress = self.progress.map_or(Progress::Off, |how| how.unwrap_or(Progress::Auto));
        let loud = [(self.verbosity > 0, "-v"), (self.stats, "--stats"), (progress != Progress::Off, "--progress")];
        if let (true, Some((_, flag))) = (self.quiet, loud.iter().find(|(given, _)| *given)) {
            return Err(advice::clash(flag, "--quiet", "they say the opposite", "one of them"));
        }
        Ok(Report {
            quiet: self.quiet,
            verbosity: self.verbosity,
            stats: self.stats,
            progress,
            events: self.events,
            advice: Vec::new(),
        })
    }
}
