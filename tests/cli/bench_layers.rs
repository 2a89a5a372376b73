//! `bench` over TLS and WebSocket: the streams and the conversation go through the layers, in every way of measuring.

use rustix::process::Signal;

use crate::bench::{json, measure, server, stop, text};
use crate::harness::{Peer, Running, Zoo, fifo, haul, proc};

/// The pin that a server with a certificate of its own making tells.
#[track_caller]
fn pin(server: &Running) -> String {
    let line = server.stderr_line("haul: certificate made for this run: haul bench ");
    line.split(' ').find(|word| word.starts_with("sha256/")).unwrap().to_owned()
}

// Each way of measuring works over each layer, and counts every byte.
#[test]
fn every_way_of_measuring_goes_through_layers() {
    for scheme in ["tls", "ws", "wss"] {
        for (flags, promise) in [
            (&["-n", "3M", "-P", "2"][..], "receiver"),
            (&["-n", "3M", "-R", "--check"], "Payload: as it was sent"),
            (&["-t", "0.3", "--bidir", "-b", "8M", "--check"], "Payload: as it was sent"),
            (&["-t", "0.3", "--rr=20000"], "Requests: "),
            (&["-t", "0.3", "--crr", "-P", "2"], "Connections: "),
        ] {
            let ended = haul([&["bench", "--local", scheme], flags].concat()).run();
            ended.ok();
            assert!(text(&ended).contains(promise), "{scheme} {flags:?}: {}", text(&ended));
        }
        let ended = haul(["bench", "--local", scheme, "-n", "3M", "-J"]).run();
        ended.ok();
        let told = json(&ended);
        assert_eq!(told["end"]["sum_received"]["bytes"].as_u64(), Some(3 << 20), "{scheme}: {told}");
        assert_eq!(told["start"]["test_start"]["protocol"], scheme, "{told}");
        assert!(told["haul"]["latency_idle"]["samples"].as_u64().unwrap() > 0, "{told}");
    }
}

// A server that demands certificates refuses behind the handshake, and that is the status of a refusal here, too.
#[test]
fn a_refused_certificate_is_a_refusal() {
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    let words = ["bench", "-s", "--tls", "--cert", pair.cert(), "--key", pair.key(), "--client-ca", &ca, "127.0.0.1:0"];
    let server = haul(words).spawn();
    let port = server.address().port().to_string();
    let client = ["bench", "-n", "1M", "--tls", "--ca", &ca, "127.0.0.1", &port];
    let stranger = haul(client).run();
    let line = stranger.code(6).one_error();
    assert!(line.ends_with(": the peer refused: it wants a certificate of ours"), "{line}");
    haul(client.iter().chain(&["--cert", pair.cert(), "--key", pair.key()])).run().code(0);
    stop(server);
}

// A server tells how it is reached, and whoever does not know it measures nothing.
#[test]
fn a_server_proves_who_it_is() {
    let server = haul(["bench", "-s", "--tls", "-v", "127.0.0.1:0"]).spawn();
    let (pin, port) = (pin(&server), server.address().port().to_string());
    for words in [
        vec!["--tls".into(), "--pin".into(), pin.clone(), "127.0.0.1".into(), port.clone()],
        vec!["--threads".into(), "2".into(), format!("tls,pin={pin}:127.0.0.1:{port}")],
    ] {
        let ended = haul(["bench", "-n", "1M", "-P", "2", "-v"].into_iter().map(String::from).chain(words)).run();
        ended.code(0);
        assert!(ended.stderr.contains("haul: connected to tls 127.0.0.1:"), "{}", ended.stderr);
        assert!(ended.stderr.contains("haul: TLS 1.3, "), "{}", ended.stderr);
        server.stderr_line("haul: accepted tls 127.0.0.1:");
    }
    let insecure = haul(["bench", "-n", "1M", "--tls", "--insecure", "127.0.0.1", &port]).run();
    insecure.code(0);
    assert!(insecure.stderr.contains("is not verified, whoever it is (--insecure)"), "{}", insecure.stderr);
    let unknown = haul(["bench", "-n", "1M", "--tls", "127.0.0.1", &port]).run();
    unknown.code(6);
    assert!(unknown.one_error().contains("its certificate is signed by itself alone"), "{}", unknown.stderr);
    server.stderr_line_where(|line| line.starts_with("haul: refused 127.0.0.1:") && line.contains("certificate"));
    let unencrypted = haul(["bench", "-n", "1M", "127.0.0.1", &port]).run();
    unencrypted.code(1);
    assert!(unencrypted.stderr.ends_with("  try: --tls: that was TLS\n"), "{}", unencrypted.stderr);
    // one that does not speak TLS, one that says nothing, and one that leaves in the middle
    let mut plain = Peer::connect(server.address());
    plain.send(&[b'x'; 37]);
    let silent = Peer::connect(server.address());
    let mut half = Peer::connect(server.address());
    half.send(&[0x16, 3, 1]);
    server.stderr_line_where(|line| line.starts_with("haul: refused 127.0.0.1:") && line.ends_with("speak TLS"));
    haul(["bench", "-n", "1M", "--tls", "--pin", &pin, "127.0.0.1", &port]).run().ok();
    drop((silent, half));
    stop(server);
}

// Certificates as in every other subcommand, also of clients; and new ones by SIGHUP.
#[test]
fn certificates_are_those_of_files() {
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    let words = ["bench", "-s", "--tls", "--cert", pair.cert(), "--key", pair.key(), "--client-ca", &ca, "127.0.0.1:0"];
    let server = haul(words).spawn();
    let address = server.address().to_string();
    let client =
        |flags: &[&str]| haul([&["bench", "-n", "1M", "--tls", "--ca", &ca], flags, &[&address]].concat()).run();
    let own = ["--cert", pair.cert(), "--key", pair.key()];
    client(&own).ok();
    assert_ne!(client(&[]).status.code(), Some(0), "a client without a certificate was served");
    server.signal(Signal::HUP);
    client(&own).ok();
    stop(server);
}

// What a server says at the door is said through the layers.
#[test]
fn a_busy_server_says_so_through_layers() {
    for scheme in ["tls", "ws"] {
        let server = haul(["bench", "-s", "--max-clients", "1", &format!("{scheme}:127.0.0.1:0")]).spawn();
        let pin = if scheme == "tls" { format!(",pin={}", pin(&server)) } else { String::new() };
        let address = format!("{scheme}{pin}:{}", server.address());
        let first = haul(["bench", &address, "-t", "30", "-i", "0.1"]).spawn();
        first.stdout_reaches(200);
        let refused = haul(["bench", &address]).run();
        refused.code(1);
        assert!(refused.one_error().ends_with(": it is busy with another test"), "{}", refused.stderr);
        first.signal(Signal::INT);
        first.wait().killed_by(Signal::INT);
        stop(server);
    }
}

// Whoever asks for totals before there is anything to tell, say while a certificate is read from a pipe, ends nothing.
#[test]
fn totals_may_be_asked_for_before_a_server_listens() {
    let (zoo, (_home, pipe)) = (Zoo::new(), fifo());
    let pair = zoo.good();
    let words = ["bench", "-s", "--tls", "--cert", pipe.to_str().unwrap(), "--key", pair.key(), "127.0.0.1:0"];
    let server = haul(words).spawn();
    proc::wait_until_idle(server.pid());
    server.signal(Signal::USR1);
    std::fs::write(&pipe, std::fs::read(pair.cert()).unwrap()).unwrap();
    let address = server.address().to_string();
    haul(["bench", "-n", "1M", "--tls", "--ca", &zoo.ca(), &address]).run().ok();
    stop(server);
}

// The streams go through what is under test, which passes on what it does not understand.
#[test]
fn encrypted_streams_go_through_a_relay() {
    let server = haul(["bench", "-s", "--tls", "127.0.0.1:0"]).spawn();
    let (pin, target) = (pin(&server), server.address().to_string());
    let relay = haul(["relay", "127.0.0.1:0", &target]).spawn();
    let via = relay.address().to_string();
    haul(["bench", "--tls", "--pin", &pin, &target, "--via", &via, "-n", "1M"]).run().ok();
    relay.signal(Signal::TERM);
    relay.wait().code(0);
    stop(server);
}

// WebSocket has no end of one direction: a relay could tell of the server's only once it had heard the client's, and each
// exchange took until somebody gave up.
#[test]
fn each_request_through_a_relay_of_websocket_ends_with_its_answer() {
    let server = server(&[]);
    let relay = haul(["relay", "ws://127.0.0.1:0", &server.address().to_string()]).spawn();
    let via = format!("ws://{}", relay.address());
    let ended = measure(&server, &["--crr", "-t", "1.5", "-J", "--via", &via]);
    ended.ok();
    assert!(json(&ended)["haul"]["transactions"].as_u64() > Some(1), "{}", text(&ended));
    relay.signal(Signal::TERM);
    relay.wait().code(0);
    stop(server);
}

// A server of WebSocket, at its path, by either name.
#[test]
fn a_websocket_has_its_path() {
    let server = haul(["bench", "-s", "ws,path=/bench:127.0.0.1:0"]).spawn();
    let port = server.address().port();
    haul(["bench", "-n", "1M", &format!("ws://127.0.0.1:{port}/bench")]).run().ok();
    let elsewhere = haul(["bench", "-n", "1M", &format!("ws://127.0.0.1:{port}/other")]).run();
    assert_ne!(elsewhere.status.code(), Some(0));
    assert!(elsewhere.one_error().contains("404"), "{}", elsewhere.stderr);
    stop(server);
}

// What cannot go through layers is said before anything is opened.
#[test]
fn what_layers_cannot_do_is_refused() {
    for (flags, promise) in [
        (&["tls:h:1", "-u"][..], "haul: cannot use -u with tls:h:1: datagrams have no layers"),
        (&["tls:h:1", "-Z"], "haul: cannot use -Z with tls:h:1: what the kernel reads goes out as it is"),
        (&["ws,text:h:1"], "haul: cannot use ws,text:h:1: a measurement sends bytes"),
        (&["ws,ping=1s:h:1"], "haul: cannot use ws,ping=1s:h:1: a measurement has limits of its own"),
        (
            &["h", "--pin", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
            "haul: cannot use --pin without --tls",
        ),
        (
            &["--tls", "--client-ca", "f", "h"],
            "haul: cannot use --client-ca with tls:h:5201: it is for whoever listens",
        ),
        (&["-s", "--tls", "--insecure"], "haul: cannot use --insecure with tls:5201: it is for whoever connects"),
        (&["--local", "--tls"], "haul: cannot use --local with a flag about TLS"),
    ] {
        let ended = haul([&["bench"], flags].concat()).run();
        ended.code(2);
        assert!(ended.one_error().starts_with(promise), "{flags:?}: {}", ended.stderr);
    }
}
