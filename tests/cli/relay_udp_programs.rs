//! `relay` from datagrams to programs: one for each client, which reads what its client sends and answers it.

use std::net::{SocketAddr, UdpSocket};

use rustix::process::Signal;

use crate::harness::{DEADLINE, Listener, Peer, Running, haul, poll_until, proc, scratch};
use crate::listen_udp::{address, peer, receive};
use crate::relay::stop;
use crate::relay_udp::Responder;

/// A relay for datagrams to this command of the shell, and where it listens.
#[track_caller]
fn to_program(flags: &[&str], command: &str) -> (Running, SocketAddr) {
    let words = [&["relay", "-v"], flags, &["udp:127.0.0.1:0", "--", "sh", "-c", command]].concat();
    let running = haul(words).spawn();
    let at = address(&running);
    (running, at)
}

#[track_caller]
fn asked(client: &UdpSocket, question: &str) -> String {
    client.send(question.as_bytes()).unwrap();
    String::from_utf8(receive(client)).unwrap()
}

// As socat's UDP-LISTEN with fork and EXEC: a program for each client, which keeps what it knows of it.
#[test]
fn each_client_has_a_program_of_its_own() {
    let count = "n=0; while read -r line; do n=$((n+1)); echo \"$n $line $UDPREMOTEPORT\"; done";
    for flags in [&[][..], &["--threads", "2"]] {
        let (relay, at) = to_program(flags, count);
        let clients: Vec<UdpSocket> = (0..16).map(|_| peer(at)).collect();
        for round in 1..=3 {
            for client in &clients {
                let port = client.local_addr().unwrap().port();
                assert_eq!(asked(client, "hello\n"), format!("{round} hello {port}\n"), "{flags:?}");
            }
        }
        stop(relay);
    }
}

// The pipes of the portable build keep no bounds.
#[cfg(not(feature = "portable"))]
#[test]
fn each_write_is_an_answer_and_none_is_cut() {
    let talk = "read -r line; printf one; printf two; head -c 100000 /dev/zero; sleep 1000";
    let (relay, at) = to_program(&["--grace", "100ms"], talk);
    let client = peer(at);
    client.send(b"go\n").unwrap();
    assert_eq!([receive(&client), receive(&client)], [b"one", b"two"]);
    let mut zeros = 0;
    while zeros < 100_000 {
        zeros += receive(&client).len();
    }
    assert_eq!(zeros, 100_000);
    stop(relay);
}

// A program that ends ends its flow, with its status in the log; the client's next datagram starts another.
#[test]
fn a_program_that_ends_ends_its_flow() {
    let home = scratch();
    let log = home.path().join("log");
    let (relay, at) = to_program(&["--log", log.to_str().unwrap()], "read -r line; echo \"$$ $line\"; exit 3");
    let client = peer(at);
    let first = asked(&client, "x\n");
    relay.stderr_line_where(|line| line.ends_with(": the program exited with status 3"));
    assert_ne!(asked(&client, "x\n"), first);
    poll_until("the second line", || (std::fs::read_to_string(&log).ok()?.lines().count() == 2).then_some(()));
    stop(relay);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().all(|line| line.ends_with(" the program exited with status 3")), "{log}");
    assert!(log.lines().all(|line| line.split(' ').nth(2) == Some("sh")), "{log}");
}

// Silence ends the program, too: by the end of its input, or by signals after the grace. Its last words still arrive.
#[test]
fn a_silent_flow_ends_its_program() {
    let (relay, at) = to_program(&["--flow-idle", "300ms"], "cat; echo last words");
    let client = peer(at);
    assert_eq!(asked(&client, "x"), "x");
    assert_eq!(receive(&client), b"last words\n");
    relay.stderr_line("haul: session 1: sh exited with status 0");
    stop(relay);

    let (relay, at) = to_program(&["--flow-idle", "100ms", "--grace", "100ms"], "exec sleep 1000");
    peer(at).send(b"x").unwrap();
    relay.stderr_line_where(|line| line.ends_with(": silent for too long"));
    relay.stderr_line("haul: session 1: sh exited with status 129");
    stop(relay);
}

// A program's last words keep to the limits of its flow, and to that of all. The pipes of the portable build keep no bounds.
#[cfg(not(feature = "portable"))]
#[test]
fn last_words_keep_to_the_limits() {
    let talk = "cat; for n in 1 2 3 4 5 6 7 8; do head -c 1000 /dev/zero; sleep 0.01; done";
    for limit in ["-L", "--limit-total"] {
        let (relay, at) = to_program(&["--flow-idle", "300ms", "--stats", limit, "10"], talk);
        let client = peer(at);
        assert_eq!(asked(&client, "x"), "x");
        relay.stderr_line_where(|line| line.ends_with(": silent for too long"));
        relay.stderr_line("haul: session 1: sh exited with status 0");
        relay.signal(Signal::TERM);
        let ended = relay.wait();
        assert!(ended.code(0).stderr.contains(" beyond the rate"), "{limit}: {}", ended.stderr);
    }
}

// What a program says at the end of its flow counts in the log, is copied, and is held back, as all that it says.
#[test]
fn last_words_are_in_the_record_of_their_flow() {
    let home = scratch();
    let (log, copies) = (home.path().join("log"), home.path().display().to_string());
    let log_name = log.display().to_string();
    let flags = ["--flow-idle", "200ms", "--grace", "1h", "--log", &log_name, "-o", &copies, "--delay", "20ms:down"];
    let (relay, at) = to_program(&flags, "cat; printf bye");
    let client = peer(at);
    assert_eq!(asked(&client, "x"), "x");
    assert_eq!(receive(&client), b"bye");
    relay.stderr_line_where(|line| {
        line.starts_with("haul: session 1: closed") && line.ends_with(": silent for too long")
    });
    stop(relay);
    let line = std::fs::read_to_string(&log).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(words[3..5], ["1", "4"], "{line}");
    assert!(line.ends_with(" silent for too long\n"), "{line}");
    assert_eq!(std::fs::read_to_string(home.path().join("1.down")).unwrap(), "xbye");
}

// --delay: the answer of a program that has ended since is not lost.
#[test]
fn an_answer_that_is_held_back_outlives_its_program() {
    let (relay, at) = to_program(&["--delay", "300ms:down", "--once"], "read -r line; printf answer");
    let client = peer(at);
    assert_eq!(asked(&client, "x\n"), "answer");
    relay.wait().code(0);
}

// What is still held back when haul ends is cut, and the record of the flow says so.
#[test]
fn an_answer_that_is_still_held_back_at_the_end_is_in_the_record() {
    let (relay, at) = to_program(&["--delay", "1h:down", "--grace", "100ms"], "read -r line; printf answer");
    let client = peer(at);
    client.send(b"x\n").unwrap();
    relay.stderr_line("haul: session 1: sh exited with status 0");
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    let closed = ended.code(0).stderr.lines().find(|line| line.contains(": closed after ")).unwrap_or_default();
    assert!(closed.ends_with("sent 0 B: session cut short: haul was asked to end"), "{}", ended.stderr);
}

// An empty datagram cannot be written to a pipe: it is counted among those that their program did not take.
#[test]
fn an_empty_datagram_to_a_program_is_counted() {
    let (relay, at) = to_program(&["--stats", "--grace", "100ms"], "cat");
    let client = peer(at);
    client.send(b"").unwrap();
    assert_eq!(asked(&client, "x"), "x");
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    assert!(ended.code(0).stderr.contains("1 not taken by a program"), "{}", ended.stderr);
}

// A place is free when the program is gone, not when its client is forgotten: so there are never more of them.
#[test]
fn the_cap_counts_programs_that_have_not_ended() {
    let flags = ["-m", "2", "--flow-idle", "200ms", "--grace", "1h"];
    let home = scratch();
    let stop_file = home.path().join("stop");
    let wait = format!("cat; until [ -e {} ]; do sleep 0.05; done", stop_file.display());
    let (relay, at) = to_program(&flags, &wait);
    let clients = [peer(at), peer(at)];
    for client in &clients {
        assert_eq!(asked(client, "x"), "x");
    }
    for _ in &clients {
        relay.stderr_line_where(|line| line.ends_with(": silent for too long"));
    }
    let newcomer = peer(at);
    newcomer.send(b"x").unwrap();
    relay.stderr_line_where(|line| line.ends_with(": too many clients at once"));
    std::fs::write(&stop_file, "").unwrap();
    newcomer.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    poll_until("a place", || {
        newcomer.send(b"y").unwrap();
        newcomer.recv(&mut [0; 10]).ok()
    });
    stop(relay);
}

// Without -m a newcomer takes the place of who was silent the longest, and has it once that program is gone. Until then
// no other has to go: that would not make room any sooner.
#[test]
fn a_newcomer_costs_one_program_not_all() {
    let home = scratch();
    let [stop_file, told] = ["stop", "told"].map(|name| home.path().join(name));
    let (wait, tell) = (stop_file.display(), told.display());
    let wait = format!("cat; echo to end >> {tell}; until [ -e {wait} ]; do sleep 0.05; done");
    let words = ["relay", "-v", "--grace", "1h", "udp:127.0.0.1:0"];
    let relay = haul([&words[..], &["--", "sh", "-c", &wait]].concat()).after("ulimit -n 40").spawn();
    let at = address(&relay);
    let clients: Vec<UdpSocket> = (0..20).map(|_| peer(at)).collect();
    for client in &clients {
        client.send(b"x").unwrap();
    }
    relay.stderr_line_where(|line| line.ends_with(": too many clients at once"));
    let newcomer = peer(at);
    newcomer.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let is_let_in = || {
        newcomer.send(b"y").unwrap();
        newcomer.recv(&mut [0; 10]).is_ok()
    };
    let told = || std::fs::read_to_string(&told).unwrap_or_default().lines().count();
    poll_until("somebody to make room", || (is_let_in() || told() > 0).then_some(()));
    assert!((0..20).all(|_| !is_let_in()), "the program that was to go is not gone");
    assert_eq!(told(), 1);
    std::fs::write(&stop_file, "").unwrap();
    poll_until("a place", || is_let_in().then_some(()));
    stop(relay);
}

#[test]
fn the_status_of_the_only_program_is_hauls() {
    let (relay, at) = to_program(&["--once"], "read -r line; echo ok; exit 7");
    assert_eq!(asked(&peer(at), "x\n"), "ok\n");
    relay.wait().code(7);
}

// SIGTERM: an idle program gets the end of its input, one that owes an answer its grace; a second signal ends both.
#[test]
fn a_signal_lets_a_program_finish_what_it_owes() {
    let home = scratch();
    let go = home.path().join("go");
    let wait =
        format!("while read -r line; do until [ -e {} ]; do sleep 0.05; done; echo \"$line\"; done", go.display());
    let (relay, at) = to_program(&["--grace", "1h"], &wait);
    let client = peer(at);
    client.send(b"owed\n").unwrap();
    relay.stderr_line("haul: accepted udp ");
    proc::wait_until_idle(relay.pid());
    relay.signal(Signal::TERM);
    proc::wait_until_idle(relay.pid());
    std::fs::write(&go, "").unwrap();
    assert_eq!(receive(&client), b"owed\n");
    relay.wait().code(0);

    let (relay, at) = to_program(&["--grace", "1h"], "trap '' HUP TERM; echo up; while :; do sleep 1; done");
    assert_eq!(asked(&peer(at), "x\n"), "up\n");
    relay.signal(Signal::TERM);
    proc::wait_until_idle(relay.pid());
    relay.signal(Signal::TERM);
    relay.wait().code(0);

    // who is owed an answer when nothing is waited for any more
    let (relay, at) = to_program(&["--grace", "1h"], "trap '' HUP TERM; while :; do sleep 1; done");
    peer(at).send(b"owed\n").unwrap();
    relay.stderr_line("haul: accepted udp ");
    proc::wait_until_idle(relay.pid());
    relay.signal(Signal::TERM);
    proc::wait_until_idle(relay.pid());
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    assert!(ended.code(0).stderr.contains(": session cut short: haul was asked to end"), "{}", ended.stderr);
}

// What is done to other flows is done to these: copies, faults, limits; and a program that cannot read loses its own.
#[test]
fn flows_with_programs_are_flows_like_any_other() {
    let home = scratch();
    let directory = home.path().display().to_string();
    let flags = ["-o", &directory, "--delay", "50ms", "--stats"];
    let (relay, at) = to_program(&flags, "cat; exit 0");
    assert_eq!(asked(&peer(at), "ping"), "ping");
    stop(relay);
    for name in ["1.up", "1.down"] {
        assert_eq!(std::fs::read(home.path().join(name)).unwrap(), b"ping");
    }

    let (relay, at) = to_program(&["--grace", "100ms"], "exec sleep 1000");
    let client = peer(at);
    for _ in 0..20 {
        client.send(&[7; 60_000]).unwrap();
        proc::wait_until_idle(relay.pid());
    }
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    assert!(ended.code(0).stderr.contains(" not taken by a program"), "{}", ended.stderr);
}

// Programs, pipes and places go with their flows.
#[test]
fn many_flows_with_programs_leave_nothing_behind() {
    let (relay, at) = to_program(&["--flow-idle", "1s"], "cat");
    let before = proc::open_descriptors(relay.pid());
    for _ in 0..100 {
        assert_eq!(asked(&peer(at), "x"), "x");
    }
    poll_until("the flows to expire", || (proc::open_descriptors(relay.pid()) <= before).then_some(()));
    stop(relay);
}

// Without descriptors a newcomer's datagrams are lost, and told; who is there goes on.
#[test]
fn without_descriptors_programs_wait_and_nothing_spins() {
    let relay = haul(["relay", "-v", "-m", "1000", "--flow-idle", "2s", "udp:127.0.0.1:0", "--", "cat"]);
    let relay = relay.after("ulimit -n 40").spawn();
    let at = address(&relay);
    let clients: Vec<_> = (0..30).map(|_| peer(at)).collect();
    assert_eq!(asked(&clients[0], "x"), "x");
    for client in &clients {
        client.send(b"y").unwrap();
    }
    assert_eq!(receive(&clients[0]), b"y");
    proc::wait_until_idle(relay.pid());
    let last = &clients[29];
    last.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    poll_until("a place for the last", || {
        last.send(b"z").unwrap();
        last.recv(&mut [0; 10]).ok()
    });
    stop(relay);
}

// Who can forge his address could run programs here: it takes a word of the user's, as for streams.
#[test]
fn a_program_is_not_served_to_the_world_by_accident() {
    for words in [&["udp:0", "exec:cat"][..], &["udp:0.0.0.0:0", "--", "cat"], &["udp:0", "-c", "cat"]] {
        let ended = haul([&["relay"], words].concat()).run();
        assert!(ended.code(7).one_error().contains("would serve a program to anybody"), "{}", ended.one_error());
    }
}

#[test]
fn a_program_stands_in_for_a_target_that_cannot_be_had() {
    let words = ["relay", "-v", "udp:127.0.0.1:0", "exec:./missing-program"];
    let ended = haul(words).run();
    assert!(ended.code(2).one_error().contains("cannot run ./missing-program"), "{}", ended.one_error());

    let responder = Responder::new();
    let target = format!("udp:{}", responder.at);
    let words = ["relay", "-v", "--balance", "rr", "udp:127.0.0.1:0", "exec:cat", "--target", &target];
    let relay = haul(words).spawn();
    let at = address(&relay);
    let clients = [peer(at), peer(at)];
    assert_eq!(clients.each_ref().map(|client| asked(client, "x")), ["x", "re:x"]);
    stop(relay);
}

// Between datagrams and streams, by a program that says how: what the refusal of the two without one advises.
#[test]
fn a_program_leads_from_datagrams_to_a_stream_and_back() {
    let us = env!("CARGO_BIN_EXE_haul");
    let target = Listener::tcp();
    let (relay, at) = to_program(&[], &format!("exec {us} connect {}", target.endpoint()));
    let client = peer(at);
    client.send(b"question").unwrap();
    let mut server = target.accept();
    assert_eq!(server.receive(8), b"question");
    server.send(b"answer");
    assert_eq!(receive(&client), b"answer");
    drop((server, client));
    stop(relay);

    let responder = Responder::new();
    let bridge = format!("sh:exec {us} connect --split len16 udp:{}", responder.at);
    let relay = haul(["relay", "127.0.0.1:0", &bridge]).spawn();
    let mut client = Peer::connect(relay.address());
    client.send(b"\0\x03one\0\x03two");
    assert_eq!(client.receive(16), b"\0\x06re:one\0\x06re:two");
    drop(client);
    stop(relay);
}

#[test]
fn unix_datagrams_have_programs_too() {
    let home = scratch();
    let (at, ours) = (home.path().join("at"), home.path().join("ours"));
    let relay = haul(["relay", "-v", &format!("unix,dgram:{}", at.display()), "--", "cat"]).spawn();
    relay.stderr_line("haul: listening on ");
    let client = std::os::unix::net::UnixDatagram::bind(&ours).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send_to(b"hello", &at).unwrap();
    let mut answer = [0; 20];
    let count = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..count], b"hello");
    stop(relay);
}
