//! `--verify` over what is no socket: descriptors and programs, whichever way the payload goes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::data::{assert_same, bytes};
use crate::harness::{Input, Program, Running, file_with, haul, proc, scratch};

/// More than pipes and buffers hold.
const SIZE: usize = 3 << 20;

fn exe() -> &'static str {
    env!("CARGO_BIN_EXE_haul")
}

/// `connect --verify` with these flags over two FIFOs; both sides open them in the same order.
fn over_fifos(home: &Path, flags: &[&str], listens: bool) -> Program {
    let (there, back) = (home.join("there"), home.join("back"));
    let (there, back) = (there.display(), back.display());
    let open = if listens { format!("exec 3<{there} 4>{back}") } else { format!("exec 4>{there} 3<{back}") };
    haul([&["connect", "--verify"], flags, &["fd:3/4"]].concat()).after(&open)
}

fn with_fifos() -> tempfile::TempDir {
    let home = scratch();
    for name in ["there", "back"] {
        assert!(Command::new("mkfifo").arg(home.path().join(name)).status().unwrap().success());
    }
    home
}

/// What a receiver may be told.
const RECEIVES: [&str; 4] = ["--", "-d", "--recv-only", "--out"];

/// The same as words.
fn receiving<'a>(flag: &'a str, out: &'a Path) -> Vec<&'a str> {
    match flag {
        "--" => vec![],
        "--out" => vec![flag, out.to_str().unwrap()],
        _ => vec![flag],
    }
}

/// What a receiver with these flags got, wherever that is.
#[track_caller]
fn received(receiver: Running, out: &Path) -> Vec<u8> {
    let receiver = receiver.wait();
    receiver.ok();
    if out.exists() { fs::read(out).unwrap() } else { receiver.stdout.clone() }
}

// Greeting and receipts need the way back, whether payload goes there or not.
#[test]
fn descriptors_are_verified_whichever_way_the_payload_goes() {
    let payload = bytes(1, SIZE);
    for sends in [&[][..], &["--send-only"]] {
        for receives in RECEIVES {
            let home = with_fifos();
            let out = home.path().join("out");
            let receiver = over_fifos(home.path(), &receiving(receives, &out), true).spawn();
            let sender = over_fifos(home.path(), sends, false).stdin(Input::Bytes(payload.clone())).run();
            sender.ok().no_stdout();
            assert_same(receives, &received(receiver, &out), &payload);
        }
    }
}

/// A program whose standard input and output are the wire of `connect --verify` with these words, as over ssh.
fn far(home: &Path, words: &str) -> String {
    let script = format!("exec 3<&0 4>&1 0</dev/null 1>/dev/null\nexec {} connect --verify {words}\n", exe());
    file_with(home, "far", script.as_bytes()).display().to_string()
}

const SCHEMES: [&str; 2] = ["exec:sh ", "sh:sh "];

#[test]
fn what_goes_through_a_program_is_verified() {
    let payload = bytes(2, SIZE);
    for scheme in SCHEMES {
        for sends in [&[][..], &["--send-only"]] {
            for receives in ["-d --out", "--recv-only --out", "--out"] {
                let home = scratch();
                let out = home.path().join("out");
                let far = far(home.path(), &format!("{receives} {} fd:3/4", out.display()));
                let sender = haul([&["connect", "--verify"], sends, &[&format!("{scheme}{far}")]].concat());
                sender.stdin(Input::Bytes(payload.clone())).run().ok().no_stdout();
                assert_same(receives, &fs::read(&out).unwrap(), &payload);
            }
        }
    }
}

#[test]
fn what_comes_through_a_program_is_verified() {
    let payload = bytes(3, SIZE);
    for scheme in SCHEMES {
        for sends in ["", "--send-only"] {
            for receives in RECEIVES {
                let home = scratch();
                let out = home.path().join("out");
                let file = file_with(home.path(), "in", &payload);
                let far = far(home.path(), &format!("{sends} fd:3/4 -- cat {}", file.display()));
                let far = format!("{scheme}{far}");
                let receiver =
                    haul([&["connect", "--verify"], &receiving(receives, &out)[..], &[&far]].concat()).spawn();
                assert_same(receives, &received(receiver, &out), &payload);
            }
        }
    }
}

// The usual far side of ssh: standard input and output are the wire, and a program takes what comes.
#[test]
fn standard_input_and_output_are_a_wire() {
    let payload = bytes(4, SIZE);
    let home = scratch();
    let out = home.path().join("out");
    let file = out.display();
    for words in [format!("fd:0/1 -- sh -c 'cat > {file}'"), format!("- -e 'tee {file}'"), format!("--out {file} -")] {
        let far = format!("sh:{} connect --verify {words}", exe());
        let sender = haul(["connect", "--verify", &far]).stdin(Input::Bytes(payload.clone())).run();
        sender.code(0);
        assert_same(&words, &fs::read(&out).unwrap(), &payload);
    }
}

#[test]
fn a_full_disk_behind_a_program_is_told_through_it() {
    let home = scratch();
    let far = far(home.path(), "--recv-only fd:3/4 >/dev/full");
    let sender = haul(["connect", "--verify", &format!("sh:sh {far}")]).stdin(Input::Bytes(bytes(5, SIZE))).run();
    assert_eq!(sender.status.code(), Some(4), "and not its own 5");
    assert!(sender.stderr.contains("the receiver could not write: no space left on device"), "{}", sender.stderr);
}

#[test]
fn a_program_that_does_not_verify_is_told_apart() {
    let sender = haul(["connect", "--verify", "exec:cat /dev/null"]).stdin(Input::Bytes(bytes(4, 1000))).run();
    assert_eq!(sender.status.code(), Some(4));
}

#[test]
fn a_fifo_goes_one_way_and_is_refused() {
    let (_home, path) = crate::harness::fifo();
    for subcommand in ["connect", "listen"] {
        let path = path.display().to_string();
        let ended = haul([subcommand, "--verify", &path]).run();
        let line = format!("haul: cannot use --verify with {path}: a FIFO goes one way, and receipts go the other");
        assert!(ended.code(2).stderr.starts_with(&line), "{}", ended.stderr);
    }
}

// Every byte on its sink: a program has taken what it was given when it says so, by its status.
#[test]
fn a_program_that_fails_is_status_4_at_the_sender() {
    for program in ["cat >/dev/null; exit 3", "cat; exit 3"] {
        for size in [0, 10, SIZE] {
            let receiver = haul(["listen", "--verify", "127.0.0.1:0", "--", "sh", "-c", program]).spawn();
            let address = receiver.address().to_string();
            let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(6, size))).run();
            let line = sender.code(4).one_error();
            assert!(line.ends_with(": the receiver could not write: its program exited with status 3"), "{line}");
            receiver.wait().code(3);
        }
    }
}

// Whether it is its status or its closed input that is noticed first.
#[test]
fn a_program_that_reads_nothing_is_no_success_for_the_sender() {
    for status in [0, 3] {
        let program = format!("exit {status}");
        let receiver = haul(["listen", "--verify", "127.0.0.1:0", "--", "sh", "-c", &program]).spawn();
        let address = receiver.address().to_string();
        let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(6, SIZE))).run();
        let line = sender.code(4).one_error();
        assert!(line.contains(": the receiver could not write: "), "{line}");
        receiver.wait();
    }
}

#[test]
fn the_program_of_a_pipe_that_fails_is_status_4_at_the_sender() {
    let receiver = haul(["pipe", "--verify", "tcp,listen:127.0.0.1:0", "sh:cat >/dev/null; exit 3"]).spawn();
    let address = format!("tcp:{}", receiver.address());
    let sender = haul(["pipe", "--verify", "-", &address]).stdin(Input::Bytes(bytes(7, SIZE))).run();
    let line = sender.code(4).one_error();
    assert!(line.ends_with(": the receiver could not write: its program exited with status 3"), "{line}");
    receiver.wait().code(3);
}

#[test]
fn a_sender_is_not_done_before_the_program_is() {
    let (_home, gate) = crate::harness::fifo();
    let program = format!("cat >/dev/null; read _ <{}", gate.display());
    for receiver in [
        haul(["listen", "--verify", "127.0.0.1:0", "--", "sh", "-c", &program]),
        haul(["pipe", "--verify", "tcp,listen:127.0.0.1:0", &format!("sh:{program}")]),
    ] {
        let receiver = receiver.spawn();
        let address = receiver.address().to_string();
        let sender = haul(["connect", "--verify", "--idle", "20s", &address]);
        let sender = sender.stdin(Input::Bytes(bytes(8, 1000))).spawn();
        // opens once the program has read everything
        let mut gate = fs::OpenOptions::new().write(true).open(&gate).unwrap();
        proc::wait_until_idle(sender.pid());
        assert_ne!(proc::state(sender.pid()), 'Z', "done although the program is not");
        std::io::Write::write_all(&mut gate, b"\n").unwrap();
        sender.wait().ok();
        receiver.wait().ok();
    }
}

#[test]
fn programs_at_both_sides_judge_what_they_were_given() {
    for (there, here, wanted) in [("0", "0", (0, 0)), ("3", "0", (3, 4)), ("0", "3", (4, 3))] {
        let program = |status| format!("echo hello; exec >&-; cat >/dev/null; exit {status}");
        let receiver = haul(["listen", "--verify", "127.0.0.1:0", "--", "sh", "-c", &program(there)]).spawn();
        let address = receiver.address().to_string();
        let sender = haul(["connect", "--verify", &address, "--", "sh", "-c", &program(here)]).run();
        let receiver = receiver.wait();
        assert_eq!((receiver.status.code(), sender.status.code()), (Some(wanted.0), Some(wanted.1)));
    }
}

// What comes after a program has ended has no sink; an end that comes then is one.
#[test]
fn a_program_that_ends_first_is_success_for_who_sends_nothing_more() {
    for sends in [false, true] {
        let receiver = haul(["listen", "--verify", "127.0.0.1:0", "--", "true"]).spawn();
        let address = receiver.address().to_string();
        let mut sender = haul(["connect", "--verify", &address]).stdin(Input::Piped).spawn();
        sender.stdout_end();
        if sends {
            sender.say(b"more");
        }
        sender.end_stdin();
        sender.wait().code(if sends { 4 } else { 0 });
        receiver.wait().code(0);
    }
}
