//! `haul listen -u`: every peer is served and answered by itself, bounds are kept, and what is lost is told.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::harness::{DEADLINE, Input, Program, Running, Sink, file_with, haul, poll_until, proc, scratch};

/// A listener on the loopback with these flags, and before the endpoint nothing else.
pub(crate) fn program(flags: &[&str], command: &[&str]) -> Program {
    let more = if command.is_empty() { &[][..] } else { &["--"] };
    haul(["listen", "-u"].iter().chain(flags).chain(&["127.0.0.1:0"]).chain(more).chain(command))
}

/// It, started, and where it listens.
#[track_caller]
pub(crate) fn start(program: Program) -> (Running, SocketAddr) {
    let running = program.spawn();
    let address = address(&running);
    (running, address)
}

#[track_caller]
pub(crate) fn address(running: &Running) -> SocketAddr {
    let line = running.stderr_line("haul: listening on udp ");
    line.trim_start_matches("haul: listening on udp ").replace("*:", "127.0.0.1:").parse().unwrap()
}

/// A socket of ours that sends there and hears its answers.
pub(crate) fn peer(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

#[track_caller]
pub(crate) fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let count = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer: {error}"));
    buffer.truncate(count);
    buffer
}

#[test]
fn every_peer_is_heard_with_and_without_k() {
    for flags in [&["-W", "3", "--split", "line"][..], &["-k", "-W", "3", "--split", "line"]] {
        let (running, at) = start(program(flags, &[]));
        for text in ["one", "two", "three"] {
            peer(at).send(text.as_bytes()).unwrap();
        }
        assert_eq!(running.wait().ok().stdout, b"one\ntwo\nthree\n");
    }
}

#[test]
fn datagrams_of_any_length_arrive_whole_and_an_empty_one_is_data() {
    let lengths = [0usize, 1, 1472, 1473, 65_507, 0];
    let (running, at) = start(program(&["--split", "len16", "-W", "6"], &[]));
    let (socket, mut expected) = (peer(at), Vec::new());
    for (number, length) in lengths.into_iter().enumerate() {
        let payload = vec![number as u8; length];
        socket.send(&payload).unwrap();
        expected.extend_from_slice(&(length as u16).to_be_bytes());
        expected.extend_from_slice(&payload);
    }
    assert!(running.wait().ok().stdout == expected);
}

#[test]
fn output_is_raw_unless_it_is_framed() {
    for (flags, expected) in [
        (&["-W", "3"][..], &b"ab"[..]),
        (&["-W", "3", "--split", "line"], b"a\n\nb\n"),
        (&["-W", "3", "--split", "nul"], b"a\0\0b\0"),
    ] {
        let (running, at) = start(program(flags, &[]));
        let socket = peer(at);
        for payload in [&b"a"[..], b"", b"b"] {
            socket.send(payload).unwrap();
        }
        assert_eq!(running.wait().ok().stdout, expected);
    }
}

#[test]
fn a_socket_of_records_as_standard_output_keeps_the_bounds() {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    let (running, at) = start(program(&["-W", "3"], &[]).stdout(Sink::Fd(theirs.into())));
    let socket = peer(at);
    running.freeze();
    for payload in [&b"one"[..], b"two", b"three"] {
        socket.send(payload).unwrap();
    }
    running.thaw();
    for expected in [&b"one"[..], b"two", b"three"] {
        let mut record = [0; 100];
        let count = (&ours).read(&mut record).unwrap();
        assert_eq!(&record[..count], expected);
    }
    running.wait().ok();
}

#[test]
fn peers_for_whose_programs_no_descriptors_are_left_are_dropped_and_the_others_served() {
    let (running, at) = start(program(&["-v"], &["cat"]).after("ulimit -n 40"));
    let sockets: Vec<UdpSocket> = (0..20).map(|_| peer(at)).collect();
    for socket in &sockets {
        socket.send(b"hello").unwrap();
    }
    running.stderr_line_where(|line| line.ends_with(": too many peers at once"));
    let served = &sockets[0];
    assert_eq!(receive(served), b"hello");
    served.send(b"again").unwrap();
    assert_eq!(receive(served), b"again");
}

#[test]
fn sixty_four_peers_at_once_get_their_own_answers_from_a_program_each() {
    let (running, at) = start(program(&[], &["cat"]));
    let sockets: Vec<UdpSocket> = (0..64).map(|_| peer(at)).collect();
    for round in 0..3 {
        for (number, socket) in sockets.iter().enumerate() {
            socket.send(format!("{round} of {number}").as_bytes()).unwrap();
        }
        for (number, socket) in sockets.iter().enumerate() {
            assert_eq!(receive(socket), format!("{round} of {number}").as_bytes());
        }
    }
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
}

#[test]
fn a_long_datagram_passes_a_program_in_one_piece() {
    let (_running, at) = start(program(&[], &["cat"]));
    let socket = peer(at);
    for length in [1, 1473, 65_507] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        socket.send(&payload).unwrap();
        let mut answer = Vec::new();
        // cat may read and write a long one in pieces
        while answer.len() < payload.len() {
            answer.extend(receive(&socket));
        }
        assert!(answer == payload, "{length} bytes");
    }
}

// The pipes of the portable build keep no bounds.
#[cfg(not(feature = "portable"))]
#[test]
fn each_write_of_a_program_is_an_answer() {
    let talk =
        "read line; printf one; printf two; head -c 20000 /dev/zero | dd bs=20000 iflag=fullblock status=none; sleep 5";
    let (_running, at) = start(program(&[], &["sh", "-c", talk]));
    let socket = peer(at);
    socket.send(b"go\n").unwrap();
    assert_eq!([receive(&socket), receive(&socket)], [b"one", b"two"]);
    assert_eq!(receive(&socket).len(), 20_000);
}

#[test]
fn a_program_that_ends_ends_its_session_and_the_next_datagram_starts_another() {
    let (running, at) = start(program(&["-v"], &["sh", "-c", "read line; echo \"$$ $line\""]));
    let socket = peer(at);
    let mut answers = Vec::new();
    for number in 1..=3 {
        socket.send(b"x\n").unwrap();
        answers.push(receive(&socket));
        running.stderr_line(&format!("haul: session {number}: closed after "));
    }
    assert!(answers[0] != answers[1] && answers[1] != answers[2], "one process answered twice");
}

#[test]
fn count_bounds_the_peers_and_the_status_of_the_only_program_is_hauls() {
    let (running, at) =
        start(program(&["--count", "1", "--stats"], &["sh", "-c", "read line; echo ok; read line; exit 7"]));
    let (first, second) = (peer(at), peer(at));
    first.send(b"x\n").unwrap();
    assert_eq!(receive(&first), b"ok\n");
    second.send(b"stranger\n").unwrap();
    first.send(b"y\n").unwrap();
    let ended = running.wait();
    assert!(ended.code(7).stderr.contains("1 from too many peers"), "{}", ended.stderr);
}

#[test]
fn at_the_cap_newcomers_are_dropped_and_counted() {
    let (running, at) = start(program(&["-m", "1", "-W", "2", "--stats", "--split", "line"], &[]));
    let (first, second) = (peer(at), peer(at));
    first.send(b"a").unwrap();
    running.stdout_reaches(2);
    second.send(b"b").unwrap();
    first.send(b"c").unwrap();
    let ended = running.wait();
    assert_eq!(ended.code(0).stdout, b"a\nc\n");
    assert!(ended.stderr.contains("1 from too many peers"), "{}", ended.stderr);
}

#[test]
fn a_silent_peer_is_forgotten_and_its_program_ends() {
    let home = scratch();
    let mark = home.path().join("mark");
    let script = format!("cat >/dev/null; echo over > {}", mark.display());
    let (running, at) = start(program(&["-v", "--flow-idle", "300ms"], &["sh", "-c", &script]));
    peer(at).send(b"x").unwrap();
    let line = running.stderr_line("haul: session 1: closed after ");
    assert!(line.ends_with("silent for too long"), "{line}");
    poll_until("the program to end", || std::fs::read(&mark).ok().filter(|text| text == b"over\n"));
}

#[test]
fn a_program_that_ignores_the_end_of_its_input_is_signalled_after_the_grace() {
    let (running, at) = start(program(&["-v", "--flow-idle", "100ms", "--grace", "100ms"], &["sleep", "1000"]));
    peer(at).send(b"x").unwrap();
    running.stderr_line("haul: session 1: sleep exited with status 129");

    // also where nobody is told of anything, and nothing else happens
    let (_running, at) =
        start(program(&["--flow-idle", "100ms", "--grace", "100ms"], &["sh", "-c", "echo $$; exec sleep 1000"]));
    let socket = peer(at);
    socket.send(b"x").unwrap();
    let pid = String::from_utf8(receive(&socket)).unwrap();
    let there = std::path::Path::new("/proc").join(pid.trim_end());
    poll_until("the program to end", || (!there.exists()).then_some(()));
}

#[test]
fn a_program_that_does_not_read_loses_its_own_datagrams_and_nobody_elses() {
    let script = "if [ $HAUL_PEER_PORT = $SLEEPER ]; then exec sleep 1000; else exec cat; fi";
    let (deaf, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = deaf.local_addr().unwrap().port();
    let listener = program(&[], &["sh", "-c", script]).after(&format!("export SLEEPER={port}"));
    let (running, at) = start(listener);
    deaf.connect(at).unwrap();
    other.connect(at).unwrap();
    other.set_read_timeout(Some(DEADLINE)).unwrap();
    for _ in 0..40 {
        deaf.send(&[0; 60_000]).unwrap();
        // in step, so that the receive buffer is not what overflows
        other.send(b"still there?").unwrap();
        assert_eq!(receive(&other), b"still there?");
    }
    running.signal(Signal::USR1);
    let totals = running.stderr_line("haul: received 80 datagrams");
    assert!(totals.ends_with(" not taken by a program"), "{totals}");
}

#[test]
fn standard_input_answers_whoever_was_heard_last_and_its_end_ends_nothing() {
    let (mut running, at) = start(program(&["--split", "line"], &[]).stdin(Input::Piped));
    let (first, second) = (peer(at), peer(at));
    running.say(b"early\n");
    first.send(b"1").unwrap();
    assert_eq!(receive(&first), b"early");
    second.send(b"2").unwrap();
    running.stdout_reaches(4);
    running.say(b"to the second\n\n");
    assert_eq!(receive(&second), b"to the second");
    assert_eq!(receive(&second), b"");
    running.end_stdin();
    first.send(b"3").unwrap();
    assert_eq!(running.stdout_reaches(6), b"1\n2\n3\n");
}

// The portable build is told nothing of it.
#[cfg(not(feature = "portable"))]
#[test]
fn a_refused_answer_is_told_once_and_ends_nothing() {
    let (running, at) = start(program(&["--stats"], &["sh", "-c", "read x; read y; echo 1; sleep 0.1; echo 2; cat"]));
    let gone = peer(at);
    let name = gone.local_addr().unwrap();
    gone.send(b"x\n").unwrap();
    gone.send(b"y\n").unwrap();
    drop(gone);
    running.stderr_line(&format!("haul: cannot answer {name}: connection refused"));
    let other = peer(at);
    other.send(b"x\ny\n").unwrap();
    assert_eq!(receive(&other), b"1\n");
    assert_eq!(receive(&other), b"2\n");
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.stderr.matches("cannot answer").count(), 1, "{}", ended.stderr);
}

#[test]
fn access_is_decided_by_datagram_and_reread_at_sighup() {
    let home = scratch();
    let list = file_with(home.path(), "list", b"127.0.0.2\n");
    let allow = format!("@{}", list.display());
    let (running, at) = start(program(&["-k", "--allow", &allow, "--stats", "-v", "--split", "line"], &[]));
    let (stranger, guest) = (peer(at), UdpSocket::bind("127.0.0.2:0").unwrap());
    stranger.send(b"no").unwrap();
    running.stderr_line(&format!("haul: refused {}: not allowed", stranger.local_addr().unwrap()));
    guest.send_to(b"yes", at).unwrap();
    assert_eq!(running.stdout_reaches(4), b"yes\n");
    std::fs::write(&list, "127.0.0.1\n").unwrap();
    running.signal(Signal::HUP);
    poll_until("the list to be read again", || {
        stranger.send(b"now").unwrap();
        (running.stdout_reaches(4).len() > 4).then_some(())
    });
    guest.send_to(b"not any more", at).unwrap();
    running.stderr_line(&format!("haul: refused {}: not allowed", guest.local_addr().unwrap()));
    running.signal(Signal::TERM);
    let ended = running.wait();
    let printed = String::from_utf8(ended.code(0).stdout.clone()).unwrap();
    assert!(printed.lines().skip(1).all(|line| line == "now"), "{printed}");
    assert!(ended.stderr.contains(" not allowed"), "{}", ended.stderr);
}

#[test]
fn silence_is_status_3() {
    let begin = Instant::now();
    let (running, at) = start(program(&["-w", "300ms"], &[]));
    peer(at).send(b"x").unwrap();
    let told = running.wait().code(3).one_error();
    assert_eq!(told, "haul: stopped after 1 datagram: no datagram moved for 300ms");
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let ended = program(&["--accept-timeout", "100ms"], &[]).run();
    assert!(ended.code(3).one_error().ends_with(": timed out after 100ms"));
    let ended = program(&["--max-time", "100ms"], &[]).run();
    assert_eq!(ended.code(3).one_error(), "haul: stopped after 0 datagrams: time limit of 100ms reached");
}

#[test]
fn limits_hold_while_nobody_reads_standard_output() {
    for (flags, cause) in [
        (&["--max-time", "700ms"][..], "time limit of 700ms reached"),
        (&["--idle", "300ms"], "no datagram moved for 300ms"),
        // all has come by then, and it cannot be written
        (&["-W", "60", "--max-time", "1s"], "time limit of 1s reached"),
    ] {
        let (running, at) = start(program(&[flags, &["--rcvbuf", "4M"]].concat(), &[]).stdout(Sink::Held));
        let socket = peer(at);
        // more than the widest pipe holds
        for _ in 0..60 {
            socket.send(&[7; 60_000]).unwrap();
        }
        let told = running.wait().code(3).one_error();
        assert!(told.ends_with(cause), "{told}");
    }
}

#[test]
fn a_signal_ends_it_as_one_shot_or_as_a_server() {
    let (running, at) = start(program(&["--split", "line"], &[]));
    peer(at).send(b"x").unwrap();
    running.stdout_reaches(2);
    running.signal(Signal::TERM);
    running.wait().killed_by(Signal::TERM);
    let (running, _) = start(program(&["-k"], &[]));
    running.signal(Signal::INT);
    running.wait().ok();
}

#[test]
fn a_slow_reader_of_standard_output_loses_nothing_that_was_received() {
    let (mut running, at) = start(program(&["-W", "200", "--rcvbuf", "4M"], &[]).stdout(Sink::Held));
    let socket = peer(at);
    let payload = vec![7; 10_000];
    for _ in 0..200 {
        socket.send(&payload).unwrap();
    }
    let mut held = running.held.take().unwrap();
    let mut all = Vec::new();
    held.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 2_000_000);
    running.wait().ok();
}

// The portable build is told nothing of it.
#[cfg(not(feature = "portable"))]
#[test]
fn what_the_kernel_drops_is_counted() {
    let listener = program(&["--rcvbuf", "4Ki", "--stats", "-k"], &[]).stdin(Input::Null);
    let (running, at) = start(listener);
    running.freeze();
    let socket = peer(at);
    for _ in 0..100 {
        socket.send(&[0; 1000]).unwrap();
    }
    running.thaw();
    running.signal(Signal::TERM);
    let ended = running.wait();
    let line = ended.code(0).stderr.lines().find(|line| line.contains("haul: received ")).unwrap().to_string();
    let words: Vec<&str> = line.split(' ').collect();
    let received: u64 = words[2].parse().unwrap();
    let (lost, _) = line.split_once("; ").unwrap().1.split_once(" packet").unwrap();
    assert_eq!(received + lost.parse::<u64>().unwrap(), 100, "{line}");
}

#[test]
fn the_null_device_costs_no_copy_and_every_datagram_is_counted() {
    let (running, at) = start(program(&["-W", "5", "--stats"], &[]).stdout(Sink::Null));
    let socket = peer(at);
    for length in [0, 1, 1472, 65_507, 3] {
        socket.send(&vec![7; length]).unwrap();
    }
    let ended = running.wait();
    let told = ended.code(0).complaints();
    assert!(told.starts_with("haul: received 5 datagrams, 65.4 KiB, sent 0 datagrams, 0 B in "), "{told}");
    assert!(!told.contains(';'), "{told}");
}

#[test]
fn events_tell_of_each_peer() {
    let home = scratch();
    let path = home.path().join("events");
    let (running, at) = start(program(&["-W", "3", "--events", path.to_str().unwrap()], &[]));
    let (first, second) = (peer(at), peer(at));
    first.send(b"abc").unwrap();
    first.send(b"d").unwrap();
    running.stdout_reaches(4);
    second.send(b"e").unwrap();
    running.wait().ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["listening", "accepted", "accepted", "closed", "closed", "stats"]);
    assert_eq!(events[0]["address"], at.to_string());
    assert_eq!(events[1]["peer"], first.local_addr().unwrap().to_string());
    assert_eq!((&events[3]["session"], &events[3]["bytes_in"]), (&1.into(), &4.into()));
    assert_eq!((&events[5]["datagrams_in"], &events[5]["bytes_in"]), (&3.into(), &5.into()));
}

#[test]
fn the_address_is_told_to_a_descriptor_and_a_file() {
    let home = scratch();
    let port = home.path().join("port");
    let listener = haul(["listen", "-u", "-W", "1", "--ready-fd", "3", "--port-file", port.to_str().unwrap(), "0"]);
    let running = listener.after("exec 3>&1").spawn();
    let text = String::from_utf8(running.stdout_reaches("127.0.0.1:1\n".len())).unwrap();
    assert!(running.stderr_line("haul: listening on udp ").starts_with("haul: listening on udp *:"));
    let at: SocketAddr = text.trim().parse().unwrap();
    assert_eq!(std::fs::read_to_string(&port).unwrap(), format!("{}\n", at.port()));
    peer(at).send(b"x").unwrap();
    running.wait().ok();
}

#[test]
fn both_families_are_served_by_one_socket_and_shown_in_their_own() {
    let running =
        haul(["listen", "-u", "-v", "-W", "2", "--split", "line", "0"]).stdin(Input::Bytes(b"answer\n".to_vec()));
    let running = running.spawn();
    let at = address(&running);
    let socket = peer(at);
    socket.send(b"four").unwrap();
    assert_eq!(receive(&socket), b"answer");
    running.stderr_line(&format!("haul: 4 bytes from {}", socket.local_addr().unwrap()));
    let six = UdpSocket::bind("[::1]:0").unwrap();
    six.send_to(b"six", ("::1", at.port())).unwrap();
    assert_eq!(running.wait().code(0).stdout, b"four\nsix\n");
}

#[test]
fn then_runs_with_the_port_and_its_status_is_hauls() {
    let script = "test \"$(printf hi | HAUL send-udp -W 1 -w 15s {addr}:{port})\" = hi && exit 6";
    let script = script.replace("HAUL", env!("CARGO_BIN_EXE_haul"));
    haul(["listen", "-u", "--then", &script, "127.0.0.1:0", "--", "cat"]).run().code(6);
}

#[test]
fn a_unix_socket_is_served_and_answered() {
    let home = scratch();
    let (path, own) = (home.path().join("server"), home.path().join("client"));
    let running = haul(["listen", "-u", "-v", "-W", "1", "-U", path.to_str().unwrap(), "--", "cat"]).spawn();
    running.stderr_line("haul: listening on unix-dgram ");
    let socket = UnixDatagram::bind(&own).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(b"hello", &path).unwrap();
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"hello");
    running.wait().code(0);
    assert!(!path.exists(), "the socket's file stays");
}

#[test]
fn a_unix_peer_that_does_not_read_holds_up_nobody() {
    let home = scratch();
    let at = home.path().join("at");
    let flags = ["listen", "-u", "--stats", "-U", at.to_str().unwrap(), "--split", "line"];
    let mut running = haul(flags).stdin(Input::Piped).spawn();
    poll_until("the socket", || at.exists().then_some(()));
    let bind = |name: &str| {
        let socket = UnixDatagram::bind(home.path().join(name)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.send_to(b"x", &at).unwrap();
        socket
    };
    let _deaf = bind("deaf");
    running.stdout_reaches(2);
    running.say("one line\n".repeat(100).as_bytes());
    proc::wait_until_idle(running.pid());
    let other = bind("other");
    running.stdout_reaches(4);
    running.say(b"for another\n");
    let mut buffer = [0; 100];
    let count = other.recv(&mut buffer).unwrap();
    assert!(buffer[..count].ends_with(b"line") || &buffer[..count] == b"for another");
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert!(ended.stderr.contains("not sent or refused"), "{}", ended.stderr);
}

#[test]
fn a_command_that_ignores_signals_is_waited_for_without_effort() {
    let then = ["--then", "trap '' HUP TERM; while :; do sleep 0.2; done"];
    let (running, _) = start(program(&["--grace", "1s", "-k", then[0], then[1]], &[]));
    running.signal(Signal::TERM);
    poll_until("the end of it", || (proc::state(running.pid()) == 'Z').then_some(()));
    let ticks: u64 = proc::effort(running.pid())[..2].iter().sum();
    assert!(ticks < 30, "{ticks} ticks");
}

#[test]
fn a_datagram_that_is_cut_short_is_no_success() {
    let home = scratch();
    for (name, flags, length, told, written) in [
        ("a", &["--split", "len16"][..], 65_535, "", 65_537),
        ("b", &["--split", "len16"], 65_536, "a record of 65536 bytes: a len16 record holds at most 65535", 0),
        ("c", &[], 250_000, "a whole datagram to standard output: it was cut after 212960 bytes", 212_960),
    ] {
        let path = home.path().join(name);
        let program = haul(["listen", "-u", "-v", "-W", "1", "-U", path.to_str().unwrap()].iter().chain(flags));
        let running = program.stdin(Input::Null).spawn();
        running.stderr_line("haul: listening on unix-dgram ");
        let socket = UnixDatagram::unbound().unwrap();
        socket2::SockRef::from(&socket).set_send_buffer_size(200_000).unwrap();
        socket.send_to(&vec![7; length], &path).unwrap();
        let ended = running.wait();
        assert_eq!(ended.code(if told.is_empty() { 0 } else { 5 }).stdout.len(), written);
        let expected = format!("haul: cannot write {told}\n");
        assert!(told.is_empty() || ended.stderr.contains(&expected), "{}", ended.stderr);
    }
}

#[test]
fn a_program_learns_who_its_peer_is() {
    let (_running, at) =
        start(program(&[], &["sh", "-c", "read x; echo $HAUL_PROTO $HAUL_PEER_PORT $HAUL_LOCAL_PORT $PROTO"]));
    let socket = peer(at);
    socket.send(b"x\n").unwrap();
    let expected = format!("udp {} {} UDP\n", socket.local_addr().unwrap().port(), at.port());
    assert_eq!(String::from_utf8(receive(&socket)).unwrap(), expected);
}

#[test]
fn a_program_is_not_served_to_the_world() {
    let ended = haul(["listen", "-u", "0", "--", "cat"]).run();
    assert!(ended.code(7).one_error().contains("anybody who can reach it"));
}
