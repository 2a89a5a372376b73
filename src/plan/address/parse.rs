//! One word, or two: which form of endpoint it is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::host::{OUT_OF_RANGE, is_digits, port};
use super::options::Given;
use super::scheme::{self, Scheme, Transport};
use super::{Address, BadAddress, Host, HostPort, Kind, Proxy, UnixName, UnixSocket, host, proxy, quoted, url};
use crate::escape::unescape;

type Result<T> = std::result::Result<T, BadAddress>;

/// Parses one endpoint.
pub(super) fn word(word: &[u8]) -> Result<Address> {
    if word.is_empty() {
        return Err(BadAddress::new("it is empty"));
    }
    if word.contains(&0) {
        return Err(BadAddress::new("no endpoint can hold a NUL byte"));
    }
    if word == b"-" {
        return Ok(Address::from(Kind::Stdio));
    }
    if [&b"/"[..], b"./", b"../"].iter().any(|start| word.starts_with(start)) {
        return Ok(Address::from(Kind::Path(path(word))));
    }
    if word[0] == b'@' {
        return Ok(Address::from(Kind::Unix(unix_name(word)?, UnixSocket::Stream)));
    }
    if proxy::is_proxy(word) {
        Proxy::parse(OsStr::from_bytes(word))?;
        // nobody connects to it, so that its password is not kept
        let text = String::from_utf8(proxy::redacted(word));
        let text = text.map_err(|_| BadAddress::new("the URL of a proxy is plain text"))?;
        return Ok(Address::from(Kind::Proxy(text)));
    }
    if let Some(url) = url::parse(word) {
        return url;
    }
    let Some(end) = word.iter().position(|byte| matches!(byte, b':' | b',')) else { return without_colon(word) };
    let (head, rest) = word.split_at(end);
    match Scheme::parse(head) {
        Some(scheme) => with_scheme(word, end, scheme.map_err(|error| error.within(b"", rest))?),
        None if rest[0] == b',' => Err(options_without_scheme(head, rest)),
        None => HostPort::parse(OsStr::from_bytes(word))
            .map(|at| Address::from(Kind::Tcp(at)))
            .map_err(|error| perhaps_scheme(head, rest).unwrap_or(error)),
    }
}

/// Parses `HOST PORT`, or one endpoint.
pub(super) fn words(first: &[u8], second: Option<&[u8]>) -> Result<Address> {
    let text = std::str::from_utf8(first).unwrap_or_default();
    let whole = first == b"-" || is_digits(text) || first.iter().any(|byte| b":/@".contains(byte));
    let Some(second) = second else {
        let lone_host = !whole && !scheme::is_known(first) && Host::parse(OsStr::from_bytes(first)).is_ok();
        return match word(first) {
            Err(_) if lone_host => Err(BadAddress::new("a port is missing").with_hint([first, b" PORT"].concat())),
            parsed => parsed,
        };
    };
    let bracketed = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']'));
    if whole && host::v6(bracketed.unwrap_or(text)).is_none() {
        let cause = format!("{} is a whole endpoint, and {} follows it", quoted(first), quoted(second));
        let error = BadAddress::new(cause);
        return Err(if word(first).is_ok() { error.with_hint(first) } else { error });
    }
    let host = Host::parse(OsStr::from_bytes(first))?;
    let number = std::str::from_utf8(second).map_err(|_| BadAddress::new(OUT_OF_RANGE))?;
    Ok(Address::from(Kind::Tcp(HostPort { host, port: port(number, &format!("{text} "))? })))
}

/// The name of a Unix socket: a path, or `@name`.
pub(super) fn unix_name(name: &[u8]) -> Result<UnixName> {
    // sun_path holds 108 bytes: a path ends with a NUL and an abstract name begins with one.
    const LONGEST: usize = 107;
    let (bare, abstracted) = match name.strip_prefix(b"@") {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    if bare.is_empty() {
        return Err(BadAddress::new("the name of the socket is missing"));
    }
    if bare.contains(&0) {
        return Err(BadAddress::new("no name of a socket can hold a NUL byte"));
    }
    if bare.len() > LONGEST {
        return Err(BadAddress::new(format!("the name of a socket has at most {LONGEST} bytes")));
    }
    Ok(if abstracted { UnixName::Abstract(bare.to_vec()) } else { UnixName::Path(path(bare)) })
}

/// True for a list of words that are all schemes.
pub(super) fn is_scheme(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'+').all(scheme::is_known)
}

/// `word[..end]` named the scheme; options and the address follow.
fn with_scheme(word: &[u8], end: usize, scheme: Scheme) -> Result<Address> {
    let Some(colon) = word.iter().position(|byte| *byte == b':') else {
        let error = BadAddress::new("a colon is missing behind the options");
        let address = if scheme.transport.takes_no_address() { "" } else { "ADDRESS" };
        return Err(error.with_hint([word, b":", address.as_bytes()].concat()));
    };
    let given = if colon > end { Given::parse(word, end + 1, colon)? } else { Given::default() };
    let (before, rest) = (&word[..=colon], &word[colon + 1..]);
    let kind = match kind_of(scheme.transport, rest, &given) {
        Ok(kind) => kind,
        // Whoever has a host called "echo" writes its scheme.
        Err(error) if colon == end && scheme.transport.takes_no_address() && rest.iter().all(u8::is_ascii_digit) => {
            return Err(error.with_hint([b"tcp:", word].concat()));
        }
        Err(error) => return Err(error.within(before, b"")),
    };
    given.check(&kind, &scheme.layers, &String::from_utf8_lossy(&word[..end]))?;
    if !scheme.layers.is_empty() && given.socket.is_some() {
        return Err(BadAddress::new("a layer runs over a stream, not over dgram or seqpacket"));
    }
    if given.options.listen && matches!(kind, Kind::Fd { read, write } if read != write) {
        return Err(BadAddress::new("a listening socket is one descriptor").within(before, b""));
    }
    let mut options = given.options;
    options.mptcp |= scheme.transport == Transport::Mptcp;
    Ok(Address { layers: scheme.layers, kind, options })
}

/// What follows the colon; hints are spellings of that part.
fn kind_of(transport: Transport, rest: &[u8], given: &Given) -> Result<Kind> {
    if transport.takes_no_address() && !rest.is_empty() {
        return Err(BadAddress::new("nothing follows the colon of this scheme").with_hint(""));
    }
    let missing = |what: &str| BadAddress::new(format!("{what} is missing behind the colon"));
    let file = || if rest.is_empty() { Err(missing("the name of a file")) } else { Ok(path(rest)) };
    let command = |what| match rest.iter().all(|byte| *byte == b' ') {
        true => Err(missing(what)),
        false => Ok(OsString::from(OsStr::from_bytes(rest))),
    };
    Ok(match transport {
        Transport::Tcp | Transport::Mptcp => Kind::Tcp(HostPort::parse(OsStr::from_bytes(rest))?),
        Transport::Udp => Kind::Udp(HostPort::parse(OsStr::from_bytes(rest))?),
        Transport::Unix => Kind::Unix(unix_name(rest)?, given.socket.unwrap_or(UnixSocket::Stream)),
        Transport::File => Kind::File(file()?),
        Transport::Fifo => Kind::Fifo(file()?),
        Transport::Exec => Kind::Exec(command("a program")?),
        Transport::Shell => Kind::Shell(command("text for the shell")?),
        Transport::Fd => descriptors(rest)?,
        Transport::Null => Kind::Null,
        Transport::Echo => Kind::Echo,
        Transport::Discard => Kind::Discard,
        Transport::Zero => Kind::Zero,
        Transport::Random => Kind::Random,
        Transport::Text if given.options.escapes => {
            Kind::Text(unescape(rest).map_err(|error| BadAddress::new(error.to_string()))?)
        }
        Transport::Text => Kind::Text(rest.to_vec()),
    })
}

/// `3`, or `3/4`.
fn descriptors(text: &[u8]) -> Result<Kind> {
    let error = || BadAddress::new("a descriptor is a number, or two with a slash: read the first, write the second");
    let text = std::str::from_utf8(text).map_err(|_| error())?;
    let number = |text: &str| if is_digits(text) { text.parse().map_err(|_| error()) } else { Err(error()) };
    let (read, write) = text.split_once('/').unwrap_or((text, text));
    Ok(Kind::Fd { read: number(read)?, write: number(write)? })
}

/// Neither options nor an address: a port, a host with a slash, or something incomplete.
fn without_colon(word: &[u8]) -> Result<Address> {
    if is_scheme(word) {
        let needs_none = matches!(Scheme::parse(word), Some(Ok(scheme)) if scheme.transport.takes_no_address());
        let address: &[u8] = if needs_none { b":" } else { b":ADDRESS" };
        return Err(BadAddress::new("the colon of this scheme is missing").with_hint([word, address].concat()));
    }
    let parsed = HostPort::parse(OsStr::from_bytes(word));
    let last = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if parsed.is_err() && last.len() < word.len() && !last.iter().all(u8::is_ascii_digit) {
        return Err(BadAddress::new("a path begins with / or ./").with_hint([b"./", word].concat()));
    }
    Ok(Address::from(Kind::Tcp(parsed?)))
}

/// The error for a head that is no host in a word that is no host and port, if it looks like a scheme mistyped.
fn perhaps_scheme(head: &[u8], rest: &[u8]) -> Option<BadAddress> {
    let right = [scheme::respelled(head)?.as_bytes(), rest].concat();
    // A known scheme does not come here again.
    word(&right).ok()?;
    Some(no_scheme(head).with_hint(right))
}

/// `tpc,nodelay:host:80`, or `host,nodelay:80`.
fn options_without_scheme(head: &[u8], rest: &[u8]) -> BadAddress {
    let error = no_scheme(head);
    if let Some(right) = scheme::respelled(head) {
        return error.with_hint([right.as_bytes(), rest].concat());
    }
    let Some(colon) = rest.iter().position(|byte| *byte == b':') else { return error };
    let (options, port) = rest.split_at(colon);
    let right = [b"tcp", options, b":", head, port].concat();
    if head.is_empty() || word(&right).is_err() {
        return error;
    }
    BadAddress::new("options follow a scheme, not a host").with_hint(right)
}

fn no_scheme(head: &[u8]) -> BadAddress {
    BadAddress::new(format!("there is no scheme {}", quoted(head)))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Keepalive, Layer};
    use super::*;
    use std::time::Duration;

    fn parse(word: &str) -> Result<Address> {
        Address::parse(OsStr::new(word))
    }

    fn tcp(host: &str, port: u16) -> Kind {
        Kind::Tcp(HostPort { host: Host::parse(OsStr::new(host)).unwrap(), port })
    }

    #[test]
    fn every_kind_of_the_manual_is_read() {
        let stream = |path: &str| Kind::Unix(UnixName::Path(path.into()), UnixSocket::Stream);
        let table = [
            ("-", Kind::Stdio),
            ("9000", tcp("*", 9000)),
            ("db:5432", tcp("db", 5432)),
            ("tcp:80", tcp("*", 80)),
            ("mptcp:host:80", tcp("host", 80)),
            ("::1/80", tcp("::1", 80)),
            ("tcp:::1/80", tcp("::1", 80)),
            ("[::1]:80", tcp("::1", 80)),
            ("udp:ff02::1%eth0/5353", Kind::Udp(HostPort::parse(OsStr::new("ff02::1%eth0/5353")).unwrap())),
            ("unix:/run/app.sock", stream("/run/app.sock")),
            ("unix:app.sock", stream("app.sock")),
            ("unix,dgram:/p", Kind::Unix(UnixName::Path("/p".into()), UnixSocket::Datagram)),
            ("unix,seqpacket:@x", Kind::Unix(UnixName::Abstract(b"x".to_vec()), UnixSocket::Seqpacket)),
            ("@name:80", Kind::Unix(UnixName::Abstract(b"name:80".to_vec()), UnixSocket::Stream)),
            ("tls+unix:/p", stream("/p")),
            ("/a,b:c", Kind::Path("/a,b:c".into())),
            ("../x", Kind::Path("../x".into())),
            ("file:name", Kind::File("name".into())),
            ("fifo:p", Kind::Fifo("p".into())),
            ("exec:prog a:b c", Kind::Exec("prog a:b c".into())),
            ("sh:echo a,b | wc", Kind::Shell("echo a,b | wc".into())),
            ("fd:3", Kind::Fd { read: 3, write: 3 }),
            ("fd:3/4", Kind::Fd { read: 3, write: 4 }),
            ("fd,listen:3", Kind::Fd { read: 3, write: 3 }),
            ("null:", Kind::Null),
            ("echo:", Kind::Echo),
            ("discard:", Kind::Discard),
            ("zero:", Kind::Zero),
            ("random,seed=1:", Kind::Random),
            ("text:hello\\n", Kind::Text(b"hello\\n".to_vec())),
            ("text:", Kind::Text(Vec::new())),
            ("text,escapes:a\\nb\\0", Kind::Text(b"a\nb\0".to_vec())),
        ];
        for (word, kind) in table {
            assert_eq!(parse(word).map(|address| address.kind), Ok(kind), "{word}");
        }
    }

    #[test]
    fn options_and_layers_come_before_the_first_colon() {
        let wide =
            parse("tcp,4,numeric,nodelay,keepalive=30,iface=eth1,source=127.0.0.1,source-port=7:host:80").unwrap();
        assert_eq!(wide.options.family, Some(Family::V4));
        assert_eq!(wide.options.keepalive, Some(Keepalive::Every(Duration::from_secs(30))));
        assert_eq!((wide.options.iface.as_deref(), wide.options.source_port), (Some("eth1"), Some(7)));
        let source = parse("tcp,source=fe80%3A%3A1%25eth0:host:80").unwrap().options.source;
        assert_eq!(source, host::v6("fe80::1%eth0"));
        let tls = parse("tls,sni=a.example,alpn=h2%2Chttp/1.1,ca=/a%3Ab,insecure:host:443").unwrap();
        assert_eq!((tls.layers.as_slice(), tls.options.tls.alpn.len()), (&[Layer::Tls][..], 2));
        assert_eq!(tls.options.tls.ca, Some("/a:b".into()));
        let web = parse("ws,path=/chat:::1/8080").unwrap();
        assert_eq!((web.kind, web.options.path.as_deref()), (tcp("::1", 8080), Some("/chat")));
        let more = parse("tcp,dscp=ef,ttl=3,user-timeout=1.5s,rcvbuf=1Mi,congestion=bbr,listen:9000").unwrap().options;
        assert_eq!((more.dscp, more.ttl, more.rcvbuf, more.listen), (Some(46), Some(3), Some(1 << 20), true));
        assert_eq!(parse("file,offset=1M,append:img").unwrap().options.offset, Some(1_000_000));
        assert_eq!(parse("unix,mode=660:/p").unwrap().options.mode, Some(0o660));
    }

    #[test]
    fn what_is_refused_says_why_and_how_to_write_it() {
        let table = [
            ("", "it is empty", None),
            ("a\0", "no endpoint can hold a NUL byte", None),
            ("tpc:host:80", "there is no scheme \"tpc\"", Some("tcp:host:80")),
            ("TCP:host:80", "there is no scheme \"TCP\"", Some("tcp:host:80")),
            ("tcp4:host:80", "there is no scheme \"tcp4\"", Some("tcp,4:host:80")),
            ("unxi:/run/x", "there is no scheme \"unxi\"", Some("unix:/run/x")),
            ("tpc,nodelay:host:80", "there is no scheme \"tpc\"", Some("tcp,nodelay:host:80")),
            ("host,nodelay:80", "options follow a scheme, not a host", Some("tcp,nodelay:host:80")),
            ("unix+tls:/p", "what carries the bytes comes last", Some("tls+unix:/p")),
            ("tcp:::1:80", "an IPv6 address and its port are separated by a slash", Some("tcp:::1/80")),
            ("tls,insecure:host:https", "a port is a number, not a name", Some("tls,insecure:host:443")),
            ("tcp,nodlay:host:80", "there is no option \"nodlay\"", Some("tcp,nodelay:host:80")),
            ("tcp,ttl=3,nodelay=1:h:80", "option nodelay takes no value", Some("tcp,ttl=3,nodelay:h:80")),
            ("tcp,ttl,nodelay:h:80", "option ttl needs a value", Some("tcp,ttl=N,nodelay:h:80")),
            ("tcp,ttl=0:h:80", "option ttl: it is a number from 1 to 255", None),
            ("tcp,rcvbuf=1,nodelay,rcvbuf=2:h:80", "option rcvbuf is given twice", None),
            ("tcp,4,6:h:80", "options 4 and 6 exclude each other", None),
            ("tcp,,nodelay:h:80", "an option is missing between the commas", None),
            ("tcp,source=::1:h:80", "option source has an empty value (a colon in it is written %3A)", None),
            (
                "tcp,rcvbuf=1m:h:80",
                "option rcvbuf: the unit is not one of k M G T Ki Mi Gi Ti",
                Some("tcp,rcvbuf=1M:h:80"),
            ),
            ("unix,nodelay:/p", "option nodelay is for tcp endpoints, not for unix", None),
            ("tcp,mode=660:80", "option mode is for unix endpoints, not for tcp", None),
            ("tcp,dgram:h:80", "option dgram is for unix endpoints, not for tcp", None),
            ("tcp,sni=a:h:80", "option sni is for tls endpoints, not for tcp", None),
            ("file,escapes:x", "option escapes is for text endpoints, not for file", None),
            ("tls+unix,dgram:/p", "a layer runs over a stream, not over dgram or seqpacket", None),
            ("fd,listen:3/4", "a listening socket is one descriptor", None),
            ("fd:x", "a descriptor is a number, or two with a slash: read the first, write the second", None),
            ("fd:99999999999", "a descriptor is a number, or two with a slash: read the first, write the second", None),
            ("random,seed=1", "a colon is missing behind the options", Some("random,seed=1:")),
            ("echo", "the colon of this scheme is missing", Some("echo:")),
            ("echo:7", "nothing follows the colon of this scheme", Some("tcp:echo:7")),
            ("null:x", "nothing follows the colon of this scheme", Some("null:")),
            ("exec: ", "a program is missing behind the colon", None),
            ("file:", "the name of a file is missing behind the colon", None),
            ("unix:", "the name of the socket is missing", None),
            ("@", "the name of the socket is missing", None),
            (
                "text,escapes:\\q",
                "unknown escape; there are \\n \\r \\t \\a \\b \\e \\f \\v \\NNN (octal) \\xNN and \\\\ (at byte 0)",
                None,
            ),
            ("dir/file", "a path begins with / or ./", Some("./dir/file")),
            ("\x1b[2J,x:80", "there is no scheme \"\\x1b[2J\"", None),
        ];
        for (word, cause, hint) in table {
            let error = parse(word).unwrap_err();
            assert_eq!((error.cause.as_str(), error.hint.as_deref()), (cause, hint), "{word}");
            let complete = hint.filter(|hint| !hint.contains("=N"));
            assert!(complete.is_none_or(|hint| parse(hint).is_ok()), "{word}");
        }
        assert!(parse(&format!("unix:{}", "x".repeat(108))).is_err());
        assert!(parse(&format!("{}:80", "x".repeat(1 << 20))).unwrap_err().cause.len() < 200);
    }

    #[test]
    fn two_plain_words_are_a_host_and_a_port() {
        let words = |first: &str, second: Option<&str>| Address::parse_words(first.as_ref(), second.map(OsStr::new));
        assert_eq!(words("db", Some("5432")).unwrap().kind, tcp("db", 5432));
        assert_eq!(words("::1", Some("80")).unwrap().kind, tcp("::1", 80));
        assert_eq!(words("[::1]", Some("80")).unwrap().kind, tcp("::1", 80));
        assert_eq!(words("echo", Some("7")).unwrap().kind, tcp("echo", 7));
        assert_eq!(words("*", Some("0")).unwrap().kind, tcp("*", 0));
        assert_eq!(words("9000", None).unwrap().kind, tcp("*", 9000));
        for (first, second, cause, hint) in [
            ("db:1", Some("2"), "\"db:1\" is a whole endpoint, and \"2\" follows it", Some("db:1")),
            ("80", Some("90"), "\"80\" is a whole endpoint, and \"90\" follows it", Some("80")),
            ("db", None, "a port is missing", Some("db PORT")),
            ("db", Some("ssh"), "a port is a number, not a name", Some("db 22")),
            ("db", Some("70000"), "a port is a number from 0 to 65535", None),
            ("echo", None, "the colon of this scheme is missing", Some("echo:")),
        ] {
            let error = words(first, second).unwrap_err();
            assert_eq!((error.cause.as_str(), error.hint.as_deref()), (cause, hint), "{first} {second:?}");
        }
    }
}
