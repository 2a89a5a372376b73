//! How a command ended: what moved, how long it took, and the exit status that says so.

use std::time::Duration;

use crate::error::Error;

/// The exit statuses of haul; a contract with scripts (`haul help exit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done: both directions ended cleanly.
    Success,
    /// 1: refused, unreachable, reset, name or socket path not found.
    Network,
    /// 2: usage, bad endpoint, cannot bind, file missing.
    Usage,
    /// 3: a time limit passed.
    TimeLimit,
    /// 4: the stream was cut short or its digest differs, under `--verify`.
    Verify,
    /// 5: local input or output failed: disk full, read error.
    LocalIo,
    /// 6: TLS, authentication, pin or proxy refusal.
    Authentication,
    /// 7: refused by haul's own policy.
    Policy,
    /// 8: a threshold or an expectation was not met.
    Expectation,
    /// A child's own status, passed on (0 to 255).
    Child(u8),
    /// Ended by this signal: raised again by `main`, so that a shell sees 128+n.
    Signal(i32),
}

impl ExitStatus {
    /// The number the process exits with; for a signal, what a shell reports.
    pub fn code(self) -> u8 {
        match self {
            ExitStatus::Success => 0,
            ExitStatus::Network => 1,
            ExitStatus::Usage => 2,
            ExitStatus::TimeLimit => 3,
            ExitStatus::Verify => 4,
            ExitStatus::LocalIo => 5,
            ExitStatus::Authentication => 6,
            ExitStatus::Policy => 7,
            ExitStatus::Expectation => 8,
            ExitStatus::Child(code) => code,
            ExitStatus::Signal(number) => (128 + number.clamp(0, 127)) as u8,
        }
    }
}

/// Why a session is over.
#[derive(Debug)]
pub enum Ended {
    /// Both directions ended, or a limit that counts as success was reached.
    Clean,
    /// Something failed; the error says what, and its status is the program's.
    Failed(Error),
    /// Standard output's reader went away: end like `cat` does, silently, by SIGPIPE.
    ReaderGone,
    /// A signal asked for the end.
    Signal(i32),
    /// The program at one end exited with this status, and everything else went well.
    Program(u8),
}

/// What a finished task has to report.
#[derive(Debug)]
pub struct Outcome {
    /// Why it is over.
    pub ended: Ended,
    /// Bytes delivered to their sink: index 0 from the first end to the second, 1 the other way.
    pub bytes: [u64; 2],
    /// From the start of the session to its end.
    pub elapsed: Duration,
}

impl Outcome {
    /// An outcome in which nothing moved.
    pub fn nothing_moved(ended: Ended) -> Self {
        Outcome { ended, bytes: [0, 0], elapsed: Duration::ZERO }
    }

    /// The exit status that tells this outcome.
    pub fn status(&self) -> ExitStatus {
        match &self.ended {
            Ended::Clean => ExitStatus::Success,
            Ended::Failed(error) => error.status(),
            Ended::ReaderGone => ExitStatus::Signal(SIGPIPE),
            Ended::Signal(number) => ExitStatus::Signal(*number),
            Ended::Program(code) => ExitStatus::Child(*code),
        }
    }
}

/// POSIX fixes no numbers, but every Unix that Rust supports uses 13.
const SIGPIPE: i32 = 13;
