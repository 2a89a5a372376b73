//! Time and byte limits, each with its own status.

use std::time::{Duration, Instant};

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Listener, Net, Peer, Role, Sink, Way, create, haul, poll_until, proc, scratch};

// -w: no byte either way for that long is status 3, though both ends are open.
fn idle_is_status_3(way: Way) {
    let (mut haul, mut peer) = way.join(&["-w", "0.3"]);
    peer.send(b"hello");
    haul.stdout_reaches(5);
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    assert_same("what was received", &haul.stdout, b"hello");
    haul.code(3);
    let line = haul.one_error();
    assert!(line.contains("300ms"), "{line}");
}
both_ways!(idle_is_status_3);

// A byte in either direction starts the idle clock again, so a conversation longer than -w goes on.
fn traffic_either_way_keeps_idle_from_passing(way: Way) {
    let (mut haul, mut peer) = way.join(&["--idle", "5"]);
    for turn in 1..=5 {
        haul.say(b"x");
        peer.receive(1);
        peer.send(b"y");
        haul.stdout_reaches(turn);
    }
    peer.finish();
    haul.end_stdin();
    haul.wait().ok();
}
both_ways!(traffic_either_way_keeps_idle_from_passing);

// --max-bytes counts what is received: exactly that much is written, status 0, and the peer is reset.
fn max_bytes_is_success_after_exactly_that_many(way: Way) {
    for flags in [&["--max-bytes", "100000"][..], &["--max-bytes", "100000", "--splice", "never"]] {
        let content = bytes(41, 100_000);
        let (mut haul, mut peer) = way.join(flags);
        let stdin = haul.stdin.take();
        peer.send(&content);
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
        let haul = haul.wait();
        drop(stdin);
        haul.ok();
        assert_same("what was received", &haul.stdout, &content);
    }
}
both_ways_over_tcp!(max_bytes_is_success_after_exactly_that_many);

// A peer that has more to say is cut, and no byte over the limit is written.
fn no_byte_over_max_bytes_is_written(way: Way) {
    for flags in [&["--max-bytes", "100001"][..], &["--max-bytes", "100001", "--splice", "never"]] {
        let content = bytes(43, 24 << 20); // more than both kernels hold
        let home = scratch();
        let to = home.path().join("to");
        let (haul, peer) = way.join_with(flags, |haul| haul.stdout(Sink::Fd(create(&to))));
        let sending = peer.send_in_thread(content.clone());
        haul.wait().ok();
        assert_same("what was received", &std::fs::read(&to).unwrap(), &content[..100_001]);
        assert!(sending.join().unwrap() < content.len(), "the peer was not cut");
    }
}
both_ways!(no_byte_over_max_bytes_is_written);

// Fewer bytes than --max-bytes end as ever.
fn max_bytes_that_is_not_reached_changes_nothing(way: Way) {
    let (haul, mut peer) = way.join_with(&["--max-bytes", "1M"], |haul| haul.stdin(Input::Null));
    peer.send(b"few");
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_eq!(haul.stdout, b"few");
}
both_ways!(max_bytes_that_is_not_reached_changes_nothing);

// --max-bytes does not count what is sent.
fn max_bytes_does_not_count_what_is_sent(way: Way) {
    let content = bytes(42, 300_000);
    let (haul, mut peer) = way.join_with(&["--max-bytes", "10"], |haul| haul.stdin(Input::Bytes(content.clone())));
    let (got, ending) = peer.receive_all();
    assert_same("what was sent", &got, &content);
    assert_eq!(ending, Ending::Eof);
    drop(peer);
    haul.wait().ok();
}
both_ways!(max_bytes_does_not_count_what_is_sent);

// A peer that answers no SYN: --connect-timeout is status 3 and says for how long it waited.
#[test]
fn connect_timeout_is_status_3() {
    for flags in [["--connect-timeout", "0.3"], ["-w", "0.3"]] {
        let listener = Listener::tcp_with(None, 0);
        let _queue = listener.fill_queue();
        let ended = haul(["connect", flags[0], flags[1], &listener.endpoint()]).run();
        ended.code(3).no_stdout();
        let line = ended.one_error();
        assert!(line.starts_with(&format!("haul: cannot connect to {}", listener.endpoint())), "{line}");
        assert!(line.contains("timed out after 300ms"), "{line}");
    }
}

// Nobody comes: --accept-timeout is status 3, over TCP and Unix, and the socket file is gone.
#[test]
fn accept_timeout_is_status_3() {
    let ended = haul(["listen", "--accept-timeout", "0.2", "127.0.0.1:0"]).run();
    ended.code(3).no_stdout();
    let line = ended.one_error();
    assert!(line.contains("timed out after 200ms"), "{line}");

    // a listener is called what it was announced as
    for (endpoint, called) in [("tls:127.0.0.1:0", "tls"), ("ws:127.0.0.1:0", "ws"), ("tls+unix:@", "tls+unix")] {
        for flags in [&[][..], &["-k"]] {
            let at = if endpoint.ends_with('@') {
                format!("{endpoint}haul-{}", std::process::id())
            } else {
                endpoint.into()
            };
            let ended = haul([&["listen", "-v", "--accept-timeout", "10ms"], flags, &[&at]].concat()).run();
            ended.code(3).no_stdout();
            let announced = ended.stderr.lines().find_map(|line| line.strip_prefix("haul: listening on ")).unwrap();
            assert!(announced.starts_with(&format!("{called} ")), "{announced}");
            let line = format!("haul: cannot accept on {announced}: timed out after 10ms\n");
            assert!(ended.stderr.ends_with(&line), "{line}: {}", ended.stderr);
        }
    }

    let home = scratch();
    let path = home.path().join("s");
    let ended = haul(["listen".as_ref(), "--accept-timeout".as_ref(), "200ms".as_ref(), path.as_os_str()]).run();
    ended.code(3).one_error();
    assert!(!path.exists(), "the socket file was left behind");
}

// A server for many gives up, too, while nobody has come at all: with programs, a hub, and a command of its own.
#[test]
fn accept_timeout_ends_a_server_that_nobody_has_come_to() {
    for flags in [&["-k"][..], &["-k", "-e", "cat"], &["-k", "--broker"], &["--then", "sleep 60"]] {
        let words = [&["listen", "--accept-timeout", "0.2"], flags, &["127.0.0.1:0"]].concat();
        let ended = haul(words).run();
        ended.code(3).no_stdout();
        let line = ended.one_error();
        assert!(
            line.starts_with("haul: cannot accept ") && line.ends_with("timed out after 200ms"),
            "{flags:?}: {line}"
        );
    }
}

// With -k the limit is over with the first connection, however long the next one takes.
#[test]
fn accept_timeout_asks_for_the_first_of_many_only() {
    let haul = haul(["listen", "-k", "--count", "2", "--accept-timeout", "0.5", "127.0.0.1:0"]).spawn();
    let address = haul.address();
    let mut first = Peer::connect(address);
    let started = Instant::now();
    let mut turns = 0;
    while started.elapsed() < Duration::from_secs(1) {
        turns += 1;
        first.send(b"x");
        haul.stdout_reaches(turns);
    }
    drop(first);
    drop(Peer::connect(address));
    haul.wait().ok();
}

// --accept-timeout ends with the accepting: a connection may then last longer.
#[test]
fn accept_timeout_does_not_limit_the_connection() {
    let mut haul = haul(["listen", "--accept-timeout", "0.5", "127.0.0.1:0"]).stdin(Input::Piped).spawn();
    let mut peer = Peer::connect(haul.address());
    let started = Instant::now();
    let mut turns = 0;
    while started.elapsed() < Duration::from_secs(1) {
        turns += 1;
        peer.send(b"x");
        haul.stdout_reaches(turns);
    }
    haul.end_stdin();
    drop(peer);
    haul.wait().ok();
}

// --max-time ends a transfer in the middle of its work, not only an idle one.
#[test]
fn max_time_limits_a_busy_transfer() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let (haul, peer) = way.join_with(&["--max-time", "0.3"], |haul| haul.stdin(Input::Null).stdout(Sink::Null));
    let flood = peer.flood();
    haul.wait().code(3).one_error();
    flood.join().unwrap();
}

// --max-time is for everything: a server that accepts and never goes on with its handshake has no more than that.
#[test]
fn max_time_counts_handshakes() {
    let server = Listener::tcp();
    let at = server.address();
    for (words, object) in [
        (format!("connect --tls --insecure --quiet {at}"), format!("tls:{at}")),
        (format!("connect ws://{at}/"), format!("ws:{at}")),
        (format!("connect -x http://{at} db:5432"), format!("db:5432 through http://{at}")),
        (format!("connect --expect x ws://{at}/"), format!("ws:{at}")),
        (format!("pipe - ws://{at}/"), format!("ws:{at}")),
    ] {
        let ended = haul(words.split(' ').chain(["--max-time", "200ms"])).stdin(Input::Null).run();
        ended.code(3).no_stdout();
        assert_eq!(ended.one_error(), format!("haul: cannot connect to {object}: timed out after 200ms"));
    }
}

// --wait at a FIFO: one opening sleeps through all tries, since a sleeping open(2) cannot be called back.
#[test]
fn waiting_at_a_fifo_takes_one_thread_however_many_tries() {
    let (_home, fifo) = crate::harness::fifo();
    let words = ["connect", "--wait", "1s", "--connect-timeout", "20ms", fifo.to_str().unwrap()];
    let haul = haul(words).stdin(Input::Piped).spawn();
    let tasks = format!("/proc/{}/task", haul.pid().as_raw_nonzero());
    let mut most = 0;
    poll_until("the end of the wait", || {
        most = most.max(std::fs::read_dir(&tasks).map_or(0, Iterator::count));
        (proc::state(haul.pid()) == 'Z').then_some(())
    });
    let ended = haul.wait();
    ended.code(3);
    assert!(ended.one_error().contains("not open within 1s"), "{}", ended.stderr);
    assert!(most <= 3, "{most} threads");
}

// What opens late is still found by the opening that slept.
#[test]
fn a_fifo_that_is_read_late_is_found_by_the_opening_that_slept() {
    let (_home, fifo) = crate::harness::fifo();
    let words = ["connect", "-v", "--wait", "30s", "--connect-timeout", "20ms", fifo.to_str().unwrap()];
    let haul = haul(words).stdin(Input::Bytes(b"late".to_vec())).spawn();
    haul.stderr_line("haul: waiting for ");
    assert_eq!(std::fs::read(&fifo).unwrap(), b"late");
    haul.wait().code(0);
}
