//! The flags of `haul relay` that no other subcommand has, in groups.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

use super::super::endpoint;
use super::super::value::{self, Choice, Value, fault};
use crate::error::Error;
use crate::plan::address::{BadAddress, Host};
use crate::plan::advice;
use crate::plan::relay::{Balance, Copies, LogSink, Pair, Target};
use crate::plan::{AccessList, ProxyVersion};
use crate::units::Rate;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Targets")]
pub(super) struct Targets {
    /// One more target for the listener; may be repeated [default: the one behind it]
    #[arg(long = "target", value_name = "ENDPOINT", value_hint = ValueHint::Hostname)]
    pub(super) more: Vec<OsString>,

    /// Which of several targets a client is joined to; the next is tried when that cannot be reached [default: first]
    #[arg(long, value_name = "HOW", value_parser = BALANCE)]
    pub(super) balance: Option<Balance>,

    /// Connect to targets from this address [default: the system's choice]
    #[arg(short = 's', value_name = "ADDR", value_parser = value::host())]
    pub(super) source: Option<Host>,

    /// Connect to targets from this port, which serves one session at a time to each [default: a free one]
    #[arg(short = 'p', value_name = "PORT", value_parser = value::port())]
    pub(super) port: Option<u16>,

    /// Look the names of targets up again every T, and soon after a failure [default: 30s]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) resolve_every: Option<Duration>,
}

const BALANCE: Choice<Balance> = Choice(&[
    ("first", Balance::First, "the first, in the order given"),
    ("rr", Balance::RoundRobin, "one after the other"),
    ("least", Balance::Least, "the one with the fewest sessions"),
]);

impl Targets {
    /// Adds `--target` to the one pair that may have it.
    pub(super) fn add_to(&self, pairs: &mut [Pair]) -> Result<(), Error> {
        if self.more.is_empty() {
            return Ok(());
        }
        match pairs {
            [Pair { targets, .. }] if matches!(targets[..], [Target::Address(_)]) => {
                for word in &self.more {
                    targets.push(Target::Address(Box::new(endpoint::words(word, None)?)));
                }
                Ok(())
            }
            [_] => Err(advice::clash("--target", "a program", "it takes every client", "one of them")),
            _ => Err(advice::clash("--target", "several pairs", "it does not say whose it is", "a command a pair")),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Sessions {
    /// End a session when no byte has moved either way for T [default: no limit]
    #[arg(short = 'w', value_name = "T", value_parser = value::limit())]
    pub(super) idle: Option<Duration>,

    /// Forget a client of a datagram socket when no datagram has moved either way for T [default: that of -w, else 60s]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) flow_idle: Option<Duration>,

    /// Reset the client when connecting to its target has taken T [default: 10s]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) connect_timeout: Option<Duration>,

    /// End a session when one direction has ended and the other was silent for T [default: 5m]
    #[arg(long, value_name = "T", value_parser = value::limit())]
    pub(super) half_close_timeout: Option<Duration>,

    /// At the end, wait for T without progress until both peers have acknowledged everything [default: 30s]
    #[arg(long, value_name = "T", value_parser = value::span())]
    pub(super) linger: Option<Duration>,

    /// Move at most RATE in each direction of a session: 10M is bytes a second, 100Mbit bits [default: no limit]
    #[arg(short = 'L', value_name = "RATE", value_parser = value::rate())]
    pub(super) rate: Option<Rate>,

    /// Move at most RATE in each direction of all sessions together, shared out evenly [default: no limit]
    ///
    /// Each session that has more takes its turn; one that says little need not wait for them. Of datagrams, which are
    /// dropped, a client loses those beyond its even part as far as others use theirs.
    #[arg(long, value_name = "RATE", value_parser = value::rate())]
    pub(super) limit_total: Option<Rate>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logs and copies")]
pub(super) struct Records {
    /// Write a line for each session that is over to FILE, or - for standard output [default: to none]
    ///
    /// It holds, with a space between: the time, the client, the target, bytes from the client, bytes to it, seconds,
    /// and how it ended, which is the rest of the line. A space in a name is written \x20. A file is appended to,
    /// and opened anew at SIGHUP. After a failure, say of a full disk, each line is tried all the same; what is lost is
    /// told, and the status at the end is 5.
    #[arg(long, value_name = "FILE|-", value_parser = Value(log))]
    pub(super) log: Option<LogSink>,

    /// Write a copy of what passes into DIR: N.up from the client and N.down to it, for the session's number N.
    ///
    /// A copy that cannot be made or completed is told of, and stops no session; the status at the end is 5.
    #[arg(short = 'o', value_name = "DIR", value_parser = value::file(), value_hint = ValueHint::DirPath)]
    pub(super) output: Option<PathBuf>,

    /// Write the copies as hexadecimal dumps, N.up.hex and N.down.hex.
    #[arg(long)]
    pub(super) hex: bool,

    /// Begin each line of the dumps with the time.
    #[arg(long)]
    pub(super) timestamps: bool,
}

impl Records {
    /// The copies that `-o` asks for.
    pub(super) fn copies(&self) -> Result<Option<Copies>, Error> {
        if self.hex && self.output.is_none() {
            return Err(advice::lonely("--hex", "-o", "the dumps need a directory to go to", "-o DIR --hex"));
        }
        if self.timestamps && !self.hex {
            let why = "the time stands in front of the lines of a dump";
            return Err(advice::lonely("--timestamps", "--hex", why, "-o DIR --hex --timestamps"));
        }
        let (hex, timestamps) = (self.hex, self.timestamps);
        Ok(self.output.clone().map(|directory| Copies { directory, hex, timestamps }))
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "PROXY protocol")]
pub(super) struct Proxying {
    /// Begin each connection to a target with a PROXY header, of version v1 or v2, about its client [default: none]
    #[arg(long, value_name = "VERSION", value_parser = value::PROXY)]
    pub(super) proxy_send: Option<ProxyVersion>,

    /// Take a PROXY header, v1 or v2, from each client; with a list, only these may connect [default: take none]
    ///
    /// The header says where a client really comes from: --allow, --deny and --max-per-ip are about that address, and
    /// logs, events, programs and --proxy-send tell it. The list is written as that of --allow. A client that has sent
    /// no header within 3s is closed.
    #[arg(
        long,
        value_name = "CIDR,…|@FILE",
        num_args = 0..=1,
        require_equals = true,
        value_parser = Value(AccessList::parse),
    )]
    #[allow(clippy::option_option)]
    pub(super) proxy_accept: Option<Option<AccessList>>,
}

fn threads(value: &OsStr) -> Result<usize, BadAddress> {
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(number @ 1..=256) => Ok(number),
        Some(_) => Err(fault("from 1 to 256 threads make sense")),
        None => Err(fault("not a whole number")),
    }
}

fn log(value: &OsStr) -> Result<LogSink, BadAddress> {
    match value.as_encoded_bytes() {
        b"" => Err(fault("the name is empty")),
        b"-" => Ok(LogSink::Stdout),
        _ => Ok(LogSink::File(value.into())),
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
pub(super) struct Clients {
    /// Hold at most N sessions at once; who comes then waits to be accepted [default: what the descriptor limit allows]
    #[arg(short = 'm', value_name = "N", value_parser = value::count())]
    pub(super) most: Option<u64>,

    /// Hold at most N sessions at once from one address [default: no limit]
    #[arg(long, value_name = "N", value_parser = value::count())]
    pub(super) max_per_ip: Option<u64>,

    /// Serve one session, then end with its status.
    #[arg(long)]
    pub(super) once: bool,

    /// Share the sessions out among N threads, 1 to 256 [default: 1, which does for most networks]
    #[arg(long, value_name = "N", value_parser = Value(threads))]
    pub(super) threads: Option<usize>,

    /// When stopping, give busy sessions and programs T to end; idle ones are closed at once [default: 2s]
    #[arg(long, value_name = "T", value_parser = value::span())]
    pub(super) grace: Option<Duration>,
}
