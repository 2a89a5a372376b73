//! `connect --send --expect`: a dialogue in the order given, what it prints, and how it fails.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::proc::wait_until_idle;
use crate::harness::{Ended, Ending, Input, Listener, Peer, haul, scratch};

/// Runs haul with these words against a peer that is driven by `peer`.
fn against<T: Send + 'static>(words: &[&str], peer: impl FnOnce(Peer) -> T + Send + 'static) -> (Ended, T) {
    let listener = Listener::tcp();
    let endpoint = listener.endpoint();
    let driven = thread::spawn(move || peer(listener.accept()));
    let ended = haul(["connect", &endpoint].iter().chain(words)).run();
    let given = driven.join().unwrap();
    (ended, given)
}

/// The endpoint is another each time: what matters is behind it.
#[track_caller]
fn error(ended: &Ended) -> String {
    let line = ended.one_error();
    let port = line.find("127.0.0.1:").map(|at| at + "127.0.0.1:".len()).unwrap_or_else(|| panic!("{line}"));
    let rest = line[port..].trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{}PEER{rest}", &line[..port - "127.0.0.1:".len()])
}

// The steps run in order; each match is a line; the end is a FIN behind everything.
#[test]
fn steps_run_in_the_order_given() {
    let words = ["--expect", "^220 .*$", "--send", "EHLO a\\r\\n", "--expect", "^250 ", "--send", "QUIT\\r\\n"];
    let (ended, (first, last)) = against(&words, |mut peer| {
        peer.send(b"220 mail.example\r\n");
        let first = peer.receive(8);
        peer.send(b"250-SIZE 10\r\n250 HELP\r\n");
        (first, peer.receive_all())
    });
    ended.ok();
    assert_eq!(ended.stdout, b"220 mail.example\n250 \n");
    assert_eq!(first, b"EHLO a\r\n");
    assert_eq!(last, (b"QUIT\r\n".to_vec(), Ending::Eof));
}

// The end is not waited for: a peer that keeps the connection open is left.
#[test]
fn the_last_match_ends_it_although_the_peer_goes_on() {
    let (ended, how) = against(&["--expect", "PONG"], |mut peer| {
        peer.send(b"+PONG\r\n");
        peer.receive_all()
    });
    ended.ok();
    assert_eq!(ended.stdout, b"PONG\n");
    assert_eq!(how, (vec![], Ending::Eof));
}

// Behind the last match: everything is delivered, however slowly it is read.
#[test]
fn the_last_send_is_delivered_before_it_ends() {
    let long = "x".repeat(60_000);
    let (ended, got) = against(&["--expect", "go", "--send", &long, "--send", "\\x00end"], |mut peer| {
        peer.send(b"go");
        peer.receive_all()
    });
    ended.ok();
    assert_eq!(got.0.len(), 60_004);
    assert!(got.0.ends_with(b"\0end"));
    assert_eq!(got.1, Ending::Eof);
}

// Without --expect it is a usual connection that begins with these bytes: standard input follows them, and the answer
// is waited for, however late it comes.
#[test]
fn sending_alone_begins_a_usual_connection() {
    let listener = Listener::tcp();
    let words = ["connect", &listener.endpoint(), "--send", "Q\\n", "--send", "R\\n"];
    let mut child = haul(words).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(4), b"Q\nR\n", "it does not wait for standard input");
    child.say(b"stdin-data\n");
    child.end_stdin();
    assert_eq!(peer.receive_all(), (b"stdin-data\n".to_vec(), Ending::Eof));
    wait_until_idle(child.pid());
    peer.send(b"late answer\n");
    drop(peer);
    let ended = child.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"late answer\n");
}

// Whether standard input is read is up to the flags of any connection.
#[test]
fn sending_alone_heeds_the_direction_flags() {
    let (ended, got) = against(&["-d", "--send", "ask"], |mut peer| {
        assert_eq!(peer.receive(3), b"ask");
        peer.send(b"answer");
        peer.finish();
        peer.receive_all()
    });
    ended.ok();
    assert_eq!((ended.stdout.as_slice(), got), (&b"answer"[..], (vec![], Ending::Eof)));
    let (ended, got) = against(&["--send-only", "--send", "told"], |mut peer| {
        peer.send(b"discarded");
        peer.receive_all()
    });
    ended.ok().no_stdout();
    assert_eq!(got, (b"told".to_vec(), Ending::Eof));
}

// What comes behind a match belongs to the next --expect.
#[test]
fn the_search_goes_on_behind_a_match() {
    let words = ["--expect", "one", "--expect", "t\\w+", "--expect", "one$"];
    let (ended, ()) = against(&words, |mut peer| peer.send(b"one two one\n"));
    ended.ok();
    assert_eq!(ended.stdout, b"one\ntwo\none\n");
}

// The same lines in any pieces give the same matches.
#[test]
fn a_line_that_comes_in_pieces_is_matched_whole() {
    let (ended, ()) = against(&["--expect", "^OK.*$"], |mut peer| {
        for piece in [&b"NO"[..], b"T OK\r", b"\nOK", b" all", b" well\r", b"\n"] {
            peer.send(piece);
        }
        peer.receive_all();
    });
    ended.ok();
    assert_eq!(ended.stdout, b"OK all well\n");
}

// A prompt has no end of line: it is matched at once by what is there, and by `$` when the time is over.
#[test]
fn a_prompt_without_a_newline_is_matched() {
    for words in [&["--expect", "^> "][..], &["--expect", "^> $", "--timeout", "300ms"]] {
        let (ended, got) = against(&[words, &["--send", "exit\\n"]].concat(), |mut peer| {
            peer.send(b"welcome\n> ");
            peer.receive_all().0
        });
        ended.ok();
        assert_eq!(ended.stdout, b"> \n");
        assert_eq!(got, b"exit\n");
    }
}

// Silence in the middle of a line is no end of the line.
#[test]
fn silence_ends_neither_a_line_nor_a_word() {
    for (pattern, first, rest) in
        [("^OK$", "OK", "AY\nOK?\n"), ("OK\\r?$", "OK", "AY\r\n"), ("err\\b", "no err", "ands\n")]
    {
        let (ended, ()) = against(&["--expect", pattern], move |mut peer| {
            peer.send(first.as_bytes());
            pause(Duration::from_millis(300));
            peer.send(rest.as_bytes());
            peer.finish();
            let _ = peer.receive_all();
        });
        ended.code(8).no_stdout();
    }
}

// What only could have been longer is taken after a short silence.
#[test]
fn silence_ends_a_match_that_may_only_grow() {
    let (ended, _) = against(&["--expect", "^v.*", "--send", "go"], |mut peer| {
        peer.send(b"v1.2");
        assert_eq!(peer.receive(2), b"go");
        peer.receive_all()
    });
    ended.ok();
    assert_eq!(ended.stdout, b"v1.2\n");
}

/// The silence of a peer, which is what is tested.
fn pause(time: Duration) {
    let (_never, clock) = mpsc::channel::<()>();
    let _ = clock.recv_timeout(time);
}

// The peer ends without the match: status 8, and what came instead.
#[test]
fn an_answer_that_does_not_match_is_status_8_and_is_shown() {
    let (ended, _) = against(&["--send", "PING\\r\\n", "--expect", "^\\+PONG"], |mut peer| {
        peer.receive(6);
        peer.send(b"-ERR unknown\x1b command\r\n");
    });
    ended.code(8).no_stdout();
    assert_eq!(error(&ended), "haul: PEER ended without \"^\\+PONG\": got \"-ERR unknown\\x1b command\\r\\n\"");
    let (ended, ()) = against(&["--expect", "x"], drop);
    ended.code(8);
    assert_eq!(error(&ended), "haul: PEER ended without \"x\": got nothing");
}

// A long answer is shown by its end, and what was matched before is printed all the same.
#[test]
fn a_long_answer_is_shortened() {
    let (ended, ()) = against(&["--expect", "a", "--expect", "y"], |mut peer| {
        peer.send(format!("a{}z", "b".repeat(100_000)).as_bytes());
        peer.finish();
        peer.receive_all();
    });
    ended.code(8);
    assert_eq!(ended.stdout, b"a\n");
    assert_eq!(error(&ended), format!("haul: PEER ended without \"y\": got \"…{}z\"", "b".repeat(159)));
}

// No match in time: status 3, what came, and a reset, since the dialogue is not over.
#[test]
fn no_match_in_time_is_status_3() {
    let (ended, how) = against(&["--expect", "ready", "--timeout", "200ms"], |mut peer| {
        peer.send(b"starting\n");
        peer.receive_all().1
    });
    ended.code(3);
    assert_eq!(error(&ended), "haul: within 200ms PEER did not send \"ready\": got \"starting\\n\"");
    assert_eq!(how, Ending::Reset);
}

// The limit is for each --expect, and a peer that never stops talking does not escape it.
#[test]
fn a_flood_does_not_escape_the_time_limit() {
    let (ended, ()) = against(&["--expect", "needle", "--timeout", "500ms"], |peer| peer.flood().join().unwrap());
    ended.code(3);
}

// A reset is status 1; what came before it is still searched.
#[test]
fn a_reset_is_status_1() {
    let (ended, ()) = against(&["--send", "x", "--expect", "never"], |mut peer| {
        peer.receive(1);
        peer.send(b"bye");
        peer.reset();
    });
    ended.code(1);
    let line = error(&ended);
    assert!(line.starts_with("haul: PEER reset the connection before \"never\": got "), "{line}");
}

// After the last match it is the peer's affair how it ends.
#[test]
fn a_reset_after_the_last_match_is_no_failure() {
    let (ended, ()) = against(&["--expect", "done\n"], |mut peer| {
        peer.send(b"done\n");
        let _ = peer.receive_all();
        peer.reset();
    });
    ended.ok();
}

// Both write before they read: neither blocks the other for ever.
#[test]
fn a_peer_that_talks_while_it_is_sent_to_is_read() {
    let long = "y".repeat(100_000);
    let words: Vec<&str> = std::iter::repeat_n(["--send", &long], 20).flatten().chain(["--expect", "end"]).collect();
    let (ended, got) = against(&words, |mut peer| {
        peer.send(&vec![b'.'; 8 << 20]);
        let got = peer.receive(2_000_000);
        peer.send(b"the end");
        got.len()
    });
    ended.ok();
    assert_eq!((ended.stdout.as_slice(), got), (&b"end\n"[..], 2_000_000));
}

// Without --send it is standard input that is sent, and its end is passed on.
#[test]
fn standard_input_is_sent_where_no_step_sends() {
    let listener = Listener::tcp();
    let words = ["connect", &listener.endpoint(), "--expect", "^\\+PONG", "--timeout", "20s"];
    let child = haul(words).stdin(Input::Bytes(b"PING\r\n".to_vec())).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive_all(), (b"PING\r\n".to_vec(), Ending::Eof));
    peer.send(b"+PONG\r\n");
    let ended = child.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"+PONG\n");
}

// With -d, and where standard input is the null device, no end is sent while a match is waited for.
#[test]
fn without_input_the_sending_side_stays_open() {
    for (flag, input) in [("-d", Input::Piped), ("-4", Input::Null)] {
        let listener = Listener::tcp();
        let child = haul(["connect", "-v", &listener.endpoint(), flag, "--expect", "go"]).stdin(input).spawn();
        let mut peer = listener.accept();
        child.stderr_line("haul: connected to ");
        assert!(peer.hears_nothing());
        peer.send(b"go");
        assert_eq!(peer.receive_all(), (vec![], Ending::Eof));
        child.wait().code(0);
    }
}

// The steps say what is sent: standard input is not touched then.
#[test]
fn standard_input_is_left_alone_where_a_step_sends() {
    let listener = Listener::tcp();
    let mut child = haul(["connect", &listener.endpoint(), "--send", "a", "--expect", "b"]).stdin(Input::Piped).spawn();
    child.say(b"not for the peer");
    let mut peer = listener.accept();
    peer.send(b"b");
    assert_eq!(peer.receive_all().0, b"a");
    child.wait().ok();
}

// A dialogue waits for its peer like a bridge, and goes over any endpoint.
#[test]
fn a_dialogue_waits_and_works_over_any_endpoint() {
    let home = scratch();
    let path = home.path().join("s");
    let unix = format!("unix:{}", path.display());
    let child = haul(["connect", "-v", "--wait", "20s", &unix, "--send", "hi", "--expect", "ho"]).spawn();
    child.stderr_line(&format!("haul: waiting for {}: no such file or directory", path.display()));
    let listener = Listener::unix(&path);
    let mut peer = listener.accept();
    peer.send(b"ho");
    assert_eq!(peer.receive_all().0, b"hi");
    let ended = child.wait();
    ended.code(0);
    assert_eq!(ended.stdout, b"ho\n");
    let echo = haul(["connect", "echo:", "--send", "abc", "--expect", "b"]).run();
    echo.ok();
    assert_eq!(echo.stdout, b"b\n");
}

// A program is a peer too: its status is haul's, and one that is not done with in time is ended.
#[test]
fn a_dialogue_with_a_program_ends_with_the_program() {
    let ended =
        haul(["connect", "sh:read line; echo got $line; exit 5", "--send", "abc\\n", "--expect", "^got .*$"]).run();
    ended.code(5);
    assert_eq!(ended.stdout, b"got abc\n");
    let cat = haul(["connect", "exec:cat", "--send", "x", "--expect", "x"]).run();
    cat.ok();
    let words =
        ["connect", "sh:echo $$; exec sleep 1000", "--expect", "^[0-9]+$", "--expect", "more", "--timeout", "1s"];
    let slow = haul(words).run();
    slow.code(3);
    let pid: i32 = std::str::from_utf8(&slow.stdout).unwrap().trim().parse().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the program was left behind");
}

// A pattern that does not parse: status 2, before anything is opened.
#[test]
fn a_bad_pattern_is_status_2_and_nothing_is_opened() {
    let listener = Listener::tcp();
    let ended = haul(["connect", &listener.endpoint(), "--expect", "a(b"]).run();
    ended.code(2).no_stdout();
    assert!(ended.one_error().contains("unclosed group"), "{}", ended.stderr);
    assert!(listener.was_left_alone());
}

// ^C in a dialogue: the peer learns that it was cut short, the shell that it was a signal.
#[test]
fn a_signal_resets_the_connection() {
    let listener = Listener::tcp();
    let child = haul(["connect", &listener.endpoint(), "--send", "a", "--expect", "b"]).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(1), b"a");
    child.signal(rustix::process::Signal::INT);
    child.wait().killed_by(rustix::process::Signal::INT);
    assert_eq!(peer.receive_all().1, Ending::Reset);
}

// -w limits the silence of a dialogue too.
#[test]
fn the_idle_limit_holds_in_a_dialogue() {
    let (ended, _) = against(&["-w", "300ms", "--send", "x", "--expect", "y"], |mut peer| {
        peer.receive(1);
        peer.receive_all()
    });
    ended.code(3);
}

// Limits that a dialogue would not keep are refused, not ignored.
#[test]
fn limits_that_a_dialogue_does_not_keep_are_refused() {
    for (flag, value) in [("-L", "10"), ("--max-bytes", "2")] {
        let ended = haul(["connect", "--expect", "x", flag, value, "text:x"]).run();
        ended.code(2).no_stdout();
        assert!(ended.one_error().contains(&format!("cannot use {flag} with --expect")), "{}", ended.stderr);
    }
}
