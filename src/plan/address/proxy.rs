//! The proxies of `-x`: `socks5://[USER[:PASSWORD]@]HOST[:PORT]`, `http+unix:/run/proxy.sock`, and how they are shown.
//!
//! A password that was typed is read and never told: [`Proxy`] displays three stars, and [`redacted`] puts them into any
//! word that is about to be quoted.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::host::{is_digits, v6};
use super::values::percent_decoded;
use super::{BadAddress, Host, HostPort, UnixName, parse, quoted, spelling, url};
use crate::escape::Escaped;
use crate::secret::Login;

/// A proxy: what it speaks, where it is, and who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its protocol.
    pub speaks: Speaks,
    /// Where it is.
    pub at: Place,
    /// Who logs in, if that was said in the URL.
    pub login: Option<Login>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// `http://`: HTTP CONNECT.
    Http,
    /// `https://`: the same over TLS.
    Https,
    /// `socks5://`, or as curl has it `socks5h://`.
    Socks5,
    /// `socks4://`: it can look up no names.
    Socks4,
    /// `socks4a://`: it can.
    Socks4a,
}

/// Where a proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a host and a port.
    Host(HostPort),
    /// At a Unix socket.
    Unix(UnixName),
}

impl Proxy {
    /// Parses the URL of a proxy.
    ///
    /// # Errors
    /// [`BadAddress`], which never repeats a password.
    pub fn parse(word: &OsStr) -> Result<Proxy, BadAddress> {
        let word = word.as_bytes();
        if word.is_empty() {
            return Err(BadAddress::new("it is empty"));
        }
        // a password need not be UTF-8, and what stands beside it is plain all the same
        if String::from_utf8_lossy(word).chars().any(char::is_control) {
            return Err(BadAddress::new("the URL of a proxy is plain text"));
        }
        if let Some((scheme, path)) = split_once(word, b"+unix:")
            && let Some(speaks) = Speaks::parse(scheme)
        {
            return over_unix(speaks, path);
        }
        let Some((scheme, rest)) = split_once(word, b"://") else { return Err(no_scheme(word)) };
        if scheme.contains(&b':') {
            return Err(no_scheme(word));
        }
        match Speaks::parse(scheme) {
            Some(speaks) => over_tcp(speaks, scheme, rest),
            None => Err(unknown(scheme, rest)),
        }
    }

    /// True if a name that it is told means something to it.
    pub fn knows_names(&self) -> bool {
        self.speaks != Speaks::Socks4
    }
}

/// As in messages: without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.speaks.scheme();
        let at = match &self.at {
            Place::Unix(UnixName::Path(path)) => {
                return write!(f, "{scheme}+unix:{}", Escaped(path.as_os_str().as_bytes()));
            }
            Place::Unix(UnixName::Abstract(name)) => return write!(f, "{scheme}+unix:@{}", Escaped(name)),
            Place::Host(at) => at,
        };
        write!(f, "{scheme}://")?;
        if let Some(login) = &self.login {
            let stars = if login.has_password() { ":***" } else { "" };
            write!(f, "{}{stars}@", Escaped(login.user()))?;
        }
        match &at.host {
            host @ Host::V6(..) => write!(f, "[{host}]:{}", at.port),
            host => write!(f, "{host}:{}", at.port),
        }
    }
}

impl Speaks {
    /// The same for a login that was kept out of sight: without a colon it may well be the password alone, and users are
    /// shown. SOCKS 4 knows nothing but users.
    pub fn refuses_kept(self, login: &Login) -> Option<&'static str> {
        match self {
            Speaks::Socks4 | Speaks::Socks4a => self.refuses(login),
            _ if !login.has_password() => Some("there is no colon between user and password"),
            _ => self.refuses(login),
        }
    }

    fn parse(scheme: &[u8]) -> Option<Self> {
        SCHEMES.iter().find(|(word, _)| word.as_bytes() == scheme).map(|(_, speaks)| *speaks)
    }

    fn scheme(self) -> &'static str {
        SCHEMES.iter().find(|(_, speaks)| *speaks == self).map_or("", |(word, _)| word)
    }

    /// Where a proxy of this kind is, if its URL does not say: what curl takes.
    fn port(self) -> u16 {
        if self == Speaks::Https { 443 } else { 1080 }
    }
}

/// The first spelling of each is the one that is shown.
const SCHEMES: &[(&str, Speaks)] = &[
    ("http", Speaks::Http),
    ("https", Speaks::Https),
    ("socks5", Speaks::Socks5),
    ("socks5h", Speaks::Socks5),
    ("socks4", Speaks::Socks4),
    ("socks4a", Speaks::Socks4a),
];

/// True for a word that can only be a proxy.
pub(super) fn is_proxy(word: &[u8]) -> bool {
    [&b"://"[..], b"+unix:"]
        .iter()
        .any(|mark| split_once(word, mark).is_some_and(|(scheme, _)| Speaks::parse(scheme).is_some()))
}

/// A word as it may be quoted: what stands between the user and the `@` of a URL is three stars. So is what stands behind
/// the colon in the URL of a proxy without an `@`, unless it can be a port there: the host may have been forgotten.
///
/// The fields of a WebSocket's request are three stars, too.
pub fn redacted(word: &[u8]) -> Vec<u8> {
    let word = &super::web::without_headers(word)[..];
    let Some((scheme, rest)) = split_once(word, b"://") else { return word.to_vec() };
    // a password may hold what would end the authority of other URLs
    let end = match OTHERS.contains(&scheme) {
        true => rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len()),
        false => rest.len(),
    };
    let at = rest[..end].iter().rposition(|byte| *byte == b'@');
    let hidden = match at {
        Some(at) => rest[..at].iter().position(|byte| *byte == b':').map(|colon| (colon, at)),
        None if OTHERS.contains(&scheme) => None,
        None => login_alone(rest).map(|colon| (colon, rest.len())),
    };
    match hidden {
        Some((colon, at)) => [scheme, b"://", &rest[..colon], b":***", &rest[at..]].concat(),
        None => word.to_vec(),
    }
}

/// The same for a word that was meant for a proxy, whatever it is: one without a scheme may begin with a login, or be
/// one, and digits behind its colon are no port either.
pub fn redacted_proxy(word: &[u8]) -> Vec<u8> {
    if split_once(word, b"://").is_some_and(|(scheme, _)| !scheme.contains(&b':')) {
        return redacted(word);
    }
    let at = word.iter().rposition(|byte| *byte == b'@');
    let hidden = match at {
        Some(at) => word[..at].iter().position(|byte| *byte == b':').map(|colon| (colon, at)),
        None => login_alone(word).or_else(|| name_with_digits(word)).map(|colon| (colon, word.len())),
    };
    match hidden {
        Some((colon, at)) => [&word[..colon], b":***", &word[at..]].concat(),
        None => word.to_vec(),
    }
}

/// Where the colon is of what is a host and its port, or as well a user and a password of digits: an address is no user.
fn name_with_digits(word: &[u8]) -> Option<usize> {
    let at = HostPort::parse(OsStr::from_bytes(word)).ok()?;
    let is_name = matches!(&at.host, Host::Name(name) if name != "localhost");
    word.iter().position(|byte| *byte == b':').filter(|_| is_name)
}

/// Where the colon is of what can only be `USER:PASSWORD`, with a slash behind it or not: behind it is no port, and the
/// whole is no IPv6 address.
fn login_alone(text: &[u8]) -> Option<usize> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let behind = &text[colon + 1..];
    let port = behind.strip_suffix(b"/").unwrap_or(behind);
    let is_address = |text: &str| {
        let address = text.rsplit_once([':', '/']).filter(|(_, port)| is_digits(port)).map_or(text, |(ip, _)| ip);
        v6(text).is_some() || v6(address).is_some()
    };
    let known = text.first() == Some(&b'[')
        || port.is_empty()
        || is_port(port)
        || std::str::from_utf8(text).is_ok_and(|text| is_address(text.trim_end_matches('/')));
    (!known).then_some(colon)
}

/// As ports are written.
fn is_port(text: &[u8]) -> bool {
    let number =
        std::str::from_utf8(text).ok().filter(|text| is_digits(text)).and_then(|text| text.parse::<u16>().ok());
    number.is_some_and(|number| number.to_string().len() == text.len())
}

/// Schemes that are followed by no login.
const OTHERS: &[&[u8]] = &[b"tcp", b"udp", b"tls", b"unix", b"ws", b"wss", b"file", b"text", b"exec", b"sh"];

fn over_unix(speaks: Speaks, path: &[u8]) -> Result<Proxy, BadAddress> {
    if speaks == Speaks::Https {
        let error = BadAddress::new("a Unix socket has no name that a certificate could be for");
        return Err(error.with_hint([b"http+unix:", path].concat()));
    }
    if path.starts_with(b"//") && !path.starts_with(b"///") {
        let error = BadAddress::new("a proxy at a Unix socket has neither a login nor a host");
        return Err(error.with_hint([speaks.scheme().as_bytes(), b"+unix:/PATH"].concat()));
    }
    Ok(Proxy { speaks, at: Place::Unix(parse::unix_name(path)?), login: None })
}

fn over_tcp(speaks: Speaks, scheme: &[u8], rest: &[u8]) -> Result<Proxy, BadAddress> {
    let (login, rest) = match rest.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let (authority, path) = url::split(rest);
    let shown = login.map_or_else(Vec::new, |login| {
        let user = login.split(|byte| *byte == b':').next().unwrap_or_default();
        [user, if login.contains(&b':') { b":***@" } else { b"@" }].concat()
    });
    let prefix = [scheme, b"://", &shown].concat();
    if authority.is_empty() {
        return Err(BadAddress::new("the URL of the proxy has no host"));
    }
    if login.is_none() && login_alone(rest).is_some() {
        let error = BadAddress::new("there is no such port, or the host behind a login is missing");
        return Err(error.with_hint([scheme, b"://USER:PASSWORD@HOST:PORT"].concat()));
    }
    let at = url::host_port(authority, Some(speaks.port())).map_err(|error| error.within(&prefix, b""))?;
    if !matches!(path, b"" | b"/") {
        return Err(BadAddress::new("nothing can follow the port").with_hint(authority).within(&prefix, b""));
    }
    match (&at.host, at.port) {
        (Host::Unspecified, _) => return Err(BadAddress::new("the URL of the proxy has no host")),
        (_, 0) => return Err(BadAddress::new("port 0 is no port to connect to")),
        _ => {}
    }
    let login = login.map(login_of).transpose()?;
    if let Some(why) = login.as_ref().and_then(|login| speaks.refuses(login)) {
        return Err(BadAddress::new(why));
    }
    Ok(Proxy { speaks, at: Place::Host(at), login })
}

impl Speaks {
    /// Why this protocol has no words for a login.
    pub fn refuses(self, login: &Login) -> Option<&'static str> {
        let longest = login.user().len().max(login.password().len());
        match self {
            Speaks::Http | Speaks::Https if longest > LONGEST => Some("a login has at most 1 KiB"),
            Speaks::Http | Speaks::Https => None,
            _ if longest > SOCKS_LONGEST => Some("for SOCKS a user and a password have at most 255 bytes"),
            Speaks::Socks4 | Speaks::Socks4a if login.has_password() => Some("SOCKS 4 knows a user and no password"),
            _ if login.user().contains(&0) || login.password().contains(&0) => Some("a login holds no NUL byte"),
            _ => None,
        }
    }
}

/// Bytes of a user or a password in HTTP: far below what proxies take for a header.
const LONGEST: usize = 1024;

/// The same in SOCKS, where a byte tells the length.
const SOCKS_LONGEST: usize = 255;

/// What is percent-encoded in a URL is decoded after its parts are known (RFC 3986, 2.4).
fn login_of(text: &[u8]) -> Result<Login, BadAddress> {
    // its own hint would repeat the password
    let decoded = |part: &[u8]| percent_decoded(part).map_err(|bad| BadAddress { hint: None, ..bad });
    match split_once(text, b":") {
        Some((user, password)) => Ok(Login::new(decoded(user)?, Some(decoded(password)?))),
        None => Ok(Login::new(decoded(text)?, None::<Vec<u8>>)),
    }
}

fn no_scheme(word: &[u8]) -> BadAddress {
    let error = BadAddress::new("a proxy is a URL");
    let host = word.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    if name_with_digits(word).is_some() {
        let name = Escaped(word.split(|byte| *byte == b':').next().unwrap_or_default());
        return error.with_hint(format!("socks5://{name}:PORT, or http://{name}:PORT"));
    }
    match HostPort::parse(OsStr::from_bytes(host)) {
        Ok(at) if at.host != Host::Unspecified => {
            let at = match &at.host {
                Host::V6(..) => format!("[{}]:{}", at.host, at.port),
                _ => at.to_string(),
            };
            error.with_hint(format!("socks5://{at}, or http://{at}"))
        }
        _ => error.with_hint("socks5://HOST:PORT, or http://HOST:PORT"),
    }
}

fn unknown(scheme: &[u8], rest: &[u8]) -> BadAddress {
    let error = BadAddress::new(format!("there is no kind of proxy {}", quoted(scheme)));
    match spelling::nearest(scheme, SCHEMES.iter().map(|(word, _)| *word)) {
        Some(right) => error.with_hint(redacted(&[right.as_bytes(), b"://", rest].concat())),
        None => error.with_hint("socks5://HOST:PORT, or http://HOST:PORT"),
    }
}

fn split_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<Proxy, BadAddress> {
        Proxy::parse(OsStr::new(word))
    }

    #[test]
    fn a_proxy_is_shown_whole_but_for_its_password() {
        for (word, shown) in [
            ("socks5://host:9", "socks5://host:9"),
            ("socks5h://host", "socks5://host:1080"),
            ("socks4://host/", "socks4://host:1080"),
            ("socks4a://me@host", "socks4a://me@host:1080"),
            ("http://host", "http://host:1080"),
            ("https://host", "https://host:443"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("http://[fe80::1%25eth0]", "http://[fe80::1%eth0]:1080"),
            ("socks5://me:pass@host", "socks5://me:***@host:1080"),
            ("socks5://me:p@ss/w:rd@host", "socks5://me:***@host:1080"),
            ("http://me:@host", "http://me:***@host:1080"),
            ("http://m%40e:x@host", "http://m@e:***@host:1080"),
            ("socks5+unix:/run/tor", "socks5+unix:/run/tor"),
            ("http+unix:@a", "http+unix:@a"),
        ] {
            let proxy = parse(word).unwrap_or_else(|bad| panic!("{word}: {bad}"));
            assert_eq!(proxy.to_string(), shown, "{word}");
            assert!(!format!("{proxy:?}").contains("pass"));
        }
        let login = parse("http://a%3Ab:c%25@h").unwrap().login.unwrap();
        assert_eq!((login.user(), login.password()), (&b"a:b"[..], &b"c%"[..]));
    }

    #[test]
    fn a_broken_proxy_is_answered_with_a_whole_one_and_its_password_is_not_repeated() {
        for (word, hint) in [
            ("host:1080", Some("socks5://host:PORT, or http://host:PORT")),
            ("localhost:1080", Some("socks5://localhost:1080, or http://localhost:1080")),
            ("127.0.0.1:1080", Some("socks5://127.0.0.1:1080, or http://127.0.0.1:1080")),
            ("http://me:123456", Some("http://USER:PASSWORD@HOST:PORT")),
            ("http://me:0042/", Some("http://USER:PASSWORD@HOST:PORT")),
            ("me:s3cr3t@host:1080", Some("socks5://host:1080, or http://host:1080")),
            ("::1/1080", Some("socks5://[::1]:1080, or http://[::1]:1080")),
            ("proxy", Some("socks5://HOST:PORT, or http://HOST:PORT")),
            ("sock5://me:s3cr3t@host:1", Some("socks5://me:***@host:1")),
            ("SOCKS5://host:1", Some("socks5://host:1")),
            ("ftp://me:s3cr3t@host", Some("socks5://HOST:PORT, or http://HOST:PORT")),
            ("http://me:s3cr3t@host:port", None),
            ("http://me:s3cr3t@host:1/x", Some("http://me:***@host:1")),
            ("http://me:s3cr3t@::1:80", Some("http://me:***@[::1]:80")),
            ("http://me:s3cr3t%@host", None),
            ("http://", None),
            ("http://:80", None),
            ("http://me:s3cr3t@", None),
            ("socks5://host:0", None),
            ("socks4://me:s3cr3t@host", None),
            ("socks5://me:s3cr3t", Some("socks5://USER:PASSWORD@HOST:PORT")),
            ("http://me:s3cr3t/", Some("http://USER:PASSWORD@HOST:PORT")),
            ("http://me:s3/cr3t", Some("http://USER:PASSWORD@HOST:PORT")),
            ("me:s3cr3t", Some("socks5://HOST:PORT, or http://HOST:PORT")),
            ("me:s3cr3t://host", Some("socks5://HOST:PORT, or http://HOST:PORT")),
            ("sock5://me:s3cr3t", Some("socks5://me:***")),
            ("socks5+unix://me:s3cr3t", Some("socks5+unix:/PATH")),
            ("https+unix:/p", Some("http+unix:/p")),
            ("http+unix:", None),
            ("", None),
        ] {
            let bad = parse(word).unwrap_err();
            assert_eq!(bad.hint.as_deref(), hint, "{word}: {bad}");
            assert!(!bad.cause.contains("s3cr3t"), "{word}: {bad}");
        }
        let long = "u".repeat(256);
        assert!(parse(&format!("socks5://{long}@host")).is_err() && parse(&format!("http://{long}@host")).is_ok());
    }

    // What is not UTF-8 is the password, and hides no control character beside it.
    #[test]
    fn a_control_character_is_none_of_a_url_whatever_the_password_is() {
        for word in
            [&b"http://tunix\x07://\xff@s"[..], b"http://a\x1b:\xfe@h:1", b"http://a:b\0\xff@h:1", b"http://a\n@h:1"]
        {
            let bad = Proxy::parse(OsStr::from_bytes(word)).unwrap_err();
            assert_eq!(bad.cause, "the URL of a proxy is plain text");
        }
        assert!(Proxy::parse(OsStr::from_bytes(b"http://a:\xff@h:1")).is_ok());
    }

    #[test]
    fn a_word_is_quoted_without_its_password() {
        for (word, shown) in [
            ("socks5://me:p@ss/w@host:1", "socks5://me:***@host:1"),
            ("socks9://me:pass@host", "socks9://me:***@host"),
            ("http://me@host", "http://me@host"),
            ("ws://host:80/a@b", "ws://host:80/a@b"),
            ("tls://me:pass@host:1", "tls://me:***@host:1"),
            ("host:80", "host:80"),
            ("socks5://me:pass", "socks5://me:***"),
            ("socks5://me:pass/", "socks5://me:***"),
            ("socks5://me:9pass", "socks5://me:***"),
            ("socks5://host:1080/", "socks5://host:1080/"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("http://::1:80", "http://::1:80"),
            ("http://fe80::1%eth0/80", "http://fe80::1%eth0/80"),
            ("ws://host:port", "ws://host:port"),
        ] {
            assert_eq!(String::from_utf8(redacted(word.as_bytes())).unwrap(), shown);
        }
        assert_eq!(redacted_proxy(b"me:pass@host:80"), b"me:***@host:80");
        assert_eq!(redacted_proxy(b"me:pass"), b"me:***");
        assert_eq!(redacted_proxy(b"me:pass://host"), b"me:***");
        assert_eq!(redacted_proxy(b"sock5://me:pass"), b"sock5://me:***");
        assert_eq!(redacted_proxy(b"::1/1080"), b"::1/1080");
        assert_eq!(redacted_proxy(b"127.0.0.1:1080"), b"127.0.0.1:1080");
        assert_eq!(redacted_proxy(b"me:1234"), b"me:***");
        assert_eq!(redacted_proxy(b"me:123456"), b"me:***");
        assert_eq!(redacted_proxy(b"http://me:123456"), b"http://me:***");
        assert_eq!(redacted_proxy(b"http://me:pass@host:80"), b"http://me:***@host:80");
    }
}
