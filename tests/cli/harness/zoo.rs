//! Certificates of every kind, made for one test in a directory of its own.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::{file_with, scratch};

/// An authority, and where its certificates are.
pub struct Zoo {
    home: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as files.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    pub fn cert(&self) -> &str {
        self.cert.to_str().unwrap()
    }

    pub fn key(&self) -> &str {
        self.key.to_str().unwrap()
    }
}

impl Zoo {
    pub fn new() -> Zoo {
        let home = scratch();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = named("an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        file_with(home.path(), "ca.pem", &pem("CERTIFICATE", own.der()));
        Zoo { home, issuer: Issuer::new(params, key) }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The file with the authority's own certificate.
    pub fn ca(&self) -> String {
        self.home.path().join("ca.pem").to_str().unwrap().to_string()
    }

    /// For localhost and 127.0.0.1, this year.
    pub fn good(&self) -> Pair {
        self.issue("good", &["localhost", "127.0.0.1"], 2099)
    }

    /// For these hosts, until the beginning of that year.
    pub fn issue(&self, file: &str, hosts: &[&str], until: i32) -> Pair {
        self.sign(file, hosts, until, &KeyPair::generate().unwrap(), |_| {})
    }

    /// The certificate of an authority below this one, which names hosts as if it were theirs.
    pub fn authority(&self, file: &str, hosts: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        self.sign(file, hosts, 2099, &key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// For localhost and 127.0.0.1, with a key in PKCS #8 that others have made.
    pub fn adopt(&self, file: &str, key: &[u8]) -> Pair {
        self.sign(file, &["localhost", "127.0.0.1"], 2099, &KeyPair::try_from(key).unwrap(), |_| {})
    }

    fn sign(
        &self,
        file: &str,
        hosts: &[&str],
        until: i32,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = named(file);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let cert = file_with(self.home(), &format!("{file}.pem"), &pem("CERTIFICATE", certificate.der()));
        let key = file_with(self.home(), &format!("{file}.key"), &pem("PRIVATE KEY", &key.serialize_der()));
        Pair { cert, key }
    }

    /// The same with the key in the file of the certificate, as some servers want it.
    pub fn joined(&self, pair: &Pair) -> PathBuf {
        let both = [std::fs::read(&pair.cert).unwrap(), std::fs::read(&pair.key).unwrap()].concat();
        file_with(self.home(), "joined.pem", &both)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digit = |at: usize| if at <= three.len() { DIGITS[(bits >> (18 - 6 * at)) as usize & 63] } else { b'=' };
        text.extend((0..4).map(digit));
    }
    let mut lines = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in text.chunks(64) {
        lines.extend(line);
        lines.push(b'\n');
    }
    lines.extend(format!("-----END {label}-----\n").into_bytes());
    lines
}
