//! `--send` and `--expect`: two flags whose order counts across both, which clap tells only by the places of values.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::value::{self, Value, fault};
use crate::plan::Step;
use crate::plan::dialogue::pattern;

/// The steps in the order in which they were typed.
#[derive(Debug)]
pub(super) struct Steps(pub(super) Vec<Step>);

impl clap::Args for Steps {
    fn augment_args(command: Command) -> Command {
        command.args([
            flag("send", "TEXT", "Send TEXT, C escapes understood; with --expect, standard input is left alone")
                .long_help(
                    "Send TEXT, in which C escapes such as \\r\\n, \\x41 and \\101 are understood. --send and --expect may be \
                     repeated, and are done in the order given.\n\n\
                     Together with --expect it says all that is sent, and standard input is left alone. Without \
                     --expect, TEXT is what the connection begins with: standard input follows, and what the peer \
                     answers is written as usual.",
                )
                .value_parser(Value(|text| (value::escaped().0)(text).map(|bytes| Step::Send(bytes.0)))),
            flag("expect", "REGEX", "Wait for a match in what is received; after the last one, end with status 0")
                .long_help(
                    "Wait for a match in what is received, and write what was matched, and a newline behind it, to \
                     standard output; after the last --expect, end with status 0. If the peer ends without a match, \
                     the status is 8, and when the time of --timeout is over, 3.\n\n\
                     ^ and $ are the bounds of a line. Characters are those of Unicode; with (?-u) in front they are \
                     bytes, as in (?-u)\\xff. A match may be up to 64 KiB long; what is older is forgotten.\n\n\
                     A match at the end of what has come, which more could make longer (.*), is taken when the peer \
                     has said nothing for 200 ms. One which more could undo ($, \\b) is taken when the next byte \
                     confirms it, when the peer ends, or when the time of --timeout is over: for a prompt without a \
                     newline, leave $ out.",
                )
                .value_parser(Value(|text| {
                    let text = text.to_str().ok_or_else(|| fault("it is not UTF-8"))?;
                    pattern(text).map_err(|bad| fault(bad.to_string()))?;
                    Ok(Step::Expect(text.to_string()))
                })),
        ])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What is sent or expected may well begin with a hyphen.
fn flag(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(value).help(help).help_heading("Dialogue");
    arg.action(ArgAction::Append).allow_hyphen_values(true)
}

impl clap::FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut placed = Vec::new();
        for flag in ["send", "expect"] {
            let places = matches.indices_of(flag).into_iter().flatten();
            let steps = matches.get_many::<Step>(flag).into_iter().flatten();
            placed.extend(places.zip(steps.cloned()));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Steps(placed.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Request, plan};
    use crate::error::Error;
    use crate::outcome::ExitStatus;
    use crate::plan::{Connect, Plan, Step};

    fn split(line: &str) -> Vec<OsString> {
        shlex::split(&format!("connect {line}")).unwrap().into_iter().map(OsString::from).collect()
    }

    fn run(line: &str) -> Result<Connect, Error> {
        match plan(split(line))? {
            Request::Run(Plan::Connect(connect)) => Ok(connect),
            other => panic!("connect {line}: {other:?}"),
        }
    }

    fn send(text: &str) -> Step {
        Step::Send(text.into())
    }

    fn expect(text: &str) -> Step {
        Step::Expect(text.into())
    }

    #[test]
    fn steps_are_taken_in_the_order_given_across_both_flags() {
        for (line, steps) in [
            ("h 1", vec![]),
            ("--expect a --send b --send c --expect d h 1", vec![expect("a"), send("b"), send("c"), expect("d")]),
            ("--send a h --expect=b 1 --send c", vec![send("a"), expect("b"), send("c")]),
            ("--expect a --expect a h 1", vec![expect("a"), expect("a")]),
            ("--expect -ERR --send -v -v h 1", vec![expect("-ERR"), send("-v")]),
            ("--send 'a\\r\\n\\x00' --expect b h 1", vec![send("a\r\n\0"), expect("b")]),
        ] {
            assert_eq!(run(line).unwrap().dialogue, steps, "connect {line}");
        }
    }

    #[test]
    fn the_times_of_a_dialogue_and_of_waiting_reach_the_plan() {
        let connect = run("--wait 30s --timeout 2s --expect a h 1").unwrap();
        let seconds = |n| Some(std::time::Duration::from_secs(n));
        assert_eq!((connect.wait, connect.expect_timeout), (seconds(30), seconds(2)));
    }

    #[test]
    fn a_dialogue_that_cannot_be_held_is_refused() {
        for (line, expected) in [
            ("--expect 'a[' h 1", "cannot understand 'a[' for --expect: unclosed character class (at character 2)"),
            (
                "--send 'a\\' h 1",
                "cannot understand 'a\\' for --send: a backslash at the end has nothing to escape; a backslash itself is \\\\ (at byte 1)",
            ),
            (
                "--expect a -e cat h 1",
                "cannot use --expect with a program: the dialogue stands where the program would",
            ),
            ("--send a h 1 -- cat", "cannot use --send with a program: the dialogue stands where the program would"),
            ("--timeout 1 --send a h 1", "cannot use --timeout without --expect: it is the limit of each --expect"),
            ("--expect a --send-only h 1", "cannot use --expect with --send-only: what is received would be discarded"),
            ("--expect a file:f", "cannot use --expect with file:f: it is written and gives no answer"),
        ] {
            let error = run(line).unwrap_err();
            assert_eq!(error.line(), expected, "connect {line}");
            assert_eq!(error.status(), ExitStatus::Usage, "connect {line}");
        }
    }

    #[test]
    fn explain_tells_the_steps() {
        let explain = |line: &str| match plan(split(&format!("--explain {line}"))).unwrap() {
            Request::Explain(plan) => plan.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            explain("--wait 30 --send 'PING\\r\\n' --expect '^\\+PONG' --timeout 2 -d redis 6379"),
            "\
connect to tcp:redis:6379
try again until that has taken 30s, with status 3
send \"PING\\r\\n\"
wait at most 2s for a match of ^\\+PONG, with status 3
leave standard input alone
write what was matched to standard output, each with a newline; end after the last match
end with status 8 when the peer ends before that
"
        );
        assert_eq!(
            explain("--expect x h 1"),
            "\
connect to tcp:h:1
wait for a match of x
send standard input meanwhile
write what was matched to standard output, each with a newline; end after the last match
end with status 8 when the peer ends before that
"
        );
        assert_eq!(
            explain("--send 'a\\n' --send b h 1"),
            "\
connect to tcp:h:1
send \"a\\nb\" first
send standard input, then tell the peer that it has ended
write what is received to standard output
when the peer ends, go on sending, but stop if standard input is a terminal
"
        );
        assert_eq!(
            explain("exec:cat -c 'a | b'"),
            "\
run exec:cat
run sh -c 'a | b' on the connection
send the program's output, then tell the peer that it has ended
write what is received to the program
when the peer ends, go on until the program ends
"
        );
    }
}
