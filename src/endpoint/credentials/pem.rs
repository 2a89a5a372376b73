//! Certificates and keys in files, as PEM (RFC 7468).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Op};

/// All certificates of a file, at least one.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if text.starts_with(&[0x30]) => Err(wrong(file, "it is not PEM").with_advice(format!(
            "openssl x509 -inform der -in {}",
            crate::escape::Escaped(file.as_os_str().as_bytes())
        ))),
        Ok(_) => Err(wrong(file, "there is no certificate in it")),
        Err(error) => Err(malformed(file, &error)),
    }
}

/// The first private key of a file: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(file)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if contains(&text, b"ENCRYPTED PRIVATE KEY") => {
            Err(wrong(file, "the key in it is encrypted").with_advice("openssl pkey -in FILE -out PLAIN"))
        }
        Err(pem::Error::NoItemsFound) => Err(wrong(file, "there is no private key in it")),
        Err(error) => Err(malformed(file, &error)),
    }
}

/// Refuses what may have been read once and would be waited for now.
///
/// # Errors
/// It is not there, or not a regular file.
pub(super) fn is_readable_again(file: &Path) -> Result<(), Error> {
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(wrong(file, "it is no regular file, and cannot be read again")),
        Err(error) => Err(Error::new(Op::Open, file.as_os_str().as_bytes(), error)),
    }
}

/// A file that is not what it should be.
pub(super) fn wrong(file: &Path, said: &str) -> Error {
    Error::said(Op::Use, file.as_os_str().as_bytes(), said)
}

fn malformed(file: &Path, error: &pem::Error) -> Error {
    match error {
        pem::Error::MissingSectionEnd { .. } => wrong(file, "it ends within a block of PEM"),
        _ => wrong(file, "its PEM is broken"),
    }
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let failed = |error: io::Error| Error::new(Op::Open, file.as_os_str().as_bytes(), error);
    let opened = File::open(file).map_err(failed)?;
    let count = opened.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if count as u64 > LONGEST { Err(wrong(file, "it is too long for certificates and keys")) } else { Ok(text) }
}

/// More than all the roots of the world.
const LONGEST: u64 = 16 << 20;
