//! `haul pipe`: its flags, and the plan they make.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

use super::clients::Gate;
use super::proxies::{self, Proxies};
use super::shared::{Announcing, Buffers, Limits, Moving, Output, Proof, Route, Tuning};
use super::tls::Tls;
use super::value::{self, Choice};
use super::web::Web;
use super::{Request, endpoint, request};
use crate::error::Error;
use crate::escape::Escaped;
use crate::plan::address::{Address, Host, Kind, Options, Program};
use crate::plan::pipe::{Algorithm, Hash, OnSlow, Pipe};
use crate::plan::tls::{Reach, Side};
use crate::plan::{Flow, Plan, Transfer, advice};
use crate::units::Size;

/// Move bytes from one endpoint to one or several others, seen and verified.
///
/// With no words it stands between two programs: a | haul pipe | b. The source and each sink can be standard input or
/// output (-), a file, a FIFO, a connection, a listener for one connection (the option listen) or a program. Every sink
/// gets every byte; one that fails ends only itself, with a line that says how far it came. The status is then 1 if it was
/// a connection, and 5 if it was a file or a reader on this machine; of several that failed the first decides.
#[derive(Debug, clap::Parser)]
#[command(
    name = "pipe",
    bin_name = "haul pipe",
    override_usage = "haul pipe [OPTIONS] [SRC] [DST…]",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, eof, tls, units.",
    after_long_help = EXAMPLES
)]
pub(super) struct Args {
    /// Where bytes come from: -, a path, or any endpoint that can be read [default: -]
    #[arg(value_name = "SRC", value_hint = ValueHint::FilePath)]
    source: Option<OsString>,

    /// Where every byte goes: -, a path, which is made if it is missing, or any endpoint that can be written [default: -]
    #[arg(value_name = "DST", value_hint = ValueHint::FilePath)]
    sinks: Vec<OsString>,

    #[command(flatten)]
    stream: Stream,

    #[command(flatten)]
    proof: Proof,

    #[command(flatten)]
    watch: Watch,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    buffers: Buffers,

    #[command(flatten)]
    gate: Gate,

    #[command(flatten)]
    route: Route,

    #[command(flatten)]
    proxies: Proxies,

    #[command(flatten)]
    tls: Tls,

    #[command(flatten)]
    announcing: Announcing,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    tuning: Tuning,

    #[command(flatten)]
    web: Web,
}

/// What is moved, and what is made of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The stream")]
struct Stream {
    /// Move bytes both ways, between SRC and one DST.
    #[arg(short = '2')]
    both_ways: bool,

    /// Take the source for ended after SIZE bytes; that is success [default: at its own end]
    #[arg(long, value_name = "SIZE", value_parser = value::size())]
    stop_at: Option<Size>,

    /// What becomes of a sink that holds the others back [default: wait]
    #[arg(long, value_name = "HOW", value_parser = ON_SLOW)]
    on_slow: Option<OnSlow>,

    /// Print a digest of everything that passed at the end, in the form of b3sum and sha256sum, on standard error.
    ///
    /// Of several sinks those that failed have no line. Where there is none although nothing failed, since every sink is a program that read no further, or since standard
    /// error took no line, the status is 5.
    #[arg(long, value_name = "NAME", value_parser = HASH)]
    hash: Option<Algorithm>,

    /// Write the line of --hash to FILE instead.
    #[arg(long, value_name = "FILE", value_parser = value::file(), value_hint = ValueHint::FilePath)]
    hash_file: Option<PathBuf>,

    /// Hold SIZE bytes, 1 to 1Gi, between the source and a sink that is not ready or not open yet [default: chosen for the kind of endpoint]
    ///
    /// It is a ring in memory, also where there is only one sink: the source fills it while the sink is busy, and the
    /// sink empties it while the source is, so that neither waits for the other's pauses.
    #[arg(long, value_name = "SIZE", value_parser = value::memory(), help_heading = "Buffers")]
    buffer: Option<Size>,
}

const ON_SLOW: Choice<OnSlow> = Choice(&[
    ("wait", OnSlow::Wait, "everybody waits for it"),
    ("drop", OnSlow::Drop, "it is closed and reported, status 1, and the others go on; also one that is not open yet"),
]);

const HASH: Choice<Algorithm> = Choice(&[("blake3", Algorithm::Blake3, ""), ("sha256", Algorithm::Sha256, "")]);

/// What is counted, and how long anything may take.
#[derive(Debug, clap::Args)]
struct Watch {
    /// End with status 3 when nothing has moved for T, also while endpoints are being opened [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    watchdog: Option<Duration>,

    /// End with status 3 when an endpoint is not open after T; of one that listens, when nobody has connected [default: no limit]
    ///
    /// With --buffer, and with --on-slow drop among several sinks, a sink that is not open in time ends only itself.
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    connect_timeout: Option<Duration>,

    /// How many bytes will come, for the time that --progress shows as left [default: the size of a file]
    #[arg(long, value_name = "SIZE", value_parser = value::size(), help_heading = "Output")]
    size: Option<Size>,

    /// Count lines as well, for --progress and --stats.
    #[arg(long, help_heading = "Output")]
    lines: bool,

    /// The same with records that end with a NUL instead of a line feed.
    #[arg(short = '0', help_heading = "Output")]
    nul: bool,
}

const EXAMPLES: &str = "\
Examples:
  producer | haul pipe --progress | consumer
                                        see how fast it goes, as with pv
  haul pipe -L 20M --progress ./big.img a:9000 b:9000
                                        one file to two hosts, each 20 MB/s
  haul pipe --buffer 512Mi - file:/dev/nst0 < backup.tar
                                        a ring, so that the tape need not stop
  haul pipe --hash sha256 ./in.img file,atomic:out.img
                                        a copy with its digest, all or nothing
  haul pipe --verify tcp,listen:9000 file,atomic:in.tar
                                        receive; the sender learns that it is here
  haul pipe --verify ./out.tar host:9000
                                        send, and end with 0 only if it arrived

See also: haul help endpoints, exit, eof, tls, units.";

impl Args {
    /// Validates everything that was given.
    pub(super) fn into_request(self, program: Option<Program>) -> Result<Request, Error> {
        if program.is_some() {
            let why = "a program is an endpoint here, and everything before -- is an option or an endpoint";
            return Err(advice::clash("haul pipe", "a program behind --", why, "exec:CMD or sh:CMD as SRC or DST"));
        }
        let Args { stream, watch, .. } = self;
        let mut flags = Options::default();
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        let mut source = word(self.source.as_deref())?;
        let mut sinks: Vec<Address> = match self.sinks.is_empty() {
            true => vec![word(None)?],
            false => self.sinks.iter().map(|sink| word(Some(sink))).collect::<Result<_, _>>()?,
        };
        let endpoints = std::iter::once(&mut source).chain(&mut sinks).map(|address| {
            let side = if address.options.listen { Side::Server } else { Side::Client };
            (address, side)
        });
        self.tls.flags().apply(endpoints.collect(), Reach::Connections)?;
        let with_flags = |mut address: Address| {
            address.overlay(&flags);
            address
        };
        let hash = match (stream.hash, stream.hash_file) {
            (None, Some(_)) => {
                return Err(advice::lonely("--hash-file", "--hash", "the digest is to be named", "--hash blake3"));
            }
            (hash, file) => hash.map(|algorithm| Hash { algorithm, file }),
        };
        let moving = Moving {
            limits: self.limits,
            proof: self.proof,
            buffers: self.buffers,
            buffer: stream.buffer,
            ..Moving::default()
        };
        let (mut source, mut sinks) = (with_flags(source), sinks.into_iter().map(with_flags).collect::<Vec<_>>());
        let way = self.proxies.way()?;
        let is_dialled = |address: &&mut Address| matches!(address.kind, Kind::Tcp(_)) && !address.options.listen;
        let mut dialled: Vec<_> = std::iter::once(&mut source).chain(&mut sinks).filter(is_dialled).collect();
        if way.is_some() && dialled.is_empty() {
            return Err(advice::lonely(
                "-x",
                "an endpoint that is connected to",
                "nothing goes through a proxy",
                "HOST:PORT",
            ));
        }
        proxies::lead(&way, dialled.drain(..));
        let flow = if stream.both_ways { Flow::Both } else { Flow::SendOnly };
        let explain = self.output.explain;
        let plan = Plan::Pipe(Pipe {
            source,
            sinks,
            both_ways: stream.both_ways,
            on_slow: stream.on_slow.unwrap_or_default(),
            connect_timeout: watch.connect_timeout,
            size: watch.size.map(|size| size.0),
            records: if watch.nul { Some(0) } else { watch.lines.then_some(b'\n') },
            stop_at: stream.stop_at.map(|size| size.0),
            watchdog: watch.watchdog,
            hash,
            announce: self.announcing.announce(),
            serving: self.gate.serving(),
            transfer: Transfer { flow, ..moving.transfer()? },
            report: self.output.report()?,
        });
        request(plan, &flags, explain)
    }
}

/// One endpoint; standard input or output where none is given. What is no endpoint was perhaps meant as a file.
fn word(word: Option<&OsStr>) -> Result<Address, Error> {
    let Some(word) = word else { return Ok(Address::from(Kind::Stdio)) };
    endpoint::words(word, None).map_err(|error| {
        let name = Escaped(word.as_encoded_bytes()).to_string();
        let is_scheme = error.advice().is_some_and(|advice| advice.starts_with(&format!("{name}:")));
        match word.as_encoded_bytes() {
            b"" => error,
            bytes if is_scheme || bytes.iter().any(|byte| b":/@,".contains(byte)) => error,
            _ if Host::parse(word).is_ok() => error.with_advice(format!("./{name} for a file, {name}:PORT for a host")),
            _ => error.with_advice(format!("./{name} for a file")),
        }
    })
}

#[cfg(test)]
mod tests;
