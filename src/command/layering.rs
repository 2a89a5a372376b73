//! Which layers stand on each new connection of one endpoint, before those of the application.
//!
//! Made once from the plan, when nothing is open yet: files are read here, so that what is wrong with them is told before
//! anybody is gone to or let in. It may be used from any thread.
//!
//! From the wire outwards: to a peer the proxies on the way, each over what the one before it made; the PROXY header;
//! then the layers of the endpoint itself, TLS and WebSocket. To a client the PROXY header has been taken off already.

use std::net::SocketAddr;
use std::sync::Arc;

use super::hop::{self, Hop};
use super::web::Web;
use crate::endpoint::accept::Acceptor;
use crate::endpoint::credentials::{ClientTls, ServerTls, Trust, check_key_log};
use crate::endpoint::printed;
use crate::error::Error;
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::layer;
use crate::layer::prologue::Prologue;
use crate::layer::stack::Stack;
use crate::plan::address::{Address, HostPort, Layer, Options};
use crate::plan::tls;

/// What makes the layers of each connection of an endpoint.
#[derive(Clone, Default)]
pub(super) struct Layering {
    inner: Option<Arc<Sorts>>,
    /// What connections are called with their layers; `None` for what they are called without.
    protocol: Option<&'static str>,
}

/// Both lists have the outermost first.
struct Sorts {
    /// Above the PROXY header.
    over: Vec<Sort>,
    /// Below it.
    under: Vec<Sort>,
}

/// Whether a client is expected to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It may be one of many that come and go.
    Likely,
    /// It comes to give or to take something, once.
    Unlikely,
}

/// What makes one layer of a connection.
enum Sort {
    /// A proxy.
    Proxy(Box<Hop>),
    /// TLS to a proxy.
    ProxyTls(ClientTls),
    /// WebSocket.
    Web(Box<Web>),
    ClientTls(ClientTls),
    ServerTls(Arc<ServerTls>),
    /// A greeting, with something behind it or not.
    #[cfg(test)]
    Chaos {
        leaves: bool,
    },
}

impl Sort {
    /// The layer for a connection that came up now.
    fn layer(&self, found: &mut impl Iterator<Item = SocketAddr>) -> Result<Box<dyn layer::Layer>, Error> {
        match self {
            Sort::Proxy(hop) => hop.layer(found),
            Sort::Web(web) => web.layer(),
            Sort::ProxyTls(credentials) => credentials.leading_layer(),
            Sort::ClientTls(credentials) => credentials.layer(),
            Sort::ServerTls(credentials) => credentials.layer(),
            #[cfg(test)]
            Sort::Chaos { leaves: false } => Ok(Box::new(crate::layer::testing::Chaos::new(100))),
            #[cfg(test)]
            Sort::Chaos { leaves: true } => Ok(Box::new(crate::layer::testing::Chaos::greeting())),
        }
    }
}

impl Layering {
    /// For connections that are made to `address`.
    ///
    /// # Errors
    /// A file is missing, or of no use.
    pub(super) fn client(address: &Address) -> Result<Self, Error> {
        Layering::client_with(address, &mut Trust::default())
    }

    /// The same, where roots may have been read for another endpoint.
    ///
    /// # Errors
    /// As [`Layering::client`].
    pub(super) fn client_with(address: &Address, trust: &mut Trust) -> Result<Self, Error> {
        let over = address.layers.iter().map(|layer| match layer {
            Layer::Tls => {
                let host = tls::host(address).unwrap_or_default();
                ClientTls::load(&address.options.tls, &host, trust).map(Sort::ClientTls)
            }
            Layer::WebSocket => Web::client(address).map(|web| Sort::Web(Box::new(web))),
        });
        let over = over.collect::<Result<_, _>>()?;
        Ok(Layering::of(address, over, under(address, trust)?))
    }

    /// For connections that come to `address`.
    ///
    /// # Errors
    /// As [`Layering::client`].
    pub(super) fn server(address: &Address, again: Again) -> Result<Self, Error> {
        let tls = match again {
            Again::Likely => ServerTls::load,
            Again::Unlikely => ServerTls::without_tickets,
        };
        let over = address.layers.iter().map(|layer| match layer {
            Layer::Tls => tls(&address.options.tls).map(|credentials| Sort::ServerTls(credentials.into())),
            Layer::WebSocket => Web::server(address).map(|web| Sort::Web(Box::new(web))),
        });
        Ok(Layering::of(address, over.collect::<Result<_, _>>()?, Vec::new()))
    }

    /// The same where somebody may type lines; must come before it is shared.
    pub(super) fn typed(mut self, typed: bool) -> Self {
        if typed {
            self.webs().for_each(Web::typed);
        }
        self
    }

    /// The same where what comes in goes out to others; must come after [`Layering::typed`], and before it is shared.
    pub(super) fn shared(mut self, shared: bool) -> Self {
        if shared {
            self.webs().for_each(Web::shared);
        }
        self
    }

    /// True where what is sent is taken apart into lines, each of them a message.
    pub(super) fn speaks_lines(&self) -> bool {
        let speaks = |sort: &Sort| matches!(sort, Sort::Web(web) if web.speaks_lines());
        self.inner.as_deref().is_some_and(|sorts| sorts.over.iter().any(speaks))
    }

    /// The WebSockets, as long as nobody else has them.
    fn webs(&mut self) -> impl Iterator<Item = &mut Web> {
        let sorts = self.inner.as_mut().and_then(Arc::get_mut);
        sorts.into_iter().flat_map(|sorts| &mut sorts.over).filter_map(|sort| match sort {
            Sort::Web(web) => Some(&mut **web),
            _ => None,
        })
    }

    fn of(address: &Address, over: Vec<Sort>, under: Vec<Sort>) -> Self {
        let protocol = (!address.layers.is_empty()).then(|| address.protocol());
        let bare = over.is_empty() && under.is_empty();
        Layering { inner: (!bare).then(|| Arc::new(Sorts { over, under })), protocol }
    }

    /// What a listener shows its clients, if that is TLS.
    pub(super) fn credentials(&self) -> Option<&ServerTls> {
        self.inner.as_deref()?.over.iter().find_map(|sort| match sort {
            Sort::ServerTls(credentials) => Some(&**credentials),
            _ => None,
        })
    }

    /// Tells how to reach a listener whose certificate was made for this run: nobody could know its pin otherwise.
    /// `subcommand` is what reaches it.
    pub(super) fn tell_pin(&self, subcommand: &str, acceptor: &Acceptor, observer: &dyn Observer) {
        let Some(credentials) = self.credentials().filter(|credentials| credentials.is_throwaway()) else { return };
        let pin = credentials.pin();
        let is_web = self.inner.iter().any(|sorts| sorts.over.iter().any(|sort| matches!(sort, Sort::Web(_))));
        let how = match (acceptor.ip(), acceptor.port()) {
            (Some(ip), Some(port)) if is_web && ip.is_unspecified() => format!("--pin {pin} wss://HOST:{port}/"),
            (Some(ip), Some(port)) if is_web => format!("--pin {pin} wss://{}/", std::net::SocketAddr::new(ip, port)),
            _ if is_web => format!("--pin {pin} wss+unix:{}", acceptor.address()),
            (Some(ip), Some(port)) if ip.is_unspecified() => format!("--tls --pin {pin} HOST {port}"),
            (Some(ip), Some(port)) => format!("--tls --pin {pin} {ip} {port}"),
            _ if subcommand == "bench" => format!("--pin {pin} tls+unix:{}", acceptor.address()),
            _ => format!("--tls --pin {pin} -U {}", acceptor.address()),
        };
        let text = format!("certificate made for this run: haul {subcommand} {how}");
        observer.observe(&Event::Note { verbosity: 0, text });
    }

    /// Reads the certificates of a listener again, for connections to come.
    ///
    /// # Errors
    /// A file is missing, or of no use; what was read before stays in use.
    pub(super) fn reload(&self) -> Result<(), Error> {
        self.credentials().map_or(Ok(()), ServerTls::reload)
    }

    /// One for tests: so many layers, and below them so many that leave.
    #[cfg(test)]
    pub(super) fn chaos(over: usize, under: usize) -> Self {
        let sorts = |count, leaves| (0..count).map(|_| Sort::Chaos { leaves }).collect();
        Layering::of(&Address::from(crate::plan::address::Kind::Stdio), sorts(over, false), sorts(under, true))
    }

    /// Why no more keys are logged (SSLKEYLOGFILE), once.
    pub(super) fn key_log_failure(&self) -> Option<Error> {
        let Sorts { over, under } = self.inner.as_deref()?;
        over.iter().chain(under).find_map(|sort| match sort {
            Sort::ProxyTls(credentials) | Sort::ClientTls(credentials) => credentials.key_log_failure(),
            Sort::ServerTls(credentials) => credentials.key_log_failure(),
            _ => None,
        })
    }

    /// What a connection, or a listener, is called with its layers; `bare` is its name without.
    pub(super) fn protocol(&self, bare: &'static str) -> &'static str {
        self.protocol.unwrap_or(bare)
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
            Sort::Proxy(hop) => hop.name(),
            _ => None,
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
            layers.push(Box::new(Prologue::new(header)) as Box<dyn layer::Layer>);
        }
        for sort in under {
            layers.push(sort.layer(&mut found)?);
        }
        Ok(Some(Box::new(Stack::new(layers, WIRE_BUFFER))))
    }
}

/// The proxies that lead to `address`, the farthest first, each with what it is reached by.
fn under(address: &Address, trust: &mut Trust) -> Result<Vec<Sort>, Error> {
    let mut sorts = Vec::new();
    for (proxy, hop) in hop::all(address) {
        if let Some((host, options)) = hop::tls(address, proxy) {
            sorts.push(Sort::ProxyTls(ClientTls::load(options, &host, trust)?));
        }
        sorts.push(Sort::Proxy(Box::new(hop)));
    }
    sorts.reverse();
    Ok(sorts)
}

/// Tells of these endpoints, before anything is done, what is not as secret as TLS is meant to be: peers that are gone to
/// without knowing who they are; and that keys which were to be logged will not be.
pub(super) fn remind<'a>(addresses: impl IntoIterator<Item = &'a Address>, observer: &dyn Observer) {
    let tell = |text| observer.observe(&Event::Note { verbosity: 0, text });
    let mut logs = false;
    for address in addresses {
        let is_encrypted = address.layers.contains(&Layer::Tls);
        logs |= is_encrypted || hop::all(address).iter().any(|(proxy, _)| hop::tls(address, proxy).is_some());
        if is_encrypted && address.options.tls.insecure && !address.options.listen {
            let name = printed::object(address, "localhost");
            tell(format!("{} is not verified, whoever it is (--insecure)", Escaped(&name)));
        }
    }
    if logs && let Err(error) = check_key_log() {
        tell(unlogged(&error));
    }
}

/// That keys which were to be logged are not.
pub(super) fn unlogged(error: &Error) -> String {
    format!("{}, so that no keys are logged (SSLKEYLOGFILE)", error.line())
}

/// Bytes at each seam of layers that have no wish of their own.
const WIRE_BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::address::{Proxy, TlsOptions, Way};

    // The wire is kept for the answer of a peer that was told our end: TLS that ends at a proxy tells the peer nothing.
    #[test]
    fn only_tls_to_the_peer_itself_tells_it_our_end() {
        let proxies = vec![Proxy::parse("https://192.0.2.1:8443".as_ref()).unwrap()];
        let tls = TlsOptions { insecure: true, ..TlsOptions::default() };
        let way = Arc::new(Way { proxies, names: None, logins: None, tls });
        for (word, says) in [("tcp:192.0.2.2:443", false), ("tls,insecure:192.0.2.2:443", true)] {
            let mut address = Address::parse(word.as_ref()).unwrap();
            address.options.way = Some(Arc::clone(&way));
            let layering = Layering::client(&address).unwrap();
            assert!(layering.is_led());
            let stack = layering.stack(None).unwrap().expect("layers stand on it");
            assert_eq!(stack.says_end(), says, "{word}");
        }
    }
}
