//! `haul send-udp`: messages keep their bounds, answers come back, refusals are told, and the pace is kept.

use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{DEADLINE, Input, Program, file_with, haul, scratch};

/// A socket of ours, and how haul names it.
fn socket() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = socket.local_addr().unwrap().to_string();
    (socket, name)
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let (count, _) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(count);
    buffer
}

/// Receives `count` datagrams; the socket stays open, so that what else comes is not refused.
fn collect(socket: &UdpSocket, count: usize) -> JoinHandle<Vec<Vec<u8>>> {
    let socket = socket.try_clone().unwrap();
    std::thread::spawn(move || (0..count).map(|_| receive(&socket)).collect())
}

fn send(to: &str, more: &[&str]) -> Program {
    haul(["send-udp", to].iter().chain(more))
}

#[test]
fn each_line_is_a_datagram_and_an_empty_one_is_empty() {
    let (socket, name) = socket();
    let all = collect(&socket, 4);
    send(&name, &["--split", "line"]).stdin(Input::Bytes(b"one\n\nthree\nlast".to_vec())).run().ok().no_stdout();
    assert_eq!(all.join().unwrap(), [&b"one"[..], b"", b"three", b"last"]);
}

#[test]
fn datagrams_of_any_length_arrive_whole() {
    for length in [0, 1, 1472, 1473, 65_507] {
        let (socket, name) = socket();
        let all = collect(&socket, 1);
        send(&name, &["--split", "none"]).stdin(Input::Bytes(vec![7; length])).run().ok();
        assert_eq!(all.join().unwrap(), [vec![7; length]]);
    }
}

#[test]
fn one_byte_more_than_a_datagram_holds_is_refused_and_nothing_is_sent() {
    let (socket, name) = socket();
    let home = scratch();
    let path = file_with(home.path(), "big", &[0; 65_508]);
    let ended = send(&name, &["--split", "none", "--file", path.to_str().unwrap()]).run();
    assert!(ended.code(2).one_error().contains("65507"));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv_from(&mut [0; 10]).is_err());
}

#[test]
fn equal_pieces_of_a_stream_keep_their_order() {
    let (socket, name) = socket();
    let bytes: Vec<u8> = (0..100u8).flat_map(|number| [number; 50]).collect();
    let all = collect(&socket, 101);
    // slow enough for the buffer of a plain socket
    send(&name, &["--split", "50", "--pps", "2000"]).stdin(Input::Bytes([&bytes[..], b"rest"].concat())).run().ok();
    let all = all.join().unwrap();
    assert_eq!(all.concat(), [&bytes[..], b"rest"].concat());
    assert!(all[..100].iter().all(|payload| payload.len() == 50));
}

#[test]
fn an_answer_is_printed_and_ends_it() {
    let (socket, name) = socket();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&[b"re: ", &buffer[..count]].concat(), from).unwrap();
        socket
    });
    let begin = Instant::now();
    let ended = send(&name, &["-W", "1", "-w", "15s", "-v", "two", "words"]).run();
    assert_eq!(ended.code(0).stdout, b"re: two words");
    assert!(begin.elapsed() < Duration::from_secs(14), "waited for more");
    assert!(ended.complaints().contains(&format!("13 bytes from {name}")), "{}", ended.complaints());
    drop(answering.join().unwrap());
}

#[test]
fn no_answer_in_time_is_status_3() {
    let (_socket, name) = socket();
    let ended = send(&name, &["-W", "2", "-w", "100ms", "hello"]).run();
    let told = ended.code(3).one_error();
    assert_eq!(told, format!("haul: {name} did not answer within 100ms: 1 datagram was sent"));
}

#[test]
fn a_refusal_is_told_with_the_address() {
    let (socket, name) = socket();
    drop(socket);
    let ended = send(&name, &["-w", "10s", "hello"]).run();
    assert_eq!(ended.code(1).one_error(), format!("haul: cannot connect to {name}: connection refused"));
}

#[test]
fn a_unix_datagram_socket_gets_them_and_can_answer() {
    let home = scratch();
    let path = home.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        let from = from.as_abstract_name().map(<[u8]>::to_vec);
        let to = SocketAddr::from_abstract_name(from.unwrap()).unwrap();
        socket.send_to_addr(&buffer[..count], &to).unwrap();
        socket
    });
    let ended = send(&format!("unix,dgram:{}", path.display()), &["-W", "1", "-w", "15s", "hello"]).run();
    assert_eq!(ended.ok().stdout, b"hello");
    drop(answering.join().unwrap());
}

#[test]
fn the_pace_is_right_to_2_percent() {
    let (socket, name) = socket();
    let times = std::thread::spawn(move || {
        (0..2001)
            .map(|_| {
                receive(&socket);
                Instant::now()
            })
            .collect::<Vec<_>>()
    });
    send(&name, &["--pps", "1000", "--count", "2001", "x"]).run().ok();
    let times = times.join().unwrap();
    let took = (times[2000] - times[0]).as_secs_f64();
    assert!((1.96..2.04).contains(&took), "{took} s for 2000 datagrams at 1000 a second");
}

#[test]
fn stamps_are_numbered_and_the_end_tells_how_many() {
    let (socket, name) = socket();
    let all = collect(&socket, 4);
    send(&name, &["--seq", "--count", "3", "payload"]).run().ok();
    let all = all.join().unwrap();
    for (number, datagram) in all.iter().enumerate() {
        assert_eq!(datagram[..5], *b"hseq\x01");
        assert_eq!(datagram[5], u8::from(number == 3), "only the fourth is the end");
        assert_eq!(datagram[16..24], (number as u64).to_be_bytes());
        assert_eq!(datagram[8..16], all[0][8..16], "one session");
        assert_eq!(&datagram[32..], if number == 3 { &b""[..] } else { b"payload" });
    }
}
