//! What a WebSocket peer gets wrong: one escaped line, the right status, bounded memory, and a listener that goes on.

use rustix::process::Signal;

use crate::harness::{Ending, Input, Listener, Peer, Running, haul, proc};
use crate::websocket::{accept, answer, head, listening, url};

/// The line and the status of a client whose server says this after its request; KEY becomes the right answer.
#[track_caller]
fn told(say: impl Fn(&str) -> Vec<u8>, status: i32) -> String {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", &url]).stdin(Input::Piped).spawn();
    let mut peer = listener.accept();
    let request = head(&mut peer);
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
    peer.send(&say(key));
    peer.finish();
    let ended = connector.wait();
    ended.code(status);
    ended.one_error()
}

// A server that refuses, or is none: one line, without what could hurt a terminal.
#[test]
fn a_bad_answer_is_one_line_and_its_status() {
    let plain = |text: &'static str| move |_: &str| text.as_bytes().to_vec();
    for (text, status, why) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 6, "the peer answered 403 Forbidden"),
        ("HTTP/1.1 401 Who\r\n\r\n", 6, "the peer answered 401 Who"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", 1, "the peer answered 404 Not Found"),
        ("HTTP/1.1 302 Found\r\nLocation: /\x1b[2J\r\n\r\n", 1, "the peer's answer is malformed"),
        ("SSH-2.0-\x1b[31mx\r\n", 1, "the peer speaks no HTTP: it said \"SSH-2.0-\\x1b[31mx\""),
        ("", 1, "the peer ended without an answer"),
        ("HTTP/1.1 101 Yes\r\n", 1, "the peer ended within its answer"),
        (
            "HTTP/1.1 101 Y\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            1,
            "the peer's answer is not for this request: Sec-WebSocket-Accept is wrong",
        ),
    ] {
        let line = told(plain(text), status);
        assert!(line.starts_with("haul: cannot connect to ws:127.0.0.1:"), "{line}");
        assert!(line.ends_with(why), "{line}");
    }
}

// Frames that break the protocol: what came before them is written, then one line says what they were.
#[test]
fn bad_frames_of_a_server_are_told_after_what_came_before() {
    for (frames, why) in [
        (&b"\x82\x81abcdx"[..], "a frame of a server that is masked"),
        (b"\xf2\x01x", "a reserved bit is set"),
        (b"\x83\x00", "an unknown kind of frame"),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", "a length of 2^63 or more"),
        (b"\x81\x01\xff", "text that is no UTF-8"),
    ] {
        let line = told(|key| [answer(key).as_bytes(), b"\x82\x02ok", frames].concat(), 1);
        assert!(line.ends_with(&format!("the peer broke the protocol of WebSocket: {why}")), "{line}");
    }
    let line = told(|key| [answer(key).as_bytes(), b"\x88\x07\x03\xf3bad\x1b!"].concat(), 1);
    assert!(line.ends_with("the peer closed the WebSocket with code 1011 (internal error): \"bad\\x1b!\""), "{line}");
    let line = told(|key| [answer(key).as_bytes(), b"\x82\x02ok"].concat(), 1);
    assert!(line.ends_with("stream cut short: the peer ended without closing the WebSocket"), "{line}");
}

// A reset is told as one, also where it is a write that hears of it first, and not as an end without a Close.
#[test]
fn a_reset_while_something_is_sent_is_told_as_one() {
    for _ in 0..5 {
        let listener = Listener::tcp();
        let url = format!("ws://{}/", listener.address());
        let connector = haul(["connect", &url]).stdin(Input::Bytes(vec![7; 20 << 20])).spawn();
        let mut peer = accept(&listener);
        peer.receive(1);
        peer.reset();
        let ended = connector.wait();
        ended.code(1);
        assert!(ended.one_error().ends_with(" reset the connection"), "{}", ended.one_error());
    }
}

// A message of 2^63 - 1 bytes is streamed like any other: what comes is written, and nothing is kept.
#[test]
fn the_longest_message_is_streamed_without_being_kept() {
    let listener = Listener::tcp();
    let url = format!("ws://{}/", listener.address());
    let connector = haul(["connect", "-d", "--max-bytes", "50M", &url]).stdout(crate::harness::Sink::Null).spawn();
    let mut peer = accept(&listener);
    peer.send(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff");
    let sent = peer.send_in_thread(vec![7; 60_000_000]);
    proc::poll_until("it to end", || (proc::state(connector.pid()) == 'Z').then_some(())); // still there to be asked
    sent.join().unwrap();
    connector.wait().ok();
}

// A header that never ends is refused at 64 KiB, and the memory stays what it was.
#[test]
fn a_header_without_end_is_refused_with_bounded_memory() {
    let listener = listening(&["-k", "-v", "--", "cat"]);
    let mut peer = Peer::connect(listener.address());
    peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nX: ");
    peer.send(&vec![b'x'; 70_000]);
    let (said, _) = peer.receive_all();
    // the reset of a connection with unread bytes may have taken the answer away
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431 "), "{:?}", String::from_utf8_lossy(&said));
    listener.stderr_line_where(|line| line.contains("its header has more than 64 KiB"));
    assert!(proc::peak_memory(listener.pid()) < 32 << 20);
    serves_still(listener);
}

// Whatever a client does wrong, the next one is served.
#[test]
fn a_listener_survives_every_bad_client() {
    let listener = listening(&["-k", "-v", "--path", "/chat", "--", "cat"]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "426"),
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", "426"),
        ("\x16\x03\x01\x00", "400"),
        (
            "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
            "400",
        ),
        (
            "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 7\r\n\r\n",
            "426",
        ),
        (&ask("/nope"), "404"),
    ] {
        let mut peer = Peer::connect(listener.address());
        peer.send(request.as_bytes());
        let (said, ending) = peer.receive_all();
        assert!(said.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{:?}", String::from_utf8_lossy(&said));
        assert_eq!(ending, Ending::Eof);
    }
    // a client that breaks the protocol is told with which code
    let mut peer = Peer::connect(listener.address());
    peer.send(ask("/chat").as_bytes());
    assert!(head(&mut peer).starts_with("HTTP/1.1 101 "));
    peer.send(b"\x82\x01x");
    assert_eq!(peer.receive(4)[..1], [0x88]);
    drop(peer);
    // and one that goes within the handshake is forgotten
    let peer = Peer::connect(listener.address());
    peer.reset();
    serves_still(listener);
}

/// A good request.
pub fn ask(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[track_caller]
fn serves_still(listener: Running) {
    let ended = haul(["connect", "-q", "0.1", &url(&listener, "/chat")]).stdin(Input::Bytes(b"still".to_vec())).run();
    ended.ok();
    assert_eq!(ended.stdout, b"still");
    listener.signal(Signal::TERM);
    listener.wait().code(0);
}
