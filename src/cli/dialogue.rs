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
            flag(
                "send",
                "TEXT",
                "Send TEXT, C escapes understood, before standard input or after the --expect in front of it",
            )
            .long_help(
                "Send TEXT, in which C escapes such as \\r\\n are understood, before standard input or after the \
                     --expect in front of it. --send and --expect may be repeated, and are done in the order given.",
            )
            .value_parser(Value(|text| (value::escaped().0)(text).map(|bytes| Step::Send(bytes.0)))),
            flag("expect", "REGEX", "Wait for a match in what is received; after the last one, end with status 0")
                .long_help(
                    "Wait for a match in what is received, and write what was matched to standard output; after the \
                     last --expect, end with status 0. ^ and $ are the bounds of a line. If the peer ends without a \
                     match, the status is 8, and when the time of --timeout is over, 3.",
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
