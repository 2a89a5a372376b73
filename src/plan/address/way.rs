//! The way to an endpoint through proxies (`-x`).

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use super::{Address, Host, HostPort, Kind, Options, Place, Proxy, TlsOptions, UnixSocket};
use crate::escape::Escaped;

/// One proxy after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The proxies, the nearest first. Invariant: at least one.
    pub proxies: Vec<Proxy>,
    /// `--proxy-dns`: who looks names up; by default a proxy that can.
    pub names: Option<ProxyDns>,
    /// `--proxy-auth`: where the logins of proxies that have none in their URL are read from.
    pub logins: Option<PathBuf>,
    /// What proxies that are spoken to over TLS have to show.
    pub tls: TlsOptions,
}

/// Who looks up the name of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyDns {
    /// haul.
    Local,
    /// The proxy that leads to it.
    Remote,
}

impl Way {
    /// The first proxy as something to connect to: with the options of the target, which are about this machine's socket.
    pub fn first(&self, options: &Options) -> Option<Address> {
        let kind = match &self.proxies.first()?.at {
            Place::Host(at) => Kind::Tcp(at.clone()),
            Place::Unix(name) => Kind::Unix(name.clone(), UnixSocket::Stream),
        };
        Some(Address { layers: Vec::new(), kind, options: Options { way: None, ..options.clone() } })
    }

    /// Each proxy with where it is to lead, `target` last.
    pub fn hops<'a>(&'a self, target: &'a HostPort) -> impl Iterator<Item = (&'a Proxy, &'a HostPort)> {
        let next = self.proxies.iter().skip(1).filter_map(|proxy| match &proxy.at {
            Place::Host(at) => Some(at),
            Place::Unix(_) => None,
        });
        self.proxies.iter().zip(next.chain(std::iter::once(target)))
    }

    /// What sentences call a proxy of this way.
    pub fn called(&self, proxy: &Proxy) -> String {
        if self.proxies.len() > 1 { proxy.to_string() } else { "the proxy".into() }
    }

    /// True if a name that this proxy is to lead to is looked up here.
    pub fn looks_up(&self, proxy: &Proxy, to: &HostPort) -> bool {
        let named = matches!(to.host, Host::Name(_) | Host::Unspecified);
        named && (self.names == Some(ProxyDns::Local) || !proxy.knows_names())
    }
}

/// As in messages: `socks5://a:1080 and http://b:1080`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxies: Vec<_> = self.proxies.iter().map(ToString::to_string).collect();
        f.write_str(&proxies.join(" and "))
    }
}

impl Address {
    /// What is connected to: the first proxy on the way, or this endpoint itself.
    pub fn dialled(&self) -> Cow<'_, Address> {
        let proxy = self.options.way.as_ref().and_then(|way| way.first(&self.options));
        proxy.map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// `db:5432 through socks5://proxy:1080`, or the object alone.
    pub fn with_way(&self, object: &[u8]) -> Vec<u8> {
        match &self.options.way {
            Some(way) => [object, format!(" through {way}").as_bytes()].concat(),
            None => object.to_vec(),
        }
    }
}

/// What `--explain` says of a way.
pub(in crate::plan) fn explain(address: &Address, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (Some(way), Kind::Tcp(to)) = (&address.options.way, &address.kind) else { return Ok(()) };
    let proxies: Vec<_> = way.proxies.iter().map(ToString::to_string).collect();
    writeln!(f, "go to {address} through {}", proxies.join(", then "))?;
    for (proxy, to) in way.hops(to) {
        if let Host::Name(name) = &to.host {
            let who = if way.looks_up(proxy, to) { "here".into() } else { format!("by {proxy}") };
            writeln!(f, "have {name} looked up {who}")?;
        }
    }
    if let Some(file) = &way.tls.ca {
        let file = Escaped(file.as_os_str().as_encoded_bytes());
        writeln!(f, "believe a proxy whose certificate is signed by one in {file}")?;
    }
    match &way.logins {
        Some(file) => writeln!(f, "log in as {} says", Escaped(file.as_os_str().as_encoded_bytes())),
        None => Ok(()),
    }
}
