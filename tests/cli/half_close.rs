//! cli.md, end of file and closing: what an end in one direction does to the other.

use std::io::Write;
use std::os::fd::OwnedFd;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Net, Role, Way, file_with, open, scratch};

// The end of stdin is a FIN at once, and a late answer is still received whole.
fn an_answer_arrives_after_stdin_has_ended(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    let answer = bytes(11, 300_000);
    haul.say(b"question");
    haul.end_stdin();
    let (question, ending) = peer.receive_all();
    assert_same("the question", &question, b"question");
    assert_eq!(ending, Ending::Eof);
    peer.send(&answer);
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("the answer", &haul.stdout, &answer);
}
both_ways!(an_answer_arrives_after_stdin_has_ended);

// The end of a file on stdin is a FIN as well.
fn the_end_of_a_file_is_passed_on(way: Way) {
    let home = scratch();
    let content = bytes(12, 100_001);
    let file = open(&file_with(home.path(), "in", &content));
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(file)));
    let (got, ending) = peer.receive_all();
    assert_same("the file", &got, &content);
    assert_eq!(ending, Ending::Eof);
    peer.send(b"late");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("the answer", &haul.stdout, b"late");
}
both_ways!(the_end_of_a_file_is_passed_on);

// -q T: that long after stdin's end haul is done, though the peer is not.
fn quit_after_ends_the_wait_for_a_silent_peer(way: Way) {
    let (mut haul, mut peer) = way.join(&["-q", "0.2"]);
    peer.send(b"early");
    haul.stdout_reaches(5);
    haul.say(b"bye");
    haul.end_stdin();
    assert_same("what was sent", &peer.receive_all().0, b"bye");
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received", &haul.stdout, b"early");
}
both_ways!(quit_after_ends_the_wait_for_a_silent_peer);

// -q starts at the end of stdin and not before.
fn quit_after_does_not_count_before_stdin_ends(way: Way) {
    let (mut haul, mut peer) = way.join(&["-q", "0ms"]);
    for turn in 0..20 {
        haul.say(&[turn]);
        assert_eq!(peer.receive(1), [turn]);
    }
    haul.end_stdin();
    haul.wait().ok();
}
both_ways!(quit_after_does_not_count_before_stdin_ends);

// --no-shutdown: the end of stdin is kept to ourselves, receiving goes on, the peer's end is the end.
fn no_shutdown_holds_the_fin_back(way: Way) {
    let (mut haul, mut peer) = way.join(&["--no-shutdown"]);
    haul.say(b"question");
    haul.end_stdin();
    assert_eq!(peer.receive(8), b"question");
    for turn in 1..=20 {
        peer.send(b"x");
        haul.stdout_reaches(turn);
        assert!(peer.hears_nothing(), "the end of stdin was passed on");
    }
    peer.finish();
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, [b'x'; 20]);
}
both_ways!(no_shutdown_holds_the_fin_back);

// --send-only: what the peer sends is discarded, haul ends when all it sent is acknowledged, the peer need not end.
fn send_only_discards_what_comes_and_ends_alone(way: Way) {
    let content = bytes(13, 1 << 20);
    let (haul, mut peer) = way.join_with(&["--send-only"], |haul| haul.stdin(Input::Bytes(content.clone())));
    peer.send(b"not wanted");
    let (got, ending) = peer.receive_all();
    assert_same("what was sent", &got, &content);
    assert_eq!(ending, Ending::Eof);
    haul.wait().ok().no_stdout();
}
both_ways!(send_only_discards_what_comes_and_ends_alone);

// --send-only goes on sending when the peer has nothing (more) to say.
fn send_only_is_not_ended_by_the_peers_end(way: Way) {
    let (mut haul, mut peer) = way.join(&["--send-only"]);
    peer.finish();
    haul.say(b"one");
    assert_eq!(peer.receive(3), b"one");
    haul.say(b"two");
    haul.end_stdin();
    assert_same("what was sent", &peer.receive_all().0, b"two");
    haul.wait().ok();
}
both_ways!(send_only_is_not_ended_by_the_peers_end);

// --recv-only: FIN at once though stdin is open, and the peer's end is haul's.
fn recv_only_sends_fin_at_once_and_ends_with_the_peer(way: Way) {
    let (mut haul, mut peer) = way.join(&["--recv-only"]);
    let _ = haul.stdin.as_mut().unwrap().write_all(b"not to be sent");
    let (got, ending) = peer.receive_all();
    assert_same("what was sent", &got, b"");
    assert_eq!(ending, Ending::Eof);
    let content = bytes(14, 300_000);
    peer.send(&content);
    drop(peer);
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    haul.ok();
    assert_same("what was received", &haul.stdout, &content);
}
both_ways!(recv_only_sends_fin_at_once_and_ends_with_the_peer);

// The null device on stdin: nothing to send, FIN at once, receiving goes on.
fn a_null_stdin_is_an_end_from_the_start(way: Way) {
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Null));
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    let content = bytes(15, 100_000);
    peer.send(&content);
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received", &haul.stdout, &content);
}
both_ways!(a_null_stdin_is_an_end_from_the_start);

// A closed stdin is the same, and its number is not given to a socket.
fn a_closed_stdin_is_an_end_from_the_start(way: Way) {
    let (haul, mut peer) = way.join_with(&[], |haul| haul.after("exec 0<&-"));
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    let content = bytes(16, 100_000);
    peer.send(&content);
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received", &haul.stdout, &content);
}
both_ways!(a_closed_stdin_is_an_end_from_the_start);

// -d: nothing is sent, no FIN either, stdin is left alone, and haul ends with the peer.
fn no_stdin_sends_neither_bytes_nor_fin(way: Way) {
    let home = scratch();
    let file = open(&file_with(home.path(), "in", b"not to be sent"));
    let mut kept = std::fs::File::from(file.try_clone().unwrap());
    let (haul, mut peer) = way.join_with(&["-d"], |haul| haul.stdin(Input::Fd(file)));
    for turn in 1..=20 {
        peer.send(b"x");
        haul.stdout_reaches(turn);
        assert!(peer.hears_nothing(), "something was sent");
    }
    peer.finish();
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, [b'x'; 20]);
    let offset = std::io::Seek::stream_position(&mut kept).unwrap();
    assert_eq!(offset, 0, "stdin was read");
}
both_ways!(no_stdin_sends_neither_bytes_nor_fin);

// -d with the null device: no FIN either (`haul connect -d` against a listener that stops at the first FIN).
fn no_stdin_with_a_null_stdin_sends_no_fin(way: Way) {
    let (haul, mut peer) = way.join_with(&["-d"], |haul| haul.stdin(Input::Null));
    for turn in 1..=20 {
        peer.send(b"x");
        haul.stdout_reaches(turn);
        assert!(peer.hears_nothing(), "something was sent");
    }
    drop(peer);
    haul.wait().ok();
}
both_ways!(no_stdin_with_a_null_stdin_sends_no_fin);

// The peer ends: stdout is closed at once, and stdin goes on being sent to its own end.
fn stdin_goes_on_after_the_peer_has_ended(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    peer.send(b"all there is");
    peer.finish();
    assert_same("stdout, closed early", &haul.stdout_end(), b"all there is");
    let late = bytes(17, 300_000);
    haul.say(b"still here");
    assert_eq!(peer.receive(10), b"still here");
    haul.feed(late.clone());
    let (got, ending) = peer.receive_all();
    assert_same("what was sent late", &got, &late);
    assert_eq!(ending, Ending::Eof);
    haul.wait().ok();
}
both_ways!(stdin_goes_on_after_the_peer_has_ended);

// A socket on stdout is shut down when the peer has ended, so that its reader learns of it.
fn a_socket_on_stdout_is_shut_down_when_the_peer_has_ended(way: Way) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let out = crate::harness::Sink::Fd(OwnedFd::from(theirs));
    let (mut haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Piped).stdout(out));
    peer.send(b"all");
    peer.finish();
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut &ours, &mut got).unwrap();
    assert_same("stdout", &got, b"all");
    haul.say(b"late");
    assert_eq!(peer.receive(4), b"late");
    haul.end_stdin();
    haul.wait().ok();
}
both_ways!(a_socket_on_stdout_is_shut_down_when_the_peer_has_ended);

// --after-peer-eof exit: the peer's end is haul's, whatever stdin may still say.
fn after_peer_eof_exit_ends_with_an_open_stdin(way: Way) {
    let (mut haul, mut peer) = way.join(&["--after-peer-eof", "exit"]);
    haul.say(b"sent before");
    assert_eq!(peer.receive(11), b"sent before");
    peer.send(b"all");
    peer.finish();
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    haul.ok();
    assert_same("what was received", &haul.stdout, b"all");
}
both_ways!(after_peer_eof_exit_ends_with_an_open_stdin);

// --after-peer-eof exit cuts stdin short: the peer is told by a reset, since a FIN would say that stdin had ended.
fn after_peer_eof_exit_tells_the_peer_that_more_was_there(way: Way) {
    let (mut haul, mut peer) = way.join(&["--after-peer-eof", "exit"]);
    haul.say(b"half");
    assert_eq!(peer.receive(4), b"half");
    peer.finish();
    let (rest, ending) = peer.receive_all();
    assert_eq!((rest.as_slice(), ending), (&b""[..], Ending::Reset));
    haul.wait().ok();
}
both_ways_over_tcp!(after_peer_eof_exit_tells_the_peer_that_more_was_there);

// A Unix peer that stops reading but stays: what it sent before is written out, then status 1 without waiting for it.
#[test]
fn a_unix_peer_that_only_stops_reading_is_left() {
    for role in [Role::Listens, Role::Connects] {
        let way = Way { role, net: Net::Unix };
        let (mut haul, mut peer) = way.join(&[]);
        peer.send(b"before");
        assert_eq!(haul.stdout_reaches(6), b"before");
        peer.stop_reading();
        haul.say(b"nobody wants this");
        let haul = haul.wait();
        haul.code(1);
        assert_eq!(haul.stdout, b"before");
    }
}

// What a file on stdin still holds is sent after the peer's end: a big file against a peer that says nothing.
fn a_file_is_sent_to_its_end_after_the_peer_has_ended(way: Way) {
    let home = scratch();
    let content = bytes(18, (5 << 20) + 3);
    let file = open(&file_with(home.path(), "in", &content));
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(file)));
    peer.finish();
    assert_eq!(haul.stdout_end(), b"");
    let (got, ending) = peer.receive_all();
    assert_same("the file", &got, &content);
    assert_eq!(ending, Ending::Eof);
    haul.wait().ok();
}
both_ways!(a_file_is_sent_to_its_end_after_the_peer_has_ended);
