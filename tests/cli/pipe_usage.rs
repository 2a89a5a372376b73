//! `haul pipe`, `--out` and `--verify` where they are typed wrong: one line, its status, and nothing touched.

use std::path::Path;

use crate::harness::{Listener, file_with, haul, scratch};

/// Runs haul in `home` with these words; it must fail with this status, one error and nothing on standard output.
#[track_caller]
fn fails(home: &Path, words: &[&str], code: i32) -> String {
    let ended = haul(words).after(&format!("cd '{}'", home.display())).run();
    ended.code(code).no_stdout();
    ended.one_error()
}

// A file that would be read and written, or written twice, is as it was afterwards.
#[test]
fn a_mistake_in_a_pipe_leaves_every_file_alone() {
    let home = scratch();
    let path = file_with(home.path(), "precious", b"precious");
    for words in [
        &["pipe", "./precious", "file:precious"][..],
        &["pipe", "-", "./precious", "file,append:precious"],
        &["pipe", "--hash", "blake3", "--hash-file", "precious", "-", "./precious"],
        &["pipe", "--hash-file", "precious"],
        &["pipe", "-2", "-", "./precious", "./new"],
        &["pipe", "--stop-at", "1x", "zero:", "./precious"],
        &["pipe", "-L", "much", "zero:", "./precious"],
        &["pipe", "zero:", "./precious", "precious"],
        &["pipe", "zero:", "./precious", "udp:127.0.0.1:9"],
        &["pipe", "--verify", "zero:", "./precious"],
        &["pipe", "zero:", "./precious", "./new", "--port-file", "new"],
        &["connect", "--out", "precious", "--send-only", "127.0.0.1:9"],
        &["listen", "--out", "precious", "-k", "127.0.0.1:0"],
        &["listen", "--out", "precious", "127.0.0.1:0", "--", "cat"],
    ] {
        fails(home.path(), words, 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious", "{words:?}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "{words:?}");
    }
}

// Standard input and output are there once.
#[test]
fn no_standard_stream_is_used_twice() {
    let home = scratch();
    for (words, why) in [
        (&["pipe", "-", "fd:0"][..], "both are standard input"),
        (&["pipe", "-", "-", "-"], "both are standard output"),
        (&["pipe", "-", "-", "fd:1"], "both are standard output"),
        (&["pipe", "-2"], "both are standard input"),
    ] {
        let line = fails(home.path(), words, 2);
        assert!(line.ends_with(why), "{line}");
    }
}

// A program that the world could reach is refused before anything is bound or run.
#[test]
fn a_pipe_serves_no_program_to_the_world() {
    let home = scratch();
    for words in [
        &["pipe", "tcp,listen:0", "sh:touch ran"][..],
        &["pipe", "sh:touch ran", "tcp,listen:0"],
        &["pipe", "-2", "tcp,listen:0.0.0.0:0", "exec:touch ran"],
    ] {
        let line = fails(home.path(), words, 7);
        assert!(line.contains("--allow CIDR, or --open"), "{line}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "{words:?}");
    }
}

// --explain tells what a pipe would do, and does nothing: nobody connects, and no file is made.
#[test]
fn explaining_a_pipe_does_nothing() {
    let home = scratch();
    let listener = Listener::tcp();
    let words = ["pipe", "--explain", "--verify", "zero:", "./new", &listener.address().to_string()];
    let ended = haul(words).after(&format!("cd '{}'", home.path().display())).run();
    ended.code(0);
    assert!(String::from_utf8_lossy(&ended.stdout).starts_with("read zero:\nwrite everything to ./new\n"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    assert!(listener.was_left_alone());
}
