//! Why there is no TLS connection, or none any more, as one line for a person.

use std::fmt;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

use super::certificate::moment;
use super::failure;
use super::sentence::{alert_text, chain, malformed, misbehaved, uncommon, words};
use crate::error::Error;
use crate::escape::Escaped;

/// What a verifier of ours says, where rustls has no word for it.
#[derive(Debug)]
pub(super) struct Refused {
    /// Lower case, no full stop, escaped.
    pub(super) sentence: String,
    pub(super) advice: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        CertificateError::Other(OtherError(Arc::new(refused))).into()
    }
}

/// What an error of a connection is for a person.
pub(super) fn of(error: &rustls::Error, handshaking: bool) -> Error {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(CertificateError::Other(OtherError(other))) => match other.downcast_ref::<Refused>() {
            Some(Refused { sentence, advice }) => {
                let failed = failure(sentence.clone());
                advice.iter().fold(failed, |failed, advice| failed.with_advice(advice.clone()))
            }
            None => failure(chain(&format!("{other:?}"))),
        },
        Tls::InvalidCertificate(error) => failure(certificate(error)),
        Tls::InvalidCertRevocationList(_) => failure("a list of revoked certificates cannot be used"),
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) if handshaking => failure("the peer does not speak TLS"),
        Tls::AlertReceived(alert) => {
            let failed = failure(format!("the peer refused: {}", alert_text(*alert)));
            match alert {
                AlertDescription::CertificateRequired => failed.with_advice("--cert FILE --key FILE, to show it one"),
                _ => failed,
            }
        }
        Tls::NoCertificatesPresented => failure("the peer showed no certificate"),
        Tls::NoApplicationProtocol => failure("the peer speaks none of the protocols of --alpn"),
        Tls::DecryptError => failure("what came does not decrypt: it was changed on its way"),
        Tls::PeerSentOversizedRecord => broke("a record is too long"),
        Tls::PeerIncompatible(why) => failure(format!("nothing in common with the peer: {}", uncommon(why))),
        Tls::PeerMisbehaved(why) => broke(&misbehaved(why)),
        Tls::InvalidMessage(why) => broke(&malformed(why)),
        Tls::InappropriateMessage { .. } | Tls::InappropriateHandshakeMessage { .. } => broke("a message out of turn"),
        Tls::UnsupportedNameType => failure("no certificate can be for this host"),
        Tls::EncryptError => failure("what was to be sent could not be encrypted"),
        Tls::FailedToGetCurrentTime => failure("the system does not tell the time"),
        Tls::FailedToGetRandomBytes => failure("the system has no random numbers"),
        other => failure(escaped(other)),
    }
}

fn broke(how: &str) -> Error {
    failure(format!("the peer broke the protocol of TLS: {how}"))
}

/// The peer went away before there was a connection.
pub(super) fn hung_up(is_client: bool) -> Error {
    match is_client {
        true => failure("the peer closed the connection in the handshake"),
        false => failure("the client closed the connection in the handshake"),
    }
}

/// A message that no buffer of ours can hold.
pub(super) fn oversized() -> Error {
    broke("a message without end")
}

/// Something is to be sent where all is over.
pub(super) fn over() -> Error {
    failure("the connection has failed")
}

/// What is wrong with a certificate.
fn certificate(error: &CertificateError) -> String {
    let at = |time: &rustls::pki_types::UnixTime| moment(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match error {
        CertificateError::ExpiredContext { not_after, .. } => format!("its certificate expired on {}", at(not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", at(not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = Escaped(expected.to_str().as_bytes()).to_string();
            match presented.as_slice() {
                [] => format!("its certificate is for no host at all, not for {expected}"),
                names => format!("its certificate is for {}, not for {expected}", listed(names)),
            }
        }
        CertificateError::BadEncoding => "its certificate cannot be read".into(),
        CertificateError::Expired => "its certificate expired".into(),
        CertificateError::NotValidYet => "its certificate is not valid yet".into(),
        CertificateError::NotValidForName => "its certificate is for another host".into(),
        CertificateError::Revoked => "its certificate was revoked".into(),
        CertificateError::UnknownRevocationStatus => "nobody knows whether its certificate was revoked".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates is out of date".into()
        }
        CertificateError::UnhandledCriticalExtension => "its certificate demands what haul does not know".into(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed in a way that TLS here does not use".into()
        }
        CertificateError::InvalidOcspResponse => "its proof that it was not revoked is no good".into(),
        CertificateError::ApplicationVerificationFailure => "its certificate was refused".into(),
        CertificateError::BadSignature => "a signature in its certificate is wrong".into(),
        CertificateError::UnknownIssuer => "its certificate is of an unknown issuer".into(),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "its certificate is for another purpose".into()
        }
        other => format!("its certificate is no good: {}", words(other)),
    }
}

/// A few names in full, then how many there are besides.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

fn escaped(error: &impl fmt::Display) -> String {
    Escaped(error.to_string().as_bytes()).to_string()
}
