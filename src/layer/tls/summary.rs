//! What was agreed on, and with whom: for `-v`.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::certificate::{Certificate, moment};
use super::refusal::listed;
use crate::escape::Escaped;

/// A TLS connection whose handshake is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// `TLS 1.3`
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`
    pub suite: String,
    /// The group of the key exchange, unless there was none: `X25519MLKEM768`.
    pub group: Option<String>,
    /// The protocol of ALPN, escaped.
    pub alpn: Option<String>,
    /// It goes on with the keys of an earlier connection.
    pub resumed: bool,
    /// What the peer showed.
    pub certificate: Option<Shown>,
}

/// A certificate that was shown; all texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `CN=a.example`
    pub subject: String,
    /// `CN=Example CA`
    pub issuer: String,
    /// The hosts it is for.
    pub names: Vec<String>,
    /// `2026-11-20 12:00:00 UTC`
    pub not_before: String,
    /// The same.
    pub not_after: String,
    /// `ECDSA P-256`
    pub key: String,
    /// `sha256/…`, of its key.
    pub pin: String,
}

impl Summary {
    pub(super) fn of(connection: &CommonState) -> Option<Summary> {
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "TLS 1.2",
        };
        let suite = format!("{:?}", connection.negotiated_cipher_suite()?.suite());
        let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let alpn = connection.alpn_protocol().map(|name| Escaped(name).to_string());
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let first = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = first.and_then(|der| Certificate::parse(der)).map(|certificate| Shown::of(&certificate));
        Some(Summary { version, suite, group, alpn, resumed, certificate })
    }

    /// Lines for a person, without names of their own: what was agreed on, then what the peer showed.
    pub fn lines(&self) -> Vec<String> {
        let mut agreed = format!("{}, {}", self.version, self.suite);
        for part in [&self.group, &self.alpn.as_ref().map(|name| format!("ALPN {name}"))].into_iter().flatten() {
            agreed = format!("{agreed}, {part}");
        }
        if self.resumed {
            agreed.push_str(", resumed");
        }
        let mut lines = vec![agreed];
        if let Some(shown) = &self.certificate {
            let subject = if shown.subject.is_empty() { "without a subject" } else { &shown.subject };
            let names = if shown.names.is_empty() { "no host".into() } else { listed(&shown.names) };
            lines.push(format!("certificate {subject}, for {names}, from {}", shown.issuer));
            lines.push(format!("valid {} to {}", shown.not_before, shown.not_after));
            lines.push(format!("{}, pin {}", shown.key, shown.pin));
        }
        lines
    }
}

impl Shown {
    fn of(certificate: &Certificate) -> Shown {
        Shown {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            names: certificate.names.clone(),
            not_before: moment(certificate.not_before),
            not_after: moment(certificate.not_after),
            key: certificate.key(),
            pin: certificate.pin(),
        }
    }
}
