//! Many clients of one WebSocket listener, in text mode: each message stays whole, and no client hurts another.

use rustix::process::Signal;

use crate::harness::{Input, Peer, Running, haul};
use crate::websocket::head;
use crate::websocket_bad::ask;

/// A listener of text, and clients of it that have got its banner.
#[track_caller]
fn chat(share: &str, count: usize) -> (Running, Vec<Peer>) {
    let words = ["listen", "-k", share, "--text", "--banner", "hi\\n", "ws:127.0.0.1:0"];
    let listener = haul(words).stdin(Input::Piped).spawn();
    let clients = (0..count).map(|_| client(&listener)).collect();
    (listener, clients)
}

#[track_caller]
fn client(listener: &Running) -> Peer {
    let (peer, greeting) = greeted(listener);
    assert_eq!(greeting, (0x81, b"hi".to_vec()));
    peer
}

/// A client, and the banner that it has got.
#[track_caller]
fn greeted(listener: &Running) -> (Peer, (u8, Vec<u8>)) {
    let mut peer = Peer::connect(listener.address());
    peer.send(ask("/").as_bytes());
    assert!(head(&mut peer).starts_with("HTTP/1.1 101 "));
    let greeting = frame(&mut peer);
    (peer, greeting)
}

/// Sends frames, and waits until they were read.
#[track_caller]
fn say(peer: &mut Peer, frames: &[(u8, &[u8])]) {
    for (first, payload) in frames.iter().chain(&[(0x89, &b"read?"[..])]) {
        peer.send(&masked(*first, payload));
    }
    assert_eq!(frame(peer), (0x8a, b"read?".to_vec()));
}

/// A frame as a client sends it; with this key it is what it was.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..=125 => vec![0x80 | short as u8],
        long => [vec![0x80 | 127], (long as u64).to_be_bytes().to_vec()].concat(),
    };
    [&[first][..], &length, &[0; 4], payload].concat()
}

/// The next frame of the listener: its first byte and its payload.
#[track_caller]
fn frame(peer: &mut Peer) -> (u8, Vec<u8>) {
    let start = peer.receive(2);
    let length = match start[1] {
        126 => u16::from_be_bytes(peer.receive(2).try_into().unwrap()) as usize,
        short => short as usize,
    };
    (start[0], peer.receive(length))
}

/// The next message of the listener, put together.
#[track_caller]
fn message(peer: &mut Peer) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let (first, payload) = frame(peer);
        assert!(whole.is_empty() == (first & 0xf == 1), "a message within another");
        whole.extend(payload);
        if first & 0x80 != 0 {
            return whole;
        }
    }
}

#[track_caller]
fn stop(listener: Running) {
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

// The parts of a message that come slowly are not mixed with what others say meanwhile.
#[test]
fn messages_of_a_chat_stay_whole_whoever_speaks_meanwhile() {
    let (listener, mut clients) = chat("--broker", 3);
    say(&mut clients[0], &[(0x01, b"in ")]);
    say(&mut clients[1], &[(0x81, b"between")]);
    assert_eq!(message(&mut clients[2]), b"between");
    assert_eq!(message(&mut clients[0]), b"between");
    say(&mut clients[0], &[(0x80, b"parts")]);
    assert_eq!(message(&mut clients[2]), b"in parts");
    assert_eq!(message(&mut clients[1]), b"in parts");
    stop(listener);
}

// What is no text, or no whole message, reaches nobody; a message that is too long to wait for comes as several.
#[test]
fn a_chat_passes_nothing_on_that_would_break_the_others() {
    let (listener, mut clients) = chat("--broker", 2);
    for (frames, code) in [
        (&[(0x81, &b"a\xe2\x28"[..])][..], &b"\x03\xef"[..]),
        (&[(0x82, b"\xff")], b"\x03\xeb"),
        (&[(0x01, b"\xe2\x82"), (0x88, b"\x03\xe8")], b"\x03\xe8"),
    ] {
        let mut bad = client(&listener);
        frames.iter().for_each(|(first, payload)| bad.send(&masked(*first, payload)));
        let (first, payload) = frame(&mut bad);
        assert_eq!((first, &payload[..2]), (0x88, code));
        bad.receive_all();
    }
    let long = "\u{20ac}".repeat(40_000);
    say(&mut clients[0], &[(0x81, long.as_bytes()), (0x81, b"after")]);
    let parts: Vec<_> = (0..2).map(|_| String::from_utf8(message(&mut clients[1])).unwrap()).collect();
    assert!(parts.concat() == long);
    assert_eq!(message(&mut clients[1]), b"after");
    stop(listener);
}

// Messages of bytes are a stream: what has come is passed on, whoever comes between two parts of a message, and what
// others get is always a message of its own.
#[test]
fn parts_of_messages_of_bytes_are_passed_on_as_they_come() {
    let listener = haul(["listen", "-k", "--broker", "--banner", "hi", "ws:127.0.0.1:0"]).spawn();
    let mut clients = [0; 3].map(|_| greeted(&listener).0);
    for (speaker, others, first, part) in
        [(0, [1, 2], 0x02, b"first"), (1, [0, 2], 0x82, b"other"), (0, [1, 2], 0x80, b"third")]
    {
        say(&mut clients[speaker], &[(first, part)]);
        for other in others {
            assert_eq!(frame(&mut clients[other]), (0x82, part.to_vec()));
        }
    }
    stop(listener);
}

// Whoever comes in the midst of a line, or of a character, gets what follows the line.
#[test]
fn a_client_that_comes_within_a_line_gets_the_next_one() {
    let (mut listener, mut clients) = chat("--fan-out", 1);
    listener.say(b"first \xe2\x82");
    assert_eq!(frame(&mut clients[0]), (0x01, b"first \xe2\x82".to_vec()));
    clients.push(client(&listener));
    listener.say(b"\xac\nsecond\n");
    assert_eq!(frame(&mut clients[0]), (0x80, b"\xac".to_vec()));
    for client in &mut clients {
        assert_eq!(message(client), b"second");
    }
    stop(listener);
}
