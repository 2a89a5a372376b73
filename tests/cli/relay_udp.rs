//! `relay` for datagrams: each client has a flow of its own, gets its own answers, and is forgotten in time.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{DEADLINE, Running, haul, poll_until, proc, scratch};
use crate::listen_udp::{address, peer, receive};

/// A relay from a free port to these targets, and where it listens.
#[track_caller]
pub fn between(flags: &[&str], targets: &[SocketAddr]) -> (Running, SocketAddr) {
    let mut words: Vec<String> = ["relay", "-v"].map(String::from).to_vec();
    words.extend(flags.iter().map(ToString::to_string));
    words.push("udp:127.0.0.1:0".into());
    for (index, target) in targets.iter().enumerate() {
        if index > 0 {
            words.push("--target".into());
        }
        words.push(format!("udp:{target}"));
    }
    let running = haul(words).spawn();
    let at = address(&running);
    (running, at)
}

/// A target whose sender can be seen.
pub fn target() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

#[track_caller]
pub fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 70_000];
    let (count, from) = socket.recv_from(&mut buffer).unwrap_or_else(|error| panic!("nothing came: {error}"));
    buffer.truncate(count);
    (buffer, from)
}

/// A target that answers each datagram with `re:` in front of it, until it is dropped.
pub struct Responder {
    pub at: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub fn new() -> Self {
        let (socket, at) = target();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 70_000];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                if ends.load(Relaxed) {
                    return;
                }
                let _ = socket.send_to(&[b"re:", &buffer[..count]].concat(), from);
            }
        });
        Responder { at, over, thread: Some(thread) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.at));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends and waits for the answer.
#[track_caller]
fn echoes(client: &UdpSocket, text: &[u8]) {
    client.send(text).unwrap();
    assert_eq!(receive(client), [b"re:", text].concat());
}

/// An address where nobody listens, as long as the socket is kept (it is bound to another address).
fn refusing() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn silent(client: &UdpSocket) {
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = client.recv(&mut [0; 100]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    client.set_read_timeout(Some(DEADLINE)).unwrap();
}

#[track_caller]
fn stop(relay: Running) -> String {
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    ended.code(0);
    ended.stderr.clone()
}

// Many clients of a responder at once, as behind a name server: to each its own answers, whichever thread has it.
#[test]
fn sixty_four_clients_each_get_their_own_answers() {
    for flags in [&[][..], &["--threads", "3"]] {
        let responder = Responder::new();
        let (relay, at) = between(flags, &[responder.at]);
        let clients: Vec<_> = (0..64u32)
            .map(|number| {
                thread::spawn(move || {
                    let client = peer(at);
                    for round in 0..50u32 {
                        echoes(&client, format!("{number}/{round}").as_bytes());
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let told = stop(relay);
        assert!(told.contains("session 64: "), "{told}");
    }
}

#[test]
fn datagrams_of_any_length_pass_whole_both_ways_and_an_empty_one_is_data() {
    let (there, to) = target();
    let (relay, at) = between(&[], &[to]);
    let client = peer(at);
    for (number, length) in [0usize, 1, 1472, 1473, 65_507, 0].into_iter().enumerate() {
        let payload = vec![number as u8; length];
        client.send(&payload).unwrap();
        let (got, from) = heard(&there);
        assert!(got == payload, "{length} bytes up");
        there.send_to(&payload, from).unwrap();
        assert!(receive(&client) == payload, "{length} bytes down");
    }
    stop(relay);
}

// What comes as one piece of many datagrams goes on with the same bounds.
#[test]
fn a_burst_keeps_its_bounds() {
    let listener = haul(["listen", "-u", "--seq", "--stats", "-W", "2000", "127.0.0.1:0"]).spawn();
    let (relay, at) = between(&[], &[address(&listener)]);
    let sent =
        haul(["send-udp", "--quiet", "--seq", "--count", "2000", "--pps", "20000", "-w", "0", &at.to_string(), "x"]);
    sent.run().ok();
    let ended = listener.wait();
    ended.code(0);
    let told = "sent 2000, received 2000, lost 0 (0.00 %), reordered 0, duplicated 0";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    stop(relay);
}

// A silent client is forgotten: its socket is closed, a line says so, and when it comes again it is a new one.
#[test]
fn a_silent_flow_expires() {
    let (there, to) = target();
    let (relay, at) = between(&["--flow-idle", "300ms", "--log", "-"], &[to]);
    let before = proc::open_descriptors(relay.pid());
    let client = peer(at);
    client.send(b"one").unwrap();
    let (_, first) = heard(&there);
    client.send(b"two").unwrap();
    assert_eq!(heard(&there).1, first, "the same flow");
    let line = relay.stderr_line("haul: session 1: closed");
    assert!(line.ends_with("received 6 B, sent 0 B: silent for too long"), "{line}");
    assert_eq!(proc::open_descriptors(relay.pid()), before);
    client.send(b"again").unwrap();
    assert_ne!(heard(&there).1, first);
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    ended.code(0);
    let text = String::from_utf8(ended.stdout.clone()).unwrap();
    let words: Vec<&str> = text.lines().next().unwrap().splitn(7, ' ').collect();
    let local = client.local_addr().unwrap().to_string();
    assert_eq!(words[1..5], [&*local, &*to.to_string(), "6", "0"]);
    assert_eq!(words[6], "silent for too long");
    assert_eq!(text.lines().count(), 2);
}

// Answers keep a flow as well.
#[test]
fn answers_alone_keep_a_flow() {
    let (there, to) = target();
    let (relay, at) = between(&["--flow-idle", "600ms"], &[to]);
    let client = peer(at);
    client.send(b"subscribe").unwrap();
    let (_, from) = heard(&there);
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        there.send_to(b"news", from).unwrap();
        assert_eq!(receive(&client), b"news");
        // from one piece of news to the next
        let _ = client.set_read_timeout(Some(Duration::from_millis(100))).and_then(|()| client.recv(&mut [0; 9]));
        client.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    drop(relay);
}

// -m and --max-per-ip: a newcomer beyond them is not served until somebody has gone; who is there is not disturbed.
#[test]
fn at_the_cap_newcomers_are_dropped_and_counted() {
    for flags in [&["-m", "2"][..], &["--max-per-ip", "2"], &["-m", "2", "--threads", "2"]] {
        let responder = Responder::new();
        let (relay, at) = between(&[flags, &["--flow-idle", "1s"]].concat(), &[responder.at]);
        let clients = [peer(at), peer(at), peer(at)];
        echoes(&clients[0], b"a");
        echoes(&clients[1], b"b");
        clients[2].send(b"c").unwrap();
        silent(&clients[2]);
        echoes(&clients[0], b"a");
        poll_until("a place to be free", || {
            clients[2].send(b"c").unwrap();
            clients[2].set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            clients[2].recv(&mut [0; 10]).ok()
        });
        let told = stop(relay);
        assert!(told.contains("from too many peers"), "{told}");
    }
}

// A refusal is one flow's: others go on, the same flow goes on once somebody listens, and it is told once.
#[test]
fn a_refusal_ends_no_flow() {
    let nobody = refusing();
    let (relay, at) = between(&[], &[nobody]);
    let clients = [peer(at), peer(at)];
    for _ in 0..5 {
        clients[0].send(b"x").unwrap();
        clients[1].send(b"x").unwrap();
        proc::wait_until_idle(relay.pid());
    }
    let there = UdpSocket::bind(nobody).unwrap();
    there.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut from = HashSet::new();
    for client in &clients {
        client.send(b"now").unwrap();
        let (got, sender) = heard(&there);
        assert_eq!(got, b"now");
        there.send_to(b"yes", sender).unwrap();
        assert_eq!(receive(client), b"yes");
        from.insert(sender);
    }
    assert_eq!(from.len(), 2);
    let told = stop(relay);
    let refusals = told.lines().filter(|line| line.ends_with(&format!("cannot reach {nobody}: connection refused")));
    assert_eq!(refusals.count(), 2, "{told}");
    assert_eq!(told.matches(": closed after").count(), 2, "{told}");
}

// Where one target refuses, the next datagram of that client goes to another, and later clients go there at once.
#[test]
fn a_target_that_refuses_is_followed_by_the_next() {
    let responder = Responder::new();
    for flags in [&[][..], &["--balance", "rr"]] {
        let (relay, at) = between(flags, &[refusing(), responder.at]);
        let client = peer(at);
        poll_until("the other target to answer", || {
            client.send(b"x").unwrap();
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            client.recv(&mut [0; 10]).ok()
        });
        for _ in 0..3 {
            echoes(&peer(at), b"y");
        }
        stop(relay);
    }
}

#[test]
fn targets_are_balanced() {
    for (how, expected) in [("rr", [2, 2]), ("least", [2, 2]), ("first", [4, 0])] {
        let ((a, at_a), (b, at_b)) = (target(), target());
        let (relay, at) = between(&["--balance", how], &[at_a, at_b]);
        let clients: Vec<_> = (0..4).map(|_| peer(at)).collect();
        clients.iter().for_each(|client| {
            client.send(b"x").unwrap();
        });
        let heard_by = |socket: &UdpSocket, count: usize| {
            (0..count).for_each(|_| {
                heard(socket);
            });
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0]).is_err(), "{how}: more than {count}");
        };
        heard_by(&a, expected[0]);
        heard_by(&b, expected[1]);
        stop(relay);
    }
}

// --allow, read again at SIGHUP: also for who is there already.
#[test]
fn lists_decide_whose_datagrams_pass() {
    let home = scratch();
    let list = home.path().join("allowed");
    std::fs::write(&list, "127.0.0.1\n").unwrap();
    for threads in ["1", "2"] {
        std::fs::write(&list, "127.0.0.1\n").unwrap();
        let responder = Responder::new();
        let allow = format!("@{}", list.display());
        let (relay, at) = between(&["--allow", &allow, "--threads", threads], &[responder.at]);
        let client = peer(at);
        echoes(&client, b"x");
        let stranger = UdpSocket::bind("127.0.0.9:0").unwrap();
        stranger.connect(at).unwrap();
        stranger.send(b"x").unwrap();
        silent(&stranger);
        std::fs::write(&list, "127.0.0.9\n").unwrap();
        relay.signal(Signal::HUP);
        proc::wait_until_idle(relay.pid());
        client.send(b"x").unwrap();
        silent(&client);
        echoes(&stranger, b"y");
        let told = stop(relay);
        assert!(told.contains("2 not allowed"), "{told}");
    }
}

// SIGTERM: a flow to which an answer is owed has its grace, others end at once, newcomers are not served.
#[test]
fn a_signal_waits_for_answers_that_are_owed() {
    let (there, to) = target();
    let (relay, at) = between(&["--grace", "1h"], &[to]);
    let (idle, busy) = (peer(at), peer(at));
    idle.send(b"1").unwrap();
    let (_, from) = heard(&there);
    there.send_to(b"1", from).unwrap();
    receive(&idle);
    busy.send(b"2").unwrap();
    let (_, from) = heard(&there);
    relay.signal(Signal::TERM);
    relay.stderr_line("haul: session 1: closed");
    there.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&busy), b"answer");
    relay.wait().code(0);

    let (relay, at) = between(&["--grace", "100ms"], &[to]);
    peer(at).send(b"3").unwrap();
    heard(&there);
    relay.signal(Signal::TERM);
    relay.wait().code(0);

    for threads in ["1", "2"] {
        let (relay, at) = between(&["--grace", "1h", "--threads", threads], &[to]);
        peer(at).send(b"4").unwrap();
        heard(&there);
        relay.signal(Signal::TERM);
        proc::wait_until_idle(relay.pid());
        relay.signal(Signal::TERM);
        relay.wait().code(0);
    }
}

// A flood of datagrams does not keep haul from ending.
#[test]
fn a_signal_ends_it_under_a_flood() {
    let responder = Responder::new();
    let (relay, at) = between(&["--grace", "1h"], &[responder.at]);
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let (client, begun) = (peer(at), std::sync::mpsc::channel());
    let flood = thread::spawn(move || {
        while !ends.load(Relaxed) {
            let _ = client.send(&[1; 500]);
            let _ = begun.0.send(());
        }
    });
    begun.1.recv().unwrap();
    relay.stderr_line("haul: accepted udp ");
    relay.signal(Signal::TERM);
    // what it has passed on and was not answered, for it was too much, is owed: that is what the grace is for
    proc::poll_until("the door to be closed to the flood", || {
        let client = peer(at);
        client.send(b"x").ok()?;
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        client.recv(&mut [0; 10]).is_err().then_some(())
    });
    relay.signal(Signal::TERM);
    relay.wait().code(0);
    over.store(true, Relaxed);
    flood.join().unwrap();
}

// Whoever says that it is the target, or the relay itself, would have answers go round without end.
#[test]
fn a_client_that_is_its_own_target_is_refused() {
    let (there, to) = target();
    let (relay, at) = between(&[], &[to]);
    there.send_to(b"x", at).unwrap();
    relay.stderr_line(&format!("haul: refused {to}: that is its target"));
    there.set_nonblocking(true).unwrap();
    assert!(there.recv(&mut [0; 10]).is_err());
    assert!(stop(relay).contains("1 not allowed"));
}

// --once: the first client alone; haul ends when it has been silent.
#[test]
fn once_is_one_flow() {
    let responder = Responder::new();
    for threads in ["1", "2"] {
        let (relay, at) = between(&["--once", "--flow-idle", "500ms", "--threads", threads], &[responder.at]);
        let (first, second) = (peer(at), peer(at));
        echoes(&first, b"x");
        second.send(b"y").unwrap();
        silent(&second);
        relay.wait().code(0);
    }

    // a limit on silence is one here, too
    let (relay, at) = between(&["--once", "-w", "300ms"], &[responder.at]);
    echoes(&peer(at), b"x");
    let ended = relay.wait();
    assert!(ended.code(3).stderr.contains("no datagram moved for 300ms"), "{}", ended.stderr);
}

// A relay for streams and one for datagrams in the same process, with totals of each.
#[test]
fn streams_and_datagrams_are_relayed_by_one_process() {
    let (responder, stream) = (Responder::new(), crate::harness::Listener::tcp());
    let words =
        ["127.0.0.1:0".to_string(), stream.endpoint(), "udp:127.0.0.1:0".into(), format!("udp:{}", responder.at)];
    let relay = haul(["relay".to_string()].into_iter().chain(words)).spawn();
    let (tcp, udp) = (relay.address(), address(&relay));
    echoes(&peer(udp), b"x");
    let mut client = crate::harness::Peer::connect(tcp);
    crate::relay::echoes(&mut client, &mut stream.accept());
    relay.signal(Signal::USR1);
    relay.stderr_line("haul: received 4 B, sent 4 B in ");
    relay.stderr_line("haul: received 1 datagram, 1 B, sent 1 datagram, 4 B in ");
    stop(relay);
}

// -L and --limit-total: what comes faster is dropped and counted, as by a link that is full.
#[test]
fn a_rate_drops_what_is_beyond_it() {
    for flag in ["-L", "--limit-total"] {
        let (there, to) = target();
        let (relay, at) = between(&[flag, "100k"], &[to]);
        let client = peer(at);
        let began = Instant::now();
        for _ in 0..1000 {
            client.send(&[7; 1000]).unwrap();
        }
        proc::wait_until_idle(relay.pid());
        let took = began.elapsed().as_secs_f64();
        there.set_nonblocking(true).unwrap();
        let passed = std::iter::from_fn(|| there.recv(&mut [0; 2000]).ok()).count() as f64;
        assert!(passed >= 10.0 && passed <= 12.0 + 100.0 * took, "{flag}: {passed} in {took} s");
        let told = stop(relay);
        assert!(told.contains("beyond the rate"), "{told}");
    }
}

// -o DIR --hex: a dump of each flow and direction.
#[test]
fn copies_go_to_a_file_for_each_flow_and_direction() {
    let home = scratch();
    let directory = home.path().display().to_string();
    let responder = Responder::new();
    let (relay, at) = between(&["-o", &directory, "--hex"], &[responder.at]);
    let client = peer(at);
    echoes(&client, b"ping");
    echoes(&client, b"pong");
    stop(relay);
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    let (up, down) = (read("1.up.hex"), read("1.down.hex"));
    assert!(up.starts_with("< 00000000  70 69 6e 67") && up.contains("< 00000004  70 6f 6e 67"), "{up}");
    assert!(down.starts_with("> 00000000  72 65 3a 70 69 6e 67"), "{down}");
}

#[test]
fn events_tell_of_each_flow() {
    let home = scratch();
    let events = home.path().join("events");
    let responder = Responder::new();
    let (relay, at) = between(&["--events", &events.display().to_string()], &[responder.at]);
    echoes(&peer(at), b"x");
    stop(relay);
    let text = std::fs::read_to_string(events).unwrap();
    let told: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["listening", "accepted", "connected", "closed", "stats"]);
    assert_eq!((&told[4]["datagrams_in"], &told[4]["bytes_out"]), (&1.into(), &4.into()));
}

// A name: nobody is lost while it is looked up; one that is not found costs its datagrams, a line, and no more.
#[test]
fn a_target_may_have_a_name() {
    let responder = Responder::new();
    let name = format!("udp:localhost:{}", responder.at.port());
    let relay = haul(["relay", "--resolve-every", "50ms", "udp:127.0.0.1:0", &name]).spawn();
    let at = address(&relay);
    (0..3).for_each(|_| echoes(&peer(at), b"x"));
    stop(relay);

    let relay = haul(["relay", "udp:127.0.0.1:0", "udp:nonexistent.invalid:1"]).spawn();
    let at = address(&relay);
    relay.stderr_line("haul: cannot connect to nonexistent.invalid:1: name not found");
    peer(at).send(b"x").unwrap();
    relay.stderr_line("haul: cannot connect to nonexistent.invalid:1: its name was not found");
    stop(relay);
}

// Running out of descriptors loses datagrams of newcomers and nothing else.
#[test]
fn without_descriptors_newcomers_wait_and_nothing_spins() {
    let responder = Responder::new();
    let target = format!("udp:{}", responder.at);
    let relay = haul(["relay", "-v", "-m", "1000", "--flow-idle", "2s", "udp:127.0.0.1:0", &target]);
    let relay = relay.after("ulimit -n 24").spawn();
    let at = address(&relay);
    let clients: Vec<_> = (0..40).map(|_| peer(at)).collect();
    echoes(&clients[0], b"x");
    clients.iter().for_each(|client| {
        client.send(b"y").unwrap();
    });
    assert_eq!(receive(&clients[0]), b"re:y");
    echoes(&clients[0], b"z");
    proc::wait_until_idle(relay.pid());
    poll_until("a place for the last", || {
        clients[39].send(b"y").unwrap();
        clients[39].set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        clients[39].recv(&mut [0; 10]).ok()
    });
    stop(relay);
}

// Sockets of flows go with them.
#[test]
fn two_thousand_flows_leave_nothing_behind() {
    let responder = Responder::new();
    let (relay, at) = between(&["--flow-idle", "1s"], &[responder.at]);
    let before = proc::open_descriptors(relay.pid());
    for _ in 0..2000 {
        echoes(&peer(at), b"x");
    }
    poll_until("the flows to expire", || (proc::open_descriptors(relay.pid()) <= before).then_some(()));
    stop(relay);
}

// What makes no sense is refused before anything is bound, with what to do instead.
#[test]
fn what_makes_no_sense_is_refused() {
    for (words, line) in [
        (
            &["udp:127.0.0.1:0", "tcp:127.0.0.1:9"][..],
            "cannot listen on udp:127.0.0.1:0: in tcp:127.0.0.1:9 the bounds of datagrams would be lost",
        ),
        (&["127.0.0.1:0", "udp:127.0.0.1:9"], "takes datagrams, and a stream has no bounds to make them of"),
        (&["udp:127.0.0.1:0", "tls:localhost:9"], "in tls:localhost:9 the bounds of datagrams would be lost"),
        (&["udp:127.0.0.1:0", "file:x"], "in file:x the bounds of datagrams would be lost"),
        (&["--proxy-send", "v2", "udp:127.0.0.1:0", "udp:127.0.0.1:9"], "cannot use --proxy-send with udp:127.0.0.1:0"),
        (&["--chop", "1", "udp:127.0.0.1:0", "udp:127.0.0.1:9"], "cannot use --chop with datagrams"),
        (&["--flow-idle", "1", "127.0.0.1:0", "127.0.0.1:9"], "cannot use --flow-idle with connections alone"),
        (&["udp:9000", "udp:127.0.0.1:9000"], "this very listener"),
        (&["udp:127.0.0.1:0", "@s"], "in unix:@s the bounds of datagrams would be lost"),
    ] {
        let ended = haul([&["relay"], words].concat()).run();
        ended.code(2);
        assert!(ended.one_error().contains(line), "{}", ended.one_error());
        assert!(ended.stderr.contains("\n  try: "), "{}", ended.stderr);
    }
}

#[test]
fn a_port_that_is_taken_starts_none_of_the_pairs() {
    let (_there, to) = target();
    for threads in ["1", "2"] {
        let taken = format!("udp:{to}");
        let ended =
            haul(["relay", "--threads", threads, "127.0.0.1:0", "127.0.0.1:1", &taken, "udp:127.0.0.1:1"]).run();
        ended.code(2);
        assert_eq!(ended.one_error(), format!("haul: cannot listen on {to}: address already in use"));
    }
}
