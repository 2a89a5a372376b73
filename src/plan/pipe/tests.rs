//! Whole plans of a pipe: what goes together, what does not, and what is odd.

use std::ffi::OsStr;

use super::super::tests::plain;
use super::super::{AccessList, EventSink, Flow};
use super::*;
use crate::outcome::ExitStatus;
use crate::units::Size;

/// What a source and sinks alone make.
pub(in crate::plan) fn pipe(words: &[&str]) -> Pipe {
    let mut addresses = words.iter().map(|word| Address::parse(OsStr::new(word)).unwrap());
    Pipe {
        source: addresses.next().unwrap(),
        sinks: addresses.collect(),
        both_ways: false,
        on_slow: OnSlow::Wait,
        connect_timeout: None,
        size: None,
        records: None,
        stop_at: None,
        watchdog: None,
        hash: None,
        announce: Announce::default(),
        serving: Serving::default(),
        transfer: Transfer { flow: Flow::SendOnly, ..plain() },
        report: Report::default(),
    }
}

fn settled(words: &[&str], change: fn(&mut Pipe)) -> Result<Pipe, Error> {
    let mut plan = pipe(words);
    change(&mut plan);
    settle(&mut plan, &Options::default()).map(|()| plan)
}

#[track_caller]
fn refused(words: &[&str], status: ExitStatus, change: fn(&mut Pipe)) -> String {
    let error = settled(words, change).unwrap_err();
    assert_eq!(error.status(), status, "{words:?}");
    assert!(error.advice().is_some(), "{words:?}");
    error.line()
}

#[test]
fn what_is_about_one_stream_does_not_go_both_ways() {
    type Change = fn(&mut Pipe);
    let changes: [(&str, Change); 5] = [
        ("--stop-at", |plan| plan.stop_at = Some(1)),
        ("--size", |plan| plan.size = Some(1)),
        ("--hash", |plan| plan.hash = Some(Hash { algorithm: Algorithm::Sha256, file: None })),
        ("--lines", |plan| plan.records = Some(b'\n')),
        ("--on-slow", |plan| plan.on_slow = OnSlow::Drop),
    ];
    for (flag, change) in changes {
        let mut plan = Pipe { both_ways: true, ..pipe(&["-", "a:1"]) };
        assert!(settle(&mut plan.clone(), &Options::default()).is_ok());
        change(&mut plan);
        let error = settle(&mut plan, &Options::default()).unwrap_err();
        assert_eq!(error.line(), format!("cannot use {flag} with -2: it is about one stream, and -2 makes two"));
    }
    let line = refused(&["-", "a:1", "b:1"], ExitStatus::Usage, |plan| plan.both_ways = true);
    assert_eq!(line, "cannot use -2 with several sinks: an answer comes from one");
}

#[test]
fn verifying_takes_a_connection() {
    let verify: fn(&mut Pipe) = |plan| plan.transfer.verify = true;
    for words in [
        &["-", "a:1"][..],
        &["a:1", "-"],
        &["tcp,listen:0", "file:x"],
        &["unix:/s", "-"],
        &["fd,listen:3", "-"],
        &["-", "file:x", "a:1", "b:1"],
        &["a:1", "b:1"],
    ] {
        assert!(settled(words, verify).is_ok(), "{words:?}");
    }
    for words in [&["-", "-"][..], &["./a", "./b"], &["fd:3", "exec:cat"], &["zero:", "null:"]] {
        assert_eq!(
            refused(words, ExitStatus::Usage, verify),
            "cannot use --verify without a network endpoint: another haul has to be at the other end"
        );
    }
    let line = refused(&["-", "unix,seqpacket:/s"], ExitStatus::Usage, verify);
    assert_eq!(line, "cannot use --verify with unix,seqpacket:/s: a packet would no longer be one");
    let stop: fn(&mut Pipe) = |plan| {
        plan.transfer.verify = true;
        plan.stop_at = Some(1);
    };
    assert!(settled(&["-", "a:1"], stop).is_ok());
    let line = refused(&["a:1", "-"], ExitStatus::Usage, stop);
    assert_eq!(line, "cannot use --verify with --stop-at: what comes after that would never be verified");
}

#[test]
fn one_listener_tells_its_port() {
    let ready: fn(&mut Pipe) = |plan| plan.announce.ready_fd = Some(9);
    let file: fn(&mut Pipe) = |plan| plan.announce.port_file = Some("p".into());
    for words in [&["tcp,listen:0", "-"][..], &["-", "unix,listen:/s"], &["-", "a:1", "fd,listen:3"]] {
        assert!(settled(words, ready).is_ok() && settled(words, file).is_ok(), "{words:?}");
    }
    assert_eq!(
        refused(&["-", "a:1"], ExitStatus::Usage, ready),
        "cannot use --ready-fd without a listening endpoint: there is no port to tell"
    );
    assert_eq!(
        refused(&["tcp,listen:0", "tcp,listen:0"], ExitStatus::Usage, file),
        "cannot use --port-file with several listening endpoints: it tells one port"
    );
    let line = refused(&["tcp,listen:0", "-"], ExitStatus::Usage, |plan| {
        plan.announce.ready_fd = Some(9);
        plan.report.events = Some(EventSink::Fd(9));
    });
    assert_eq!(line, "cannot use --ready-fd with --events on one descriptor: --ready-fd closes its descriptor");
}

#[test]
fn programs_are_not_served_to_the_world() {
    for words in
        [&["tcp,listen:9000", "exec:cat"][..], &["sh:ls", "tcp,listen:9000"], &["tcp,listen:0.0.0.0:0", "-", "sh:cat"]]
    {
        let line = refused(words, ExitStatus::Policy, |_| {});
        assert!(line.contains("it would serve a program to anybody"), "{line}");
        assert!(settled(words, |plan| plan.serving.open = true).is_ok(), "{words:?}");
        let allow: fn(&mut Pipe) =
            |plan| plan.serving.allow = vec![AccessList::parse(OsStr::new("10.0.0.0/8")).unwrap()];
        assert!(settled(words, allow).is_ok(), "{words:?}");
    }
    for words in [
        &["tcp,listen:127.0.0.1:0", "exec:cat"][..],
        &["unix,listen:/s", "exec:cat"],
        &["tcp,listen:0", "-"],
        &["-", "tcp,listen:0", "exec:cat"],
        &["exec:ls", "a:1"],
    ] {
        assert!(settled(words, |_| {}).is_ok(), "{words:?}");
    }
}

#[test]
fn lists_need_somebody_with_an_address() {
    let deny: fn(&mut Pipe) = |plan| plan.serving.deny = vec![AccessList::parse(OsStr::new("::1")).unwrap()];
    assert!(settled(&["tcp,listen:0", "-"], deny).is_ok());
    assert_eq!(
        refused(&["a:1", "-"], ExitStatus::Usage, deny),
        "cannot use --deny without a listening endpoint: nobody connects"
    );
    assert_eq!(
        refused(&["unix,listen:/s", "-"], ExitStatus::Usage, deny),
        "cannot use --deny with unix,listen:/s: who connects there has no address"
    );
}

#[test]
fn what_changes_nothing_is_told() {
    let second = Some(Duration::from_secs(1));
    let sentences = |words: &[&str], change: &dyn Fn(&mut Pipe)| {
        let mut plan = pipe(words);
        change(&mut plan);
        settle(&mut plan, &Options::default()).unwrap();
        plan.report.advice.into_iter().map(|advice| advice.sentence).collect::<Vec<_>>()
    };
    assert_eq!(sentences(&["-", "-"], &|_| {}), Vec::<String>::new());
    type Change = fn(&mut Pipe);
    let table: [(&[&str], Change, &str); 6] = [
        (&["-", "-"], |plan| plan.size = Some(1), "--size is for the time that --progress shows as left"),
        (&["-", "-"], |plan| plan.records = Some(0), "--lines and -0 count for --progress and --stats"),
        (
            &["-", "-"],
            |plan| plan.on_slow = OnSlow::Drop,
            "--on-slow changes nothing, for one sink holds no other back",
        ),
        (&["-", "a:1"], |plan| plan.transfer.fsync = true, "--fsync changes nothing, for no sink is a file"),
        (&["-", "a:1"], |plan| plan.serving.open = true, "--open is about programs, and none is run"),
        (
            &["-", "-"],
            |plan| {
                plan.transfer.buffer = Some(Size(1));
                plan.transfer.block = Some(Size(2));
            },
            "--block is more than --buffer can hold",
        ),
    ];
    for (words, change, sentence) in table {
        assert_eq!(sentences(words, &change), [sentence]);
    }
    let both = |plan: &mut Pipe| {
        plan.watchdog = second;
        plan.transfer.max_time = second;
    };
    assert_eq!(sentences(&["-", "-"], &both), ["--max-time passes before --watchdog can"]);
    let shown = |plan: &mut Pipe| {
        plan.report.progress = Progress::Line;
        plan.size = Some(1);
        plan.records = Some(0);
        plan.transfer.fsync = true;
    };
    assert_eq!(sentences(&["-", "-"], &shown), Vec::<String>::new());
}
