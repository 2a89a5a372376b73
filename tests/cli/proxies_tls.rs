//! TLS and proxies: to a target behind one, and to the proxy itself.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Listener, Running, file_with, haul, scratch};

/// A proxy in a thread: `ask` hears where a client wants to go. It leads everybody on, and keeps half-closes.
fn proxy(ask: fn(&mut TcpStream) -> SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            thread::spawn(move || lead(client, ask));
        }
    });
    address
}

fn lead(mut client: TcpStream, ask: fn(&mut TcpStream) -> SocketAddr) {
    let mut target = TcpStream::connect(ask(&mut client)).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), target.try_clone().unwrap());
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut target, &mut client);
    let _ = client.shutdown(Shutdown::Write);
}

/// SOCKS 5 without a login, to IPv4 addresses; it agrees before it has connected, as some do.
fn ask_socks(client: &mut TcpStream) -> SocketAddr {
    let mut request = [0; 10];
    client.read_exact(&mut request[..3]).unwrap();
    client.write_all(&[5, 0]).unwrap();
    client.read_exact(&mut request).unwrap();
    assert_eq!(request[..4], [5, 1, 0, 1], "CONNECT to an IPv4 address");
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    let [_, _, _, _, a, b, c, d, high, low] = request;
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

/// HTTP CONNECT to an address.
fn ask_http(client: &mut TcpStream) -> SocketAddr {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let request = String::from_utf8(request).unwrap();
    request.split(' ').nth(1).unwrap().parse().unwrap()
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char;
            text.push(if digit <= group.len() { value } else { '=' });
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate for 127.0.0.1 that signs itself, and its key.
fn identity(home: &Path) -> (PathBuf, PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().self_signed(&key).unwrap();
    let certificate = pem("CERTIFICATE", certificate.der());
    (
        file_with(home, "cert.pem", certificate.as_bytes()),
        file_with(home, "key.pem", pem("PRIVATE KEY", &key.serialize_der()).as_bytes()),
    )
}

/// haul with TLS in front of a proxy, and the URL of it.
fn encrypted(home: &Path, proxy: &SocketAddr) -> (Running, String, PathBuf) {
    let (cert, key) = identity(home);
    let words = ["relay", "--tls", "--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap(), "-v"];
    let relay = haul(words.iter().chain(&["127.0.0.1:0", proxy.to_string().as_str()])).spawn();
    let line = relay.stderr_line("haul: listening on ");
    let url = format!("https://127.0.0.1:{}", line.rsplit(':').next().unwrap());
    (relay, url, cert)
}

// What a proxy carries is encrypted from end to end; the certificate is that of the target.
#[test]
fn tls_goes_to_the_target_through_the_proxy() {
    let content = bytes(4, 500_000);
    let listener = haul(["listen", "--tls", "-v", "127.0.0.1:0"]).spawn();
    let note = listener.stderr_line("haul: certificate made for this run: ");
    let pin = note.split(' ').find(|word| word.starts_with("sha256/")).unwrap().to_string();
    let port = note.rsplit(' ').next().unwrap().to_string();
    let line =
        ["connect", "-v", "-x", &format!("socks5://{}", proxy(ask_socks)), "--tls", "--pin", &pin, "127.0.0.1", &port];
    let ended = haul(line).stdin(Input::Bytes(content.clone())).run();
    ended.code(0);
    assert!(ended.stderr.contains(" is reached through socks5://127.0.0.1:"), "{}", ended.stderr);
    let heard = listener.wait();
    heard.code(0);
    assert_same("what was encrypted", &heard.stdout, &content);

    let listener = haul(["listen", "--tls", "-v", "127.0.0.1:0"]).spawn();
    let note = listener.stderr_line("haul: certificate made for this run: ");
    let port = note.rsplit(' ').next().unwrap();
    let ended = haul(["connect", "-x", &format!("socks5://{}", proxy(ask_socks)), "--tls", "127.0.0.1", port]).run();
    let line = ended.code(6).no_stdout().one_error();
    assert!(line.starts_with(&format!("haul: cannot connect to tls:127.0.0.1:{port} through socks5://")), "{line}");
}

// A WebSocket, and one over TLS, through each kind of proxy and through both; a relay leads to one in the same way.
#[test]
fn a_websocket_goes_to_the_target_through_the_proxy() {
    let content = bytes(6, 400_000);
    let ways = [("socks5", proxy(ask_socks)), ("http", proxy(ask_http))];
    let [socks, http] = ways.map(|(scheme, address)| format!("{scheme}://{address}"));
    let listener = haul(["listen", "-k", "--path", "/chat", "ws:127.0.0.1:0", "--", "cat"]).spawn();
    let encrypted = haul(["listen", "-k", "wss:127.0.0.1:0", "--", "cat"]).spawn();
    let (plain, secret) = (format!("ws://{}/chat", listener.address()), format!("wss://{}/", encrypted.address()));
    for way in [&["-x", &*socks][..], &["-x", &http], &["-x", &socks, "-x", &http]] {
        for (url, flags) in [(&plain, &[][..]), (&secret, &["--quiet", "--insecure"])] {
            let line = [&["connect", "-q", "1"], flags, way, &[url]].concat();
            let ended = haul(line).stdin(Input::Bytes(content.clone())).run();
            ended.ok();
            assert_same("what came back", &ended.stdout, &content);
        }
        // what the server refuses is no refusal of the proxy
        let other = plain.replace("/chat", "/other");
        let ended = haul([&["connect"], way, &[&other]].concat()).run();
        let line = ended.code(1).no_stdout().one_error();
        assert!(line.contains(" through ") && line.ends_with(": the peer answered 404 Not Found"), "{line}");
    }
    let relay = haul(["relay", "-x", &http, "127.0.0.1:0", &plain]).stdin(Input::Null).spawn();
    let ended = haul(["connect", &relay.address().to_string()]).stdin(Input::Bytes(content.clone())).run();
    ended.ok();
    assert_same("what came back", &ended.stdout, &content);
    for running in [relay, listener, encrypted] {
        running.signal(Signal::TERM);
        running.wait().code(0);
    }
}

// Receipts go both ways through a proxy that keeps half-closes.
#[test]
fn a_verified_stream_goes_through_the_proxy() {
    let content = bytes(5, 400_000);
    let listener = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
    let port = listener.address().port().to_string();
    let line = ["connect", "--verify", "-x", &format!("socks5://{}", proxy(ask_socks)), "127.0.0.1", &port];
    haul(line).stdin(Input::Bytes(content.clone())).run().ok();
    let heard = listener.wait();
    heard.ok();
    assert_same("what was verified", &heard.stdout, &content);
}

// https:// is TLS to the proxy: it has to show a certificate, and only then it hears what is wanted, and the login.
#[test]
fn a_proxy_may_be_spoken_to_over_tls() {
    let home = scratch();
    let proxy = Listener::tcp();
    let (_relay, url, cert) = encrypted(home.path(), &proxy.address());
    let url = url.replace("https://", "https://me:s3cr3t@");
    let line = ["connect", "-v", "-x", &url, "--proxy-ca", cert.to_str().unwrap(), "db", "5432"];
    let running = haul(line).stdin(Input::Bytes(b"question".to_vec())).spawn();
    let mut peer = proxy.accept();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.extend(peer.receive(1));
    }
    assert!(request.starts_with(b"CONNECT db:5432 HTTP/1.1\r\n"));
    peer.send(b"HTTP/1.1 200 OK\r\n\r\nanswer");
    assert_eq!(peer.receive_all(), (b"question".to_vec(), Ending::Eof));
    drop(peer);
    let ended = running.wait();
    ended.code(0);
    assert_eq!(ended.stdout, b"answer");
    assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);

    let ended = haul(["connect", "-x", &url, "db", "5432"]).stdin(Input::Bytes(b"question".to_vec())).run();
    let line = ended.code(6).no_stdout().one_error();
    assert!(line.starts_with("haul: cannot connect to db:5432 through https://me:***@127.0.0.1:"), "{line}");
    // the relay in front of it has connected, and had nothing to pass on
    if let Some(mut peer) = proxy.accept_now() {
        assert_eq!(peer.receive_all().0, b"");
    }
}

// Each layer goes over what the ones before it made: SOCKS, then TLS to a proxy, then TLS to the target.
#[test]
fn tls_goes_to_a_proxy_behind_another_and_through_both() {
    let home = scratch();
    let (_relay, url, cert) = encrypted(home.path(), &proxy(ask_http));
    let (cert, key) = (cert.to_str().unwrap(), home.path().join("key.pem"));
    let target = haul(["listen", "--tls", "-v", "--cert", cert, "--key", key.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    let port = target.stderr_line("haul: listening on ").rsplit(':').next().unwrap().to_string();
    let first = format!("socks5://{}", proxy(ask_socks));
    let chain = ["-x", &first, "-x", &url, "--proxy-ca", cert];
    let line = [&["connect"], &chain[..], &["--tls", "--ca", cert, "127.0.0.1", &port]].concat();
    haul(line).stdin(Input::Bytes(b"twice encrypted".to_vec())).run().ok();
    let heard = target.wait();
    heard.code(0);
    assert_eq!(heard.stdout, b"twice encrypted");
}

// A plain proxy where TLS is expected is told as what it is.
#[test]
fn a_proxy_that_does_not_speak_tls_is_status_6() {
    let proxy = Listener::tcp();
    let running = haul(["connect", "-x", &format!("https://{}", proxy.address()), "db", "5432"]).spawn();
    let mut peer = proxy.accept();
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let ended = running.wait();
    ended.code(6).no_stdout().one_error();
    assert!(peer.receive_all().0.starts_with(&[0x16, 3]), "a client's hello and no request");
}
