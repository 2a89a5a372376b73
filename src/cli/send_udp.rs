//! `haul send-udp`: its flags, and the plan they make.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

use super::datagrams;
use super::shared::{Output, Route};
use super::value::{self, Bytes, Value};
use super::{Request, endpoint, request};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Host, Options};
use crate::plan::datagram::{DEFAULT_WAIT, Pacing, Payload, SendUdp, Split};
use crate::plan::{Plan, advice};
use crate::units::Rate;

/// Send datagrams: words of the command line, a file, or standard input.
///
/// DATA, its words joined by spaces, is one datagram; standard input and a file are taken apart as --split says. Answers
/// go to standard output. A refusal that the peer's machine sends back is told, with status 1.
#[derive(Debug, clap::Parser)]
#[command(
    name = "send-udp",
    bin_name = "haul send-udp",
    override_usage = "haul send-udp [OPTIONS] HOST PORT [DATA…]\n       haul send-udp [OPTIONS] ENDPOINT [DATA…]",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, eof, units.",
    after_long_help = EXAMPLES
)]
pub(super) struct Args {
    /// Where to send to: a HOST followed by a PORT, or an endpoint such as host:53, ::1/53 or unix,dgram:/dev/log.
    #[arg(value_name = "ENDPOINT", value_hint = ValueHint::Hostname)]
    first: Option<OsString>,

    /// The port behind a HOST, then what to send; behind -- it may begin with a hyphen [default: standard input]
    #[arg(value_name = "DATA")]
    rest: Vec<OsString>,

    /// Send from this port [default: a free one]
    #[arg(short = 'p', value_name = "PORT", value_parser = value::port(), help_heading = "Address")]
    port: Option<u16>,

    /// Send from this address of this machine [default: the system chooses]
    #[arg(short = 's', value_name = "ADDR", value_parser = value::host(), help_heading = "Address")]
    source: Option<Host>,

    /// Send to the Unix datagram socket at this path; every word is then DATA.
    #[arg(short = 'U', value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Address")]
    unix: Option<OsString>,

    /// Changes nothing; for habits from other netcats.
    #[arg(short = 'u')]
    udp: bool,

    #[command(flatten)]
    content: Content,

    #[command(flatten)]
    pace: Pace,

    #[command(flatten)]
    answers: Answers,

    #[command(flatten)]
    group: Group,

    #[command(flatten)]
    route: Route,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    tuning: Tuning,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is sent")]
struct Content {
    /// Send this file [default: standard input]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Send one datagram of these bytes, two hexadecimal digits each; spaces and colons may stand between bytes.
    #[arg(long, value_name = "DIGITS", value_parser = Value(datagrams::hex))]
    data_hex: Option<Bytes>,

    /// Take the input apart: read, line, nul, len16, none, or a SIZE [default: read; line from a terminal]
    ///
    /// read makes a datagram of what one read gives, at most 8192 bytes; line one of each line, without its newline; nul
    /// one of what stands before each NUL byte; SIZE one of as many bytes; len16 one of what follows two bytes of length,
    /// the high one first; none makes one of everything. Nothing between two newlines or NUL bytes is an empty datagram.
    #[arg(long, value_name = "HOW", value_parser = Value(datagrams::split))]
    split: Option<Split>,

    /// Begin each datagram with a stamp, for a report of what was lost by listen -u --seq.
    ///
    /// Behind the last one up to three stamps without payload tell the end; they are in no count.
    #[arg(long)]
    seq: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How many, and how fast")]
struct Pace {
    /// Send N datagrams: DATA as often, and of other input no more [default: DATA once, all of other input]
    #[arg(long, value_name = "N", value_parser = value::count())]
    count: Option<u64>,

    /// Send one datagram every T [default: as fast as it goes]
    #[arg(short = 'i', value_name = "T", value_parser = value::span())]
    interval: Option<Duration>,

    /// Send at most N datagrams a second [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = value::count())]
    pps: Option<u64>,

    /// Send at most RATE of payload: 10M is bytes a second, 100Mbit bits [default: no limit]
    #[arg(short = 'L', value_name = "RATE", value_parser = value::rate())]
    rate: Option<Rate>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Answers")]
struct Answers {
    /// Wait for N answers, and end with status 3 if they do not come in time [default: as many as come]
    #[arg(short = 'W', value_name = "N", value_parser = value::count())]
    replies: Option<u64>,

    /// Wait for answers for T when everything is sent [default: 1s; without -W, 0 if it is not standard input that is sent]
    #[arg(short = 'w', value_name = "T", value_parser = value::span())]
    wait: Option<Duration>,

    /// End with status 3 when everything has taken T, say at a Unix socket that nobody reads [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    max_time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Broadcast and multicast")]
struct Group {
    /// Allow sending to a broadcast address, say 192.0.2.255.
    #[arg(short = 'b')]
    broadcast: bool,

    /// Whether this machine hears what is sent to a group too: on or off [default: on]
    #[arg(long = "loop", id = "loop", value_name = "WHEN", num_args = 0..=1, require_equals = true,
          value_parser = Value(|v| value::setting("loop", v, |o| o.loopback)))]
    loopback: Option<Option<bool>>,

    /// Never fragment: a datagram that is too long for the path is an error.
    #[arg(long)]
    df: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Socket tuning")]
struct Tuning {
    /// Size of the kernel's receive buffer in bytes (SO_RCVBUF) [default: as large as the system allows, up to 8Mi]
    #[arg(long, value_name = "SIZE", value_parser = Value(|v| value::setting("rcvbuf", v, |o| o.rcvbuf)))]
    rcvbuf: Option<u64>,

    /// Size of the kernel's send buffer in bytes (SO_SNDBUF) [default: the system's]
    #[arg(long, value_name = "SIZE", value_parser = Value(|v| value::setting("sndbuf", v, |o| o.sndbuf)))]
    sndbuf: Option<u64>,

    /// Mark packets with this code point: a name such as ef, cs1 or af41, or 0 to 63 [default: 0]
    #[arg(long, value_name = "NAME", value_parser = Value(|v| value::setting("dscp", v, |o| o.dscp)))]
    dscp: Option<u8>,

    /// Hops that a packet may take, 1 to 255; to a group also 0 [default: the system's, mostly 64; to a group 1]
    #[arg(long, value_name = "N", value_parser = Value(|v| value::setting("ttl", v, |o| o.ttl)))]
    ttl: Option<u8>,
}

const EXAMPLES: &str = "\
Examples:
  haul send-udp host 514 '<14>hello'      one datagram, and no answer
  haul send-udp -W 1 -w 500ms host 53 --data-hex 0001…
                                          a question; status 3 if nobody answers
  haul send-udp --split line host 9000 < log
                                          a datagram a line
  haul send-udp --count 1000 --pps 100 --seq host 9000 x
                                          10 s of numbered datagrams, for listen -u --seq
  haul send-udp --ttl 4 --iface eth0 239.1.2.3 5000 hello
                                          to a multicast group
  haul send-udp -U /dev/log hello         to a Unix datagram socket

See also: haul help endpoints, exit, eof, units.";

impl Args {
    /// Validates everything that was given; `behind` are the words behind `--`, which are DATA as they are.
    pub(super) fn into_request(mut self, behind: &[OsString]) -> Result<Request, Error> {
        let url = endpoint::url(self.first.as_deref());
        let (mut to, mut data) = self.target()?;
        data.extend_from_slice(behind);
        let mut flags = Options {
            source: self.source,
            source_port: self.port,
            rcvbuf: self.tuning.rcvbuf,
            sndbuf: self.tuning.sndbuf,
            dscp: self.tuning.dscp,
            ttl: self.tuning.ttl,
            broadcast: self.group.broadcast,
            loopback: self.group.loopback.map(|on| on.unwrap_or(true)),
            df: self.group.df,
            ..Options::default()
        };
        self.route.add_to(&mut flags)?;
        to.overlay(&flags);
        let shown = to.clone();
        let explain = self.output.explain;
        let payload = payload(data, self.content.file, self.content.data_hex)?;
        let waits = self.answers.replies.is_some() || payload == Payload::Stdin;
        let plan = Plan::SendUdp(SendUdp {
            to,
            split: self.content.split,
            pacing: Pacing {
                count: self.pace.count,
                interval: self.pace.interval.filter(|time| !time.is_zero()),
                per_second: self.pace.pps,
                rate: self.pace.rate,
            },
            replies: self.answers.replies,
            wait: self.answers.wait.unwrap_or(if waits { DEFAULT_WAIT } else { Duration::ZERO }),
            max_time: self.answers.max_time,
            stamped: self.content.seq,
            payload,
            report: self.output.report()?,
        });
        request(plan, &flags, explain).map_err(|error| endpoint::as_typed(error, &shown, url))
    }

    /// Where to send to, and the words that are left.
    fn target(&mut self) -> Result<(Address, Vec<OsString>), Error> {
        let mut rest = std::mem::take(&mut self.rest);
        let first = self.first.take();
        if let Some(path) = self.unix.take() {
            let address = endpoint::unix(&path, None, None)?;
            let data = first.into_iter().chain(rest).collect();
            return Ok((datagrams::endpoint(None, false, address, true)?, data));
        }
        let Some(first) = first else {
            let missing = Error::said(Op::Parse, "'haul send-udp'", "it does not say where to");
            return Err(missing.with_advice("haul send-udp HOST PORT"));
        };
        let second = if endpoint::is_whole(&first) || rest.is_empty() { None } else { Some(rest.remove(0)) };
        let address = endpoint::words(&first, second.as_deref())?;
        // what cannot be sent to is told as such, not as a contradiction to a flag that was not given
        let carries = datagrams::endpoint(Some(&first), second.is_some(), address.clone(), true).is_ok();
        Ok((datagrams::endpoint(Some(&first), second.is_some(), address, carries)?, rest))
    }
}

/// What is sent: one of DATA, `--data-hex`, `--file` and standard input.
fn payload(data: Vec<OsString>, file: Option<PathBuf>, hex: Option<Bytes>) -> Result<Payload, Error> {
    let named = [(!data.is_empty(), "DATA"), (hex.is_some(), "--data-hex"), (file.is_some(), "--file")];
    let mut given = named.iter().filter(|(given, _)| *given).map(|(_, name)| *name);
    if let (Some(one), Some(other)) = (given.next(), given.next()) {
        return Err(advice::clash(one, other, "one of them says what is sent", "one of them"));
    }
    Ok(match (hex, file) {
        (Some(bytes), _) => Payload::Bytes(bytes.0),
        (None, Some(path)) => Payload::File(path),
        (None, None) if data.is_empty() => Payload::Stdin,
        (None, None) => Payload::Bytes(data.join(OsStr::new(" ")).into_encoded_bytes()),
    })
}

#[cfg(test)]
mod tests;
