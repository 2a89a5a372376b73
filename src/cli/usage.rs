//! clap's complaints in haul's shape: one line that names the argument, and at most one `try:`.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Request, quoted};
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::plan::address::is_slip;

/// Turns what clap did not parse into text to print (help, version) or into an error of ours.
///
/// `subcommand` is the one that was being parsed, empty for haul itself; `args` is what was typed.
pub(super) fn rephrase(error: &clap::Error, subcommand: &str, args: &[OsString]) -> Result<Request, Error> {
    let help = if subcommand.is_empty() { "haul help".to_string() } else { format!("haul help {subcommand}") };
    Err(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Ok(Request::Print(error.render().to_string())),
        ErrorKind::UnknownArgument => unknown(error, subcommand, args, help),
        ErrorKind::InvalidSubcommand => no_subcommand(error, args, help),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => bad_value(error, help),
        ErrorKind::NoEquals => said(error, args, "its value must follow a '='").with_advice(help),
        ErrorKind::TooManyValues => said(error, args, "it takes no value").with_advice(help),
        _ => said(error, args, "the arguments do not fit together").with_advice(help),
    })
}

fn said(error: &clap::Error, args: &[OsString], sentence: &str) -> Error {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    // clap shows a flag together with its value: `--splice <WHEN>`
    let argument = argument.split([' ', '=', '[']).next().unwrap_or_default();
    Error::said(Op::Parse, typed(argument, args), sentence)
}

fn unknown(error: &clap::Error, subcommand: &str, args: &[OsString], help: String) -> Error {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let object = typed(argument, args);
    if !argument.starts_with('-') {
        let sentence = match subcommand {
            "" => "nothing more goes here",
            _ => "one endpoint, or a host and a port, is all that goes here",
        };
        return Error::said(Op::Parse, object, sentence).with_advice(help);
    }
    let error_text = Error::said(Op::Parse, object, "no such option");
    if subcommand.is_empty() && args.len() > 2 {
        return error_text.with_advice("haul listen or haul connect first, then its options");
    }
    match text(error, ContextKind::SuggestedArg) {
        // clap goes by common beginnings too, and so knows an answer to every flag of other tools
        Some(nearest) if is_slip(bare(argument), bare(nearest)) => error_text.with_advice(nearest),
        _ => error_text.with_advice(help),
    }
}

/// A flag without its dashes and its value.
fn bare(flag: &str) -> &str {
    flag.trim_start_matches('-').split('=').next().unwrap_or_default()
}

fn no_subcommand(error: &clap::Error, args: &[OsString], help: String) -> Error {
    let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let error_text = Error::said(Op::Parse, typed(word, args), "no such subcommand");
    match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) if !names.is_empty() => error_text.with_advice(format!("haul {}", names[0])),
        // the way of nc: a host and a port, and nothing in front
        _ => match args.get(1..) {
            Some([host, port]) if port.to_str().is_some_and(|port| port.parse::<u16>().is_ok()) => {
                error_text.with_advice(format!("haul connect {}", Escaped(&[bytes(host), b" ", bytes(port)].concat())))
            }
            _ => error_text.with_advice(help),
        },
    }
}

fn bytes(word: &OsString) -> &[u8] {
    word.as_encoded_bytes()
}

fn bad_value(error: &clap::Error, help: String) -> Error {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let flag = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let Some(cause) = text(error, ContextKind::Custom) else {
        // clap's own: the value is missing altogether
        return Error::said(Op::Parse, format!("'{flag}'"), "its value is missing").with_advice(help);
    };
    let object = if flag.is_empty() { format!("'{value}'") } else { format!("'{value}' for {flag}") };
    let error_text = Error::said(Op::Parse, object, cause);
    match text(error, ContextKind::Suggested) {
        Some(hint) => error_text.with_advice(hint),
        None => error_text.with_advice(help),
    }
}

/// The argument in quotes, with the bytes that were typed: clap tells it with its broken UTF-8 replaced.
fn typed(shown: &str, args: &[OsString]) -> Vec<u8> {
    let same = |arg: &&OsString| {
        let arg = arg.to_string_lossy();
        arg == shown || (shown.starts_with("--") && arg.split('=').next() == Some(shown))
    };
    match args.iter().find(same) {
        Some(arg) if arg.to_str().is_none() => quoted(arg),
        _ => quoted(OsStr::new(shown)),
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::outcome::ExitStatus;

    /// The error for a command line, split at spaces.
    fn complaint(line: &str) -> String {
        match super::super::plan(line.split_whitespace().map(OsString::from).collect()) {
            Err(error) => {
                assert_eq!(error.status(), ExitStatus::Usage, "{line}");
                error.to_string()
            }
            Ok(request) => panic!("{line} was understood: {request:?}"),
        }
    }

    #[test]
    fn usage_errors_are_one_line_and_one_hint() {
        let table = [
            ("", "cannot understand an empty command line: a subcommand is missing\n  try: haul help"),
            ("lisen 9000", "cannot understand 'lisen': no such subcommand\n  try: haul listen"),
            ("db 5432", "cannot understand 'db': no such subcommand\n  try: haul connect db 5432"),
            ("xyzzy", "cannot understand 'xyzzy': no such subcommand\n  try: haul help"),
            (
                "-l 9000",
                "cannot understand '-l': no such option\n  try: haul listen or haul connect first, then its options",
            ),
            ("listen --ws 1", "cannot understand '--ws': no such option\n  try: haul help listen"),
            ("listen --verbose 1", "cannot understand '--verbose': no such option\n  try: haul help listen"),
            ("listen -w -1 1", "cannot understand '-1' for -w: it must not be negative\n  try: haul help listen"),
            ("connect -L -1 a 1", "cannot understand '-1' for -L: it must not be negative\n  try: haul help connect"),
            (
                "connect --block -1 a 1",
                "cannot understand '-1' for --block: it must not be negative\n  try: haul help connect",
            ),
            (
                "connect --buffer 100G a 1",
                "cannot understand '100G' for --buffer: at most 1Gi is held in memory\n  try: haul help connect",
            ),
            ("listen --frobnicate", "cannot understand '--frobnicate': no such option\n  try: haul help listen"),
            ("listen --no-shutdwon 1", "cannot understand '--no-shutdwon': no such option\n  try: --no-shutdown"),
            (
                "connect a 1 2",
                "cannot understand '2': one endpoint, or a host and a port, is all that goes here\n  try: haul help connect",
            ),
            ("connect -w", "cannot understand '-w': its value is missing\n  try: haul help connect"),
            ("connect --nodelay=1 a 1", "cannot understand '--nodelay': it takes no value\n  try: haul help connect"),
            (
                "connect --splice maybe a 1",
                "cannot understand 'maybe' for --splice: must be one of auto, never\n  try: haul help connect",
            ),
            (
                "listen -p 70000",
                "cannot understand '70000' for -p: not a port from 0 to 65535\n  try: haul help listen",
            ),
            (
                "listen -w 0 1",
                "cannot understand '0' for -w: a limit of 0 leaves no time; without the flag there is no limit\n  try: haul help listen",
            ),
            (
                "connect --events - a 1",
                "cannot understand '-' for --events: standard output carries the payload\n  try: --events fd:2 for standard error, or ./- for a file of that name",
            ),
            ("help exit eof", "cannot understand 'eof': nothing more goes here\n  try: haul help"),
            (
                "--generate man listen",
                "cannot use --generate with a subcommand: it stands alone\n  try: --generate man-listen",
            ),
            (
                "help nothing",
                "cannot understand 'nothing': must be one of listen, connect, pipe, send-udp, relay, bench, endpoints, exit, eof, tls, units\n  try: haul help",
            ),
            (
                "help listen -- cat",
                "cannot use a program behind --: listen, connect and relay take one, and come first\n  try: haul help",
            ),
            ("listen -m 0 1", "cannot understand '0' for -m: at least 1 is needed\n  try: haul help listen"),
            (
                "listen -o - 1",
                "cannot understand '-' for -o: standard output carries the payload\n  try: -o ./- for a file of that name",
            ),
            (
                "listen -e 'cat 1",
                "cannot understand ''cat' for -e: a quote is not closed, or a backslash stands at the end\n  try: haul help listen",
            ),
            (
                "connect --expect a(b a 1",
                "cannot understand 'a(b' for --expect: unclosed group (at character 2)\n  try: haul help connect",
            ),
            (
                "connect --send a\\q a 1",
                "cannot understand 'a\\q' for --send: unknown escape; there are \\n \\r \\t \\a \\b \\e \\f \\v \\NNN (octal) \\xNN and \\\\ (at byte 1)\n  try: haul help connect",
            ),
            (
                "listen --deny 10.0.0.0/33 1",
                "cannot understand '10.0.0.0/33' for --deny: \"10.0.0.0/33\" is not a network: the prefix is a number from 0 to 32\n  try: haul help listen",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(complaint(line), expected, "haul {line}");
        }
    }

    #[test]
    fn flags_of_later_versions_do_not_exist_yet() {
        let later = ["-i"];
        let of_listen = &["-z", "--wait", "--proxy-send", "-x"][..];
        for (subcommand, others) in [("listen", of_listen), ("connect", &["-k", "-m", "--then", "--seq"])] {
            for flag in later.iter().chain(others) {
                let text = complaint(&format!("{subcommand} {flag} a 1"));
                assert!(text.starts_with(&format!("cannot understand '{flag}': no such option")), "{text}");
            }
        }
    }

    #[test]
    fn an_argument_of_any_bytes_is_shown_escaped() {
        let plan = |words: &[&[u8]]| super::super::plan(words.iter().map(|w| OsString::from_vec(w.to_vec())).collect());
        let line = |words: &[&[u8]]| plan(words).unwrap_err().line();
        assert_eq!(line(&[b"listen", b"--a\xff\x1b"]), "cannot understand '--a\\xff\\x1b': no such option");
        assert_eq!(line(&[b"l\xffi"]), "cannot understand 'l\\xffi': no such subcommand");
        assert_eq!(line(&[b"listen", b"-w", b"\xff"]), "cannot understand '\\xff' for -w: it is not UTF-8");
        assert_eq!(
            line(&[b"connect", b"a", b"1", b"\x1b[2J"]),
            "cannot understand '\\x1b[2J': one endpoint, or a host and a port, is all that goes here"
        );
    }
}
