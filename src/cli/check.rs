//! The words of `connect -z`: a host with ports and ranges, or endpoints whose port may be a range.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;

use super::{datagrams, endpoint, quoted};
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::plan::address::{Address, Kind};
use crate::plan::advice;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Testing")]
pub(super) struct Testing {
    /// Only test whether something listens: at all ports and ranges of a host, or at all endpoints, at once.
    ///
    /// The status is 0 if all of them are open. -v prints those that are, a line each, on standard output. A range is
    /// written 20-25, behind a host or as the port of an endpoint. A UDP port that does not answer counts as open.
    #[arg(short = 'z')]
    pub(super) zero: bool,

    /// With -z, succeed when one of them is open [default: all of them]
    #[arg(long)]
    pub(super) any: bool,

    /// Exchange datagrams, over UDP or with -U over a Unix socket; with -z, test UDP ports [default: TCP]
    ///
    /// Standard input is sent as --split says, and what comes is written to standard output. When standard input has
    /// ended and nothing has come for -w (1 s), haul ends. A refusal by the peer's machine is told, with status 1.
    #[arg(short = 'u', help_heading = "Datagrams")]
    pub(super) udp: bool,
}

impl Testing {
    /// Refuses what only `-z` makes sense of.
    pub(super) fn need_z(&self) -> Result<(), Error> {
        if self.any {
            return Err(advice::lonely("--any", "-z", "it is about what -z tests", "-z --any"));
        }
        Ok(())
    }
}

/// Everything that `words`, or the path of `-U`, names.
pub(super) fn targets(unix: Option<OsString>, words: &[OsString], udp: bool) -> Result<Vec<Address>, Error> {
    if let Some(path) = unix {
        let other = udp.then_some("-u");
        return Ok(vec![endpoint::unix(&path, words.first().map(OsString::as_os_str), other)?]);
    }
    let Some((first, rest)) = words.split_first() else {
        let missing = Error::said(Op::Parse, "'haul connect -z'", "it does not say where to");
        return Err(missing.with_advice("haul connect -z HOST PORT"));
    };
    let mut targets = Vec::new();
    if endpoint::is_whole(first) {
        for word in words {
            expand(word, |word| one(word, udp), &mut targets)?;
        }
        return Ok(targets);
    }
    if rest.is_empty() {
        // the error says that a port is missing
        targets.push(endpoint::words(first, None)?);
    }
    for word in rest {
        if !word.as_bytes().iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') && endpoint::is_whole(word) {
            let error = Error::said(Op::Parse, quoted(word), "behind a host come its ports and ranges");
            return Err(error.with_advice("HOST:PORT for the first as well"));
        }
        expand(word, |port| Ok(protocol(endpoint::words(first, Some(port))?, udp)), &mut targets)?;
    }
    Ok(targets)
}

/// One endpoint, which `-u` makes UDP if it does not say what it is.
fn one(word: &OsStr, udp: bool) -> Result<Address, Error> {
    let address = endpoint::words(word, None)?;
    if !udp || matches!(address.kind, Kind::Udp(_)) {
        return Ok(address);
    }
    if !datagrams::says_nothing(word) {
        return Err(advice::clash("-u", &address.to_string(), "that is no UDP endpoint", "it without -u"));
    }
    Ok(protocol(address, udp))
}

fn protocol(address: Address, udp: bool) -> Address {
    match address.kind {
        Kind::Tcp(at) if udp => Address { kind: Kind::Udp(at), ..address },
        _ => address,
    }
}

/// Parses `word`, once for each port if it ends with a range of them.
fn expand(
    word: &OsStr,
    parse: impl Fn(&OsStr) -> Result<Address, Error>,
    targets: &mut Vec<Address>,
) -> Result<(), Error> {
    let start = word.as_bytes().iter().rposition(|byte| matches!(byte, b':' | b'/')).map_or(0, |at| at + 1);
    let (before, tail) = word.as_bytes().split_at(start);
    // `-` is standard input and output; a path may end as a range does: it is a range only where another word with one port is a host and a port
    let lowest = parse(OsStr::from_bytes(&[before, b"1"].concat()));
    let base = match lowest {
        // `-u` with a range of something else
        Err(error) if looks_like_range(tail) && error.op() == Op::Use => return Err(error),
        Ok(base) if word != "-" && looks_like_range(tail) && matches!(base.kind, Kind::Tcp(_) | Kind::Udp(_)) => base,
        _ => {
            targets.push(parse(word)?);
            return Ok(());
        }
    };
    let ports = range(tail).map_err(|(cause, hint)| {
        let error = Error::said(Op::Parse, quoted(word), cause);
        error.with_advice(format!("{}{hint}", Escaped(before)))
    })?;
    targets.extend(ports.map(|port| {
        let mut target = base.clone();
        if let Kind::Tcp(at) | Kind::Udp(at) = &mut target.kind {
            at.port = port;
        }
        target
    }));
    Ok(())
}

/// Digits and one hyphen among them.
fn looks_like_range(tail: &[u8]) -> bool {
    tail.iter().filter(|byte| **byte == b'-').count() == 1 && tail.iter().all(|byte| b"-0123456789".contains(byte))
}

/// The ports of `20-25`, or why it is none and what to write behind the host.
fn range(tail: &[u8]) -> Result<RangeInclusive<u16>, (&'static str, String)> {
    let text = String::from_utf8_lossy(tail);
    let (first, last) = text.split_once('-').unwrap_or_default();
    if first.is_empty() || last.is_empty() {
        let first = if first.is_empty() { "1" } else { first };
        let last = if last.is_empty() { "65535" } else { last };
        return Err(("a range has a first and a last port", format!("{first}-{last}")));
    }
    let (Ok(low), Ok(high)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return Err(("a port is a number from 1 to 65535", "1-65535".into()));
    };
    match () {
        () if low > high => Err(("the range ends before it begins", format!("{last}-{first}"))),
        () if low == 0 => Err(("port 0 is no port to connect to", format!("1-{last}"))),
        () => Ok(low..=high),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Request;
    use super::*;
    use crate::outcome::ExitStatus;
    use crate::plan::address::Family;
    use crate::plan::{Check, Plan};

    fn run(line: &str, udp: bool) -> Result<Vec<String>, Error> {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        Ok(targets(None, &words, udp)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn words_are_ports_of_a_host_or_endpoints() {
        for (line, expected) in [
            ("db 5432", &["tcp:db:5432"][..]),
            ("db 22 80-82", &["tcp:db:22", "tcp:db:80", "tcp:db:81", "tcp:db:82"]),
            ("::1 22 80", &["tcp:::1/22", "tcp:::1/80"]),
            ("db:5432 redis:6379", &["tcp:db:5432", "tcp:redis:6379"]),
            ("a:1-2 unix:/run/1-2", &["tcp:a:1", "tcp:a:2", "unix:/run/1-2"]),
            ("/tmp/20-25 @x:1-2", &["/tmp/20-25", "unix:@x:1-2"]),
            ("::1/1-2 [::1]:3-4", &["tcp:::1/1", "tcp:::1/2", "tcp:::1/3", "tcp:::1/4"]),
            ("8080 9090-9091", &["tcp:8080", "tcp:9090", "tcp:9091"]),
            (":7-8", &["tcp:7", "tcp:8"]),
            ("udp:db:53-54", &["udp:db:53", "udp:db:54"]),
            ("tcp,nodelay:db:5-6", &["tcp,nodelay:db:5", "tcp,nodelay:db:6"]),
            ("db 5-5", &["tcp:db:5"]),
        ] {
            assert_eq!(run(line, false).unwrap(), expected, "{line}");
        }
        assert_eq!(run("db 1-65535", false).unwrap().len(), 65535);
    }

    #[test]
    fn u_means_udp_where_nothing_else_is_said() {
        assert_eq!(run("db 53 60-61", true).unwrap(), ["udp:db:53", "udp:db:60", "udp:db:61"]);
        assert_eq!(run("db:53 udp:a:1 ::1/7-8", true).unwrap(), ["udp:db:53", "udp:a:1", "udp:::1/7", "udp:::1/8"]);
        for line in ["tcp:db:53", "tcp:9000", "mptcp:9000", "tcp:9000-9002", "unix:/s", "tcp:db:1-2"] {
            assert!(run(line, true).unwrap_err().line().starts_with("cannot use -u with "), "{line}");
        }
    }

    #[test]
    fn empty_and_reversed_ranges_are_refused() {
        for (line, expected) in [
            ("db 25-20", "cannot understand '25-20': the range ends before it begins\n  try: 20-25"),
            ("db:25-20", "cannot understand 'db:25-20': the range ends before it begins\n  try: db:20-25"),
            ("::1/25-20", "cannot understand '::1/25-20': the range ends before it begins\n  try: ::1/20-25"),
            ("db 20-", "cannot understand '20-': a range has a first and a last port\n  try: 20-65535"),
            ("db:-25", "cannot understand 'db:-25': a range has a first and a last port\n  try: db:1-25"),
            ("db:-", "cannot understand 'db:-': a range has a first and a last port\n  try: db:1-65535"),
            ("db 0-5", "cannot understand '0-5': port 0 is no port to connect to\n  try: 1-5"),
            ("db 1-70000", "cannot understand '1-70000': a port is a number from 1 to 65535\n  try: 1-65535"),
            (
                "db redis:6379",
                "cannot understand 'redis:6379': behind a host come its ports and ranges\n  try: HOST:PORT for the first as well",
            ),
            ("db http", "cannot understand 'db http': a port is a number, not a name\n  try: db 80"),
            ("db", "cannot understand 'db': a port is missing\n  try: db PORT"),
            ("", "cannot understand 'haul connect -z': it does not say where to\n  try: haul connect -z HOST PORT"),
        ] {
            let error = run(line, false).unwrap_err();
            assert_eq!(error.to_string(), expected, "{line}");
            assert_eq!(error.status(), ExitStatus::Usage, "{line}");
        }
        assert!(run("db 1-2-3", false).is_err() && run("db 1-2a", false).is_err());
    }

    fn plan(line: &str) -> Result<Check, Error> {
        let words = ["connect", "-z"].into_iter().chain(line.split_whitespace());
        match super::super::plan(words.map(OsString::from).collect())? {
            Request::Run(Plan::Check(check)) => Ok(check),
            other => panic!("connect -z {line}: {other:?}"),
        }
    }

    #[test]
    fn flags_about_trying_reach_the_plan_and_those_about_bytes_are_told() {
        let seconds = |n| Some(Duration::from_secs(n));
        let check = plan("-v --any --wait 30 -w 2 -4 a 1 2").unwrap();
        assert_eq!((check.any, check.wait, check.timeout, check.report.verbosity), (true, seconds(30), seconds(2), 1));
        assert!(check.targets.iter().all(|target| target.options.family == Some(Family::V4)));
        assert_eq!(check.report.advice, []);
        assert_eq!(plan("-w 5 --connect-timeout 2 a:1").unwrap().timeout, seconds(2));
        assert_eq!(plan("-d -q 1 a 1").unwrap().report.advice.len(), 1);
        assert_eq!(plan("--nodelay unix:/s a:1").unwrap().report.advice, []);
        let told = &plan("--nodelay unix:/s @a").unwrap().report.advice;
        assert_eq!(told[0].sentence, "--nodelay changes nothing for any of the endpoints");
        assert_eq!(plan("-U /s").unwrap().targets[0].to_string(), "unix:/s");
        assert_eq!(plan("-u a 53").unwrap().targets[0].to_string(), "udp:a:53");
    }

    #[test]
    fn what_is_no_test_is_refused() {
        for (line, expected) in [
            ("-e cat a 1", "cannot use -z with a program: it only tests whether something listens"),
            ("a 1 -- cat", "cannot use -z with a program: it only tests whether something listens"),
            (
                "--send x a 1",
                "cannot use -z with --send, --expect and --timeout: it only tests whether something listens",
            ),
            ("-o f a 1", "cannot use -z with -o: it only tests whether something listens"),
            ("-u -U /s", "cannot use -U with -u: -U names the whole endpoint"),
            ("-U /s a 1", "cannot use -U with another endpoint: -U names the whole endpoint"),
            ("a:1 exec:cat", "cannot connect to exec:cat: -z tests where something listens"),
            ("-", "cannot connect to -: -z tests where something listens"),
            ("a:0", "cannot connect to tcp:a:0: port 0 is no port to connect to"),
            ("-n a 1-3", "cannot use -n with a:1: the host is a name"),
        ] {
            let error = plan(line).unwrap_err();
            assert_eq!(error.line(), expected, "connect -z {line}");
            assert_eq!(error.status(), ExitStatus::Usage, "connect -z {line}");
        }
    }

    #[test]
    fn explain_writes_neighbouring_ports_as_a_range() {
        let line = "connect --explain -z --any -w 2 --wait 30 h 1-5 7 8 10";
        let words = line.split_whitespace().map(OsString::from).collect();
        let Request::Explain(plan) = super::super::plan(words).unwrap() else { panic!("{line}") };
        assert_eq!(
            plan.to_string(),
            "\
test tcp:h:1-5
test tcp:h:7-8
test tcp:h:10
succeed when one of them is open
give up a try when it has taken 2s, with status 3
try again until that has taken 30s, with status 3
"
        );
    }
}
