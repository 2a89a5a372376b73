//! `--banner` and `-C`: what is added to the bytes on their way to the peer.

use rustix::process::Signal;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Net, Peer, Role, Way, fifo, file_with, haul, open, scratch};

const LISTENS: Way = Way { role: Role::Listens, net: Net::Tcp };

/// A promise of the listener's alone, over TCP and a Unix socket.
fn over_both_nets(promise: impl Fn(Way)) {
    for net in [Net::Tcp, Net::Unix] {
        promise(Way { role: Role::Listens, net });
    }
}

// --banner: it is there before any input is, and what follows comes after it.
#[test]
fn a_banner_comes_first() {
    over_both_nets(|way| {
        let content = bytes(401, 300_000);
        let (mut haul, mut peer) = way.join(&["--banner", r"220 ready\r\n"]);
        assert_eq!(peer.receive(11), b"220 ready\r\n");
        haul.feed(content.clone());
        let (got, ending) = peer.receive_all();
        assert_same("what followed", &got, &content);
        assert_eq!(ending, Ending::Eof);
        drop(peer);
        haul.wait().ok();
    });
}

// A banner longer than what is in transit at once, before a file that would be spliced.
#[test]
fn a_banner_may_be_longer_than_a_buffer() {
    let home = scratch();
    let (banner, content) = ("b".repeat(60_000), bytes(402, 3 << 20));
    let input = file_with(home.path(), "in", &content);
    for buffer in ["1", "4096", "1M"] {
        let flags = ["--buffer", buffer, "--banner", &banner];
        let (haul, mut peer) = LISTENS.join_with(&flags, |haul| haul.stdin(Input::Fd(open(&input))));
        assert_same("the banner", &peer.receive(banner.len()), banner.as_bytes());
        if buffer != "1" {
            assert_same("what followed", &peer.receive(content.len()), &content);
            drop(peer);
            haul.wait().ok();
        }
    }
}

// --recv-only: the banner, then at once the end. What the peer answers is received.
#[test]
fn a_banner_is_followed_by_the_end_with_recv_only() {
    over_both_nets(|way| {
        let (haul, mut peer) = way.join(&["--recv-only", "--banner", "hello"]);
        assert_eq!(peer.receive_all(), (b"hello".to_vec(), Ending::Eof));
        peer.send(b"answer");
        drop(peer);
        let haul = haul.wait();
        haul.ok();
        assert_eq!(haul.stdout, b"answer");
    });
}

// -d: the banner and nothing else; the sending side stays open, and -q has nothing to count from.
#[test]
fn a_banner_is_followed_by_nothing_with_d() {
    over_both_nets(|way| {
        let (haul, mut peer) = way.join(&["-d", "-q", "0", "--banner", "hello"]);
        assert_eq!(peer.receive(5), b"hello");
        peer.send(b"answer");
        haul.stdout_reaches(6);
        assert!(peer.hears_nothing());
        peer.finish();
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
        haul.wait().ok();
    });
}

// A banner counts as sent, so that totals are what the peer got.
#[test]
fn a_banner_counts_as_sent() {
    let (haul, mut peer) = LISTENS.join_with(&["--stats", "--banner", "hello"], |haul| haul.stdin(Input::Null));
    assert_eq!(peer.receive_all().0, b"hello");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert!(haul.stderr.contains("5 B"), "{}", haul.stderr);
}

// A banner is dumped like anything else that is sent.
#[test]
fn a_banner_is_in_the_dump() {
    let flags = ["--banner", "hello", "--hex", "-o", "/dev/stderr"];
    let (haul, mut peer) = LISTENS.join_with(&flags, |haul| haul.stdin(Input::Null));
    assert_eq!(peer.receive_all().0, b"hello");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert!(haul.complaints().starts_with("> 00000000  68 65 6c 6c 6f "), "{}", haul.stderr);
}

// What is only read gets no banner: status 2 instead of silence.
#[test]
fn a_banner_for_something_that_is_only_read_is_status_2() {
    let (_home, path) = fifo();
    for endpoint in [format!("fifo:{}", path.display()), path.display().to_string()] {
        let ended = haul(["listen", "--banner", "hello", &endpoint]).run();
        ended.code(2).no_stdout();
        assert!(ended.one_error().contains("--banner"));
    }
}

// -C: each LF gets a CR unless it has one, wherever the reads part; the other way nothing changes.
fn lf_becomes_crlf_on_the_way_to_the_peer(way: Way) {
    let (mut haul, mut peer) = way.join(&["-C"]);
    for (said, heard) in [
        (&b"one\n"[..], &b"one\r\n"[..]),
        (b"two\r", b"two\r"),
        (b"\n", b"\n"),
        (b"\n", b"\r\n"),
        (b"three\r\nfour\n\n", b"three\r\nfour\r\n\r\n"),
    ] {
        haul.say(said);
        assert_eq!(peer.receive(heard.len()), heard);
    }
    peer.send(b"unix\ndos\r\n");
    haul.stdout_reaches(10);
    haul.say(b"no end");
    haul.end_stdin();
    assert_eq!(peer.receive_all(), (b"no end".to_vec(), Ending::Eof));
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"unix\ndos\r\n");
}
both_ways!(lf_becomes_crlf_on_the_way_to_the_peer);

// -C with much at once, both ways, against a peer that reads late.
fn crlf_keeps_up_with_much_data(way: Way) {
    let text = |seed: u64, len: usize| -> Vec<u8> {
        bytes(seed, len).iter().map(|byte| if byte % 7 == 0 { b'\n' } else { byte % 90 + b' ' }).collect()
    };
    let (sent, received) = (text(403, 3 << 20), text(404, 3 << 20));
    let mut wanted = Vec::new();
    for byte in &sent {
        wanted.extend(if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) });
    }
    let (haul, mut peer) = way.join_with(&["-C"], |haul| haul.stdin(Input::Bytes(sent.clone())));
    let sending = peer.send_in_thread(received.clone());
    haul.stdout_reaches(received.len());
    sending.join().unwrap();
    let (got, ending) = peer.receive_all();
    assert_same("what was sent", &got, &wanted);
    assert_eq!(ending, Ending::Eof);
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received", &haul.stdout, &received);
}
both_ways!(crlf_keeps_up_with_much_data);

// The dump shows what the peer gets, CRs included, and -C holds for the banner too.
#[test]
fn a_dump_shows_what_crlf_made() {
    let flags = ["-C", "--banner", r"hi\n", "--hex", "-o", "/dev/stderr"];
    let (haul, mut peer) = LISTENS.join_with(&flags, |haul| haul.stdin(Input::Bytes(b"x\n".to_vec())));
    assert_eq!(peer.receive_all().0, b"hi\r\nx\r\n");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    let dump = haul.complaints();
    let lines: Vec<_> = dump.lines().map(|line| line[..24].trim_end()).collect();
    assert_eq!(lines, ["> 00000000  68 69 0d 0a", "> 00000004  78 0d 0a"]);
}

// Every client of a server gets its banner first, whatever is joined to it, and with -C as the peer wants it.
#[test]
fn every_client_of_a_server_is_greeted() {
    let joined: [&[&str]; 5] = [&[], &["--fan-out"], &["--broker"], &["--recv-only"], &["-c", "cat"]];
    for flags in joined {
        let words = [&["listen", "-k", "-C", "--banner", r"hello\n"], flags, &["127.0.0.1:0"]].concat();
        let haul = haul(words).spawn();
        let mut peers: Vec<_> = (0..3).map(|_| Peer::connect(haul.address())).collect();
        for peer in &mut peers {
            assert_eq!(peer.receive(7), b"hello\r\n", "{flags:?}");
        }
        if flags.contains(&"-c") {
            peers[1].send(b"echoed\n");
            assert_eq!(peers[1].receive(8), b"echoed\r\n");
        }
        drop(peers);
        haul.signal(Signal::TERM);
        haul.wait().code(0);
    }
}

// A client that has already sent everything still gets its banner, whole, before it is let go.
#[test]
fn a_client_that_is_done_early_is_greeted() {
    let banner = "b".repeat(60_000);
    let haul = haul(["listen", "-k", "--count", "1", "--banner", &banner, "127.0.0.1:0"]).spawn();
    let mut peer = Peer::connect_with(haul.address(), Some(4096));
    peer.send(b"hello\n");
    peer.finish();
    haul.stdout_reaches(6);
    let (got, ending) = peer.receive_all();
    assert_same("the banner", &got, banner.as_bytes());
    assert_eq!(ending, Ending::Eof);
    haul.wait().ok();
}
