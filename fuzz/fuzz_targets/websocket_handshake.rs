//! Any bytes as the opening handshake of a peer: nothing panics, a server answers one status line or waits, and a client
//! opens only for the accept of its own key.
#![no_main]

use std::time::Instant;

use haul::layer::stack::Stack;
use haul::layer::websocket::{Manner, Request, Terms, WebSocket};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&how, words)) = input.split_first() else { return };
    let now = Instant::now();
    let is_server = how & 1 == 0;
    let layer = if is_server {
        let terms = Terms {
            path: Some("/a".into()),
            origins: vec!["https://a".into()],
            subprotocols: vec!["x".into()],
            ..Terms::default()
        };
        WebSocket::server(terms, Manner::default(), now)
    } else {
        let request = Request { host: "h".into(), path: "/a".into(), ..Request::default() };
        let key = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        };
        WebSocket::client(&request, Manner::default(), key, now).expect("random bytes")
    };
    let mut stack = Stack::new(vec![Box::new(layer)], 300);
    let mut said = Vec::new();
    for piece in words.chunks(usize::from(how >> 1) + 1) {
        let spare = stack.wire_spare();
        if spare.len() < piece.len() {
            break;
        }
        spare[..piece.len()].copy_from_slice(piece);
        stack.wire_received(piece.len());
        stack.decode();
        stack.plain().clear();
        loop {
            let _ = stack.flush();
            let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty()) else { break };
            said.extend_from_slice(wire.filled());
            wire.clear();
        }
        if stack.is_failed() {
            break;
        }
    }
    if is_server && !said.is_empty() {
        assert!(said.starts_with(b"HTTP/1.1 ") && said.windows(4).any(|four| four == b"\r\n\r\n"));
    }
    if !is_server && !stack.is_handshaking() && !stack.is_failed() {
        assert!(words.windows(28).any(|accept| accept.ends_with(b"=")));
    }
    if let Some(error) = stack.take_failure() {
        assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'));
    }
});
