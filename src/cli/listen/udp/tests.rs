use std::time::Duration;

use super::super::super::plan;
use super::*;
use crate::outcome::ExitStatus;
use crate::plan::address::{Host, Program};
use crate::plan::datagram::Framing;
use crate::plan::{EventSink, Local};

/// Words with a space in them stand in quotes here.
fn split(line: &str) -> Vec<OsString> {
    shlex::split(&format!("listen {line}")).unwrap().into_iter().map(OsString::from).collect()
}

fn run(line: &str) -> Result<ListenUdp, Error> {
    match plan(split(line))? {
        Request::Run(Plan::ListenUdp(listen)) => Ok(listen),
        other => panic!("listen {line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str) -> String {
    let error = run(line).unwrap_err();
    assert_eq!(error.status(), ExitStatus::Usage, "listen {line}");
    assert!(error.advice().is_some(), "listen {line}");
    error.line()
}

#[test]
fn u_or_the_endpoint_says_that_datagrams_are_meant() {
    for (line, at) in [
        ("-u 9000", "udp:9000"),
        ("-lup 9000", "udp:9000"),
        ("-u -s 127.0.0.1 -p 9000", "udp:127.0.0.1:9000"),
        ("-u 127.0.0.1 9000", "udp:127.0.0.1:9000"),
        ("-u -p 9000 127.0.0.1", "udp:127.0.0.1:9000"),
        ("-u ::1/0", "udp:::1/0"),
        ("udp:127.0.0.1:9000", "udp:127.0.0.1:9000"),
        ("-s 127.0.0.1 udp:9000", "udp:127.0.0.1:9000"),
        ("udp://127.0.0.1:9000", "udp:127.0.0.1:9000"),
        ("-u -U /s", "unix,dgram:/s"),
        ("-u /s", "unix,dgram:/s"),
        ("unix,dgram:/s", "unix,dgram:/s"),
        ("-u --source 10.0.0.1 --iface lo 232.1.2.3 5000", "udp,source=10.0.0.1,iface=lo:232.1.2.3:5000"),
        ("-u 239.1.2.3 5000", "udp:239.1.2.3:5000"),
    ] {
        assert_eq!(run(line).unwrap_or_else(|error| panic!("{line}: {error}")).at.to_string(), at, "{line}");
    }
}

#[test]
fn every_flag_reaches_the_plan() {
    let listen = run("-u -k -m 9 --count 3 --allow 10.0.0.0/8 --deny 10.0.0.1 -W 7 -w 30 --max-time 1m --accept-timeout \
         2s --split len16 --seq --flow-idle 5s --ready-fd 3 --port-file p --then x --grace 1s --events fd:4 --stats 9000")
    .unwrap();
    assert_eq!((listen.datagrams, listen.framing, listen.stamped), (Some(7), Some(Framing::Len16), true));
    assert_eq!((listen.idle, listen.max_time), (Some(Duration::from_secs(30)), Some(Duration::from_secs(60))));
    assert_eq!((listen.first_within, listen.flow_idle), (Some(Duration::from_secs(2)), Duration::from_secs(5)));
    assert_eq!(listen.announce, crate::plan::Announce { ready_fd: Some(3), port_file: Some("p".into()) });
    let serving = &listen.serving;
    assert_eq!((serving.most, serving.count, serving.grace), (Some(9), Some(3), Duration::from_secs(1)));
    assert_eq!((serving.allow.len(), serving.deny.len(), serving.then.is_some()), (1, 1, true));
    assert_eq!(listen.report.events, Some(EventSink::Fd(4)));
    assert!(listen.stdin && listen.report.stats && listen.report.advice.is_empty());
    let plain = run("-u 9000").unwrap();
    assert_eq!((plain.flow_idle, plain.framing, plain.idle), (DEFAULT_FLOW_IDLE, None, None));
    for line in ["-u -d 9000", "-u --recv-only 9000"] {
        assert!(!run(line).unwrap().stdin, "{line}");
    }
    let program = Program::Words(vec!["cat".into()]);
    assert_eq!(run("-u 127.0.0.1 9000 -- cat").unwrap().local, Local::Program(program.clone()));
    assert_eq!(run("-u -e cat 127.0.0.1 9000").unwrap().local, Local::Program(program));
}

#[test]
fn what_datagrams_have_no_use_for_is_refused() {
    for (line, expected) in [
        ("-u --fan-out 1", "cannot use --fan-out with -u: standard input answers the peer that was heard last"),
        ("-u --broker 1", "cannot use --broker with -u: datagrams have no connections to join"),
        (
            "-u --max-per-ip 1 1",
            "cannot use --max-per-ip with -u: the source of a datagram can be forged, so it would shut out whoever is named",
        ),
        ("-u -q 1 1", "cannot use -q with -u: the end of standard input ends nothing, since peers may still come"),
        ("-u -L 1M 1", "cannot use -L with -u: datagrams come as fast as they are sent"),
        ("-u --send-only 1", "cannot use --send-only with -u: a sender alone is a command of its own"),
        ("-u --max-bytes 1 1", "cannot use --max-bytes with -u: datagrams are counted, not bytes"),
        ("-u --banner hi 1", "cannot use --banner with -u: a peer is known once it has sent something"),
        ("-u -C 1", "cannot use -C with -u: a datagram goes as it is"),
        ("-u -o f 1", "cannot use -o with -u: a copy would not tell one datagram from the next"),
        ("-u --no-shutdown 1", "cannot use --no-shutdown with -u: a datagram socket has no end to tell"),
        ("-u --after-peer-eof exit 1", "cannot use --after-peer-eof with -u: a peer has no end"),
        ("-u -w 1 --idle 1 1", "cannot use -w with --idle: both set the limit on silence"),
        (
            "-u -d -e cat 127.0.0.1 1",
            "cannot use -d with a program: what the program writes is sent, and standard input is not read anyway",
        ),
        (
            "-u --split line -e cat 127.0.0.1 1",
            "cannot use --split with a program: each write of the program is a datagram, and each read of it gives one",
        ),
        ("-u --deny ::1 -U /s", "cannot use --deny with unix,dgram:/s: who sends there has no address"),
        ("-u tcp:9000", "cannot use -u with tcp:9000: that carries no datagrams"),
        ("-u fifo:p", "cannot use -u with fifo:p: that carries no datagrams"),
        ("-u fd,listen:3", "cannot use -u with fd,listen:3: that carries no datagrams"),
        ("-u -U /s --split size", "cannot understand 'size' for --split: must be one of line, nul, len16"),
        (
            "-u --source 10.0.0.1 9000",
            "cannot listen on udp,source=10.0.0.1:9000: --source picks a sender of a multicast group, and that is no group",
        ),
        (
            "-u --source ::1 239.1.2.3 9000",
            "cannot listen on udp,source=%3A%3A1:239.1.2.3:9000: the group and its --source are of two families",
        ),
        (
            "-u --source 232.1.1.1 232.1.2.3 9000",
            "cannot listen on udp,source=232.1.1.1:232.1.2.3:9000: --source is the host that sends, and that is a group",
        ),
        (
            "-u --ready-fd 3 --events fd:3 1",
            "cannot use --ready-fd with --events on one descriptor: --ready-fd closes its descriptor",
        ),
        ("--seq 9000", "cannot use --seq without -u: it is about datagrams"),
        ("-W 3 9000", "cannot use -W without -u: it is about datagrams"),
        ("--source ::1 9000", "cannot use --source without -u: it is about datagrams"),
        ("--split line unix:/s", "cannot use --split without -u: it is about datagrams"),
        ("--flow-idle 3 9000", "cannot use --flow-idle without -u: it is about datagrams"),
    ] {
        assert_eq!(refused(line), expected, "listen {line}");
    }
}

#[test]
fn a_program_is_not_served_to_the_world_by_datagrams_either() {
    for line in ["-u -e cat 9000", "-u -e cat 239.1.2.3 9000"] {
        assert_eq!(run(line).unwrap_err().status(), ExitStatus::Policy, "{line}");
    }
    assert!(run("-u -e cat --allow 10.0.0.0/8 9000").is_ok() && run("-u -e cat --open 9000").is_ok());
}

#[test]
fn what_changes_nothing_is_told() {
    let told = |line: &str| {
        let advice = run(line).unwrap().report.advice;
        advice.into_iter().map(|advice| advice.sentence).collect::<Vec<_>>()
    };
    let bytes = "--block, --buffer, --splice and --linger change nothing for datagrams";
    assert_eq!(told("-u -k 1"), Vec::<String>::new());
    assert_eq!(told("-u --splice never 1"), [bytes]);
    assert_eq!(told("-u --nodelay 1"), ["--nodelay changes nothing for udp:1"]);
    assert_eq!(told("-u --open 1"), ["--open is about programs, and none is run"]);
    assert_eq!(told("udp,loop:239.1.2.3:1"), ["--loop is about what is sent to a group, not about listening"]);
    assert_eq!(run("-u -s ::1 9000").unwrap().at.options.source, None::<Host>);
}

#[test]
fn explain_is_one_decision_a_line() {
    let explained = |line: &str| match plan(split(line)).unwrap() {
        Request::Explain(plan) => plan.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        explained("--explain -u -m 9 -W 3 -w 30 --split len16 --seq --iface lo --source 127.0.0.1 232.1.2.3 5000"),
        "\
receive datagrams at udp,source=127.0.0.1,iface=lo:232.1.2.3:5000 from every peer
join the group on the interface lo, for what 127.0.0.1 sends
hold at most 9 peers at once
write what is received to standard output, each with two bytes of length in front of it
send standard input to the peer that was heard last, a datagram for each two bytes of length
read the stamp of each datagram, and report what was lost, reordered and duplicated
end when 3 datagrams have been received, with status 0
stop when no datagram has moved for 30s, with status 3
"
    );
    assert_eq!(
        explained("--explain -u --count 1 --flow-idle 5 --port-file p -U /s -- cat"),
        "\
receive datagrams at unix,dgram:/s from the first peer
once listening, write the path to p
run cat for each peer: each of its writes is an answer
forget a peer that has been silent for 5s
"
    );
}
