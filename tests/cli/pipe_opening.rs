//! `haul pipe` while its ends are being opened: who waits for whom, for how long, and what is told.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Peer, Program, file_with, haul, poll_until, scratch};

fn pipe<S: AsRef<str>>(words: &[S]) -> Program {
    haul(std::iter::once("pipe").chain(words.iter().map(AsRef::as_ref)))
}

fn word(path: &Path) -> String {
    path.display().to_string()
}

fn fifo_in(home: &Path, name: &str) -> PathBuf {
    let path = home.join(name);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    path
}

#[test]
fn a_sink_that_never_opens_is_dropped_like_one_that_takes_nothing() {
    let home = scratch();
    let content = bytes(3, 6_000_000);
    let (from, ok) = (file_with(home.path(), "big", &content), home.path().join("ok"));
    let never = fifo_in(home.path(), "nf");
    for more in [&[][..], &["--buffer", "64Ki"]] {
        let ended = pipe(&[&["--on-slow", "drop"], more, &[&word(&from), &word(&ok), &word(&never)]].concat()).run();
        let line = ended.code(1).one_error();
        assert_eq!(line, format!("haul: cannot open {}: it held the others back for 2s", word(&never)));
        assert_same("the others", &fs::read(&ok).unwrap(), &content);
    }
    let words = ["--on-slow", "drop", &word(&from), "tcp,listen:127.0.0.1:0", &word(&ok)];
    let line = pipe(&words).run().code(1).one_error();
    assert!(line.starts_with("haul: cannot accept on tcp 127.0.0.1:"), "{line}");
    assert!(line.ends_with(": it held the others back for 2s"), "{line}");
    assert_same("the others", &fs::read(&ok).unwrap(), &content);
}

// What fits into the ring never fills it: without this the wait had no end.
#[test]
fn a_sink_that_never_opens_is_dropped_also_after_the_end_of_a_short_source() {
    let home = scratch();
    let (from, ok) = (file_with(home.path(), "few", b"a few bytes"), home.path().join("ok"));
    let never = fifo_in(home.path(), "nf");
    let line = pipe(&["--on-slow", "drop", &word(&from), &word(&ok), &word(&never)]).run().code(1).one_error();
    let why = "it was not open 2s after everything else was done";
    assert_eq!(line, format!("haul: cannot open {}: {why}", word(&never)));
    assert_eq!(fs::read(&ok).unwrap(), b"a few bytes");
}

#[test]
fn a_sink_that_opens_late_gets_everything() {
    let home = scratch();
    let content = bytes(5, 6_000_000);
    let (from, ok) = (file_with(home.path(), "big", &content), home.path().join("ok"));
    let late = fifo_in(home.path(), "nf");
    let running = pipe(&["--on-slow", "drop", &word(&from), &word(&ok), &word(&late)]).spawn();
    // it does not wait for the other: what the ring holds has come by then
    poll_until("the first bytes", || (fs::metadata(&ok).ok()?.len() > 500_000).then_some(()));
    let mut got = Vec::new();
    fs::File::open(&late).unwrap().read_to_end(&mut got).unwrap();
    running.wait().ok();
    assert_same("late", &got, &content);
    assert_same("at once", &fs::read(&ok).unwrap(), &content);
}

#[test]
fn an_endpoint_that_is_not_open_in_time_ends_only_itself_where_slow_ones_are_dropped() {
    let home = scratch();
    let (from, ok) = (file_with(home.path(), "few", b"a few bytes"), home.path().join("ok"));
    let never = fifo_in(home.path(), "nf");
    let words = ["--on-slow", "drop", "--connect-timeout", "100ms", &word(&from), &word(&ok), &word(&never)];
    let line = pipe(&words).run().code(3).one_error();
    assert_eq!(line, format!("haul: cannot open {}: timed out after 100ms", word(&never)));
    assert_eq!(fs::read(&ok).unwrap(), b"a few bytes");
}

#[test]
fn the_watchdog_counts_while_ends_are_opened_and_names_who_was_waited_for() {
    let home = scratch();
    let (from, ok) = (file_with(home.path(), "few", b"a few bytes"), home.path().join("ok"));
    let never = fifo_in(home.path(), "nf");
    let dog = ["--watchdog", "200ms"];
    let run = |words: &[&str]| pipe(&[&dog[..], words].concat()).run().code(3).one_error();
    let line = run(&[&word(&from), &word(&ok), &word(&never)]);
    assert_eq!(line, format!("haul: cannot open {}: nothing moved for 200ms", word(&never)));
    let line = run(&["tcp,listen:127.0.0.1:0", &word(&ok)]);
    assert!(line.starts_with("haul: cannot accept on tcp 127.0.0.1:") && line.ends_with(": nothing moved for 200ms"));
    assert!(!ok.exists(), "nothing is made before everything is open");
    let line = run(&["--on-slow", "drop", &word(&from), &word(&ok), &word(&never)]);
    let never = word(&never);
    assert_eq!(line, format!("haul: transfer stopped after 0 B: nothing moved for 200ms; not open: {never}"));
    assert_eq!(fs::read(&ok).unwrap(), b"a few bytes");
}

#[test]
fn the_watchdog_lets_a_connection_that_comes_in_time_pass() {
    let home = scratch();
    let ok = home.path().join("ok");
    let running = pipe(&["--watchdog", "10s", "tcp,listen:127.0.0.1:0", &word(&ok)]).spawn();
    let mut peer = Peer::connect(running.address());
    peer.send(b"in time");
    peer.finish();
    running.wait().ok();
    assert_eq!(fs::read(&ok).unwrap(), b"in time");
}

// As of a listener: until somebody has come in SIGHUP is no end but reads the lists again.
#[test]
fn a_hangup_reads_the_lists_of_a_pipe_again() {
    let home = scratch();
    let list = file_with(home.path(), "list", b"127.0.0.9\n");
    let flag = format!("@{}", list.display());
    let running = pipe(&["--allow", &flag, "tcp,listen:127.0.0.1:0", "-"]).spawn();
    let address = running.address();
    let mut refused = TcpStream::connect(address).unwrap();
    assert!(refused.read(&mut [0]).map_or(true, |count| count == 0), "it is not on the list");
    fs::write(&list, "nonsense\n").unwrap();
    running.signal(Signal::HUP);
    running.stderr_line_where(|line| line.contains(&format!("{}:1", list.display())));
    fs::write(&list, "127.0.0.1\n").unwrap();
    running.signal(Signal::HUP);
    // whoever is accepted is the only one: then nobody listens any more
    poll_until("the new list", || match TcpStream::connect(address) {
        Ok(mut client) => client.write_all(b"in").err().and(None),
        Err(_) => Some(()),
    });
    assert_eq!(running.wait().code(0).stdout, b"in");
}
