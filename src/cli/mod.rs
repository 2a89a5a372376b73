//! The command line: argv in, a [`Request`] out. The only folder that knows clap; it opens nothing and prints nothing.
//!
//! The first word decides which flags are looked at, so that starting up builds one subcommand's table and not all of
//! them: `--version` answers without any, and the whole tree exists only for `haul --help`, `--generate`, and to find
//! the nearest spelling of a subcommand that does not exist.

mod bench;
mod check;
mod clients;
mod connect;
mod datagrams;
mod dialogue;
mod endpoint;
mod faults;
mod generate;
mod listen;
mod pipe;
mod program;
mod proxies;
mod relay;
mod send_udp;
mod shared;
mod tls;
mod topics;
mod usage;
mod value;
mod web;

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory, Parser};

use crate::error::{Error, Op};
use crate::plan::address::redacted;
use crate::plan::{Plan, advice};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Do it.
    Run(Plan),
    /// `--explain`: print the plan on stdout, do nothing.
    Explain(Plan),
    /// Print this on stdout and exit with 0: help, the version, a generated file.
    Print(String),
}

/// Understands a whole command line, without the program's own name in front.
///
/// # Errors
/// Every mistake that can be seen before anything is opened, as one line with at most one `try:`; the status is 2.
pub fn plan(mut args: Vec<OsString>) -> Result<Request, Error> {
    // what stands behind `--` is a program and its arguments, or DATA
    let behind = args.iter().position(|word| word == "--").map(|at| args.split_off(at));
    let behind = behind.as_deref().and_then(|words| words.get(1..)).unwrap_or_default();
    if args.first().is_some_and(|word| word == "send-udp") {
        // no program has a place here, and DATA may begin with a hyphen
        return parse("send-udp", &args, |args: send_udp::Args| args.into_request(behind));
    }
    let program = program::trailing(behind)?;
    match args.first().map(|word| word.to_str().unwrap_or_default()) {
        None => {
            Err(Error::said(Op::Parse, "an empty command line", "a subcommand is missing").with_advice("haul help"))
        }
        Some("--version" | "-V") if args.len() == 1 => Ok(Request::Print(VERSION.into())),
        Some("listen") => parse("listen", &args, |args: listen::Args| args.into_request(program)),
        Some("connect") => parse("connect", &args, |args: connect::Args| args.into_request(program)),
        Some("pipe") => parse("pipe", &args, |args: pipe::Args| args.into_request(program)),
        Some("relay") => parse("relay", &args, |args: relay::Args| args.into_request(program)),
        Some("bench") if program.is_none() => parse("bench", &args, bench::Args::into_request),
        Some(_) if program.is_some() => {
            let error =
                Error::said(Op::Use, "a program behind --", "listen, connect and relay take one, and come first");
            Err(error.with_advice("haul help"))
        }
        Some(_) => {
            args.insert(0, "haul".into());
            parse("", &args, Cli::into_request)
        }
    }
}

const VERSION: &str = concat!("haul ", env!("CARGO_PKG_VERSION"), "\n");

/// Parses `args`, of which the first is only a name, and goes on with `then`.
fn parse<A: Parser>(
    subcommand: &str,
    args: &[OsString],
    then: impl FnOnce(A) -> Result<Request, Error>,
) -> Result<Request, Error> {
    // what stands behind a flag that takes a number is that number, so that the error names the flag
    let numeric = |arg: &clap::Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| matches!(name.as_str(), "T" | "N" | "SIZE" | "RATE" | "PORT")) && !arg.is_positional()
    };
    let command = A::command().mut_args(|arg| if numeric(&arg) { arg.allow_negative_numbers(true) } else { arg });
    let parsed = command.try_get_matches_from(args).and_then(|mut words| A::from_arg_matches_mut(&mut words));
    match parsed {
        Ok(parsed) => then(parsed),
        Err(error) => usage::rephrase(&error, subcommand, args),
    }
}

/// The end of every subcommand's planning: the checks of the whole plan, then what to do with it.
fn request(mut plan: Plan, flags: &crate::plan::address::Options, explain: bool) -> Result<Request, Error> {
    advice::settle(&mut plan, flags)?;
    Ok(if explain { Request::Explain(plan) } else { Request::Run(plan) })
}

/// Move bytes between the network and standard input and output, without losing any.
///
/// Both sides of a transfer end by themselves when it is over, every failure is one line on standard error with an
/// exit status that says what kind it was, and standard output carries the payload and nothing else.
#[derive(Debug, Parser)]
#[command(
    name = "haul",
    version,
    disable_help_subcommand = true,
    override_usage = "haul <SUBCOMMAND> [OPTIONS] …\n       haul help [SUBCOMMAND | TOPIC]",
    subcommand_value_name = "SUBCOMMAND",
    max_term_width = 100,
    after_help = "Topics for `haul help`: endpoints, exit, eof, tls, units.",
    after_long_help = EXAMPLES
)]
struct Cli {
    /// Print a generated file: a man page or a completion script.
    ///
    /// `man` is the page of haul itself, `man-listen` that of `haul listen`, and so on. An example:
    /// `haul --generate complete-bash > ~/.local/share/bash-completion/completions/haul`.
    #[arg(long, value_name = "KIND", value_parser = generate::kinds())]
    generate: Option<generate::Kind>,

    #[command(subcommand)]
    subcommand: Option<Subcommand>,
}

const EXAMPLES: &str = "\
Examples:
  haul listen 9000 > copy.tar          receive a file
  haul connect host 9000 < some.tar    send it; both sides end by themselves
  producer | haul pipe --progress | consumer
                                       see how fast it goes

Topics for `haul help`: endpoints, exit, eof, tls, units.";

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Listen(Box<listen::Args>),
    Connect(Box<connect::Args>),
    Pipe(Box<pipe::Args>),
    SendUdp(Box<send_udp::Args>),
    Relay(Box<relay::Args>),
    Bench(Box<bench::Args>),
    /// Explain a subcommand, or a topic: endpoints, exit, eof, tls, units.
    #[command(override_usage = "haul help [SUBCOMMAND | TOPIC]")]
    Help {
        /// What to explain [default: haul itself]
        #[arg(value_name = "TOPIC", value_parser = topics::names())]
        topic: Option<&'static str>,
    },
}

impl Cli {
    fn into_request(self) -> Result<Request, Error> {
        match (self.generate, self.subcommand) {
            (Some(kind), None) => generate::print(kind).map(Request::Print),
            (Some(_), Some(_)) => {
                Err(advice::clash("--generate", "a subcommand", "it stands alone", "--generate man-listen"))
            }
            (None, Some(Subcommand::Listen(args))) => args.into_request(None),
            (None, Some(Subcommand::Connect(args))) => args.into_request(None),
            (None, Some(Subcommand::Pipe(args))) => args.into_request(None),
            (None, Some(Subcommand::SendUdp(args))) => args.into_request(&[]),
            (None, Some(Subcommand::Relay(args))) => args.into_request(None),
            (None, Some(Subcommand::Bench(args))) => args.into_request(),
            (None, Some(Subcommand::Help { topic: Some(topic) })) => Ok(Request::Print(help(topic))),
            (None, Some(Subcommand::Help { topic: None }) | None) => Ok(Request::Print(help("haul"))),
        }
    }
}

/// The text of `haul help TOPIC`.
fn help(topic: &str) -> String {
    match topic {
        "listen" => listen::Args::command().render_long_help().to_string(),
        "connect" => connect::Args::command().render_long_help().to_string(),
        "pipe" => pipe::Args::command().render_long_help().to_string(),
        "send-udp" => send_udp::Args::command().render_long_help().to_string(),
        "relay" => relay::Args::command().render_long_help().to_string(),
        "bench" => bench::Args::command().render_long_help().to_string(),
        topic => topics::text(topic).map_or_else(|| Cli::command().render_long_help().to_string(), str::to_string),
    }
}

/// A word as it is shown in an error, without a password.
fn quoted(word: &OsStr) -> Vec<u8> {
    [b"'", redacted(word.as_encoded_bytes()).as_slice(), b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(line: &str) -> String {
        match plan(line.split_whitespace().map(OsString::from).collect()) {
            Ok(Request::Print(text)) => text,
            other => panic!("haul {line}: {other:?}"),
        }
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
        listen::Args::command().debug_assert();
        connect::Args::command().debug_assert();
        pipe::Args::command().debug_assert();
        send_udp::Args::command().debug_assert();
        relay::Args::command().debug_assert();
        bench::Args::command().debug_assert();
    }

    #[test]
    fn the_version_is_one_line() {
        for line in ["--version", "-V"] {
            assert_eq!(printed(line), VERSION);
        }
        assert_eq!(printed("--version --version"), VERSION);
    }

    #[test]
    fn help_is_the_same_by_flag_and_by_word() {
        assert_eq!(printed("help"), printed("--help"));
        assert_eq!(printed("help listen"), printed("listen --help"));
        assert_eq!(printed("help connect"), printed("connect --help"));
        assert_eq!(printed("help pipe"), printed("pipe --help"));
        assert_eq!(printed("help send-udp"), printed("send-udp --help"));
        assert_eq!(printed("help relay"), printed("relay --help"));
        assert!(printed("listen -h").len() < printed("listen --help").len());
        assert!(printed("listen --help").contains("Examples:"));
    }

    #[test]
    fn only_what_works_is_shown() {
        let help = printed("help");
        for now in ["listen", "connect", "pipe", "send-udp", "relay", "bench"] {
            assert!(help.contains(now), "{now}");
        }
        assert!(!help.contains("quic"));
    }

    #[test]
    fn every_flag_is_explained() {
        let subcommands = [listen::Args::command(), connect::Args::command(), pipe::Args::command()];
        let others = [Cli::command(), send_udp::Args::command(), relay::Args::command(), bench::Args::command()];
        for command in subcommands.into_iter().chain(others) {
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                // the derive macro takes the last full stop away
                assert!(help.len() > 15 && help.starts_with(char::is_uppercase), "{}: {help}", arg.get_id());
            }
        }
    }

    #[test]
    fn help_fits_100_columns() {
        let long = ["help", "help listen", "help connect", "help pipe", "help send-udp", "help relay", "help bench"];
        let short = ["listen -h", "connect -h", "pipe -h", "send-udp -h", "relay -h", "bench -h"];
        for line in long.into_iter().chain(short) {
            let text = printed(line);
            assert!(!text.contains('\x1b'));
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }
}
