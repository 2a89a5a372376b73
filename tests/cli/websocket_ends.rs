//! What the end of a WebSocket means to whoever has no more to say, or wants nothing of what the peer says.

use rustix::process::Signal;

use crate::data::bytes;
use crate::harness::{Ending, Input, Listener, Peer, Running, haul};
use crate::websocket::{accept, head, listening, unmasked};
use crate::websocket_bad::ask;

/// Ways of sending `x` that take nothing of what the peer says: the words behind `connect` or `pipe`, and an input.
const SENDERS: [(&[&str], &[&str]); 3] =
    [(&["connect", "--send-only"], &[]), (&["pipe", "-"], &[]), (&["connect"], &["--", "printf", "x"])];

/// A sender, and its peer after the Close that follows the `x`.
#[track_caller]
fn sent((words, program): (&[&str], &[&str])) -> (Running, Peer) {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let words = [words, &[&*url], program].concat();
    let sender = haul(words).stdin(Input::Bytes(b"x".to_vec())).spawn();
    let mut peer = accept(&listener);
    assert_eq!(unmasked(&mut peer), (0x82, b"x".to_vec()));
    assert_eq!(unmasked(&mut peer), (0x88, vec![3, 0xe8]));
    (sender, peer)
}

// A peer that says that it could not take what it got is heeded, also where nothing else of what it says is wanted.
#[test]
fn a_failure_that_the_peer_tells_is_one_for_whoever_only_sends() {
    for sender in SENDERS {
        for (frames, why) in [
            (
                &b"\x82\x03ok\n\x88\x0b\x03\xf3disk full"[..],
                "closed the WebSocket with code 1011 (internal error): \"disk full\"",
            ),
            (b"\xf2\x01x", "broke the protocol of WebSocket: a reserved bit is set"),
        ] {
            let (sender, mut peer) = sent(sender);
            peer.send(frames);
            let (said, ending) = peer.receive_all();
            // both have said Close, unless it was the protocol that the peer broke
            assert!(said.is_empty() && (ending == Ending::Eof || frames[0] == 0xf2), "{ending:?}");
            let ended = sender.wait();
            ended.code(1);
            assert!(ended.one_error().ends_with(why), "{}", ended.one_error());
        }
    }
}

// What nobody wants cannot be cut short: a message that is not whole, and an end without a Close, are no loss.
#[test]
fn how_what_is_dropped_ends_is_no_loss_for_whoever_only_sends() {
    for sender in SENDERS {
        for frames in [&b"\x02\x04part\x88\x02\x03\xe8"[..], b"\x82\x0apart", b""] {
            let (sender, mut peer) = sent(sender);
            peer.send(frames);
            peer.finish();
            sender.wait().ok();
        }
    }
}

// In a dialogue, too, what the peer says of its failure is told rather than that nothing can be sent any more.
#[test]
fn a_dialogue_tells_why_the_peer_has_closed() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let words = ["connect", "--send", "a", "--expect", "b", "--send", "c", "--expect", "d", &url];
    let connector = haul(words).stdin(Input::Null).spawn();
    let mut peer = accept(&listener);
    assert_eq!(unmasked(&mut peer), (0x82, b"a".to_vec()));
    peer.send(b"\x82\x02b\n\x88\x02\x03\xf3");
    let ended = connector.wait();
    ended.code(1);
    let why = "the peer closed the WebSocket with code 1011 (internal error)";
    assert!(ended.one_error().ends_with(why), "{}", ended.one_error());
}

// Under receipts nothing waits for a way that has ended, the Close is answered, and the stream counts as cut short.
#[test]
fn a_close_that_is_a_failure_ends_a_verified_stream_at_once() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let words = ["connect", "--verify", "--linger", "1h", &url];
    let connector = haul(words).stdin(Input::Bytes(b"x".to_vec())).spawn();
    let mut peer = accept(&listener);
    assert_eq!(unmasked(&mut peer).0, 0x82, "the greeting");
    peer.send(b"\x88\x02\x03\xf3");
    assert_eq!(unmasked(&mut peer), (0x88, vec![3, 0xf3]));
    let ended = connector.wait();
    ended.code(4);
    let why = "stream cut short: the peer closed the WebSocket with code 1011 (internal error)";
    assert!(ended.one_error().ends_with(why), "{}", ended.one_error());
}

// A Close that tells of a failure is the last word: the connection then ends cleanly (RFC 6455, 7.1.1), and browsers take
// it for closed rather than lost.
#[test]
fn a_connection_whose_failure_is_told_in_a_close_is_not_reset() {
    let listener = listening(&["-k", "--", "cat"]);
    for (frames, code) in [(&b"\x82\x01x"[..], b"\x03\xea"), (b"\x88\x82\0\0\0\0\x0f\xa1", b"\x0f\xa1")] {
        let mut peer = Peer::connect(listener.address());
        peer.send(ask("/").as_bytes());
        assert!(head(&mut peer).starts_with("HTTP/1.1 101 "));
        peer.send(frames);
        let (said, ending) = peer.receive_all();
        assert_eq!((said[0], &said[2..4], ending), (0x88, &code[..], Ending::Eof));
    }
    listener.signal(Signal::TERM);
    listener.wait().ok();

    for words in [&["connect"][..], &["connect", "--send-only"], &["pipe", "--buffer", "64Ki", "-"]] {
        let listener = Listener::tcp();
        let url = format!("ws://{}/", listener.address());
        let connector = haul(words.iter().chain(&[&*url])).stdin(Input::Piped).spawn();
        let mut peer = accept(&listener);
        peer.send(b"\x88\x02\x0f\xa1");
        assert_eq!(unmasked(&mut peer), (0x88, vec![0x0f, 0xa1]));
        assert_eq!(peer.receive_all(), (vec![], Ending::Eof));
        connector.wait().code(1);
    }
}

// Nobody waits for a peer to take the rest that does not even answer a ping.
#[test]
fn a_peer_that_takes_nothing_and_answers_no_ping_is_given_up() {
    for words in [&["connect"][..], &["connect", "--send-only"], &["pipe", "-"]] {
        let listener = Listener::tcp();
        let url = format!("ws://{}/", listener.address());
        let words = [words, &["--ping", "0.3", &url]].concat();
        let sender = haul(words).stdin(Input::Bytes(bytes(1, 40 << 20))).spawn();
        let _peer = accept(&listener);
        let ended = sender.wait();
        ended.code(3);
        assert!(ended.one_error().ends_with("the peer did not answer a ping within 300ms"), "{}", ended.one_error());
    }
}
