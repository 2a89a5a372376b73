//! Any bytes as the wire of `--verify`, in any pieces: nothing panics, memory stays bounded, a stream ends cleanly only if
//! its end frame agrees with it, and nothing is confirmed that was not sent.
#![no_main]

use std::time::Instant;

use haul::layer::stack::Stack;
use haul::layer::verify::Verify;
use haul::layer::{Layer, Note};
use libfuzzer_sys::fuzz_target;

const GREETING: [u8; 8] = [0xf1, b'h', b'a', b'u', b'l', b'V', 1, 0];

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let layer: Box<dyn Layer> = Box::new(Verify::new(Instant::now()));
    let mut stack = Stack::new(vec![layer], 512);
    let mut wire = if how & 1 == 0 { GREETING.to_vec() } else { vec![] };
    wire.extend(rest);
    if how & 2 != 0 {
        // an end that agrees is beyond guessing
        let payload = rest;
        wire = GREETING.to_vec();
        for piece in payload.chunks(usize::from(how >> 4) + 1) {
            wire.push(1);
            wire.extend((piece.len() as u32).to_be_bytes());
            wire.extend(piece);
        }
        wire.extend([2, 0, 0, 0, 40]);
        wire.extend((payload.len() as u64).to_be_bytes());
        wire.extend(blake3::hash(payload).as_bytes());
    }
    let mut heard: Vec<u8> = Vec::new();
    let mut wire = &wire[..];
    while !wire.is_empty() {
        let spare = stack.wire_spare();
        let count = wire.len().min(spare.len()).min(usize::from(how >> 2) + 1);
        spare[..count].copy_from_slice(&wire[..count]);
        stack.wire_received(count);
        wire = &wire[count..];
        stack.decode();
        heard.extend(stack.plain().filled());
        stack.plain().clear();
        let _ = stack.encode(b"payload");
        let _ = stack.flush();
        if let Some(outgoing) = stack.outgoing() {
            outgoing.clear();
        }
        if stack.is_failed() {
            break;
        }
    }
    if how & 2 != 0 {
        assert!(stack.is_plain_ended() && heard == rest);
        stack.note(&Note::Delivered(Ok(heard.len() as u64)));
    } else {
        assert!(!stack.is_plain_ended() || heard.is_empty(), "a digest was guessed");
    }
    assert!(stack.receipts().is_none_or(|receipts| receipts.awaited), "confirmed before the end was said");
    stack.wire_ended();
    stack.decode();
    assert!(stack.is_failed());
    if let Some(error) = stack.take_failure() {
        assert!(!error.to_string().contains(char::is_control));
    }
});
