//! A certificate with its chain and its key, and which of several a client gets to see.

use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pem;
use crate::error::{Error, Op};
use crate::layer::tls::certificate::Certificate;
use crate::plan::address::TlsOptions;

/// Whom this side can show that it is.
#[derive(Debug)]
pub(super) struct Identity {
    names: Vec<String>,
    pin: String,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Those that the options name, in their order: a key for each certificate, or none if their files hold those.
    pub(super) fn load_all(options: &TlsOptions, provider: &CryptoProvider) -> Result<Vec<Identity>, Error> {
        let TlsOptions { cert, key, .. } = options;
        if let ([], [key, ..]) = (cert.as_slice(), key.as_slice()) {
            return Err(pem::wrong(key, "it is a key without its certificate").with_advice("--cert FILE"));
        }
        if !key.is_empty() && key.len() != cert.len() {
            let said = format!("there are {} certificates and {} keys", cert.len(), key.len());
            return Err(Error::said(Op::Use, "tls", said).with_advice("--cert and --key in pairs"));
        }
        let files = cert.iter().enumerate().map(|(at, cert)| (cert, key.get(at).unwrap_or(cert)));
        files.map(|(cert, key)| Identity::load(cert, key, provider)).collect()
    }

    fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Identity, Error> {
        let (chain, private) = (pem::certificates(cert)?, pem::key(key)?);
        Identity::new(chain.clone(), private.clone_key(), provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let is_own =
                    |one: CertificateDer<'static>| Identity::new(vec![one], private.clone_key(), provider).is_ok();
                match chain.into_iter().skip(1).any(is_own) {
                    true => pem::wrong(cert, "the certificate of the key is not the first in it")
                        .with_advice("that one first, then whoever signed it, and so on"),
                    false => pem::wrong(key, "it is not the key of the certificate"),
                }
            }
            rustls::Error::InvalidCertificate(_) => pem::wrong(cert, "its certificate cannot be read"),
            _ => {
                let first = chain.first().and_then(|der| Certificate::parse(der));
                let short = first.and_then(|certificate| certificate.short_key());
                pem::wrong(key, short.as_deref().unwrap_or("its key is of a kind that TLS here does not use"))
            }
        })
    }

    /// An identity of what is in memory.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Identity, rustls::Error> {
        let key = CertifiedKey::from_der(chain, key, provider)?;
        let unreadable = || rustls::Error::from(rustls::CertificateError::BadEncoding);
        let certificate = Certificate::parse(key.end_entity_cert()?).ok_or_else(unreadable)?;
        let (names, pin) = (certificate.names.clone(), certificate.pin());
        Ok(Identity { names, pin, key: Arc::new(key) })
    }

    /// The pin of its key.
    pub(super) fn pin(&self) -> String {
        self.pin.clone()
    }

    pub(super) fn into_key(self) -> Arc<CertifiedKey> {
        self.key
    }

    /// RFC 6125: a star stands for one whole label, the first.
    fn is_for(&self, wanted: &str) -> bool {
        let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => wanted.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
            None => wanted.eq_ignore_ascii_case(name),
        })
    }
}

/// Those of a listener.
#[derive(Debug)]
pub(super) struct Identities(Vec<Identity>);

impl Identities {
    pub(super) fn new(identities: Vec<Identity>) -> Self {
        Identities(identities)
    }
}

impl ResolvesServerCert for Identities {
    /// The first that is for the name asked for and whose kind of key the client knows; else the first of all.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |one: &&Identity| one.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| self.0.iter().filter(usable).find(|one| one.is_for(name)));
        // one that is not usable makes rustls say why
        let chosen = named.or_else(|| self.0.iter().find(usable)).or_else(|| self.0.first())?;
        Some(Arc::clone(&chosen.key))
    }
}
