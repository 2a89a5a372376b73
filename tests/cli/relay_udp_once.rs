//! `relay` for datagrams: the one place of `--once`, and what becomes of the relay where a listener is of no use.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::proc::state;
use crate::harness::{DEADLINE, Listener, Peer, haul, poll_until, require, scratch};
use crate::listen_udp::{address, peer, receive};
use crate::relay_udp::{Responder, between, heard, target};

// A client for whom no target could be had has not begun the one session: the next one may.
#[test]
fn who_was_not_served_does_not_use_up_the_one_place() {
    let (there, to) = target();
    let (relay, at) = between(&["--once", "--flow-idle", "300ms"], &[to]);
    there.send_to(b"x", at).unwrap();
    relay.stderr_line(&format!("haul: refused {to}: that is its target"));
    peer(at).send(b"question").unwrap();
    assert_eq!(heard(&there).0, b"question");
    relay.wait().code(0);
}

// While a flow of datagrams has the one place, whoever connects is cut off at once: nobody hangs.
#[test]
fn no_stream_waits_for_a_place_that_a_flow_has() {
    let (responder, stream) = (Responder::new(), Listener::tcp());
    let words = ["relay", "-v", "--once", "127.0.0.1:0"].map(String::from).into_iter();
    let words = words.chain([stream.endpoint(), "udp:127.0.0.1:0".into(), format!("udp:{}", responder.at)]);
    let relay = haul(words).spawn();
    let (tcp, udp) = (relay.address(), address(&relay));
    let client = peer(udp);
    client.send(b"x").unwrap();
    assert_eq!(receive(&client), b"re:x");
    relay.freeze();
    let waiting: Vec<Peer> = (0..5).map(|_| Peer::connect(tcp)).collect();
    relay.thaw();
    for mut peer in waiting {
        peer.receive_all();
    }
    poll_until("the listener's end", || TcpStream::connect(tcp).is_err().then_some(()));
    client.send(b"y").unwrap();
    assert_eq!(receive(&client), b"re:y");
    relay.signal(Signal::TERM);
    relay.wait().code(0);
}

// A listener that cannot be watched is of no use, and the relay says so instead of ending as if it had been asked to.
#[test]
fn a_listener_that_cannot_be_started_is_a_failure() {
    let Some(strace) = require("strace") else { return };
    let home = scratch();
    let log = home.path().join("log");
    // the first registration is the loop's own
    let inject = "inject=epoll_ctl:error=ENOSPC:when=2";
    let words = [strace.to_str().unwrap(), "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=epoll_ctl", "-e"];
    let words: Vec<&str> = words.into_iter().chain([inject]).collect();
    let ended = haul(["relay", "udp:127.0.0.1:0", "udp:127.0.0.1:9"]).under(&words).run();
    assert!(std::fs::read_to_string(&log).unwrap().contains("(INJECTED)"));
    ended.code(2);
    assert!(ended.one_error().starts_with("haul: cannot open the event loop: "), "{}", ended.stderr);
}

// What the clients' socket had no room for a moment ago, and has now: the answers behind it go on at once, although
// their target has said everything, and nothing that it or the client does would wake anybody.
#[test]
fn answers_that_found_no_room_for_a_moment_all_arrive() {
    const COUNT: u8 = 7;
    // so many fill what haul keeps, before the last has come
    let answer = |number: u8| vec![number; 45_000];
    let Some(strace) = require("strace") else { return };
    let home = scratch();
    let path = |name: &str| home.path().join(name);
    let (outer, inner, log) = (path("outer"), path("inner"), path("log"));
    let there = UnixDatagram::bind(&inner).unwrap();
    let client = UnixDatagram::bind(path("client")).unwrap();
    for socket in [&there, &client] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket2::SockRef::from(socket).set_send_buffer_size(1 << 20).unwrap();
    }
    // the first call passes the question on
    let inject = "inject=sendmmsg,sendmsg:error=EAGAIN:when=2";
    let words =
        [strace.to_str().unwrap(), "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=sendmmsg,sendmsg", "-e"];
    let words: Vec<&str> = words.into_iter().chain([inject]).collect();
    let ends = [format!("unix,dgram,sndbuf=1M:{}", outer.display()), format!("unix,dgram:{}", inner.display())];
    let relay = haul(["relay", "-v"].map(String::from).into_iter().chain(ends)).under(&words).spawn();
    relay.stderr_line("haul: listening on unix-dgram ");
    client.send_to(b"question", &outer).unwrap();
    let (_, from) = there.recv_from(&mut [0; 10]).unwrap();
    // stopped itself, not at its next call: then one event tells of all answers, and no other follows
    let haul = std::fs::read_to_string(&log).unwrap();
    let haul = Pid::from_raw(haul.split(' ').next().unwrap().parse().unwrap()).unwrap();
    kill_process(haul, Signal::STOP).unwrap();
    poll_until("haul to stop", || "Tt".contains(state(haul)).then_some(()));
    for number in 0..COUNT {
        socket2::SockRef::from(&there).send_to(&answer(number), &socket_name(&from)).unwrap();
    }
    kill_process(haul, Signal::CONT).unwrap();
    // the question, what found no room, the same again, and the rest, before the client has read anything
    let calls = || std::fs::read_to_string(&log).unwrap().matches(" sendm").count();
    poll_until("all answers to be passed on", || (calls() >= 4).then_some(()));
    let mut buffer = vec![0; 50_000];
    for number in 0..COUNT {
        let count = client.recv(&mut buffer).unwrap_or_else(|error| panic!("answer {number}: {error}"));
        assert!(buffer[..count] == answer(number), "answer {number}");
    }
    assert!(std::fs::read_to_string(&log).unwrap().contains("(INJECTED)"));
}

/// A Unix socket's name as an address to send to.
fn socket_name(from: &std::os::unix::net::SocketAddr) -> socket2::SockAddr {
    match from.as_pathname() {
        Some(path) => socket2::SockAddr::unix(path).unwrap(),
        None => crate::relay_udp_peers::rustix_name(from),
    }
}
