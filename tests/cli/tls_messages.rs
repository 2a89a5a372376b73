//! What TLS tells people: who failed, how far it came, in plain words; and the keys for those who look at packets.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::harness::{Input, Program, Running, Zoo, fifo, haul, require};

fn listener(zoo: &Zoo, flags: &[&str]) -> Program {
    let pair = zoo.good();
    let words = ["listen", "--tls", "--cert", pair.cert(), "--key", pair.key()];
    haul([&words[..], flags, &["127.0.0.1:0"]].concat())
}

#[track_caller]
fn listening(zoo: &Zoo, flags: &[&str]) -> Running {
    listener(zoo, flags).stdin(Input::Null).spawn()
}

fn connecting(zoo: &Zoo, flags: &[&str], to: SocketAddr) -> Program {
    haul([&["connect", "--tls", "--ca", &zoo.ca()], flags, &[&to.to_string()]].concat())
}

/// Somebody in between, who passes on what both sides say: where he is, and his connection to the client.
fn between(server: SocketAddr) -> (SocketAddr, thread::JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let inside = thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let server = TcpStream::connect(server).unwrap();
        for (mut from, mut to) in [(&client, &server), (&server, &client)]
            .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
        {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    to.write_all(&buffer[..count]).unwrap();
                }
            });
        }
        client
    });
    (address, inside)
}

// Once bytes have moved, a failure says with whom and after how much, on both sides, as that of a plain stream does.
#[test]
fn a_failure_after_the_handshake_names_the_peer_and_the_bytes() {
    let zoo = Zoo::new();
    for (flags, headline) in [
        (&["-d"][..], "transfer stopped after 10 B ("),
        (&["--send", "abc", "--expect", "never"], "dialogue stopped after 3 B sent and 10 B received (tls:"),
    ] {
        let mut server = listener(&zoo, &[]).stdin(Input::Piped).spawn();
        let (middle, inside) = between(server.address());
        let client = connecting(&zoo, &[&["-v"], flags].concat(), middle).spawn();
        client.stderr_line("haul: connected to tls ");
        server.say(b"half of it");
        let mut to_client = inside.join().unwrap();
        match flags {
            ["-d"] => drop(client.stdout_reaches(10)),
            _ => drop(server.stdout_reaches(3)),
        }
        crate::harness::proc::wait_until_idle(client.pid());
        to_client.write_all(&[&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat()).unwrap();
        let client = client.wait();
        client.code(6);
        let line = format!("haul: {headline}{middle}): what came does not decrypt: it was changed on its way\n");
        assert!(client.stderr.ends_with(&line), "{line}: {}", client.stderr);
        let server = server.wait();
        server.code(6);
        let line = server.one_error();
        let sent =
            if flags.len() == 1 { "transfer stopped after 10 B (127.0.0.1:" } else { "10 B sent and 3 B received (" };
        assert!(line.contains(sent), "{line}");
        assert!(line.ends_with("): the peer refused: what we sent did not decrypt"), "{line}");
    }
}

// A certificate that is none for a host, and a client that is too old, are told in plain words.
#[test]
fn what_is_wrong_is_told_in_plain_words() {
    let zoo = Zoo::new();
    let pair = zoo.authority("between", &["127.0.0.1"]);
    let server =
        haul(["listen", "-v", "-k", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"]).spawn();
    let client = connecting(&zoo, &[], server.address()).run();
    let line = client.code(6).one_error();
    assert!(line.ends_with(": its certificate is that of an authority, not of a host"), "{line}");
    server.stderr_line_where(|line| line.ends_with(": the peer refused: it does not accept our certificate"));
    server.signal(Signal::TERM);
    server.wait().code(0);

    let Some(openssl) = require("openssl") else { return };
    let server = listening(&zoo, &["-v", "-k", "--tls-min", "1.3"]);
    let at = server.address().to_string();
    Program::new(openssl, ["s_client", "-tls1_2", "-connect", &at]).stdin(Input::Null).run();
    server.stderr_line_where(|line| line.ends_with(": nothing in common with the peer: no version of TLS"));
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// RFC 7301: it is the client that offers. One that offers only other protocols is refused, one that offers none is served.
#[test]
fn a_listener_with_protocols_serves_who_offers_none() {
    let zoo = Zoo::new();
    for flags in [&[][..], &["--alpn", "b"], &["--alpn", "c,a"]] {
        let server = listening(&zoo, &["--alpn", "a,b"]);
        connecting(&zoo, flags, server.address()).stdin(Input::Bytes(b"served".to_vec())).run().ok();
        assert_eq!(server.wait().code(0).stdout, b"served");
    }
    let server = listening(&zoo, &["-v", "--alpn", "a,b"]);
    let line = connecting(&zoo, &["--alpn", "c"], server.address()).run().code(6).one_error();
    assert!(line.ends_with(": the peer refused: no protocol of --alpn in common"), "{line}");
    server.stderr_line_where(|line| line.ends_with(": the peer speaks none of the protocols of --alpn"));
    // a server that knows nothing of such offers is taken as it is
    let server = listening(&zoo, &[]);
    connecting(&zoo, &["--alpn", "c"], server.address()).stdin(Input::Null).run().ok();
    server.wait().code(0);
}

// SSLKEYLOGFILE: lines that others read, behind what is there, in a file of the owner's; what cannot be written is told.
#[test]
fn keys_are_logged_where_the_environment_says() {
    let zoo = Zoo::new();
    let (keys, old) = (zoo.home().join("keys"), zoo.home().join("old"));
    fs::write(&old, "before\n").unwrap();
    for (path, begins) in [(&keys, ""), (&old, "before\n")] {
        let server = listening(&zoo, &[]);
        let set = format!("SSLKEYLOGFILE={}", path.display());
        connecting(&zoo, &[], server.address()).by(&["env", &set]).stdin(Input::Null).run().ok();
        server.wait().code(0);
        let text = fs::read_to_string(path).unwrap();
        let rest = text.strip_prefix(begins).unwrap();
        for label in [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET ",
            "CLIENT_TRAFFIC_SECRET_0 ",
            "SERVER_TRAFFIC_SECRET_0 ",
        ] {
            let line = rest.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{label}: {text}"));
            let words: Vec<_> = line.split(' ').collect();
            assert!(words.len() == 3 && words[1].len() == 64 && words[2].len() >= 64, "{line}");
            assert!(words[1..].iter().all(|word| word.bytes().all(|digit| digit.is_ascii_hexdigit())), "{line}");
        }
    }
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);

    let server = listening(&zoo, &[]);
    let nowhere = "SSLKEYLOGFILE=/nonexistent/keys";
    let client = connecting(&zoo, &[], server.address()).by(&["env", nowhere]).stdin(Input::Null).run();
    client.code(0);
    let why = "cannot write /nonexistent/keys: no such file or directory, so that no keys are logged (SSLKEYLOGFILE)";
    assert_eq!(client.stderr, format!("haul: {why}\n"));
    server.wait().code(0);
    // nothing is encrypted here, and nothing said
    haul(["connect", "discard:"]).by(&["env", nowhere]).stdin(Input::Null).run().ok();
}

// Keys that could not be written are told, once, by whoever was to write them, and nothing else changes.
#[test]
fn keys_that_find_no_room_are_told_once() {
    let zoo = Zoo::new();
    let full = "SSLKEYLOGFILE=/dev/full";
    let why = "haul: cannot write /dev/full: no space left on device, so that no keys are logged (SSLKEYLOGFILE)\n";
    let pair = zoo.good();
    let words = ["listen", "-k", "--count", "2", "--tls", "--cert", pair.cert(), "--key", pair.key(), "127.0.0.1:0"];
    let server = haul(words.iter().chain(&["--", "cat"])).by(&["env", full]).spawn();
    for _ in 0..2 {
        let client = connecting(&zoo, &[], server.address()).by(&["env", full]).stdin(Input::Bytes(b"x".to_vec()));
        let client = client.run();
        client.code(0);
        assert_eq!((client.stderr.as_str(), client.stdout.as_slice()), (why, &b"x"[..]));
    }
    let server = server.wait();
    server.code(0);
    assert_eq!(server.stderr.matches(why).count(), 1, "{}", server.stderr);
}

// Whoever reads a pipe takes it for ended when all that write to it have closed it: haul opens it once.
#[test]
fn keys_go_to_a_pipe_that_is_opened_once() {
    let zoo = Zoo::new();
    let (_home, path) = fifo();
    let set = format!("SSLKEYLOGFILE={}", path.display());
    // a reader that is there before anybody writes, as nobody waits for it
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).unwrap();
    let reader = thread::spawn(move || {
        rustix::event::poll(&mut [PollFd::new(&pipe, PollFlags::IN)], None).unwrap();
        rustix::fs::fcntl_setfl(&pipe, OFlags::empty()).unwrap();
        let mut keys = String::new();
        pipe.read_to_string(&mut keys).unwrap();
        keys
    });
    let server = listening(&zoo, &[]);
    connecting(&zoo, &[], server.address()).by(&["env", &set]).stdin(Input::Null).run().ok();
    server.wait().code(0);
    assert!(reader.join().unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
}

// A pipe that nobody reads would hold everything up, whatever limits there are.
#[test]
fn a_pipe_for_keys_that_nobody_reads_is_told_and_not_waited_for() {
    let zoo = Zoo::new();
    let (_home, path) = fifo();
    let set = format!("SSLKEYLOGFILE={}", path.display());
    let server = listening(&zoo, &[]);
    let client = connecting(&zoo, &[], server.address()).by(&["env", &set]).stdin(Input::Null).run();
    client.code(0);
    let why = format!("haul: cannot write {}: ", path.display());
    assert!(client.stderr.starts_with(&why) && client.stderr.lines().count() == 1, "{}", client.stderr);
    server.wait().code(0);
}

// The roots for an https proxy are read once, however many targets are tested through it: a FIFO gives them once.
#[test]
fn many_targets_behind_one_proxy_read_its_roots_once() {
    let zoo = Zoo::new();
    let (_home, path) = fifo();
    let roots = fs::read(zoo.ca()).unwrap();
    let writer = {
        let path = path.clone();
        thread::spawn(move || fs::write(path, roots).unwrap())
    };
    let words = ["connect", "-z", "-x", "https://127.0.0.1:1", "--proxy-ca", path.to_str().unwrap(), "db:20-60"];
    let ended = haul(words).run();
    let line = ended.code(1).one_error();
    assert!(line.starts_with("haul: 41 of 41 are not open: "), "{line}");
    writer.join().unwrap();
}
