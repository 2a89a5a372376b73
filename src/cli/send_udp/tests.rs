use super::super::plan;
use super::*;
use crate::outcome::ExitStatus;
use crate::plan::address::{HostPort, Kind};
use crate::units::Rate;

/// Words with a space in them stand in quotes here.
fn split(line: &str) -> Vec<OsString> {
    shlex::split(line).unwrap().into_iter().map(OsString::from).collect()
}

fn run(line: &str) -> Result<SendUdp, Error> {
    match plan(split(&format!("send-udp {line}")))? {
        Request::Run(Plan::SendUdp(send)) => Ok(send),
        other => panic!("send-udp {line}: {other:?}"),
    }
}

#[track_caller]
fn sent(line: &str) -> (String, Payload) {
    let send = run(line).unwrap_or_else(|error| panic!("send-udp {line}: {error}"));
    (send.to.to_string(), send.payload)
}

#[track_caller]
fn refused(line: &str) -> String {
    let error = run(line).unwrap_err();
    assert_eq!(error.status(), ExitStatus::Usage, "send-udp {line}");
    assert!(error.advice().is_some(), "send-udp {line}");
    error.line()
}

fn explained(line: &str) -> String {
    match plan(split(&format!("send-udp --explain {line}"))).unwrap() {
        Request::Explain(plan) => plan.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_word_says_how_many_name_the_place() {
    let bytes = |text: &str| Payload::Bytes(text.as_bytes().to_vec());
    for (line, to, payload) in [
        ("db 53", "udp:db:53", Payload::Stdin),
        ("db 53 hello", "udp:db:53", bytes("hello")),
        ("db 53 hello  'two  words' 3", "udp:db:53", bytes("hello two  words 3")),
        ("db:53", "udp:db:53", Payload::Stdin),
        ("db:53 53", "udp:db:53", bytes("53")),
        ("9000 hello", "udp:9000", bytes("hello")),
        ("::1/53 hello", "udp:::1/53", bytes("hello")),
        ("::1 53 hello", "udp:::1/53", bytes("hello")),
        ("udp,ttl=3:db:53 x", "udp,ttl=3:db:53", bytes("x")),
        ("udp://db:53 x", "udp:db:53", bytes("x")),
        ("-U /dev/log hello", "unix,dgram:/dev/log", bytes("hello")),
        ("/dev/log hello", "unix,dgram:/dev/log", bytes("hello")),
        ("@log hello there", "unix,dgram:@log", bytes("hello there")),
        ("unix,dgram:/s", "unix,dgram:/s", Payload::Stdin),
        ("db 53 ''", "udp:db:53", bytes("")),
        ("-v db 53 x -4", "udp,4:db:53", bytes("x")),
        ("db 53 -- -x --file", "udp:db:53", bytes("-x --file")),
        ("db 53 a -- -x", "udp:db:53", bytes("a -x")),
        ("db 53 --", "udp:db:53", Payload::Stdin),
        ("db 53 --data-hex 00:ff", "udp:db:53", Payload::Bytes(vec![0, 255])),
        ("db 53 --file f", "udp:db:53", Payload::File("f".into())),
    ] {
        assert_eq!(sent(line), (to.to_string(), payload), "{line}");
    }
}

#[test]
fn every_flag_reaches_the_plan() {
    let send = run("-4 -n -s 127.0.0.9 -p 7 --iface eth1 -b --df --ttl 9 --dscp ef --rcvbuf 1Mi --sndbuf 1k --file f \
         --split 1400 --seq --count 5 --pps 100 -L 1M -W 2 -w 500ms --max-time 9 -v --stats 127.0.0.1 53")
    .unwrap();
    let options = &send.to.options;
    assert_eq!(options.family, Some(crate::plan::address::Family::V4));
    assert!(options.numeric && options.broadcast && options.df && options.loopback.is_none());
    assert_eq!((options.source_port, options.iface.as_deref()), (Some(7), Some("eth1")));
    assert_eq!(options.source, Some(Host::V4("127.0.0.9".parse().unwrap())));
    assert_eq!(
        (options.ttl, options.dscp, options.rcvbuf, options.sndbuf),
        (Some(9), Some(46), Some(1 << 20), Some(1000))
    );
    let pacing = Pacing { count: Some(5), interval: None, per_second: Some(100), rate: Some(Rate(1_000_000)) };
    assert_eq!((send.pacing, send.split), (pacing, Some(Split::Size(1400))));
    assert_eq!((send.replies, send.wait, send.stamped), (Some(2), Duration::from_millis(500), true));
    assert_eq!(send.max_time, Some(Duration::from_secs(9)));
    assert_eq!((send.report.verbosity, send.report.stats), (1, true));
    assert_eq!(run("-i 250ms --count 2 a 1 x").unwrap().pacing.interval, Some(Duration::from_millis(250)));
    for (flag, on) in [("--loop", true), ("--loop=on", true), ("--loop=off", false)] {
        assert_eq!(run(&format!("{flag} --ttl 0 239.1.2.3 9 x")).unwrap().to.options.loopback, Some(on), "{flag}");
    }
}

#[test]
fn one_byte_is_told_as_one() {
    assert!(explained("db 53 x").starts_with("send one datagram of 1 byte to "));
    assert!(explained("db 53 xy").starts_with("send one datagram of 2 bytes to "));
}

#[test]
fn a_limit_on_everything_is_explained() {
    assert!(explained("--max-time 5 db 53 x").contains("stop when it has taken 5s, with status 3"));
}

#[test]
fn answers_are_waited_for_where_they_are_wanted() {
    let ms = Duration::from_millis;
    for (line, wait) in [
        ("a 1", ms(1000)),
        ("-w 0 a 1", ms(0)),
        ("-W 1 a 1 x", ms(1000)),
        ("a 1 x", ms(0)),
        ("-w 200ms a 1 x", ms(200)),
        ("--file f a 1", ms(0)),
    ] {
        assert_eq!(run(line).unwrap().wait, wait, "{line}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (line, expected) in [
        ("", "cannot understand 'haul send-udp': it does not say where to"),
        ("db", "cannot understand 'db': a port is missing"),
        ("db:53 x --file f", "cannot use DATA with --file: one of them says what is sent"),
        ("db:53 x --data-hex 00", "cannot use DATA with --data-hex: one of them says what is sent"),
        ("db:53 --file f --data-hex 00", "cannot use --data-hex with --file: one of them says what is sent"),
        (
            "db:53 --data-hex 000",
            "cannot understand '000' for --data-hex: the number of hexadecimal digits is odd, and a byte has two",
        ),
        ("db:53 --split line x", "cannot use --split with DATA: DATA is one datagram"),
        (
            "db:53 --split word",
            "cannot understand 'word' for --split: must be one of read, line, nul, len16, none, or a size",
        ),
        ("db:53 -i 1 --pps 3", "cannot use -i with --pps: both say how fast"),
        ("db:53 -W 1 -w 0 x", "cannot use -W with -w 0: answers take time"),
        ("db:0 x", "cannot connect to udp:db:0: port 0 is no port to send to"),
        ("--ttl 256 db:53", "cannot understand '256' for --ttl: it is a number from 0 to 255"),
        (
            "--ttl 0 127.0.0.1 53",
            "cannot use --ttl 0 with 127.0.0.1:53: only to a multicast group a packet may have no hop",
        ),
        (
            "udp,ttl=0:127.0.0.1:53",
            "cannot understand 'udp,ttl=0:127.0.0.1:53': option ttl: it is a number from 1 to 255",
        ),
        (
            "--loop 127.0.0.1 53",
            "cannot connect to udp,loop:127.0.0.1:53: the option loop is about a multicast group, and that is none",
        ),
        ("--loop=perhaps 239.1.2.3 53", "cannot understand 'perhaps' for --loop: it is on or off"),
        ("255.255.255.255 53 x", "cannot connect to udp:255.255.255.255:53: that is a broadcast address"),
        ("-b ::1 53 x", "cannot connect to udp,broadcast:::1/53: IPv6 has no broadcast"),
        ("tcp:db:53 x", "cannot connect to tcp:db:53: datagrams go to a UDP port or to a Unix datagram socket"),
        (
            "unix,seqpacket:/s x",
            "cannot connect to unix,seqpacket:/s: datagrams go to a UDP port or to a Unix datagram socket",
        ),
        ("- x", "cannot connect to -: datagrams go to a UDP port or to a Unix datagram socket"),
        ("fifo:p x", "cannot connect to fifo:p: datagrams go to a UDP port or to a Unix datagram socket"),
        ("udp,listen:db:53", "cannot connect to udp,listen:db:53: the option listen waits for a connection"),
        ("-4 ::1 53 x", "cannot use -4 with ::1/53: that is an IPv6 address"),
        (
            "--split 65508 127.0.0.1 9",
            "cannot use 65508 bytes as one datagram: over IPv4 a datagram holds at most 65507",
        ),
        ("--split 65528 db 9", "cannot use 65528 bytes as one datagram: over IPv6 a datagram holds at most 65527"),
        ("--split 1M -4 db 9", "cannot use 1000000 bytes as one datagram: over IPv4 a datagram holds at most 65507"),
    ] {
        assert_eq!(refused(line), expected, "send-udp {line}");
    }
}

#[test]
fn what_no_datagram_holds_is_refused_before_anything_is_sent() {
    let line = |length: usize, to: &str| {
        let words = ["send-udp".into(), to.into(), "x".repeat(length).into()];
        plan(words.into()).err().map(|error| error.line())
    };
    assert_eq!(line(65_507, "127.0.0.1:9"), None);
    assert_eq!(
        line(65_508, "127.0.0.1:9").unwrap(),
        "cannot use 65508 bytes as one datagram: over IPv4 a datagram holds at most 65507"
    );
    assert_eq!(line(65_527, "::1/9"), None);
    assert!(line(65_528, "::1/9").is_some());
    assert_eq!(line(100_000, "@s"), None);
}

#[test]
fn what_changes_nothing_is_told() {
    let told = |line: &str| {
        let advice = run(line).unwrap().report.advice;
        advice.into_iter().map(|advice| advice.sentence).collect::<Vec<_>>()
    };
    assert_eq!(told("a 1 x"), Vec::<String>::new());
    assert_eq!(told("--pps 5 a 1 x"), ["-i, --pps and -L change nothing for one datagram"]);
    assert_eq!(told("--df -U /s x"), ["--df changes nothing for unix,dgram:/s"]);
}

#[test]
fn the_target_is_a_udp_address_whatever_else_is_given() {
    let at = HostPort { host: Host::Name("db".into()), port: 53 };
    for line in ["db 53", "-u db 53", "udp:db:53", "-v db:53"] {
        assert_eq!(run(line).unwrap().to.kind, Kind::Udp(at.clone()), "{line}");
    }
}

#[test]
fn explain_is_one_decision_a_line() {
    assert_eq!(explained("db 53 hello"), "send one datagram of 5 bytes to udp:db:53\nwait for no answers\n");
    assert_eq!(
        explained("-W 1 -w 500ms --count 3 -i 100ms --ttl 4 --loop=off 239.1.2.3 53 --data-hex 0001"),
        "\
send 3 datagrams of 2 bytes to udp,ttl=4,loop=off:239.1.2.3:53
send one every 100ms
write the first answer to standard output, then end
give up when everything is sent and no more have come for 500ms, with status 3
"
    );
    assert_eq!(
        explained("--seq --split line --pps 10 -L 1M --count 9 -U /s"),
        "\
send standard input to unix,dgram:/s, a datagram a line, without its newline
stop after 9 datagrams
begin each datagram with a stamp
send at most 10 a second
send at most 1M bytes a second
write answers to standard output
end when everything is sent and no answer has come for 1s
"
    );
}
