//! What either side makes of the other's part of the opening handshake.

use super::super::handshake::accept;
use super::*;

const HEAD: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The status that a server answers, its whole answer, and what it says of that itself.
fn answered(terms: Terms, request: &str, cut: usize) -> (u16, String, Option<Error>) {
    let mut server = Side::new(server(terms, BINARY), 200);
    server.hear(request.as_bytes(), cut);
    if server.error.is_some() {
        server.close(); // nothing of a WebSocket follows a refusal
    }
    let said = String::from_utf8(server.take_said()).unwrap();
    let status = said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).unwrap();
    (status, said, server.error)
}

#[test]
fn a_good_request_is_accepted_in_any_pieces() {
    for cut in [1, 7, 1000] {
        let (status, said, error) = answered(Terms::default(), &format!("{HEAD}{KEY}\r\n"), cut);
        assert!(status == 101 && error.is_none(), "{said}");
        assert!(said.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{said}");
    }
}

#[test]
fn each_bad_request_has_its_status() {
    let terms = || Terms {
        path: Some("/chat".into()),
        origins: vec!["https://a.example".into()],
        credentials: Some("me:secret".into()),
        ..Terms::default()
    };
    let good = "Origin: https://A.example\r\nAuthorization: Basic bWU6c2VjcmV0\r\n";
    let other_path = HEAD.replace("/chat", "/other\u{7f}");
    for (request, wanted, why) in [
        (format!("{HEAD}{KEY}{good}\r\n"), 101, ""),
        ("GET /chat HTTP/1.1\r\nHost: h\r\n\r\n".into(), 426, "it asked for something else than WebSocket"),
        (format!("{HEAD}Sec-WebSocket-Version: 8\r\n\r\n"), 426, "it speaks another version of WebSocket than 13"),
        (format!("{HEAD}Sec-WebSocket-Version: 13\r\n\r\n"), 400, "its Sec-WebSocket-Key is none"),
        (format!("{HEAD}{}\r\n", KEY.replace("dGhl", "")), 400, "its Sec-WebSocket-Key is none"),
        (format!("{HEAD}{KEY}{KEY}\r\n"), 426, "it speaks another version of WebSocket than 13"),
        (format!("{}{KEY}\r\n", HEAD.replace("GET", "POST")), 400, "its request is no GET of HTTP/1.1 with a host"),
        (format!("{}{KEY}\r\n", HEAD.replace("1.1", "1.0")), 400, "its request is no GET of HTTP/1.1 with a host"),
        (format!("{}{KEY}\r\n", HEAD.replace("Host: h\r\n", "")), 400, "its request is no GET of HTTP/1.1 with a host"),
        (format!("{}{KEY}\r\n", HEAD.replace("Host", "Ho st")), 400, "its request is malformed"),
        (format!("{HEAD}{KEY}Content-Length: 0\r\n{good}\r\n"), 101, ""),
        (format!("{HEAD}{KEY}Content-Length: 5\r\n{good}\r\n"), 400, "its request has a body"),
        (format!("{HEAD}{KEY}Transfer-Encoding: chunked\r\n{good}\r\n"), 400, "its request has a body"),
        ("\u{16}\u{3}\u{1}".into(), 400, "what it said is no HTTP request"),
        (format!("{HEAD}X: {}", "x".repeat(70_000)), 431, "its header has more than 64 KiB"),
        (format!("{HEAD}{KEY}\r\n"), 401, "its credentials are not those of HAUL_WS_AUTH"),
        (
            format!("{HEAD}{KEY}{}\r\n", good.replace("bWU6", "bWV6")),
            401,
            "its credentials are not those of HAUL_WS_AUTH",
        ),
        (format!("{HEAD}{KEY}{}\r\n", good.replace("//A", "//B")), 403, "it comes from the origin https://B.example"),
        (format!("{HEAD}{KEY}Authorization: Basic bWU6c2VjcmV0\r\n\r\n"), 403, "it did not say its origin"),
        (format!("{other_path}{KEY}{good}\r\n"), 400, "its request is malformed"),
        (format!("{}{KEY}{good}\r\n", HEAD.replace("chat", "other")), 404, "it asked for the path /other?x=1"),
    ] {
        let (status, said, error) = answered(terms(), &request, 100);
        assert_eq!(status, wanted, "{request}");
        assert!(said.ends_with(if wanted == 101 { "\r\n\r\n" } else { "\n" }) && !said.contains('\u{88}'));
        match error {
            None => assert_eq!(wanted, 101),
            Some(error) => {
                let line = format!("WebSocket handshake failed: the peer was answered {wanted}: {why}");
                assert_eq!(error.line(), line);
                let refused = matches!(wanted, 401 | 403);
                assert_eq!(error.status() == ExitStatus::Authentication, refused);
            }
        }
    }
}

#[test]
fn what_a_server_says_to_other_clients() {
    let (_, said, _) = answered(Terms::default(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 9);
    for line in ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: close", "Content-Length: 21"] {
        assert!(said.contains(&format!("\r\n{line}\r\n")), "{said}");
    }
    assert!(said.ends_with("\r\n\r\n426 Upgrade Required\n"));
}

#[test]
fn a_path_counts_without_its_query_unless_that_is_wanted() {
    for (wanted, target, status) in [
        ("/chat", "/chat", 101),
        ("/chat", "http://h/chat?x", 101),
        ("/chat?x", "/chat?x", 101),
        ("/chat?x", "/chat", 404),
        ("/", "http://h", 101),
        ("/chat", "/chat/", 404),
    ] {
        let terms = Terms { path: Some(wanted.into()), ..Terms::default() };
        let request = format!("{}{KEY}\r\n", HEAD.replace("/chat?x=1", target));
        assert_eq!(answered(terms, &request, 50).0, status, "{wanted} {target}");
    }
}

#[test]
fn a_request_says_what_was_asked_for_and_fields_of_the_user_replace_ours() {
    let request = Request {
        origin: Some("https://a".into()),
        subprotocols: vec!["x".into(), "y".into()],
        headers: vec![("X-Token".into(), "1".into()), ("host".into(), "other".into())],
        credentials: Some("me:secret".into()),
        ..request()
    };
    let mut client = Side::new(client(&request, BINARY), 200);
    client.speak();
    let said = String::from_utf8(client.take_said()).unwrap();
    let lines: Vec<&str> = said.split("\r\n").collect();
    assert_eq!(lines[0], "GET /chat HTTP/1.1");
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Origin: https://a",
        "X-Token: 1",
        "Sec-WebSocket-Protocol: x, y",
        "host: other",
        "Authorization: Basic bWU6c2VjcmV0",
    ] {
        assert!(lines.contains(&line), "{line} is not in {said}");
    }
    assert!(!said.contains("Host: host"));
}

/// What a client makes of an answer in which KEY stands for the right accept.
fn judged(request: &Request, answer: &str, cut: usize) -> (Side, Option<Error>) {
    let mut client = Side::new(client(request, BINARY), 200);
    client.speak();
    let said = String::from_utf8(client.take_said()).unwrap();
    let key = said.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
    client.hear(answer.replace("KEY", &accept(key.as_bytes())).as_bytes(), cut);
    let error = client.error.take();
    (client, error)
}

const YES: &str = "HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nsec-websocket-accept: KEY\r\n";

#[test]
fn a_password_that_a_server_repeats_is_not_shown() {
    let request = Request { credentials: Some("me:correct horse".into()), ..request() };
    for (answer, why) in [
        ("HTTP/1.1 403 correct horse\r\n\r\n", "the peer answered 403 ***"),
        ("HTTP/1.1 401 Basic bWU6Y29ycmVjdCBob3JzZQ==\r\n\r\n", "the peer answered 401 ***"),
        ("HTTP/1.1 301 M\r\nLocation: /?correct horse\r\n\r\n", "the peer answered 301 M, see \"***\""),
        ("echo me:correct horse\r\n", "the peer speaks no HTTP: it said \"***\""),
    ] {
        let (_, error) = judged(&request, answer, 1000);
        assert_eq!(error.unwrap().line(), format!("WebSocket handshake failed: {why}"));
    }
}

// Nor is it where it is the reason of a Close.
#[test]
fn a_password_that_a_peer_closes_with_is_not_shown() {
    let credentials = || Some("me:correct horse".into());
    let mut client = Side::new(client(&Request { credentials: credentials(), ..request() }, BINARY), 300);
    let terms = Terms { credentials: credentials(), ..Terms::default() };
    let mut server = Side::new(server(terms, BINARY), 300);
    client.speak();
    server.hear(&client.take_said(), 99);
    client.hear(&server.take_said(), 99);
    client.hear(b"\x88\x14\x03\xf0no correct horse!!", 5);
    // with this key it is what it was
    server.hear(b"\x88\x98\0\0\0\0\x03\xf0bWU6Y29ycmVjdCBob3JzZQ", 5);
    for side in [client, server] {
        let line = side.error.unwrap().line();
        assert!(line.ends_with("closed the WebSocket with code 1008 (policy violation): \"***\""), "{line}");
    }
}

#[test]
fn a_good_answer_opens_and_what_follows_it_is_payload() {
    for cut in [1, 1000] {
        let (client, error) = judged(&request(), &format!("{YES}\r\n\u{0}"), cut);
        assert!(error.is_none() && !client.stack.is_handshaking());
        let (client, _) = judged(&request(), &format!("{YES}\r\n\u{1}\u{1}a"), cut);
        assert_eq!(client.read, b"a");
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        let (client, error) = judged(&request(), &format!("{hints}{YES}\r\n\u{1}\u{1}a"), cut);
        assert!(error.is_none());
        assert_eq!(client.read, b"a");
    }
    let asks = Request { subprotocols: vec!["x".into()], ..request() };
    assert!(judged(&asks, &format!("{YES}Sec-WebSocket-Protocol: x\r\n\r\n"), 20).1.is_none());
}

#[test]
fn each_bad_answer_is_one_sentence_with_its_status() {
    let asks = Request { subprotocols: vec!["x".into()], ..request() };
    let plain = request();
    for (request, answer, why, status) in [
        (&plain, "\u{1b}[2".into(), "the peer speaks no HTTP: it said \"\\x1b[2\"", 1),
        (&plain, "HTTP/1.1 403 No\u{1b}w\r\n\r\n".into(), "the peer's answer is malformed", 1),
        (&plain, "HTTP/1.1 403 Now\r\n\r\n".into(), "the peer answered 403 Now", 6),
        (&plain, "HTTP/1.0 200 OK\r\n\r\n".into(), "the peer answered 200 OK", 1),
        (&plain, "HTTP/1.1 301 M\r\nLocation: /x\r\n\r\n".into(), "the peer answered 301 M, see \"/x\"", 1),
        (&plain, "HTTP/1.1 101 Y\r\n\r\n".into(), "the peer did not change to WebSocket", 1),
        (&plain, format!("{}\r\n", YES.replace("1.1", "1.0")), "the peer did not change to WebSocket", 1),
        (&plain, "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 404 N\r\n\r\n".into(), "the peer answered 404 N", 1),
        (
            &plain,
            format!("{}\r\n", YES.replace("KEY", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            "the peer's answer is not for this request: Sec-WebSocket-Accept is wrong",
            1,
        ),
        (
            &plain,
            format!("{YES}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "the peer uses an extension that nobody asked for",
            1,
        ),
        (
            &plain,
            format!("{YES}Sec-WebSocket-Protocol: y\r\n\r\n"),
            "the peer speaks a subprotocol that nobody asked for, \"y\"",
            1,
        ),
        (&asks, format!("{YES}\r\n"), "the peer does not speak the subprotocol \"x\"", 1),
        (&plain, "HTTP/1.1 102 Wait\r\n\r\n".repeat(4_000), "the peer's answer has a header of more than 64 KiB", 1),
        (
            &plain,
            format!("HTTP/1.1 101 Y\r\nX: {}", "x".repeat(70_000)),
            "the peer's answer has a header of more than 64 KiB",
            1,
        ),
    ] {
        for cut in [3, 1000] {
            let (mut client, error) = judged(request, &answer, cut);
            let error = error.unwrap();
            assert_eq!(error.line(), format!("WebSocket handshake failed: {why}"));
            assert_eq!(error.status().code(), status);
            // nothing is said to whom the handshake has failed with
            client.close();
            assert!(client.take_said().is_empty());
        }
    }
}

#[test]
fn a_peer_that_goes_away_is_told() {
    for (words, why) in [("", "the peer ended without an answer"), ("HTTP/1", "the peer ended within its answer")] {
        let mut client = Side::new(client(&request(), BINARY), 200);
        client.hear(words.as_bytes(), 10);
        client.stack.wire_ended();
        client.collect();
        assert_eq!(client.error.unwrap().line(), format!("WebSocket handshake failed: {why}"));
    }
    let mut server = Side::new(server(Terms::default(), BINARY), 200);
    server.hear(b"GET", 10);
    server.stack.wire_ended();
    server.collect();
    assert_eq!(server.error.unwrap().line(), "WebSocket handshake failed: the peer ended within its request");
}

#[test]
fn the_first_subprotocol_of_the_server_that_the_client_offers_is_chosen() {
    let terms = Terms { subprotocols: vec!["a".into(), "b".into(), "c".into()], ..Terms::default() };
    let (_, said, _) =
        answered(terms, &format!("{HEAD}{KEY}Sec-WebSocket-Protocol: d, c\r\nsec-websocket-protocol: b\r\n\r\n"), 30);
    assert!(said.contains("\r\nSec-WebSocket-Protocol: b\r\n"), "{said}");
    let (status, said, _) = answered(Terms::default(), &format!("{HEAD}{KEY}Sec-WebSocket-Protocol: d\r\n\r\n"), 30);
    assert!(status == 101 && !said.contains("Sec-WebSocket-Protocol"));
}
