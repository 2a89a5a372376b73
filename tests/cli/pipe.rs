//! `haul pipe`: one source, one sink, whatever they are, and what the end says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::data::{FEW_SIZES, assert_same, bytes};
use crate::harness::{
    Ending, Input, Listener, Peer, Program, Running, Sink, create, fifo, file_with, haul, open, require, scratch,
};

/// A `haul pipe` with these words.
pub fn pipe<S: AsRef<str>>(words: &[S]) -> Program {
    haul(std::iter::once("pipe").chain(words.iter().map(AsRef::as_ref)))
}

/// A path as a word.
pub fn word(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn it_stands_between_two_programs_whatever_its_ends_are() {
    for size in FEW_SIZES {
        let home = scratch();
        let content = bytes(3, size);
        let path = file_with(home.path(), "in", &content);
        let inputs = [Input::Bytes(content.clone()), Input::Fd(open(&path))];
        for input in inputs {
            let ended = pipe(&[""; 0]).stdin(input).run();
            ended.ok();
            assert_same("captured", &ended.stdout, &content);
        }
        let out = home.path().join("out");
        pipe(&["-", "-"]).stdin(Input::Fd(open(&path))).stdout(Sink::Fd(create(&out))).run().ok();
        assert_same("file to file", &fs::read(&out).unwrap(), &content);
        let copy = home.path().join("copy");
        pipe(&[word(&path), word(&copy)]).run().ok().no_stdout();
        assert_same("by name", &fs::read(&copy).unwrap(), &content);
    }
}

// The same inputs through the tools that it replaces give the same output and digest.
#[test]
fn what_comes_out_is_what_pv_mbuffer_and_sha256sum_say() {
    let content = bytes(11, 1_234_567);
    let home = scratch();
    let path = file_with(home.path(), "in", &content);
    let ours = pipe(&["--hash", "sha256", &word(&path)]).run();
    ours.code(0);
    for (tool, flags) in [("pv", "-q"), ("mbuffer", "-q"), ("cat", "-u")] {
        let Some(tool) = require(tool) else { continue };
        let theirs = Program::new(tool, [flags]).stdin(Input::Fd(open(&path))).run();
        assert_same("theirs", &ours.stdout, &theirs.stdout);
    }
    if let Some(sum) = require("sha256sum") {
        let theirs = Program::new(sum, [""; 0]).stdin(Input::Fd(open(&path))).run();
        assert_eq!(ours.stderr.as_bytes(), theirs.stdout);
    }
}

#[test]
fn network_ends_are_dialled_and_listened_for() {
    let content = bytes(5, 3_000_000);
    let home = scratch();
    let (from, to) = (file_with(home.path(), "in", &content), home.path().join("out"));
    let receiving = pipe(&["tcp,listen:127.0.0.1:0", &word(&to)]).spawn();
    let sending = pipe(&[word(&from), format!("tcp:{}", receiving.address())]).spawn();
    sending.wait().ok();
    receiving.wait().ok();
    assert_same("tcp", &fs::read(&to).unwrap(), &content);

    let socket = home.path().join("s");
    let at = format!("unix,listen:{}", socket.display());
    let receiving = pipe(&["-v", &at]).spawn();
    receiving.stderr_line("haul: listening on unix ");
    pipe(&["-", &word(&socket)]).stdin(Input::Bytes(content.clone())).run().ok();
    let ended = receiving.wait();
    ended.code(0);
    assert_same("unix, by its path", &ended.stdout, &content);
    assert!(!socket.exists());
}

#[test]
fn a_network_source_is_read_and_not_answered() {
    let listener = Listener::tcp();
    let running = pipe(&[format!("tcp:{}", listener.address())]).stdin(Input::Null).spawn();
    let mut peer = listener.accept();
    peer.send(b"one");
    assert_eq!(running.stdout_reaches(3), b"one");
    assert!(peer.hears_nothing(), "no end of file before the source's own");
    peer.finish();
    let ended = running.wait();
    ended.ok();
    assert_eq!(peer.receive_all(), (vec![], Ending::Eof));
}

#[test]
fn a_source_that_is_cut_is_no_end() {
    let home = scratch();
    let out = home.path().join("out");
    let listener = Listener::tcp();
    let running = pipe(&[format!("tcp:{}", listener.address()), word(&out)]).spawn();
    let mut peer = listener.accept();
    peer.send(b"half");
    crate::harness::poll_until("the first bytes", || (fs::read(&out).unwrap_or_default() == b"half").then_some(()));
    peer.reset();
    let ended = running.wait();
    ended.code(1);
    let line = ended.one_error();
    assert!(line.starts_with("haul: transfer stopped after 4 B: 127.0.0.1:"), "{line}");
    assert!(line.ends_with(" reset the connection"), "{line}");
}

#[test]
fn both_ways_is_asked_for() {
    let listener = Listener::tcp();
    let running = pipe(&["-2".to_string(), "-".into(), format!("tcp:{}", listener.address())]);
    let running = running.stdin(Input::Bytes(b"question".to_vec())).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive_all(), (b"question".to_vec(), Ending::Eof));
    peer.send(b"answer");
    peer.finish();
    let ended = running.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"answer");
}

// Nothing is emptied, made or run when anything is wrong that can be known beforehand, or a connection fails.
#[test]
fn what_is_wrong_is_one_line_and_nothing_is_touched() {
    let home = scratch();
    let (there, new) = (file_with(home.path(), "there", b"precious"), home.path().join("new"));
    let (there_word, new_word) = (word(&there), word(&new));
    let missing = word(&home.path().join("missing"));
    let nowhere = word(&home.path().join("no/such"));
    let (_guard, refusing) = crate::harness::peer::refusing_address();
    let refusing = format!("tcp:{refusing}");
    let directory = word(home.path());
    let touch = format!("sh:touch {new_word}");
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&there, &link).unwrap();
    let link = word(&link);
    let table: [(&[&str], i32, &str); 11] = [
        (&[&missing, &there_word], 2, "missing: no such file or directory"),
        (&[&missing, &new_word], 2, "missing: no such file or directory"),
        (&[&directory, &there_word], 2, ": is a directory"),
        (&[&there_word, &directory], 2, ": is a directory"),
        (&["-", &nowhere], 2, "no/such: no such file or directory"),
        (&[&there_word, &there_word], 2, "there: the input file is the output file"),
        (&[&there_word, &link], 2, "there: the input file is the output file"),
        (&[&refusing, &there_word], 1, ": connection refused"),
        (&[&refusing, &touch], 1, ": connection refused"),
        (&[&touch, &refusing], 1, ": connection refused"),
        (&["exec:no-such-program-at-all", &there_word], 2, "no-such-program-at-all: no such file or directory"),
    ];
    for (words, status, cause) in table {
        let ended = pipe(words).run();
        ended.code(status).no_stdout();
        let line = ended.one_error();
        assert!(line.starts_with("haul: cannot ") && line.ends_with(cause), "{words:?}: {line}");
        assert_eq!(fs::read(&there).unwrap(), b"precious", "{words:?}");
        assert!(!new.exists(), "{words:?}");
    }
    let ended = pipe(&["-", &there_word]).stdin(Input::Fd(open(&there))).run();
    assert!(ended.code(2).one_error().ends_with("there: the input file is the output file"));
    let appended = fs::OpenOptions::new().append(true).open(&there).unwrap();
    let ended = pipe(&["-"]).stdin(Input::Fd(open(&there))).stdout(Sink::Fd(appended.into())).run();
    assert!(ended.code(2).one_error().ends_with("standard output: the input file is the output file"));
    let ended = pipe(&["-"]).stdin(Input::Fd(open(home.path()))).run();
    assert!(ended.code(5).one_error().ends_with("standard input: is a directory"));
    assert_eq!(fs::read(&there).unwrap(), b"precious");
}

#[test]
fn an_endpoint_has_its_time_to_open() {
    let home = scratch();
    let there = file_with(home.path(), "there", b"precious");
    let ended = pipe(&["--connect-timeout", "50ms", "tcp,listen:127.0.0.1:0", &word(&there)]).run();
    ended.code(3);
    assert!(ended.one_error().ends_with(": timed out after 50ms"), "{}", ended.stderr);
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    let (_home, path) = fifo();
    let ended = pipe(&["--connect-timeout", "50ms", &word(&path), "-"]).run();
    assert!(ended.code(3).one_error().ends_with("fifo: timed out after 50ms"), "{}", ended.stderr);
}

#[test]
fn a_signal_while_it_opens_ends_it_and_leaves_no_socket() {
    let home = scratch();
    let socket = home.path().join("s");
    let running = pipe(&["-v", &format!("unix,listen:{}", socket.display())]).spawn();
    running.stderr_line("haul: listening on unix ");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert!(!socket.exists());
}

#[test]
fn a_signal_resets_a_network_sink() {
    let listener = Listener::tcp();
    let mut running = pipe(&["-".to_string(), format!("tcp:{}", listener.address())]).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    running.say(b"half");
    assert_eq!(peer.receive(4), b"half");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset));
}

#[test]
fn programs_stand_at_either_side_and_their_status_counts() {
    let home = scratch();
    let path = file_with(home.path(), "in", b"one\ntwo\n");
    let out = home.path().join("out");
    let ended = pipe(&[word(&path), "exec:tr a-z A-Z".into()]).run();
    assert_eq!(ended.ok().stdout, b"ONE\nTWO\n", "what a sink prints goes where haul's output goes");
    let ended = pipe(&["exec:tr a-z A-Z", "-"]).stdin(Input::Fd(open(&path))).run();
    assert_eq!(ended.ok().stdout, b"ONE\nTWO\n", "a source reads what haul could have read");
    assert_eq!(pipe(&["sh:echo some; exit 7", "-"]).run().code(7).stdout, b"some\n");
    pipe(&["-", "sh:cat >/dev/null; exit 9"]).stdin(Input::Bytes(b"x".to_vec())).run().code(9);
    pipe(&["sh:echo x", "sh:cat >/dev/null; exit 9"]).run().code(9);
    pipe(&["sh:echo x; exit 7", &word(&out)]).run().code(7);
    // a sink that has read enough is no failure, and neither is what its source makes of that
    let ended = pipe(&["exec:yes", "exec:head -n 1"]).run();
    assert_eq!(ended.ok().stdout, b"y\n");
}

// As a shell would without pipefail: a dump that failed half-way would look whole to whoever receives it.
#[test]
fn the_end_of_a_program_that_failed_is_not_passed_on_as_the_end_of_its_data() {
    let listener = Listener::tcp();
    let to = format!("tcp:{}", listener.address());
    let running = pipe(&["sh:echo half; exec >&-; read line; exit 3", &to]).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(5), b"half\n");
    assert!(peer.hears_nothing(), "its status is not known yet");
    let mut running = running;
    running.say(b"\n");
    running.wait().code(3);
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset));
}

// A slow sink is no silence: what a program has written before it ended is delivered however long that takes.
#[test]
fn the_output_of_an_ended_program_waits_for_a_slow_sink() {
    let listener = Listener::tcp_with(Some(4096), 1);
    let to = format!("tcp,sndbuf=4096:{}", listener.address());
    let running = pipe(&["-v", "sh:head -c 900000 /dev/zero", &to]).spawn();
    let mut peer = listener.accept();
    // longer than the second after which an ended program's pipe would count as silent: its last bytes are still there
    let ended_at = Instant::now();
    crate::harness::poll_until("a second", || (ended_at.elapsed() > Duration::from_millis(1500)).then_some(()));
    let (got, ending) = peer.receive_all();
    assert_eq!((got.len(), ending), (900_000, Ending::Eof));
    running.wait().code(0);
}

// The reader of standard output that goes away ends it as it ends cat: silently.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut running: Running = pipe(&["zero:"]).stdout(Sink::Held).spawn();
    drop(running.held.take());
    let ended = running.wait();
    assert_eq!(ended.killed_by(Signal::PIPE).stderr, "");
}

#[test]
fn a_fifo_brings_two_of_them_together() {
    let (_home, path) = fifo();
    let content = bytes(17, 400_000);
    let reading = pipe(&[word(&path)]).spawn();
    let writing = pipe(&["-".to_string(), word(&path)]).stdin(Input::Bytes(content.clone())).run();
    writing.ok();
    let ended = reading.wait();
    ended.ok();
    assert_same("through the fifo", &ended.stdout, &content);
}

// The accept list of a listening endpoint is kept: who is not on it does not count.
#[test]
fn only_those_who_may_connect_do() {
    let running = pipe(&["-v", "--deny", "127.0.0.1", "tcp,listen:127.0.0.1:0"]).spawn();
    let mut peer = Peer::connect(running.address());
    let (got, _) = peer.receive_all();
    assert!(got.is_empty());
    running.stderr_line("haul: refused ");
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

#[test]
fn the_children_of_a_group_share_one_input() {
    let home = scratch();
    let out = home.path().join("out");
    let script = format!("{0} pipe --stop-at 4 - {1}; cat", env!("CARGO_BIN_EXE_haul"), out.display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).stdin(Stdio::from(open(&file_with(home.path(), "in", b"headtail"))));
    assert_eq!(shell.output().unwrap().stdout, b"tail");
    assert_eq!(fs::read(out).unwrap(), b"head");
}

// Who may connect cannot be told of a Unix socket that is handed over: that shows only once it is open.
#[test]
fn lists_mean_nothing_on_an_inherited_unix_listener() {
    let home = scratch();
    let socket = std::os::unix::net::UnixListener::bind(home.path().join("s")).unwrap();
    let words = ["--allow", "127.0.0.1", "fd,listen:0", "null:"];
    let ended = pipe(&words).stdin(Input::Fd(socket.into())).run();
    ended.code(2);
    assert!(ended.one_error().contains("has no address"), "{}", ended.stderr);
}
