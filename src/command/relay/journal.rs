//! `--log`: a line for each session that is over.

use std::time::SystemTime;

use crate::command::reporting::log_gap;
use crate::outcome::Outcome;
use crate::report::Outlet;
use crate::report::hexdump::utc;
use crate::report::summary::reason;

/// Writes lines; clones share the outlet.
#[derive(Clone)]
pub(super) struct Journal {
    out: Outlet,
}

/// Who a session is between, as far as that is known.
#[derive(Default)]
pub(super) struct Parties {
    /// The client, as printed.
    pub(super) client: String,
    /// The target, as printed; empty while there is none.
    pub(super) target: String,
}

impl Journal {
    /// Lines go to `out`.
    pub(super) fn new(out: Outlet) -> Self {
        Journal { out }
    }

    /// Writes the line for a session: time, client, target, bytes from the client, bytes to it, seconds, how it ended.
    pub(super) fn write(&self, parties: &Parties, outcome: &Outcome) {
        self.out.line(|dropped| {
            let mut lines = log_gap(dropped);
            lines.extend_from_slice(line(&utc(SystemTime::now()), parties, outcome).as_bytes());
            lines
        });
    }
}

fn line(time: &str, Parties { client, target }: &Parties, outcome: &Outcome) -> String {
    let target = if target.is_empty() { "-" } else { target };
    let ([down, up], secs, ended) = (outcome.bytes, outcome.elapsed.as_secs_f64(), reason(&outcome.ended));
    format!("{time} {client} {target} {up} {down} {secs:.3} {ended}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Ended;

    #[test]
    fn a_line_has_the_same_words_in_the_same_places() {
        let parties = Parties { client: "127.0.0.1:5".into(), target: "/run/a".into() };
        let outcome = Outcome { ended: Ended::Clean, bytes: [7, 9], elapsed: Duration::from_millis(1500) };
        assert_eq!(line("T", &parties, &outcome), "T 127.0.0.1:5 /run/a 9 7 1.500 clean\n");
        let failed = Outcome { ended: Ended::Program(3), ..outcome };
        let nowhere = Parties { target: String::new(), ..parties };
        assert_eq!(line("T", &nowhere, &failed), "T 127.0.0.1:5 - 9 7 1.500 the program exited with status 3\n");
    }
}
