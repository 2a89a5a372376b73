//! The binary: parse, run, tell one error, return the exit status.

use std::process::ExitCode;

use haul::outcome::{Ended, ExitStatus};

fn main() -> ExitCode {
    let status = match haul::run(std::env::args_os().skip(1).collect()) {
        Ok(outcome) => {
            let status = outcome.status();
            if let Ended::Failed(error) = outcome.ended {
                haul::tell(&error.into());
            }
            status
        }
        Err(error) => {
            haul::tell(&error);
            haul::status_of(&error)
        }
    };
    if let ExitStatus::Signal(number) = status {
        // so that the shell sees what ended us; it comes back only where the signal is blocked
        haul::sys::raise_default(number);
    }
    ExitCode::from(status.code())
}
