//! `--log`: a line for each session that is over.

use std::borrow::Cow;
use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::command::reporting::log_gap;
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::outcome::Outcome;
use crate::report::Outlet;
use crate::report::hexdump::utc;
use crate::report::outlet::News;
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

    /// Lines go to another file from now on; where that is `torn`, in the middle of a line, after its end.
    pub(super) fn continue_at(&self, file: File, torn: bool) {
        self.out.continue_at(file);
        if torn {
            self.out.line(|_| b"\n".to_vec());
        }
    }

    /// Tells that lines cannot be written, and that they can again, when it is found out: nobody may look at haul's end
    /// for a long time.
    pub(super) fn watch(&self, observer: &dyn Observer) {
        while let Some(news) = self.out.news() {
            observer.observe(&match news {
                News::Failed(error) => {
                    Event::Error { session: None, reason: Error::new(Op::Write, "the log", error).line() }
                }
                News::GoesOn(lost) => {
                    let lines = if lost == 1 { "line is" } else { "lines are" };
                    Event::Note { verbosity: 0, text: format!("the log goes on: {lost} {lines} lost") }
                }
            });
        }
    }

    /// Writes the line for a session: time, client, target, bytes from the client, bytes to it, seconds, how it ended.
    pub(super) fn write(&self, parties: &Parties, outcome: &Outcome) {
        let Parties { client, target } = parties;
        self.write_flow([client, target], outcome.bytes, outcome.elapsed, &reason(&outcome.ended));
    }

    /// The same for a client and a target, and bytes to the client and from it.
    pub(super) fn write_flow(&self, parties: [&str; 2], bytes: [u64; 2], elapsed: Duration, ended: &str) {
        self.out.line(|dropped| {
            let mut lines = log_gap(dropped);
            lines.extend_from_slice(line(&utc(SystemTime::now()), parties, bytes, elapsed, ended).as_bytes());
            lines
        });
    }
}

fn line(time: &str, [client, target]: [&str; 2], [down, up]: [u64; 2], elapsed: Duration, ended: &str) -> String {
    let (client, target) = (word(client), if target.is_empty() { "-".into() } else { word(target) });
    let secs = elapsed.as_secs_f64();
    format!("{time} {client} {target} {up} {down} {secs:.3} {ended}\n")
}

/// A name as one word of a line: the text of a command has spaces and ends of lines, and a client may choose the name of
/// its Unix socket.
fn word(name: &str) -> Cow<'_, str> {
    match name.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => name.into(),
        false => Escaped(name.as_bytes()).to_string().replace(' ', "\\x20").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_same_words_in_the_same_places() {
        let after = Duration::from_millis(1500);
        let words = line("T", ["127.0.0.1:5", "/run/a"], [7, 9], after, "clean");
        assert_eq!(words, "T 127.0.0.1:5 /run/a 9 7 1.500 clean\n");
        let nowhere = line("T", ["127.0.0.1:5", ""], [7, 9], after, "the program exited with status 3");
        assert_eq!(nowhere, "T 127.0.0.1:5 - 9 7 1.500 the program exited with status 3\n");
    }

    #[test]
    fn a_name_is_one_word_whatever_is_in_it() {
        let (client, target) = ("/tmp/a 10.0.0.1:1 9 9", "read x\necho \u{202e}b\tc");
        let words = line("T", [client, target], [0, 0], Duration::ZERO, "clean");
        let target = "read\\x20x\\necho\\x20\\u{202e}b\\tc";
        assert_eq!(words, format!("T /tmp/a\\x2010.0.0.1:1\\x209\\x209 {target} 0 0 0.000 clean\n"));
    }
}
