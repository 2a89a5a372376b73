//! What TLS needs from files and from the system: roots, certificates, keys. Each is read once; connections share it.
//!
//! Nothing of it is touched before a TLS endpoint is used: the roots of a system alone are a few hundred files.

mod identity;
mod key_log;
mod pem;
mod provider;
#[cfg(test)]
mod tests;
mod throwaway;
mod trust;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use crate::error::{Error, Op};
use crate::layer::Layer;
use crate::layer::tls::verifier::{ClientVerifier, Verifier};
use crate::layer::tls::{ClientSide, Tls};
use crate::plan::address::{TlsOptions, TlsVersion};
use identity::{Identities, Identity};
pub use key_log::check as check_key_log;
use key_log::{KeyFile, logging};
pub use trust::Trust;
use trust::{store, unusable_store};

/// What the client's side of TLS needs for one endpoint.
pub struct ClientTls {
    side: ClientSide,
    name: ServerName<'static>,
    keys: Option<Arc<KeyFile>>,
}

impl ClientTls {
    /// Reads the files that the options name, or the system's roots if the peer has to be verified by those.
    ///
    /// What is read is kept in `trust`, for other endpoints of the same command.
    ///
    /// `host` is the name or the address that is dialled, whom the certificate has to be for unless the options say
    /// otherwise; empty if there is none (a Unix socket).
    ///
    /// # Errors
    /// [`crate::ExitStatus::Usage`] for a file that cannot be read or is not what it should be, and for a host that no
    /// certificate can be for; [`crate::ExitStatus::Authentication`] where there are no roots.
    pub fn load(options: &TlsOptions, host: &str, trust: &mut Trust) -> Result<Self, Error> {
        let provider = provider::get();
        let pinned_only = !options.pin.is_empty() && options.ca.is_none();
        let is_checked = !options.insecure && !pinned_only;
        let name = server_name(options.sni.as_deref().unwrap_or(host), is_checked)?;
        let (chain, believed) =
            if is_checked { trust.roots(options.ca.as_deref(), &provider)? } else { (None, Vec::new()) };
        let verifier = Verifier {
            chain,
            believed,
            pins: options.pin.iter().map(|pin| with_padding(pin)).collect(),
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(options))
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let own = Identity::load_all(options, &provider)?.into_iter().next();
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        let keys = KeyFile::open();
        config.key_log = logging(keys.as_ref());
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(ClientTls { side: ClientSide::new(config, own.map(Identity::into_key)), name, keys })
    }

    /// The layer of one connection.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn layer(&self) -> Result<Box<dyn Layer>, Error> {
        Ok(Box::new(Tls::client(&self.side, self.name.clone(), Instant::now())?))
    }

    /// The same of one to a proxy, that leads to the peer.
    ///
    /// # Errors
    /// As [`ClientTls::layer`].
    pub fn leading_layer(&self) -> Result<Box<dyn Layer>, Error> {
        Ok(Box::new(Tls::client(&self.side, self.name.clone(), Instant::now())?.leading()))
    }

    /// Why no more keys are logged although they were to be, once.
    pub fn key_log_failure(&self) -> Option<Error> {
        self.keys.as_ref()?.take_failure()
    }
}

/// What the server's side of TLS needs for one listener; threads may share it.
pub struct ServerTls {
    options: TlsOptions,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
    tickets: usize,
    keys: Option<Arc<KeyFile>>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    pin: String,
}

impl ServerTls {
    /// Reads the files that the options name; without a certificate makes one that is forgotten with this.
    ///
    /// # Errors
    /// [`crate::ExitStatus::Usage`] for a file that cannot be read or is not what it should be.
    pub fn load(options: &TlsOptions) -> Result<Self, Error> {
        ServerTls::with_tickets(options, TICKETS)
    }

    /// The same without tickets for a client to come back with. One that closes before it has read them (a sender that
    /// never reads) resets the connection, and loses what it has just sent.
    ///
    /// # Errors
    /// As those of [`ServerTls::load`].
    pub fn without_tickets(options: &TlsOptions) -> Result<Self, Error> {
        ServerTls::with_tickets(options, 0)
    }

    fn with_tickets(options: &TlsOptions, tickets: usize) -> Result<Self, Error> {
        let provider = provider::get();
        let identities = match is_throwaway(options) {
            true => vec![throwaway::make(&provider)?],
            false => Identity::load_all(options, &provider)?,
        };
        let keys = KeyFile::open();
        let current = Current::new(options, &provider, identities, tickets)?.logging(keys.as_ref());
        Ok(ServerTls { options: options.clone(), provider, current: RwLock::new(current), tickets, keys })
    }

    /// The layer of one connection.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn layer(&self) -> Result<Box<dyn Layer>, Error> {
        Ok(Box::new(Tls::server(self.current().config)?))
    }

    /// Why no more keys are logged although they were to be, once.
    pub fn key_log_failure(&self) -> Option<Error> {
        self.keys.as_ref()?.take_failure()
    }

    /// The pin of the first certificate's key, as `--pin` takes it: `sha256/…`.
    pub fn pin(&self) -> String {
        self.current().pin
    }

    /// True if the certificate was made for this listener.
    pub fn is_throwaway(&self) -> bool {
        is_throwaway(&self.options)
    }

    /// Reads the files again, for the connections to come; a certificate that was made stays. Pipes, which may have been
    /// read at the start, are refused: whoever calls this has connections to serve and cannot wait for a writer.
    ///
    /// # Errors
    /// As those of [`ServerTls::load`]; what was read before stays in use then.
    pub fn reload(&self) -> Result<(), Error> {
        if self.is_throwaway() {
            return Ok(());
        }
        let TlsOptions { cert, key, client_ca, .. } = &self.options;
        cert.iter().chain(key).chain(client_ca).try_for_each(|file| pem::is_readable_again(file))?;
        let identities = Identity::load_all(&self.options, &self.provider)?;
        let new = Current::new(&self.options, &self.provider, identities, self.tickets)?;
        let new = new.logging(self.keys.as_ref());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Current {
    fn new(
        options: &TlsOptions,
        provider: &Arc<CryptoProvider>,
        identities: Vec<Identity>,
        tickets: usize,
    ) -> Result<Self, Error> {
        let pin = identities.first().map(Identity::pin).unwrap_or_default();
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions(options))
            .map_err(|error| unusable(&error))?;
        let builder = match &options.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let believed = pem::certificates(file)?;
                let roots = Arc::new(store(file, believed.clone())?);
                let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
                let chain = chain.map_err(|error| unusable_store(file, &error))?;
                builder.with_client_cert_verifier(Arc::new(ClientVerifier { chain, believed }))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Identities::new(identities)));
        config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.send_tls13_tickets = tickets;
        Ok(Current { config: Arc::new(config), pin })
    }

    /// The same, whose keys are written there.
    fn logging(mut self, keys: Option<&Arc<KeyFile>>) -> Self {
        Arc::make_mut(&mut self.config).key_log = logging(keys);
        self
    }
}

fn is_throwaway(options: &TlsOptions) -> bool {
    options.cert.is_empty() && options.key.is_empty()
}

/// Whom to expect. An address is not told to the server (RFC 6066, 3), and stands for nobody where nobody is checked.
fn server_name(host: &str, is_checked: bool) -> Result<ServerName<'static>, Error> {
    // the scope of a link-local address is nobody's name
    let bare = host.split_once('%').map_or(host, |(address, _)| address);
    match ServerName::try_from(bare.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if !is_checked => Ok(ServerName::from(IpAddr::from([0, 0, 0, 0]))),
        Err(_) if host.is_empty() => {
            let said = "there is no host name that the certificate could be for";
            Err(Error::said(Op::Use, "tls", said).with_advice("--sni NAME, or --pin sha256/… of the server's key"))
        }
        Err(_) => {
            let said = "no certificate can be for this host";
            Err(Error::said(Op::Use, host, said).with_advice("--sni NAME, with the name in the certificate"))
        }
    }
}

fn versions(options: &TlsOptions) -> &'static [&'static SupportedProtocolVersion] {
    match options.min {
        Some(TlsVersion::V13) => ONLY_13,
        Some(TlsVersion::V12) | None => BOTH,
    }
}

/// A pin may be written without the padding of its base64.
fn with_padding(pin: &str) -> String {
    if pin.ends_with('=') { pin.to_owned() } else { format!("{pin}=") }
}

fn unusable(error: &rustls::Error) -> Error {
    Error::said(Op::Use, "tls", crate::escape::Escaped(error.to_string().as_bytes()).to_string())
}

/// Tickets that a client gets, each for one connection (RFC 8446, C.4).
const TICKETS: usize = 2;

/// Sessions to go on with that a client remembers: a relay dials one host again and again.
const SESSIONS: usize = 32;

static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
