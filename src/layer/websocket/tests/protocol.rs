//! What a peer says that breaks the protocol, or ends it.

use super::*;

/// What a server makes of the frames of a client, whose key is 0 and so does nothing.
fn heard(manner: Manner, wire: &[u8], cut: usize) -> Side {
    let (_, mut server) = joined(manner, 400, 1000);
    server.hear(wire, cut);
    server
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

fn frames(parts: &[(u8, &[u8])]) -> Vec<u8> {
    parts.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

#[test]
fn what_breaks_the_protocol_is_answered_with_its_code() {
    let long = [b'x'; 200];
    let control = [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &long].concat();
    for (wire, code, why) in [
        (vec![0x82, 0x01, b'x'], 1002, "a frame of a client that is not masked"),
        (frame(0xa2, b""), 1002, "a reserved bit is set"),
        (frame(0x83, b""), 1002, "an unknown kind of frame"),
        (frame(0x80, b"x"), 1002, "a continuation of nothing"),
        (frames(&[(0x02, b"x"), (0x82, b"y")]), 1002, "a message within another"),
        (frame(0x09, b""), 1002, "a control frame in parts"),
        (control, 1002, "a control frame of more than 125 bytes"),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002, "a length of 2^63 or more"),
        (frame(0x88, b"\x03"), 1002, "a Close with half a code"),
        (frame(0x88, b"\x03\xed"), 1002, "a Close with a code that there is not"),
        (frame(0x88, b"\x03\xe8\xff"), 1007, "text that is no UTF-8"),
        (frame(0x81, b"\xff"), 1007, "text that is no UTF-8"),
        (frame(0x81, b"\xe2\x82"), 1007, "text that is no UTF-8"),
        (frames(&[(0x01, b"\xe2"), (0x80, b"x")]), 1007, "text that is no UTF-8"),
    ] {
        for cut in [1, 3, 1000] {
            let mut server = heard(BINARY, &wire, cut);
            let error = server.error.take().unwrap();
            assert!(error.line().ends_with(&format!("the peer broke the protocol of WebSocket: {why}")), "{error}");
            assert_eq!(error.status(), ExitStatus::Network);
            let said = server.take_said();
            let length = why.len() as u8 + 2;
            let code = u16::to_be_bytes(code);
            assert_eq!(said, [&[0x88, length, code[0], code[1]], why.as_bytes()].concat(), "{why}");
        }
    }
}

#[test]
fn a_masked_frame_of_a_server_is_refused() {
    let (mut client, _) = joined(BINARY, 400, 1000);
    client.hear(&frame(0x82, b"x"), 1);
    assert!(client.error.unwrap().line().ends_with("a frame of a server that is masked"));
    assert_eq!(client.said[0], 0x88);
}

#[test]
fn control_frames_come_between_parts_and_only_the_newest_ping_is_answered() {
    let (_, mut server) = joined(BINARY, 400, 1000);
    let wire = frames(&[(0x02, b"one "), (0x89, b"a"), (0x00, b""), (0x8a, b"unasked"), (0x89, b"b"), (0x80, b"two")]);
    let spare = server.stack.wire_spare();
    spare[..wire.len()].copy_from_slice(&wire);
    server.stack.wire_received(wire.len());
    server.collect();
    assert_eq!(server.read, b"one two");
    assert_eq!(server.said, [0x8a, 1, b'b']);
}

#[test]
fn text_is_a_line_a_message_in_text_mode_and_as_it_is_otherwise() {
    let wire = frames(&[
        (0x81, b"a"),
        (0x01, "\u{20ac}".as_bytes()),
        (0x80, b"b\n"),
        (0x81, b""),
        (0x82, b"raw"),
        (0x81, b"c"),
    ]);
    for cut in [1, 2, 1000] {
        assert_eq!(heard(TEXT, &wire, cut).read, "a\n\u{20ac}b\n\nrawc\n".as_bytes());
        assert_eq!(heard(BINARY, &wire, cut).read, "a\u{20ac}b\nrawc".as_bytes());
    }
}

#[test]
fn a_close_ends_what_comes_and_is_answered_at_our_end() {
    for (payload, answer) in
        [(&b""[..], &[0x88, 0][..]), (b"\x03\xe8bye", &[0x88, 2, 3, 0xe8]), (b"\x03\xe9", &[0x88, 2, 3, 0xe9])]
    {
        let wire = frames(&[(0x82, b"data"), (0x88, payload), (0x83, b"nobody looks at this")]);
        let mut server = heard(BINARY, &wire, 5);
        assert!(server.error.is_none() && server.stack.is_plain_ended());
        assert_eq!((&*server.read, &*server.said), (&b"data"[..], &b""[..]));
        server.send(b"rest", 9);
        server.close();
        assert!(server.stack.is_closed() && server.take_said() == [b"\x82\x04rest", answer].concat());
        assert!(server.stack.encode(b"late").is_err());
    }
}

#[test]
fn a_close_with_another_code_is_a_failure_that_says_why() {
    let server = heard(BINARY, &frame(0x88, b"\x03\xf3disk\x1b full"), 2);
    let line =
        "receiving failed after 0 B: the peer closed the WebSocket with code 1011 (internal error): \"disk\\x1b full\"";
    assert_eq!(server.error.unwrap().line(), line);
    assert_eq!(server.said, [0x88, 2, 3, 0xf3]);
    let server = heard(BINARY, &frame(0x88, b"\x0f\xa0"), 2);
    assert!(server.error.unwrap().line().ends_with("with code 4000"));
}

#[test]
fn an_end_that_is_not_said_is_a_cut() {
    for (wire, why) in [
        (frame(0x82, b"x"), "the peer ended without closing the WebSocket"),
        (frame(0x02, b"x"), "the peer ended within a message"),
        (vec![0x82], "the peer ended within a message"),
        (frames(&[(0x02, b"x"), (0x88, b"")]), "the peer closed the WebSocket within a message"),
    ] {
        let mut server = heard(BINARY, &wire, 100);
        server.stack.wire_ended();
        server.collect();
        let line = server.error.unwrap().line();
        assert!(line.ends_with(&format!("stream cut short: {why}")), "{line}");
    }
}

#[test]
fn after_our_close_the_end_of_the_wire_is_an_answer() {
    let (mut client, _) = joined(BINARY, 400, 1000);
    client.close();
    client.stack.wire_ended();
    client.collect();
    assert!(client.error.is_none() && client.stack.is_plain_ended() && client.stack.is_closed());
}

#[test]
fn what_is_no_text_is_not_sent_as_text() {
    let (mut client, _) = joined(TEXT, 400, 1000);
    let error = client.stack.encode(b"\xff\n").unwrap_err();
    assert_eq!(error.to_string(), "sending failed: what is to be sent as text is no UTF-8\n  try: --binary");
    client.collect();
    assert!(client.error.is_some() && client.stack.is_failed());
}

#[test]
fn a_last_line_that_ends_within_a_character_is_not_passed_off_as_text() {
    let (mut client, mut server) = joined(TEXT, 400, 1000);
    client.send(b"a\nb\xe2\x82", 100);
    client.stack.close_plain();
    client.stack.flush().unwrap();
    client.collect();
    assert_eq!(client.error.unwrap().line(), "sending failed: what is to be sent as text is no UTF-8");
    server.hear(&client.said, 1);
    let line = server.error.unwrap().line();
    assert_eq!(line, "receiving failed after 4 B: the peer closed the WebSocket with code 1011 (internal error)");
}

#[test]
fn the_last_line_needs_no_end() {
    let (mut client, mut server) = joined(TEXT, 400, 1000);
    client.send(b"a\nb", 100);
    client.close();
    server.hear(&client.take_said(), 1);
    assert_eq!(server.read, b"a\nb\n");
    assert!(server.stack.is_plain_ended());
}
