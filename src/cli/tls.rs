//! The flags about TLS, which several subcommands share.

use std::path::PathBuf;

use clap::ValueHint;

use super::value::{self, Choice, Value};
use crate::plan::address::{TlsOptions, TlsVersion};
use crate::plan::tls::TlsFlags;

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct Tls {
    /// Encrypt the connection with TLS 1.3 or 1.2; the peer has to prove who it is.
    ///
    /// Whoever connects verifies the name that it connects to by the system's roots, unless --ca, --pin or --insecure say
    /// otherwise, and nothing is sent before that. Whoever listens without --cert has a certificate made that is
    /// forgotten at the end, and its pin printed. See haul help tls.
    #[arg(long)]
    tls: bool,

    /// Show the peer the certificate in this PEM file, with its chain; a listener may have several, one for each name.
    #[arg(long, value_name = "FILE", value_parser = Value(|v| value::setting("cert", v, |mut o| o.tls.cert.pop())),
          value_hint = ValueHint::FilePath)]
    cert: Vec<PathBuf>,

    /// The private key for --cert, in PEM [default: the file of the certificate holds it as well]
    #[arg(long, value_name = "FILE", value_parser = Value(|v| value::setting("key", v, |mut o| o.tls.key.pop())),
          value_hint = ValueHint::FilePath)]
    key: Vec<PathBuf>,

    /// When connecting, believe the certificates in this PEM file alone [default: the system's roots]
    #[arg(long, value_name = "FILE", value_parser = Value(|v| value::setting("ca", v, |o| o.tls.ca)),
          value_hint = ValueHint::FilePath)]
    ca: Option<PathBuf>,

    /// When listening, accept only clients whose certificate is in this PEM file, or that one in it vouches for [default: anybody]
    #[arg(long, value_name = "FILE", value_parser = Value(|v| value::setting("client-ca", v, |o| o.tls.client_ca)),
          value_hint = ValueHint::FilePath)]
    client_ca: Option<PathBuf>,

    /// When connecting, ask for NAME, which the certificate has to be for [default: the host]
    #[arg(long, value_name = "NAME", value_parser = Value(|v| value::setting("sni", v, |o| o.tls.sni)))]
    sni: Option<String>,

    /// Offer these application protocols, or listen to offers of only these, say h2,http/1.1 [default: none]
    ///
    /// It is the client that offers (RFC 7301): a listener refuses one that offers others, and serves one that offers
    /// nothing. A server that knows nothing of such offers is taken as it is.
    #[arg(long, value_name = "NAME,…", value_parser = Value(|v| value::setting("alpn", v, |o| Some(Names(o.tls.alpn)))))]
    alpn: Option<Names>,

    /// When connecting, accept the peer by its public key, alone unless there is --ca; may be repeated [default: by its certificate]
    #[arg(long, value_name = "sha256/…", value_parser = Value(|v| value::setting("pin", v, |mut o| o.tls.pin.pop())))]
    pin: Vec<String>,

    /// When connecting, accept any peer, whoever it is.
    #[arg(long)]
    insecure: bool,

    /// The oldest version of TLS that is spoken [default: 1.2]
    #[arg(long, value_name = "VERSION", value_parser = VERSIONS)]
    tls_min: Option<TlsVersion>,
}

const VERSIONS: Choice<TlsVersion> = Choice(&[("1.2", TlsVersion::V12, ""), ("1.3", TlsVersion::V13, "")]);

/// A list that is one value: clap takes a plain `Vec` for many.
#[derive(Clone, Debug)]
struct Names(Vec<String>);

impl Tls {
    /// What was given.
    pub(super) fn flags(self) -> TlsFlags {
        let Tls { tls, cert, key, ca, client_ca, sni, alpn, pin, insecure, tls_min } = self;
        let alpn = alpn.map_or_else(Vec::new, |names| names.0);
        TlsFlags { tls, options: TlsOptions { sni, alpn, insecure, pin, ca, client_ca, cert, key, min: tls_min } }
    }
}
