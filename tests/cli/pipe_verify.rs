//! `haul pipe --verify` where something goes wrong: what either side may say then, whatever stands at its other end.

use std::fs;
use std::io::Write;
use std::thread;

use rustix::process::Signal;

use crate::data::{assert_prefix, assert_same, bytes};
use crate::harness::{Ended, Input, Peer, Program, Running, fifo, file_with, haul, poll_until, scratch};

fn pipe<S: AsRef<str>>(words: &[S]) -> Program {
    haul(std::iter::once("pipe").chain(words.iter().map(AsRef::as_ref)))
}

/// A pipe that receives under receipts for these sinks, and the address to which it listens.
#[track_caller]
fn receiver(sinks: &[&str]) -> (Running, String) {
    let receiver = pipe(&[&["--verify", "tcp,listen:127.0.0.1:0"], sinks].concat()).spawn();
    let address = format!("tcp:{}", receiver.address());
    (receiver, address)
}

/// A program that takes ten bytes and is content.
const TEN: &str = "sh:head -c 10 >/dev/null";

#[test]
fn a_verified_sender_is_no_success_when_a_program_took_ten_bytes() {
    let home = scratch();
    let content = bytes(41, 5_000_000);
    let from = file_with(home.path(), "in", &content);
    let (from, out) = (from.to_str().unwrap(), home.path().join("out"));
    let file = out.to_str().unwrap();
    for sinks in [&[TEN][..], &["--buffer", "1M", TEN], &[TEN, file], &[file, TEN], &[TEN, TEN]] {
        for _ in 0..6 {
            let (receiving, to) = receiver(sinks);
            let sending = pipe(&["--verify", from, &to]).run();
            let line = sending.code(4).one_error();
            assert!(line.ends_with(": the receiver could not write: broken pipe"), "{sinks:?}: {line}");
            receiving.wait().code(5);
            if sinks.contains(&file) {
                assert_same("the other sink", &fs::read(&out).unwrap(), &content);
            }
        }
    }
}

// It took all that has come so far, but whoever sends has not ended: nobody knows of how much it was to be.
#[test]
fn a_program_that_exits_before_the_verified_end_is_a_failure_on_both_sides() {
    for sinks in [&[TEN][..], &["--buffer", "1M", TEN], &[TEN, "null:"]] {
        let (receiving, to) = receiver(sinks);
        let mut sending = pipe(&["--verify", "-", &to]).stdin(Input::Piped).spawn();
        sending.say(b"0123456789");
        if sinks.contains(&"null:") {
            // the other sink waits for the end
            receiving.stderr_line("haul: head -c 10 ");
            sending.end_stdin();
        }
        receiving.wait().code(5);
        sending.wait().code(4).one_error();
    }
}

#[test]
fn a_program_that_takes_everything_and_exits_early_is_a_success_on_both_sides() {
    for sinks in [&[TEN][..], &["--buffer", "1M", TEN], &[TEN, "null:"]] {
        for _ in 0..5 {
            let (receiving, to) = receiver(sinks);
            pipe(&["--verify", "text:0123456789", &to]).run().ok();
            receiving.wait().ok();
        }
    }
}

// What a program makes of its input is known when it has exited, however its sink was fed.
#[test]
fn a_verified_sender_learns_by_which_status_a_program_failed_after_its_last_byte() {
    let failing = "sh:cat >/dev/null; exit 3";
    for sinks in [&[failing][..], &["--buffer", "1M", failing], &["null:", failing], &[failing, "sh:cat >/dev/null"]] {
        let (receiving, to) = receiver(sinks);
        let line = pipe(&["--verify", "text:0123456789", &to]).run().code(4).one_error();
        let wanted = ": the receiver could not write: its program exited with status 3";
        assert!(line.ends_with(wanted), "{sinks:?}: {line}");
        receiving.wait().code(3);
    }
}

#[test]
fn a_program_that_fails_ends_only_itself_and_the_other_has_its_time() {
    let home = scratch();
    let (out, (_held, gate)) = (home.path().join("out"), fifo());
    // it goes on only when the test lets it
    let slow = format!("sh:cat >{0}.part; read x <{1}; mv {0}.part {0}", out.display(), gate.display());
    let (receiving, to) = receiver(&["sh:cat >/dev/null; exit 3", &slow]);
    let sending = pipe(&["--verify", "text:0123456789", &to]).spawn();
    fs::write(&gate, "go\n").unwrap();
    sending.wait().code(4).one_error();
    receiving.wait().code(3);
    assert_eq!(fs::read(&out).unwrap(), b"0123456789");
}

#[test]
fn a_verified_receiver_that_waits_for_its_program_can_be_interrupted() {
    for sinks in [&["--buffer", "1M"][..], &["null:"]] {
        let home = scratch();
        let mark = home.path().join("mark");
        let (receiving, to) =
            receiver(&[sinks, &[&format!("sh:cat >/dev/null; echo >{}; exec sleep 60", mark.display())]].concat());
        let sending = pipe(&["--verify", "text:0123456789", &to]).spawn();
        poll_until("the program has read everything", || mark.exists().then_some(()));
        receiving.signal(Signal::TERM);
        let line = sending.wait().code(4).one_error();
        assert!(line.ends_with(": the peer stopped: interrupted"), "{line}");
        receiving.wait().killed_by(Signal::TERM);
    }
}

#[test]
fn a_digest_is_told_only_of_what_was_taken() {
    let home = scratch();
    for size in [500_000, 5_000_000] {
        let from = file_with(home.path(), "in", &bytes(43, size));
        let words = ["--buffer", "1M", "--hash", "sha256", from.to_str().unwrap(), TEN];
        for _ in 0..3 {
            let line = pipe(&words).run().code(5).one_error();
            assert!(line.starts_with("haul: no digest: the sink took only "), "{line}");
        }
    }
    let words = ["--buffer", "1M", "--hash", "sha256", "text:abc", "sh:cat >/dev/null"];
    assert!(pipe(&words).run().code(0).stderr.starts_with("ba7816bf"));
}

/// One side is killed at a random point of a transfer that has not ended; the other one's status.
fn kill_at(seed: u64, sender: &[&str], sinks: &[&str]) -> (bool, Vec<u8>, Ended) {
    let dice = bytes(seed, 16);
    let number = |at: usize| u32::from_le_bytes(dice[at..at + 4].try_into().unwrap()) as usize;
    let (receiver, to) = receiver(sinks);
    let mut sender = pipe(&[&["--verify"], sender, &["-", &to]].concat()).stdin(Input::Piped).spawn();
    let payload = bytes(seed, 4 << 20);
    let mut stdin = sender.stdin.take().unwrap();
    let given = payload.clone();
    // never ended by the test before somebody was killed
    let feeding = thread::spawn(move || {
        let _ = stdin.write_all(&given);
        stdin
    });
    receiver.stdout_reaches(number(0) % (3 << 20));
    let kills_sender = number(4) % 2 == 0;
    let (victim, survivor) = if kills_sender { (sender, receiver) } else { (receiver, sender) };
    victim.signal(Signal::KILL);
    victim.wait().killed_by(Signal::KILL);
    drop(feeding.join().unwrap());
    (kills_sender, payload, survivor.wait())
}

#[test]
fn a_pipe_that_is_killed_is_never_success_on_the_other_side() {
    let ways: [(&[&str], &[&str]); 4] = [
        (&[], &["-"]),
        (&["--buffer", "1M"], &["--buffer", "1M", "-"]),
        (&[], &["-", "null:"]),
        (&["--buffer", "1M"], &["-"]),
    ];
    for (sender, sinks) in ways {
        for seed in 0..25 {
            let (kills_sender, payload, survivor) = kill_at(seed, sender, sinks);
            survivor.code(4).one_error();
            if kills_sender {
                assert_prefix("received", &survivor.stdout, &payload);
            }
        }
    }
}

// A reset of its connection is a stream that was cut short, whatever stands behind it.
#[test]
fn a_verified_source_that_is_reset_is_status_4() {
    for sinks in [&["-"][..], &["--buffer", "1M", "-"], &["-", "null:"]] {
        let (receiving, _) = receiver(sinks);
        let mut peer = Peer::connect(receiving.address());
        peer.send(b"\xf1haulV\x01\x00");
        peer.send(b"\x01\x00\x00\x00\x63half");
        receiving.stdout_reaches(4);
        peer.reset();
        let line = receiving.wait().code(4).one_error();
        assert!(line.contains(": stream cut short: ") && line.ends_with(" reset the connection"), "{line}");
    }
}

#[test]
fn a_verified_sender_learns_that_the_far_disk_is_full() {
    let home = scratch();
    let from = file_with(home.path(), "in", &bytes(47, 5_000_000));
    let from = from.to_str().unwrap();
    for sinks in [&["/dev/full"][..], &["--buffer", "1M", "/dev/full"], &["/dev/full", "null:"]] {
        for source in ["text:something", from] {
            for more in [&[][..], &["--buffer", "1M"], &["null:"]] {
                let (receiving, to) = receiver(sinks);
                let sending = pipe(&[&["--verify", source, &to], more].concat()).run();
                let line = sending.code(4).one_error();
                let wanted = ": the receiver could not write: no space left on device";
                assert!(line.ends_with(wanted), "{sinks:?} {more:?}: {line}");
                receiving.wait().code(5);
            }
        }
    }
}

// Every one of several receivers is told why nothing more comes, as an only one is.
#[test]
fn verified_receivers_are_told_why_their_sender_stopped() {
    let words = [("sh:printf half; exit 3", "its program exited with status 3"), ("-", "interrupted")];
    for (source, why) in words {
        for count in 1..=2 {
            let (receivers, to): (Vec<_>, Vec<_>) = (0..count).map(|_| receiver(&["-"])).unzip();
            let mut words = vec!["--verify", source];
            words.extend(to.iter().map(String::as_str));
            let mut sender = pipe(&words).stdin(Input::Piped).spawn();
            if source == "-" {
                sender.say(b"half");
                for receiver in &receivers {
                    receiver.stdout_reaches(4);
                }
                sender.signal(Signal::TERM);
            }
            for receiver in receivers {
                let ended = receiver.wait();
                let line = ended.code(4).one_error();
                assert!(line.ends_with(&format!(": the peer stopped: {why}")), "{line}");
                assert_eq!(ended.stdout, b"half");
            }
            let sender = sender.wait();
            assert_ne!(sender.status.code(), Some(0));
        }
    }
}

// A signal at the receiver is not a disk that could not be written.
#[test]
fn a_verified_sender_is_told_of_a_signal_at_the_receiver() {
    for sinks in [&["-"][..], &["--buffer", "1M", "-"], &["-", "null:"]] {
        let (receiving, to) = receiver(sinks);
        let mut sending = pipe(&["--verify", "-", &to]).stdin(Input::Piped).spawn();
        sending.say(b"half");
        receiving.stdout_reaches(4);
        receiving.signal(Signal::TERM);
        let line = sending.wait().code(4).one_error();
        assert!(line.ends_with(": the peer stopped: interrupted"), "{line}");
        receiving.wait().killed_by(Signal::TERM);
    }
}

#[test]
fn the_line_of_one_of_several_sinks_has_one_count_and_it_is_exact() {
    let home = scratch();
    let from = file_with(home.path(), "in", &bytes(47, 3_000_000));
    let (full, to_full) = receiver(&["/dev/full"]);
    let (good, to_good) = receiver(&["null:"]);
    let ended = pipe(&["--verify", from.to_str().unwrap(), &to_full, &to_good]).run();
    let line = ended.code(4).one_error();
    let rest = line.strip_prefix(&format!("haul: {} stopped after ", &to_full[4..])).expect(&line);
    let (far, cause) = rest.split_once(": ").unwrap();
    assert_eq!(cause, "the receiver could not write: no space left on device");
    let exact = far.split_once(" (").and_then(|(_, exact)| exact.strip_suffix(" bytes)")).expect(&line);
    assert!(exact.parse::<u64>().unwrap() <= 3_000_000, "{line}");
    full.wait().code(5);
    good.wait().ok();
}
