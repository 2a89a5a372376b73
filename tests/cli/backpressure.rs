//! A side that does not read: memory stays bounded, no CPU is used, and everything goes on when it reads again.

use std::io::Read;
use std::thread;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Sink, Way, file_with, open, proc, scratch};

/// More than all buffers on the way hold together: haul's, two sockets' and a pipe's.
const MUCH: usize = 24 << 20;

/// Far above what haul needs for one connection (a debug build included), far below what was offered.
const MOST_MEMORY_KIB: u64 = 8 << 10;

// A peer that never reads stops the producer, costs neither memory nor CPU, and loses nothing by it.
fn a_peer_that_does_not_read_costs_nothing(way: Way) {
    for flags in [&[][..], &["--splice", "never"]] {
        let content = bytes(101, MUCH);
        let (haul, mut peer) = way.join_tuned(flags, Some(65536), |haul| haul.stdin(Input::Bytes(content.clone())));
        proc::wait_until_idle(haul.pid());
        let memory = proc::peak_memory(haul.pid());
        assert!(memory < MOST_MEMORY_KIB, "{memory} KiB resident");
        let (got, ending) = peer.receive_all();
        assert_same("what was sent", &got, &content);
        assert_eq!(ending, Ending::Eof);
        drop(peer);
        haul.wait().ok();
    }
}
both_ways!(a_peer_that_does_not_read_costs_nothing);

// The same with a file on stdin, which is always ready: haul must not spin on it.
fn a_file_for_a_peer_that_does_not_read_does_not_spin(way: Way) {
    let home = scratch();
    let content = bytes(102, MUCH);
    let path = file_with(home.path(), "from", &content);
    for flags in [&[][..], &["--splice", "never"]] {
        let from = open(&path);
        let (haul, mut peer) = way.join_tuned(flags, Some(65536), |haul| haul.stdin(Input::Fd(from)));
        proc::wait_until_idle(haul.pid());
        let memory = proc::peak_memory(haul.pid());
        assert!(memory < MOST_MEMORY_KIB, "{memory} KiB resident");
        assert_same("what was sent", &peer.receive_all().0, &content);
        drop(peer);
        haul.wait().ok();
    }
}
both_ways!(a_file_for_a_peer_that_does_not_read_does_not_spin);

// A stdout that nobody reads stops the peer in the same way.
fn a_stdout_that_is_not_read_costs_nothing(way: Way) {
    for flags in [&[][..], &["--splice", "never"]] {
        let content = bytes(103, MUCH);
        let (mut haul, peer) = way.join_with(flags, |haul| haul.stdout(Sink::Held));
        let sending = peer.send_in_thread(content.clone());
        proc::wait_until_idle(haul.pid());
        let memory = proc::peak_memory(haul.pid());
        assert!(memory < MOST_MEMORY_KIB, "{memory} KiB resident");
        let mut out = haul.held.take().unwrap();
        let reading = thread::spawn(move || {
            let mut got = Vec::new();
            out.read_to_end(&mut got).map(|_| got)
        });
        assert_eq!(sending.join().unwrap(), MUCH);
        peer.finish();
        haul.wait().ok();
        assert_same("what was received", &reading.join().unwrap().unwrap(), &content);
    }
}
both_ways!(a_stdout_that_is_not_read_costs_nothing);

// One direction stands still, the other goes on.
fn a_blocked_direction_does_not_block_the_other(way: Way) {
    let content = bytes(104, MUCH);
    let (haul, mut peer) = way.join_tuned(&[], Some(65536), |haul| haul.stdin(Input::Bytes(content.clone())));
    proc::wait_until_idle(haul.pid());
    let other = bytes(105, 1 << 20);
    peer.send(&other);
    assert_same("the other direction", &haul.stdout_reaches(1 << 20), &other);
    assert_same("the blocked direction", &peer.receive_all().0, &content);
    drop(peer);
    haul.wait().ok();
}
both_ways!(a_blocked_direction_does_not_block_the_other);

// An open connection on which nothing happens uses no CPU.
fn an_idle_connection_sleeps(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    haul.say(b"x");
    peer.receive(1);
    proc::wait_until_idle(haul.pid());
    drop(peer);
    haul.end_stdin();
    haul.wait().ok();
}
both_ways!(an_idle_connection_sleeps);

// Half-closed, in either direction, haul sleeps too: an end that was seen must not wake it for ever.
fn a_half_closed_connection_sleeps(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    peer.finish();
    haul.stdout_end();
    proc::wait_until_idle(haul.pid());
    haul.say(b"x");
    peer.receive(1);
    haul.end_stdin();
    haul.wait().ok();

    let (mut haul, mut peer) = way.join(&[]);
    haul.end_stdin();
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
    proc::wait_until_idle(haul.pid());
    peer.send(b"x");
    haul.stdout_reaches(1);
    drop(peer);
    haul.wait().ok();
}
both_ways!(a_half_closed_connection_sleeps);
