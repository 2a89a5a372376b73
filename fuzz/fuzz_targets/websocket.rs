//! Any bytes as the frames of a peer, in any pieces, in either role: nothing panics, memory stays bounded, what is read is
//! the same however the wire is cut, and a stream ends cleanly only behind a Close.
#![no_main]

use std::time::Instant;

use haul::layer::stack::Stack;
use haul::layer::websocket::{Manner, Request, Terms, WebSocket};
use libfuzzer_sys::fuzz_target;

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What 16 zero bytes are answered with.
const ANSWER: &[u8] = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((&how, frames)) = input.split_first() else { return };
    let whole = read(how, frames, usize::MAX);
    let cut = read(how, frames, usize::from(how >> 2) % 16 + 1);
    assert_eq!(whole.1, cut.1, "it matters how the wire is cut");
    // text that turns out to be none is given up to somewhere before the fault
    let (longer, shorter) = if whole.0.len() > cut.0.len() { (&whole.0, &cut.0) } else { (&cut.0, &whole.0) };
    assert!(longer.starts_with(shorter) && (!whole.1 || longer == shorter), "it matters how the wire is cut");
});

/// What is read, and whether it ended cleanly.
fn read(how: u8, frames: &[u8], cut: usize) -> (Vec<u8>, bool) {
    let manner = Manner { text: how & 2 != 0, strict: how & 64 != 0, ping: None };
    let now = Instant::now();
    let request = Request { host: "h".into(), path: "/".into(), ..Request::default() };
    let nothing = |bytes: &mut [u8]| {
        bytes.fill(0);
        Ok(())
    };
    let (layer, opening) = match how & 1 {
        0 => (WebSocket::server(Terms::default(), manner, now), ASK),
        _ => (WebSocket::client(&request, manner, nothing, now).expect("random bytes"), ANSWER),
    };
    let mut stack = Stack::new(vec![Box::new(layer)], 300);
    let mut heard = Vec::new();
    hear(&mut stack, opening, 300, &mut heard);
    assert!(!stack.is_handshaking() && heard.is_empty());
    hear(&mut stack, frames, cut, &mut heard);
    let closed = stack.is_plain_ended();
    stack.wire_ended();
    stack.decode();
    assert!(closed != stack.is_failed(), "an end without a Close is a cut");
    if let Some(error) = stack.take_failure() {
        assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'));
    }
    (heard, closed)
}

fn hear(stack: &mut Stack, mut wire: &[u8], cut: usize, heard: &mut Vec<u8>) {
    loop {
        let spare = stack.wire_spare();
        let count = wire.len().min(spare.len()).min(cut);
        spare[..count].copy_from_slice(&wire[..count]);
        stack.wire_received(count);
        wire = &wire[count..];
        loop {
            stack.decode();
            if stack.plain().is_empty() {
                break;
            }
            heard.extend(stack.plain().filled());
            stack.plain().clear();
        }
        if stack.is_failed() || wire.is_empty() {
            break;
        }
        let _ = stack.encode(b"payload");
        let _ = stack.flush();
        if let Some(outgoing) = stack.outgoing() {
            outgoing.clear();
        }
    }
    let _ = stack.flush();
    if let Some(outgoing) = stack.outgoing() {
        outgoing.clear();
    }
}
