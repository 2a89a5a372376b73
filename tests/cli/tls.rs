//! TLS between two hauls: everything that works over a plain stream works over an encrypted one.

use std::fs;

use rustix::process::Signal;

use crate::data::{FEW_SIZES, assert_prefix, assert_same, bytes};
use crate::harness::{Input, Program, Running, Zoo, file_with, haul, open, proc};

/// A listener with a good certificate; `word` is where.
#[track_caller]
fn listening(zoo: &Zoo, flags: &[&str], word: &str) -> Program {
    let pair = zoo.good();
    haul([&["listen", "--tls", "--cert", pair.cert(), "--key", pair.key()], flags, &[word]].concat())
}

/// Somebody who believes the zoo's authority, on the way to `server`.
#[track_caller]
fn connecting(zoo: &Zoo, flags: &[&str], server: &Running) -> Program {
    let (ca, address) = (zoo.ca(), server.address().to_string());
    haul([&["connect", "--tls", "--ca", &ca], flags, &[&address]].concat())
}

// A file of any size arrives whole, in either direction, over TCP.
#[test]
fn files_cross_encrypted() {
    let zoo = Zoo::new();
    for size in FEW_SIZES {
        let content = bytes(size as u64, size);
        let file = file_with(zoo.home(), "file", &content);
        let server = listening(&zoo, &[], "127.0.0.1:0").spawn();
        connecting(&zoo, &[], &server).stdin(Input::Fd(open(&file))).run().ok();
        let got = server.wait();
        got.ok();
        assert_same("what the listener got", &got.stdout, &content);

        let server = listening(&zoo, &[], "127.0.0.1:0").stdin(Input::Fd(open(&file))).spawn();
        let got = connecting(&zoo, &[], &server).run();
        got.ok();
        assert_same("what the connector got", &got.stdout, &content);
        server.wait().ok();
    }
}

// An end of file goes one way alone: the answer to everything that was sent comes back.
#[test]
fn an_answer_comes_after_the_end_of_the_question() {
    let zoo = Zoo::new();
    let server = listening(&zoo, &[], "127.0.0.1:0").stdin(Input::Piped).spawn();
    let client = connecting(&zoo, &[], &server).stdin(Input::Bytes(b"question".to_vec())).spawn();
    let mut server = server;
    assert_eq!(server.stdout_end(), b"question", "its end has come, and ours has not");
    server.say(b"answer");
    server.end_stdin();
    let client = client.wait();
    client.ok();
    assert_eq!(client.stdout, b"answer");
    server.wait().ok();
}

// Over a Unix socket it is the same; there is no host, so a name or a pin says who is expected.
#[test]
fn unix_sockets_are_encrypted_too() {
    let zoo = Zoo::new();
    let path = zoo.home().join("s");
    let word = path.to_str().unwrap();
    let pair = zoo.good();
    let server = haul(["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "-U", word]).spawn();
    proc::wait_for_unix_listener(&path);
    let nobody = haul(["connect", &format!("tls+unix:{word}")]).run();
    nobody.code(2);
    assert!(nobody.one_error().contains("there is no host name"), "{}", nobody.stderr);
    let named = haul(["connect", "--sni", "localhost", "--ca", &zoo.ca(), &format!("tls+unix:{word}")]);
    named.stdin(Input::Bytes(b"hello".to_vec())).run().ok();
    let server = server.wait();
    server.ok();
    assert_eq!(server.stdout, b"hello");
}

// Without a certificate one is made, and the line that tells its pin is the command to be typed.
#[test]
fn the_line_about_a_throw_away_certificate_is_the_command_that_connects() {
    let server = haul(["listen", "--tls", "127.0.0.1:0"]).spawn();
    let line = server.stderr_line("haul: certificate made for this run: haul connect ");
    let words: Vec<_> = line.split("haul connect ").nth(1).unwrap().split(' ').collect();
    let client = haul([&["connect"], &words[..]].concat()).stdin(Input::Bytes(b"hello".to_vec())).run();
    client.ok();
    assert_eq!(server.wait().code(0).stdout, b"hello");
    let quiet = haul(["listen", "--tls", "--quiet", "-v", "127.0.0.1:0"]).run();
    quiet.code(2);
    let quiet = haul(["listen", "--tls", "--quiet", "--accept-timeout", "10ms", "127.0.0.1:0"]).run();
    quiet.code(3);
    assert!(!quiet.stderr.contains("certificate"), "{}", quiet.stderr);
}

// A program takes the encrypted stream as it would a plain one, and learns what carries it.
#[test]
fn programs_serve_and_use_encrypted_streams() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let words = ["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "-c"];
    let server = haul([&words[..], &["echo $HAUL_PROTO $PROTO; cat"]].concat()).spawn();
    let client = connecting(&zoo, &[], &server).stdin(Input::Bytes(b"hello".to_vec())).run();
    client.ok();
    assert_eq!(client.stdout, b"tls TCP\nhello");
    server.wait().code(0);
}

// Receipts, whole files and converted line ends stand on top of TLS as on top of TCP.
#[test]
fn verified_streams_and_whole_files_are_encrypted() {
    let zoo = Zoo::new();
    let content = bytes(7, (1 << 20) + 1);
    let file = file_with(zoo.home(), "from", &content);
    let out = zoo.home().join("out");
    let server = listening(&zoo, &["--verify", "--out", out.to_str().unwrap()], "127.0.0.1:0").spawn();
    connecting(&zoo, &["--verify"], &server).stdin(Input::Fd(open(&file))).run().ok();
    server.wait().ok();
    assert_same("the file", &fs::read(&out).unwrap(), &content);

    let server = listening(&zoo, &[], "127.0.0.1:0").spawn();
    connecting(&zoo, &["-C"], &server).stdin(Input::Bytes(b"a\nb\n".to_vec())).run().ok();
    assert_eq!(server.wait().code(0).stdout, b"a\r\nb\r\n");
}

// A stream that ends without its close_notify was cut: what came is written out, and that is no success.
#[test]
fn a_peer_that_is_killed_has_cut_the_stream() {
    let zoo = Zoo::new();
    let mut server = listening(&zoo, &[], "127.0.0.1:0").stdin(Input::Piped).spawn();
    let client = connecting(&zoo, &["-d"], &server).spawn();
    server.say(b"half of it");
    assert_eq!(client.stdout_reaches(10), b"half of it");
    server.signal(Signal::KILL);
    let client = client.wait();
    client.code(1);
    assert_eq!(client.stdout, b"half of it");
    assert!(client.one_error().contains("after 10 B"), "{}", client.stderr);
    assert!(client.stderr.contains("close_notify") || client.stderr.contains("reset"), "{}", client.stderr);

    let server = listening(&zoo, &["--verify"], "127.0.0.1:0").spawn();
    let client = connecting(&zoo, &["--verify"], &server).stdin(Input::Piped).spawn();
    let mut client = client;
    client.say(b"half");
    server.stdout_reaches(4);
    client.signal(Signal::KILL);
    let server = server.wait();
    server.code(4);
    assert_prefix("what came", &server.stdout, b"half");
}

// haul that is stopped before the end of its source says no close_notify: the other side knows that this was no end.
#[test]
fn a_signal_is_no_end_of_the_stream() {
    let zoo = Zoo::new();
    let server = listening(&zoo, &[], "127.0.0.1:0").spawn();
    let mut client = connecting(&zoo, &[], &server).stdin(Input::Piped).spawn();
    client.say(b"begun");
    server.stdout_reaches(5);
    client.signal(Signal::TERM);
    client.wait().killed_by(Signal::TERM);
    let server = server.wait();
    server.code(1);
    assert_eq!(server.stdout, b"begun");
}

// A dialogue is held over TLS, and -z counts only what shakes hands.
#[test]
fn dialogues_and_tests_do_the_handshake() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "--", "cat"];
    let server = haul(words).spawn();
    let talk = connecting(&zoo, &["--send", "PING", "--expect", "PING", "--timeout", "20s"], &server).run();
    talk.ok();
    assert_eq!(talk.stdout, b"PING\n");
    let open = connecting(&zoo, &["-z", "-v"], &server).run();
    open.code(0);
    assert_eq!(String::from_utf8_lossy(&open.stdout), format!("open tls:{}\n", server.address()));
    let doubtful = haul(["connect", "-z", "--tls", &server.address().to_string()]).run();
    doubtful.code(6).no_stdout();
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// Limits are about payload, and a pipe takes encrypted endpoints on either side.
#[test]
fn pipes_and_limits_work_over_tls() {
    let zoo = Zoo::new();
    let content = bytes(3, 300_000);
    let file = file_with(zoo.home(), "from", &content);
    let (from, pair) = (file.to_str().unwrap(), zoo.good());
    let words = ["pipe", "-v", "--tls", "--cert", pair.cert(), "--key", pair.key()];
    let receiver = haul([&words[..], &["tcp,listen:127.0.0.1:0", "-"]].concat()).spawn();
    let target = format!("tls,ca={}:{}", zoo.ca(), receiver.address());
    haul(["pipe", "-L", "10M", from, &target]).run().ok();
    let receiver = receiver.wait();
    receiver.code(0);
    assert_same("what came through", &receiver.stdout, &content);

    let server = listening(&zoo, &[], "127.0.0.1:0").stdin(Input::Fd(open(&file))).spawn();
    let client = connecting(&zoo, &["--max-bytes", "1000"], &server).run();
    client.ok();
    assert_same("the first bytes", &client.stdout, &content[..1000]);
    server.wait().code(1);
}

// What protects a connection is told with -v to people, and with --events to scripts.
#[test]
fn what_was_agreed_on_is_told() {
    let zoo = Zoo::new();
    let server = listening(&zoo, &["--alpn", "x,y"], "127.0.0.1:0").spawn();
    let log = zoo.home().join("events");
    let flags = ["-v", "--events", log.to_str().unwrap(), "--alpn", "y"];
    let client = connecting(&zoo, &flags, &server).run();
    client.code(0);
    for part in ["connected to tls 127.0.0.1:", "TLS 1.3, TLS13_", "ALPN y", "CN=good", "localhost", "2099-01-01"] {
        assert!(client.stderr.contains(part), "{part}: {}", client.stderr);
    }
    let events = fs::read_to_string(&log).unwrap();
    let connected = events.lines().find(|line| line.contains("\"event\":\"connected\"")).unwrap();
    for part in [
        "\"protocol\":\"tls\"",
        "\"tls\":{\"version\":\"TLS 1.3\",\"cipher\":\"TLS13_",
        "\"alpn\":\"y\"",
        "\"subject\":\"CN=good\"",
        "\"names\":[\"localhost\",\"127.0.0.1\"]",
        "\"pin\":\"sha256/",
    ] {
        assert!(connected.contains(part), "{part}: {connected}");
    }
    server.wait().code(0);
}
