//! `--out` and `--fsync`: what is received is a whole file, or the old one stays.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Net, Peer, Role, Running, Sink, Way, create, file_with, haul, proc, scratch};

const WAYS: [Way; 2] = [Way { role: Role::Listens, net: Net::Tcp }, Way { role: Role::Connects, net: Net::Tcp }];

/// A directory with one file that haul is to replace.
fn home() -> (TempDir, PathBuf) {
    let home = scratch();
    let path = file_with(home.path(), "out", b"old");
    (home, path)
}

fn listing(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[track_caller]
fn assert_untouched(home: &TempDir, path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"old");
    assert_eq!(listing(home.path()), ["out"]);
}

/// haul with these flags and `--out`, which has got half of what is to come.
fn in_the_middle(way: Way, path: &Path, flags: &[&str]) -> (Running, Peer) {
    let flags = [&["--out", path.to_str().unwrap()], flags].concat();
    let (running, mut peer) = way.join_with(&flags, |haul| haul);
    peer.send(b"half");
    proc::wait_until_idle(running.pid());
    (running, peer)
}

#[test]
fn what_is_received_is_a_whole_file_at_a_clean_end() {
    for way in WAYS {
        let (home, path) = home();
        let (running, mut peer) = in_the_middle(way, &path, &[]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        peer.send(b", and the rest");
        peer.finish();
        running.wait().ok().no_stdout();
        assert_eq!(fs::read(&path).unwrap(), b"half, and the rest");
        assert_eq!(listing(home.path()), ["out"]);
    }
}

#[test]
fn a_peer_that_resets_leaves_the_old_file() {
    for way in WAYS {
        let (home, path) = home();
        let (running, peer) = in_the_middle(way, &path, &[]);
        peer.reset();
        running.wait().code(1);
        assert_untouched(&home, &path);
    }
}

#[test]
fn a_signal_leaves_the_old_file() {
    for signal in [Signal::TERM, Signal::INT] {
        let (home, path) = home();
        let (running, _peer) = in_the_middle(WAYS[0], &path, &[]);
        running.signal(signal);
        running.wait().killed_by(signal);
        assert_untouched(&home, &path);
    }
}

#[test]
fn a_number_of_bytes_that_was_asked_for_is_a_whole_file() {
    let (home, path) = home();
    let flags = ["--max-bytes", "2", "--out", path.to_str().unwrap()];
    let (running, mut peer) = WAYS[0].join_with(&flags, |haul| haul);
    peer.send(b"half");
    running.wait().ok();
    assert_eq!(fs::read(&path).unwrap(), b"ha");
    assert_eq!(listing(home.path()), ["out"]);
}

#[test]
fn a_program_that_fails_leaves_the_old_file() {
    let (home, path) = home();
    let out = path.to_str().unwrap();
    haul(["connect", "--out", out, "sh:echo half; exit 3"]).run().code(3);
    assert_untouched(&home, &path);
    haul(["connect", "--out", out, "sh:echo whole"]).run().ok();
    assert_eq!(fs::read(&path).unwrap(), b"whole\n");
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anybody_can_connect() {
    for words in [&["listen", "127.0.0.1:0"], &["connect", "127.0.0.1:1"]] {
        let ended = haul(words.iter().chain(&["--out", "/dev/null"])).run();
        ended.code(2);
        assert_eq!(ended.stderr, "haul: cannot use /dev/null: only a regular file can be replaced as a whole\n");
    }
}

#[test]
fn a_file_on_standard_output_can_be_synced_and_what_is_none_need_not_be() {
    let home = scratch();
    let path = home.path().join("f");
    for flags in [&["--fsync"][..], &["--fsync", "--expect", "synced"]] {
        let words = ["connect"].iter().chain(flags).chain(&["text,escapes:synced\\n"]);
        haul(words).stdout(Sink::Fd(create(&path))).run().ok();
        assert_eq!(fs::read(&path).unwrap(), b"synced\n");
    }
    assert_eq!(haul(["connect", "--fsync", "text:piped"]).run().ok().stdout, b"piped");
}
