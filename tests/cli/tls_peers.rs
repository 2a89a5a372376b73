//! haul against other people's TLS: openssl, curl, ncat and socat, in both roles and both versions.

use std::fs;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Input, Program, Running, Sink, Zoo, create, file_with, haul, open, poll_until, proc, require};

const SIZE: usize = 300_000;

/// An `openssl s_server` of one connection that gives what it reads from standard input and writes what it gets.
#[track_caller]
fn s_server(zoo: &Zoo, flags: &[&str]) -> Option<Program> {
    let openssl = require("openssl")?;
    let pair = zoo.good();
    let words =
        ["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-quiet", "-cert", pair.cert(), "-key", pair.key()];
    Some(Program::new(openssl, [&words[..], flags].concat()))
}

#[track_caller]
fn connect_to(zoo: &Zoo, server: &Running, flags: &[&str]) -> Program {
    let (ca, port) = (zoo.ca(), proc::listening_port(server.pid()).to_string());
    haul([&["connect", "-4", "--tls", "--ca", &ca], flags, &["localhost", &port]].concat())
}

// openssl's server gets every byte of haul's, in either version.
#[test]
fn openssl_servers_get_everything() {
    let zoo = Zoo::new();
    let content = bytes(1, SIZE);
    let file = file_with(zoo.home(), "file", &content);
    for version in ["-tls1_3", "-tls1_2"] {
        let Some(server) = s_server(&zoo, &[version]) else { return };
        let to = zoo.home().join("to");
        let server = server.stdin(Input::Piped).stdout(Sink::Fd(create(&to))).spawn();
        let client = connect_to(&zoo, &server, &["-v"]).stdin(Input::Fd(open(&file))).run();
        assert!(client.stderr.contains(&version[1..].replace("tls1_", "TLS 1.")), "{}", client.stderr);
        server.wait();
        assert_same(version, &fs::read(&to).unwrap(), &content);
    }
}

// openssl's client and haul's listener exchange both ways, in either version.
#[test]
fn openssl_clients_are_served() {
    let Some(openssl) = require("openssl") else { return };
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    for version in ["-tls1_3", "-tls1_2"] {
        let words = ["listen", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "-c"];
        let server = haul([&words[..], &["read line; echo \"got $line\""]].concat()).spawn();
        let address = server.address().to_string();
        let words = ["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error", "-quiet", version];
        let mut client = Program::new(&openssl, words).stdin(Input::Piped).spawn();
        client.say(b"hello\n");
        assert_eq!(client.stdout_reaches(10), b"got hello\n");
        assert_eq!(client.stdout_end(), b"got hello\n");
        server.wait().code(0);
    }
}

// --tls-min 1.3 does not talk to who has only 1.2, in either role.
#[test]
fn an_old_version_is_refused() {
    let zoo = Zoo::new();
    let Some(server) = s_server(&zoo, &["-tls1_2"]) else { return };
    let server = server.stdin(Input::Piped).spawn();
    let client = connect_to(&zoo, &server, &["--tls-min", "1.3"]).run();
    client.code(6).no_stdout();
    client.one_error();
}

// TLS 1.2 cannot end one direction alone: the answer to everything that was sent comes before the end is told, and a
// peer that waits for that end gets it.
#[test]
fn an_answer_is_waited_for_where_there_is_no_half_close() {
    let Some(socat) = require("socat") else { return };
    let zoo = Zoo::new();
    let pair = zoo.good();
    for (command, expected) in [("head -c 5; sleep 1; echo answer", "helloanswer\n"), ("cat; echo ended", "hello")] {
        let joined = zoo.joined(&pair);
        let listen = format!(
            "OPENSSL-LISTEN:0,bind=127.0.0.1,reuseaddr,verify=0,cert={},openssl-max-proto-version=TLS1.2",
            joined.display()
        );
        let server = Program::new(&socat, ["-t", "30", &listen, &format!("SYSTEM:{command}")]).spawn();
        let client = connect_to(&zoo, &server, &["-v"]).stdin(Input::Bytes(b"hello".to_vec())).run();
        assert!(client.stderr.contains("TLS 1.2"), "{}", client.stderr);
        let got = String::from_utf8_lossy(&client.stdout).into_owned();
        assert!(got.starts_with(expected), "{got:?}: {}", client.stderr);
        server.signal(Signal::TERM);
    }
}

// --verify has ends of its own, and needs no half-close.
#[test]
fn verified_streams_need_no_half_close() {
    let Some(socat) = require("socat") else { return };
    let zoo = Zoo::new();
    let content = bytes(9, SIZE);
    let file = file_with(zoo.home(), "file", &content);
    let pair = zoo.good();
    let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
    let listen = format!(
        "OPENSSL-LISTEN:0,bind=127.0.0.1,reuseaddr,verify=0,cert={},openssl-max-proto-version=TLS1.2",
        zoo.joined(&pair).display()
    );
    let between = Program::new(&socat, ["-t", "30", &listen, &format!("TCP:{}", receiver.address())]).spawn();
    let sender = connect_to(&zoo, &between, &["--verify"]).stdin(Input::Fd(open(&file))).run();
    sender.ok();
    let receiver = receiver.wait();
    receiver.ok();
    assert_same("what was verified", &receiver.stdout, &content);
}

// curl gets a page from a program behind haul's TLS.
#[test]
fn curl_is_served_over_https() {
    let Some(curl) = require("curl") else { return };
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    let answer = "read request; printf 'HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n'";
    let words =
        ["listen", "--tls", "--alpn", "http/1.1", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "-c"];
    let server = haul([&words[..], &[answer]].concat()).spawn();
    let url = format!("https://localhost:{}/", server.address().port());
    let page = Program::new(curl, ["-4", "-sS", "--cacert", &ca, "--http1.1", &url]).run();
    page.code(0);
    assert_eq!(page.stdout, b"hello\n");
    server.wait().code(0);
}

// ncat sends and receives over TLS, listening and connecting. It ends the connection before it can say close_notify, so
// that nobody can know whether that was all; and it closes with bytes unread, so that the listener must not say anything.
#[test]
fn ncat_and_haul_exchange_files() {
    let Some(ncat) = require("ncat") else { return };
    let zoo = Zoo::new();
    let content = bytes(2, SIZE);
    let file = file_with(zoo.home(), "file", &content);
    let (pair, ca) = (zoo.good(), zoo.ca());

    let listen = ["-l", "--ssl", "--ssl-cert", pair.cert(), "--ssl-key", pair.key(), "127.0.0.1", "0"];
    let to = zoo.home().join("to");
    let server = Program::new(&ncat, listen).stdout(Sink::Fd(create(&to))).spawn();
    connect_to(&zoo, &server, &["--send-only"]).stdin(Input::Fd(open(&file))).run();
    server.wait();
    assert_same("what ncat got", &fs::read(&to).unwrap(), &content);

    let server = haul(["listen", "-d", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"]).spawn();
    let port = server.address().port().to_string();
    let words = ["--ssl-verify", "--ssl-trustfile", &ca, "--send-only", "localhost", &port, "-4"];
    Program::new(&ncat, words).stdin(Input::Fd(open(&file))).run().code(0);
    let server = server.wait();
    assert_same("what haul got", &server.stdout, &content);
    server.code(1);
    assert!(server.stderr.contains("close_notify"), "{}", server.stderr);
}

// haproxy takes haul's TLS at its front and brings its own to haul at its back.
#[test]
fn haproxy_stands_between_two_hauls() {
    let Some(haproxy) = require("haproxy") else { return };
    let zoo = Zoo::new();
    let content = bytes(4, SIZE);
    let file = file_with(zoo.home(), "file", &content);
    let pair = zoo.good();
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0", "--", "cat"];
    let server = haul(words).spawn();
    let front = zoo.home().join("front");
    let config = format!(
        "defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
         frontend front\n bind unix@{} ssl crt {}\n default_backend back\n\
         backend back\n server one {} ssl verify required ca-file {} verifyhost localhost\n",
        front.display(),
        zoo.joined(&pair).display(),
        server.address(),
        zoo.ca(),
    );
    let config = file_with(zoo.home(), "haproxy.cfg", config.as_bytes());
    let between = Program::new(&haproxy, ["-q", "-db", "-f", config.to_str().unwrap()]).spawn();
    poll_until("haproxy's socket", || front.exists().then_some(()));
    let endpoint = format!("tls+unix,sni=localhost,ca={}:{}", zoo.ca(), front.display());
    let client = haul(["connect", &endpoint]).stdin(Input::Fd(open(&file))).run();
    client.ok();
    assert_same("what came back", &client.stdout, &content);
    drop(between);
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// A dialogue that sends standard input ends it for a peer that answers to nothing but the end, also with TLS 1.2.
#[test]
fn a_dialogue_ends_its_question_where_there_is_no_half_close() {
    let Some(socat) = require("socat") else { return };
    let zoo = Zoo::new();
    let pair = zoo.good();
    let listen = format!(
        "OPENSSL-LISTEN:0,bind=127.0.0.1,reuseaddr,verify=0,cert={},openssl-max-proto-version=TLS1.2",
        zoo.joined(&pair).display()
    );
    let server = Program::new(&socat, ["-t", "30", &listen, "SYSTEM:cat > /dev/null; echo heard"]).spawn();
    let client = connect_to(&zoo, &server, &["--expect", "heard", "--timeout", "20s"]);
    let client = client.stdin(Input::Bytes(b"question".to_vec())).run();
    client.code(0);
    assert_eq!(client.stdout, b"heard\n");
}
