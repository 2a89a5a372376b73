//! A test in Rust with haul as the client of the server under test: `tests/server_test.rs` of a project of yours.
//!
//! The server under test answers `PING` with `+PONG`, and everything else with `-ERR`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

/// What is under test: serves any number of clients on a free port.
fn start_server() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let requests = BufReader::new(client.try_clone().unwrap()).lines();
                for request in requests.map_while(Result::ok) {
                    let answer: &[u8] = if request == "PING" { b"+PONG\r\n" } else { b"-ERR what?\r\n" };
                    client.write_all(answer).unwrap();
                }
            });
        }
    });
    address
}

/// haul with these words in front of the server's address.
fn haul(words: &[&str], server: SocketAddr) -> Output {
    let program = std::env::var_os("HAUL").unwrap_or_else(|| "haul".into());
    Command::new(program).args(words).arg(server.to_string()).output().expect("haul is not installed")
}

#[test]
fn a_ping_is_answered() {
    let server = start_server();
    let done = haul(&["connect", "--send", r"PING\r\n", "--expect", r"^\+PONG", "--timeout", "5s"], server);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.stdout, b"+PONG");
}

#[test]
fn a_client_may_ask_again_after_an_error() {
    let server = start_server();
    let first = ["connect", "--timeout", "5s", "--send", r"HELP\r\n", "--expect", "^-ERR"];
    let words = [&first[..], &["--send", r"PING\r\n", "--expect", r"^\+PONG"]].concat();
    assert!(haul(&words, server).status.success());
}

#[test]
fn nothing_but_pong_is_said() {
    let server = start_server();
    let done = haul(&["connect", "--send", r"PING\r\n", "--expect", "ERR", "--timeout", "300ms"], server);
    // 3: no match in time; the complaint shows what came instead
    assert_eq!(done.status.code(), Some(3));
    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(complaint.contains("+PONG"), "{complaint}");
}

#[test]
fn the_server_can_be_waited_for() {
    assert!(haul(&["connect", "-z", "--wait", "5s"], start_server()).status.success());
}
