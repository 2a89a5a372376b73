//! `listen -k` as a server: whom it lets in, how many, and how it ends.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Ending, Peer, Program, Running, file_with, haul, poll_until, proc, scratch};

/// `listen -k` with these flags, an echo for each connection.
#[track_caller]
fn echo(flags: &[&str]) -> Running {
    haul([&["listen", "-k", "127.0.0.1:0"], flags, &["--", "cat"]].concat()).spawn()
}

#[track_caller]
fn is_served(peer: &mut Peer) {
    peer.send(b"hello");
    assert_eq!(peer.receive(5), b"hello");
}

/// Was closed without having been served.
#[track_caller]
fn is_turned_away(mut peer: Peer) {
    assert_eq!(peer.receive_all().0, b"");
}

/// Whether a client from this loopback address is echoed to.
#[track_caller]
fn is_served_from(server: &Running, address: &str) -> bool {
    let there = server.address().to_string();
    let words = ["connect", "-s", address, "--send", "hello", "--expect", "hello", "--timeout", "20s", &there];
    match haul(words).run().status.code() {
        Some(0) => true,
        Some(1 | 8) => false,
        other => panic!("a client ended with {other:?}"),
    }
}

#[track_caller]
fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// -m 1 serves one after the other: the next waits in the backlog until the first has gone.
#[test]
fn one_at_a_time_is_one_after_the_other() {
    let server = haul(["listen", "-k", "-m", "1", "127.0.0.1:0", "-c", "echo hello; cat"]).spawn();
    let (mut first, mut second) = (Peer::connect(server.address()), Peer::connect(server.address()));
    assert_eq!(first.receive(6), b"hello\n");
    proc::wait_until_idle(server.pid());
    assert!(second.hears_nothing());
    first.finish();
    assert_eq!(first.receive_all(), (Vec::new(), Ending::Eof));
    drop(first);
    assert_eq!(second.receive(6), b"hello\n");
    stop(server);
}

// --max-per-ip turns the next from that address away at once, and nobody from another; a place is free again.
#[test]
fn an_address_gets_as_many_places_as_it_may() {
    let server = echo(&["--max-per-ip", "2"]);
    let mut inside: Vec<_> = (0..2).map(|_| Peer::connect(server.address())).collect();
    inside.iter_mut().for_each(is_served);
    is_turned_away(Peer::connect(server.address()));
    assert!(is_served_from(&server, "127.0.0.2"));
    let gone = inside.pop().unwrap();
    gone.finish();
    drop(gone);
    poll_until("a free place", || is_served_from(&server, "127.0.0.1").then_some(()));
    is_served(&mut inside[0]);
    stop(server);
}

// --count: so many are accepted, the port is closed at once, and haul ends when they have.
#[test]
fn a_count_of_clients_ends_the_server() {
    let server = echo(&["--count", "3"]);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address())).collect();
    peers.iter_mut().for_each(is_served);
    let late = haul(["connect", "-z", &server.address().to_string()]).run();
    late.code(1);
    for mut peer in peers {
        is_served(&mut peer);
        peer.finish();
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    }
    server.wait().ok();
}

// SIGTERM and SIGINT close idle connections at once, whatever --grace allows, and that is success.
#[test]
fn a_signal_closes_idle_connections_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = echo(&["--grace", "1h"]);
        let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address())).collect();
        peers.iter_mut().for_each(is_served);
        proc::wait_until_idle(server.pid());
        server.signal(signal);
        for peer in &mut peers {
            peer.receive_all();
        }
        server.wait().code(0);
    }
}

// A client that has half-closed and waits for its answer gets it, within --grace.
#[test]
fn an_answer_on_its_way_is_given_its_grace() {
    let home = scratch();
    let made = Program::new("mkfifo", [home.path().join("go")]).run();
    made.code(0);
    let go = home.path().join("go");
    let command = format!("cat > /dev/null; echo asked; cat '{}'; echo answered", go.display());
    let server = haul(["listen", "-k", "--grace", "1h", "127.0.0.1:0", "-c", &command]).spawn();
    let mut peer = Peer::connect(server.address());
    peer.finish();
    assert_eq!(peer.receive(6), b"asked\n");
    server.signal(Signal::TERM);
    let there = server.address().to_string();
    poll_until("the port to be closed", || {
        (haul(["connect", "-z", &there]).run().status.code() == Some(1)).then_some(())
    });
    fs::write(&go, "").unwrap();
    assert_eq!(peer.receive_all(), (b"answered\n".to_vec(), Ending::Eof));
    server.wait().code(0);
}

// When the grace is over, or a second signal comes, what is still busy ends too.
#[test]
fn a_busy_session_ends_with_the_grace_or_the_second_signal() {
    for (grace, signals) in [("100ms", 1), ("1h", 2)] {
        let words = ["listen", "-k", "--grace", grace, "127.0.0.1:0", "-c", "trap '' HUP TERM; cat; cat /dev/zero"];
        let server = haul(words).spawn();
        let mut peer = Peer::connect_with(server.address(), Some(4096));
        peer.finish();
        assert_eq!(peer.receive(100), [0; 100]);
        for _ in 0..signals {
            server.signal(Signal::TERM);
            let there = server.address().to_string();
            poll_until("the port to be closed", || {
                (haul(["connect", "-z", &there]).run().status.code() == Some(1)).then_some(())
            });
        }
        server.wait().code(0);
    }
}

// The same with a program that is silent and heeds no signal but the last: it goes, and its server with it.
#[test]
fn a_silent_program_ends_with_the_grace_or_the_second_signal() {
    for (grace, again) in [("100ms", false), ("1h", true)] {
        for command in ["exec sleep 1000", "exec 2> /dev/null; trap '' HUP TERM; echo up; while :; do sleep 0.1; done"]
        {
            let server = haul(["listen", "-k", "--grace", grace, "127.0.0.1:0", "-c", command]).spawn();
            let mut peer = Peer::connect(server.address());
            peer.finish();
            if command.contains("echo up") {
                assert_eq!(peer.receive(3), b"up\n");
            }
            proc::wait_until_idle(server.pid());
            server.signal(Signal::TERM);
            if again {
                let there = server.address().to_string();
                poll_until("the port to be closed", || {
                    (haul(["connect", "-z", &there]).run().status.code() == Some(1)).then_some(())
                });
                server.signal(Signal::TERM);
            }
            server.wait().code(0);
        }
    }
}

// --deny wins over --allow, and who is not allowed is closed, which -v tells.
#[test]
fn an_access_list_decides_who_is_served() {
    let server = echo(&["-v", "--allow", "127.0.0.0/8", "--deny", "127.0.0.2"]);
    assert!(is_served_from(&server, "127.0.0.1"));
    assert!(!is_served_from(&server, "127.0.0.2"));
    assert!(is_served_from(&server, "127.0.0.3"));
    server.stderr_line_where(|line| line.contains("127.0.0.2") && line.contains("refused"));
    stop(server);
}

// A peer that comes as ::ffff:127.0.0.1 is 127.0.0.1 to the lists.
#[test]
fn a_mapped_address_is_matched_as_ipv4() {
    let server = haul(["listen", "-k", "0", "--allow", "127.0.0.1", "--", "cat"]).spawn();
    assert!(is_served_from(&server, "127.0.0.1"));
    assert!(!is_served_from(&server, "127.0.0.2"));
    stop(server);
}

// SIGHUP reads a list again; a list with an error in it changes nothing, and the line says where the error is.
#[test]
fn a_hangup_reads_the_lists_again() {
    let home = scratch();
    let list = file_with(home.path(), "list", b"127.0.0.1\n");
    let flag = format!("@{}", list.display());
    let server = echo(&["--allow", &flag]);
    assert!(!is_served_from(&server, "127.0.0.2"));

    fs::write(&list, "# both of them\n127.0.0.1\n127.0.0.2 # new\n").unwrap();
    server.signal(Signal::HUP);
    poll_until("the new list", || is_served_from(&server, "127.0.0.2").then_some(()));

    fs::write(&list, "127.0.0.1\n\nnonsense\n").unwrap();
    server.signal(Signal::HUP);
    server.stderr_line_where(|line| line.contains(&format!("{}:3", list.display())));
    assert!(is_served_from(&server, "127.0.0.2"));
    stop(server);
}

// A list with a bad line is refused with the line's number, before anything is bound; so is one that is not there.
#[test]
fn a_bad_line_of_a_list_is_named() {
    let home = scratch();
    let list = file_with(home.path(), "list", b"10.0.0.0/8\n# fine\n10.0.0.0/33\n");
    let flag = format!("@{}", list.display());
    let ended = haul(["listen", "-k", "--allow", &flag, "127.0.0.1:0", "--", "cat"]).run();
    ended.code(2).no_stdout();
    assert!(ended.one_error().contains(&format!("{}:3", list.display())), "{}", ended.stderr);
    assert!(!ended.stderr.contains("listening"));
    let ended = haul(["listen", "-k", "--allow", "@/nonexistent/list", "127.0.0.1:0", "--", "cat"]).run();
    ended.code(2);
    assert!(ended.one_error().contains("/nonexistent/list"), "{}", ended.stderr);
}

// A program for everybody is refused, and the line says what to add; with it, it is served.
#[test]
fn a_program_for_the_world_is_status_7() {
    for program in [&["-c", "cat"][..], &["-e", "cat"], &["--", "cat"]] {
        let ended = haul([&["listen", "0"], program].concat()).run();
        ended.code(7).no_stdout();
        ended.one_error();
        assert!(ended.stderr.contains("--allow") && ended.stderr.contains("--open"), "{}", ended.stderr);
        let served = haul([&["listen", "--open", "0"], program].concat()).spawn();
        let mut peer = Peer::connect(served.address());
        is_served(&mut peer);
        peer.finish();
        served.wait().code(0);
    }
}

// More clients than descriptors: those beyond wait without cost, and are served when there is room, with no help.
#[test]
fn a_server_out_of_descriptors_waits_and_goes_on() {
    let words = ["listen", "-k", "-m", "1000", "--broker", "127.0.0.1:0"];
    let server = haul(words).after("ulimit -n 24").spawn();
    let mut peers: Vec<_> = (0..40).map(|_| Peer::connect(server.address())).collect();
    server.stderr_line_where(|line| line.contains("too many open files"));
    let before = proc::effort(server.pid());
    let (_never, clock) = std::sync::mpsc::channel::<()>();
    let _ = clock.recv_timeout(std::time::Duration::from_millis(500));
    let spent: u64 = proc::effort(server.pid()).iter().zip(before).map(|(after, before)| after - before).sum();
    assert!(spent < 100, "{spent} ticks and wake-ups in half a second");

    // the first ones go, and two of the last talk to each other
    let mut waiting = peers.split_off(30);
    peers.into_iter().for_each(Peer::reset);
    let (speaker, listeners) = waiting.split_first_mut().unwrap();
    poll_until("the last to be let in", || {
        speaker.send(b"x");
        listeners.iter().all(|peer| !peer.hears_nothing()).then_some(())
    });
    stop(server);
}

// --progress counts what all clients have moved, both ways together.
#[test]
fn progress_counts_every_client_of_a_server() {
    let words = ["listen", "-k", "--count", "2", "-e", "cat", "--progress=json", "127.0.0.1:0"];
    let haul = haul(words).spawn();
    let address = haul.address();
    for _ in 0..2 {
        let mut peer = Peer::connect(address);
        peer.send(b"hello");
        peer.finish();
        assert_eq!(peer.receive_all().0, b"hello");
    }
    let ended = haul.wait();
    ended.code(0);
    assert!(ended.stderr.contains("\"bytes\":20"), "{}", ended.stderr);
}
