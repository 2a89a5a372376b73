//! Servers with TLS: many clients at once, those that never shake hands, certificates of clients and new ones of ours.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Ended, Input, Peer, Running, Zoo, haul, proc};

/// `listen -k` with a good certificate and these words behind the endpoint.
#[track_caller]
fn serving(zoo: &Zoo, flags: &[&str], rest: &[&str]) -> Running {
    let pair = zoo.good();
    let start = ["listen", "-v", "--tls", "--cert", pair.cert(), "--key", pair.key()];
    haul([&start[..], flags, &["127.0.0.1:0"], rest].concat()).spawn()
}

#[track_caller]
fn ask(zoo: &Zoo, server: &Running, flags: &[&str], question: &str) -> Ended {
    let (ca, address) = (zoo.ca(), server.address().to_string());
    let words = [&["connect", "--tls", "--ca", &ca], flags, &[&address]].concat();
    haul(words).stdin(Input::Bytes(question.as_bytes().to_vec())).run()
}

/// Returns when the server has taken in all that these clients have said to get in.
#[track_caller]
fn is_inside(server: &Running, clients: &[Running]) {
    clients.iter().for_each(|client| drop(client.stderr_line("haul: connected to tls ")));
    proc::wait_until_idle(server.pid());
}

#[track_caller]
fn stop(server: Running) -> Ended {
    server.signal(Signal::TERM);
    let ended = server.wait();
    ended.code(0);
    ended
}

// Clients that say nothing, or nonsense, keep nobody waiting, even where one is served after the other.
#[test]
fn silent_and_garbage_clients_keep_nobody_waiting() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k", "-m", "1"], &["--", "cat"]);
    let silent: Vec<_> = (0..20).map(|_| Peer::connect(server.address())).collect();
    let mut garbage = Peer::connect(server.address());
    garbage.send(b"GET / HTTP/1.1\r\n\r\n");
    let mut half = Peer::connect(server.address());
    half.send(&[0x16, 3, 1]);
    let client = ask(&zoo, &server, &[], "hello");
    client.ok();
    assert_eq!(client.stdout, b"hello");
    server.stderr_line_where(|line| line.starts_with("haul: refused 127.0.0.1:") && line.ends_with("speak TLS"));
    drop((silent, half));
    let ended = stop(server);
    assert_eq!(ended.stderr.matches("haul: accepted tls ").count(), 1, "{}", ended.stderr);
}

// A one-shot listener waits for the first that gets through; whoever was there before does not count.
#[test]
fn one_shot_goes_to_the_first_that_gets_through() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &[], &[]);
    let silent = Peer::connect(server.address());
    let mut garbage = Peer::connect(server.address());
    garbage.send(b"SSH-2.0-nobody\r\n");
    garbage.receive_all();
    ask(&zoo, &server, &[], "hello").ok();
    let server = server.wait();
    server.code(0);
    assert_eq!(server.stdout, b"hello");
    drop(silent);
}

// --count counts those that got through.
#[test]
fn a_refused_client_does_not_count() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k", "--count", "2"], &["--", "cat"]);
    let mut garbage = Peer::connect(server.address());
    garbage.send(b"nonsense, and enough of it to be seen as such\r\n");
    garbage.receive_all();
    for question in ["one", "two"] {
        assert_eq!(ask(&zoo, &server, &[], question).ok().stdout, question.as_bytes());
    }
    server.wait().code(0);
}

// A client that takes its time is given ten seconds, and then closed.
#[test]
fn a_handshake_has_ten_seconds() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k"], &["--", "cat"]);
    let mut silent = Peer::connect(server.address());
    silent.receive_all();
    server.stderr_line_where(|line| line.ends_with(": its handshake was not over within 10s"));
    stop(server);
}

// With plain standard output many clients are merged by lines, hear each other, or all hear standard input.
#[test]
fn many_clients_share_standard_input_and_output() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k"], &[]);
    for line in ["a\n", "b\n"] {
        ask(&zoo, &server, &[], line).ok();
    }
    assert_eq!(server.stdout_reaches(4), b"a\nb\n");
    stop(server);

    let pair = zoo.good();
    let words = ["listen", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"];
    let mut server = haul([&words[..], &["--fan-out", "--count", "2"]].concat()).stdin(Input::Piped).spawn();
    let (ca, address) = (zoo.ca(), server.address().to_string());
    let client = |_| haul(["connect", "-v", "-d", "--tls", "--ca", &ca, &address]).spawn();
    let clients: Vec<_> = (0..2).map(client).collect();
    is_inside(&server, &clients);
    server.say(b"to all\n");
    for client in &clients {
        assert_eq!(client.stdout_reaches(7), b"to all\n");
    }
    server.end_stdin();
    for client in clients {
        client.wait().code(0);
    }
    server.wait().ok();

    let server = haul([&words[..], &["--broker"]].concat()).spawn();
    let address = server.address().to_string();
    let listener = haul(["connect", "-v", "-d", "--tls", "--ca", &ca, &address]).spawn();
    is_inside(&server, std::slice::from_ref(&listener));
    let mut speaker = haul(["connect", "--tls", "--ca", &ca, &address]).stdin(Input::Piped).spawn();
    speaker.say(b"hello\n");
    assert_eq!(listener.stdout_reaches(6), b"hello\n");
    stop(server);
}

// --client-ca lets in only those with a certificate, and is enough for a program to be served to the world.
#[test]
fn clients_may_have_to_show_a_certificate() {
    let zoo = Zoo::new();
    let ca = zoo.ca();
    let pair = zoo.good();
    let words = ["listen", "-k", "-v", "--tls", "--cert", pair.cert(), "--key", pair.key(), "--client-ca", &ca];
    let server = haul([&words[..], &["0.0.0.0:0", "--", "cat"]].concat()).spawn();
    let address = format!("localhost:{}", server.address().port());
    let known = ["connect", "-4", "--tls", "--ca", &ca, "--cert", pair.cert(), "--key", pair.key(), &address];
    let known = haul(known).stdin(Input::Bytes(b"hello".to_vec())).run();
    known.ok();
    assert_eq!(known.stdout, b"hello");
    let stranger = haul(["connect", "-4", "--tls", "--ca", &ca, &address]).run();
    stranger.code(6).no_stdout();
    stranger.one_error();
    server.stderr_line("haul: refused 127.0.0.1:");
    let ended = stop(server);
    assert!(ended.stderr.contains("CN=good"), "who came is told: {}", ended.stderr);
    let open = haul(["listen", "-k", "--tls", "0.0.0.0:0", "--", "cat"]).run();
    open.code(7);
}

// SIGHUP reads the certificate again for those who come then; a file of no use leaves what was there.
#[test]
fn certificates_are_read_again() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k"], &["--", "cat"]);
    ask(&zoo, &server, &[], "").ok();
    let next = zoo.issue("next", &["next.example"], 2099);
    let good = zoo.home().join("good.pem");
    let before = fs::read(&good).unwrap();
    fs::write(&good, b"rubbish").unwrap();
    server.signal(Signal::HUP);
    server.stderr_line_where(|line| line.contains("good.pem"));
    ask(&zoo, &server, &[], "").ok();
    assert_ne!(before, fs::read(&next.cert).unwrap());
    fs::copy(&next.key, zoo.home().join("good.key")).unwrap();
    fs::copy(&next.cert, &good).unwrap();
    server.signal(Signal::HUP);
    crate::harness::poll_until("the new certificate", || {
        let client = ask(&zoo, &server, &["--sni", "next.example"], "");
        (client.status.code() == Some(0)).then_some(())
    });
    stop(server);
}

// A pipe in place of a file is not waited for: those that are served go on, with the certificate that was there.
#[test]
fn a_certificate_that_became_a_pipe_stops_nobody() {
    let zoo = Zoo::new();
    let server = serving(&zoo, &["-k"], &["--", "cat"]);
    ask(&zoo, &server, &[], "here").ok();
    for file in ["good.key", "good.pem"] {
        let file = zoo.home().join(file);
        fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        server.signal(Signal::HUP);
        server.stderr_line_where(|line| line.ends_with("it is no regular file, and cannot be read again"));
        ask(&zoo, &server, &[], "still here").ok();
    }
    stop(server);
}

// Silent connections of one address leave room for the handshakes of others, and --max-per-ip counts them.
#[test]
fn silent_clients_of_one_address_leave_room_for_others() {
    let zoo = Zoo::new();
    let pair = zoo.good();
    let start = ["listen", "-v", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"];
    for (flags, within, why) in [
        (&[][..], 48, "too many handshakes from its address"),
        (&["--max-per-ip", "2"], 2, "too many connections from its address"),
    ] {
        let server = haul([&start[..], flags, &["--", "cat"]].concat()).after("ulimit -n 256").spawn();
        let address = server.address();
        let silent: Vec<_> = (0..100).map(|_| Peer::connect_from([127, 0, 0, 2].into(), address)).collect();
        let client = ask(&zoo, &server, &[], "hello");
        client.ok();
        assert_eq!(client.stdout, b"hello");
        let ended = stop(server);
        drop(silent);
        let refused = ended.stderr.lines().filter(|line| line.ends_with(why)).count();
        assert_eq!(refused, 100 - within, "{}", ended.stderr);
    }
}

// The name that a client asks for decides which of several certificates it is shown.
#[test]
fn several_certificates_are_told_apart_by_name() {
    let zoo = Zoo::new();
    let (a, b) = (zoo.issue("a", &["a.example"], 2099), zoo.issue("b", &["b.example"], 2099));
    let words = ["listen", "-k", "--tls", "--cert", a.cert(), "--key", a.key(), "--cert", b.cert(), "--key", b.key()];
    let server = haul([&words[..], &["127.0.0.1:0", "--", "cat"]].concat()).spawn();
    for name in ["a.example", "b.example"] {
        ask(&zoo, &server, &["--sni", name], "x").ok();
    }
    ask(&zoo, &server, &["--sni", "c.example"], "x").code(6);
    stop(server);
}
