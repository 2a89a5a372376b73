//! URLs, where people already write them: `tcp:// udp:// tls:// unix:// ws:// wss://`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::host::{is_digits, v6};
use super::{
    Address, BadAddress, HostPort, Kind, Layer, UnixName, UnixSocket, parse, quoted, redacted, spelling, values,
};

/// What a URL scheme stands for.
enum Form {
    Tcp(&'static [Layer]),
    Udp,
    Unix,
    /// WebSocket: the port has a default and a path may follow.
    Web(&'static [Layer], u16),
}

/// `None` if the word is no URL: `file://x` is the file `//x`.
pub(super) fn parse(word: &[u8]) -> Option<Result<Address, BadAddress>> {
    let colon = word.iter().position(|byte| matches!(byte, b':' | b','))?;
    let rest = word[colon..].strip_prefix(b"://")?;
    let scheme = &word[..colon];
    let form = SCHEMES.iter().find(|(name, _)| name.as_bytes() == scheme).map(|(_, form)| form);
    let prefix = &word[..colon + 3];
    match form {
        Some(Form::Tcp(layers)) => Some(plain(prefix, rest).map(|at| over(layers, Kind::Tcp(at)))),
        Some(Form::Udp) => Some(plain(prefix, rest).map(|at| over(&[], Kind::Udp(at)))),
        Some(Form::Unix) => Some(unix(prefix, rest)),
        Some(Form::Web(layers, port)) => Some(web(prefix, rest, layers, *port)),
        None if scheme.is_empty() || parse::is_scheme(scheme) => None,
        None => Some(Err(unknown(scheme, &word[colon..]))),
    }
}

fn over(layers: &[Layer], kind: Kind) -> Address {
    Address { layers: layers.to_vec(), ..Address::from(kind) }
}

/// A host and a port, and nothing behind them but perhaps one slash.
fn plain(prefix: &[u8], rest: &[u8]) -> Result<HostPort, BadAddress> {
    let (authority, path) = split(rest);
    if !matches!(path, b"" | b"/") {
        let error = match unbracketed(authority, path) {
            Some(right) => BadAddress::new("an IPv6 address in a URL stands in brackets").with_hint(right),
            None => BadAddress::new("nothing can follow the port").with_hint(authority),
        };
        return Err(error.within(prefix, b""));
    }
    host_port(authority, None).map_err(|error| error.within(prefix, b""))
}

fn web(prefix: &[u8], rest: &[u8], layers: &[Layer], default_port: u16) -> Result<Address, BadAddress> {
    let (authority, path) = split(rest);
    let at = host_port(authority, Some(default_port)).map_err(|error| error.within(prefix, path))?;
    let mut address = over(layers, Kind::Tcp(at));
    if !path.is_empty() {
        // RFC 6455, section 3: an empty path before a query is "/".
        let path = if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() };
        address.options.path = Some(values::request_path(&path)?);
    }
    Ok(address)
}

/// `unix:///run/app.sock`: the path begins with the third slash and is taken literally.
fn unix(prefix: &[u8], path: &[u8]) -> Result<Address, BadAddress> {
    if !path.starts_with(b"/") {
        let error = BadAddress::new("the path in a unix URL begins with a third slash");
        return Err(if path.is_empty() { error } else { error.with_hint([prefix, b"/", path].concat()) });
    }
    parse::unix_name(path)?;
    let name = UnixName::Path(PathBuf::from(OsStr::from_bytes(path)));
    Ok(Address::from(Kind::Unix(name, UnixSocket::Stream)))
}

/// The authority of a URL; hints are authorities too.
pub(super) fn host_port(authority: &[u8], default_port: Option<u16>) -> Result<HostPort, BadAddress> {
    if authority.contains(&b'@') {
        let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        return Err(BadAddress::new("a user name has no place in this URL").with_hint(host));
    }
    if let Some(right) = unbracketed(authority, b"") {
        return Err(BadAddress::new("an IPv6 address in a URL stands in brackets").with_hint(right));
    }
    // RFC 6874: the percent sign before a scope is itself written %25 in a URL.
    let mut text = authority.to_vec();
    if let Some(at) = text.windows(3).position(|three| three == b"%25") {
        text.drain(at + 1..at + 3);
    }
    let has_port = match text.strip_prefix(b"[") {
        Some(inside) => !inside.ends_with(b"]"),
        None => text.contains(&b':'),
    };
    if let (false, Some(port), false) = (has_port, default_port, text.is_empty()) {
        text.extend_from_slice(format!(":{port}").as_bytes());
    }
    HostPort::parse(OsStr::from_bytes(&text))
}

/// The authority with brackets, if it is an IPv6 address without them, its port in it or behind a slash.
fn unbracketed(authority: &[u8], path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    let port = std::str::from_utf8(path).ok()?.strip_prefix('/').filter(|port| is_digits(port));
    if v6(text).is_some() && port.is_some() {
        return port.map(|port| format!("[{text}]:{port}"));
    }
    match text.rsplit_once(':') {
        Some((address, port)) if v6(address).is_some() && is_digits(port) => Some(format!("[{address}]:{port}")),
        _ => v6(text).map(|_| format!("[{text}]:PORT")),
    }
}

/// The authority, and what follows it from its `/`, `?` or `#` on.
pub(super) fn split(rest: &[u8]) -> (&[u8], &[u8]) {
    rest.split_at(rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len()))
}

fn unknown(scheme: &[u8], behind: &[u8]) -> BadAddress {
    let error = BadAddress::new(format!("there is no URL scheme {}", quoted(scheme)));
    match spelling::nearest(scheme, SCHEMES.iter().map(|(name, _)| *name).chain(["http", "https", "socks5"])) {
        Some(right) => error.with_hint(redacted(&[right.as_bytes(), behind].concat())),
        None => error,
    }
}

const SCHEMES: &[(&str, Form)] = &[
    ("tcp", Form::Tcp(&[])),
    ("udp", Form::Udp),
    ("tls", Form::Tcp(&[Layer::Tls])),
    ("unix", Form::Unix),
    ("ws", Form::Web(&[Layer::WebSocket], 80)),
    ("wss", Form::Web(&[Layer::WebSocket, Layer::Tls], 443)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_mean_the_same_as_the_spelling_with_options() {
        let parsed = |word: &str| Address::parse(OsStr::new(word)).unwrap();
        for (url, word) in [
            ("tcp://host:80", "tcp:host:80"),
            ("tcp://[::1]:80/", "tcp:::1/80"),
            ("udp://[ff02::1%25eth0]:5353", "udp:ff02::1%eth0/5353"),
            ("tls://host:443", "tls:host:443"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("unix:////run/a", "unix,mode=0://run/a"),
            ("ws://host:80/chat", "ws,path=/chat:host:80"),
            ("wss://host/chat?a=1,b", "wss,path=/chat?a=1%2Cb:host:443"),
            ("ws://[::1]", "ws:::1/80"),
            ("ws://host?q", "ws,path=/?q:host:80"),
        ] {
            let mut expected = parsed(word);
            expected.options.mode = None;
            assert_eq!(parsed(url), expected, "{url}");
        }
        assert_eq!(parsed("socks5://u:p@h:1080").kind, Kind::Proxy("socks5://u:***@h:1080".into()));
        assert_eq!(parsed("file://x").kind, Kind::File("//x".into()));
    }

    #[test]
    fn broken_urls_are_answered_with_whole_ones() {
        for (url, hint) in [
            ("tcp://host", Some("tcp://host:PORT")),
            ("tcp://::1/80", Some("tcp://[::1]:80")),
            ("tcp://::1:80", Some("tcp://[::1]:80")),
            ("ws://::1:80/chat", Some("ws://[::1]:80/chat")),
            ("tcp://host:80/x", Some("tcp://host:80")),
            ("tls://me@host:443", Some("tls://host:443")),
            ("unix://run/a", Some("unix:///run/a")),
            ("tpc://host:80", Some("tcp://host:80")),
            ("TCP://host:80", Some("tcp://host:80")),
            ("sock5://host:80", Some("socks5://host:80")),
            ("sock5://me:pass@host:80", Some("socks5://me:***@host:80")),
            ("gopher://host", None),
            ("ws://host/a b", None),
            ("ws://", None),
            ("https://", None),
            ("://x", None),
        ] {
            assert_eq!(Address::parse(OsStr::new(url)).unwrap_err().hint.as_deref(), hint, "{url}");
        }
    }
}
