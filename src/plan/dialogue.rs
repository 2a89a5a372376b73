//! `--send` and `--expect`: the patterns of a dialogue, checked before anything is opened.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;

use super::address::Kind;
use super::advice::{clash, lonely};
use super::{Connect, Flow, Local, Step};
use crate::error::Error;

/// Why a pattern of `--expect` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// Where the mistake begins, in characters from 1; 0 if it is the pattern as a whole.
    pub at: usize,
    /// Lower case, no full stop.
    pub cause: String,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            0 => f.write_str(&self.cause),
            at => write!(f, "{} (at character {at})", self.cause),
        }
    }
}

impl std::error::Error for BadPattern {}

/// The regular expression of an `--expect`, over bytes and in linear time: `^` and `$` are the bounds of a line, which
/// ends with LF or CR LF; `.` matches neither CR nor LF.
///
/// # Errors
/// [`BadPattern`] says what is wrong and where.
pub fn pattern(text: &str) -> Result<Regex, BadPattern> {
    let mut syntax = ParserBuilder::new();
    syntax.multi_line(true).crlf(true).utf8(false);
    if let Err(error) = syntax.build().parse(text) {
        let (offset, cause) = match &error {
            regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
            _ => return Err(BadPattern { at: 0, cause: "it is no regular expression".into() }),
        };
        let at = text.get(..offset).map_or(1, |before| before.chars().count() + 1);
        return Err(BadPattern { at, cause });
    }
    let built = RegexBuilder::new(text).multi_line(true).crlf(true).build();
    built.map_err(|_| BadPattern { at: 0, cause: "it is too large once its repetitions are spelled out".into() })
}

/// What all `--send` together send.
pub(super) fn opening(steps: &[Step]) -> Vec<u8> {
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(bytes.as_slice()),
        Step::Expect(_) => None,
    });
    sent.collect::<Vec<_>>().concat()
}

/// Refuses a dialogue that something else of the request leaves no room for; the direction of a file is decided
/// already. Where nothing is waited for there is no dialogue: what is sent stands in front of everything else.
pub(super) fn settle(plan: &mut Connect) -> Result<(), Error> {
    room(plan)?;
    if !plan.dialogue.iter().any(|step| matches!(step, Step::Expect(_))) {
        plan.transfer.banner.extend(opening(&plan.dialogue));
        plan.dialogue.clear();
    }
    Ok(())
}

fn room(plan: &Connect) -> Result<(), Error> {
    let expects = plan.dialogue.iter().any(|step| matches!(step, Step::Expect(_)));
    let sends = plan.dialogue.iter().any(|step| matches!(step, Step::Send(_)));
    if plan.expect_timeout.is_some() && !expects {
        return Err(lonely("--timeout", "--expect", "it is the limit of each --expect", "--idle, --max-time or -w"));
    }
    let Some(flag) = (if expects { Some("--expect") } else { sends.then_some("--send") }) else { return Ok(()) };
    let limit = plan.transfer.rate.map(|_| "-L").or(plan.transfer.max_bytes.map(|_| "--max-bytes"));
    if let (Some(limit), true) = (limit, expects) {
        return Err(clash(limit, "--expect", "a dialogue is read as it comes", "--timeout, or one of them"));
    }
    let one_way = matches!(plan.to.kind, Kind::File(_) | Kind::Fifo(_));
    let to = plan.to.to_string();
    match plan.transfer.flow {
        _ if matches!(plan.local, Local::Program(_)) => {
            Err(clash(flag, "a program", "the dialogue stands where the program would", "one of them"))
        }
        Flow::SendOnly if expects && one_way => {
            Err(clash("--expect", &to, "it is written and gives no answer", "--send alone"))
        }
        Flow::SendOnly if expects => {
            Err(clash("--expect", "--send-only", "what is received would be discarded", "one of them"))
        }
        Flow::ReceiveOnly if sends && one_way => {
            Err(clash("--send", &to, "it is read and takes nothing", "--expect alone"))
        }
        Flow::ReceiveOnly if sends => {
            Err(clash("--send", "--recv-only", "the sending side is ended at once", "-d, which leaves it open"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::address::{Address, Program};
    use super::super::tests::connect_to;
    use super::*;

    #[test]
    fn the_bounds_of_lines_are_anchors() {
        let found = |text: &str, bytes: &[u8]| pattern(text).unwrap().is_match(bytes);
        assert!(found(r"^\+PONG$", b"-ERR\r\n+PONG\r\nmore"));
        assert!(found(r"^b$", b"a\nb\nc") && !found(r"^b$", b"ab\n"));
        assert!(!found("a.b", b"a\nb") && !found("a.b", b"a\rb"));
        assert!(found(r"(?-u:\xff)", b"\xff") && found("ü", "ü".as_bytes()));
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_place() {
        for (text, shown) in [
            ("a(b", "unclosed group (at character 2)"),
            ("ü[a", "unclosed character class (at character 2)"),
            ("*", "repetition operator missing expression (at character 1)"),
            (r"a\q", "unrecognized escape sequence (at character 2)"),
            (r"(a)\1", "backreferences are not supported (at character 4)"),
            (r"\p{Nothing}", "Unicode property not found (at character 1)"),
            ("(?:a{1000}){1000}", "it is too large once its repetitions are spelled out"),
        ] {
            assert_eq!(pattern(text).unwrap_err().to_string(), shown, "{text}");
        }
    }

    /// The line of the error for a dialogue with this step and change.
    fn refused(word: &str, step: Step, change: fn(&mut Connect)) -> String {
        let mut plan = connect_to(Address::parse(OsStr::new(word)).unwrap());
        plan.dialogue = vec![step];
        change(&mut plan);
        settle(&mut plan).unwrap_err().line()
    }

    #[test]
    fn what_only_sends_is_the_beginning_of_a_usual_connection() {
        let mut plan = connect_to(Address::parse(OsStr::new("a:1")).unwrap());
        plan.dialogue = vec![Step::Send(b"one ".into()), Step::Send(b"two".into())];
        let mut waiting = plan.clone();
        settle(&mut plan).unwrap();
        assert_eq!((plan.dialogue, plan.transfer.banner.as_slice()), (vec![], &b"one two"[..]));
        waiting.dialogue.push(Step::Expect("x".into()));
        let before = waiting.clone();
        settle(&mut waiting).unwrap();
        assert_eq!(waiting, before);
    }

    #[test]
    fn a_dialogue_needs_the_directions_that_it_uses() {
        let expect = || Step::Expect("x".into());
        let send = || Step::Send(b"x".into());
        assert_eq!(
            refused("a:1", expect(), |plan| plan.local = Local::Program(Program::Shell("cat".into()))),
            "cannot use --expect with a program: the dialogue stands where the program would"
        );
        assert_eq!(
            refused("a:1", expect(), |plan| plan.transfer.flow = Flow::SendOnly),
            "cannot use --expect with --send-only: what is received would be discarded"
        );
        assert_eq!(
            refused("a:1", send(), |plan| plan.transfer.flow = Flow::ReceiveOnly),
            "cannot use --send with --recv-only: the sending side is ended at once"
        );
        assert_eq!(
            refused("file:f", expect(), |plan| plan.transfer.flow = Flow::SendOnly),
            "cannot use --expect with file:f: it is written and gives no answer"
        );
        assert_eq!(
            refused("a:1", send(), |plan| plan.expect_timeout = Some(std::time::Duration::from_secs(1))),
            "cannot use --timeout without --expect: it is the limit of each --expect"
        );
    }
}
