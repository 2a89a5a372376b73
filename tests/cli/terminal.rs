//! A terminal on stdin, stdout or stderr: what a person at a keyboard sees and does.

use std::fs::File;
use std::io::Write;

use rustix::fs::fcntl_getfl;
use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::pty::Terminal;
use crate::harness::{Ending, Input, Net, Role, Sink, Way, file_with, scratch};
use crate::stdio::{CARRIERS, flags_survive_a_kill, stdout_receives};

const WAY: Way = Way { role: Role::Connects, net: Net::Tcp };

// What is typed at a terminal is sent line by line, and its end-of-file key is the end.
#[test]
fn a_terminal_on_stdin_is_sent() {
    let terminal = Terminal::open();
    let before = fcntl_getfl(terminal.side()).unwrap();
    let (haul, mut peer) = WAY.join_with(&[], |haul| haul.stdin(Input::Fd(terminal.side())));
    terminal.type_in(b"hello\n");
    assert_eq!(peer.receive(6), b"hello\n");
    terminal.type_in(b"again\n\x04");
    assert_eq!(peer.receive_all(), (b"again\n".to_vec(), Ending::Eof));
    peer.send(b"answer");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"answer");
    assert_eq!(fcntl_getfl(terminal.side()).unwrap(), before);
}

// The same with a terminal that is the job's own, in the foreground: as a person would start it.
#[test]
fn a_controlling_terminal_on_stdin_ends_with_the_peer() {
    let Some(setsid) = crate::harness::require("setsid") else { return };
    let terminal = Terminal::open();
    // setsid forks only if it leads a process group, which a child of a test does not: the process id stays
    let wrapper = [setsid.to_str().unwrap(), "--ctty"];
    let (haul, mut peer) = WAY.join_with(&[], |haul| haul.by(&wrapper).stdin(Input::Fd(terminal.side())));
    terminal.type_in(b"typed\n");
    assert_eq!(peer.receive(6), b"typed\n");
    peer.send(b"goodbye");
    peer.finish();
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"goodbye");
}

// A terminal on stdout shows what comes.
#[test]
fn a_terminal_on_stdout_is_written() {
    for flags in CARRIERS {
        let terminal = Terminal::open();
        let content: Vec<u8> = bytes(67, 20_000).iter().map(|byte| b' ' + byte % 90).collect();
        stdout_receives(terminal.side(), flags, &content, || {
            assert_same("the terminal", &terminal.shown(content.len()), &content);
        });
    }
}

// A terminal shared with the shell is never made non-blocking.
#[test]
fn flags_of_a_terminal_are_never_touched() {
    let terminal = Terminal::open();
    flags_survive_a_kill(
        terminal.side(),
        terminal.side(),
        || terminal.type_in(b"spoken\x04"),
        |want| {
            let shown = terminal.shown("spoken".len() + want.len());
            assert!(shown.ends_with(want), "{}", shown.escape_ascii());
        },
    );
}

// The peer ends and stdin is a terminal: done, as nobody there has more to say.
fn a_terminal_on_stdin_ends_with_the_peer(way: Way) {
    let terminal = Terminal::open();
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(terminal.side())));
    peer.send(b"goodbye");
    peer.finish();
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"goodbye");
    // A person has left; that is an end and not a cut.
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
}
both_ways!(a_terminal_on_stdin_ends_with_the_peer);

// --after-peer-eof send: what is typed after the peer's end is still sent.
fn after_peer_eof_send_goes_on_from_a_terminal(way: Way) {
    let terminal = Terminal::open();
    let flags = ["--after-peer-eof", "send"];
    let (haul, mut peer) = way.join_with(&flags, |haul| haul.stdin(Input::Fd(terminal.side())));
    peer.send(b"all");
    peer.finish();
    assert_eq!(haul.stdout_end(), b"all");
    terminal.type_in(b"late\n\x04");
    assert_eq!(peer.receive_all(), (b"late\n".to_vec(), Ending::Eof));
    haul.wait().ok();
}
both_ways!(after_peer_eof_send_goes_on_from_a_terminal);

// A signal while stdin is a terminal is a person's way out: an end, not a cut.
fn a_signal_at_a_terminal_ends_with_fin(way: Way) {
    let terminal = Terminal::open();
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(terminal.side())));
    terminal.type_in(b"hello\n");
    assert_eq!(peer.receive(6), b"hello\n");
    haul.signal(Signal::INT);
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    haul.wait().killed_by(Signal::INT);
}
both_ways_over_tcp!(a_signal_at_a_terminal_ends_with_fin);

// A terminal on stderr shows progress when asked to; the payload on stdout stays clean.
#[test]
fn progress_on_a_terminal_never_mixes_with_the_payload() {
    let terminal = Terminal::open();
    let home = scratch();
    let content = bytes(74, 1 << 20);
    let from = file_with(home.path(), "from", &content);
    let prepare = format!("exec 2>&0 0<'{}'", from.display());
    let (haul, mut peer) =
        WAY.join_with(&["--progress", "-L", "4M"], |haul| haul.after(&prepare).stdin(Input::Fd(terminal.side())));
    assert_same("what was sent", &peer.receive_all().0, &content);
    peer.send(b"payload");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"payload");
    let shown = terminal.shown_until(|shown| !shown.is_empty());
    assert!(!shown.windows(7).any(|window| window == b"payload"));
}

// The peer has ended and stdin is a silent pipe: after 3 s one line on the terminal says how not to wait.
#[test]
fn waiting_on_a_silent_stdin_is_explained_on_a_terminal() {
    let terminal = Terminal::open();
    let home = scratch();
    let (reader, writer) = crate::stdio::fifo(home.path());
    let prepare = format!("exec 2>&0 0<'{}'", home.path().join("fifo").display());
    let (haul, peer) = WAY.join_with(&[], |haul| haul.after(&prepare).stdin(Input::Fd(terminal.side())));
    peer.finish();
    let shown = terminal.shown_until(|shown| shown.ends_with(b"\n"));
    let line = String::from_utf8(shown).unwrap();
    assert!(line.contains("--after-peer-eof exit") && line.contains("-d"), "{line}");
    drop((reader, writer));
    haul.wait().ok();
}

// One terminal for the payload and for messages: the bar that --progress may show would stand inside the payload.
#[test]
fn progress_leaves_a_terminal_that_shows_the_payload_alone() {
    let terminal = Terminal::open();
    let way = |flags: &[&str]| {
        WAY.join_with(flags, |haul| haul.after("exec 2>&1").stdin(Input::Null).stdout(Sink::Fd(terminal.side())))
    };
    let (haul, mut peer) = way(&["--progress"]);
    peer.send(b"payload");
    drop(peer);
    haul.wait().ok();
    File::from(terminal.side()).write_all(b"#").unwrap();
    assert_eq!(terminal.shown_until(|shown| shown.ends_with(b"#")), b"payload#");
    // by name it is wanted all the same
    let (haul, mut peer) = way(&["--progress=bar"]);
    peer.send(b"payload");
    terminal.shown_until(|shown| shown.contains(&b'\r'));
    drop(peer);
    haul.wait().ok();
}
