//! Why there is no TLS connection, or none any more, as one line for a person.

use std::fmt;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

use super::certificate::moment;
use super::failure;
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
            None => failure(format!("its certificate is no good: {}", escaped(other))),
        },
        Tls::InvalidCertificate(error) => failure(certificate(error)),
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) if handshaking => failure("the peer does not speak TLS"),
        Tls::AlertReceived(alert) => failure(format!("the peer refused: {}", alert_text(*alert))),
        Tls::NoCertificatesPresented => failure("the peer showed no certificate"),
        Tls::NoApplicationProtocol => failure("the peer speaks none of the protocols of --alpn"),
        Tls::DecryptError => failure("what came does not decrypt: it was changed on its way"),
        Tls::PeerIncompatible(why) => failure(format!("nothing in common with the peer: {}", words(why))),
        Tls::PeerMisbehaved(why) => failure(format!("the peer broke the protocol of TLS: {}", words(why))),
        Tls::InvalidMessage(why) => failure(format!("the peer broke the protocol of TLS: {}", words(why))),
        Tls::InappropriateMessage { .. } | Tls::InappropriateHandshakeMessage { .. } => {
            failure("the peer broke the protocol of TLS: a message out of turn")
        }
        other => failure(escaped(other)),
    }
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
    failure("the peer broke the protocol of TLS: a message without end")
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
        CertificateError::BadSignature => "a signature in its certificate is wrong".into(),
        CertificateError::UnknownIssuer => "its certificate is of an unknown issuer".into(),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "its certificate is for another purpose".into()
        }
        other => format!("its certificate is no good: {}", escaped(other)),
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

/// RFC 8446, 6.2, as words.
fn alert_text(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate of ours".into(),
        AlertDescription::UnknownCA => "it does not know who issued our certificate".into(),
        AlertDescription::ProtocolVersion => "no version of TLS in common".into(),
        AlertDescription::HandshakeFailure => "no parameters in common".into(),
        AlertDescription::NoApplicationProtocol => "no protocol of --alpn in common".into(),
        AlertDescription::UnrecognisedName => "it has no such name".into(),
        AlertDescription::Unknown(number) => format!("alert {number}"),
        other => words(&other),
    }
}

/// `BadCertificateStatusResponse` as words.
fn words(name: &impl fmt::Debug) -> String {
    let name = format!("{name:?}");
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && text.ends_with(|last: char| last.is_lowercase() || last.is_ascii_digit()) {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    Escaped(text.as_bytes()).to_string()
}

fn escaped(error: &impl fmt::Display) -> String {
    Escaped(error.to_string().as_bytes()).to_string()
}
