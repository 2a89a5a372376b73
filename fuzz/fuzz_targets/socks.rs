//! Any bytes as the answers of a SOCKS proxy, in any pieces: nothing panics, the pieces change nothing, nothing behind
//! the agreement is taken, and a refusal is one line without the login.
#![no_main]

mod proxies;

use haul::layer::proxy::Language;
use haul::secret::Login;
use libfuzzer_sys::fuzz_target;
use proxies::hear;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let language = if how & 1 == 0 { Language::Socks5 } else { Language::Socks4 };
    let login = match (how & 2 == 0, language) {
        (false, _) => None,
        (true, Language::Socks4) => Some(Login::new("s3cr3t", None::<&str>)),
        (true, _) => Some(Login::new("me", Some("s3cr3t"))),
    };
    let wire = rest;
    let whole = hear(wire, language, login.clone(), usize::MAX);
    assert_eq!(hear(wire, language, login, usize::from(how >> 2) + 1), whole);
    if let Ok(payload) = whole {
        assert!(wire.ends_with(&payload) && payload.len() < wire.len());
    }
});
