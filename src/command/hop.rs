//! One proxy of a way, with where it is to lead.

use std::net::SocketAddr;

use crate::error::Error;
use crate::layer::Layer;
use crate::layer::proxy::{Destination, Language, Names, Proxy};
use crate::plan::address::{self, Address, Family, Host, HostPort, Kind, Options, Place, Speaks, TlsOptions, Way};
use crate::secret::Login;

/// It.
pub(super) struct Hop {
    language: Language,
    to: HostPort,
    login: Option<Login>,
    /// What sentences call it.
    called: String,
    /// How the name of where it leads is looked up here, if it is.
    here: Option<Options>,
}

/// Those that lead to `address`, the nearest first.
pub(super) fn all(address: &Address) -> Vec<(&address::Proxy, Hop)> {
    let (Some(way), Kind::Tcp(target)) = (&address.options.way, &address.kind) else { return Vec::new() };
    way.hops(target).map(|(proxy, to)| (proxy, Hop::new(way, proxy, to, &address.options))).collect()
}

/// What has to be known for TLS to this proxy, and which host it is; `None` if there is none.
pub(super) fn tls<'a>(address: &'a Address, proxy: &address::Proxy) -> Option<(String, &'a TlsOptions)> {
    match (proxy.speaks, &proxy.at) {
        (Speaks::Https, Place::Host(at)) => Some((at.host.to_string(), &address.options.way.as_ref()?.tls)),
        _ => None,
    }
}

impl Hop {
    fn new(way: &Way, proxy: &address::Proxy, to: &HostPort, options: &Options) -> Self {
        let language = match proxy.speaks {
            Speaks::Http | Speaks::Https => Language::Http,
            Speaks::Socks5 => Language::Socks5,
            Speaks::Socks4 | Speaks::Socks4a => Language::Socks4,
        };
        let family = if language == Language::Socks4 { Some(Family::V4) } else { options.family };
        let options = Options { family, numeric: options.numeric, ..Options::default() };
        let here = way.looks_up(proxy, to).then_some(options);
        Hop { language, to: to.clone(), login: proxy.login.clone(), called: way.called(proxy), here }
    }

    /// The name that has to be looked up here, and how.
    pub(super) fn name(&self) -> Option<(&HostPort, &Options)> {
        self.here.as_ref().map(|options| (&self.to, options))
    }

    /// The layer of a connection that came up now; what was looked up for it is taken from `found`.
    ///
    /// # Errors
    /// The proxy's language has no words for it.
    pub(super) fn layer(&self, found: &mut impl Iterator<Item = SocketAddr>) -> Result<Box<dyn Layer>, Error> {
        let port = self.to.port;
        let destination = match (&self.to.host, self.here.as_ref().and_then(|_| found.next())) {
            (_, Some(found)) => Destination::Ip(found),
            (Host::Name(name), None) => Destination::Name(name.clone(), port),
            (Host::Unspecified, None) => Destination::Name("localhost".into(), port),
            (Host::V4(ip), None) => Destination::Ip((*ip, port).into()),
            (Host::V6(ip, _), None) => Destination::Ip((*ip, port).into()),
        };
        // the handshake that it is part of names the object
        let names = Names { object: String::new(), proxy: self.called.clone() };
        Ok(Box::new(Proxy::new(self.language, &destination, self.login.clone(), names)?))
    }
}
