//! Which layers stand on each new connection of one endpoint, before those of the application.
//!
//! Made once from the plan, when nothing is open yet: files are read here, so that what is wrong with them is told before
//! anybody is gone to or let in. It may be used from any thread.
//!
//! From the wire outwards: to a peer the proxies on the way, each over what the one before it made; the PROXY header;
//! then the layers of the endpoint itself, TLS and WebSocket. To a client the PROXY header has been taken off already.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::Error;
use crate::layer::Layer;
use crate::layer::prologue::Prologue;
use crate::layer::proxy::{Destination, Language, Names, Proxy};
use crate::layer::stack::Stack;
use crate::plan::address::{self, Address, Family, Host, HostPort, Kind, Options, Speaks};
use crate::secret::Login;

/// What makes the layers of each connection of an endpoint.
#[derive(Clone, Default)]
pub(super) struct Layering {
    inner: Option<Arc<Sorts>>,
}

/// Both lists have the outermost first.
struct Sorts {
    /// Above the PROXY header.
    over: Vec<Sort>,
    /// Below it.
    under: Vec<Sort>,
}

/// What makes one layer of a connection.
enum Sort {
    /// A proxy.
    Proxy(Box<Hop>),
    /// A greeting, with something behind it or not.
    #[cfg(test)]
    Chaos { leaves: bool },
}

impl Sort {
    /// The layer for a connection that came up now.
    fn layer(&self, found: &mut impl Iterator<Item = SocketAddr>) -> Result<Box<dyn Layer>, Error> {
        match *self {
            Sort::Proxy(ref hop) => hop.layer(found),
            #[cfg(test)]
            Sort::Chaos { leaves: false } => Ok(Box::new(crate::layer::testing::Chaos::new(100))),
            #[cfg(test)]
            Sort::Chaos { leaves: true } => Ok(Box::new(crate::layer::testing::Chaos::greeting())),
        }
    }
}

/// A proxy, and where it is to lead.
struct Hop {
    language: Language,
    to: HostPort,
    login: Option<Login>,
    /// What sentences call it.
    called: String,
    /// How the name of where it leads is looked up here, if it is.
    here: Option<Options>,
}

impl Hop {
    /// What stands on a connection to `address`, the outermost first.
    fn sorts(address: &Address) -> Vec<Sort> {
        let (Some(way), Kind::Tcp(target)) = (&address.options.way, &address.kind) else { return Vec::new() };
        let hop = |(proxy, to): (&address::Proxy, &HostPort)| {
            let language = match proxy.speaks {
                Speaks::Http | Speaks::Https => Language::Http,
                Speaks::Socks5 => Language::Socks5,
                Speaks::Socks4 | Speaks::Socks4a => Language::Socks4,
            };
            let family = match language {
                Language::Socks4 => Some(Family::V4),
                _ => address.options.family,
            };
            let options = Options { family, numeric: address.options.numeric, ..Options::default() };
            let here = way.looks_up(proxy, to).then_some(options);
            let (to, login, called) = (to.clone(), proxy.login.clone(), way.called(proxy));
            Sort::Proxy(Box::new(Hop { language, to, login, called, here }))
        };
        let mut sorts: Vec<_> = way.hops(target).map(hop).collect();
        sorts.reverse();
        sorts
    }

    fn layer(&self, found: &mut impl Iterator<Item = SocketAddr>) -> Result<Box<dyn Layer>, Error> {
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

impl Layering {
    /// For connections that are made to `address`.
    ///
    /// # Errors
    /// A file is missing, or of no use.
    pub(super) fn client(address: &Address) -> Result<Self, Error> {
        Ok(Layering::of(Vec::new(), Hop::sorts(address)))
    }

    /// For connections that come to `address`.
    ///
    /// # Errors
    /// As [`Layering::client`].
    pub(super) fn server(_: &Address) -> Result<Self, Error> {
        Ok(Layering::of(Vec::new(), Vec::new()))
    }

    fn of(over: Vec<Sort>, under: Vec<Sort>) -> Self {
        let bare = over.is_empty() && under.is_empty();
        Layering { inner: (!bare).then(|| Arc::new(Sorts { over, under })) }
    }

    /// One for tests: so many layers, and below them so many that leave.
    #[cfg(test)]
    pub(super) fn chaos(over: usize, under: usize) -> Self {
        let sorts = |count, leaves| (0..count).map(|_| Sort::Chaos { leaves }).collect();
        Layering::of(sorts(over, false), sorts(under, true))
    }

    /// True if nothing is done about connections before they carry payload.
    pub(super) fn is_bare(&self) -> bool {
        self.inner.is_none()
    }

    /// True if proxies are asked first.
    pub(super) fn is_led(&self) -> bool {
        let is_proxy = |sort: &Sort| matches!(sort, Sort::Proxy(_));
        self.inner.as_deref().is_some_and(|sorts| sorts.under.iter().any(is_proxy))
    }

    /// What has to be looked up for the layers of each connection, and how, in the order of [`Layering::stack_to`].
    pub(super) fn names(&self) -> impl Iterator<Item = (&HostPort, &Options)> {
        self.inner.iter().flat_map(|sorts| &sorts.under).filter_map(|sort| match sort {
            Sort::Proxy(hop) => hop.here.as_ref().map(|options| (&hop.to, options)),
            #[cfg(test)]
            Sort::Chaos { .. } => None,
        })
    }

    /// The layers of a connection that came up now, `header` being said where a PROXY header goes; `None` if it is bare.
    ///
    /// # Errors
    /// A layer cannot be made, say of a name that is none.
    pub(super) fn stack(&self, header: Option<Vec<u8>>) -> Result<Option<Box<Stack>>, Error> {
        self.stack_to(header, Vec::new())
    }

    /// The same where names were looked up first.
    ///
    /// # Errors
    /// As [`Layering::stack`].
    pub(super) fn stack_to(
        &self,
        header: Option<Vec<u8>>,
        found: Vec<SocketAddr>,
    ) -> Result<Option<Box<Stack>>, Error> {
        let mut found = found.into_iter();
        let Some(Sorts { over, under }) = self.inner.as_deref() else { return Ok(None) };
        let mut layers = Vec::with_capacity(over.len() + under.len() + 1);
        for sort in over {
            layers.push(sort.layer(&mut found)?);
        }
        if let Some(header) = header {
            layers.push(Box::new(Prologue::new(header)) as Box<dyn Layer>);
        }
        for sort in under {
            layers.push(sort.layer(&mut found)?);
        }
        Ok(Some(Box::new(Stack::new(layers, WIRE_BUFFER))))
    }
}

/// Bytes at each seam: two of the longest TLS records, see [`Stack::new`].
const WIRE_BUFFER: usize = 36 * 1024;
