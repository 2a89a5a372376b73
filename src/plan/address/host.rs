//! Hosts and ports: `80`, `host:80`, `host/80`, `::1/80`, `[::1]:80`.

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;

use super::{BadAddress, Host, HostPort, quoted};

impl HostPort {
    /// Parses a host and a port, or a port alone; an empty host and `*` are none.
    ///
    /// # Errors
    /// [`BadAddress`], whose hint is a host and a port too.
    pub fn parse(text: &OsStr) -> Result<HostPort, BadAddress> {
        let text = text.as_bytes();
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(BadAddress::new("a host and a port are plain text"));
        };
        if text.is_empty() {
            return Err(BadAddress::new("a host and a port are missing"));
        }
        if is_digits(text) {
            return Ok(HostPort { host: Host::Unspecified, port: port(text, "")? });
        }
        if let Some(inside) = text.strip_prefix('[') {
            return bracketed(inside);
        }
        if let Some(rest) = text.strip_prefix("//") {
            return Err(BadAddress::new("the host follows the colon at once").with_hint(rest));
        }
        match text.rsplit_once('/').or_else(|| text.split_once(':')) {
            Some((_, rest)) if rest.contains(':') => Err(too_many_colons(text)),
            Some((host, number)) => {
                let separator = if host.contains(':') { '/' } else { ':' };
                let before = format!("{host}{separator}");
                Ok(HostPort { host: host_of_port(host)?, port: port(number, &before)? })
            }
            None => Err(no_port(text)),
        }
    }
}

impl Host {
    /// Parses a host alone, as for `source=` and `-s`: a name, an IPv4 address, or an IPv6 address with or without
    /// brackets and with the scope as typed. `*` is no host in particular.
    ///
    /// # Errors
    /// [`BadAddress`] says why it is none.
    pub fn parse(text: &OsStr) -> Result<Host, BadAddress> {
        match std::str::from_utf8(text.as_bytes()) {
            Ok("") => Err(BadAddress::new("the host is missing")),
            Ok("*") => Ok(Host::Unspecified),
            Ok(text) => one(text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text)),
            Err(_) => Err(BadAddress::new("a host is plain text")),
        }
    }

    /// True if packets to it cannot leave this machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Unspecified => false,
            Host::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
            Host::V4(address) => address.is_loopback(),
            Host::V6(address, _) => address.to_canonical().is_loopback(),
        }
    }
}

/// As [`Host::parse`] reads it; no host is `*`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unspecified => f.write_str("*"),
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address, None) => address.fmt(f),
            Host::V6(address, Some(scope)) => write!(f, "{address}%{scope}"),
        }
    }
}

/// The spelling that every shell passes unquoted: `80`, `host:80`, `::1/80`.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Unspecified => self.port.fmt(f),
            host @ Host::V6(..) => write!(f, "{host}/{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

/// A port; `before` is what stands before it in a corrected spelling.
pub(super) fn port(text: &str, before: &str) -> Result<u16, BadAddress> {
    if is_digits(text) {
        return text.parse().map_err(|_| BadAddress::new(OUT_OF_RANGE));
    }
    if text.is_empty() {
        return Err(missing_port(before));
    }
    let lower = text.to_ascii_lowercase();
    Err(match SERVICES.iter().find(|(name, _)| *name == lower) {
        Some((_, number)) => BadAddress::new("a port is a number, not a name").with_hint(format!("{before}{number}")),
        None => BadAddress::new(OUT_OF_RANGE),
    })
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An IPv6 address, with its scope behind `%`.
pub(super) fn v6(text: &str) -> Option<Host> {
    match text.split_once('%') {
        None => Some(Host::V6(text.parse().ok()?, None)),
        Some((address, scope)) if is_interface(scope) => Some(Host::V6(address.parse().ok()?, Some(scope.to_owned()))),
        Some(_) => None,
    }
}

/// What Linux allows as the name of an interface: at most 15 bytes (IFNAMSIZ), no `/`, no `:`, no space; and not what
/// this grammar needs.
pub(super) fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && !b"/:%,[]".contains(&b))
}

/// A host that a port follows.
fn host_of_port(text: &str) -> Result<Host, BadAddress> {
    match text {
        "" | "*" => Ok(Host::Unspecified),
        text if is_digits(text) => Err(BadAddress::new(format!("{} is a number, not a host", quoted(text.as_bytes())))),
        text => one(text),
    }
}

fn one(text: &str) -> Result<Host, BadAddress> {
    if text.contains(':') {
        let cause = || format!("{} is not an IPv6 address", quoted(text.as_bytes()));
        return v6(text).ok_or_else(|| BadAddress::new(cause()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::V4(address));
    }
    let refused = |why: &str| Err(BadAddress::new(format!("{} is not a host: {why}", quoted(text.as_bytes()))));
    if !text.is_ascii() {
        return refused("outside ASCII a name has an xn-- spelling");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return refused("a name is made of letters, digits, - _ and .");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let bad_label = |label: &str| label.is_empty() || label.len() > 63 || label.starts_with('-');
    if name.len() > 253 || name.split('.').any(bad_label) {
        return refused("a part between its dots is empty, too long or begins with -");
    }
    // getaddrinfo goes by inet_aton(3), for which 010.0.0.1 is octal, 1.2.3 is 1.2.0.3 and 0x7f.1 is 127.0.0.1: whoever
    // types one of them means something else. A name's last part is never a number (RFC 3696, 2).
    if name.split('.').all(is_number) {
        return refused("an IPv4 address is four numbers from 0 to 255 without leading zeros");
    }
    Ok(Host::Name(text.to_owned()))
}

/// A number as inet_aton(3) reads them: decimal, octal or hexadecimal.
fn is_number(part: &str) -> bool {
    match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => is_digits(part),
    }
}

fn bracketed(inside: &str) -> Result<HostPort, BadAddress> {
    let Some((address, rest)) = inside.split_once(']') else {
        return Err(BadAddress::new("the closing ] is missing"));
    };
    let Some(host) = v6(address) else {
        let error = BadAddress::new("only an IPv6 address stands in brackets");
        let number = rest.strip_prefix(':').and_then(|number| port(number, "").ok());
        return Err(match (one(address), number) {
            (Ok(host), Some(port)) => error.with_hint(HostPort { host, port }.to_string()),
            _ => error,
        });
    };
    match rest.strip_prefix(':') {
        Some(number) => Ok(HostPort { port: port(number, &format!("[{address}]:"))?, host }),
        None if rest.is_empty() => Err(missing_port(&format!("[{address}]:"))),
        None => {
            let error = BadAddress::new("a colon has to follow the ]");
            let number = rest.strip_prefix('/').unwrap_or(rest);
            Err(if port(number, "").is_ok() { error.with_hint(format!("[{address}]:{number}")) } else { error })
        }
    }
}

/// Two or more colons and no brackets: an IPv6 address without its slash, or one port too many.
fn too_many_colons(text: &str) -> BadAddress {
    let separated = BadAddress::new("an IPv6 address and its port are separated by a slash");
    if let Some((address, number)) = text.rsplit_once(':')
        && v6(address).is_some()
        && port(number, "").is_ok()
    {
        return separated.with_hint(format!("{address}/{number}"));
    }
    if v6(text).is_some() {
        return missing_port(&format!("{text}/"));
    }
    let error = BadAddress::new("there is more than one colon, and it is no IPv6 address");
    let mut pieces = text.split(':');
    match (pieces.next(), pieces.next()) {
        (Some(host), Some(number)) if host_of_port(host).is_ok() && port(number, "").is_ok() => {
            error.with_hint(format!("{host}:{number}"))
        }
        _ => error,
    }
}

fn missing_port(before: &str) -> BadAddress {
    BadAddress::new("the port is missing").with_hint(format!("{before}PORT"))
}

fn no_port(host: &str) -> BadAddress {
    match host.split_once(char::is_whitespace) {
        Some((name, number)) if one(name).is_ok() && is_digits(number) => {
            BadAddress::new("a host and its port are one word with a colon, or two words")
                .with_hint(format!("{name}:{number}"))
        }
        _ => match one(host) {
            Ok(_) => {
                BadAddress::new("a port is missing (and a path begins with / or ./)").with_hint(format!("{host}:PORT"))
            }
            Err(error) => error,
        },
    }
}

pub(super) const OUT_OF_RANGE: &str = "a port is a number from 0 to 65535";

/// Names that people type for ports. The system's list is not asked: a plan must mean the same on every machine.
const SERVICES: &[(&str, u16)] = &[
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("dns", 53),
    ("http", 80),
    ("https", 443),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HostPort, BadAddress> {
        HostPort::parse(OsStr::new(text))
    }

    #[test]
    fn every_way_to_write_a_host_and_a_port_is_read() {
        let v6 = |address: &str, scope: Option<&str>| Host::V6(address.parse().unwrap(), scope.map(str::to_owned));
        let table = [
            ("80", Host::Unspecified, 80),
            ("0", Host::Unspecified, 0),
            (":80", Host::Unspecified, 80),
            ("*:80", Host::Unspecified, 80),
            ("localhost:80", Host::Name("localhost".into()), 80),
            ("my_host.example./65535", Host::Name("my_host.example.".into()), 65535),
            ("127.0.0.1:80", Host::V4(Ipv4Addr::LOCALHOST), 80),
            ("127.0.0.1/080", Host::V4(Ipv4Addr::LOCALHOST), 80),
            ("::1/80", v6("::1", None), 80),
            ("::/0", v6("::", None), 0),
            ("[::1]:80", v6("::1", None), 80),
            ("ff02::1%eth0/5353", v6("ff02::1", Some("eth0")), 5353),
            ("[fe80::1%2]:80", v6("fe80::1", Some("2")), 80),
            ("::ffff:1.2.3.4/80", v6("::ffff:1.2.3.4", None), 80),
        ];
        for (text, host, port) in table {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed, HostPort { host, port }, "{text}");
            assert_eq!(parse(&parsed.to_string()), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_why_and_how_to_write_it() {
        let table = [
            ("", "a host and a port are missing", None),
            ("::1:80", "an IPv6 address and its port are separated by a slash", Some("::1/80")),
            ("fe80::1%eth0:80", "an IPv6 address and its port are separated by a slash", Some("fe80::1%eth0/80")),
            ("::1", "the port is missing", Some("::1/PORT")),
            ("2001:db8::5", "the port is missing", Some("2001:db8::5/PORT")),
            ("[::1]", "the port is missing", Some("[::1]:PORT")),
            ("[::1]80", "a colon has to follow the ]", Some("[::1]:80")),
            ("[::1]/80", "a colon has to follow the ]", Some("[::1]:80")),
            ("[::1:80", "the closing ] is missing", None),
            ("[db]:80", "only an IPv6 address stands in brackets", Some("db:80")),
            ("host:99999", "a port is a number from 0 to 65535", None),
            ("99999", "a port is a number from 0 to 65535", None),
            ("host:-1", "a port is a number from 0 to 65535", None),
            ("host:http", "a port is a number, not a name", Some("host:80")),
            ("::1/ssh", "a port is a number, not a name", Some("::1/22")),
            ("host:", "the port is missing", Some("host:PORT")),
            ("localhost", "a port is missing (and a path begins with / or ./)", Some("localhost:PORT")),
            ("host 80", "a host and its port are one word with a colon, or two words", Some("host:80")),
            ("host:80:90", "there is more than one colon, and it is no IPv6 address", Some("host:80")),
            ("80:90", "\"80\" is a number, not a host", None),
            ("fe80::1%/80", "\"fe80::1%\" is not an IPv6 address", None),
            ("//host:80", "the host follows the colon at once", Some("host:80")),
            ("a\x1bb:80", "\"a\\x1bb\" is not a host: a name is made of letters, digits, - _ and .", None),
            ("grün:80", "\"grün\" is not a host: outside ASCII a name has an xn-- spelling", None),
            ("a..b:80", "\"a..b\" is not a host: a part between its dots is empty, too long or begins with -", None),
            (
                "010.0.0.1:80",
                "\"010.0.0.1\" is not a host: an IPv4 address is four numbers from 0 to 255 without leading zeros",
                None,
            ),
            (
                "1.2.3:80",
                "\"1.2.3\" is not a host: an IPv4 address is four numbers from 0 to 255 without leading zeros",
                None,
            ),
            (
                "0x7f.1:80",
                "\"0x7f.1\" is not a host: an IPv4 address is four numbers from 0 to 255 without leading zeros",
                None,
            ),
        ];
        for (text, cause, hint) in table {
            let error = parse(text).unwrap_err();
            assert_eq!((error.cause.as_str(), error.hint.as_deref()), (cause, hint), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_count_as_loopback() {
        for (text, local) in [
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("LocalHost", true),
            ("db.localhost.", true),
            ("0.0.0.0", false),
            ("::", false),
            ("*", false),
            ("localhost.example", false),
        ] {
            assert_eq!(Host::parse(OsStr::new(text)).unwrap().is_loopback(), local, "{text}");
        }
    }
}
