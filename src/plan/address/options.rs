//! The options of an endpoint: `nodelay`, `iface=eth1`, …, in front of its first colon.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::fit::Home;
use super::spelling::nearest;
use super::{
    BadAddress, Family, Host, HostPort, Keepalive, Kind, Layer, Message, Options, UnixSocket, quoted, values, web,
};

/// What stood between the scheme and the colon.
#[derive(Default)]
pub(super) struct Given {
    pub(super) options: Options,
    pub(super) socket: Option<UnixSocket>,
    keys: Vec<&'static Key>,
}

/// One option word.
struct Key {
    word: &'static str,
    home: Home,
    set: Set,
}

/// What an option word does.
enum Set {
    Flag(fn(&mut Options)),
    /// What the value is, in capitals for a hint, and who takes it.
    Value(&'static str, Setter),
    /// A value may follow or not.
    Either(fn(&mut Options), Setter),
    Socket(UnixSocket),
}

type Setter = fn(&mut Options, &[u8]) -> Result<(), BadAddress>;

impl Given {
    /// Parses `word[from..to]`, options separated by commas; hints are spellings of the whole word.
    pub(super) fn parse(word: &[u8], from: usize, to: usize) -> Result<Given, BadAddress> {
        let mut given = Given::default();
        let mut at = from;
        for piece in word[from..to].split(|byte| *byte == b',') {
            let end = at + piece.len();
            given.add(piece).map_err(|error| error.within(&word[..at], &word[end..]))?;
            at = end + 1;
        }
        Ok(given)
    }

    /// Hints are spellings of the piece.
    fn add(&mut self, piece: &[u8]) -> Result<(), BadAddress> {
        let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => (&piece[..at], Some(&piece[at + 1..])),
            None => (piece, None),
        };
        let key = find(name).map_err(|error| error.within(b"", &piece[name.len()..]))?;
        for other in &self.keys {
            if other.word == key.word && !REPEATABLE.contains(&key.word) {
                return Err(BadAddress::new(format!("option {} is given twice", key.word)));
            }
            if EXCLUSIVE.iter().any(|pair| pair.contains(&key.word) && pair.contains(&other.word)) {
                return Err(BadAddress::new(format!("options {} and {} exclude each other", other.word, key.word)));
            }
        }
        self.keys.push(key);
        match (&key.set, value) {
            (Set::Socket(socket), None) => {
                self.socket = Some(*socket);
                Ok(())
            }
            (_, None) => key.apply(&mut self.options, None),
            (_, Some(raw)) => {
                let before = [key.word.as_bytes(), b"="].concat();
                let decoded = values::percent_decoded(raw).map_err(|error| key.blame(error).within(&before, b""))?;
                key.apply(&mut self.options, Some(&decoded))
            }
        }
    }

    /// Refuses the first option that is not at home on such an endpoint.
    pub(super) fn check(&self, kind: &Kind, layers: &[Layer], scheme: &str) -> Result<(), BadAddress> {
        match self.keys.iter().find(|key| !key.home.takes(kind, layers)) {
            None if self.options.ttl == Some(0) && !is_group(kind) => {
                Err(BadAddress::new("option ttl: it is a number from 1 to 255"))
            }
            None => Ok(()),
            Some(Key { word, home, .. }) => {
                Err(BadAddress::new(format!("option {word} is for {} endpoints, not for {scheme}", home.name())))
            }
        }
    }
}

impl Options {
    /// Sets one option by its endpoint spelling, `set("dscp", Some("ef"))`, as a flag of the same name does; the
    /// value is taken literally, without percent signs.
    ///
    /// # Errors
    /// [`BadAddress`] for an unknown name and a value that does not fit; the hint is spelled as on an endpoint.
    pub fn set(&mut self, name: &str, value: Option<&OsStr>) -> Result<(), BadAddress> {
        find(name.as_bytes())?.apply(self, value.map(OsStr::as_bytes))
    }
}

impl Key {
    /// The value is decoded; the hint is a spelling of `key=value`.
    fn apply(&self, options: &mut Options, value: Option<&[u8]>) -> Result<(), BadAddress> {
        let word = self.word;
        let setter = match (&self.set, value) {
            (Set::Flag(set) | Set::Either(set, _), None) => {
                set(options);
                return Ok(());
            }
            (Set::Flag(_) | Set::Socket(_), Some(_)) => {
                return Err(BadAddress::new(format!("option {word} takes no value")).with_hint(word));
            }
            (Set::Value(shape, _), None) => {
                return Err(
                    BadAddress::new(format!("option {word} needs a value")).with_hint(format!("{word}={shape}"))
                );
            }
            (Set::Socket(_), None) => return Err(BadAddress::new(format!("option {word} is for unix endpoints"))),
            (Set::Value(..) | Set::Either(..), Some(b"")) => {
                return Err(BadAddress::new(format!(
                    "option {word} has an empty value (a colon in it is written %3A)"
                )));
            }
            (Set::Value(_, setter) | Set::Either(_, setter), Some(value)) => (setter, value),
        };
        let (setter, value) = setter;
        setter(options, value).map_err(|error| {
            let hint = error.hint.as_ref().map(|hint| values::percent_encoded(hint.as_bytes()));
            let error = self.blame(error);
            match hint {
                Some(hint) => error.with_hint([word.as_bytes(), b"=", &hint].concat()),
                None => error,
            }
        })
    }

    fn blame(&self, error: BadAddress) -> BadAddress {
        BadAddress { cause: format!("option {}: {}", self.word, error.cause), ..error }
    }
}

/// A datagram to a group may have no hop to go: it stays on this machine. What a name stands for shows later.
fn is_group(kind: &Kind) -> bool {
    match kind {
        Kind::Udp(HostPort { host: Host::V4(ip), .. }) => ip.is_multicast(),
        Kind::Udp(HostPort { host: Host::V6(ip, _), .. }) => ip.is_multicast(),
        Kind::Udp(HostPort { host: Host::Name(_), .. }) => true,
        _ => false,
    }
}

fn find(name: &[u8]) -> Result<&'static Key, BadAddress> {
    if let Some(key) = KEYS.iter().find(|key| key.word.as_bytes() == name) {
        return Ok(key);
    }
    if name.is_empty() {
        return Err(BadAddress::new("an option is missing between the commas"));
    }
    let error = BadAddress::new(format!("there is no option {}", quoted(name)));
    Err(match nearest(name, KEYS.iter().map(|key| key.word)) {
        Some(right) => error.with_hint(right),
        None => error,
    })
}

/// Only one of each pair can be meant.
const EXCLUSIVE: &[[&str; 2]] = &[["4", "6"], ["dgram", "seqpacket"], ["append", "atomic"], ["text", "binary"]];

/// Each time adds one.
const REPEATABLE: &[&str] = &["pin", "cert", "key", "header", "subprotocol", "origin"];

const KEYS: &[Key] = &[
    flag("4", Home::Ip, |o| o.family = Some(Family::V4)),
    flag("6", Home::Ip, |o| o.family = Some(Family::V6)),
    flag("numeric", Home::Ip, |o| o.numeric = true),
    value("source", "ADDR", Home::Ip, |o, v| put(&mut o.source, values::host(v))),
    value("source-port", "PORT", Home::Ip, |o, v| put(&mut o.source_port, values::number(v, 0, u16::MAX))),
    value("iface", "NAME", Home::Ip, |o, v| put(&mut o.iface, values::interface(v))),
    flag("nodelay", Home::Tcp, |o| o.nodelay = true),
    Key {
        word: "keepalive",
        home: Home::Tcp,
        set: Set::Either(
            |o| o.keepalive = Some(Keepalive::Default),
            |o, v| put(&mut o.keepalive, values::keepalive(v).map(Keepalive::Every)),
        ),
    },
    value("user-timeout", "TIME", Home::Tcp, |o, v| put(&mut o.user_timeout, values::user_timeout(v))),
    value("rcvbuf", "SIZE", Home::Socket, |o, v| put(&mut o.rcvbuf, values::buffer_size(v))),
    value("sndbuf", "SIZE", Home::Socket, |o, v| put(&mut o.sndbuf, values::buffer_size(v))),
    value("dscp", "NAME", Home::Ip, |o, v| put(&mut o.dscp, values::dscp(v))),
    value("ttl", "N", Home::Ip, |o, v| put(&mut o.ttl, values::number(v, 0, 255))),
    flag("broadcast", Home::Udp, |o| o.broadcast = true),
    Key {
        word: "loop",
        home: Home::Udp,
        set: Set::Either(|o| o.loopback = Some(true), |o, v| put(&mut o.loopback, values::switch(v))),
    },
    flag("df", Home::Udp, |o| o.df = true),
    value("congestion", "NAME", Home::Tcp, |o, v| put(&mut o.congestion, values::congestion(v))),
    value("mss", "N", Home::Tcp, |o, v| put(&mut o.mss, values::number(v, 88, 32_767))),
    flag("mptcp", Home::Tcp, |o| o.mptcp = true),
    flag("listen", Home::Listener, |o| o.listen = true),
    value("mode", "660", Home::Unix, |o, v| put(&mut o.mode, values::mode(v))),
    Key { word: "dgram", home: Home::Unix, set: Set::Socket(UnixSocket::Datagram) },
    Key { word: "seqpacket", home: Home::Unix, set: Set::Socket(UnixSocket::Seqpacket) },
    flag("append", Home::File, |o| o.append = true),
    flag("atomic", Home::File, |o| o.atomic = true),
    value("offset", "SIZE", Home::File, |o, v| put(&mut o.offset, values::size(v))),
    value("seed", "N", Home::Random, |o, v| put(&mut o.seed, values::number(v, 0, u64::MAX))),
    flag("escapes", Home::Text, |o| o.escapes = true),
    value("sni", "NAME", Home::Tls, |o, v| put(&mut o.tls.sni, values::server_name(v))),
    value("alpn", "NAME", Home::Tls, |o, v| values::alpn(v).map(|names| o.tls.alpn = names)),
    flag("insecure", Home::Tls, |o| o.tls.insecure = true),
    value("pin", "sha256/BASE64", Home::Tls, |o, v| add(&mut o.tls.pin, values::pin(v))),
    value("ca", "FILE", Home::Tls, |o, v| put(&mut o.tls.ca, values::file(v))),
    value("client-ca", "FILE", Home::Tls, |o, v| put(&mut o.tls.client_ca, values::file(v))),
    value("cert", "FILE", Home::Tls, |o, v| add(&mut o.tls.cert, values::file(v))),
    value("key", "FILE", Home::Tls, |o, v| add(&mut o.tls.key, values::file(v))),
    value("tls-min", "1.3", Home::Tls, |o, v| put(&mut o.tls.min, values::tls_version(v))),
    value("path", "/PATH", Home::WebSocket, |o, v| put(&mut o.path, values::request_path(v))),
    flag("text", Home::WebSocket, |o| o.web.message = Some(Message::Text)),
    flag("binary", Home::WebSocket, |o| o.web.message = Some(Message::Binary)),
    value("header", "NAME%3A VALUE", Home::WebSocket, |o, v| add(&mut o.web.header, web::header(v))),
    value("subprotocol", "NAME", Home::WebSocket, |o, v| add(&mut o.web.subprotocol, web::subprotocol(v))),
    value("origin", "https%3A//HOST", Home::WebSocket, |o, v| add(&mut o.web.origin, web::origin(v))),
    value("ping", "TIME", Home::WebSocket, |o, v| put(&mut o.web.ping, web::ping(v))),
];

const fn flag(word: &'static str, home: Home, set: fn(&mut Options)) -> Key {
    Key { word, home, set: Set::Flag(set) }
}

const fn value(word: &'static str, shape: &'static str, home: Home, set: Setter) -> Key {
    Key { word, home, set: Set::Value(shape, set) }
}

fn put<T>(slot: &mut Option<T>, value: Result<T, BadAddress>) -> Result<(), BadAddress> {
    *slot = Some(value?);
    Ok(())
}

fn add<T>(list: &mut Vec<T>, value: Result<T, BadAddress>) -> Result<(), BadAddress> {
    list.push(value?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_sets_the_option_of_the_same_name() {
        let mut options = Options::default();
        options.set("nodelay", None).unwrap();
        options.set("source", Some(OsStr::new("::1"))).unwrap();
        options.set("keepalive", Some(OsStr::new("1m"))).unwrap();
        assert!(options.nodelay && options.source.is_some());
        assert_eq!(options.keepalive, Some(Keepalive::Every(std::time::Duration::from_secs(60))));
        assert_eq!(options.set("rcvbuf", Some(OsStr::new("1,5M"))).unwrap_err().hint.as_deref(), Some("rcvbuf=1.5M"));
    }

    #[test]
    fn every_option_word_is_written_once_and_can_be_found() {
        for key in KEYS {
            assert_eq!(KEYS.iter().filter(|other| other.word == key.word).count(), 1, "{}", key.word);
            assert!(!key.word.contains([',', ':', '=']));
        }
        assert!(EXCLUSIVE.iter().flatten().chain(REPEATABLE).all(|word| find(word.as_bytes()).is_ok()));
    }
}
