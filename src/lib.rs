//! haul: listen, connect and move bytes between sockets, pipes and files without losing any.
//!
//! # One flow, one direction
//!
//! ```text
//! argv ─► cli ─► plan ─► command ─► endpoint ─► session (End ⇄ Pump ⇄ End) ─► reactor ─► report ─► exit status
//!                                       └ layer (sans-IO filters)    └ sys (the only unsafe)
//! ```
//!
//! Nothing is opened before the whole plan is known; nothing prints below [`command`]; nothing above [`sys`] knows the
//! platform.
//!
//! # The rooms
//!
//! | room | what it is | imports of ours besides the vocabulary |
//! |---|---|---|
//! | [`digest`] [`error`] [`escape`] [`event`] [`outcome`] [`buffer`] [`dice`] [`meter`] [`units`] | the vocabulary: everybody may use it | each other |
//! | [`cli`] | the only folder that knows clap: words in, a [`plan::Plan`] out | `plan` |
//! | [`plan`] | every decision, validated, as pure data | nothing |
//! | [`command`] | what a subcommand does; the only place that joins everything | all but `cli` |
//! | [`endpoint`] | opening things: dial, accept, files, FIFOs, descriptors, stand-ins, credentials | `plan::address`, `layer`, `reactor`, `sys` |
//! | [`layer`] | sans-IO filters between application bytes and wire bytes | nothing |
//! | [`session`] | moving bytes between two ends, and how that ends | `endpoint`, `layer`, `plan`, `reactor`, `sys` |
//! | [`datagram`] | message-shaped traffic: batches, flows, pace, what was lost | `endpoint`, `layer`, `reactor`, `sys` |
//! | [`bench`](mod@bench) | measuring traffic: latency, throughput, loss, and what is said of them | `session`, `datagram`, `endpoint`, `layer`, `reactor`, `sys` |
//! | [`reactor`] | the event loop: tasks, turns, latches, deadlines, signals | `sys` |
//! | [`report`] | numbers and events out: lines, NDJSON, progress | nothing |
//! | [`sys`] | the platform; the only `unsafe` | nothing |
//!
//! # Glossary
//!
//! - **Address**: an endpoint as the user typed it, parsed. **Plan**: a whole command line, decided.
//! - **Transport**: one pollable thing of the system. **End**: a transport with its layers, seen as plain bytes.
//! - **Carrier**: what holds bytes in transit: a leased buffer or a leased kernel pipe. **Pump**: one direction.
//! - **Session**: two ends and two pumps. **Parting**: its last part: deliver, linger, close or reset.
//! - **Settling**: what a written file needs before it counts as written: fsync, and a whole file its name.
//! - **Tap**: looks at the bytes of a session on their way, for a copy; it changes none.
//! - **Faults**: seeded mischief in one direction of a session (`--delay`, `--corrupt`, …); without them it keeps zero copy.
//! - **Way**: the proxies on the way to an endpoint. **Hop**: one of them, with where it is to lead. **Guide**: names on
//!   the way that are looked up here.
//! - **Receipt**: what a verified peer says of all that it was sent: on its sink, or why not.
//! - **Hub**: many clients around one standard input and output. **Link**: what moves bytes and the wait for its programs.
//!   **Spread**: one source, many sinks. **Ring**: the memory between them. **Mover**: a session or a spread.
//! - **Entry**: one endpoint on its way to being open: gone to, waited at, started, or there at once.
//!   **Gate**: who may come in, and how many at once. **Errand**: the command of `--then`.
//! - **Layering**: which layers stand on each connection of an endpoint. **Handshake**: a connection whose layers are not
//!   ready for payload yet. **Contact**: one whose layers are. **Vestibule**: accepted clients that are at it.
//! - **Run**: datagrams of one length between the same two, which the kernel handles as one. **Flow**: one peer of a
//!   datagram socket. **Ferry**: a datagram listener of a relay, and its flows. **Stamp**: what `--seq` puts before a payload.
//! - **Programs**: those that serve the peers of a datagram socket. **Audience**: who sends what they answer.
//! - **Flow**, in `bench`: one stream in one direction. **Tally**: what it counts. **Band**: the flows of one test, and
//!   **Crew**: the threads that run them. **Cookie**: what names a test. **Trip**: a request and its answer.
//! - **Route**, in `bench`: where the connections of a test lead, and what stands on each. **Caller**: one of them, until
//!   it has said whose it is. **Medium**: what a flow goes through, a bare transport or an end with layers.
//! - **Task**: something with turns. **Turn**: its view of the reactor. **Latch**: readiness, remembered.
//! - **Cut**: a connection that ended without an end of file.
//!
//! # Invariants
//!
//! 1. *No silent sleep.* A task that parks has a cleared latch that it needs, a deadline, a named wake (a signal, a
//!    child task, another thread), or stands in the run-again queue.
//! 2. *A latch is cleared only by what that descriptor itself said in that direction*: WouldBlock, a short read of a
//!    stream socket with nothing odd about it, or poll asked about exactly the ends that a splice could have meant.
//! 3. *Bytes out of a pump are a prefix of bytes in;* at its end they are equal unless the outcome names a failure.
//! 4. *`start <= end <= capacity`* in every buffer. A kernel pipe's count has no such bound: never assert one.
//! 5. *Each direction ends exactly once,* and its sink learns of it exactly once.
//! 6. *Memory per session is bounded,* and near nothing when idle: carriers are leased while there is something in them.
//! 7. *The data path neither allocates, formats, locks, nor reads the clock*, unless it is watched (`-o`): the reactor
//!    passes `now`.
//! 8. *Inherited descriptors leave as they came*: no flag is ever set on a shared description; only the width of a pipe
//!    may have grown.
//! 9. *One session's failure never leaves that session.*
//! 10. *An end announced as clean was never cut.*
//!
//! # Recipes
//!
//! - *A new flag*: a field in its group in `cli`, where its doc comment is the manual; a field in the part of the plan
//!   that it belongs to; a line in `plan::explain`; a test in `tests/cli` whose name is the promise; then
//!   `BLESS=1 cargo test surface` rewrites the man pages and completions.
//! - *A new kind of endpoint*: a variant of [`plan::address::Kind`] with its spelling and inverse; a file in `endpoint`
//!   that ends in a [`endpoint::Transport`]; an arm in [`endpoint::open::Opening`].
//! - *A new layer*: a file in `layer` that implements [`layer::Layer`], tested there by feeding it every chunking. What an
//!   endpoint asks for is made in `command/layering.rs` and shakes hands before there is a session; what a command adds
//!   stands on top, in the [`layer::stack::Stack`] of an [`session::end::End`].

pub mod bench;
pub mod buffer;
pub mod cli;
pub mod command;
pub mod datagram;
pub mod dice;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod escape;
pub mod event;
pub mod layer;
pub mod meter;
pub mod outcome;
pub mod plan;
pub mod reactor;
pub mod report;
pub mod secret;
pub mod session;
pub mod sys;
pub mod units;

use std::ffi::OsString;
use std::io::Write;

use cli::Request;
use error::{Error, Op};
use outcome::{ExitStatus, Outcome};

/// Runs one command line (without the program's own name) to its end.
///
/// # Errors
/// What could not be done, to be told to the user by [`tell`]; its exit status is [`status_of`].
pub fn run(args: Vec<OsString>) -> anyhow::Result<Outcome> {
    match cli::plan(args)? {
        Request::Run(plan) => command::run(plan),
        Request::Explain(plan) => print(&command::explain(&plan)),
        Request::Print(text) => print(&text),
    }
}

/// Writes what was asked for to standard output; a reader that goes away early is a normal end.
fn print(text: &str) -> anyhow::Result<Outcome> {
    if sys::was_closed_at_start(1) {
        let closed = std::io::Error::from_raw_os_error(libc::EBADF);
        return Err(Error::new(Op::Write, "standard output", closed).into());
    }
    let mut out = std::io::stdout().lock();
    let ended = match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => outcome::Ended::Clean,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => outcome::Ended::ReaderGone,
        Err(error) => return Err(Error::new(Op::Write, "standard output", error).into()),
    };
    Ok(Outcome::nothing_moved(ended))
}

/// Tells a failure on standard error: one line, its facts, at most one `try:`.
pub fn tell(error: &anyhow::Error) {
    let text = match error.downcast_ref::<Error>() {
        Some(error) => error.to_string(),
        None => escape::Escaped(format!("{error:#}").as_bytes()).to_string(),
    };
    // a closed standard error leaves the exit status to speak
    let _ = std::io::stderr().write_all(format!("haul: {text}\n").as_bytes());
}

/// The exit status of a failure.
pub fn status_of(error: &anyhow::Error) -> ExitStatus {
    error.downcast_ref::<Error>().map_or(ExitStatus::LocalIo, Error::status)
}
