//! WebSocket between two hauls, in every subcommand: what goes in at one side comes out at the other, and nothing that
//! is said in time is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::pty::Terminal;
use crate::harness::{Input, Listener, Peer, Running, Sink, create, file_with, haul, open, poll_until, scratch};

/// A listener with a WebSocket, on a port of its own.
#[track_caller]
pub fn listening(flags: &[&str]) -> Running {
    listening_with(flags, Input::Null)
}

#[track_caller]
fn listening_with(flags: &[&str], stdin: Input) -> Running {
    let (options, program) = flags.split_at(flags.iter().position(|flag| *flag == "--").unwrap_or(flags.len()));
    let words = [&["listen"], options, &["ws:127.0.0.1:0"], program].concat();
    haul(words).stdin(stdin).spawn()
}

/// Where to connect to a listener.
#[track_caller]
pub fn url(listener: &Running, path: &str) -> String {
    format!("ws://{}{path}", listener.address())
}

// A file goes either way, whatever its size, and both sides end by themselves with status 0.
#[test]
fn a_file_goes_either_way_and_both_sides_end() {
    for size in [0, 1, 125, 126, 65_535, 65_536, (3 << 20) + 7] {
        for sends in [true, false] {
            let home = scratch();
            let content = bytes(size as u64, size);
            let from = file_with(home.path(), "from", &content);
            let to = home.path().join("to");
            let (source, sink) = (|| Input::Fd(open(&from)), || Sink::Fd(create(&to)));
            let (listener, connector) = match sends {
                true => {
                    let listener = haul(["listen", "ws:127.0.0.1:0"]).stdin(Input::Null).stdout(sink()).spawn();
                    let url = url(&listener, "/");
                    (listener, haul(["connect", "-q", "0.1", &url]).stdin(source()).spawn())
                }
                false => {
                    let listener = haul(["listen", "-q", "0.1", "ws:127.0.0.1:0"]).stdin(source()).spawn();
                    let url = url(&listener, "/");
                    (listener, haul(["connect", "-d", &url]).stdout(sink()).spawn())
                }
            };
            connector.wait().ok();
            listener.wait().ok();
            assert_same("payload", &std::fs::read(&to).unwrap(), &content);
        }
    }
}

// The loss of vi/websocat#4: the answer that comes after the end of standard input has to arrive, as long as nothing was
// silent for longer than -q.
#[test]
fn an_answer_within_the_patience_after_the_end_of_input_is_never_lost() {
    let listener = listening(&[
        "--",
        "sh",
        "-c",
        "cat > /dev/null & sleep 0.4; echo one; sleep 0.4; echo two; sleep 0.4; echo three",
    ]);
    let url = url(&listener, "/");
    let started = Instant::now();
    let ended = haul(["connect", &url]).stdin(Input::Bytes(b"question\n".to_vec())).run();
    ended.ok();
    assert_eq!(ended.stdout, b"one\ntwo\nthree\n");
    assert!(started.elapsed() < Duration::from_secs(8));
    listener.wait().ok();
}

// -q is the silence after which the Close goes out; what comes until the answer to it is still printed.
#[test]
fn what_comes_between_our_close_and_the_answer_is_printed() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", "-q", "0.2", &url]).stdin(Input::Bytes(b"x".to_vec())).spawn();
    let mut peer = accept(&listener);
    assert_eq!(unmasked(&mut peer), (0x82, b"x".to_vec()));
    assert_eq!(unmasked(&mut peer), (0x88, vec![3, 0xe8]));
    peer.send(b"\x82\x04late\x88\x02\x03\xe8");
    let ended = connector.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"late");
}

// --no-shutdown leaves the end to the peer, and so does -d.
#[test]
fn without_a_close_of_ours_the_peer_ends_it() {
    for flag in ["--no-shutdown", "-d", "--recv-only"] {
        let listener = Listener::tcp();
        let url = format!("ws://{}/", listener.address());
        let connector = haul(["connect", flag, &url]).stdin(Input::Null).spawn();
        let mut peer = accept(&listener);
        let patience = Instant::now() + Duration::from_millis(2500);
        poll_until("the patience to pass", || (Instant::now() > patience).then_some(()));
        assert!(peer.hears_nothing(), "{flag}: a Close was said");
        peer.send(b"\x82\x03end\x88\x00");
        assert_eq!(unmasked(&mut peer), (0x88, vec![]));
        let ended = connector.wait();
        ended.ok();
        assert_eq!(ended.stdout, b"end");
    }
}

// A peer that never answers a Close holds nobody for more than 5 s, and that is no failure: TCP has acknowledged all.
#[test]
fn a_close_that_is_not_answered_is_waited_for_five_seconds() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", "-q", "0", &url]).stdin(Input::Null).spawn();
    let mut peer = accept(&listener);
    let started = Instant::now();
    assert_eq!(unmasked(&mut peer), (0x88, vec![3, 0xe8]));
    connector.wait().ok();
    assert!((4..8).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

// While the Close is held the silence is ours: -w makes that shorter, and counts from the Close on.
#[test]
fn the_patience_before_a_close_is_no_silence_of_the_peer() {
    for answers in [true, false] {
        let listener = Listener::tcp();
        let url = format!("ws://{}/", listener.address());
        // the exact seconds are tested with a clock of the tests' own
        let limit = if answers { "60" } else { "2" };
        let connector = haul(["connect", "-w", limit, &url]).stdin(Input::Bytes(b"x".to_vec())).spawn();
        let mut peer = accept(&listener);
        assert_eq!(unmasked(&mut peer), (0x82, b"x".to_vec()));
        assert_eq!(unmasked(&mut peer), (0x88, vec![3, 0xe8]));
        if answers {
            peer.send(b"\x82\x04late\x88\x02\x03\xe8");
        }
        let ended = connector.wait();
        ended.code(if answers { 0 } else { 3 });
        assert_eq!(ended.stdout, if answers { &b"late"[..] } else { b"" });
    }
}

// The peer's Close ends a session although standard input is silent: nothing could be sent any more.
#[test]
fn the_close_of_the_peer_ends_it_whatever_standard_input_does() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", &url]).stdin(Input::Piped).spawn();
    let mut peer = accept(&listener);
    peer.send(b"\x82\x03bye\x88\x02\x03\xe9");
    let ended = connector.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"bye");
}

// What cannot be sent any more is no success.
#[test]
fn input_that_the_peer_closes_before_is_a_failure() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", &url]).stdin(Input::Bytes(bytes(1, 40 << 20))).spawn();
    let mut peer = accept(&listener);
    peer.send(b"\x88\x02\x03\xe8");
    peer.receive_all();
    let ended = connector.wait();
    ended.code(1);
    assert!(ended.one_error().contains("has closed the connection"), "{}", ended.one_error());
}

// In text mode a line is a message; at a terminal that goes without saying.
#[test]
fn a_line_is_a_message_in_text_mode_and_at_a_terminal() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", "--text", "-q", "0.1", &url]).stdin(Input::Bytes(b"a\n\nbc".to_vec())).spawn();
    let mut peer = accept(&listener);
    for message in [(0x81, &b"a"[..]), (0x81, b""), (0x01, b"bc"), (0x80, b""), (0x88, b"\x03\xe8")] {
        assert_eq!(unmasked(&mut peer), (message.0, message.1.to_vec()));
    }
    peer.send(b"\x81\x03one\x81\x03two\x88\x02\x03\xe8");
    let ended = connector.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"one\ntwo\n");

    let terminal = Terminal::open();
    let connector = haul(["connect", &url]).stdin(Input::Fd(terminal.side())).spawn();
    let mut peer = accept(&listener);
    terminal.type_in(b"typed\n");
    assert_eq!(unmasked(&mut peer), (0x81, b"typed".to_vec()));
    peer.send(b"\x81\x06answer\x88\x00");
    let ended = connector.wait();
    ended.ok();
    assert_eq!(ended.stdout, b"answer\n");
}

// A program for each client, behind a listener that goes on.
#[test]
fn a_listener_that_goes_on_serves_each_client_with_a_program() {
    let listener = listening(&["-k", "--", "tr", "a-z", "A-Z"]);
    let url = url(&listener, "/any");
    let content = b"a line of text\n".repeat(20_000);
    let clients: Vec<_> =
        (0..4).map(|_| haul(["connect", "-q", "0.3", &url]).stdin(Input::Bytes(content.clone())).spawn()).collect();
    for client in clients {
        let ended = client.wait();
        ended.ok();
        assert_same("payload", &ended.stdout, &content.to_ascii_uppercase());
    }
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

// Every client gets what the listener reads, and the end of it.
#[test]
fn fan_out_reaches_every_client() {
    let flags = ["-k", "--fan-out", "--count", "2", "-q", "0.2", "--banner", "hi"];
    let mut listener = listening_with(&flags, Input::Piped);
    let url = url(&listener, "/");
    let clients: Vec<_> = (0..2).map(|_| haul(["connect", "-d", &url]).spawn()).collect();
    clients.iter().for_each(|client| assert_eq!(client.stdout_reaches(2), b"hi"));
    let content = bytes(3, 300_000);
    listener.feed(content.clone());
    for client in clients {
        let ended = client.wait();
        ended.ok();
        assert_same("payload", &ended.stdout[2..], &content);
    }
    listener.wait().ok();
}

// Clients of a broker hear each other.
#[test]
fn a_broker_passes_messages_between_clients() {
    let listener = listening(&["-k", "--broker", "--banner", "hi"]);
    let url = url(&listener, "/");
    let mut clients: Vec<_> = (0..2).map(|_| haul(["connect", &url]).stdin(Input::Piped).spawn()).collect();
    clients.iter().for_each(|client| assert_eq!(client.stdout_reaches(2), b"hi"));
    clients[0].say(b"one");
    assert_eq!(clients[1].stdout_reaches(5), b"hione");
    clients[1].say(b"two");
    assert_eq!(clients[0].stdout_reaches(5), b"hitwo");
    let leaving = clients.remove(0);
    leaving.signal(Signal::KILL);
    leaving.wait().killed_by(Signal::KILL);
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

// A WebSocket in front of TCP, and TCP in front of a WebSocket: the same bytes both ways through two relays.
#[test]
fn a_relay_joins_websocket_and_tcp_on_either_half() {
    let target = Listener::tcp();
    let inner = haul(["relay", "ws:127.0.0.1:0", &target.endpoint()]).stdin(Input::Null).spawn();
    let outer = haul(["relay", "127.0.0.1:0", &url(&inner, "/db")]).stdin(Input::Null).spawn();
    let mut client = Peer::connect(outer.address());
    let content = bytes(5, 1 << 20);
    let sending = client.send_in_thread(content.clone());
    let mut server = target.accept();
    assert_same("payload", &server.receive(content.len()), &content);
    sending.join().unwrap();
    let sending = server.send_in_thread(content.clone());
    assert_same("payload", &client.receive(content.len()), &content);
    sending.join().unwrap();
    // the end goes through once the other direction has been silent
    client.finish();
    assert_eq!(server.receive_all().0, b"");
    server.finish();
    assert_eq!(client.receive_all().0, b"");
    for relay in [outer, inner] {
        relay.signal(Signal::TERM);
        relay.wait().ok();
    }
}

// A pipe from a WebSocket to a file and from a file to a WebSocket.
#[test]
fn a_pipe_ends_in_a_websocket_or_begins_with_one() {
    let home = scratch();
    let content = bytes(6, 700_001);
    let (from, to) = (file_with(home.path(), "from", &content), home.path().join("to"));
    let file = |path: &Path| format!("file:{}", path.display());
    let sink = haul(["pipe", "ws,listen:127.0.0.1:0", &file(&to)]).stdin(Input::Null).spawn();
    haul(["pipe", &file(&from), &url(&sink, "/")]).stdin(Input::Null).run().ok();
    sink.wait().ok();
    assert_same("payload", &std::fs::read(&to).unwrap(), &content);
}

// -z does the handshake.
#[test]
fn a_test_does_the_handshake() {
    let listener = listening(&["-k", "--path", "/chat", "--", "cat"]);
    let ended = haul(["connect", "-zv", &url(&listener, "/chat")]).stdin(Input::Null).run();
    ended.ok();
    assert!(ended.stdout.starts_with(b"open ws"), "{:?}", ended.stdout);
    let ended = haul(["connect", "-z", &url(&listener, "/other")]).stdin(Input::Null).run();
    ended.code(1);
    assert!(ended.complaints().contains("the peer answered 404 Not Found"), "{}", ended.complaints());
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

// Over a Unix socket, and with receipts on top.
#[test]
fn it_runs_over_a_unix_socket_and_under_receipts() {
    let home = scratch();
    let path = home.path().join("s");
    let endpoint = format!("ws+unix:{}", path.display());
    let content = bytes(7, 500_000);
    let listener = haul(["listen", "-v", "--verify", &endpoint]).stdin(Input::Null).spawn();
    listener.stderr_line("haul: listening on ");
    let ended = haul(["connect", "--verify", &endpoint]).stdin(Input::Bytes(content.clone())).run();
    ended.ok();
    let ended = listener.wait();
    ended.code(0);
    assert_same("payload", &ended.stdout, &content);
}

// Who may come in: the path, the origin, the credentials and the subprotocol, each with the exit status of its refusal.
#[test]
fn a_listener_lets_in_whom_it_wants() {
    let flags = ["-k", "--path", "/chat", "--origin", "https://a.example", "--subprotocol", "x", "--", "cat"];
    let words = [&["listen"], &flags[..7], &["ws:127.0.0.1:0"], &flags[7..]].concat();
    let listener = haul(words).stdin(Input::Null).by(&["env", "HAUL_WS_AUTH=me:secret"]).spawn();
    let good = ["--origin", "https://a.example", "--subprotocol", "y", "--subprotocol", "x"];
    for (path, flags, auth, status, said) in [
        ("/chat", &good[..], "me:secret", 0, ""),
        ("/no", &good[..], "me:secret", 1, "the peer answered 404 Not Found"),
        ("/chat", &good[2..], "me:secret", 6, "the peer answered 403 Forbidden"),
        ("/chat", &good[..], "me:wrong", 6, "the peer answered 401 Unauthorized"),
        ("/chat", &good[..4], "me:secret", 1, "the peer does not speak the subprotocol \"y\""),
    ] {
        let url = url(&listener, path);
        let words = [&["connect", "-q", "0.1"], flags, &[&*url]].concat();
        let auth = format!("HAUL_WS_AUTH={auth}");
        let ended = haul(words).stdin(Input::Bytes(b"hi".to_vec())).by(&["env", &auth]).run();
        ended.code(status);
        match status {
            0 => assert_eq!(ended.stdout, b"hi"),
            _ => assert!(
                ended.one_error().contains(said) && !ended.one_error().contains("secret"),
                "{}",
                ended.one_error()
            ),
        }
    }
    listener.signal(Signal::TERM);
    listener.wait().ok();
}

// A silent peer is pinged, and given up with status 3 when it does not answer.
#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", "-d", "--ping", "0.3", &url]).spawn();
    let mut peer = accept(&listener);
    for _ in 0..2 {
        assert_eq!(unmasked(&mut peer), (0x89, vec![]));
        peer.send(b"\x8a\x00");
    }
    assert_eq!(unmasked(&mut peer), (0x89, vec![]));
    let ended = connector.wait();
    ended.code(3);
    assert!(ended.one_error().ends_with("the peer did not answer a ping within 300ms"), "{}", ended.one_error());
}

// Flags of WebSocket without one are told to change nothing.
#[test]
fn flags_without_a_websocket_are_told() {
    let listener = Listener::tcp();
    for flags in [
        &["--text"][..],
        &["-H", "A: b"],
        &["--subprotocol", "x"],
        &["--origin", "null"],
        &["--path", "/x"],
        &["--ping", "1"],
    ] {
        let endpoint = listener.endpoint();
        let connector = haul([&["connect", "-v"], flags, &[&*endpoint]].concat()).stdin(Input::Null).spawn();
        listener.accept().finish();
        let ended = connector.wait();
        ended.code(0);
        assert!(ended.complaints().contains("changes nothing for"), "{flags:?}: {}", ended.complaints());
    }
    // of a header only the name is told: it may hold a secret
    let plan = haul(["connect", "--explain", "-H", "Authorization: Bearer x1y2", "ws://127.0.0.1:1/"]).run();
    let text = String::from_utf8_lossy(&plan.code(0).stdout);
    assert!(text.contains("Authorization%3A ***") && !text.contains("x1y2"), "{text}");
    let bad = haul(["connect", "-H", "A: b\r\nC: d", "ws://127.0.0.1:1/"]).stdin(Input::Null).run();
    bad.code(2);
    let half = haul(["connect", "-H", "A", "ws://127.0.0.1:1/"]).stdin(Input::Null).run();
    assert!(half.code(2).complaints().ends_with("\n  try: -H 'A: VALUE'\n"), "{}", half.complaints());
    let both = haul(["connect", "--text", "--binary", "ws://127.0.0.1:1/"]).stdin(Input::Null).run();
    both.code(2);
}

/// Accepts a client and does the server's part of the handshake.
#[track_caller]
pub fn accept(listener: &Listener) -> Peer {
    let mut peer = listener.accept();
    let request = head(&mut peer);
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
    peer.send(answer(key).as_bytes());
    peer
}

/// A good answer to this key.
pub fn answer(key: &str) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = data_encoding::BASE64.encode(&sha1.digest().bytes());
    format!("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
}

/// Everything up to the empty line.
#[track_caller]
pub fn head(peer: &mut Peer) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.extend(peer.receive(1));
    }
    String::from_utf8(bytes).unwrap()
}

/// The next frame of a client: its first byte and its payload, unmasked.
#[track_caller]
pub fn unmasked(peer: &mut Peer) -> (u8, Vec<u8>) {
    let start = peer.receive(2);
    assert!(start[1] & 0x80 != 0, "a client masks");
    let length = match start[1] & 0x7f {
        126 => u16::from_be_bytes(peer.receive(2).try_into().unwrap()) as usize,
        127 => u64::from_be_bytes(peer.receive(8).try_into().unwrap()) as usize,
        short => short as usize,
    };
    let key = peer.receive(4);
    let payload = peer.receive(length);
    (start[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

// TLS below, with its pin; and the line that tells the pin can be used as it is.
#[test]
fn over_tls_the_line_with_the_pin_is_all_that_is_needed() {
    let content = bytes(8, 300_000);
    let listener = haul(["listen", "-d", "wss:127.0.0.1:0"]).spawn();
    let line = listener.stderr_line("haul: certificate made for this run: haul ");
    let words: Vec<_> = line.split(" haul ").nth(1).unwrap().split(' ').chain(["-q", "0.1"]).collect();
    haul(words).stdin(Input::Bytes(content.clone())).run().ok();
    let ended = listener.wait();
    ended.code(0);
    assert_same("payload", &ended.stdout, &content);

    let listener = haul(["listen", "-k", "wss:127.0.0.1:0", "--", "cat"]).spawn();
    let url = format!("wss://{}/", listener.address());
    let stranger = haul(["connect", &url]).stdin(Input::Null).run();
    stranger.code(6);
    let trusting =
        haul(["connect", "--quiet", "-q", "0.2", "--insecure", &url]).stdin(Input::Bytes(content.clone())).run();
    trusting.ok();
    assert_same("payload", &trusting.stdout, &content);
    listener.signal(Signal::TERM);
    listener.wait().code(0);
}
