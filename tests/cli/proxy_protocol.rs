//! `--proxy-send` and `--proxy-accept`: whom a connection is for, told in front of it.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use crate::data;
use crate::harness::{
    Ending, Input, Listener, Peer, Program, Running, file_with, haul, poll_until, proc, require, scratch,
};
use crate::relay::{echoes, relay_to, stop};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.2 4711 443\r\n";

/// The same in version 2, with an extension behind it.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend([0, 17, 203, 0, 113, 7, 198, 51, 100, 2, 0x12, 0x67, 1, 187, 4, 0, 2, 9, 9]);
    header
}

/// What a program says that serves this client.
#[track_caller]
fn told_by(relay: &Running, header: &[u8]) -> String {
    let mut client = Peer::connect(relay.address());
    client.send(header);
    let (got, ending) = client.receive_all();
    assert_eq!(ending, Ending::Eof, "{:?}", String::from_utf8_lossy(&got));
    String::from_utf8(got).unwrap().trim_end().to_string()
}

const WHO: &str = "echo $HAUL_PROTO $HAUL_PEER_ADDR $HAUL_PEER_PORT $HAUL_LOCAL_ADDR $HAUL_LOCAL_PORT";

// A header of either version, in one piece with the payload or in several: the target gets the payload and nothing
// else, and the log and the next header name the client that it tells.
#[test]
fn the_client_that_a_header_names_is_the_client() {
    let target = Listener::tcp();
    for (header, next) in [(V1.to_vec(), "v1"), (v2(), "v1"), (V1.to_vec(), "v2")] {
        for threads in ["1", "2"] {
            let flags = ["--proxy-accept", "--proxy-send", next, "--log", "-", "--threads", threads];
            let relay = relay_to(&target.endpoint(), &flags);
            let mut whole = Peer::connect(relay.address());
            whole.send(&[&header[..], b"hello"].concat());
            let mut server = target.accept();
            let expected = if next == "v1" {
                V1.to_vec()
            } else {
                let mut bare = v2();
                bare.truncate(28);
                bare[15] = 12;
                bare
            };
            assert_eq!(server.receive(expected.len() + 5), [&expected[..], b"hello"].concat());
            echoes(&mut whole, &mut server);
            let mut pieces = Peer::connect(relay.address());
            for piece in header.chunks(11) {
                pieces.send(piece);
                proc::wait_until_idle(relay.pid());
            }
            let mut other = target.accept();
            assert_eq!(other.receive(expected.len()), expected);
            echoes(&mut pieces, &mut other);
            whole.finish();
            server.finish();
            relay.stdout_reaches(60);
            relay.signal(Signal::TERM);
            let ended = relay.wait();
            let log = String::from_utf8(ended.stdout.clone()).unwrap();
            assert!(log.lines().next().unwrap().contains(" 203.0.113.7:4711 127.0.0.1:"), "{log}");
            assert!(log.lines().next().unwrap().contains(" 9 4 "), "{log}");
        }
    }
}

// A long stream behind a header is whole, and takes the same way as one without.
#[test]
fn a_long_stream_behind_a_header_is_whole() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--proxy-accept"]);
    let client = Peer::connect(relay.address());
    let up = data::bytes(5, 5_000_000);
    let sending = client.send_in_thread([&v2()[..], &up].concat());
    let mut server = target.accept();
    data::assert_same("the stream", &server.receive(up.len()), &up);
    sending.join().unwrap();
    stop(relay);
}

// Programs are told who is there; LOCAL and UNKNOWN are the proxy itself.
#[test]
fn a_program_is_told_the_client_that_the_header_names() {
    let relay = haul(["relay", "--proxy-accept", "127.0.0.1:0", "-c", WHO]).spawn();
    for header in [V1.to_vec(), v2()] {
        assert_eq!(told_by(&relay, &header), "tcp 203.0.113.7 4711 198.51.100.2 443");
    }
    assert_eq!(told_by(&relay, b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), "tcp 2001:db8::1 1 ::1 2");
    assert_eq!(told_by(&relay, b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n"), "tcp 203.0.113.7 1 ::1 2");
    let mut unix = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec();
    unix.resize(16 + 216, 0);
    unix[16..18].copy_from_slice(b"/a");
    unix[124..126].copy_from_slice(b"/b");
    assert_eq!(told_by(&relay, &unix), "unix /a  /b".replace("  ", " "));
    for own in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        assert!(told_by(&relay, own).starts_with("tcp 127.0.0.1 "));
    }
    stop(relay);
}

// Without a header, with a wrong one, or with half of one: closed, one line says why, and the others are served.
#[test]
fn who_brings_no_header_is_closed_and_nobody_else() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--proxy-accept"]);
    let started = Instant::now();
    let mut half = Peer::connect(relay.address());
    half.send(&V1[..20]);
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "it does not begin with a PROXY header"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n", "its PROXY header is malformed"),
    ] {
        let mut client = Peer::connect(relay.address());
        client.send(bytes);
        assert!(client.receive_all().0.is_empty());
        relay.stderr_line_where(|line| line.starts_with("haul: ") && line.contains("refused") && line.ends_with(why));
    }
    let mut cut = Peer::connect(relay.address());
    cut.send(&v2()[..20]);
    cut.finish();
    assert!(cut.receive_all().0.is_empty());
    relay.stderr_line_where(|line| line.ends_with("it ended within its PROXY header"));
    let mut client = Peer::connect(relay.address());
    client.send(V1);
    echoes(&mut client, &mut target.accept());
    assert!(half.receive_all().0.is_empty());
    let took = started.elapsed().as_secs_f64();
    assert!((2.9..10.0).contains(&took), "{took} s");
    relay.stderr_line_where(|line| line.ends_with("its PROXY header was not whole within 3s"));
    assert!(target.was_left_alone());
    stop(relay);
}

// With a list only the proxies on it may connect; --allow and --deny are about the clients.
#[test]
fn only_proxies_are_believed_and_lists_are_about_clients() {
    let target = Listener::tcp();
    let home = scratch();
    let list = file_with(home.path(), "proxies", b"127.0.0.1\n");
    let proxies = format!("--proxy-accept=@{}", list.display());
    let relay = relay_to(&target.endpoint(), &[&proxies, "--allow", "203.0.113.0/24", "-v"]);
    let mut client = Peer::connect(relay.address());
    client.send(V1);
    echoes(&mut client, &mut target.accept());
    let mut other = Peer::connect(relay.address());
    other.send(b"PROXY TCP4 203.0.114.7 198.51.100.2 4711 443\r\n");
    assert!(other.receive_all().0.is_empty());
    relay.stderr_line("haul: refused 203.0.114.7:4711: not allowed");
    let mut own = Peer::connect(relay.address());
    own.send(b"PROXY UNKNOWN\r\n");
    assert!(own.receive_all().0.is_empty());
    relay.stderr_line_where(|line| line.starts_with("haul: refused 127.0.0.1:") && line.ends_with("not allowed"));
    std::fs::write(&list, "127.0.0.9\n").unwrap();
    relay.signal(Signal::HUP);
    proc::wait_until_idle(relay.pid());
    let mut stranger = Peer::connect(relay.address());
    assert!(stranger.receive_all().0.is_empty());
    relay.stderr_line_where(|line| line.ends_with("it is none of the proxies"));
    assert!(target.was_left_alone());
    stop(relay);
}

// --max-per-ip counts clients, not proxies; -m counts those too whose header is still to come.
#[test]
fn places_are_taken_by_clients_and_free_again_without_a_header() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--proxy-accept", "--max-per-ip", "1", "-m", "2"]);
    let mut first = Peer::connect(relay.address());
    first.send(V1);
    let mut server = target.accept();
    echoes(&mut first, &mut server);
    let mut again = Peer::connect(relay.address());
    again.send(V1);
    assert!(again.receive_all().0.is_empty());
    let silent = Peer::connect(relay.address());
    proc::wait_until_idle(relay.pid());
    let mut waiting = Peer::connect(relay.address());
    waiting.send(b"PROXY TCP4 203.0.113.8 198.51.100.2 4711 443\r\n");
    proc::wait_until_idle(relay.pid());
    assert!(target.was_left_alone());
    drop(silent);
    echoes(&mut waiting, &mut target.accept());
    stop(relay);
}

// --once is about the first client that was let in; and a signal does not wait for headers.
#[test]
fn with_once_a_refused_client_does_not_count() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--proxy-accept", "--once"]);
    let mut bad = Peer::connect(relay.address());
    bad.send(b"nonsense");
    assert!(bad.receive_all().0.is_empty());
    let mut late = Peer::connect(relay.address());
    proc::wait_until_idle(relay.pid());
    let mut client = Peer::connect(relay.address());
    client.send(V1);
    let mut server = target.accept();
    assert!(late.receive_all().0.is_empty());
    echoes(&mut client, &mut server);
    client.finish();
    server.finish();
    relay.wait().code(0);

    let relay = relay_to(&target.endpoint(), &["--proxy-accept"]);
    let mut silent = Peer::connect(relay.address());
    proc::wait_until_idle(relay.pid());
    stop(relay);
    assert!(silent.receive_all().0.is_empty());
}

// A target learns its client before it hears a byte of it, in front of a Unix socket too.
#[test]
fn a_target_is_told_its_client_first() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--proxy-send", "v1"]);
    let client = Peer::connect(relay.address());
    let mut server = target.accept();
    let (from, to) = (client.local_port(), relay.address().port());
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n");
    assert_eq!(server.receive(expected.len()), expected.as_bytes());
    client.finish();
    assert_eq!(server.receive_all(), (vec![], Ending::Eof));
    stop(relay);

    let home = scratch();
    let (socket, front) = (home.path().join("app"), home.path().join("front"));
    let target = Listener::unix(&socket);
    let front_name = format!("unix:{}", front.display());
    let relay = haul(["relay", "--proxy-send", "v2", &front_name, &target.endpoint()]).spawn();
    proc::wait_for_unix_listener(&front);
    let mut client = Peer::connect_unix(&front);
    let mut server = target.accept();
    let header = server.receive(16 + 216);
    assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8");
    let name = front.as_os_str().as_encoded_bytes();
    assert!(header[16..124].iter().all(|byte| *byte == 0) && header[124..].starts_with(name));
    echoes(&mut client, &mut server);
    stop(relay);
}

// connect tells its own two ends, also in front of a dialogue.
#[test]
fn connect_tells_its_own_ends() {
    for flags in [&[][..], &["--expect", "pong"]] {
        let target = Listener::tcp();
        let endpoint = target.endpoint();
        let words = [&["connect", "--proxy-send", "v1"], flags, &[endpoint.as_str()]].concat();
        let client = haul(words).stdin(Input::Bytes(b"ping".to_vec())).spawn();
        let mut server = target.accept();
        let line =
            server.receive(format!("PROXY TCP4 127.0.0.1 127.0.0.1 00000 {}\r\n", target.address().port()).len());
        let mut line = String::from_utf8(line).unwrap();
        while !line.ends_with("ping") {
            line.push(char::from(server.receive(1)[0]));
        }
        let (start, end) = ("PROXY TCP4 127.0.0.1 127.0.0.1 ", format!(" {}\r\nping", target.address().port()));
        assert!(line.starts_with(start) && line.ends_with(&end), "{line:?}");
        server.send(b"pong\n");
        drop(server);
        client.wait().code(0);
    }
}

#[test]
fn headers_go_before_streams_and_nothing_else() {
    for (words, expected) in [
        ("relay --proxy-send v1 127.0.0.1:0 exec:cat", "a program finds its client in HAUL_PEER_ADDR"),
        ("relay --proxy-send v1 127.0.0.1:0 unix,seqpacket:/x", "a header goes before a stream, not before packets"),
        ("relay --proxy-accept unix,seqpacket:/x a:1", "a header goes before a stream, not before packets"),
        ("relay --proxy-accept=::1 unix:/x a:1", "who connects there has no address"),
        ("connect --proxy-send v1 echo:", "nobody there reads a header"),
        ("connect --proxy-send v3 a:1", "must be one of v1, v2"),
        ("relay --proxy-accept=x 1 a:1", "is not a network"),
    ] {
        let ended = haul(words.split(' ')).run();
        ended.code(2);
        assert!(ended.one_error().contains(expected), "{words}: {}", ended.one_error());
    }
    // anybody could name an address that is allowed
    haul("relay --proxy-accept --allow 192.0.2.1 0 exec:cat".split(' ')).run().code(7);
}

/// haproxy between a Unix socket, where it takes headers, and a port, to which it sends them.
fn haproxy(program: &Path, home: &Path, to: &Running, send: &str) -> Running {
    let front = home.join("haproxy");
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         listen both\n bind {} accept-proxy\n server next {} {send}\n",
        front.display(),
        to.address()
    );
    let config = file_with(home, "haproxy.cfg", config.as_bytes());
    let running = Program::new(program, ["-db", "-f", config.to_str().unwrap()]).spawn();
    // it listens before the socket has its name
    poll_until("haproxy's socket", || front.exists().then_some(()));
    running
}

// haul in front of haproxy in front of haul: both versions, both ways, and the client is known at the end.
#[test]
fn haproxy_and_haul_understand_each_other() {
    let Some(program) = require("haproxy") else { return };
    for (first, second) in [("v1", "send-proxy"), ("v2", "send-proxy-v2"), ("v2", "send-proxy-v2-ssl")] {
        let home = scratch();
        let last = haul(["relay", "--proxy-accept=127.0.0.1", "127.0.0.1:0", "-c", WHO]).spawn();
        let _between = haproxy(&program, home.path(), &last, second);
        let front = relay_to(&format!("unix:{}", home.path().join("haproxy").display()), &["--proxy-send", first]);
        let mut client = Peer::connect(front.address());
        let (from, to) = (client.local_port(), front.address().port());
        let (got, ending) = client.receive_all();
        assert_eq!(String::from_utf8_lossy(&got), format!("tcp 127.0.0.1 {from} 127.0.0.1 {to}\n"));
        assert_eq!(ending, Ending::Eof);
    }
}

// nginx behind haul knows the client.
#[test]
fn nginx_understands_what_haul_sends() {
    let Some(program) = require("nginx") else { return };
    let home = scratch();
    let front = home.path().join("nginx");
    let config = format!(
        "daemon off; master_process off; pid {0}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; \
         client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; \
         scgi_temp_path {0}/s; server {{ listen unix:{1} proxy_protocol; \
         return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }} }}\n",
        home.path().display(),
        front.display()
    );
    let config = file_with(home.path(), "nginx.conf", config.as_bytes());
    let _nginx = Program::new(program, ["-c", config.to_str().unwrap()]).spawn();
    proc::wait_for_unix_listener(&front);
    for version in ["v1", "v2"] {
        let relay = relay_to(&format!("unix:{}", front.display()), &["--proxy-send", version]);
        let mut client = Peer::connect(relay.address());
        client.send(b"GET / HTTP/1.0\r\n\r\n");
        let (got, _) = client.receive_all();
        let got = String::from_utf8(got).unwrap();
        assert!(got.ends_with(&format!("127.0.0.1 {}", client.local_port())), "{version}: {got}");
    }
}
