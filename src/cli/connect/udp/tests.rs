use std::time::Duration;

use super::super::super::plan;
use super::*;
use crate::outcome::ExitStatus;
use crate::plan::Local;
use crate::plan::datagram::Split;
use crate::units::Rate;

fn split(line: &str) -> Vec<OsString> {
    shlex::split(&format!("connect {line}")).unwrap().into_iter().map(OsString::from).collect()
}

fn run(line: &str) -> Result<ConnectUdp, Error> {
    match plan(split(line))? {
        Request::Run(Plan::ConnectUdp(connect)) => Ok(connect),
        other => panic!("connect {line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str) -> String {
    let error = run(line).unwrap_err();
    assert_eq!(error.status(), ExitStatus::Usage, "connect {line}");
    assert!(error.advice().is_some(), "connect {line}");
    error.line()
}

#[test]
fn u_or_the_endpoint_says_that_datagrams_are_meant() {
    for (line, to) in [
        ("-u db 53", "udp:db:53"),
        ("-u db:53", "udp:db:53"),
        ("-u 9000", "udp:9000"),
        ("udp:db:53", "udp:db:53"),
        ("-u -s 127.0.0.1 -p 7 127.0.0.1 53", "udp,source=127.0.0.1,source-port=7:127.0.0.1:53"),
        ("-u --df --ttl 3 db 53", "udp,ttl=3,df:db:53"),
        ("-u -U /s", "unix,dgram:/s"),
        ("unix,dgram:@s", "unix,dgram:@s"),
    ] {
        assert_eq!(run(line).unwrap_or_else(|error| panic!("{line}: {error}")).to.to_string(), to, "{line}");
    }
}

#[test]
fn every_flag_reaches_the_plan() {
    let connect = run("-u --split 1400 -W 3 -w 2 --idle 9 --max-time 1m -L 1M -v db 53").unwrap();
    assert_eq!((connect.split, connect.replies), (Some(Split::Size(1400)), Some(3)));
    assert_eq!((connect.wait, connect.idle), (Some(Duration::from_secs(2)), Some(Duration::from_secs(9))));
    assert_eq!((connect.max_time, connect.pacing.rate), (Some(Duration::from_secs(60)), Some(Rate(1_000_000))));
    assert!(connect.stdin && connect.local == Local::Stdio && connect.report.verbosity == 1);
    assert_eq!(run("-u db 53").unwrap().wait, Some(DEFAULT_WAIT));
    assert_eq!(run("-u -q 0 db 53").unwrap().wait, Some(Duration::ZERO));
    let silent = run("-u -d db 53").unwrap();
    assert_eq!((silent.stdin, silent.wait), (false, None));
    assert_eq!(run("-u --recv-only -w 2 db 53").unwrap().wait, Some(Duration::from_secs(2)));
    assert!(matches!(run("-u db 53 -- cat").unwrap().local, Local::Program(_)));
}

#[test]
fn what_datagrams_have_no_use_for_is_refused() {
    for (line, expected) in [
        ("-u --wait 3 a 1", "cannot use --wait with -u: with datagrams there is no connection to wait for"),
        (
            "-u --expect x a 1",
            "cannot use --send, --expect and --timeout with -u: with datagrams there is no connection to wait for",
        ),
        (
            "-u --connect-timeout 3 a 1",
            "cannot use --connect-timeout with -u: with datagrams there is no connection to wait for",
        ),
        ("-u --send-only a 1", "cannot use --send-only with -u: a sender alone is a command of its own"),
        ("-u -w 1 -q 1 a 1", "cannot use -w with -q: with -u both count from the end of standard input"),
        ("-u -d -q 1 a 1", "cannot use -q with -d: it counts from the end of standard input, which is not read"),
        ("-u tcp:a:1", "cannot use -u with tcp:a:1: that carries no datagrams"),
        ("-u a 0", "cannot connect to udp:a:0: port 0 is no port to send to"),
        (
            "-u 239.1.2.3 5",
            "cannot connect to udp:239.1.2.3:5: a group answers from other addresses, which a connected socket does not hear",
        ),
        (
            "-u 255.255.255.255 5",
            "cannot connect to udp:255.255.255.255:5: a broadcast address answers from other addresses, which a connected \
             socket does not hear",
        ),
        (
            "-u --split 65508 127.0.0.1 1",
            "cannot use 65508 bytes as one datagram: over IPv4 a datagram holds at most 65507",
        ),
        ("-W 3 a 1", "cannot use -W without -u: it is about datagrams"),
        ("--split line a 1", "cannot use --split without -u: it is about datagrams"),
        ("--df a 1", "cannot use --df without -u: it is about datagrams"),
        ("-zu -W 3 a 1", "cannot use -z with --split, -W and --df: it only tests whether something listens"),
    ] {
        assert_eq!(refused(line), expected, "connect {line}");
    }
}

#[test]
fn explain_is_one_decision_a_line() {
    let explained = |line: &str| match plan(split(&format!("--explain {line}"))).unwrap() {
        Request::Explain(plan) => plan.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        explained("-u -W 1 -w 5 --split nul db 53"),
        "\
exchange datagrams with udp:db:53
send standard input, a datagram for each NUL byte
write what is received to standard output, each with a NUL byte behind it
end when standard input has ended and nothing has come for 5s, with status 3
end when a datagram has been received, with status 0
"
    );
    assert_eq!(
        explained("-u -d --idle 3 db 53"),
        "\
exchange datagrams with udp:db:53
send nothing
write what is received to standard output
stop when no datagram has moved for 3s, with status 3
"
    );
    assert!(explained("-u -d -w 3 db 53").contains("end when nothing has come for 3s\n"));
}
