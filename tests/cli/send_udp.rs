//! `haul send-udp`: messages keep their bounds, answers come back, refusals are told, and the pace is kept.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::connect_udp::udp_bound;
use crate::harness::{DEADLINE, Input, Program, Sink, file_with, haul, proc, require, scratch};

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
        socket.send_to_addr(&buffer[..count], &from).unwrap();
        socket
    });
    let ended = send(&format!("unix,dgram:{}", path.display()), &["-W", "1", "-w", "15s", "hello"]).run();
    assert_eq!(ended.ok().stdout, b"hello");
    drop(answering.join().unwrap());
}

#[test]
fn a_limit_on_everything_ends_it_at_a_socket_that_nobody_reads() {
    let home = scratch();
    let path = home.path().join("socket");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let to = format!("unix,dgram:{}", path.display());
    for flags in [&[][..], &["--seq"]] {
        // more than its queue holds, whatever the system's limit is
        let flags = [flags, &["--split", "65536", "--max-time", "400ms"]].concat();
        let ended = send(&to, &flags).stdin(Input::Bytes(vec![7; 8 << 20])).run();
        let told = ended.code(3).complaints();
        assert!(told.trim_end().ends_with("time limit of 400ms reached"), "{told}");
    }
}

// A machine that has no time for the sender, or for this test, spoils an attempt; a pace that is wrong spoils all.
#[test]
fn the_pace_is_right_to_2_percent() {
    let right = (0..10).any(|_| (1.96..2.04).contains(&seconds_for_2000_datagrams_at_1000_a_second()));
    assert!(right, "too fast or too slow each time");
}

fn seconds_for_2000_datagrams_at_1000_a_second() -> f64 {
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
    (times[2000] - times[0]).as_secs_f64()
}

#[test]
fn stamps_are_numbered_and_the_end_tells_how_many() {
    let (socket, name) = socket();
    let all = collect(&socket, 4);
    let told = send(&name, &["--seq", "--count", "3", "payload"]).run().code(0).stderr.clone();
    assert_eq!(told, "haul: 3 datagrams were sent\n");
    let all = all.join().unwrap();
    for (number, datagram) in all.iter().enumerate() {
        assert_eq!(datagram[..5], *b"hseq\x01");
        assert_eq!(datagram[5], u8::from(number == 3), "only the fourth is the end");
        assert_eq!(datagram[16..24], (number as u64).to_be_bytes());
        assert_eq!(datagram[8..16], all[0][8..16], "one session");
        assert_eq!(&datagram[32..], if number == 3 { &b""[..] } else { b"payload" });
    }
}

#[test]
fn an_end_finds_room_behind_a_full_queue_and_stamps_are_no_payload() {
    let (socket, name) = socket();
    let home = scratch();
    // two full pieces of 62 datagrams: nothing more is queued before they are out
    let path = file_with(home.path(), "data", &[7; 124_000]);
    let heard = socket.try_clone().unwrap();
    let ending = std::thread::spawn(move || while receive(&heard)[5] != 1 {});
    let flags = ["--seq", "--split", "1000", "--file", path.to_str().unwrap(), "-w", "0", "--stats", "--progress=line"];
    let ended = send(&name, &flags).run();
    ending.join().unwrap();
    let told = &ended.code(0).stderr;
    assert!(told.contains("sent 124 datagrams, 121 KiB in "), "{told}");
    assert!(told.contains("haul: 121 KiB in "), "{told}");
}

#[test]
fn a_sender_of_stamps_that_is_stopped_tells_how_many_it_sent() {
    let (socket, name) = socket();
    let running = send(&name, &["--seq", "-i", "10s", "--count", "5", "payload"]).spawn();
    assert_eq!(receive(&socket).len(), 39);
    running.signal(Signal::TERM);
    let end = receive(&socket);
    assert_eq!((end.len(), end[5], &end[16..24]), (32, 1, &1u64.to_be_bytes()[..]));
    assert!(running.wait().stderr.contains("haul: 1 datagram was sent\n"));
}

#[test]
fn data_a_file_standard_input_and_digits_are_the_same_bytes() {
    let (socket, name) = socket();
    let home = scratch();
    let path = file_with(home.path(), "data", b"two words");
    let all = collect(&socket, 4);
    send(&name, &["-w", "0", "two", "words"]).run().ok();
    send(&name, &["-w", "0", "--file", path.to_str().unwrap()]).run().ok();
    send(&name, &["-w", "0"]).stdin(Input::Bytes(b"two words".to_vec())).run().ok();
    send(&name, &["-w", "0", "--data-hex", "74776f20 77:6f:72:64:73"]).run().ok();
    assert_eq!(all.join().unwrap(), vec![b"two words"; 4]);
}

#[test]
fn every_split_takes_a_stream_apart() {
    for (split, input, expected) in [
        ("read", &b"a\nb\n"[..], &[&b"a\nb\n"[..]][..]),
        ("line", b"a\n\nb", &[b"a", b"", b"b"]),
        ("nul", b"a\0\0b\n", &[b"a", b"", b"b\n"]),
        ("3", b"abcdefgh", &[b"abc", b"def", b"gh"]),
        ("len16", b"\0\x02ab\0\0\0\x01c", &[b"ab", b"", b"c"]),
        ("none", b"a\nb\0c", &[b"a\nb\0c"]),
        ("none", b"", &[b""]),
    ] {
        let (socket, name) = socket();
        let all = collect(&socket, expected.len());
        send(&name, &["-w", "0", "--split", split]).stdin(Input::Bytes(input.to_vec())).run().ok();
        assert_eq!(all.join().unwrap(), expected, "--split {split}");
    }
}

#[test]
fn input_that_is_cut_short_or_wrong_is_one_line_and_status_2() {
    let (_socket, name) = socket();
    for (flags, input, cause) in [
        (&["--split", "len16"][..], &b"\0\x05ab"[..], "message 1 (at byte 0) is cut short by the end of the input"),
        (&["--split", "len16"], b"\xff\xff", "message 1 (at byte 0) is longer than a datagram can be, 65507 bytes"),
        (&["--data-hex", "000"], b"", "the number of hexadecimal digits is odd, and a byte has two"),
        (&["--data-hex", "0g"], b"", "character 2 is no hexadecimal digit"),
        (&["--split", "0"], b"", "at least 1 byte is needed"),
        (&["--iface", "no-such-if", "x"], b"", "no such device"),
        (&["--ttl", "256", "x"], b"", "256"),
        (&["--ttl", "0", "x"], b"", "only to a multicast group a packet may have no hop"),
        (&["--loop", "x"], b"", "is about a multicast group, and that is none"),
        (&["--file", "/no/such/file"], b"", "no such file or directory"),
        (&["-i", "1", "--pps", "1", "x"], b"", "both say how fast"),
    ] {
        // the portable build cannot choose an interface at all
        let cause = if cfg!(feature = "portable") && flags[0] == "--iface" { "unsupported" } else { cause };
        let told = send(&name, flags).stdin(Input::Bytes(input.to_vec())).run().code(2).one_error();
        assert!(told.contains(cause), "{flags:?}: {told}");
    }
}

#[test]
fn the_limit_is_that_of_the_address() {
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = format!("::1/{}", socket.local_addr().unwrap().port());
    let all = collect(&socket, 1);
    send(&name, &["-w", "0", "--split", "none"]).stdin(Input::Bytes(vec![1; 65_527])).run().ok();
    assert_eq!(all.join().unwrap()[0].len(), 65_527);
    let told = send(&name, &["--split", "none"]).stdin(Input::Bytes(vec![1; 65_528])).run().code(2).one_error();
    assert!(told.contains("65527"), "{told}");
    let (_socket, name) = self::socket();
    let told =
        send(&name, &["--seq", "--split", "none"]).stdin(Input::Bytes(vec![1; 65_476])).run().code(2).one_error();
    assert!(told.contains("65475"), "{told}");
}

#[test]
fn a_count_an_interval_and_a_rate_are_kept() {
    let (socket, name) = socket();
    for (flags, datagrams, least) in [
        (["-i", "50ms", "--count", "5"], 5, Duration::from_millis(200)),
        (["-L", "1000", "--count", "4"], 4, Duration::from_millis(300)),
        (["--pps", "20", "--count", "5"], 5, Duration::from_millis(200)),
    ] {
        let all = collect(&socket, datagrams);
        let payload = "x".repeat(100);
        let begin = Instant::now();
        send(&name, &[&flags[..], &["-w", "0", &payload]].concat()).run().ok();
        let took = begin.elapsed();
        assert!(took >= least && took < least * 10, "{took:?} with {flags:?}");
        assert_eq!(all.join().unwrap(), vec![payload.as_bytes(); datagrams]);
    }
}

#[test]
fn a_count_ends_a_stream_early() {
    let (socket, name) = socket();
    let all = collect(&socket, 2);
    let mut running = send(&name, &["-w", "0", "--count", "2", "--split", "line"]).stdin(Input::Piped).spawn();
    running.say(b"one\ntwo\nthree\n");
    running.wait().ok();
    assert_eq!(all.join().unwrap(), [b"one", b"two"]);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv_from(&mut [0; 10]).is_err());
}

#[test]
fn the_next_address_gets_what_the_first_refused() {
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let Ok(other) = UdpSocket::bind(format!("127.0.0.1:{port}")) else { return };
    drop(other);
    let all = collect(&socket, 5);
    send(&port, &["-w", "200ms", "data"]).run().ok();
    send(&port, &["-w", "200ms", "--split", "2"]).stdin(Input::Bytes(b"aabbccd".to_vec())).run().ok();
    assert_eq!(all.join().unwrap(), [&b"data"[..], b"aa", b"bb", b"cc", b"d"]);
}

#[test]
fn a_query_by_its_digits_gets_its_answer() {
    let (socket, name) = socket();
    // a responder for one question: example.test. IN A
    let answering = std::thread::spawn(move || {
        let mut query = [0; 512];
        let (count, from) = socket.recv_from(&mut query).unwrap();
        assert_eq!(query[12..26], *b"\x07example\x04test\0");
        assert_eq!(query[26..count], [0, 1, 0, 1]);
        let mut answer = query[..count].to_vec();
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        socket.send_to(&answer, from).unwrap();
        socket
    });
    let query = "1234 0100 0001 0000 0000 0000 07 6578616d706c65 04 74657374 00 0001 0001";
    let ended = send(&name, &["-W", "1", "-w", "15s", "--data-hex", query]).run();
    let answer = &ended.ok().stdout;
    assert_eq!((&answer[..2], &answer[answer.len() - 4..]), (&[0x12, 0x34][..], &[192, 0, 2, 7][..]));
    drop(answering.join().unwrap());
}

#[test]
fn broadcast_has_to_be_asked_for() {
    let told = send("127.255.255.255:9", &["x"]).run().code(2).one_error();
    assert!(told.contains("permission denied"), "{told}");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let all = collect(&socket, 1);
    let to = format!("127.255.255.255:{}", socket.local_addr().unwrap().port());
    send(&to, &["-b", "-w", "0", "x"]).run().ok();
    assert_eq!(all.join().unwrap(), [b"x"]);
}

#[test]
fn options_of_the_socket_change_nothing_of_the_payload() {
    let (socket, name) = socket();
    let flags = [&["--iface", "lo"][..], &["--df"], &["--ttl", "3"], &["--dscp", "EF"], &["-s", "127.0.0.1"]];
    // the portable build cannot choose an interface, nor forbid fragments
    let there = if cfg!(feature = "portable") { 2 } else { 0 };
    for &flags in &flags[there..] {
        let all = collect(&socket, 1);
        send(&name, &[flags, &["-w", "0", "x"]].concat()).run().ok();
        assert_eq!(all.join().unwrap(), [b"x"], "{flags:?}");
    }
}

#[test]
fn a_signal_ends_it_although_nobody_reads_the_answers() {
    let (socket, name) = socket();
    let flooding = std::thread::spawn(move || {
        let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
        for _ in 0..1000 {
            socket.send_to(&[0; 8000], from).unwrap();
        }
        socket
    });
    let running = send(&name, &["-w", "20s", "x"]).stdout(Sink::Held).spawn();
    drop(flooding.join().unwrap());
    proc::wait_until_idle(running.pid());
    running.signal(Signal::INT);
    running.wait().killed_by(Signal::INT);
}

#[test]
fn nc_socat_and_ncat_receive_it() {
    for tool in ["nc", "socat", "ncat"] {
        let Some(path) = require(tool) else { continue };
        let (reserved, name) = socket();
        drop(reserved);
        let (ip, port) = name.rsplit_once(':').unwrap();
        let receives = format!("UDP4-RECVFROM:{port},bind={ip}");
        let words = match tool {
            "nc" => vec!["-u", "-l", "-W", "1", ip, port],
            "socat" => vec!["-u", receives.as_str(), "-"],
            _ => vec!["-u", "-l", "-i", "1s", ip, port],
        };
        let peer = Program::new(path, &words).stdin(Input::Piped).spawn();
        udp_bound(port.parse().unwrap());
        send(&name, &["-w", "0", "hello"]).run().ok();
        assert_eq!(peer.stdout_reaches(5), b"hello", "{tool}");
    }
}

#[test]
fn a_source_that_is_not_ours_is_told_as_it_was_typed() {
    let told = send("127.0.0.1:9", &["-s", "192.0.2.1", "x"]).run().code(2).one_error();
    assert_eq!(told, "haul: cannot use source address 192.0.2.1: cannot assign requested address");
}
