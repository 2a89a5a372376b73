//! haul: a netcat-style tool.
pub mod buffer;
pub mod cli;
pub mod command;
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
        Request::Explain(plan) => print(&plan.to_string()),
        Request::Print(text) => print(&text),
    }
}

/// Writes what was asked for to standard output; a reader that goes away early is a normal end.
fn print(text: &str) -> anyhow::Result<Outcome> {
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
