//! A database through a relay: requests and answers in turns, many at once, and large ones.

use std::path::{Path, PathBuf};

use crate::data;
use crate::harness::{Input, Peer, Program, Running, proc, require, scratch};
use crate::relay::{relay_to, stop};

/// A server of our own on a Unix socket in this directory, with nothing on any disk or port.
fn redis(program: &Path, home: &Path) -> (Running, PathBuf) {
    let socket = home.join("redis.sock");
    let words = ["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--unixsocket"];
    let words = words.map(PathBuf::from).into_iter().chain([socket.clone(), "--dir".into(), home.into()]);
    let server = Program::new(program, words).spawn();
    proc::wait_for_unix_listener(&socket);
    (server, socket)
}

// What redis-cli does by itself, what it sends in one go, and an answer of several megabytes.
#[test]
fn redis_through_a_relay() {
    let (Some(server), Some(cli)) = (require("redis-server"), require("redis-cli")) else { return };
    let home = scratch();
    let (server, socket) = redis(&server, home.path());
    for flags in [&[][..], &["--splice", "never"], &["--threads", "2"]] {
        let relay = relay_to(&format!("unix:{}", socket.display()), flags);
        let port = relay.address().port().to_string();
        let ask = |words: &[&str], input: Input| {
            let words = [&["-h", "127.0.0.1", "-p", &port], words].concat();
            let ended = Program::new(&cli, words).stdin(input).run();
            ended.code(0);
            ended.stdout.clone()
        };
        assert_eq!(ask(&["ping"], Input::Null), b"PONG\n");

        // ten thousand requests before the first answer is looked at
        let mut requests = String::from("*1\r\n$8\r\nFLUSHALL\r\n");
        (0..10_000).for_each(|_| requests.push_str("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"));
        let told = ask(&["--pipe"], Input::Bytes(requests.into_bytes()));
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("errors: 0, replies: 10001"), "{told}");
        assert_eq!(ask(&["get", "n"], Input::Null), b"10000\n");

        // a large request, and its answer several times over
        let large = data::bytes(6, 4_000_000).iter().map(|byte| b'a' + byte % 26).collect::<Vec<u8>>();
        assert_eq!(ask(&["-x", "set", "large"], Input::Bytes(large.clone())), b"OK\n");
        data::assert_same("the answer", ask(&["get", "large"], Input::Null).trim_ascii_end(), &large);
        let mut client = Peer::connect(relay.address());
        client.send(&b"GET large\r\n".repeat(4));
        client.send(b"PING\r\n");
        for _ in 0..4 {
            assert_eq!(client.receive(10), b"$4000000\r\n");
            data::assert_same("the answer", &client.receive(large.len()), &large);
            assert_eq!(client.receive(2), b"\r\n");
        }
        assert_eq!(client.receive(7), b"+PONG\r\n");
        drop(client);
        stop(relay);
    }
    drop(server);
}
