//! What a client hears of a proxy whose answers are any bytes.

use haul::layer::proxy::{Destination, Language, Names, Proxy};
use haul::layer::stack::Stack;
use haul::secret::Login;

/// The payload behind an agreement, or the refusal.
pub fn hear(wire: &[u8], language: Language, login: Option<Login>, piece: usize) -> Result<Vec<u8>, String> {
    // without a login the same letters are the proxy's own
    let secret = login.is_some();
    let names = Names { object: "db:1 through the proxy".into(), proxy: "the proxy".into() };
    let proxy = Proxy::new(language, &Destination::Name("db".into(), 1), login, names);
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
            assert!(!text.replace("\n  try: ", "").contains(char::is_control));
            assert!(!(secret && text.contains("s3cr3t")));
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
