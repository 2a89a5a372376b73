//! Whom a client believes: the certificates of a file, or those that the system trusts.

use std::collections::HashMap;
use std::env::var_os;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::VerifierBuilderError;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

use super::pem;
use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::outcome::ExitStatus;

/// What was read of that for one command: each file once, and the system's roots once, however many endpoints there are.
#[derive(Default)]
pub struct Trust {
    read: HashMap<Option<PathBuf>, Roots>,
}

/// What verifies a chain, and certificates that are believed for themselves.
pub(super) type Roots = (Option<Arc<WebPkiServerVerifier>>, Vec<CertificateDer<'static>>);

impl Trust {
    /// The roots of a file, or without one those of the system.
    pub(super) fn roots(&mut self, ca: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Roots, Error> {
        let key = ca.map(Path::to_path_buf);
        if let Some(known) = self.read.get(&key) {
            return Ok(known.clone());
        }
        let found = roots(ca, provider)?;
        self.read.insert(key, found.clone());
        Ok(found)
    }
}

fn roots(ca: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Roots, Error> {
    let (store, believed) = match ca {
        Some(file) => {
            let believed = pem::certificates(file)?;
            (store(file, believed.clone())?, believed)
        }
        None => (system_roots(&|name| var_os(name).filter(|value| !value.is_empty()))?, Vec::new()),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
    let verifier = verifier.map_err(|error| unusable_store(ca.unwrap_or(Path::new("the system's roots")), &error))?;
    Ok((Some(verifier), believed))
}

/// What a store may be made of.
pub(super) fn store(file: &Path, certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate).map_err(|_| pem::wrong(file, "a certificate in it cannot be read"))?;
    }
    Ok(store)
}

/// A store that nobody can be verified by.
pub(super) fn unusable_store(file: &Path, error: &VerifierBuilderError) -> Error {
    match error {
        VerifierBuilderError::NoRootAnchors => pem::wrong(file, "there is no certificate in it"),
        _ => pem::wrong(file, "nobody can be verified by it"),
    }
}

/// Those that the system trusts, or of SSL_CERT_FILE and SSL_CERT_DIR. What somebody has named has to be there.
fn system_roots(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<RootCertStore, Error> {
    let file = variable(FILE).map(PathBuf::from);
    let directories: Vec<PathBuf> = variable(DIRECTORIES).iter().flat_map(std::env::split_paths).collect();
    // read once, here: what is no regular file cannot be read again
    let mut found = CertificateResult::default();
    if let Some(file) = &file {
        found.certs = pem::certificates(file)
            .map_err(|error| error.with_advice(format!("{FILE} with another file, or --ca FILE")))?;
    }
    for directory in &directories {
        let name = directory.as_os_str().as_encoded_bytes();
        std::fs::read_dir(directory).map_err(|error| Error::new(Op::Open, name, error))?;
    }
    let named = file.iter().chain(&directories).next();
    if named.is_none() {
        found = load_native_certs();
    }
    for directory in &directories {
        found.certs.extend(load_certs_from_paths(None, Some(directory)).certs);
    }
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(store);
    }
    if let Some(named) = named {
        return Err(pem::wrong(named, "there is no certificate in it that can be read"));
    }
    let facts = found.errors.iter().map(|error| Escaped(error.to_string().as_bytes()).to_string());
    Err(Error::said(Op::Use, "the system's roots", "there are none, so nobody can be verified")
        .with_facts(facts.take(3).collect())
        .with_status(ExitStatus::Authentication)
        .with_advice("--ca FILE, or --pin sha256/… of the server's key"))
}

const FILE: &str = "SSL_CERT_FILE";
const DIRECTORIES: &str = "SSL_CERT_DIR";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_names_has_to_be_there_and_is_named() {
        let home = tempfile::tempdir().unwrap();
        let (empty, gone) = (home.path().join("empty.pem"), home.path().join("gone"));
        std::fs::write(&empty, "nothing here").unwrap();
        for (name, path, cause) in [
            (FILE, &empty, "there is no certificate in it"),
            (FILE, &gone, "no such file or directory"),
            (DIRECTORIES, &gone, "no such file or directory"),
            (DIRECTORIES, &home.path().to_path_buf(), "there is no certificate in it that can be read"),
        ] {
            let error = system_roots(&|asked| (asked == name).then(|| path.clone().into_os_string())).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage, "{error}");
            assert!(error.line().contains(path.to_str().unwrap()) && error.line().ends_with(cause), "{error}");
        }
    }
}
