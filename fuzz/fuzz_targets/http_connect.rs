//! Any bytes as a proxy's answer to CONNECT, in any pieces: nothing panics, the pieces change nothing, nothing behind the
//! header that decides is taken, and a refusal is one line without the login.
#![no_main]

mod proxies;

use haul::layer::proxy::Language;
use haul::secret::Login;
use libfuzzer_sys::fuzz_target;
use proxies::hear;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    // without the beginning that every answer has there is little to be found
    let wire = if how & 1 == 0 { [b"HTTP/1.1 ", rest].concat() } else { rest.to_vec() };
    let login = (how & 2 == 0).then(|| Login::new("me", Some("s3cr3t")));
    let whole = hear(&wire, Language::Http, login.clone(), usize::MAX);
    assert_eq!(hear(&wire, Language::Http, login, usize::from(how >> 2) + 1), whole);
    if let Ok(payload) = whole {
        assert!(wire.ends_with(&payload) && payload.len() < wire.len());
    }
});
