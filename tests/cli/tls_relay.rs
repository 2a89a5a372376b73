//! `relay` with TLS on one half, the other, or both.

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Listener, Peer, Running, Zoo, file_with, haul, open};

/// A relay with these flags, its listening half behind TLS if `pair` is asked for.
#[track_caller]
fn relaying(zoo: &Zoo, encrypted: bool, flags: &[&str], targets: &[&str]) -> Running {
    let pair = zoo.good();
    let tls = ["--tls", "--cert", pair.cert(), "--key", pair.key()];
    let tls = if encrypted { &tls[..] } else { &[] };
    haul([&["relay", "-v"], tls, flags, &["127.0.0.1:0"], targets].concat()).spawn()
}

/// An endpoint that believes the zoo's authority.
fn believing(zoo: &Zoo, address: &str) -> String {
    format!("tls,ca={}:{address}", zoo.ca())
}

#[track_caller]
fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// The relay takes the encryption off, puts it on, or does both; and each end is passed on by itself.
#[test]
fn either_half_may_be_encrypted() {
    let zoo = Zoo::new();
    let content = bytes(11, 400_000);
    let file = file_with(zoo.home(), "file", &content);
    for (client, target) in [(true, false), (false, true), (true, true)] {
        let pair = zoo.good();
        let tls = ["--tls", "--cert", pair.cert(), "--key", pair.key()];
        let tls = if target { &tls[..] } else { &[] };
        let server = haul([&["listen"], tls, &["127.0.0.1:0", "-c", "sha256sum; echo done"]].concat()).spawn();
        let there = server.address().to_string();
        let there = if target { believing(&zoo, &there) } else { there };
        let relay = relaying(&zoo, client, &["--once"], &[&there]);
        let here = relay.address().to_string();
        let here = if client { believing(&zoo, &here) } else { here };
        let asked = haul(["connect", &here]).stdin(Input::Fd(open(&file))).run();
        asked.ok();
        assert!(asked.stdout.ends_with(b"-\ndone\n"), "{client} {target}: {:?}", asked.stdout.escape_ascii());
        relay.wait().code(0);
        server.wait().code(0);
    }
}

// A cut is passed on as a reset, in either direction, once what came before it is delivered.
#[test]
fn a_cut_is_passed_on_as_a_reset() {
    let zoo = Zoo::new();
    let target = Listener::tcp();
    let relay = relaying(&zoo, true, &[], &[&target.endpoint()]);
    let here = believing(&zoo, &relay.address().to_string());
    let mut client = haul(["connect", &here]).stdin(Input::Piped).spawn();
    client.say(b"begun");
    let mut peer = target.accept();
    assert_eq!(peer.receive(5), b"begun");
    client.signal(Signal::KILL);
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
    relay.stderr_line_where(|line| line.contains("close_notify") || line.contains("reset the connection"));

    let client = haul(["connect", "-d", &here]).spawn();
    let mut peer = target.accept();
    peer.send(b"half");
    assert_eq!(client.stdout_reaches(4), b"half");
    peer.reset();
    client.wait().code(1);
    stop(relay);
}

// A target whose handshake fails is as good as one that cannot be reached: the next is tried.
#[test]
fn the_next_target_is_taken_when_a_handshake_fails() {
    let zoo = Zoo::new();
    let wrong = zoo.issue("wrong", &["elsewhere.example"], 2099);
    let good = zoo.good();
    let serve = |cert: &str, key: &str| {
        haul(["listen", "-k", "--tls", "--cert", cert, "--key", key, "127.0.0.1:0", "--", "cat"]).spawn()
    };
    let (first, second) = (serve(wrong.cert(), wrong.key()), serve(good.cert(), good.key()));
    let [to_first, to_second] = [&first, &second].map(|server| believing(&zoo, &server.address().to_string()));
    let relay = relaying(&zoo, false, &["--target", &to_second], &[&to_first]);
    let asked = haul(["connect", &relay.address().to_string()]).stdin(Input::Bytes(b"hello".to_vec())).run();
    asked.ok();
    assert_eq!(asked.stdout, b"hello");
    relay.stderr_line_where(|line| line.contains("elsewhere.example") && line.ends_with("going on to the next target"));
    [relay, first, second].into_iter().for_each(stop);
}

// Clients that never shake hands reach no target, and --once is not used up by them.
#[test]
fn a_client_that_does_not_shake_hands_reaches_nobody() {
    let zoo = Zoo::new();
    for flags in [&["--once"][..], &[], &["--threads", "2"]] {
        let target = Listener::tcp();
        let relay = relaying(&zoo, true, flags, &[&target.endpoint()]);
        let silent = Peer::connect(relay.address());
        let mut garbage = Peer::connect(relay.address());
        garbage.send(b"GET / HTTP/1.1\r\n\r\n");
        garbage.receive_all();
        assert!(target.was_left_alone());
        let here = believing(&zoo, &relay.address().to_string());
        let client = haul(["connect", &here]).stdin(Input::Bytes(b"hello".to_vec())).spawn();
        let mut peer = target.accept();
        assert_eq!(peer.receive(5), b"hello");
        peer.finish();
        client.wait().ok();
        drop(silent);
        if flags == ["--once"] {
            relay.wait().code(0)
        } else {
            return stop(relay);
        };
    }
}

// Faults, limits and several threads are about payload, whatever carries it; logs say who it was.
#[test]
fn faults_limits_and_threads_work_over_tls() {
    let zoo = Zoo::new();
    let content = bytes(5, 100_000);
    let file = file_with(zoo.home(), "file", &content);
    for flags in [&["--chop", "100"][..], &["--delay", "20ms"], &["-L", "10M"], &["--threads", "2"]] {
        let echo = haul(["listen", "127.0.0.1:0", "--", "cat"]).spawn();
        let there = echo.address().to_string();
        let relay = relaying(&zoo, true, flags, &[&there]);
        let here = believing(&zoo, &relay.address().to_string());
        let asked = haul(["connect", &here]).stdin(Input::Fd(open(&file))).run();
        asked.ok();
        assert_same("what came back", &asked.stdout, &content);
        stop(relay);
        echo.wait().code(0);
    }
}

// The PROXY header stands before everything that is encrypted, in and out.
#[test]
fn proxy_headers_go_before_the_handshake() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let words = ["relay", "-v", "--proxy-accept", "--tls", "--cert", pair.cert(), "--key", pair.key()];
    let echo = haul(["listen", "-k", "127.0.0.1:0", "--", "cat"]).spawn();
    let inner = haul([&words[..], &["127.0.0.1:0", &echo.address().to_string()]].concat()).spawn();
    let there = believing(&zoo, &inner.address().to_string());
    let outer = haul(["relay", "--proxy-send", "v2", "127.0.0.1:0", &there, "-v"]).spawn();
    let asked = haul(["connect", &outer.address().to_string()]).stdin(Input::Bytes(b"hello".to_vec())).run();
    asked.ok();
    assert_eq!(asked.stdout, b"hello");
    let direct = haul(["connect", "--proxy-send", "v1", &there]).stdin(Input::Bytes(b"again".to_vec())).run();
    direct.ok();
    assert_eq!(direct.stdout, b"again");
    [outer, inner, echo].into_iter().for_each(stop);
}
