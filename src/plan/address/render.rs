//! An address, written as it could have been typed.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Address, Family, Keepalive, Kind, Layer, Message, Options, TlsVersion, UnixName, UnixSocket, values};
use crate::escape::{Escaped, escape};
use crate::units::{Size, Span};

/// For a person: bytes that a terminal would not show are escaped, and of a header only the name is shown, as its value
/// may be a secret. [`Address::to_os_string`] is exact.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.options.web.header.is_empty() {
            let mut shown = self.clone();
            let fields = self.options.web.fields();
            shown.options.web.header = fields.map(|(name, _)| format!("{name}: ***")).collect();
            return Escaped(shown.to_os_string().as_bytes()).fmt(f);
        }
        Escaped(self.to_os_string().as_bytes()).fmt(f)
    }
}

impl Address {
    /// The word that [`Address::parse`] turns back into this address. Options that came from flags to `-`, a bare path
    /// or a proxy have no such spelling and are left out.
    pub fn to_os_string(&self) -> OsString {
        let mut word = Vec::new();
        match &self.kind {
            Kind::Stdio => word.push(b'-'),
            Kind::Path(path) => word.extend_from_slice(path.as_os_str().as_bytes()),
            Kind::Proxy(url) => word.extend_from_slice(url.as_bytes()),
            kind => {
                self.write_scheme(&mut word);
                let bare = word.len();
                write_socket(&mut word, kind);
                write_options(&mut word, &self.options, kind);
                let plain = word.len() == bare;
                word.push(b':');
                write_target(&mut word, kind, self.options.escapes, plain && self.layers.is_empty());
            }
        }
        OsString::from_vec(word)
    }

    fn write_scheme(&self, word: &mut Vec<u8>) {
        let transport = match &self.kind {
            Kind::Tcp(_) if self.options.mptcp => "mptcp",
            Kind::Tcp(_) if self.layers.is_empty() => "tcp",
            Kind::Tcp(_) => "",
            Kind::Unix(..) => "unix",
            kind => kind.protocol(),
        };
        let layers: &[&str] = match self.layers.as_slice() {
            [Layer::WebSocket, Layer::Tls] => &["wss"],
            [Layer::WebSocket] => &["ws"],
            [Layer::Tls] => &["tls"],
            [Layer::Tls, Layer::WebSocket] => &["tls", "ws"],
            _ => &[],
        };
        let words: Vec<&str> = layers.iter().copied().chain([transport]).filter(|word| !word.is_empty()).collect();
        word.extend_from_slice(words.join("+").as_bytes());
    }
}

fn write_socket(word: &mut Vec<u8>, kind: &Kind) {
    match kind {
        Kind::Unix(_, UnixSocket::Datagram) => word.extend_from_slice(b",dgram"),
        Kind::Unix(_, UnixSocket::Seqpacket) => word.extend_from_slice(b",seqpacket"),
        _ => {}
    }
}

fn write_options(word: &mut Vec<u8>, options: &Options, kind: &Kind) {
    let mut write = Writer(word);
    let tls = &options.tls;
    write.flag("4", options.family == Some(Family::V4));
    write.flag("6", options.family == Some(Family::V6));
    write.flag("numeric", options.numeric);
    write.value("source", &options.source);
    write.value("source-port", &options.source_port);
    write.value("iface", &options.iface);
    write.flag("nodelay", options.nodelay);
    match options.keepalive {
        Some(Keepalive::Every(span)) => write.value("keepalive", &Some(Span(span))),
        keepalive => write.flag("keepalive", keepalive.is_some()),
    }
    write.value("user-timeout", &options.user_timeout.map(Span));
    write.value("rcvbuf", &options.rcvbuf.map(Size));
    write.value("sndbuf", &options.sndbuf.map(Size));
    let code_point = |code| values::dscp_name(code).map_or_else(|| code.to_string(), str::to_owned);
    write.value("dscp", &options.dscp.map(code_point));
    write.value("ttl", &options.ttl);
    write.flag("broadcast", options.broadcast);
    write.flag("loop", options.loopback == Some(true));
    write.value("loop", &options.loopback.filter(|on| !on).map(|_| "off"));
    write.flag("df", options.df);
    write.value("congestion", &options.congestion);
    write.value("mss", &options.mss);
    // On TCP it is the scheme.
    write.flag("mptcp", options.mptcp && !matches!(kind, Kind::Tcp(_)));
    write.flag("listen", options.listen);
    write.value("mode", &options.mode.map(|bits| format!("{bits:o}")));
    write.flag("append", options.append);
    write.flag("atomic", options.atomic);
    write.value("offset", &options.offset.map(Size));
    write.value("seed", &options.seed);
    write.flag("escapes", options.escapes);
    write.value("sni", &tls.sni);
    write.value("alpn", &Some(tls.alpn.join(",")).filter(|names| !names.is_empty()));
    write.flag("insecure", tls.insecure);
    for pin in &tls.pin {
        write.bytes("pin", pin.as_bytes());
    }
    let files =
        [("ca", tls.ca.as_slice()), ("client-ca", tls.client_ca.as_slice()), ("cert", &tls.cert), ("key", &tls.key)];
    for (name, files) in files {
        for file in files {
            write.bytes(name, file.as_os_str().as_bytes());
        }
    }
    write.value("tls-min", &tls.min.map(|version| if version == TlsVersion::V12 { "1.2" } else { "1.3" }));
    write.value("path", &options.path);
    write.flag("text", options.web.message == Some(Message::Text));
    write.flag("binary", options.web.message == Some(Message::Binary));
    for (name, list) in
        [("header", &options.web.header), ("subprotocol", &options.web.subprotocol), ("origin", &options.web.origin)]
    {
        for value in list {
            write.bytes(name, value.as_bytes());
        }
    }
    write.value("ping", &options.web.ping.map(Span));
}

/// What follows the colon. `plain` says that nothing stands before it but one scheme, so that `//` would be a URL.
fn write_target(word: &mut Vec<u8>, kind: &Kind, escapes: bool, plain: bool) {
    match kind {
        Kind::Tcp(at) | Kind::Udp(at) => word.extend_from_slice(at.to_string().as_bytes()),
        Kind::Unix(UnixName::Abstract(name), _) => {
            word.push(b'@');
            word.extend_from_slice(name);
        }
        Kind::Unix(UnixName::Path(path), _) => {
            let path = path.as_os_str().as_bytes();
            match path {
                [b'@', ..] => word.extend_from_slice(b"./"),
                [b'/', b'/', ..] if plain => word.extend_from_slice(b"//"),
                _ => {}
            }
            word.extend_from_slice(path);
        }
        Kind::File(path) | Kind::Fifo(path) => word.extend_from_slice(path.as_os_str().as_bytes()),
        Kind::Exec(text) | Kind::Shell(text) => word.extend_from_slice(text.as_bytes()),
        Kind::Fd { read, write } if read == write => word.extend_from_slice(read.to_string().as_bytes()),
        Kind::Fd { read, write } => word.extend_from_slice(format!("{read}/{write}").as_bytes()),
        Kind::Text(bytes) if escapes => word.extend_from_slice(&escape(bytes)),
        Kind::Text(bytes) => word.extend_from_slice(bytes),
        Kind::Stdio | Kind::Path(_) | Kind::Proxy(_) => {}
        Kind::Null | Kind::Echo | Kind::Discard | Kind::Zero | Kind::Random => {}
    }
}

/// Appends options, each behind its comma.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(b',');
            self.0.extend_from_slice(name.as_bytes());
        }
    }

    fn value(&mut self, name: &str, value: &Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.bytes(name, value.to_string().as_bytes());
        }
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.flag(name, true);
        self.0.push(b'=');
        self.0.extend_from_slice(&values::percent_encoded(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};
    use std::ffi::OsStr;

    #[test]
    fn an_address_is_shown_in_its_shortest_safe_spelling() {
        for (word, shown) in [
            ("80", "tcp:80"),
            ("[::1]:80", "tcp:::1/80"),
            ("wss://host/chat", "wss,path=/chat:host:443"),
            ("ws+tls+unix:/p", "wss+unix:/p"),
            ("tcp,mptcp,nodelay:h:80", "mptcp,nodelay:h:80"),
            ("unix:////x", "unix:////x"),
            ("@a", "unix:@a"),
            ("tcp,dscp=46,keepalive=60:h:1", "tcp,keepalive=1m,dscp=ef:h:1"),
            ("text,escapes:\\x41\\n", "text,escapes:A\\n"),
            ("./a\x1b", "./a\\x1b"),
        ] {
            assert_eq!(Address::parse(OsStr::new(word)).unwrap().to_string(), shown, "{word}");
        }
    }

    const IP: &[&str] = &[
        "4",
        "numeric",
        "source=fe80%3A%3A1%25eth0",
        "source-port=7",
        "iface=eth1",
        "rcvbuf=1Mi",
        "sndbuf=1500k",
        "dscp=va",
        "dscp=63",
        "ttl=3",
        "listen",
    ];
    const TCP: &[&str] =
        &["nodelay", "keepalive", "keepalive=90", "user-timeout=1.5s", "congestion=bbr", "mptcp", "6", "source=a.b"];
    const UDP: &[&str] = &["broadcast", "loop", "loop=off", "df"];
    const TLS: &[&str] = &[
        "sni=a.example",
        "alpn=h2%2Chttp/1.1",
        "insecure",
        "pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "ca=/a%2Cb%25",
        "cert=c",
        "key=k=k",
        "cert=second",
        "client-ca=/b",
        "tls-min=1.2",
        "tls-min=1.3",
    ];
    const WEB: &[&str] =
        &["text", "header=A%3A b%2Cc", "header=B%3A", "origin=https%3A//a", "origin=null", "subprotocol=x", "ping=5"];
    const HOSTS: &[&str] = &["80", "h.example:0", "1.2.3.4:5", "::1/80", "fe80::1%eth0/9", "*:1", "[::]:2", ":3"];

    /// A word made of one scheme, some of its options in any order, and an address.
    fn spelled() -> impl Strategy<Value = Vec<u8>> {
        let options = |lists: &[&[&'static str]]| -> Vec<&'static str> { lists.concat() };
        let hosts = || select(HOSTS).prop_map(|host| host.as_bytes().to_vec()).boxed();
        let bytes = || vec(1u8..=255, 1..12).boxed();
        let empty = || Just(Vec::new()).boxed();
        let rows = vec![
            ("tcp", options(&[IP, TCP]), hosts()),
            ("mptcp", options(&[IP, TCP]), hosts()),
            ("udp", options(&[IP, UDP]), hosts()),
            ("tls", options(&[IP, TCP, TLS]), hosts()),
            ("wss", options(&[IP, TCP, TLS, &["path=/chat?a%2Cb"], WEB]), hosts()),
            ("tls+ws", options(&[TLS, &["path=/%2520", "binary"]]), hosts()),
            ("tls+unix", options(&[TLS, &["rcvbuf=9", "mode=0"]]), bytes()),
            ("unix", vec!["dgram", "seqpacket", "mode=660", "listen", "sndbuf=1Ki"], bytes()),
            ("unix", vec![], vec(1u8..=255, 0..8).prop_map(|rest| [b"///".to_vec(), rest].concat()).boxed()),
            ("file", vec!["append", "atomic", "offset=1M"], bytes()),
            ("fifo", vec![], bytes()),
            ("exec", vec![], bytes()),
            ("sh", vec![], bytes()),
            ("fd", vec!["listen"], select(&["0", "3/4", "2147483647"][..]).prop_map(|fd| fd.into()).boxed()),
            ("random", vec!["seed=18446744073709551615"], empty()),
            ("echo", vec![], empty()),
            ("text", vec![], bytes()),
            (
                "text,escapes",
                vec![],
                "([a-z,:é]|\\\\(n|0|x41|\\\\|377)){0,6}".prop_map(|text| text.into_bytes()).boxed(),
            ),
        ];
        select_row(rows)
    }

    type Row = (&'static str, Vec<&'static str>, BoxedStrategy<Vec<u8>>);

    fn select_row(rows: Vec<Row>) -> impl Strategy<Value = Vec<u8>> {
        (0..rows.len()).prop_flat_map(move |at| {
            let (scheme, options, address) = rows[at].clone();
            let count = options.len().min(5);
            (Just(scheme), subsequence(options, 0..=count).prop_shuffle(), address).prop_map(
                |(scheme, options, address)| {
                    let mut head = vec![scheme];
                    head.extend(options);
                    [head.join(",").into_bytes(), b":".to_vec(), address].concat()
                },
            )
        })
    }

    fn parse(word: &[u8]) -> Result<Address, super::super::BadAddress> {
        Address::parse(OsStr::from_bytes(word))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_written_parses_to_the_same_address(word in spelled()) {
            if let Ok(address) = parse(&word) {
                let written = address.to_os_string();
                prop_assert_eq!(Address::parse(&written), Ok(address.clone()), "{:?}", written);
                // Flags of the same names do the same to an endpoint without options.
                let mut flagged = Address { options: Options::default(), ..address.clone() };
                flagged.options.escapes = address.options.escapes;
                flagged.overlay(&address.options);
                prop_assert_eq!(flagged, address);
            }
        }

        #[test]
        fn no_bytes_panic_and_no_message_carries_a_control_character(
            word in prop_oneof![
                vec(any::<u8>(), 0..24),
                "[a-z+]{0,6}[,:=%/@\\[\\].0-9a-f]{0,16}".prop_map(String::into_bytes),
                (spelled(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut word, at, byte)| {
                    let at = at.index(word.len());
                    word[at] = byte;
                    word
                }),
            ],
            second in "[a-z0-9]{0,6}",
        ) {
            let words = Address::parse_words(OsStr::from_bytes(&word), Some(OsStr::new(&second)));
            for outcome in [parse(&word), words] {
                match outcome {
                    Ok(address) => prop_assert_eq!(Address::parse(&address.to_os_string()), Ok(address)),
                    Err(error) => {
                        let said = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
                        prop_assert!(!said.contains(char::is_control), "{}", said);
                        prop_assert!(!error.cause.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn generated_words_are_mostly_legal() {
        // Without this the property above could hold for nothing at all.
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let words = (0..500).map(|_| spelled().new_tree(&mut runner).unwrap().current());
        assert!(words.filter(|word| parse(word).is_ok()).count() > 250);
    }
}
