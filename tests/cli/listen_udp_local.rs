//! `haul listen -u` on every address of the host: an answer leaves from the address that the peer wrote to, or the peer,
//! whose socket is connected to that one, never gets it.
#![cfg(not(feature = "portable"))]

use std::net::UdpSocket;

use crate::harness::{DEADLINE, Input, Running, haul, scratch};

/// The port of a listener on these words.
#[track_caller]
fn port(running: &Running) -> u16 {
    running.stderr_line("haul: listening on udp ").rsplit_once(':').unwrap().1.parse().unwrap()
}

/// What the listener answers to a socket that is connected to it there.
#[track_caller]
fn answer(to: (&str, u16), question: &[u8]) -> String {
    let socket = UdpSocket::bind(if to.0 == "::1" { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send(question).unwrap();
    let mut buffer = [0; 200];
    let count = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer from {to:?}: {error}"));
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// Words of an endpoint, and the addresses by which it is reached.
const WILDCARDS: [(&[&str], &[&str]); 4] = [
    (&["0"], &["127.0.0.5", "127.0.0.1", "::1"]),
    (&["-4", "0"], &["127.0.0.5", "127.0.0.1"]),
    (&["0.0.0.0", "0"], &["127.0.0.5"]),
    (&["-6", "0"], &["::1"]),
];

#[test]
fn a_program_answers_from_where_it_was_asked_and_is_told() {
    let script = "read x; echo $HAUL_LOCAL_ADDR $HAUL_LOCAL_PORT $UDPLOCALIP";
    for (words, addresses) in WILDCARDS {
        let command = ["--", "sh", "-c", script];
        let flags = ["listen", "-u", "-v", "--open"].iter().chain(words).chain(&command);
        let running = haul(flags).spawn();
        let port = port(&running);
        for ip in addresses {
            assert_eq!(answer((ip, port), b"x\n"), format!("{ip} {port} {ip}\n"), "{words:?}");
        }
    }
}

#[test]
fn standard_input_answers_from_where_the_last_peer_wrote_to() {
    for (words, addresses) in WILDCARDS {
        let flags = ["listen", "-u", "--split", "line"];
        let mut running = haul(flags.iter().chain(words)).stdin(Input::Piped).spawn();
        let port = port(&running);
        let mut heard = 0;
        for ip in addresses {
            let socket = UdpSocket::bind(if *ip == "::1" { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
            socket.connect((*ip, port)).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.send(b"?").unwrap();
            heard += 2;
            running.stdout_reaches(heard);
            running.say(b"answer\n");
            let mut buffer = [0; 100];
            let count = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer from {ip}: {error}"));
            assert_eq!(&buffer[..count], b"answer", "{words:?} {ip}");
        }
    }
}

#[test]
fn a_peer_that_writes_to_another_address_is_answered_from_there() {
    let running = haul(["listen", "-u", "--open", "0", "--", "cat"]).spawn();
    let port = port(&running);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    for ip in ["127.0.0.5", "127.0.0.6"] {
        socket.send_to(b"hello", (ip, port)).unwrap();
        let mut buffer = [0; 100];
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], from), (&b"hello"[..], format!("{ip}:{port}").parse().unwrap()));
    }
}

#[test]
fn what_came_by_broadcast_is_answered_by_the_socket_itself() {
    let running = haul(["listen", "-u", "--open", "0", "--", "cat"]).spawn();
    let port = port(&running);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(b"all", ("127.255.255.255", port)).unwrap();
    let (_, from) = socket.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from, format!("127.0.0.1:{port}").parse().unwrap());
}

#[test]
fn the_events_name_the_address_that_was_written_to() {
    let home = scratch();
    let path = home.path().join("events");
    let running = haul(["listen", "-u", "-W", "1", "--events", path.to_str().unwrap(), "0"]).spawn();
    let port = port(&running);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"x", ("127.0.0.5", port)).unwrap();
    running.wait().ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let accepted = text.lines().find(|line| line.contains("\"accepted\"")).unwrap();
    let accepted: serde_json::Value = serde_json::from_str(accepted).unwrap();
    assert_eq!(accepted["local"], format!("127.0.0.5:{port}"));
}
