//! Any bytes as a certificate, and a genuine one that was changed: nothing panics, and no text has control characters.
#![no_main]

use haul::layer::tls::certificate::{Certificate, moment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let mut der = rest.to_vec();
    if how & 1 != 0 {
        der = include_bytes!("../certificate.der").to_vec();
        for change in rest.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % der.len();
            der[at] = change[2];
        }
    }
    let Some(certificate) = Certificate::parse(&der) else { return };
    let dates = [certificate.not_before, certificate.not_after].map(moment);
    let own = [&certificate.subject, &certificate.issuer, &certificate.key(), &certificate.pin()];
    for text in own.into_iter().chain(&certificate.names).chain(&dates) {
        assert!(!text.contains(char::is_control));
    }
    assert!(der.windows(certificate.public_key.len()).any(|window| window == certificate.public_key));
});
