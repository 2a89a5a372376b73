//! The flags of `haul bench`, in groups.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::super::shared::family;
use super::super::value::{self, Value, fault, number};
use super::{here, server};
use crate::error::{Error, Op};
use crate::plan::address::{BadAddress, Family, Host, Options};
use crate::plan::advice;
use crate::plan::bench::{DEFAULT_TIME, Direction, Load, Peer, Thresholds, Trip, Until};
use crate::units::{Chance, Rate};

/// Which end this is, and where the other one is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Ends")]
pub(super) struct Ends {
    /// Serve: wait for clients, any number at once.
    #[arg(short = 's')]
    pub(super) server: bool,

    /// The server, as iperf3 has it; the same as HOST.
    #[arg(short = 'c', value_name = "HOST")]
    client: Option<OsString>,

    /// The port of the server [default: 5201]
    #[arg(short = 'p', value_name = "PORT", value_parser = value::port())]
    pub(super) port: Option<u16>,

    /// Serve one test, then end: with status 1 if the test did not come to its end.
    #[arg(short = '1')]
    pub(super) once: bool,

    /// Serve here too: what this machine can do over tcp, unix, pipe, tls, ws or wss [default: tcp]
    #[arg(long, value_name = "SCHEME", num_args = 0..=1, default_missing_value = "tcp")]
    local: Option<OsString>,

    /// Connect the streams to ENDPOINT, say a relay or a proxy that leads to the server.
    ///
    /// With -u the datagrams go there, and no round trips are measured beside them; what the two ends agree on goes straight.
    #[arg(long, value_name = "ENDPOINT")]
    pub(super) via: Option<OsString>,

    /// Give up when a step of setting up has taken T [default: 10s]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) connect_timeout: Option<Duration>,

    /// Move bytes on N threads [default: one a stream, at most one a CPU]
    #[arg(long, value_name = "N", value_parser = Value(threads))]
    pub(super) threads: Option<usize>,

    /// Run on this CPU, counted from 0.
    #[arg(short = 'A', value_name = "CPU", value_parser = Value(cpu))]
    pub(super) affinity: Option<usize>,
}

impl Ends {
    /// A flag of clients that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [(self.client.is_some(), "-c"), (self.local.is_some(), "--local"), (self.via.is_some(), "--via")];
        all.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }

    /// The other end.
    pub(super) fn peer(&self, words: &[OsString], port: Option<u16>, family: Option<Family>) -> Result<Peer, Error> {
        match (&self.client, &self.local, words) {
            (Some(_), Some(_), _) => Err(advice::clash("-c", "--local", "the server is here", "one of them")),
            (_, Some(_), [word, ..]) => {
                let shown = crate::escape::Escaped(word.as_encoded_bytes()).to_string();
                Err(advice::clash("--local", &shown, "the server is here", "--local alone"))
            }
            (None, Some(scheme), _) => here(scheme, self.port, family),
            (Some(host), None, words) => {
                let words: Vec<_> = std::iter::once(host).chain(words).cloned().collect();
                server(&words, port).map(Peer::There)
            }
            (None, None, words) => server(words, port).map(Peer::There),
        }
    }
}

/// Bytes of a socket's buffer.
const MOST_WINDOW: u64 = 512 << 20;

/// iperf3's bound for a burst.
const MOST_BURST: u16 = 1000;

/// Bytes of a request where nothing says so.
const DEFAULT_TRIP: u64 = 64;

/// What is sent.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Load")]
pub(super) struct Work {
    /// Send for T [default: 10s]
    #[arg(short = 't', value_name = "T", value_parser = value::limit())]
    time: Option<Duration>,

    /// Send SIZE bytes in all, instead of for a time.
    #[arg(short = 'n', value_name = "SIZE", value_parser = Value(amount))]
    bytes: Option<u64>,

    /// Send N blocks in all, instead of for a time.
    #[arg(short = 'k', value_name = "N", value_parser = Value(amount))]
    blocks: Option<u64>,

    /// Leave out the first T of the results, in whole seconds: a part of one counts as one.
    #[arg(short = 'O', value_name = "T", value_parser = value::span())]
    omit: Option<Duration>,

    /// Use N streams in each direction, 1 to 128 [default: 1]
    #[arg(short = 'P', value_name = "N", value_parser = Value(streams))]
    streams: Option<u16>,

    /// Have the server send.
    #[arg(short = 'R')]
    reverse: bool,

    /// Have both ends send.
    #[arg(long)]
    bidir: bool,

    /// Send datagrams instead of streams.
    #[arg(short = 'u')]
    udp: bool,

    /// Hold each stream to RATE bits a second, 0 for no limit; with /N send N blocks together [default: no limit, with -u 1M]
    #[arg(short = 'b', value_name = "RATE[/N]", value_parser = Value(pace))]
    rate: Option<Pace>,

    /// Bytes of one write or datagram [default: 128K; with -u what fits a segment]
    #[arg(short = 'l', value_name = "SIZE", value_parser = Value(size))]
    block: Option<u64>,

    /// Print what happened every T, 0 for never [default: 1s; with -s never]
    #[arg(short = 'i', value_name = "T", value_parser = value::span())]
    interval: Option<Duration>,

    /// Send out of a file, which the kernel does not copy.
    #[arg(short = 'Z')]
    zerocopy: bool,
}

/// Whole seconds, of which a server is told: both ends have to begin to count together.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

impl Work {
    /// A flag that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.time.is_some(), "-t"),
            (self.bytes.is_some(), "-n"),
            (self.blocks.is_some(), "-k"),
            (self.omit.is_some(), "-O"),
            (self.streams.is_some(), "-P"),
            (self.reverse, "-R"),
            (self.bidir, "--bidir"),
            (self.udp, "-u"),
            (self.rate.is_some(), "-b"),
            (self.block.is_some(), "-l"),
            (self.zerocopy, "-Z"),
        ];
        all.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }

    /// How often a server prints a line.
    pub(super) fn asked_interval(&self) -> Option<Duration> {
        self.interval.filter(|time| !time.is_zero())
    }

    /// How often a client prints a line.
    pub(super) fn interval(&self) -> Option<Duration> {
        Some(self.interval.unwrap_or(Duration::from_secs(1))).filter(|time| !time.is_zero())
    }

    /// What is to be sent.
    pub(super) fn load(&self, trips: &Trips) -> Result<Load, Error> {
        let until = match (self.time, self.bytes, self.blocks) {
            (time, None, None) => Until::Time(time.unwrap_or(DEFAULT_TIME)),
            (None, Some(bytes), None) => Until::Bytes(bytes),
            (None, None, Some(blocks)) => Until::Blocks(blocks),
            (Some(_), ..) => return Err(advice::clash("-t", "-n or -k", "one thing ends it", "one of them")),
            (None, Some(_), Some(_)) => return Err(advice::clash("-n", "-k", "one thing ends it", "one of them")),
        };
        let direction = match (self.reverse, self.bidir) {
            (false, false) => Direction::Up,
            (true, false) => Direction::Down,
            (false, true) => Direction::Both,
            (true, true) => return Err(advice::clash("-R", "--bidir", "--bidir sends both ways", "one of them")),
        };
        let (least, most) = match (self.udp, trips.udp_counters_64bit) {
            (false, _) => (1, 1 << 20),
            (true, false) => (12, 65_507),
            (true, true) => (16, 65_507),
        };
        if self.block.is_some_and(|block| block < least || block > most) {
            let what = if self.udp { "a datagram" } else { "a write" };
            let error = Error::said(Op::Use, "-l", format!("{what} has {least} to {most} bytes"));
            return Err(error);
        }
        Ok(Load {
            udp: self.udp,
            direction,
            streams: self.streams.unwrap_or(1),
            until,
            omit: self.omit.map_or(Duration::ZERO, whole),
            block: self.block.map(|bytes| bytes as usize),
            rate: self.rate.map(|pace| pace.bits),
            burst: self.rate.map_or(1, |pace| pace.burst),
            zerocopy: self.zerocopy,
            check: trips.check,
            wide: trips.udp_counters_64bit,
            server_output: trips.get_server_output,
            trip: trips.trip()?,
        })
    }
}

/// What is behind `-b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// A second.
    bits: u64,
    /// Blocks that go together.
    burst: u16,
}

/// What only two hauls can do, and the rest of the load.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Round trips and more")]
pub(super) struct Trips {
    /// Send requests of SIZE bytes and wait for each answer, on each stream; the server must be haul [default: 64]
    ///
    /// With -u each is a datagram of 8 bytes or more, and one without an answer for a second counts as lost.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, value_parser = Value(size))]
    rr: Option<Option<u64>>,

    /// The same with a connection for each request: connect, ask, close.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, require_equals = true, value_parser = Value(size))]
    crr: Option<Option<u64>>,

    /// Check that every byte arrives as it was sent; the server must be haul. Status 4 if not.
    #[arg(long)]
    check: bool,

    /// Count datagrams with 64 bits.
    #[arg(long)]
    udp_counters_64bit: bool,

    /// Print what the server prints, too.
    #[arg(long)]
    get_server_output: bool,
}

impl Trips {
    /// A flag that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.rr.is_some(), "--rr"),
            (self.crr.is_some(), "--crr"),
            (self.check, "--check"),
            (self.udp_counters_64bit, "--udp-counters-64bit"),
            (self.get_server_output, "--get-server-output"),
        ];
        all.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }

    /// Requests and responses, if they are asked for.
    fn trip(&self) -> Result<Option<Trip>, Error> {
        let trip = |size: Option<u64>, connects| match size.unwrap_or(DEFAULT_TRIP) {
            size @ 1..=0x10_0000 => Ok(Some(Trip { size: size as usize, connects })),
            _ => {
                let flag = if connects { "--crr" } else { "--rr" };
                Err(Error::said(Op::Use, flag, "a request has 1 to 1048576 bytes"))
            }
        };
        match (self.rr, self.crr) {
            (Some(_), Some(_)) => Err(advice::clash("--rr", "--crr", "one of them is measured", "one of them")),
            (Some(size), None) => trip(size, false),
            (None, Some(size)) => trip(size, true),
            (None, None) => Ok(None),
        }
    }
}

/// What makes a measurement a failure.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Judgement")]
pub(super) struct Judging {
    /// End with status 8 if less than RATE arrives: 10M is bytes a second, 9Gbit bits [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = value::rate())]
    min: Option<Rate>,

    /// End with status 8 if one in a hundred round trips takes longer than T [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    max_p99: Option<Duration>,

    /// End with status 8 if more of the datagrams are lost, say 0.1% [default: no limit]
    #[arg(long, value_name = "P%", value_parser = Value(value::units::<Chance>))]
    max_loss: Option<Chance>,

    /// End with status 8 if it is worse than the results in FILE, which -J has made.
    ///
    /// Worse is a lower rate, fewer transactions, more datagrams lost, and of requests a longer median or p99. FILE has to be
    /// of the same load: protocol, direction, streams, block size and rate.
    #[arg(long, value_name = "FILE", value_parser = value::source_file(), value_hint = clap::ValueHint::FilePath)]
    compare: Option<PathBuf>,

    /// How much worse it may be than FILE [default: 0%]
    #[arg(long, value_name = "P%", value_parser = Value(value::units::<Chance>))]
    pub(super) tolerance: Option<Chance>,

    /// Measure N times, and tell the mean and the deviation.
    ///
    /// With -J that is one object: each run under `runs`, as it would be by itself, and what they come to under `haul`; with
    /// --json-stream that comes last, as the event `summary`.
    #[arg(long, value_name = "N", value_parser = Value(times))]
    pub(super) repeat: Option<u32>,
}

impl Judging {
    /// A flag that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.min.is_some(), "--min"),
            (self.max_p99.is_some(), "--max-p99"),
            (self.max_loss.is_some(), "--max-loss"),
            (self.compare.is_some(), "--compare"),
            (self.tolerance.is_some(), "--tolerance"),
            (self.repeat.is_some(), "--repeat"),
        ];
        all.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }

    /// The part of a plan that says so.
    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds { least_rate: self.min, most_p99: self.max_p99, most_loss: self.max_loss }
    }

    /// The results to compare with.
    pub(super) fn compare(&self) -> Result<Option<PathBuf>, Error> {
        if self.tolerance.is_some() && self.compare.is_none() {
            let why = "there is nothing that it could be worse than";
            return Err(advice::lonely("--tolerance", "--compare", why, "--compare FILE --tolerance 5%"));
        }
        Ok(self.compare.clone())
    }
}

/// What a server allows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of a server")]
pub(super) struct Limits {
    /// Serve at most N clients at once; others are told that it is busy [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = value::count())]
    pub(super) max_clients: Option<u64>,

    /// Refuse a test longer than T, and end one that is [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) max_time: Option<Duration>,

    /// Hold each test to RATE, --rr and --crr by late answers, and refuse one that asks for more: 10M is bytes a second,
    /// 9Gbit bits [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = value::rate())]
    pub(super) max_rate: Option<Rate>,
}

impl Limits {
    /// A flag that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.max_clients.is_some(), "--max-clients"),
            (self.max_time.is_some(), "--max-time"),
            (self.max_rate.is_some(), "--max-rate"),
        ];
        all.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }
}

/// Addresses, and iperf3's letters for what the streams are set to.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sockets")]
pub(super) struct Sockets {
    /// Use IPv4 only [default: both families]
    #[arg(short = '4')]
    ipv4: bool,

    /// Use IPv6 only [default: both families]
    #[arg(short = '6')]
    ipv6: bool,

    /// Connect from this address of this machine [default: the system's choice]
    #[arg(short = 'B', value_name = "ADDR", value_parser = value::host())]
    bind: Option<Host>,

    /// Use this network interface only, say eth0.
    #[arg(long, value_name = "IF", value_parser = Value(|v| value::setting("iface", v, |o| o.iface)))]
    iface: Option<String>,

    /// Size of the kernel's buffers in bytes, of both ends [default: the system tunes it]
    #[arg(short = 'w', value_name = "SIZE", value_parser = Value(window))]
    window: Option<u64>,

    /// The largest segment of TCP in bytes, 88 to 32767 [default: what the path allows]
    #[arg(short = 'M', value_name = "N", value_parser = Value(|v| value::setting("mss", v, |o| o.mss)))]
    mss: Option<u32>,

    /// Mark packets with this type of service, 0 to 252; 0x and a leading 0 work as in C [default: 0]
    #[arg(short = 'S', value_name = "TOS", value_parser = Value(service))]
    tos: Option<u8>,
}

impl Sockets {
    /// Adds what was given to `options`; what is there already has been given by its long name.
    pub(super) fn add_to(self, options: &mut Options) -> Result<(), Error> {
        options.family = family(self.ipv4, self.ipv6)?;
        options.source = self.bind;
        options.iface = self.iface;
        if self.window.is_some() && (options.rcvbuf.is_some() || options.sndbuf.is_some()) {
            let why = "they set the same buffers";
            return Err(advice::clash("-w", "--rcvbuf or --sndbuf", why, "one of them"));
        }
        options.rcvbuf = options.rcvbuf.or(self.window);
        options.sndbuf = options.sndbuf.or(self.window);
        options.mss = self.mss;
        if options.dscp.is_some() && self.tos.is_some() {
            return Err(advice::clash("-S", "--dscp", "they set the same bits", "one of them"));
        }
        options.dscp = options.dscp.or(self.tos.map(|tos| tos >> 2));
        Ok(())
    }
}

/// How results are printed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Results")]
pub(super) struct Printing {
    /// Print the results as one JSON object, with iperf3's names.
    #[arg(short = 'J')]
    pub(super) json: bool,

    /// Print a JSON object a line as it happens: the start, each interval, the end; with --repeat a summary.
    #[arg(long)]
    pub(super) json_stream: bool,

    /// Print the whole distribution of the round trips, down to the last one.
    #[arg(long)]
    pub(super) percentiles: bool,
}

/// A size in iperf3's units: k, m, g and t are powers of 1024.
fn size(value: &OsStr) -> Result<u64, BadAddress> {
    scaled(value, 1024)
}

/// What ends a test: a size, and not 0.
fn amount(value: &OsStr) -> Result<u64, BadAddress> {
    match size(value)? {
        0 => Err(fault("nothing would be sent")),
        amount => Ok(amount),
    }
}

/// A size of buffers: iperf3's bound, far above what any kernel gives.
fn window(value: &OsStr) -> Result<u64, BadAddress> {
    match size(value)? {
        size @ 0..=MOST_WINDOW => Ok(size),
        _ => Err(fault("a buffer has at most 512M")),
    }
}

/// Bits a second in iperf3's units, k, m, g and t being powers of 1000; behind a slash the blocks of a burst.
fn pace(value: &OsStr) -> Result<Pace, BadAddress> {
    let Some((rate, burst)) = value.to_str().and_then(|text| text.split_once('/')) else {
        return Ok(Pace { bits: scaled(value, 1000)?, burst: 1 });
    };
    let bits = scaled(OsStr::new(rate), 1000)?;
    let burst = number(OsStr::new(burst)).filter(|count| (1..=MOST_BURST).contains(count));
    match burst.ok_or_else(|| fault("a burst has 1 to 1000 blocks"))? {
        burst if bits > 0 => Ok(Pace { bits, burst }),
        _ => Err(fault("a burst needs a rate, which says when the next one is due")),
    }
}

fn scaled(value: &OsStr, step: u64) -> Result<u64, BadAddress> {
    let text = value.to_str().ok_or_else(|| fault("it is not UTF-8"))?;
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = match unit {
        "" => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err(fault("the unit is not one of k m g t")),
    };
    let number: f64 = number.parse().map_err(|_| fault("it does not begin with a number"))?;
    let whole = number * (step as f64).powi(power);
    match whole < u64::MAX as f64 {
        true => Ok(whole as u64),
        false => Err(fault("it is too large")),
    }
}

fn streams(value: &OsStr) -> Result<u16, BadAddress> {
    number(value).filter(|count| (1..=128).contains(count)).ok_or_else(|| fault("not a number from 1 to 128"))
}

fn times(value: &OsStr) -> Result<u32, BadAddress> {
    number(value).filter(|count| (1..=1000).contains(count)).ok_or_else(|| fault("not a number from 1 to 1000"))
}

fn threads(value: &OsStr) -> Result<usize, BadAddress> {
    number(value).filter(|count| (1..=256).contains(count)).ok_or_else(|| fault("not a number from 1 to 256"))
}

fn cpu(value: &OsStr) -> Result<usize, BadAddress> {
    number(value).filter(|cpu| *cpu < 1024).ok_or_else(|| fault("not the number of a CPU"))
}

fn service(value: &OsStr) -> Result<u8, BadAddress> {
    let text = value.to_str().unwrap_or_default();
    let parsed = match (text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(hex), _) => u8::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => u8::from_str_radix(octal, 8),
        _ => text.parse(),
    };
    match parsed {
        Ok(tos) if tos & 3 == 0 => Ok(tos),
        Ok(_) => Err(fault("the two lowest bits are the network's (RFC 3168)")),
        Err(_) => Err(fault("not a number from 0 to 252")),
    }
}
