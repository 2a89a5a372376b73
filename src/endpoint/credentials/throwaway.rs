//! A certificate for a listener that was given none: made in memory, believed by its pin, gone with the process.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::identity::Identity;
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;

/// Makes a key (ECDSA P-256, which everybody knows) and a certificate that it signs itself.
///
/// # Errors
/// There are no random numbers.
pub(super) fn make(provider: &CryptoProvider) -> Result<Identity, Error> {
    let failed = |said: String| {
        let said = format!("it cannot be made: {}", crate::escape::Escaped(said.as_bytes()));
        Error::said(Op::Use, "a throw-away certificate", said).with_status(ExitStatus::Authentication)
    };
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "haul, for this run only");
    params.distinguished_name = name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // the peer's clock need not be ours
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + YEAR;
    let certificate = params.self_signed(&key).map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Identity::new(vec![certificate.der().clone()], key, provider).map_err(|error| failed(error.to_string()))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Longer than a process lives.
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
