//! Command lines of `haul pipe`, and the plans that they make.

use super::super::{Request, plan};
use super::*;
use crate::outcome::ExitStatus;
use crate::plan::address::Family;
use crate::plan::{Announce, DEFAULT_LINGER, EventSink, Progress};

fn split(line: &str) -> Vec<OsString> {
    std::iter::once("pipe").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn run(line: &str) -> Result<Pipe, Error> {
    match plan(split(line))? {
        Request::Run(Plan::Pipe(pipe)) => Ok(pipe),
        other => panic!("pipe {line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str) -> String {
    let error = run(line).unwrap_err();
    assert_eq!(error.status(), ExitStatus::Usage, "pipe {line}");
    error.line()
}

#[test]
fn the_first_word_is_the_source_and_the_rest_are_sinks() {
    for (line, endpoints) in [
        ("", &["-", "-"][..]),
        ("-", &["-", "-"]),
        ("- -", &["-", "-"]),
        ("./a", &["./a", "-"]),
        ("a:1", &["tcp:a:1", "-"]),
        ("./a ./b", &["./a", "./b"]),
        ("--progress=off - 9000", &["-", "tcp:9000"]),
        ("./a --stats ./b -v tcp,listen:9000", &["./a", "./b", "tcp,listen:9000"]),
        ("-2 - sh:cat", &["-", "sh:cat"]),
    ] {
        let pipe = run(line).unwrap_or_else(|error| panic!("pipe {line}: {error}"));
        assert_eq!(pipe.endpoints().map(ToString::to_string).collect::<Vec<_>>(), endpoints, "{line}");
    }
}

#[test]
fn defaults_are_plain() {
    let pipe = run("").unwrap();
    assert_eq!((pipe.both_ways, pipe.on_slow, pipe.connect_timeout, pipe.size), (false, OnSlow::Wait, None, None));
    assert_eq!((pipe.records, pipe.stop_at, pipe.watchdog, pipe.hash), (None, None, None, None));
    assert_eq!(pipe.announce, Announce::default());
    let transfer = &pipe.transfer;
    assert_eq!((transfer.flow, transfer.linger, transfer.rate), (Flow::SendOnly, DEFAULT_LINGER, None));
    assert!(transfer.splice && transfer.stdin && transfer.shutdown && !transfer.verify && !transfer.fsync);
    assert_eq!((transfer.buffer, transfer.block, transfer.max_time), (None, None, None));
    assert_eq!((pipe.report.progress, pipe.report.stats), (Progress::Off, false));
}

#[test]
fn every_flag_reaches_the_plan() {
    let pipe = run("-4 -n --iface lo --size 10k --stop-at 5Ki --lines --on-slow drop --hash blake3 --hash-file sum \
             --verify --fsync --watchdog 5 -L 1M --buffer 1Mi --block 4Ki --splice never --linger 2s --max-time 1m \
             --connect-timeout 3s -vv --events fd:4 --stats --progress=json --nodelay --rcvbuf 64Ki --ready-fd 5 \
             --port-file port --allow 10.0.0.0/8 --deny 10.0.0.1 --open - tcp,listen:127.0.0.1:0 file:x sh:cat")
    .unwrap();
    assert_eq!((pipe.size, pipe.stop_at, pipe.records), (Some(10_000), Some(5120), Some(b'\n')));
    assert_eq!(pipe.on_slow, OnSlow::Drop);
    assert_eq!(pipe.hash, Some(Hash { algorithm: Algorithm::Blake3, file: Some("sum".into()) }));
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!((pipe.watchdog, pipe.connect_timeout), (seconds(5), seconds(3)));
    assert_eq!(pipe.announce, Announce { ready_fd: Some(5), port_file: Some("port".into()) });
    assert!(pipe.serving.open);
    assert_eq!((pipe.serving.allow.len(), pipe.serving.deny.len()), (1, 1));
    let transfer = &pipe.transfer;
    assert!(transfer.verify && transfer.fsync && !transfer.splice);
    assert_eq!(transfer.rate.map(|rate| rate.0), Some(1_000_000));
    assert_eq!((transfer.buffer, transfer.block), (Some(Size(1 << 20)), Some(Size(4096))));
    assert_eq!((transfer.linger, transfer.max_time), (Duration::from_secs(2), seconds(60)));
    let report = &pipe.report;
    assert_eq!((report.verbosity, report.stats, report.progress), (2, true, Progress::Json));
    assert_eq!(report.events, Some(EventSink::Fd(4)));
    assert_eq!(report.advice, []);
    let options = &pipe.sinks[0].options;
    assert!(options.listen && options.nodelay && options.numeric && options.rcvbuf == Some(65536));
    assert_eq!((options.family, options.iface.as_deref()), (Some(Family::V4), Some("lo")));
    assert_eq!(pipe.sinks[1].options, Options::default(), "a file has no socket options");
    assert_eq!(run("-2 - a:1").unwrap().transfer.flow, Flow::Both);
}

#[test]
fn records_end_with_a_line_feed_or_a_nul() {
    for (line, end) in [("--lines", b'\n'), ("-0", 0), ("--lines -0", 0)] {
        assert_eq!(run(line).unwrap().records, Some(end), "{line}");
    }
}

#[test]
fn contradictory_flags_are_refused() {
    for line in [
        "-2",
        "-2 - a:1 b:1",
        "-2 --stop-at 1 - a:1",
        "-2 --hash sha256 - a:1",
        "-2 -0 - a:1",
        "-2 --on-slow drop - a:1",
        "- - -",
        "- fd:0",
        "./a ./a",
        "--hash-file f",
        "--verify",
        "--verify ./a ./b",
        "--ready-fd 3",
        "--port-file p - a:1",
        "--allow ::1",
        "-4 -6",
        "--quiet -v",
        "-6 - 127.0.0.1:1",
        "-n - a:1",
    ] {
        assert!(refused(line).starts_with("cannot use "), "{line}: {}", refused(line));
    }
    assert_eq!(run("tcp,listen:9000 exec:cat").unwrap_err().status(), ExitStatus::Policy);
}

#[test]
fn a_word_that_is_nearly_a_file_is_told_so() {
    for (word, advice) in [
        ("big.img", "./big.img for a file, big.img:PORT for a host"),
        ("my file", "./my file for a file"),
        ("a\x1bb", "./a\\x1bb for a file"),
        ("zero", "zero:"),
        ("file", "file:ADDRESS"),
        ("dir/file", "./dir/file"),
        ("", "haul help endpoints"),
    ] {
        for line in [vec!["pipe".into(), word.into()], vec!["pipe".into(), "-".into(), OsString::from(word)]] {
            let error = plan(line).unwrap_err();
            assert_eq!((error.status(), error.advice()), (ExitStatus::Usage, Some(advice)), "{word}");
        }
    }
    assert!(refused("tcp,nodelai:a:1").contains("there is no option"));
    let words = [split("- a:1"), vec!["--".into(), "cat".into()]].concat();
    assert_eq!(
        plan(words).unwrap_err().to_string(),
        "cannot use haul pipe with a program behind --: a program is an endpoint here, and everything before -- is \
             an option or an endpoint\n  try: exec:CMD or sh:CMD as SRC or DST"
    );
}

#[test]
fn flags_that_would_do_nothing_do_not_exist() {
    for flag in ["-d", "-k", "-w", "-q", "-s", "-p", "-U", "-C", "-o", "-e", "-c", "--idle", "--max-bytes", "--out"] {
        assert_eq!(refused(flag), format!("cannot understand '{flag}': no such option"));
    }
}

#[test]
fn explain_is_one_decision_a_line() {
    let explain = |line: &str| match plan(split(&format!("--explain {line}"))).unwrap() {
        Request::Explain(plan) => plan.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(explain(""), "read standard input\nwrite everything to standard output\n");
    assert_eq!(
        explain("-2 - tcp,listen:9000"),
        "take standard input and output\nlisten on tcp,listen:9000 and accept one connection\n\
             move bytes both ways between them\n"
    );
    assert_eq!(
        explain(
            "--stop-at 10M --on-slow drop --hash sha256 --watchdog 5s --connect-timeout 10s --buffer 64Mi -0 \
                 --size 1G --verify --fsync -L 5M --ready-fd 3 ./src - file,atomic:x exec:cat a:1 unix,listen:/s"
        ),
        "\
read ./src
write everything to standard output
write everything to file,atomic:x, whole or not at all
run exec:cat, and write everything to it
connect to tcp:a:1, and write everything to it
listen on unix,listen:/s and accept one connection, and write everything to it
give up when an endpoint is not open after 10s, with status 3
once listening, write the address to descriptor 3
close a sink that holds the others back, and go on
take the source for ended after 10M bytes
expect 1G bytes
count records that end with a NUL
at the end, print the SHA-256 digest on standard error
stop when nothing has moved for 5s, with status 3
verify with the haul at the other end that everything has arrived, with status 4 if not
have a file on the disk before it counts as written
move at most 5M a second in each direction
hold at most 64Mi bytes in transit in each direction
note: --size is for the time that --progress shows as left; try: --progress
note: --lines and -0 count for --progress and --stats; try: --stats
"
    );
}
