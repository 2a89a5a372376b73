//! Layers in an end: what a stack of them on the far side makes of the session's bytes, and the other way.

use crate::layer::Layer;
use crate::layer::stack::Stack;
use crate::layer::testing::Chaos;

/// Layers for a test: a handshake that leaves below `depth` that stay, with records of at most `record` bytes.
pub(super) fn layers(depth: usize, record: usize, greeting: bool) -> Stack {
    let record = record.min(140); // two of them must fit a seam of 300 bytes, see `Stack::new`
    let mut layers: Vec<Box<dyn Layer>> = (0..depth).map(|_| Box::new(Chaos::new(record)) as Box<dyn Layer>).collect();
    if greeting {
        layers.push(Box::new(Chaos::greeting()));
    }
    Stack::new(layers, 300)
}

/// Carries everything that `from` has to say to `to`, and what comes out of it to `plain`; the bytes on the wire.
fn carry(from: &mut Stack, to: &mut Stack, plain: &mut Vec<u8>) -> Vec<u8> {
    let mut carried = Vec::new();
    from.flush().unwrap();
    if let Some(wire) = from.outgoing() {
        let spare = to.wire_spare();
        let count = wire.len().min(spare.len());
        spare[..count].copy_from_slice(&wire.filled()[..count]);
        carried.extend(&wire.filled()[..count]);
        to.wire_received(count);
        wire.consume(count);
    }
    to.decode();
    plain.extend(to.plain().filled());
    to.plain().clear();
    carried
}

/// The wire bytes that a far side with these layers sends for `plain` and its end.
pub(super) fn encoded(plain: &[u8], make: impl Fn() -> Stack) -> Vec<u8> {
    let (mut far, mut near) = (make(), make());
    let (mut wire, mut arrived, mut unused, mut sent) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..100_000 {
        match far.has_layers() {
            true => sent += far.encode(&plain[sent..]).unwrap(),
            false => {
                wire.extend(&plain[sent..]);
                return wire;
            }
        }
        if sent == plain.len() {
            far.close_plain();
        }
        wire.extend(carry(&mut far, &mut near, &mut arrived));
        carry(&mut near, &mut far, &mut unused);
        if near.is_plain_ended() && far.is_closed() {
            return wire;
        }
    }
    panic!("the layers do not come to an end");
}

/// What a far side with these layers reads out of the session's bytes, and whether it was told their end.
pub(super) fn decoded(wire: &[u8], mut far: Stack) -> (Vec<u8>, bool) {
    let (mut plain, mut at) = (Vec::new(), 0);
    loop {
        if far.is_bare() {
            plain.extend(&wire[at..]);
            return (plain, false);
        }
        // a layer that has finished leaves only once its own words are taken
        far.flush().unwrap();
        if let Some(outgoing) = far.outgoing() {
            outgoing.clear();
        }
        let spare = far.wire_spare();
        let count = spare.len().min(wire.len() - at);
        spare[..count].copy_from_slice(&wire[at..at + count]);
        far.wire_received(count);
        at += count;
        far.decode();
        let progress = count > 0 || !far.plain().is_empty();
        plain.extend(far.plain().filled());
        far.plain().clear();
        if !progress {
            return (plain, far.is_plain_ended());
        }
    }
}

#[test]
fn layers_on_both_sides_of_a_socket_carry_everything_both_ways() {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::descriptors::{Far, bytes, drop_nothing, file_of, run, socket_end};
    use crate::endpoint::socket::Family;

    for seed in 0..8u64 {
        let (depth, record, greeting) = (1 + seed as usize % 3, 1 + (seed as usize * 83) % 253, seed % 2 == 0);
        let (near, far) = UnixStream::pair().unwrap();
        let (outward, inward) = (bytes(3000 * seed as usize, seed), bytes(2500 * (8 - seed as usize), seed + 1));
        let reply = inward.clone();
        let far = Far::spawn(far, move |far| {
            let (mut stack, mut heard, mut sent) = (layers(depth, record, greeting), Vec::new(), 0);
            let mut closed = false;
            loop {
                stack.decode();
                if stack.has_layers() {
                    sent += stack.encode(&reply[sent..]).unwrap();
                }
                if sent == reply.len() {
                    stack.close_plain();
                }
                stack.flush().unwrap();
                if let Some(wire) = stack.outgoing() {
                    if !closed {
                        far.write_all(wire.filled()).unwrap();
                    }
                    let idle = wire.is_empty();
                    wire.clear();
                    if !idle {
                        continue;
                    }
                }
                if stack.is_closed() && !std::mem::replace(&mut closed, true) {
                    far.shutdown(std::net::Shutdown::Write).unwrap();
                }
                if !stack.plain().is_empty() {
                    heard.extend(stack.plain().filled());
                    stack.plain().clear();
                    continue;
                }
                assert!(!stack.wire_spare().is_empty(), "the layers are stuck");
                let count = std::io::Read::read(far, stack.wire_spare()).unwrap();
                if count == 0 {
                    assert!(stack.is_plain_ended(), "the wire ended before the layers said so");
                    return heard;
                }
                stack.wire_received(count);
            }
        });
        let (local, result) = file_of(&outward);
        let peer = socket_end(near.into(), Family::Unix, Some(layers(depth, record, greeting)));
        let outcome = run(local, peer, drop_nothing());
        assert_eq!(outcome.status().code(), 0, "{outcome:?}");
        assert!(far.join() == outward && result.bytes() == inward, "seed {seed}");
    }
}
