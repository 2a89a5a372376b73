//! `haul connect -u`: a talk with one peer, whose refusals are told, and which ends by itself.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    DEADLINE, Input, Program, Sink, file_with, haul, open, poll_until, proc, pty::Terminal, require, scratch,
};

/// A socket of ours on `ip`, and how haul names it.
fn socket_on(ip: &str) -> (UdpSocket, String) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = socket.local_addr().unwrap().to_string();
    (socket, name)
}

fn socket() -> (UdpSocket, String) {
    socket_on("127.0.0.1")
}

fn connect(to: &str, more: &[&str]) -> Program {
    haul(
        ["connect", "-u"]
            .iter()
            .chain(more.iter().take_while(|word| **word != "--"))
            .chain([&to])
            .chain(more.iter().skip_while(|word| **word != "--")),
    )
}

/// Answers `count` datagrams with `re: ` and themselves, and gives what came; the socket stays open.
fn answer(socket: &UdpSocket, count: usize) -> JoinHandle<Vec<Vec<u8>>> {
    let socket = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        let answered = |_| {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let mut reply = b"re: ".to_vec();
            reply.extend_from_slice(&buffer[..length]);
            socket.send_to(&reply[..reply.len().min(65_507)], from).unwrap();
            buffer[..length].to_vec()
        };
        (0..count).map(answered).collect()
    })
}

#[test]
fn lines_go_out_answers_come_in_framed_alike_and_a_silence_ends_it() {
    let (socket, name) = socket();
    let all = answer(&socket, 3);
    let program = connect(&name, &["--split", "line", "-w", "300ms"]).stdin(Input::Bytes(b"one\n\nthree".to_vec()));
    let begin = Instant::now();
    assert_eq!(program.run().ok().stdout, b"re: one\nre: \nre: three\n");
    assert!(begin.elapsed() >= Duration::from_millis(300), "it did not wait for more");
    assert_eq!(all.join().unwrap(), [&b"one"[..], b"", b"three"]);
}

#[test]
fn lengths_in_front_tell_empty_datagrams_from_none() {
    let (socket, name) = socket();
    let all = answer(&socket, 2);
    let input = Input::Bytes(b"\0\0\0\x02ab".to_vec());
    let ended = connect(&name, &["--split", "len16", "-W", "2", "-w", "15s"]).stdin(input).run();
    assert_eq!(ended.ok().stdout, b"\0\x04re: \0\x06re: ab");
    assert_eq!(all.join().unwrap(), [&b""[..], b"ab"]);
}

#[test]
fn answers_are_raw_where_nothing_else_is_asked_for() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let ended = connect(&name, &["-W", "1", "-w", "15s"]).stdin(Input::Bytes(b"a\nb\n".to_vec())).run();
    assert_eq!(ended.ok().stdout, b"re: a\nb\n");
    assert_eq!(all.join().unwrap().len(), 1);
}

#[test]
fn a_terminal_sends_a_datagram_a_line_and_its_end_ends_it() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let terminal = Terminal::open();
    let running = connect(&name, &["-w", "200ms"]).stdin(Input::Fd(terminal.side())).spawn();
    terminal.type_in(b"hello\n");
    assert_eq!(running.stdout_reaches(9), b"re: hello");
    assert_eq!(all.join().unwrap(), [b"hello"]);
    terminal.type_in(b"\x04");
    running.wait().ok();
}

#[test]
fn a_refusal_is_told_with_the_address() {
    let (socket, name) = socket();
    drop(socket);
    let ended = connect(&name, &["-w", "15s"]).stdin(Input::Bytes(b"x".to_vec())).run();
    assert_eq!(ended.code(1).one_error(), format!("haul: cannot connect to {name}: connection refused"));
}

#[test]
fn a_refusal_ends_it_although_standard_input_goes_on() {
    let (socket, name) = socket();
    drop(socket);
    let mut running = connect(&name, &[]).stdin(Input::Piped).spawn();
    running.say(b"x");
    running.wait().code(1).one_error();
}

#[test]
fn a_refusal_after_answers_is_told_when_those_are_written() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let mut running = connect(&name, &[]).stdin(Input::Piped).spawn();
    running.say(b"x");
    running.stdout_reaches(5);
    all.join().unwrap();
    drop(socket);
    running.say(b"y");
    let ended = running.wait();
    assert_eq!(ended.code(1).one_error(), format!("haul: cannot transfer with {name}: connection refused"));
    assert_eq!(ended.stdout, b"re: x");
}

#[test]
fn the_next_address_gets_everything_that_the_first_refused() {
    let (socket, name) = socket_on("::1");
    let port = name.rsplit(':').next().unwrap().to_string();
    let Ok(other) = UdpSocket::bind(format!("127.0.0.1:{port}")) else { return };
    drop(other);
    let all = answer(&socket, 3);
    let ended = connect(&port, &["--split", "line", "-v", "-W", "3", "-w", "15s"])
        .stdin(Input::Bytes(b"one\ntwo\nthree\n".to_vec()))
        .run();
    assert_eq!(ended.code(0).stdout, b"re: one\nre: two\nre: three\n");
    assert_eq!(all.join().unwrap(), [&b"one"[..], b"two", b"three"]);
    assert!(ended.complaints().contains(&format!("connected to udp 127.0.0.1:{port}")), "{}", ended.complaints());
    assert!(ended.complaints().contains(&format!("7 bytes from [::1]:{port}")));
}

#[test]
fn where_all_refuse_each_is_told() {
    let (socket, name) = socket();
    let port = name.rsplit(':').next().unwrap().to_string();
    drop(socket);
    let told = connect(&port, &[]).stdin(Input::Bytes(b"x".to_vec())).run().code(1).one_error();
    let expected =
        format!("cannot connect to localhost:{port}: connection refused (tried 127.0.0.1:{port}, [::1]:{port})");
    assert_eq!(told, format!("haul: {expected}"));
}

#[test]
fn too_few_answers_are_status_3() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let ended = connect(&name, &["-W", "2", "-w", "200ms"]).stdin(Input::Bytes(b"x".to_vec())).run();
    let told = ended.code(3).one_error();
    assert_eq!(told, format!("haul: {name} sent 1 of 2 answers within 200ms: 1 datagram was sent"));
    assert_eq!(ended.stdout, b"re: x");
    all.join().unwrap();
}

#[test]
fn silence_and_time_have_their_limits() {
    let (_socket, name) = socket();
    for (flags, cause) in [
        (["-d", "--idle", "200ms"], "no datagram for 200ms"),
        (["-d", "--max-time", "200ms"], "time limit of 200ms reached"),
    ] {
        let told = connect(&name, &flags).run().code(3).one_error();
        assert!(told.ends_with(cause), "{told}");
    }
}

#[test]
fn with_d_the_time_for_answers_counts_from_the_start() {
    let (_socket, name) = socket();
    for flag in ["-d", "--recv-only"] {
        connect(&name, &[flag, "-w", "100ms"]).stdin(Input::Piped).run().code(0).no_stdout();
        let told = connect(&name, &[flag, "-w", "100ms", "-W", "1"]).stdin(Input::Piped).run().code(3).one_error();
        assert!(told.contains(&format!("{name} did not answer within 100ms")), "{told}");
    }
}

#[test]
fn d_leaves_standard_input_alone_and_still_receives() {
    let (socket, name) = socket();
    for flag in ["-d", "--recv-only"] {
        let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = reserved.local_addr().unwrap();
        drop(reserved);
        let port = own.port().to_string();
        let flags = ["-v", flag, "-W", "2", "-s", "127.0.0.1", "-p", &port];
        let mut running = connect(&name, &flags).stdin(Input::Piped).spawn();
        running.stderr_line("haul: connected to udp ");
        running.say(b"never sent");
        socket.send_to(b"first", own).unwrap();
        socket.send_to(b"second", own).unwrap();
        assert_eq!(running.wait().code(0).stdout, b"firstsecond");
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv_from(&mut [0; 10]).is_err(), "something was sent with {flag}");
        socket.set_nonblocking(false).unwrap();
    }
}

#[test]
fn an_input_longer_than_a_datagram_is_refused_and_nothing_of_it_is_sent() {
    let (socket, name) = socket();
    let ended = connect(&name, &["--split", "none"]).stdin(Input::Bytes(vec![0; 65_508])).run();
    assert!(ended.code(2).one_error().ends_with("longer than a datagram can be, 65507 bytes"));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv_from(&mut [0; 10]).is_err());
}

#[test]
fn what_came_before_a_line_that_is_too_long_is_sent() {
    let (socket, name) = socket();
    let input = [b"first\n", &[b'x'; 70_000][..]].concat();
    let told = connect(&name, &["--split", "line"]).stdin(Input::Bytes(input)).run().code(2).one_error();
    assert_eq!(
        told,
        "haul: cannot use standard input: line 2 (at byte 6) is longer than a datagram can be, 65507 bytes"
    );
    let mut buffer = [0; 100];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
}

// The pipes of the portable build keep no bounds.
#[cfg(not(feature = "portable"))]
#[test]
fn each_write_of_a_program_is_a_datagram_and_it_reads_the_answers() {
    let (socket, name) = socket();
    let all = answer(&socket, 4);
    let script = "printf a; printf bb; dd if=/dev/zero bs=10000 count=1 2>/dev/null; printf 'last\\n'; \
                  head -c 10024 | wc -c >&2; echo \"$HAUL_PROTO $PROTO $HAUL_PEER_ADDR $UDPREMOTEPORT\" >&2";
    let ended = connect(&name, &["-c", script, "-w", "200ms"]).run();
    let lengths: Vec<_> = all.join().unwrap().iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 2, 10_000, 5]);
    let (ip, port) = name.rsplit_once(':').unwrap();
    assert_eq!(ended.code(0).stderr, format!("10024\nudp UDP {ip} {port}\n"));
}

#[test]
fn the_status_of_a_program_is_that_of_haul() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    connect(&name, &["-w", "10ms", "--", "sh", "-c", "echo x; read line; exit 7"]).run().code(7).no_stdout();
    assert_eq!(all.join().unwrap(), [b"x\n"]);
}

#[test]
fn a_program_that_reads_no_more_is_no_failure_and_one_that_is_missing_is() {
    let (socket, name) = socket();
    let all = answer(&socket, 2);
    let script = "exec 0<&-; echo x; sleep 0.2; echo y";
    connect(&name, &["-c", script, "-w", "100ms"]).run().ok();
    assert_eq!(all.join().unwrap(), [b"x\n", b"y\n"]);
    let told = connect(&name, &["-e", "/no/such/program"]).run().code(2).one_error();
    assert_eq!(told, "haul: cannot run /no/such/program: no such file or directory");
}

#[test]
fn what_a_program_leaves_behind_does_not_keep_it() {
    let (_socket, name) = socket();
    let begin = Instant::now();
    connect(&name, &["-c", "sleep 19 2>/dev/null & echo x", "-w", "10ms"]).run().code(0);
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_signal_is_raised_again_and_totals_are_told() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let mut running = connect(&name, &["--stats"]).stdin(Input::Piped).spawn();
    running.say(b"x");
    running.stdout_reaches(5);
    all.join().unwrap();
    running.signal(Signal::USR1);
    running.stderr_line("haul: received 1 datagram, 5 B, sent 1 datagram, 1 B in ");
    running.signal(Signal::TERM);
    let ended = running.wait();
    ended.killed_by(Signal::TERM);
    assert_eq!(
        ended.stderr.matches("haul: received 1 datagram, 5 B, sent 1 datagram, 1 B in ").count(),
        2,
        "{}",
        ended.stderr
    );
}

#[test]
fn the_time_limit_holds_for_a_program_that_does_not_end() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let flags = ["-W", "1", "--max-time", "1s", "-c", "printf x; trap '' PIPE; while :; do sleep 0.1; done"];
    let ended = connect(&name, &flags).run();
    all.join().unwrap();
    assert!(ended.code(3).stderr.contains("time limit of 1s reached"), "{}", ended.stderr);
}

#[test]
fn v_tells_one_byte_and_who_sent_it() {
    let (socket, name) = socket();
    let answering = std::thread::spawn(move || {
        let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
        socket.send_to(b"x", from).unwrap();
    });
    let ended = connect(&name, &["-v", "-W", "1"]).stdin(Input::Bytes(b"hello".to_vec())).run();
    answering.join().unwrap();
    assert!(ended.code(0).stderr.contains(&format!("haul: 1 byte from {name}\n")), "{}", ended.stderr);
}

#[test]
fn a_signal_ends_it_while_nobody_reads_standard_output() {
    let (socket, name) = socket();
    let flooding = std::thread::spawn(move || {
        let mut buffer = [0; 10];
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        for _ in 0..1000 {
            socket.send_to(&[0; 8000], from).unwrap();
        }
        socket
    });
    let mut running = connect(&name, &[]).stdin(Input::Piped).stdout(Sink::Held).spawn();
    running.say(b"x");
    drop(flooding.join().unwrap());
    proc::wait_until_idle(running.pid());
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

#[test]
fn what_waits_in_the_socket_while_standard_output_is_slow_is_not_lost() {
    let (socket, name) = socket();
    let flooding = std::thread::spawn(move || {
        let mut buffer = [0; 10];
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        for number in 0..100u8 {
            socket.send_to(&[number; 2000], from).unwrap();
        }
        socket
    });
    let mut running = connect(&name, &["-w", "100ms"]).stdin(Input::Piped).stdout(Sink::Held).spawn();
    running.say(b"x");
    running.end_stdin();
    drop(flooding.join().unwrap());
    // longer than -w: the clock must not end it while there is no room for what has come
    proc::wait_until_idle(running.pid());
    proc::wait_until_idle(running.pid());
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut running.held.take().unwrap(), &mut got).unwrap();
    running.wait().ok();
    assert_eq!(got, (0..100u8).flat_map(|number| [number; 2000]).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_goes_away_ends_it_silently() {
    let (socket, name) = socket();
    let all = answer(&socket, 1);
    let mut running = connect(&name, &[]).stdin(Input::Piped).stdout(Sink::Held).spawn();
    drop(running.held.take());
    running.say(b"x");
    let ended = running.wait();
    ended.killed_by(Signal::PIPE);
    assert_eq!(ended.complaints(), "");
    all.join().unwrap();
}

#[test]
fn events_tell_the_whole_story() {
    let (socket, name) = socket();
    let home = scratch();
    let path = file_with(home.path(), "events", b"");
    let all = answer(&socket, 1);
    let flags = ["-w", "200ms", "--events", path.to_str().unwrap()];
    connect(&name, &flags).stdin(Input::Bytes(b"abc".to_vec())).run().ok();
    all.join().unwrap();
    let story = |text: &str| -> Vec<String> {
        let name = |line: &str| line.split("\"event\":\"").nth(1)?.split('"').next().map(str::to_owned);
        text.lines().filter_map(name).collect()
    };
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(story(&text), ["connected", "eof", "closed", "stats"], "{text}");
    assert!(text.contains(r#""datagrams_in":1,"datagrams_out":1"#), "{text}");
    assert!(text.contains(r#""bytes_in":7,"bytes_out":3"#) && text.contains(r#""reason":"clean""#), "{text}");
    drop(socket);
    let path = home.path().join("refused");
    let flags = ["--events", path.to_str().unwrap()];
    let mut running = connect(&name, &flags).stdin(Input::Piped).spawn();
    running.say(b"abc");
    running.wait().code(1);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(story(&text), ["connected", "closed", "stats", "error"], "{text}");
}

#[test]
fn a_unix_datagram_socket_can_answer_and_leaves_nothing_behind() {
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
    let flags = ["connect", "-u", "-W", "1", "-w", "15s", "-U", path.to_str().unwrap()];
    assert_eq!(haul(flags).stdin(Input::Bytes(b"hello".to_vec())).run().ok().stdout, b"hello");
    drop(answering.join().unwrap());
    let told = haul(flags).stdin(Input::Bytes(b"hello".to_vec())).run().code(1).one_error();
    assert_eq!(told, format!("haul: cannot connect to {}: connection refused", path.display()));
}

#[test]
fn explain_touches_nothing() {
    let (socket, name) = socket();
    let ended = connect(&name, &["--explain", "-W", "1"]).stdin(Input::Bytes(b"x".to_vec())).run();
    assert!(ended.ok().stdout.starts_with(format!("exchange datagrams with udp:{name}\n").as_bytes()));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv_from(&mut [0; 10]).is_err());
}

#[test]
fn a_test_of_udp_ports_refuses_what_says_tcp() {
    let told = haul(["connect", "-zu", "tcp:9000"]).run().code(2).one_error();
    assert_eq!(told, "haul: cannot use -u with tcp:9000: that is no UDP endpoint");
}

#[test]
fn progress_knows_the_size_of_a_file() {
    let (socket, name) = socket();
    let home = scratch();
    let path = file_with(home.path(), "data", &[7; 3000]);
    let flags = ["--progress=line", "--split", "1000", "-w", "10ms"];
    let ended = connect(&name, &flags).stdin(Input::Fd(open(&path))).run();
    assert!(ended.code(0).stderr.contains("2.93 KiB of 2.93 KiB (100%)"), "{}", ended.stderr);
    let mut buffer = [0; 2000];
    (0..3).for_each(|_| assert_eq!(socket.recv(&mut buffer).unwrap(), 1000));
}

#[test]
fn socat_and_ncat_answer() {
    for tool in ["socat", "ncat"] {
        let Some(path) = require(tool) else { continue };
        let (reserved, name) = socket();
        drop(reserved);
        let (ip, port) = name.rsplit_once(':').unwrap();
        let listens = format!("UDP4-RECVFROM:{port},bind={ip},fork");
        let words = match tool {
            "socat" => vec![listens.as_str(), "EXEC:/bin/cat"],
            _ => vec!["-u", "-l", "-e", "/bin/cat", ip, port],
        };
        let _peer = Program::new(path, &words).under(&["env"]).spawn();
        udp_bound(port.parse().unwrap());
        let ended = connect(&name, &["-W", "1", "-w", "15s"]).stdin(Input::Bytes(b"hello".to_vec())).run();
        assert_eq!(ended.ok().stdout, b"hello", "{tool}");
    }
}

/// Waits until somebody has bound this UDP port.
pub fn udp_bound(port: u16) {
    poll_until("a bound UDP port", || {
        let text = std::fs::read_to_string("/proc/net/udp").unwrap();
        let text = text + &std::fs::read_to_string("/proc/net/udp6").unwrap_or_default();
        text.lines().any(|line| line.contains(&format!(":{port:04X} "))).then_some(())
    });
}
