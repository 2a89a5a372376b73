//! Servers that demand a certificate: under TLS 1.3 they refuse when the handshake of the client is over, and whoever
//! only sends, or only asks whether they are there, has to hear of it.

use rustix::process::Signal;

use crate::harness::{Ended, Input, Program, Zoo, haul, proc, require};

/// What these words about the server at `port` come to, with a few bytes to be sent.
#[track_caller]
fn sends(words: &str, port: u16) -> Ended {
    let words = words.replace("PORT", &port.to_string());
    haul(words.split(' ')).stdin(Input::Bytes(b"x".to_vec())).run()
}

/// Ways to come, to send a little and to leave without having read anything.
const VISITS: [&str; 5] = [
    "connect --tls --insecure --quiet --send-only 127.0.0.1 PORT",
    "connect --tls --insecure --quiet -q 0 127.0.0.1 PORT",
    "connect --tls --insecure --quiet 127.0.0.1 PORT",
    "pipe --quiet - tls,insecure:127.0.0.1:PORT",
    "connect -z --tls --insecure --quiet 127.0.0.1 PORT",
];

/// Each of them is told what the server has against it.
#[track_caller]
fn all_are_refused(port: u16) {
    for visit in VISITS {
        let visitor = sends(visit, port);
        visitor.code(6).no_stdout();
        let line = visitor.one_error();
        let (peer, why) = (format!("127.0.0.1:{port}"), "the peer refused: it wants a certificate of ours");
        assert!(line.contains(&peer) && line.ends_with(why), "{visit}: {line}");
        assert!(visitor.stderr.contains("\n  try: --cert FILE --key FILE"), "{visit}: {}", visitor.stderr);
    }
}

// haul's own server refuses whoever has no certificate, and takes in those that have one.
#[test]
fn whoever_has_no_certificate_hears_of_it() {
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "--client-ca", &ca];
    let server = haul([&words[..], &["127.0.0.1:0", "-c", "cat > /dev/null"]].concat()).spawn();
    let port = server.address().port();
    all_are_refused(port);
    for visit in VISITS {
        let own = format!("cert={},key={}", pair.cert(), pair.key());
        let visit = match visit.strip_prefix("pipe") {
            Some(_) => visit.replace("insecure", &format!("insecure,{own}")),
            None => visit.replace("--insecure", &format!("--insecure --cert {} --key {}", pair.cert(), pair.key())),
        };
        assert_eq!(sends(&visit, port).ok().stderr, "");
    }
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// So does openssl's, which says so behind its handshake as well.
#[test]
fn whoever_has_no_certificate_hears_of_it_from_openssl() {
    let Some(openssl) = require("openssl") else { return };
    let zoo = Zoo::new();
    let pair = zoo.good();
    for tickets in ["2", "0"] {
        let words = ["s_server", "-accept", "127.0.0.1:0", "-quiet", "-tls1_3", "-num_tickets", tickets];
        let flags = ["-Verify", "1", "-CAfile", &zoo.ca(), "-cert", pair.cert(), "-key", pair.key()];
        let server = Program::new(&openssl, [&words[..], &flags].concat()).stdin(Input::Piped).spawn();
        all_are_refused(proc::listening_port(server.pid()));
    }
}

// A refusal may be lost: a connection that is reset before the server has said anything was no success.
#[test]
fn a_reset_before_the_server_has_said_anything_is_a_failure() {
    let zoo = Zoo::new();
    let (pair, ca) = (zoo.good(), zoo.ca());
    let words = ["listen", "-v", "--tls", "--cert", pair.cert(), "--key", pair.key(), "--client-ca", &ca];
    let server = haul(words.iter().chain(&["127.0.0.1:0"])).stdin(Input::Piped).spawn();
    let address = server.address().to_string();
    let flags = ["--tls", "--ca", &ca, "--cert", pair.cert(), "--key", pair.key(), "--send-only", &address];
    let mut client = haul(["connect"].iter().chain(&flags)).stdin(Input::Piped).spawn();
    server.stderr_line("haul: accepted tls ");
    server.freeze();
    client.say(b"x");
    client.end_stdin();
    server.signal(Signal::KILL);
    let client = client.wait();
    client.code(1);
    assert!(client.one_error().contains(&address), "{}", client.stderr);
}
