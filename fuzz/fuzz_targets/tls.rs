//! Any bytes as the wire of TLS, and genuine ones that were changed, for either side, before its handshake and after, in
//! any pieces: nothing panics, memory stays bounded, no byte comes out that the peer did not send, and no end that it
//! did not say.
#![no_main]

use std::sync::OnceLock;

use haul::endpoint::credentials::{ClientTls, ServerTls, Trust};
use haul::layer::stack::Stack;
use haul::plan::address::TlsOptions;
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"what the peer has to say";

fuzz_target!(|input: &[u8]| {
    static CREDENTIALS: OnceLock<(ClientTls, ServerTls)> = OnceLock::new();
    let (client, server) = CREDENTIALS.get_or_init(|| {
        let client = TlsOptions { insecure: true, ..TlsOptions::default() };
        let client = ClientTls::load(&client, "a.example", &mut Trust::default()).unwrap();
        (client, ServerTls::load(&TlsOptions::default()).unwrap())
    });
    let Some((&how, rest)) = input.split_first() else { return };
    let [client, server] = [client.layer().unwrap(), server.layer().unwrap()].map(|one| Stack::new(vec![one], 0));
    let [mut peer, mut victim] = if how & 1 == 0 { [client, server] } else { [server, client] };
    if how & 2 != 0 {
        while carry(&mut peer, &mut victim) + carry(&mut victim, &mut peer) > 0 {}
        assert_eq!(peer.encode(SECRET).unwrap(), SECRET.len());
    }
    let mut wire = said(&mut peer);
    // where, and what to do there; then bytes as they are
    let (changes, garbage) = rest.split_at(rest.len().min(usize::from(how >> 5) * 3));
    for change in changes.chunks_exact(3) {
        if wire.is_empty() {
            break;
        }
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % wire.len();
        match change[2] {
            0 => wire.truncate(at),
            0xff => drop(wire.splice(at..at, garbage.iter().copied())),
            flip => wire[at] ^= flip,
        }
    }
    wire.extend(garbage);
    let mut heard = Vec::new();
    for piece in wire.chunks(usize::from(how >> 2 & 7) * 9 + 1) {
        let spare = victim.wire_spare();
        let count = piece.len().min(spare.len());
        spare[..count].copy_from_slice(&piece[..count]);
        victim.wire_received(count);
        victim.decode();
        heard.extend(victim.plain().filled());
        victim.plain().clear();
        let _ = victim.encode(b"an answer");
        assert!(said(&mut victim).len() < 16 * 1024, "a few bytes are answered by many");
    }
    victim.wire_ended();
    assert!(SECRET.starts_with(&heard) && !victim.is_plain_ended() && victim.is_failed());
    if let Some(error) = victim.take_failure() {
        assert!(!error.to_string().replace('\n', "").contains(char::is_control));
    }
});

fn said(side: &mut Stack) -> Vec<u8> {
    let _ = side.flush();
    let Some(wire) = side.outgoing() else { return Vec::new() };
    let said = wire.filled().to_vec();
    wire.clear();
    said
}

fn carry(from: &mut Stack, to: &mut Stack) -> usize {
    let wire = said(from);
    to.wire_spare()[..wire.len()].copy_from_slice(&wire);
    to.wire_received(wire.len());
    to.decode();
    wire.len()
}
