//! Where the cryptography of TLS comes from, decided when haul is built: aws-lc-rs, or ring.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as library;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as library;

use crate::sys;

#[cfg(not(any(feature = "tls-aws-lc", feature = "tls-ring")))]
compile_error!("one of the features tls-aws-lc and tls-ring has to be there");

/// The algorithms, the quickest cipher first: of two that are both beyond breaking that is the better one.
pub(super) fn get() -> Arc<CryptoProvider> {
    let mut provider = library::default_provider();
    let first = if sys::has_aes() { "AES_128" } else { "CHACHA20" };
    let is_later = |name: String| !name.contains(first);
    // stable: versions and kinds of keys stay in their order otherwise
    provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), is_later(format!("{:?}", suite.suite()))));
    Arc::new(provider)
}
