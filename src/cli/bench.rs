//! `haul bench`: its flags, and the plan they make.

mod flags;

use std::ffi::{OsStr, OsString};

use super::shared::{Announcing, Output, Tuning};
use super::tls::Tls;
use super::{Request, endpoint, request};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Family, Host, Kind, Layer, Options, UnixName, UnixSocket};
use crate::plan::bench::{Bench, Client, DEFAULT_PATIENCE, DEFAULT_PORT, Peer, Print, Role, Server};
use crate::plan::tls::{Reach, Side, TlsFlags};
use crate::plan::{Plan, Progress, advice};
use crate::units::Chance;
use flags::{Ends, Judging, Limits, Printing, Sockets, Trips, Work};

/// Measure throughput and latency between two ends, one of which serves (-s); both speak iperf3's protocol.
///
/// A server takes any number of clients at once on one port, haul or iperf3; a client measures against either. Between
/// two hauls the latency under load stands beside the throughput, and --rr, --crr and --check work. -b, -l, -n and -w
/// take iperf3's units: 10M is 10,000,000 bits a second behind -b, and 10 MiB behind the others.
#[derive(Debug, clap::Parser)]
#[command(
    name = "bench",
    bin_name = "haul bench",
    override_usage = "haul bench -s [OPTIONS] [ADDR] [PORT]\n       \
                      haul bench [OPTIONS] HOST [PORT]\n       \
                      haul bench [OPTIONS] --local [SCHEME]",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, tls, units.",
    after_long_help = EXAMPLES,
    mut_arg("nodelay", |arg| arg.short('N')),
    mut_arg("congestion", |arg| arg.short('C')),
    mut_arg("stats", |arg| arg.hide(true)),
    mut_arg("progress", |arg| arg.hide(true)),
)]
pub(super) struct Args {
    /// The server, as a host, a host and a port, or an endpoint; with -s where to listen [default: port 5201]
    #[arg(value_name = "HOST", num_args = 0..=2)]
    words: Vec<OsString>,

    #[command(flatten)]
    ends: Ends,

    #[command(flatten)]
    work: Work,

    #[command(flatten)]
    trips: Trips,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    sockets: Sockets,

    #[command(flatten)]
    tls: Tls,

    #[command(flatten)]
    printing: Printing,

    #[command(flatten)]
    announcing: Announcing,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    tuning: Tuning,
}

const EXAMPLES: &str = "\
Examples:
  haul bench -s                           serve, for haul and for iperf3
  haul bench host -P 8 -R                 8 streams from there, for 10 s
  haul bench host -u -b 100M              datagrams, and what became of them
  haul bench host --rr --max-p99 2ms      round trips; status 8 if they are slow
  haul bench --local unix -t 2            what this machine can do
  haul bench -s --tls                     serve haul over TLS; it prints how to reach it
  haul bench host --via proxy:5201        the streams go through the proxy

See also: haul help endpoints, exit, tls, units.";

impl Args {
    /// Validates everything that was given.
    pub(super) fn into_request(self) -> Result<Request, Error> {
        let Args { words, ends, work, trips, judging, limits, sockets, tls, printing, announcing, output, tuning } =
            self;
        let mut flags = Options::default();
        tuning.add_to(&mut flags);
        sockets.add_to(&mut flags)?;
        let port = ends.port;
        let explain = output.explain;
        let report = output.report()?;
        let idle = [(report.stats, "--stats"), (report.progress != Progress::Off, "--progress")];
        if let Some((_, flag)) = idle.iter().find(|(given, _)| *given) {
            return Err(advice::clash(flag, "haul bench", "the results tell it", "-i T for a line every T"));
        }
        let tls = tls.flags();
        let (threads, affinity) = (ends.threads, ends.affinity);
        let print = Print { json: printing.json, json_stream: printing.json_stream, percentiles: printing.percentiles };
        if print.json && print.json_stream {
            return Err(advice::clash("-J", "--json-stream", "the results are printed once", "one of them"));
        }
        let role = if ends.server {
            if let Some(flag) = work.given().or(trips.given()).or(judging.given()).or(ends.given()) {
                return Err(advice::clash("-s", flag, "the client says what is measured", "it at the client"));
            }
            let mut at = place(&words, port)?;
            at.overlay(&flags);
            tls.apply(vec![(&mut at, Side::Server)], Reach::Each)?;
            Role::Server(Box::new(Server {
                at,
                once: ends.once,
                interval: work.asked_interval(),
                most_clients: limits.max_clients,
                most_time: limits.max_time,
                most_rate: limits.max_rate,
                announce: announcing.announce(),
            }))
        } else {
            if let Some(flag) = limits.given().or(ends.once.then_some("-1")) {
                return Err(advice::lonely(flag, "-s", "only a server has it", "haul bench -s"));
            }
            let mut via = ends.via.as_deref().map(|word| endpoint::words(word, None)).transpose()?;
            let mut peer = ends.peer(&words, port, flags.family)?;
            overlay(&mut peer, via.as_mut(), &flags, &tls)?;
            Role::Client(Box::new(Client {
                peer,
                via,
                interval: work.interval(),
                load: work.load(&trips)?,
                patience: ends.connect_timeout.unwrap_or(DEFAULT_PATIENCE),
                repeat: judging.repeat.unwrap_or(1),
                thresholds: judging.thresholds(),
                tolerance: judging.tolerance.unwrap_or(Chance::NEVER),
                compare: judging.compare()?,
            }))
        };
        let plan = Bench { role, threads, affinity, print, report };
        request(Plan::Bench(Box::new(plan)), &flags, explain)
    }
}

/// Puts what was given as flags on the endpoints of a client.
fn overlay(peer: &mut Peer, via: Option<&mut Address>, flags: &Options, tls: &TlsFlags) -> Result<(), Error> {
    let (here, address) = match peer {
        Peer::There(address) => (false, address),
        Peer::Here { at, .. } => (true, at),
    };
    if here && *tls != TlsFlags::default() {
        let why = "its certificate is made for it, and believed";
        return Err(advice::clash("--local", "a flag about TLS", why, "--local tls"));
    }
    let mut ends: Vec<_> = std::iter::once(address).chain(via).collect();
    ends.iter_mut().for_each(|address| address.overlay(flags));
    tls.apply(ends.into_iter().map(|address| (address, Side::Client)).collect(), Reach::Each)
}

/// Where to listen: `[ADDR] [PORT]`, or an endpoint.
fn place(words: &[OsString], port: Option<u16>) -> Result<Address, Error> {
    if let (Some(_), true) = (port, says_port(words)) {
        return Err(advice::clash("-p", "a port behind the host", "there is one port", "one of them"));
    }
    let is_given = port.is_some();
    let port = OsString::from(port.unwrap_or(DEFAULT_PORT).to_string());
    match words {
        [] => endpoint::words(&port, None),
        [word] if !is_given && ends_like_a_port(word) => endpoint::words(word, None),
        [word] if endpoint::is_whole(word) => endpoint::words(word, None),
        [host] => endpoint::words(host, Some(&port)),
        [host, port, ..] => endpoint::words(host, Some(port)),
    }
}

/// True if the words hold a port, or a place that has none.
fn says_port(words: &[OsString]) -> bool {
    matches!(words, [_, _, ..]) || words.first().is_some_and(|word| endpoint::is_whole(word))
}

/// True of an IPv6 address whose last group was rather meant to be a port: `::1:5201`.
fn ends_like_a_port(word: &OsStr) -> bool {
    let split = word.to_str().and_then(|text| text.rsplit_once(':'));
    split.is_some_and(|(host, last)| {
        let is_v6 = |text: &OsStr| matches!(Host::parse(text), Ok(Host::V6(..)));
        last.len() > 3 && last.bytes().all(|byte| byte.is_ascii_digit()) && is_v6(word) && is_v6(OsStr::new(host))
    })
}

/// Where a server is: `HOST [PORT]`, or an endpoint.
fn server(words: &[OsString], port: Option<u16>) -> Result<Address, Error> {
    match words {
        [] => {
            Err(Error::said(Op::Parse, "'haul bench'", "it does not say which server").with_advice("haul bench HOST"))
        }
        words => place(words, port),
    }
}

/// Where `--local` serves.
fn here(scheme: &OsStr, port: Option<u16>, family: Option<Family>) -> Result<Peer, Error> {
    let pipes = scheme == "pipe";
    let layers = match scheme.to_str() {
        Some("tls") => vec![Layer::Tls],
        Some("ws") => vec![Layer::WebSocket],
        Some("wss") => vec![Layer::WebSocket, Layer::Tls],
        _ => Vec::new(),
    };
    match scheme.to_str() {
        Some("tcp" | "tls" | "ws" | "wss") => {
            let port = OsString::from(port.unwrap_or(0).to_string());
            let loopback = if family == Some(Family::V6) { "::1" } else { "127.0.0.1" };
            let at = endpoint::words(OsStr::new(loopback), Some(&port))?;
            Ok(Peer::Here { at: Address { layers, ..at }, pipes })
        }
        Some("unix" | "pipe") => {
            let name = UnixName::Abstract(format!("haul-bench-{}", std::process::id()).into_bytes());
            Ok(Peer::Here { at: Address::from(Kind::Unix(name, UnixSocket::Stream)), pipes })
        }
        _ => Err(Error::said(Op::Use, [b"--local ", scheme.as_encoded_bytes()].concat(), "there is no such scheme")
            .with_advice("tcp, unix, pipe, tls, ws or wss")),
    }
}

#[cfg(test)]
mod tests;
