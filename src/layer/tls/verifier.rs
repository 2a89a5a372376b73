//! Whom a client believes: a chain to a root, a pinned key, or everybody. Whom a server believes: a chain, or those whose
//! own certificates it has.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::certificate::Certificate;
use super::refusal::Refused;

/// Judges the certificate of a server. In every case the handshake proves that the server has its key.
pub struct Verifier {
    /// The chain to a root, the dates and the name are checked.
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates to be believed that need not be those of an authority: a server's own, made by hand.
    pub believed: Vec<CertificateDer<'static>>,
    /// One of these has to be the key's, as [`Certificate::pin`] spells it; none is no demand.
    pub pins: Vec<String>,
    /// How signatures are checked.
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("pins", &self.pins).finish_non_exhaustive()
    }
}

impl Verifier {
    fn check_pin(&self, certificate: &Certificate) -> Result<(), Refused> {
        let pin = certificate.pin();
        if self.pins.is_empty() || self.pins.contains(&pin) {
            return Ok(());
        }
        let wanted = if self.pins.len() == 1 { "the pin" } else { "any of the pins" };
        Err(Refused { sentence: format!("its key is {pin}, not {wanted} given"), advice: None })
    }
}

/// A certificate that is believed for itself has to be in time all the same.
fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), rustls::Error> {
    let seconds = |time: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(time.max(0).unsigned_abs()));
    let (not_before, not_after) = (seconds(certificate.not_before), seconds(certificate.not_after));
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    Ok(())
}

/// The signature of a handshake: webpki does not tell a key that is too short from a signature that is wrong.
fn checked(
    signed: Result<HandshakeSignatureValid, rustls::Error>,
    der: &CertificateDer<'_>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    signed.map_err(|error| match Certificate::parse(der).and_then(|certificate| certificate.short_key()) {
        Some(sentence) => Refused { sentence, advice: None }.into(),
        None => error,
    })
}

/// Says more than webpki does; `is_pinned` for a certificate whose key is one that was to be there as well.
fn explained(error: rustls::Error, certificate: &Certificate, is_pinned: bool) -> rustls::Error {
    let rustls::Error::InvalidCertificate(error) = error else { return error };
    let is_own_issuer = certificate.issuer == certificate.subject;
    let by = match &error {
        // webpki does not come as far with one that calls itself an authority
        CertificateError::UnknownIssuer | CertificateError::Other(_) if is_own_issuer => "by itself alone".into(),
        CertificateError::UnknownIssuer => format!("by {}, who is unknown here", certificate.issuer),
        CertificateError::BadSignature => "by another of the name of somebody known here".into(),
        CertificateError::NotValidForNameContext { expected, .. } => {
            let (expected, presented) = (expected.clone(), certificate.names.clone());
            return CertificateError::NotValidForNameContext { expected, presented }.into();
        }
        _ => return error.into(),
    };
    let (but, advice) = match is_pinned {
        true => {
            ("its key has the pin, but ", "--pin without --ca, if the key is enough, or --ca with another file".into())
        }
        false => ("", format!("--ca FILE, or --pin {} if you know that to be its key", certificate.pin())),
    };
    Refused { sentence: format!("{but}its certificate is signed {by}"), advice: Some(advice) }.into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = Certificate::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
        self.check_pin(&certificate)?;
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let checked = match self.believed.contains(end_entity) {
            true => check_dates(&certificate, now)
                .and_then(|()| verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)),
            false => chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(|_| ()),
        };
        let is_pinned = !self.pins.is_empty();
        checked.map(|()| ServerCertVerified::assertion()).map_err(|error| explained(error, &certificate, is_pinned))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        checked(verify_tls12_signature(message, certificate, signed, &self.algorithms), certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        checked(verify_tls13_signature(message, certificate, signed, &self.algorithms), certificate)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Judges the certificate of a client, which has to be there.
#[derive(Debug)]
pub struct ClientVerifier {
    /// Checks the chain to a root, the dates and the purpose.
    pub chain: Arc<dyn ClientCertVerifier>,
    /// Certificates to be believed that need not be those of an authority: a client's own, made by hand.
    pub believed: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if !self.believed.contains(end_entity) {
            return self.chain.verify_client_cert(end_entity, intermediates, now);
        }
        let certificate = Certificate::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
        check_dates(&certificate, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        checked(self.chain.verify_tls12_signature(message, certificate, signed), certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        checked(self.chain.verify_tls13_signature(message, certificate, signed), certificate)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
