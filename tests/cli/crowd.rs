//! Many clients around one standard input and output: merged, fanned out to, and talking to each other.

use std::collections::HashMap;
use std::thread;

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Peer, Running, Sink, haul, proc};

#[track_caller]
fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

// What many send at once comes out line by line, each client's own in order, however it was cut on the way.
#[test]
fn lines_of_many_clients_are_not_mixed() {
    const LINES: usize = 500;
    let server = haul(["listen", "-k", "--count", "20", "127.0.0.1:0"]).spawn();
    let address = server.address();
    let senders: Vec<_> = (0..20)
        .map(|client| {
            thread::spawn(move || {
                let mut peer = Peer::connect(address);
                let text: String = (0..LINES).map(|at| format!("{client} {at} {}\n", "x".repeat(at % 97))).collect();
                text.as_bytes().chunks(37 + client).for_each(|piece| peer.send(piece));
                peer.finish();
                peer.receive_all()
            })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.join().unwrap(), (Vec::new(), Ending::Eof));
    }
    let ended = server.wait();
    ended.ok();
    let mut next = HashMap::new();
    for line in String::from_utf8(ended.stdout.clone()).unwrap().lines() {
        let words: Vec<_> = line.split(' ').collect();
        let &[client, at, filler] = &words[..] else { panic!("a mixed line {line:?}") };
        let due = next.entry(client.to_owned()).or_insert(0);
        assert_eq!((at, filler.len()), (due.to_string().as_str(), *due % 97), "{line:?}");
        *due += 1;
    }
    assert!(next.len() == 20 && next.values().all(|lines| *lines == LINES), "{next:?}");
}

// A client in the middle of a line does not keep the lines of others back; its own end makes it a line.
#[test]
fn half_a_line_holds_up_nobody() {
    let server = haul(["listen", "-k", "--count", "2", "127.0.0.1:0"]).spawn();
    let (mut slow, mut quick) = (Peer::connect(server.address()), Peer::connect(server.address()));
    slow.send(b"half ");
    quick.send(b"quick\n");
    assert_eq!(server.stdout_reaches(6), b"quick\n");
    slow.send(b"a line");
    drop((slow, quick));
    let ended = server.wait();
    ended.ok();
    assert_eq!(ended.stdout.trim_ascii_end(), b"quick\nhalf a line");
}

// With -k standard input goes to nobody: it is not even read.
#[test]
fn standard_input_is_left_alone_by_k() {
    let mut server = haul(["listen", "-k", "127.0.0.1:0"]).stdin(Input::Piped).spawn();
    server.say(b"not for you");
    let mut peer = Peer::connect(server.address());
    peer.send(b"hello\n");
    server.stdout_reaches(6);
    peer.finish();
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    stop(server);
}

// --fan-out: everybody gets all of standard input and its end.
#[test]
fn fan_out_gives_standard_input_to_everybody() {
    let payload = bytes(41, (5 << 20) + 3);
    let mut server = haul(["listen", "--fan-out", "--count", "5", "127.0.0.1:0"]).stdin(Input::Piped).spawn();
    let mut peers: Vec<_> = (0..5).map(|_| Peer::connect(server.address())).collect();
    // a line of each on standard output: everybody is in
    peers.iter_mut().for_each(|peer| peer.send(b"here\n"));
    server.stdout_reaches(25);
    server.feed(payload.clone());
    let readers: Vec<_> = peers.into_iter().map(|mut peer| thread::spawn(move || peer.receive_all())).collect();
    for reader in readers {
        let (got, ending) = reader.join().unwrap();
        assert_same("what was fanned out", &got, &payload);
        assert_eq!(ending, Ending::Eof);
    }
    server.wait().ok();
}

// --broker: what one sends all others get, in one order for all, and not the sender itself.
#[test]
fn a_broker_lets_clients_hear_each_other() {
    let server = haul(["listen", "-v", "--broker", "127.0.0.1:0"]).spawn();
    let mut peers = Vec::new();
    for number in 0..10 {
        let peer = Peer::connect(server.address());
        let port = format!(":{}", peer.local_port());
        server.stderr_line_where(|line| line.contains(&port) || line.ends_with(&format!("#{number}")));
        peers.push(peer);
    }
    for speaker in 0..peers.len() {
        let said = format!("{speaker} speaks\n");
        peers[speaker].send(said.as_bytes());
        for (at, peer) in peers.iter_mut().enumerate().filter(|(at, _)| *at != speaker) {
            assert_eq!(peer.receive(said.len()), said.as_bytes(), "to {at}");
        }
    }
    proc::wait_until_idle(server.pid());
    assert!(peers.iter().all(Peer::hears_nothing), "somebody heard itself");
    stop(server);
}

// Over TCP a client that has closed looks like one that still listens: it makes room for those who come.
#[test]
fn clients_that_are_gone_make_room_for_others() {
    let server = haul(["listen", "-v", "-k", "--broker", "-m", "3", "127.0.0.1:0"]).spawn();
    let come = || {
        let peer = Peer::connect(server.address());
        let port = format!(":{}", peer.local_port());
        server.stderr_line_where(|line| line.contains(&port));
        peer
    };
    let gone = [come(), come(), come()];
    drop(gone);
    let (mut one, mut other) = (come(), come());
    one.send(b"anybody there?\n");
    assert_eq!(other.receive(15), b"anybody there?\n");
    other.send(b"yes\n");
    assert_eq!(one.receive(4), b"yes\n");
    stop(server);
}

// A client that waits for a place gets it as soon as somebody leaves.
#[test]
fn a_place_that_becomes_free_is_taken_at_once() {
    let server = haul(["listen", "-k", "-m", "1", "127.0.0.1:0"]).spawn();
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address())).collect();
    peers.iter_mut().for_each(|peer| peer.send(b"here\n"));
    for (served, mut peer) in peers.into_iter().enumerate() {
        server.stdout_reaches(5 * (served + 1));
        peer.finish();
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    }
    stop(server);
}

// A client of a broker that resets is nobody else's concern.
#[test]
fn a_client_that_resets_leaves_the_chat_going() {
    let server = haul(["listen", "-v", "--broker", "127.0.0.1:0"]).spawn();
    let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(server.address())).collect();
    for peer in &peers {
        let port = format!(":{}", peer.local_port());
        server.stderr_line_where(|line| line.contains(&port));
    }
    peers.pop().unwrap().reset();
    proc::wait_until_idle(server.pid());
    peers[0].send(b"still here");
    assert_eq!(peers[1].receive(10), b"still here");
    stop(server);
}

// A client that reads nothing: the others hear everything, and memory stays bounded. By the stated rule it is dropped.
#[test]
fn a_client_that_never_reads_is_dropped_by_the_broker() {
    let payload = bytes(43, 16 << 20);
    let server = haul(["listen", "-v", "--broker", "127.0.0.1:0"]).spawn();
    let mut stuck = Peer::connect_with(server.address(), Some(4096));
    let (speaker, mut listener) = (Peer::connect(server.address()), Peer::connect(server.address()));
    for peer in [&stuck, &speaker, &listener] {
        let port = format!(":{}", peer.local_port());
        server.stderr_line_where(|line| line.contains(&port));
    }
    let sending = speaker.send_in_thread(payload.clone());
    assert_same("what the others hear", &listener.receive(payload.len()), &payload);
    assert_eq!(sending.join().unwrap(), payload.len());
    assert_eq!(stuck.receive_all().1, Ending::Reset);
    assert!(proc::peak_memory(server.pid()) < 24 << 10, "{} KiB", proc::peak_memory(server.pid()));
    stop(server);
}

// A full disk under the server's output is the server's failure, whatever --then would have said.
#[test]
fn a_full_disk_under_many_clients_is_status_5() {
    let haul_again = env!("CARGO_BIN_EXE_haul");
    let command = format!("echo x | '{haul_again}' connect {{addr}} {{port}} 2> /dev/null; sleep 9 & wait; exit 0");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let words = ["listen", "127.0.0.1:0", "-k", "--then", &command];
    let haul = haul(words).stdout(Sink::Fd(full.into())).run();
    haul.code(5);
    assert!(haul.stderr.contains("no space left on device"), "{}", haul.stderr);
}
