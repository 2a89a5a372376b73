//! The endpoint grammar: what the user typed, parsed. `parse` and `to_os_string` are each the other's inverse.
//!
//! ```text
//! endpoint = "-" | PORT | HOST:PORT | V6/PORT | PATH | @NAME | URL
//!          | scheme *("+" scheme) *("," key ["=" value]) ":" address
//! ```
//!
//! The types are here; each file below owns one part of the grammar. Nothing is resolved or opened, and no input
//! panics: what is refused comes back as a [`BadAddress`].

mod fit;
mod host;
mod network;
mod options;
mod parse;
mod proxy;
mod render;
mod scheme;
mod spelling;
mod url;
mod values;
mod way;
mod web;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::escape::Escaped;
pub use network::{AccessList, Network};
pub use proxy::{Place, Proxy, Speaks, redacted, redacted_proxy};
pub use spelling::is_slip;
pub(super) use way::explain as explain_way;
pub use way::{ProxyDns, Way};
pub use web::{Message, WebOptions, redacted_header};

/// One endpoint: what it is, the layers on top of it, and its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Layers over the transport, outermost first: `tls+unix:` has one, `wss:` has WebSocket over TLS.
    pub layers: Vec<Layer>,
    /// What carries the bytes.
    pub kind: Kind,
    /// Options written before the first colon, or given as flags.
    pub options: Options,
}

/// A protocol over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `tls:`
    Tls,
    /// `ws:`
    WebSocket,
}

/// What carries the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `-`: standard input and output.
    Stdio,
    /// `tcp:` and everything that is a host and a port.
    Tcp(HostPort),
    /// `udp:`
    Udp(HostPort),
    /// `unix:` and `@name`.
    Unix(UnixName, UnixSocket),
    /// A bare path: a socket, a FIFO or a file, decided when it is opened.
    Path(PathBuf),
    /// `file:`
    File(PathBuf),
    /// `fifo:`
    Fifo(PathBuf),
    /// `exec:`: a program and its arguments, split on spaces.
    Exec(OsString),
    /// `sh:`: text for the shell.
    Shell(OsString),
    /// `fd:3` and `fd:3/4`: read the first, write the second.
    Fd {
        /// Descriptor to read.
        read: i32,
        /// Descriptor to write; the same for `fd:3`.
        write: i32,
    },
    /// `null:`: nothing to read, everything written is dropped.
    Null,
    /// `echo:`: what is written is read back.
    Echo,
    /// `discard:`: everything written is dropped.
    Discard,
    /// `zero:`: zero bytes without end.
    Zero,
    /// `random:`: reproducible with the option `seed`.
    Random,
    /// `text:`: these bytes, then the end of file (escapes already applied where asked for).
    Text(Vec<u8>),
    /// `http:// https:// socks5:// …`: a proxy, for `-x` only; its URL, [`redacted`].
    Proxy(String),
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments, as they are.
    Words(Vec<OsString>),
    /// Text for the shell.
    Shell(OsString),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port; 0 asks a listener for a free one.
    pub port: u16,
}

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// None was written: every address when listening, localhost when connecting.
    Unspecified,
    /// A name to resolve.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address with the scope as typed (`eth0`, `2`).
    V6(Ipv6Addr, Option<String>),
}

/// The name of a Unix socket: any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// A path in the file system.
    Path(PathBuf),
    /// A name in Linux's abstract space, without the leading NUL.
    Abstract(Vec<u8>),
}

/// The kind of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// SOCK_STREAM
    Stream,
    /// SOCK_DGRAM
    Datagram,
    /// SOCK_SEQPACKET
    Seqpacket,
}

/// Options of one endpoint; `None` and `false` mean that it was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Address family: `-4`, `-6`.
    pub family: Option<Family>,
    /// `-n`: numeric only, no name look-up.
    pub numeric: bool,
    /// `-s`: address to bind before connecting; for a group that is listened on, whose datagrams are wanted (RFC 4607).
    pub source: Option<Host>,
    /// `-p`: port to bind before connecting.
    pub source_port: Option<u16>,
    /// `iface`: SO_BINDTODEVICE; for multicast the interface.
    pub iface: Option<String>,
    /// `nodelay`: TCP_NODELAY.
    pub nodelay: bool,
    /// `keepalive[=T]`: SO_KEEPALIVE, and with a time TCP_KEEPIDLE and TCP_KEEPINTVL.
    pub keepalive: Option<Keepalive>,
    /// `user-timeout=T`: TCP_USER_TIMEOUT (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// `rcvbuf=N`: SO_RCVBUF, bytes.
    pub rcvbuf: Option<u64>,
    /// `sndbuf=N`: SO_SNDBUF, bytes.
    pub sndbuf: Option<u64>,
    /// `dscp=NAME`: differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
    /// `ttl=N`: IP_TTL, IPV6_UNICAST_HOPS, and for a group IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS; 0 only for a group.
    pub ttl: Option<u8>,
    /// `broadcast`: SO_BROADCAST.
    pub broadcast: bool,
    /// `loop`, `loop=off`: IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP.
    pub loopback: Option<bool>,
    /// `df`: never fragmented (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER).
    pub df: bool,
    /// `congestion=CC`: TCP_CONGESTION.
    pub congestion: Option<String>,
    /// `mss=N`: TCP_MAXSEG, bytes.
    pub mss: Option<u32>,
    /// `mptcp`: multipath TCP (RFC 8684), with fall-back to TCP.
    pub mptcp: bool,
    /// `listen`: accept instead of dialling (`pipe`, `fd,listen:3`).
    pub listen: bool,
    /// `mode=660`: permissions of a socket file.
    pub mode: Option<u32>,
    /// `append`: write at the end of a file.
    pub append: bool,
    /// `atomic`: write beside the file, then rename.
    pub atomic: bool,
    /// `offset=N`: start there in a file.
    pub offset: Option<u64>,
    /// `seed=N` of `random:`.
    pub seed: Option<u64>,
    /// `escapes`: the text of `text:` was written with C escapes.
    pub escapes: bool,
    /// TLS options: `sni=`, `alpn=` (comma as %2C), `insecure`, `pin=`, `ca=`, `client-ca=`, `cert=`, `key=`, `tls-min=`.
    pub tls: TlsOptions,
    /// `path=` of a WebSocket.
    pub path: Option<String>,
    /// The other options of a WebSocket.
    pub web: WebOptions,
    /// `-x`: the proxies that lead there. It has no spelling on an endpoint.
    pub way: Option<Arc<Way>>,
}

/// Options of a TLS endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// `sni=NAME`
    pub sni: Option<String>,
    /// `alpn=a%2Cb`
    pub alpn: Vec<String>,
    /// `insecure`
    pub insecure: bool,
    /// `pin=sha256/BASE64`, repeatable: one of them is enough.
    pub pin: Vec<String>,
    /// `ca=FILE`: whom to believe, instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// `client-ca=FILE`: clients have to show a certificate that this one vouches for.
    pub client_ca: Option<PathBuf>,
    /// `cert=FILE`, repeatable: a chain each, the first for whoever asks for no name or an unknown one.
    pub cert: Vec<PathBuf>,
    /// `key=FILE`, repeatable: in the order of the certificates, or none where the files of those hold the keys as well.
    pub key: Vec<PathBuf>,
    /// `tls-min=1.2|1.3`: the oldest version that is spoken.
    pub min: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246
    V12,
    /// RFC 8446
    V13,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `-4`
    V4,
    /// `-6`
    V6,
}

/// `keepalive` or `keepalive=T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// With the system's times.
    Default,
    /// First probe and interval after this long.
    Every(Duration),
}

/// Why a word is not an endpoint: one sentence, and the corrected spelling where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    /// Lower case, no full stop.
    pub cause: String,
    /// What to type instead.
    pub hint: Option<String>,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for BadAddress {}

impl BadAddress {
    /// The sentence must have passed [`Escaped`] wherever it repeats what was typed.
    fn new(cause: impl Into<String>) -> Self {
        BadAddress { cause: cause.into(), hint: None }
    }

    /// Sets the corrected spelling, unless it is too long to read or could not be typed as it would be shown.
    fn with_hint(self, spelling: impl AsRef<[u8]>) -> Self {
        const LONGEST: usize = 200;
        let spelling = spelling.as_ref();
        let clean = std::str::from_utf8(spelling).ok();
        let clean = clean.filter(|text| text.len() <= LONGEST && Escaped(spelling).to_string() == *text);
        BadAddress { hint: clean.map(str::to_owned), ..self }
    }

    /// Completes a hint that corrects only a part of the word.
    fn within(self, before: &[u8], after: &[u8]) -> Self {
        match &self.hint {
            Some(hint) => {
                let whole = [before, hint.as_bytes(), after].concat();
                self.with_hint(whole)
            }
            None => self,
        }
    }
}

/// What was typed, fit for a sentence: escaped, in quotes, and cut where it is long.
fn quoted(text: &[u8]) -> String {
    const LONGEST: usize = 60;
    match text.get(..LONGEST) {
        Some(head) if text.len() > LONGEST => format!("\"{}…\"", Escaped(head)),
        _ => format!("\"{}\"", Escaped(text)),
    }
}

impl Address {
    /// Parses one endpoint word; any bytes are legal in paths.
    ///
    /// # Errors
    /// [`BadAddress`] names what is wrong and, where it can be guessed, the right spelling.
    pub fn parse(word: &OsStr) -> Result<Address, BadAddress> {
        parse::word(word.as_bytes())
    }

    /// Parses `HOST PORT`, or one endpoint: a first word that holds `:`, `/` or `@`, is all digits or is `-` is the whole
    /// of it. An IPv6 address alone is no endpoint, so `::1 80` is `HOST PORT` too.
    ///
    /// # Errors
    /// As for [`Address::parse`]; also a word behind a whole endpoint, and a host without a port.
    pub fn parse_words(first: &OsStr, second: Option<&OsStr>) -> Result<Address, BadAddress> {
        parse::words(first.as_bytes(), second.map(OsStr::as_bytes))
    }

    /// The stream socket that `-U NAME` means: a path, or `@name` in Linux's abstract space.
    ///
    /// # Errors
    /// [`BadAddress`] if the name is empty, holds a NUL or does not fit a socket address.
    pub fn unix_path(name: &OsStr) -> Result<Address, BadAddress> {
        Ok(Address::from(Kind::Unix(parse::unix_name(name.as_bytes())?, UnixSocket::Stream)))
    }

    /// The protocol as events and messages name it: `tcp`, `unix-seqpacket`, `tls`, `wss+unix`, …; MPTCP is `tcp`,
    /// because it falls back to that.
    pub fn protocol(&self) -> &'static str {
        let over_unix = matches!(self.kind, Kind::Unix(..));
        match (self.layers.as_slice(), over_unix) {
            ([], _) => self.kind.protocol(),
            ([Layer::Tls], false) => "tls",
            ([Layer::Tls], true) => "tls+unix",
            ([Layer::WebSocket], false) => "ws",
            ([Layer::WebSocket], true) => "ws+unix",
            ([Layer::WebSocket, ..], false) => "wss",
            ([Layer::WebSocket, ..], true) => "wss+unix",
            ([Layer::Tls, ..], false) => "tls+ws",
            ([Layer::Tls, ..], true) => "tls+ws+unix",
        }
    }

    /// True for a listener that leaves the choice of its port to the system.
    pub fn asks_for_free_port(&self) -> bool {
        matches!(&self.kind, Kind::Tcp(at) | Kind::Udp(at) if at.port == 0)
    }

    /// True if the bytes go through an IP socket that haul opens.
    pub fn is_network(&self) -> bool {
        matches!(self.kind, Kind::Tcp(_) | Kind::Udp(_))
    }

    /// True if, as a place to listen, only this machine can reach it. No host is every address, and a name is believed
    /// only if it is `localhost`.
    pub fn is_loopback_or_local(&self) -> bool {
        match &self.kind {
            Kind::Tcp(at) | Kind::Udp(at) => at.host.is_loopback(),
            _ => true,
        }
    }
}

impl From<Kind> for Address {
    /// No layers and no options.
    fn from(kind: Kind) -> Self {
        Address { layers: Vec::new(), kind, options: Options::default() }
    }
}

impl Kind {
    fn protocol(&self) -> &'static str {
        match self {
            Kind::Stdio => "stdio",
            Kind::Tcp(_) => "tcp",
            Kind::Udp(_) => "udp",
            Kind::Unix(_, UnixSocket::Stream) => "unix",
            Kind::Unix(_, UnixSocket::Datagram) => "unix-dgram",
            Kind::Unix(_, UnixSocket::Seqpacket) => "unix-seqpacket",
            Kind::Path(_) => "path",
            Kind::File(_) => "file",
            Kind::Fifo(_) => "fifo",
            Kind::Exec(_) => "exec",
            Kind::Shell(_) => "sh",
            Kind::Fd { .. } => "fd",
            Kind::Null => "null",
            Kind::Echo => "echo",
            Kind::Discard => "discard",
            Kind::Zero => "zero",
            Kind::Random => "random",
            Kind::Text(_) => "text",
            Kind::Proxy(_) => "proxy",
        }
    }
}
