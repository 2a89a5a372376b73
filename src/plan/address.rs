//! The endpoint grammar: what the user typed, parsed. `parse` and `Display` are each the other's inverse.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

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
    /// `http:// https:// socks5://`: a proxy, for `-x` only; the URL as typed.
    Proxy(String),
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
    /// `-s`: address to bind before connecting.
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
    /// `ttl=N`: IP_TTL, IPV6_UNICAST_HOPS.
    pub ttl: Option<u8>,
    /// `congestion=CC`: TCP_CONGESTION.
    pub congestion: Option<String>,
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
    /// TLS options: `sni=`, `alpn=` (comma as %2C), `insecure`, `pin=`, `ca=`, `cert=`, `key=` …
    pub tls: TlsOptions,
    /// `path=` of a WebSocket.
    pub path: Option<String>,
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
    /// `pin=sha256/BASE64`
    pub pin: Option<String>,
    /// `ca=FILE`
    pub ca: Option<PathBuf>,
    /// `cert=FILE`
    pub cert: Option<PathBuf>,
    /// `key=FILE`
    pub key: Option<PathBuf>,
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

impl Address {
    /// Parses one endpoint word; any bytes are legal in paths.
    ///
    /// # Errors
    /// [`BadAddress`] names what is wrong and, where it can be guessed, the right spelling.
    pub fn parse(_word: &OsStr) -> Result<Address, BadAddress> {
        Err(BadAddress { cause: String::new(), hint: None })
    }
}
