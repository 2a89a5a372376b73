//! Proxies as scripts: what they answer, in any pieces, and what comes of it.

use proptest::prelude::*;

use super::*;
use crate::layer::stack::Stack;

fn names() -> Names {
    Names { object: "db:5432 through http://proxy:1080".into(), proxy: "the proxy".into() }
}

fn db() -> Destination {
    Destination::Name("db".into(), 5432)
}

fn login() -> Login {
    Login::new("me", Some("pass:word"))
}

fn proxy(language: Language, login: Option<Login>) -> Proxy {
    Proxy::new(language, &db(), login, names()).unwrap()
}

/// What came of a conversation.
#[derive(Debug, PartialEq)]
struct Came {
    /// What the proxy was told.
    told: Vec<u8>,
    /// What the application reads.
    payload: Vec<u8>,
    /// `None` once the layer has left.
    error: Option<(String, Option<String>, u8)>,
    left: bool,
}

/// Gives `answer` to a stack with this layer, in pieces of these sizes, and then perhaps its end.
fn hear(layer: Proxy, answer: &[u8], pieces: &[usize], capacity: usize, ends: bool) -> Came {
    let mut stack = Stack::new(vec![Box::new(layer)], capacity);
    let mut came = Came { told: vec![], payload: vec![], error: None, left: false };
    let mut rest = answer;
    let mut pieces = pieces.iter().cycle();
    let mut idle = 0;
    loop {
        stack.flush().unwrap();
        if let Some(outgoing) = stack.outgoing() {
            came.told.extend(outgoing.filled());
            outgoing.clear();
        }
        stack.flush().unwrap();
        assert_eq!(stack.encode(b"too early").unwrap(), 0, "the application's bytes stay where they are");
        stack.decode();
        came.payload.extend(stack.plain().filled());
        stack.plain().clear();
        let said = stack.outgoing().is_some_and(|outgoing| !outgoing.is_empty());
        if stack.is_bare() {
            came.payload.extend(rest);
            came.left = true;
            return came;
        }
        if let Some(error) = stack.take_failure() {
            came.error = Some((error.line(), error.advice().map(str::to_owned), error.status().code()));
            return came;
        }
        if rest.is_empty() && ends {
            stack.wire_ended();
            continue;
        }
        let count = stack.wire_spare().len().min(rest.len()).min(*pieces.next().unwrap());
        stack.wire_spare()[..count].copy_from_slice(&rest[..count]);
        stack.wire_received(count);
        rest = &rest[count..];
        idle = if count > 0 || said { 0 } else { idle + 1 };
        if idle > 3 {
            return came;
        }
    }
}

/// The error of an answer that is given as a whole.
fn refused(layer: Proxy, answer: &[u8]) -> (String, Option<String>, u8) {
    let came = hear(layer, answer, &[usize::MAX], 1000, false);
    assert!(!came.left && came.payload.is_empty());
    came.error.unwrap_or_else(|| panic!("{:?} is not refused", String::from_utf8_lossy(answer)))
}

fn http(answer: &str, login: Option<Login>) -> (String, Option<String>) {
    let (line, advice, status) = refused(proxy(Language::Http, login), answer.as_bytes());
    assert_eq!(status, 6);
    let cause = line.strip_prefix("cannot connect to db:5432 through http://proxy:1080: the proxy ").unwrap();
    (cause.to_string(), advice)
}

fn socks(language: Language, answer: &[u8], login: Option<Login>) -> (String, Option<String>) {
    let (line, advice, status) = refused(proxy(language, login), answer);
    assert_eq!(status, 6);
    (line.split_once(": the proxy ").unwrap().1.to_string(), advice)
}

/// Who logs in, what is answered in all, what is told in all.
type Conversation = (Language, Option<Login>, Vec<u8>, Vec<u8>);

/// Every good one.
fn good() -> Vec<Conversation> {
    let request = b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n";
    let plain = [&request[..], b"\r\n"].concat();
    let basic = [&request[..], b"Proxy-Authorization: Basic bWU6cGFzczp3b3Jk\r\n\r\n"].concat();
    let asked = b"\x05\x01\x00\x03\x02db\x15\x38";
    let anonymous = [&b"\x05\x01\x00"[..], asked].concat();
    let by_password = [&b"\x05\x02\x00\x02\x01\x02me\x09pass:word"[..], asked].concat();
    let both = [&b"\x05\x02\x00\x02"[..], asked].concat();
    let four = b"\x04\x01\x15\x38\x00\x00\x00\x01me\x00db\x00".to_vec();
    let http = |login: bool, answer: &str| {
        let told = if login { basic.clone() } else { plain.clone() };
        (Language::Http, login.then(self::login), answer.as_bytes().to_vec(), told)
    };
    let socks5 = |login: bool, answer: &[u8], told: &[u8]| {
        (Language::Socks5, login.then(self::login), answer.to_vec(), told.to_vec())
    };
    vec![
        http(false, "HTTP/1.1 200 OK\r\n\r\n"),
        http(false, "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n"),
        http(true, "HTTP/1.1 299 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        http(false, "HTTP/1.1 200\n\n"),
        http(true, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        http(false, "HTTP/1.1 200 OK\r\nbad header here\r\nA : b\r\n folded\r\n\r\n"),
        socks5(false, b"\x05\x00\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50", &anonymous),
        socks5(true, b"\x05\x00\x05\x00\x00\x03\x04name\x00\x50", &both),
        socks5(true, b"\x05\x02\x01\x00\x05\x00\x00\x04aaaabbbbccccdddd\x00\x50", &by_password),
        socks5(true, b"\x05\x02\x05\x00\x05\x00\x00\x03\x00\x00\x50", &by_password),
        (Language::Socks4, Some(Login::parse(b"me")), b"\x00\x5a\x00\x50\x01\x02\x03\x04".to_vec(), four.clone()),
        (Language::Socks4, Some(Login::parse(b"me")), b"\x04\x5a\x00\x00\x00\x00\x00\x00".to_vec(), four),
    ]
}

/// How answers begin that get further than their first byte.
const STARTS: &[&[u8]] = &[b"", b"HTTP/1.1 ", b"HTTP/1.1 407 no\r\n", b"\x05\x02\x01\x00", b"\x05\x00", b"\x00\x5a"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn in_every_chunking_the_layer_leaves_and_what_is_glued_behind_is_payload(
        which in any::<prop::sample::Index>(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(1usize..60, 1..20),
        capacity in 1usize..400,
        ends in any::<bool>(),
    ) {
        let conversations = good();
        let (language, login, answer, told) = which.get(&conversations);
        let wire = [answer.as_slice(), &payload].concat();
        let came = hear(proxy(*language, login.clone()), &wire, &pieces, capacity, ends);
        prop_assert!(came.left, "{:?}", came);
        prop_assert_eq!(&came.told, told);
        prop_assert_eq!(&came.payload, &payload);
    }

    #[test]
    fn any_answer_comes_to_the_same_in_every_chunking(
        language in prop_oneof![Just(Language::Http), Just(Language::Socks5), Just(Language::Socks4)],
        start in prop::sample::select(STARTS),
        rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' ')], 0..100),
        pieces in proptest::collection::vec(1usize..20, 1..20),
        with_login in any::<bool>(),
    ) {
        let make = || {
            let me = if language == Language::Socks4 { Login::parse(b"me") } else { login() };
            proxy(language, with_login.then_some(me))
        };
        let answer = [start, &rest].concat();
        let whole = hear(make(), &answer, &[usize::MAX], 1000, true);
        prop_assert!(whole.left != whole.error.is_some());
        let came = hear(make(), &answer, &pieces, 50, true);
        prop_assert_eq!((&came.left, &came.payload, &came.error), (&whole.left, &whole.payload, &whole.error));
        if let Some((line, advice, status)) = whole.error {
            prop_assert_eq!(status, 6);
            let told = [line, advice.unwrap_or_default()].concat();
            prop_assert!(!told.contains(char::is_control), "{}", told);
        }
    }
}

#[test]
fn a_refusal_of_http_has_the_words_of_the_proxy() {
    for (answer, cause) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403 Forbidden"),
        ("HTTP/1.0 502 Bad\x1b[2J Gateway\r\n\r\n", "answered 502 Bad\\x1b[2J Gateway"),
        ("HTTP/1.1 503 \r\n\r\n", "answered 503"),
        ("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "answered 301 Moved"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered 101 Switching Protocols"),
        ("HTTP/1.1 abc\r\n\r\n", "gave an answer that is not HTTP"),
        ("HTTP/2 200\r\n\r\n", "gave an answer that is not HTTP"),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", "gave an answer that is not HTTP"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "gave an answer that is not HTTP"),
    ] {
        assert_eq!(http(answer, None).0, cause, "{answer}");
    }
    let long = format!("HTTP/1.1 403 {}\r\n\r\n", "x".repeat(10_000));
    assert_eq!(http(&long, None).0.len(), "answered 403 ".len() + 100);
}

#[test]
fn a_proxy_that_wants_a_login_says_which() {
    let wants = |header: &str| format!("HTTP/1.1 407 Who?\r\n{header}\r\n\r\n");
    let advice = Some("HAUL_PROXY_AUTH=USER:PASSWORD, or --proxy-auth FILE".to_string());
    assert_eq!(http(&wants("A: b"), None), ("wants a login (407 Who?)".into(), advice.clone()));
    assert_eq!(
        http(&wants("Proxy-Authenticate: Basic realm=\"x\""), None),
        ("wants a login (407 Who?)".into(), advice)
    );
    let both = wants("Proxy-Authenticate: Digest realm=\"x\"\r\nproxy-authenticate: bAsIc realm=\"x\"");
    assert_eq!(http(&both, Some(login())), ("does not accept the login (407 Who?)".into(), None));
    let other = "HTTP/1.1 401 Unauthorized\r\n\r\n";
    assert_eq!(http(other, Some(login())).0, "does not accept the login (401 Unauthorized)");
    assert_eq!(http(other, None).0, "answered 401 Unauthorized");
    let others = wants("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM");
    let cause = "wants a login by Negotiate or NTLM, and haul knows only Basic (407 Who?)";
    assert_eq!(http(&others, Some(login())).0, cause);
}

#[test]
fn every_reply_of_socks_5_has_words_of_its_own() {
    let mut all = Vec::new();
    for (code, cause) in [
        (1, "has failed (general SOCKS server failure)"),
        (2, "does not allow the connection"),
        (3, "cannot reach the network"),
        (4, "cannot reach the host"),
        (5, "says: connection refused"),
        (6, "says: the connection has timed out (TTL expired)"),
        (7, "does not know the command CONNECT"),
        (8, "does not support this kind of address"),
        (9, "refuses with the unknown code 9"),
        (255, "refuses with the unknown code 255"),
    ] {
        // some close behind the code, some send a whole reply
        for rest in [&b""[..], &[0, 1, 0, 0, 0, 0, 0, 0]] {
            let told = socks(Language::Socks5, &[&[5, 0, 5, code], rest].concat(), None).0;
            assert_eq!(told, cause);
        }
        all.push(cause);
    }
    all.dedup();
    assert_eq!(all.len(), 10);
}

#[test]
fn a_login_that_socks_5_does_not_accept_is_told() {
    let asks = socks(Language::Socks5, &[5, 255], None);
    assert_eq!(asks.0, "wants a login");
    assert!(asks.1.unwrap().starts_with("HAUL_PROXY_AUTH="));
    assert_eq!(socks(Language::Socks5, &[5, 255], Some(login())).0, "takes no login by user and password");
    assert_eq!(socks(Language::Socks5, &[5, 2, 1, 1], Some(login())), ("does not accept the login".into(), None));
    let cause = "chose a way to log in that was not offered";
    assert_eq!(socks(Language::Socks5, &[5, 2], None).0, cause);
    assert_eq!(socks(Language::Socks5, &[5, 1], Some(login())).0, cause);
}

#[test]
fn every_reply_of_socks_4_has_words_of_its_own() {
    for (code, cause) in [
        (91, "says: rejected or failed"),
        (92, "cannot ask who you are (no identd answers)"),
        (93, "does not believe who you are (identd names another user)"),
        (0, "refuses with the unknown code 0"),
    ] {
        assert_eq!(socks(Language::Socks4, &[0, code], None).0, cause);
    }
}

#[test]
fn nonsense_is_told_with_the_kind_of_proxy_that_it_may_be() {
    let advice = "-x http://HOST:PORT, since it speaks HTTP";
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(
        socks(Language::Socks5, answer, None),
        ("gave an answer that is not SOCKS 5".into(), Some(advice.into()))
    );
    assert_eq!(
        socks(Language::Socks4, answer, None),
        ("gave an answer that is not SOCKS 4".into(), Some(advice.into()))
    );
    assert_eq!(socks(Language::Socks5, b"\x04", None).0, "gave an answer that is not SOCKS 5");
    assert_eq!(socks(Language::Socks5, b"\x05\x00\x05\x00\x00\x02", None).0, "gave an answer that is not SOCKS 5");
    assert_eq!(socks(Language::Socks5, b"\x05\x02\x02\x00", Some(login())).0, "gave an answer that is not SOCKS 5");
}

#[test]
fn a_header_that_never_ends_is_given_up_at_64_kib() {
    let cause = "did not end its answer within 64 KiB";
    let fields = ["HTTP/1.1 200 OK\r\n", &"a: b\r\n".repeat(20_000)].concat();
    let line = ["HTTP/1.1 200 ", &"x".repeat(100_000)].concat();
    let again = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    for answer in [fields, line, again] {
        for pieces in [[usize::MAX], [1000], [7]] {
            let came = hear(proxy(Language::Http, None), answer.as_bytes(), &pieces, 16 * 1024, false);
            assert!(came.error.unwrap().0.ends_with(cause));
        }
    }
    let room = "HTTP/1.1 200 OK\r\na: \r\n\r\n".len();
    let longest = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(64 * 1024 - room));
    assert!(hear(proxy(Language::Http, None), longest.as_bytes(), &[usize::MAX], 16 * 1024, false).left);
}

#[test]
fn a_proxy_that_closes_anywhere_within_its_answer_has_not_agreed() {
    for (language, login, answer, _) in good() {
        for cut in 0..answer.len() {
            let came = hear(proxy(language, login.clone()), &answer[..cut], &[usize::MAX], 1000, true);
            let (line, _, status) = came.error.unwrap();
            assert!(line.ends_with(": the proxy closed the connection before it agreed"), "{line}");
            assert_eq!(status, 6);
        }
    }
}

#[test]
fn what_may_be_otherwise_a_moment_later_is_marked() {
    let passing = |language, answer: &[u8]| {
        let mut layer = proxy(language, None);
        let mut wire = Buffer::new(200);
        wire.push(answer);
        layer.decode(&mut wire, &mut Buffer::new(0)).unwrap_err().is_passing()
    };
    assert!(passing(Language::Http, b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
    assert!(!passing(Language::Http, b"HTTP/1.1 403 Forbidden\r\n\r\n"));
    assert!(passing(Language::Socks5, b"\x05\x00\x05\x05"));
    assert!(!passing(Language::Socks5, b"\x05\x00\x05\x02"));
    assert!(passing(Language::Socks4, b"\x00\x5b"));
}

#[test]
fn what_a_language_has_no_words_for_is_a_mistake_of_usage() {
    let refused = |language, destination: &Destination, login| {
        let Err(error) = Proxy::new(language, destination, login, names()) else { panic!("it was said") };
        assert_eq!(error.status(), ExitStatus::Usage);
        error.line().split_once("1080: ").unwrap().1.to_string()
    };
    let long = Destination::Name("a".repeat(300), 1);
    let cause = "SOCKS has no room for the name of a host of more than 255 bytes";
    assert_eq!(refused(Language::Socks5, &long, None), cause);
    assert_eq!(refused(Language::Socks4, &long, None), cause);
    let user = Login::new("u".repeat(256), Some("p"));
    assert_eq!(refused(Language::Socks5, &db(), Some(user)), "SOCKS has no room for a user of more than 255 bytes");
    let v6 = Destination::Ip("[::1]:80".parse().unwrap());
    assert_eq!(refused(Language::Socks4, &v6, None), "SOCKS 4 knows no IPv6 addresses");
    assert_eq!(refused(Language::Socks4, &db(), Some(login())), "SOCKS 4 knows a user and no password");
}

#[test]
fn addresses_are_told_in_the_words_of_each_language() {
    let told = |language, at: &str| {
        let destination = Destination::Ip(at.parse().unwrap());
        let layer = Proxy::new(language, &destination, None, names()).unwrap();
        hear(layer, b"\x05\x00", &[usize::MAX], 1000, false).told
    };
    assert!(told(Language::Http, "[::1]:80").starts_with(b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n"));
    assert!(told(Language::Http, "[::ffff:1.2.3.4]:80").starts_with(b"CONNECT 1.2.3.4:80 HTTP/1.1\r\n"));
    assert_eq!(told(Language::Socks5, "1.2.3.4:80"), b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50");
    let v6 = told(Language::Socks5, "[::1]:80");
    assert_eq!(&v6[3..], b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50");
    let layer = Proxy::new(Language::Socks4, &Destination::Ip("1.2.3.4:80".parse().unwrap()), None, names()).unwrap();
    assert_eq!(hear(layer, b"", &[1], 1000, false).told, b"\x04\x01\x00\x50\x01\x02\x03\x04\x00");
}

#[test]
fn two_proxies_in_a_row_are_asked_one_after_the_other() {
    let first = proxy(Language::Socks5, None);
    let second = proxy(Language::Http, Some(login()));
    let mut stack = Stack::new(vec![Box::new(second), Box::new(first)], 1000);
    let mut told = Vec::new();
    for (answer, so_far) in [
        (&b""[..], 3),
        (b"\x05\x00", 12),
        (b"\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50", 100),
        (b"HTTP/1.1 200 OK\r\n\r\npayload", 100),
    ] {
        stack.wire_spare()[..answer.len()].copy_from_slice(answer);
        stack.wire_received(answer.len());
        for _ in 0..3 {
            stack.decode();
            stack.flush().unwrap();
            if let Some(outgoing) = stack.outgoing() {
                told.extend(outgoing.filled());
                outgoing.clear();
            }
        }
        assert_eq!(told.len(), so_far, "{:?}", String::from_utf8_lossy(&told));
    }
    assert!(!stack.has_layers());
    assert_eq!(stack.plain().filled(), b"payload");
}
