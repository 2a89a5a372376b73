//! Both roles over every chunking, the refusals one by one, and tungstenite as the other opinion.

mod handshakes;
mod oracle;
mod protocol;

use proptest::prelude::*;

use super::super::stack::Stack;
use super::*;

/// Random enough: the same every time.
pub(super) fn entropy(bytes: &mut [u8]) -> std::io::Result<()> {
    bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 + 11) as u8);
    Ok(())
}

pub(super) fn request() -> Request {
    Request { host: "host:8080".into(), path: "/chat".into(), ..Request::default() }
}

pub(super) fn client(request: &Request, manner: Manner) -> WebSocket {
    WebSocket::client(request, manner, entropy, Instant::now()).unwrap()
}

pub(super) fn server(terms: Terms, manner: Manner) -> WebSocket {
    WebSocket::server(terms, manner, Instant::now())
}

pub(super) const TEXT: Manner = Manner { text: true, strict: false, ping: None };
pub(super) const BINARY: Manner = Manner { text: false, strict: false, ping: None };

/// A stack with one end of a WebSocket, and what was read of it.
pub(super) struct Side {
    pub(super) stack: Stack,
    pub(super) read: Vec<u8>,
    pub(super) said: Vec<u8>,
    pub(super) error: Option<Error>,
}

impl Side {
    pub(super) fn new(layer: WebSocket, capacity: usize) -> Self {
        let stack = Stack::new(vec![Box::new(layer)], capacity);
        Side { stack, read: Vec::new(), said: Vec::new(), error: None }
    }

    /// Gives what came, `cut` bytes at a time, and collects what it makes of it.
    pub(super) fn hear(&mut self, mut wire: &[u8], cut: usize) {
        while !wire.is_empty() {
            let spare = self.stack.wire_spare();
            let count = wire.len().min(cut).min(spare.len());
            spare[..count].copy_from_slice(&wire[..count]);
            self.stack.wire_received(count);
            wire = &wire[count..];
            self.collect();
            if self.error.is_some() {
                break;
            }
        }
        self.collect();
    }

    pub(super) fn collect(&mut self) {
        loop {
            self.stack.decode();
            let plain = self.stack.plain();
            let more = !plain.is_empty();
            self.read.extend_from_slice(plain.filled());
            plain.clear();
            if !more {
                break;
            }
        }
        if let Some(error) = self.stack.take_failure() {
            self.error = Some(error);
        }
        self.speak();
    }

    /// Collects what it has to say.
    pub(super) fn speak(&mut self) {
        loop {
            self.stack.flush().unwrap();
            let Some(wire) = self.stack.outgoing().filter(|wire| !wire.is_empty()) else { break };
            self.said.extend_from_slice(wire.filled());
            wire.clear();
        }
    }

    /// Sends application bytes, a call for each piece.
    pub(super) fn send(&mut self, mut plain: &[u8], cut: usize) {
        while !plain.is_empty() {
            let taken = self.stack.encode(&plain[..plain.len().min(cut)]).unwrap();
            plain = &plain[taken..];
            self.speak();
        }
    }

    pub(super) fn close(&mut self) {
        self.stack.close_plain();
        self.speak();
    }

    pub(super) fn take_said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }
}

/// Both sides, their handshake done.
pub(super) fn joined(manner: Manner, capacity: usize, cut: usize) -> (Side, Side) {
    let mut client = Side::new(client(&request(), manner), capacity);
    let mut server = Side::new(server(Terms::default(), manner), capacity);
    client.speak();
    server.hear(&client.take_said(), cut);
    client.hear(&server.take_said(), cut);
    assert!(!client.stack.is_handshaking() && !server.stack.is_handshaking());
    (client, server)
}

// What is written at once is several messages where peers would not take it as one, also what passes the layer by.
#[test]
fn a_long_write_is_several_messages() {
    let (mut client, mut server) = joined(BINARY, 1 << 20, 1 << 20);
    let plain: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    client.send(&plain, plain.len());
    let said = client.take_said();
    assert_eq!(said.len(), plain.len() + 7 * (2 + 2 + 4));
    server.hear(&said, said.len());
    assert_eq!(server.read, plain);
    let mut said = Vec::new();
    let mut rest = &plain[..];
    while let (before, most @ 1..) = server.stack.raw_out(rest.into()) {
        assert!(most <= 16 << 10, "{most} bytes are one message");
        said.extend_from_slice(before.filled());
        before.clear();
        server.stack.passed_out(&rest[..most]);
        said.extend_from_slice(&rest[..most]);
        rest = &rest[most..];
    }
    server.send(rest, rest.len().max(1));
    said.extend(server.take_said());
    assert_eq!(said.len(), plain.len() + 7 * (2 + 2));
    client.hear(&said, said.len());
    assert_eq!(client.read, plain);
}

fn exchanged(manner: Manner, capacity: usize, cut: usize, piece: usize, plain: &[u8]) -> [Vec<u8>; 2] {
    let (mut client, mut server) = joined(manner, capacity, cut);
    client.send(plain, piece);
    server.send(plain, piece);
    client.close();
    assert!(!client.stack.is_closed(), "the peer has not answered");
    let (from_client, from_server) = (client.take_said(), server.take_said());
    server.hear(&from_client, cut);
    client.hear(&from_server, cut);
    assert!(server.stack.is_plain_ended());
    server.close();
    client.hear(&server.take_said(), cut);
    assert!(client.stack.is_plain_ended() && client.stack.is_closed());
    assert!(server.stack.is_closed());
    for side in [&mut client, &mut server] {
        side.stack.wire_ended();
        side.collect();
        assert!(side.error.is_none(), "{:?}", side.error);
    }
    [client.read, server.read]
}

proptest! {
    #[test]
    fn every_chunking_gives_the_same_bytes_both_ways(
        plain in proptest::collection::vec(any::<u8>(), 0..1500),
        capacity in LEAST_BUFFER..700,
        cut in 1usize..100,
        piece in 1usize..900,
    ) {
        for read in exchanged(BINARY, capacity, cut, piece, &plain) {
            prop_assert_eq!(&read, &plain);
        }
    }

    #[test]
    fn lines_of_text_come_as_lines(
        lines in proptest::collection::vec("[^\n]{0,120}", 0..20),
        capacity in LEAST_BUFFER..500,
        cut in 1usize..100,
        piece in 1usize..400,
    ) {
        let plain: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for read in exchanged(TEXT, capacity, cut, piece, plain.as_bytes()) {
            prop_assert_eq!(&*read, plain.as_bytes());
        }
    }
}

/// What goes past the buffers of the stack is the same as what goes through them.
#[test]
fn payload_passes_the_layer_by_where_it_may() {
    let (mut client, mut server) = joined(BINARY, 8192, 1000);
    let plain: Vec<u8> = (0..10_000).map(|i| (i % 251) as u8).collect();
    let (before, most) = server.stack.raw_out(plain[..].into());
    assert_eq!(most, plain.len());
    let mut wire = before.filled().to_vec();
    before.clear();
    assert_eq!(wire.len(), 4);
    server.stack.passed_out(&plain[..6000]);
    assert_eq!(server.stack.encode(&plain[6000..]).unwrap(), 4000);
    server.speak();
    wire.extend_from_slice(&plain[..6000]);
    wire.extend(server.take_said());
    client.hear(&wire[..100], 100);
    assert_eq!(client.stack.raw_in(), plain.len() - 96);
    client.stack.passed_in(wire[100..9000].into(), &[]);
    client.read.extend_from_slice(&wire[100..9000]);
    client.hear(&wire[9000..], 700);
    assert!(client.read == plain && client.stack.raw_in() == 0);
    // what is masked passes nobody by
    assert_eq!(client.stack.raw_out(plain[..].into()).1, 0);
    client.send(&plain[..100], 100);
    server.hear(&client.take_said(), 50);
    assert_eq!(server.stack.raw_in(), 0);
}

/// A message is never kept: its payload is given as it comes, whatever its length.
#[test]
fn the_longest_message_is_streamed() {
    let (_, mut server) = joined(BINARY, 300, 1000);
    server.hear(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 3);
    for _ in 0..100 {
        server.hear(&[7; 1000], 300);
    }
    assert_eq!(server.read, vec![7; 100_000]);
    server.stack.wire_ended();
    server.collect();
    let error = server.error.unwrap();
    assert_eq!(error.line(), "receiving failed after 97.7 KiB: stream cut short: the peer ended within a message");
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let second = Duration::from_secs(1);
    let manner = Manner { ping: Some(second), ..BINARY };
    let (mut client, mut server) = joined(manner, 300, 1000);
    let mut now = Instant::now();
    let mut tick = |side: &mut Side| {
        now = now.max(side.stack.deadline().unwrap()) + Duration::from_millis(1);
        side.stack.tick(now);
        side.collect();
    };
    tick(&mut client);
    let ping = client.take_said();
    assert_eq!(ping[0], 0x89);
    server.hear(&ping, 1);
    let pong = server.take_said();
    assert_eq!(pong, [0x8a, 0]);
    // a pong alone leaves it silent
    client.hear(&pong, 1);
    tick(&mut client);
    assert_eq!(client.take_said()[0], 0x89);
    server.send(b"data", 4);
    client.hear(&server.take_said(), 1);
    tick(&mut client);
    assert!(client.take_said().is_empty() && client.error.is_none());
    tick(&mut client);
    assert!(!client.take_said().is_empty());
    tick(&mut client);
    let error = client.error.unwrap();
    assert_eq!(error.line(), "receiving failed after 4 B: the peer did not answer a ping within 1s");
    assert_eq!(error.status(), ExitStatus::TimeLimit);
}

#[test]
fn a_close_that_nobody_answers_is_the_end_after_five_seconds() {
    let (mut client, _) = joined(BINARY, 300, 1000);
    client.close();
    let now = Instant::now();
    assert!(client.stack.deadline().unwrap() <= now, "the time is asked for at once");
    client.stack.tick(now);
    assert_eq!(client.stack.deadline(), Some(now + PATIENCE));
    client.stack.tick(now + PATIENCE);
    assert!(client.stack.is_plain_ended() && client.stack.is_closed());
    assert_eq!(client.stack.deadline(), None);
}

// Nothing goes behind our Close, so no ping can be answered: the limit for the answer to it is the only one.
#[test]
fn behind_a_close_nobody_is_pinged() {
    let (mut client, _) = joined(Manner { ping: Some(Duration::from_secs(1)), ..BINARY }, 300, 1000);
    client.close();
    let now = Instant::now();
    client.stack.tick(now);
    for second in 1..5 {
        client.stack.tick(now + Duration::from_secs(second));
        client.collect();
    }
    assert!(client.error.is_none());
    assert_eq!(client.stack.deadline(), Some(now + PATIENCE));
}

// What is cut short must not pass for the whole.
#[test]
fn a_message_that_is_not_whole_when_the_time_for_the_answer_is_over_is_a_failure() {
    for begun in [&b"\x82\x0ahello"[..], b"\x02\x05hello", b"\x82"] {
        let (mut client, _) = joined(BINARY, 300, 1000);
        client.close();
        let now = Instant::now();
        client.stack.tick(now);
        client.hear(begun, 100);
        client.stack.tick(now + PATIENCE);
        assert_eq!(client.stack.deadline(), None);
        client.collect();
        let error = client.error.unwrap();
        let why = "stream cut short: 5s after our Close the peer was within a message";
        assert!(error.line().ends_with(why) && error.status() == ExitStatus::Network, "{}", error.line());
        assert_eq!(error.into_io().unwrap().kind(), ErrorKind::UnexpectedEof, "a cut");
    }
}
