//! `haul pipe`: what becomes of its sinks, one or several, plain, whole or verified.

use std::fs;
use std::io::Read;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Listener, fifo, file_with, scratch};
use crate::pipe::{pipe, word};

#[test]
fn a_full_disk_is_status_5_and_names_the_file() {
    let ended = pipe(&["zero:", "/dev/full"]).run();
    let line = ended.code(5).one_error();
    assert_eq!(line, "haul: cannot write /dev/full: no space left on device");
}

// A whole file takes its name only when everything went well; until then, and after anything else, the old one stands.
#[test]
fn a_file_that_is_written_whole_is_there_or_the_old_one_is() {
    let home = scratch();
    let out = file_with(home.path(), "out", b"old");
    let whole = format!("file,atomic:{}", out.display());
    for (source, status) in [("sh:echo half; exit 3", 3), ("sh:echo half; kill -9 $$", 137)] {
        pipe(&[source, &whole]).run().code(status);
        assert_eq!(fs::read(&out).unwrap(), b"old");
    }
    let running = pipe(&["sh:echo half; exec sleep 1000", &whole]).spawn();
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert_eq!(fs::read(&out).unwrap(), b"old");
    pipe(&["sh:echo all", &whole]).run().ok();
    assert_eq!(fs::read(&out).unwrap(), b"all\n");
    pipe(&["--fsync", "--stop-at", "6", "sh:echo hello; exec sleep 1000", &whole]).run().ok();
    assert_eq!(fs::read(&out).unwrap(), b"hello\n");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn every_sink_gets_every_byte() {
    let home = scratch();
    let content = bytes(23, 5_000_000);
    let from = file_with(home.path(), "in", &content);
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    let listener = Listener::tcp();
    let words = [
        word(&from),
        word(&a),
        "-".into(),
        format!("tcp:{}", listener.address()),
        format!("file,atomic:{}", b.display()),
    ];
    let running = pipe(&[&["--hash".to_string(), "sha256".into(), "--fsync".into()][..], &words].concat()).spawn();
    let mut peer = listener.accept();
    let (got, ending) = peer.receive_all();
    assert_eq!(ending, Ending::Eof);
    assert_same("by tcp", &got, &content);
    let ended = running.wait();
    ended.code(0);
    assert_same("standard output", &ended.stdout, &content);
    for path in [&a, &b] {
        assert_same("a file", &fs::read(path).unwrap(), &content);
    }
    let names: Vec<_> = ended.stderr.lines().map(|line| line[66..].to_string()).collect();
    assert_eq!(names, [word(&a), word(&b)]);
}

#[test]
fn a_dead_sink_ends_only_itself() {
    let home = scratch();
    let content = bytes(29, 3_000_000);
    let out = home.path().join("out");
    let listener = Listener::tcp();
    let words = ["-".to_string(), word(&out), format!("tcp:{}", listener.address())];
    let running = pipe(&words).stdin(Input::Bytes(content.clone())).spawn();
    let peer = listener.accept();
    peer.reset();
    let ended = running.wait();
    let line = ended.code(1).one_error();
    assert!(line.starts_with(&format!("haul: {} stopped after ", listener.address())), "{line}");
    assert_same("the other one", &fs::read(&out).unwrap(), &content);
    let ended = pipe(&["text:all", "/dev/full", "sh:cat; exit 0", &word(&out)]).run();
    assert!(ended.code(5).one_error().starts_with("haul: /dev/full stopped after 0 B"), "{}", ended.stderr);
    assert_eq!((&ended.stdout[..], &fs::read(&out).unwrap()[..]), (&b"all"[..], &b"all"[..]));
}

#[test]
fn two_sinks_that_are_one_file_are_refused() {
    let home = scratch();
    let (a, b) = (file_with(home.path(), "a", b"old"), home.path().join("b"));
    std::os::unix::fs::symlink(&a, &b).unwrap();
    let ended = pipe(&["text:new", &word(&a), &word(&b)]).run();
    assert!(ended.code(2).one_error().ends_with("b: two sinks are this one file"), "{}", ended.stderr);
    assert_eq!(fs::read(&a).unwrap(), b"old");
}

// A tape goes on while the other end is not there yet: the ring takes what it can, and the sink gets it all later.
#[test]
fn a_ring_is_filled_before_its_sink_is_open() {
    let (_home, path) = fifo();
    let mut running = pipe(&["--buffer", "1M", "-", &word(&path)]).stdin(Input::Piped).spawn();
    let content = bytes(31, 900_000);
    // far more than a pipe holds: this comes back only because haul reads
    running.say(&content);
    let mut reader = fs::File::open(&path).unwrap();
    running.end_stdin();
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert_same("through the ring", &got, &content);
    running.wait().ok();
}

#[test]
fn a_sink_that_cannot_be_opened_ends_only_itself_where_there_is_a_ring() {
    let home = scratch();
    let out = home.path().join("out");
    let (_guard, refusing) = crate::harness::peer::refusing_address();
    let refusing = format!("tcp:{refusing}");
    let ended = pipe(&["--buffer", "1M", "text:all", &refusing, &word(&out)]).run();
    assert!(ended.code(1).one_error().ends_with(": connection refused"), "{}", ended.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"all");
    let ended = pipe(&["text:all", &refusing, &word(&home.path().join("new"))]).run();
    assert!(ended.code(1).one_error().ends_with(": connection refused"), "{}", ended.stderr);
    assert!(!home.path().join("new").exists());
}

#[test]
fn a_signal_while_a_sink_is_still_opening_ends_it() {
    let (_home, path) = fifo();
    let mut running = pipe(&["--buffer", "1M", "-v", "--lines", "-", &word(&path)]).stdin(Input::Piped).spawn();
    running.say(&bytes(1, 900_000));
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

// Under --verify the sender's success means that the receiver has it all: with one sink, with several, and with a ring.
#[test]
fn verified_pipes_say_so_to_each_other() {
    let home = scratch();
    let content = bytes(37, 3_000_000);
    let from = file_with(home.path(), "in", &content);
    let (a, b) = (home.path().join("a"), home.path().join("b"));
    for sinks in [vec![word(&a)], vec!["--buffer".into(), "1M".into(), word(&a)], vec![word(&a), word(&b)]] {
        let words = [&["--verify".to_string(), "--fsync".into(), "tcp,listen:127.0.0.1:0".into()][..], &sinks].concat();
        let receiving = pipe(&words).spawn();
        let to = format!("tcp:{}", receiving.address());
        pipe(&["--verify".to_string(), word(&from), to]).run().ok();
        receiving.wait().ok();
        assert_same("verified", &fs::read(&a).unwrap(), &content);
    }
    let receivers = [&a, &b].map(|out| pipe(&["--verify", "tcp,listen:127.0.0.1:0", &word(out)]).spawn());
    let to = receivers.each_ref().map(|receiver| format!("tcp:{}", receiver.address()));
    pipe(&["--verify", &word(&from), &to[0], &to[1]]).run().ok();
    for (receiver, out) in receivers.into_iter().zip([&a, &b]) {
        receiver.wait().ok();
        assert_same("to both", &fs::read(out).unwrap(), &content);
    }
}
