//! What `haul pipe` was asked to do, and what of it fits together.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Kind, Options, UnixSocket};
use super::advice::{self, Advice, advice, clash, lonely};
use super::policy::{self, is_program};
use super::{Announce, Progress, Report, Serving, Transfer, role, way};
use crate::error::Error;

/// `haul pipe`: one source, one or several sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipe {
    /// Where bytes come from.
    pub source: Address,
    /// Where they go, each to all of them. Invariant: at least one.
    pub sinks: Vec<Address>,
    /// `-2`: bytes go both ways; with one sink only.
    pub both_ways: bool,
    /// `--on-slow`: what becomes of a sink that holds the others back.
    pub on_slow: OnSlow,
    /// `--connect-timeout`: longest time that opening an endpoint, or waiting for its connection, may take.
    pub connect_timeout: Option<Duration>,
    /// `--size`: bytes that will come, for the estimate of the time left.
    pub size: Option<u64>,
    /// `--lines`, `-0`: the byte that ends a record, where records are counted.
    pub records: Option<u8>,
    /// `--stop-at`: bytes after which the source counts as ended.
    pub stop_at: Option<u64>,
    /// `--watchdog`: longest time in which nothing moves.
    pub watchdog: Option<Duration>,
    /// `--hash`: a digest of everything that passed.
    pub hash: Option<Hash>,
    /// Who is told the address of the one endpoint that listens.
    pub announce: Announce,
    /// Who may connect to an endpoint that listens: of it `allow`, `deny` and `open`.
    pub serving: Serving,
    /// How the bytes move and how it ends. Its `buffer` is a ring that is filled while a sink is not ready, its flow
    /// is [`super::Flow::SendOnly`] unless bytes go both ways.
    pub transfer: Transfer,
    /// What is told, and to whom.
    pub report: Report,
}

/// What becomes of a sink that holds the others back (`--on-slow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSlow {
    /// Everybody waits for it.
    #[default]
    Wait,
    /// It is closed and reported, and the others go on.
    Drop,
}

/// `--hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Which function.
    pub algorithm: Algorithm,
    /// `--hash-file`: where the line goes; standard error where it is not given.
    pub file: Option<PathBuf>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// BLAKE3 with 256 bits, as b3sum prints it.
    Blake3,
    /// SHA-256 (FIPS 180-4), as sha256sum prints it.
    Sha256,
}

impl Pipe {
    /// Every endpoint, the source first.
    pub fn endpoints(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.source).chain(&self.sinks)
    }

    /// Those that accept a connection instead of being opened.
    pub fn listeners(&self) -> impl Iterator<Item = &Address> {
        self.endpoints().filter(|address| address.options.listen)
    }

    /// True if bytes go from this endpoint to a program, or the other way.
    pub fn joins_program(&self, at: &Address) -> bool {
        let as_source = *at == self.source && self.sinks.iter().any(is_program);
        as_source || (self.sinks.contains(at) && is_program(&self.source))
    }
}

/// True if `--verify` frames what passes there: a connection. A bare path or a descriptor may be anything, and is taken
/// for a file.
pub fn is_framed(address: &Address) -> bool {
    address.options.listen || matches!(address.kind, Kind::Tcp(_) | Kind::Unix(..))
}

/// Refuses what cannot work and notes what is odd; see [`super::advice::settle`].
pub(super) fn settle(plan: &mut Pipe, flags: &Options) -> Result<(), Error> {
    both_ways(plan)?;
    let addresses: Vec<_> = plan.endpoints().cloned().collect();
    addresses.iter().try_for_each(advice::family)?;
    role::pipe::settle(plan)?;
    addresses.iter().try_for_each(way::settle)?;
    verify(plan)?;
    announce(plan)?;
    access(plan)?;
    for at in plan.listeners() {
        policy::programs_and_the_world(at, plan.joins_program(at), &plan.serving)?;
    }
    let mut odd = advice::unused(flags, &addresses);
    odd.extend(advice::odd_transfer(&plan.transfer));
    odd.extend(notes(plan));
    plan.report.advice = odd;
    Ok(())
}

/// `-2`: what is counted, cut or copied is one stream, and there would be two.
fn both_ways(plan: &Pipe) -> Result<(), Error> {
    if !plan.both_ways {
        return Ok(());
    }
    if plan.sinks.len() > 1 {
        return Err(clash("-2", "several sinks", "an answer comes from one", "one sink, or it without -2"));
    }
    let given = [
        (plan.stop_at.is_some(), "--stop-at"),
        (plan.size.is_some(), "--size"),
        (plan.hash.is_some(), "--hash"),
        (plan.records.is_some(), "--lines"),
        (plan.on_slow == OnSlow::Drop, "--on-slow"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(clash(flag, "-2", "it is about one stream, and -2 makes two", "one of them")),
        None => Ok(()),
    }
}

/// `--verify`: a connection to a haul that frames too, all of which is read.
fn verify(plan: &Pipe) -> Result<(), Error> {
    if !plan.transfer.verify {
        return Ok(());
    }
    if !plan.endpoints().any(is_framed) {
        let why = "another haul has to be at the other end";
        return Err(lonely("--verify", "a network endpoint", why, "tcp:HOST:PORT or unix:PATH, or --hash"));
    }
    let packets = |address: &&Address| matches!(address.kind, Kind::Unix(_, UnixSocket::Seqpacket));
    if let Some(address) = plan.endpoints().find(packets) {
        let why = "a packet would no longer be one";
        return Err(clash("--verify", &address.to_string(), why, "unix: without seqpacket"));
    }
    if plan.stop_at.is_some() && is_framed(&plan.source) {
        let why = "what comes after that would never be verified";
        return Err(clash("--verify", "--stop-at", why, "--stop-at at the sending side"));
    }
    Ok(())
}

/// `--ready-fd` and `--port-file`.
fn announce(plan: &Pipe) -> Result<(), Error> {
    let Announce { ready_fd, port_file } = &plan.announce;
    let Some(flag) = ready_fd.map(|_| "--ready-fd").or(port_file.as_ref().map(|_| "--port-file")) else {
        return Ok(());
    };
    advice::same_descriptor(*ready_fd, plan.report.events.as_ref())?;
    match plan.listeners().count() {
        0 => Err(lonely(flag, "a listening endpoint", "there is no port to tell", "tcp,listen:0")),
        1 => Ok(()),
        _ => {
            Err(clash(flag, "several listening endpoints", "it tells one port", "one of them, or ports of your choice"))
        }
    }
}

/// `--allow` and `--deny`: somebody connects, and has an address.
fn access(plan: &Pipe) -> Result<(), Error> {
    let Some(lists) = lists(plan) else { return Ok(()) };
    if plan.listeners().next().is_none() {
        return Err(lonely(lists, "a listening endpoint", "nobody connects", "tcp,listen:PORT"));
    }
    match plan.listeners().find(|at| matches!(at.kind, Kind::Unix(..) | Kind::Path(_))) {
        Some(at) => lists_and_the_nameless(plan, at),
        None => Ok(()),
    }
}

/// Refuses access lists for a listening endpoint whose clients have no address: they would let everybody in. For a
/// socket that is handed over (`fd,listen:3`) that shows only once it is open.
///
/// # Errors
/// There are lists.
pub fn lists_and_the_nameless(plan: &Pipe, at: &Address) -> Result<(), Error> {
    let Some(lists) = lists(plan) else { return Ok(()) };
    let why = "who connects there has no address";
    Err(clash(lists, &at.to_string(), why, "mode=660, and the directory's permissions"))
}

fn lists(plan: &Pipe) -> Option<&'static str> {
    match (plan.serving.allow.is_empty(), plan.serving.deny.is_empty()) {
        (true, true) => None,
        (true, false) => Some("--deny"),
        (false, _) => Some("--allow"),
    }
}

fn notes(plan: &Pipe) -> Vec<Advice> {
    let mut odd = Vec::new();
    let mut note = |condition: bool, sentence: &str, remedy: &str| {
        if condition {
            odd.push(advice(sentence, remedy));
        }
    };
    let shown = plan.report.progress != Progress::Off;
    note(plan.size.is_some() && !shown, "--size is for the time that --progress shows as left", "--progress");
    note(
        plan.records.is_some() && !shown && !plan.report.stats,
        "--lines and -0 count for --progress and --stats",
        "--stats",
    );
    note(
        plan.on_slow == OnSlow::Drop && plan.sinks.len() == 1,
        "--on-slow changes nothing, for one sink holds no other back",
        "the command without it",
    );
    note(
        plan.transfer.max_time.is_some_and(|all| plan.watchdog.is_some_and(|still| still >= all)),
        "--max-time passes before --watchdog can",
        "a shorter --watchdog",
    );
    let may_be_file = |sink: &Address| {
        matches!(sink.kind, Kind::File(_) | Kind::Path(_) | Kind::Stdio | Kind::Fd { .. }) && !sink.options.listen
    };
    note(
        plan.transfer.fsync && !plan.sinks.iter().any(may_be_file),
        "--fsync changes nothing, for no sink is a file",
        "the command without it",
    );
    note(
        plan.serving.open && !plan.endpoints().any(is_program),
        "--open is about programs, and none is run",
        "the command without it",
    );
    odd
}

#[cfg(test)]
pub(super) mod tests;
