//! `relay`: sockets joined to sockets, and how each session ends.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::thread;

use rustix::process::Signal;

use crate::data;
use crate::harness::peer::refusing_address;
use crate::harness::{Ending, Listener, Peer, Running, haul, poll_until, proc, require, scratch};

/// A relay from a free port to this target.
#[track_caller]
pub fn relay_to(target: &str, flags: &[&str]) -> Running {
    haul([&["relay"], flags, &["127.0.0.1:0", target]].concat()).spawn()
}

/// A relay with a client and the target's side of its connection.
#[track_caller]
pub fn joined(flags: &[&str]) -> (Running, Peer, Peer) {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), flags);
    let client = Peer::connect(relay.address());
    let server = target.accept();
    (relay, client, server)
}

#[track_caller]
pub fn stop(relay: Running) {
    relay.signal(Signal::TERM);
    relay.wait().code(0);
}

#[track_caller]
pub fn echoes(client: &mut Peer, server: &mut Peer) {
    client.send(b"ping");
    assert_eq!(server.receive(4), b"ping");
    server.send(b"pong");
    assert_eq!(client.receive(4), b"pong");
}

/// A client that is reset maybe before it has seen its connection.
#[track_caller]
pub fn is_reset_at_once(address: SocketAddr) {
    let reset = std::net::TcpStream::connect(address).and_then(|mut client| client.read(&mut [0]));
    assert_eq!(reset.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

// Large streams both ways at once arrive whole, whichever way the bytes take.
#[test]
fn streams_in_both_directions_arrive_whole() {
    for flags in [&["--splice", "never"][..], &[]] {
        let (relay, mut client, mut server) = joined(flags);
        let (up, down) = (data::bytes(7, 20_000_000), data::bytes(8, 20_000_000));
        let sending = [client.send_in_thread(up.clone()), server.send_in_thread(down.clone())];
        assert!(client.receive(down.len()) == down, "{flags:?}");
        assert!(server.receive(up.len()) == up, "{flags:?}");
        sending.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), up.len()));
        client.finish();
        assert_eq!(server.receive_all(), (vec![], Ending::Eof));
        server.finish();
        assert_eq!(client.receive_all(), (vec![], Ending::Eof));
        stop(relay);
    }
}

// Each direction ends by itself: an end of file is passed on, and the other direction goes on.
#[test]
fn a_half_close_is_passed_on_in_either_direction() {
    let (_relay, mut client, mut server) = joined(&[]);
    client.send(b"question");
    client.finish();
    assert_eq!(server.receive_all(), (b"question".to_vec(), Ending::Eof));
    server.send(b"answer");
    drop(server);
    assert_eq!(client.receive_all(), (b"answer".to_vec(), Ending::Eof));

    let (_relay, mut client, mut server) = joined(&[]);
    server.send(b"banner");
    server.finish();
    assert_eq!(client.receive_all(), (b"banner".to_vec(), Ending::Eof));
    client.send(b"late");
    client.finish();
    assert_eq!(server.receive_all(), (b"late".to_vec(), Ending::Eof));
}

// The promise that others break: a target that answers and closes, with its input unread, while the client still sends.
#[test]
fn an_answer_is_whole_although_the_target_closes_while_its_client_still_sends() {
    for len in [1, 100, 40_000] {
        for ends_first in [true, false] {
            let (_relay, mut client, mut server) = joined(&[]);
            let sender = client.flood();
            server.receive(1000);
            let answer = data::bytes(len as u64, len);
            server.send(&answer);
            if ends_first {
                server.finish();
            }
            drop(server);
            let (got, _) = client.receive_all();
            data::assert_same("the answer", &got, &answer);
            sender.join().unwrap();
        }
    }
}

// The same with an answer that is longer than all buffers, and a client that takes its time to read it.
#[test]
fn a_long_answer_is_whole_although_its_client_still_sends() {
    let (relay, mut client, mut server) = joined(&[]);
    let sender = client.flood();
    let answer = data::bytes(3, 9_000_000);
    let answering = server.send_in_thread(answer.clone());
    server.receive(1000);
    proc::wait_until_idle(relay.pid());
    let got = client.receive(answer.len());
    answering.join().unwrap();
    drop(server);
    data::assert_same("the answer", &got, &answer);
    assert!(client.receive_all().0.is_empty());
    sender.join().unwrap();
}

// A reset goes on as a reset, after everything that came before it.
#[test]
fn a_reset_is_passed_on_in_either_direction() {
    let (_relay, mut client, mut server) = joined(&[]);
    echoes(&mut client, &mut server);
    client.reset();
    assert_eq!(server.receive_all(), (vec![], Ending::Reset));

    let (_relay, mut client, mut server) = joined(&[]);
    echoes(&mut client, &mut server);
    server.reset();
    assert_eq!(client.receive_all(), (vec![], Ending::Reset));
}

// A target that is not there: the client is reset, one line says so, and the next client is served.
#[test]
fn a_dial_that_fails_resets_its_client_and_nobody_else() {
    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &[]);
    for _ in 0..2 {
        is_reset_at_once(relay.address());
    }
    relay.signal(Signal::TERM);
    let ended = relay.wait();
    ended.code(0);
    let expected: String =
        (1..=2).map(|n| format!("haul: session {n}: cannot connect to {nobody}: connection refused\n")).collect();
    assert_eq!(ended.complaints(), expected);
}

#[test]
fn a_target_that_does_not_answer_is_given_up_in_time() {
    let target = Listener::tcp_with(None, 0);
    let _full = target.fill_queue();
    let relay = relay_to(&target.endpoint(), &["--connect-timeout", "100ms"]);
    assert_eq!(Peer::connect(relay.address()).receive_all(), (vec![], Ending::Reset));
    assert!(relay.stderr_line("haul: session 1: ").ends_with(": timed out after 100ms"));
}

// A client that leaves while its target does not answer takes its descriptors with it; one that only ends stays.
#[test]
fn a_client_that_is_reset_while_it_waits_for_its_target_is_noticed() {
    let target = Listener::tcp_with(None, 0);
    let _full = target.fill_queue();
    let relay = relay_to(&target.endpoint(), &["--connect-timeout", "1h"]);
    let at = relay.address();
    let before = proc::open_descriptors(relay.pid());
    let ended = Peer::connect(at);
    ended.finish();
    let clients: Vec<_> = (0..10).map(|_| Peer::connect(at)).collect();
    poll_until("the clients to be accepted", || (proc::open_descriptors(relay.pid()) >= before + 22).then_some(()));
    clients.into_iter().for_each(Peer::reset);
    poll_until("them to be noticed", || (proc::open_descriptors(relay.pid()) == before + 2).then_some(()));
    let line = relay.stderr_line("haul: session 2: ");
    assert!(line.ends_with(": its client left before a target was reached"), "{line}");
}

// Unix sockets on either half, and several pairs in one process.
#[test]
fn several_pairs_of_several_kinds_are_served_at_once() {
    let home = scratch();
    let (inner, outer) = (home.path().join("inner"), home.path().join("outer"));
    let (unix, tcp) = (Listener::unix(&inner), Listener::tcp());
    let ends = [format!("unix:{}", outer.display()), tcp.endpoint(), "127.0.0.1:0".into(), unix.endpoint()];
    let mut words = vec!["relay".to_string()];
    words.extend(ends);
    let relay = haul(words).spawn();
    let mut first = Peer::connect(relay.address());
    echoes(&mut first, &mut unix.accept());
    let mut second = Peer::connect_unix(&outer);
    echoes(&mut second, &mut tcp.accept());
    stop(relay);
    assert!(!outer.exists(), "its socket file is removed");
}

// One listener that cannot be bound, and none of the others is left half-started.
#[test]
fn a_pair_that_cannot_be_bound_starts_none_of_them() {
    let taken = Listener::tcp();
    let home = scratch();
    let path = home.path().join("s");
    let first = format!("unix:{}", path.display());
    let ended = haul(["relay", &first, "127.0.0.1:1", &taken.endpoint(), "127.0.0.1:1"]).run();
    ended.code(2);
    let expected = format!("haul: cannot listen on {}: address already in use", taken.address());
    assert_eq!(ended.one_error(), expected);
    assert!(!path.exists());
}

// -m: who comes beyond it waits in the backlog and is served when somebody leaves.
#[test]
fn at_the_limit_clients_wait_their_turn() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["-m", "1"]);
    let mut first = Peer::connect(relay.address());
    let mut server = target.accept();
    let mut second = Peer::connect(relay.address());
    second.send(b"early");
    echoes(&mut first, &mut server);
    proc::wait_until_idle(relay.pid());
    assert!(target.was_left_alone());
    drop(first);
    drop(server);
    assert_eq!(target.accept().receive(5), b"early");
}

// Without a descriptor nobody is lost and nothing spins: what is waiting is served when there is room.
#[test]
fn running_out_of_descriptors_neither_spins_nor_loses_anybody() {
    let target = Listener::tcp_with(None, 64);
    let relay = haul(["relay", "-m", "1000", "127.0.0.1:0", &target.endpoint()]).after("ulimit -n 24").spawn();
    let mut clients: Vec<_> = (0..20).map(|_| Peer::connect(relay.address())).collect();
    for client in &mut clients {
        client.send(b"x");
    }
    let mut served: Vec<_> = (0..3).map(|_| target.accept()).collect();
    served.iter_mut().for_each(|server| assert_eq!(server.receive(1), b"x"));
    proc::wait_until_idle(relay.pid());
    drop(served);
    let waiting = thread::spawn(move || {
        for _ in 3..20 {
            let mut server = target.accept();
            assert_eq!(server.receive(1), b"x");
        }
    });
    for mut client in clients {
        client.finish();
        client.receive_all();
    }
    waiting.join().unwrap();
}

// -w: silence ends a session by a reset and nothing else; --half-close-timeout does so for the half that is left.
#[test]
fn silence_ends_a_session_when_there_is_a_limit() {
    for flags in [&["-w", "200ms"][..], &["--half-close-timeout", "200ms"]] {
        let (relay, mut client, mut server) = joined(flags);
        echoes(&mut client, &mut server);
        if flags[0] == "--half-close-timeout" {
            client.finish();
            assert_eq!(server.receive_all(), (vec![], Ending::Eof));
        }
        assert_eq!(client.receive_all(), (vec![], Ending::Reset), "{flags:?}");
        stop(relay);
    }
}

// --once: one session, whose status is haul's.
#[test]
fn once_is_one_session_with_its_status() {
    let (relay, mut client, mut server) = joined(&["--once"]);
    echoes(&mut client, &mut server);
    client.finish();
    server.finish();
    relay.wait().ok();

    let (relay, mut client, mut server) = joined(&["--once"]);
    echoes(&mut client, &mut server);
    server.reset();
    relay.wait().code(1);

    let (_keep, nobody) = refusing_address();
    let relay = relay_to(&nobody.to_string(), &["--once"]);
    is_reset_at_once(relay.address());
    let ended = relay.wait();
    ended.code(1);
    assert_eq!(ended.one_error(), format!("haul: cannot connect to {nobody}: connection refused"));

    let relay = haul(["relay", "--once", "127.0.0.1:0", "-c", "exit 7"]).spawn();
    Peer::connect(relay.address()).receive_all();
    relay.wait().code(7);
}

// SIGTERM: idle sessions end at once, a half-closed one has its grace, and that is success; a second signal is for now.
#[test]
fn a_signal_lets_busy_sessions_finish_and_closes_idle_ones() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--grace", "1h"]);
    let mut idle = Peer::connect(relay.address());
    let mut idle_server = target.accept();
    let mut busy = Peer::connect(relay.address());
    let mut busy_server = target.accept();
    echoes(&mut idle, &mut idle_server);
    busy.send(b"question");
    busy.finish();
    assert_eq!(busy_server.receive_all(), (b"question".to_vec(), Ending::Eof));
    relay.signal(Signal::TERM);
    idle.receive_all();
    busy_server.send(b"answer");
    busy_server.finish();
    assert_eq!(busy.receive_all(), (b"answer".to_vec(), Ending::Eof));
    relay.wait().code(0);

    let (relay, client, mut server) = joined(&["--grace", "1h"]);
    client.finish();
    server.receive_all();
    relay.signal(Signal::TERM);
    poll_until("the port to be closed", || {
        haul(["connect", "-z", &relay.address().to_string()]).run().status.code().filter(|code| *code == 1)
    });
    relay.signal(Signal::TERM);
    relay.wait().code(0);
}

#[test]
fn sigusr1_prints_totals() {
    let (relay, mut client, mut server) = joined(&[]);
    echoes(&mut client, &mut server);
    relay.signal(Signal::USR1);
    relay.stderr_line("haul: received 4 B, sent 4 B in ");
    stop(relay);
}

// --allow with a file, read again at SIGHUP.
#[test]
fn sighup_reads_the_lists_again() {
    let home = scratch();
    let list = home.path().join("allowed");
    std::fs::write(&list, "127.0.0.1\n").unwrap();
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--allow", &format!("@{}", list.display())]);
    let mut client = Peer::connect(relay.address());
    let mut server = target.accept();
    echoes(&mut client, &mut server);
    std::fs::write(&list, "127.0.0.9\n").unwrap();
    relay.signal(Signal::HUP);
    proc::wait_until_idle(relay.pid());
    Peer::connect(relay.address()).receive_all();
    assert!(target.was_left_alone());
    echoes(&mut client, &mut server);
}

// A program for each connection; its end is the session's, and it is not served to the world by accident.
#[test]
fn a_program_is_a_target() {
    for words in [&["127.0.0.1:0", "--", "tr", "a-z", "A-Z"][..], &["127.0.0.1:0", "exec:tr a-z A-Z"]] {
        let relay = haul([&["relay"], words].concat()).spawn();
        let mut client = Peer::connect(relay.address());
        client.send(b"hello");
        client.finish();
        assert_eq!(client.receive_all(), (b"HELLO".to_vec(), Ending::Eof));
        stop(relay);
    }
    let ended = haul(["relay", "0", "exec:cat"]).run();
    ended.code(7);
}

// --limit-total: what all sessions move together.
#[test]
fn all_sessions_together_keep_the_total() {
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &["--limit-total", "4M"]);
    // the rate is one of the relay's, whatever else this machine has to do: nothing may come sooner
    let started = std::time::Instant::now();
    let pairs: Vec<_> = (0..4).map(|_| (Peer::connect(relay.address()), target.accept())).collect();
    // a server's client may be another one than that beside it: all of them stay until everything has come
    let (clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let sending: Vec<_> = clients.iter().map(|client| client.send_in_thread(vec![1; 500_000])).collect();
    let receive = |mut server: Peer| thread::spawn(move || assert_eq!(server.receive(500_000).len(), 500_000));
    let receiving: Vec<_> = servers.into_iter().map(receive).collect();
    receiving.into_iter().for_each(|thread| thread.join().unwrap());
    let took = started.elapsed().as_secs_f64();
    sending.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 500_000));
    assert!(took >= 0.4, "2 MB at 4 MB/s took {took} s");
}

// Idle sessions hold no memory to speak of, and their descriptors go with them.
#[test]
fn sessions_leave_nothing_behind() {
    let target = Listener::tcp_with(None, 512);
    let relay = relay_to(&target.endpoint(), &[]);
    let mut warm = (Peer::connect(relay.address()), target.accept());
    echoes(&mut warm.0, &mut warm.1);
    let before = proc::open_descriptors(relay.pid());
    for _ in 0..300 {
        let mut pair = (Peer::connect(relay.address()), target.accept());
        echoes(&mut pair.0, &mut pair.1);
    }
    poll_until("the descriptors to be closed", || (proc::open_descriptors(relay.pid()) <= before).then_some(()));
}

// What people put behind a relay: a request and its answer by other people's tools.
#[test]
fn nc_through_a_relay() {
    let Some(nc) = require("nc") else { return };
    let target = Listener::tcp();
    let relay = relay_to(&target.endpoint(), &[]);
    let SocketAddr::V4(at) = relay.address() else { panic!() };
    let client = crate::harness::Program::new(nc, ["-N", "127.0.0.1", &at.port().to_string()])
        .stdin(crate::harness::Input::Bytes(b"GET\n".to_vec()))
        .spawn();
    let mut server = target.accept();
    assert_eq!(server.receive_all(), (b"GET\n".to_vec(), Ending::Eof));
    server.send(b"200\n");
    drop(server);
    assert_eq!(client.wait().stdout, b"200\n");
}

// Many sessions at once, each with bytes of its own both ways, cut into pieces of its own, half-closed by either side.
#[test]
fn three_hundred_sessions_at_once_are_each_whole() {
    for threads in ["1", "3"] {
        let target = Listener::tcp_with(None, 512);
        let relay = relay_to(&target.endpoint(), &["--threads", threads]);
        let sessions: Vec<_> = (0..300u64)
            .map(|seed| {
                let len = 1 + (seed as usize * 7919) % 120_000;
                let mut client = Peer::connect(relay.address());
                let mut server = target.accept();
                thread::Builder::new().stack_size(64 << 10).spawn(move || {
                    let (up, down) = (data::bytes(seed, len), data::bytes(!seed, len / 2 + 1));
                    let sending = [client.send_in_thread(up.clone()), server.send_in_thread(down.clone())];
                    data::assert_same("the way up", &server.receive(len), &up);
                    sending.into_iter().for_each(|thread| assert!(thread.join().unwrap() > 0));
                    let (first, second) =
                        if seed % 2 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
                    first.finish();
                    let rest = [second.receive_all(), {
                        second.finish();
                        first.receive_all()
                    }];
                    let got: Vec<u8> = rest.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
                    data::assert_same("the way down", &got, &down);
                    assert!(rest.iter().all(|(_, ending)| *ending == Ending::Eof));
                })
            })
            .collect();
        sessions.into_iter().for_each(|session| session.unwrap().join().unwrap());
        stop(relay);
    }
}
