//! Any bytes as a proxy's answer to CONNECT, in any pieces: nothing panics, the pieces change nothing, nothing behind the
//! header that decides is taken, and a refusal is one line without the login.
#![no_main]

use haul::layer::proxy::{Destination, Language, Names, Proxy};
use haul::layer::stack::Stack;
use haul::secret::Login;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    // without the beginning that every answer has there is little to be found
    let wire = if how & 1 == 0 { [b"HTTP/1.1 ", rest].concat() } else { rest.to_vec() };
    let login = (how & 2 == 0).then(|| Login::new("me", Some("s3cr3t")));
    let whole = hear(&wire, login.clone(), usize::MAX);
    assert_eq!(hear(&wire, login, usize::from(how >> 2) + 1), whole);
    if let Ok(payload) = whole {
        assert!(wire.ends_with(&payload) && payload.len() < wire.len());
    }
});

/// The payload behind an agreement, or the refusal.
fn hear(wire: &[u8], login: Option<Login>, piece: usize) -> Result<Vec<u8>, String> {
    let names = Names { object: "db:1 through http://proxy:1080".into(), proxy: "the proxy".into() };
    let proxy = Proxy::new(Language::Http, &Destination::Name("db".into(), 1), login, names);
    let mut stack = Stack::new(vec![Box::new(proxy.expect("it has words for it"))], 64);
    let (mut rest, mut payload, mut ended) = (wire, Vec::new(), false);
    loop {
        for _ in 0..8 {
            stack.flush().expect("nothing is encoded");
            if let Some(outgoing) = stack.outgoing() {
                outgoing.clear();
            }
        }
        stack.decode();
        payload.extend(stack.plain().filled());
        stack.plain().clear();
        if let Some(error) = stack.take_failure() {
            let text = error.to_string();
            assert_eq!(error.status().code(), 6);
            assert!(!text.replace("\n  try: ", "").contains(char::is_control) && !text.contains("s3cr3t"));
            return Err(text);
        }
        if stack.is_bare() {
            payload.extend(rest);
            return Ok(payload);
        }
        assert!(payload.is_empty() && !ended, "the end decides");
        if rest.is_empty() {
            stack.wire_ended();
            ended = true;
            continue;
        }
        let count = stack.wire_spare().len().min(rest.len()).min(piece);
        stack.wire_spare()[..count].copy_from_slice(&rest[..count]);
        stack.wire_received(count);
        rest = &rest[count..];
    }
}
