//! The same conversation with tungstenite at the other end, in both roles.

use std::io::{self, Cursor, Read, Write};

use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket as Oracle};

use super::*;

/// What the oracle reads, and what it wrote.
struct Wire {
    from: Cursor<Vec<u8>>,
    to: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn oracle(role: Role, from: Vec<u8>) -> Oracle<Wire> {
    Oracle::from_raw_socket(Wire { from: Cursor::new(from), to: Vec::new() }, role, Some(WebSocketConfig::default()))
}

/// Everything that the oracle makes of these bytes: payload, kinds, and whether a Close was among it.
fn read_by(role: Role, wire: Vec<u8>) -> (Vec<Message>, bool) {
    let mut oracle = oracle(role, wire);
    let (mut messages, mut closed) = (Vec::new(), false);
    loop {
        match oracle.read() {
            Ok(Message::Close(_)) => closed = true,
            Ok(message) => messages.push(message),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(tungstenite::Error::ConnectionClosed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    (messages, closed)
}

/// What one of ours is told, in parts with pings between them, by an oracle in this role.
fn written_by(role: Role, parts: &[Vec<u8>], text: bool) -> Vec<u8> {
    let mut oracle = oracle(role, Vec::new());
    for (i, part) in parts.iter().enumerate() {
        let data = match (i, text) {
            (0, true) => Data::Text,
            (0, false) => Data::Binary,
            _ => Data::Continue,
        };
        oracle.write(Message::Frame(Frame::message(part.clone(), OpCode::Data(data), i + 1 == parts.len()))).unwrap();
        oracle.write(Message::Ping(vec![i as u8].into())).unwrap();
    }
    oracle.close(None).unwrap();
    oracle.flush().unwrap();
    oracle.get_ref().to.clone()
}

fn pair(manner: Manner, capacity: usize, cut: usize) -> [(Role, Side); 2] {
    let (client, server) = joined(manner, capacity, cut);
    [(Role::Server, client), (Role::Client, server)]
}

proptest! {
    #[test]
    fn the_oracle_reads_what_we_write(
        plain in proptest::collection::vec(any::<u8>(), 0..3000),
        capacity in LEAST_BUFFER..2000,
        piece in 1usize..3000,
    ) {
        for (role, mut ours) in pair(BINARY, capacity, 1000) {
            ours.send(&plain, piece);
            ours.close();
            let (messages, closed) = read_by(role, ours.take_said());
            let read: Vec<u8> = messages.into_iter().flat_map(|message| {
                assert!(message.is_binary());
                message.into_data()
            }).collect();
            prop_assert!(closed);
            prop_assert_eq!(&read, &plain);
        }
    }

    #[test]
    fn the_oracle_reads_our_lines_as_messages(
        lines in proptest::collection::vec("[^\n]{0,200}", 1..10),
        capacity in LEAST_BUFFER..500,
        piece in 1usize..600,
    ) {
        for (role, mut ours) in pair(TEXT, capacity, 1000) {
            ours.send((lines.join("\n") + "\n").as_bytes(), piece);
            ours.close();
            let (messages, _) = read_by(role, ours.take_said());
            let read: Vec<String> = messages.into_iter().map(|message| message.to_text().unwrap().into()).collect();
            prop_assert_eq!(&read, &lines);
        }
    }

    #[test]
    fn we_read_every_fragmentation_of_the_oracle(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8),
        capacity in LEAST_BUFFER..500,
        cut in 1usize..600,
    ) {
        for (role, mut ours) in pair(BINARY, capacity, 1000) {
            ours.hear(&written_by(role, &parts, false), cut);
            prop_assert!(ours.error.is_none() && ours.stack.is_plain_ended());
            prop_assert_eq!(&ours.read, &parts.concat());
            ours.close();
            let (answers, closed) = read_by(role, ours.take_said());
            prop_assert!(closed && answers.iter().all(Message::is_pong));
        }
    }

    #[test]
    fn we_read_text_that_is_cut_within_its_characters(
        text in "[^\n]{0,300}",
        length in 1usize..40,
        cut in 1usize..50,
    ) {
        let parts: Vec<Vec<u8>> = match text.is_empty() {
            true => vec![Vec::new()],
            false => text.as_bytes().chunks(length).map(<[u8]>::to_vec).collect(),
        };
        for (role, mut ours) in pair(TEXT, 200, 1000) {
            ours.hear(&written_by(role, &parts, true), cut);
            prop_assert!(ours.error.is_none(), "{:?}", ours.error);
            let line = format!("{text}\n");
            prop_assert_eq!(&*ours.read, line.as_bytes());
        }
    }

    #[test]
    fn headers_are_those_of_the_oracle(length in prop_oneof![0u64..70_000, 0u64..=i64::MAX as u64], key in any::<[u8; 4]>()) {
        let mut theirs = Vec::new();
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), mask: Some(key), ..FrameHeader::default() };
        header.format(length, &mut theirs).unwrap();
        let ours = frame::Header { last: true, opcode: frame::Opcode::Binary, length, key: Some(key) };
        let written = ours.write();
        prop_assert_eq!(written.bytes(), &*theirs);
    }
}

/// The oracle's own handshake, both ways round.
#[test]
fn the_oracle_shakes_hands() {
    let mut ours = Side::new(server(Terms { subprotocols: vec!["x".into()], ..Terms::default() }, BINARY), 300);
    let request = http_request();
    let asked = tungstenite::client(request, Wire { from: Cursor::new(Vec::new()), to: Vec::new() });
    let Err(tungstenite::HandshakeError::Interrupted(mut waiting)) = asked else { panic!("no answer was there") };
    ours.hear(&waiting.get_ref().get_ref().to, 9);
    waiting.get_mut().get_mut().from = Cursor::new(ours.take_said());
    let (_, response) = waiting.handshake().unwrap();
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "x");

    let mut ours = Side::new(client(&request_of_ours(), BINARY), 300);
    ours.speak();
    let accepted = tungstenite::accept(Wire { from: Cursor::new(ours.take_said()), to: Vec::new() }).unwrap();
    ours.hear(&accepted.get_ref().to, 9);
    assert!(ours.error.is_none() && !ours.stack.is_handshaking());
}

fn request_of_ours() -> Request {
    super::request()
}

fn http_request() -> tungstenite::handshake::client::Request {
    use tungstenite::client::IntoClientRequest;
    let mut request = "ws://127.0.0.1:1/chat".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "x, y".parse().unwrap());
    request
}
