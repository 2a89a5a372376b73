//! cli.md, end of file and closing: resets, early stops, a stdout that fails, and closing without destroying data.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::process::Signal;

use crate::data::{assert_prefix, assert_same, bytes};
use crate::harness::{Ending, Input, Sink, Way, create, file_with, open, poll_until, proc, scratch};

/// Fits a fresh TCP receive window, so that it has all arrived before a reset that follows it.
const ARRIVES_WHOLE: usize = 60_000;

// Everything that arrived before a reset is written out; then the failure is told, with the bytes moved.
fn what_came_before_a_reset_is_delivered(way: Way) {
    let (haul, mut peer) = way.join(&[]);
    let content = bytes(21, ARRIVES_WHOLE);
    haul.freeze();
    peer.send(&content);
    peer.reset();
    haul.thaw();
    let haul = haul.wait();
    assert_same("what came before", &haul.stdout, &content);
    haul.code(1);
    let line = haul.one_error();
    assert!(line.contains("reset"), "{line}");
    assert!(line.contains("60000") || line.contains("60.0 kB") || line.contains("58.6 KiB"), "no byte count: {line}");
}
both_ways_over_tcp!(what_came_before_a_reset_is_delivered);

// The same into a file and without splice: the other ways in which bytes move.
fn what_came_before_a_reset_is_delivered_to_a_file(way: Way) {
    for flags in [&[][..], &["--splice", "never"]] {
        let home = scratch();
        let to = home.path().join("out");
        let (haul, mut peer) = way.join_with(flags, |haul| haul.stdin(Input::Piped).stdout(Sink::Fd(create(&to))));
        let content = bytes(22, ARRIVES_WHOLE);
        haul.freeze();
        peer.send(&content);
        peer.reset();
        haul.thaw();
        let haul = haul.wait();
        assert_same("what came before", &std::fs::read(&to).unwrap(), &content);
        haul.code(1).one_error();
    }
}
both_ways_over_tcp!(what_came_before_a_reset_is_delivered_to_a_file);

// A reset while both are idle ends haul with 1, though stdin is open and silent.
fn a_reset_while_idle_is_noticed(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    haul.say(b"hello");
    assert_eq!(peer.receive(5), b"hello");
    peer.reset();
    let haul = haul.wait();
    haul.code(1).no_stdout().one_error();
}
both_ways_over_tcp!(a_reset_while_idle_is_noticed);

// A Unix socket that is closed with bytes unread was cut, too.
fn a_peer_that_leaves_bytes_unread_was_cut(way: Way) {
    let (mut haul, mut peer) = way.join(&[]);
    peer.send(b"before");
    haul.say(b"never read");
    poll_until("the bytes to arrive", || (!peer.hears_nothing()).then_some(()));
    drop(peer);
    let haul = haul.wait();
    assert_same("what came before", &haul.stdout, b"before");
    haul.code(1).one_error();
}
both_ways!(a_peer_that_leaves_bytes_unread_was_cut);

// Writing fails because the peer is gone: what it had sent before is still read and written out; then status 1.
fn a_failed_write_does_not_lose_what_was_received(way: Way) {
    let content = bytes(23, ARRIVES_WHOLE);
    let (mut haul, mut peer) = way.join(&[]);
    haul.say(b"first");
    assert_eq!(peer.receive(5), b"first");
    haul.freeze();
    // Both are ready when haul goes on: stdin with bytes to send, the socket with bytes and a reset behind them.
    haul.say(&bytes(24, 4096));
    peer.send(&content);
    peer.reset();
    haul.thaw();
    let haul = haul.wait();
    assert_same("what came before", &haul.stdout, &content);
    haul.code(1).one_error();
}
both_ways!(a_failed_write_does_not_lose_what_was_received);

// The peer closes for good while we still send: its answer is delivered whole, then status 1.
fn an_answer_survives_a_peer_that_closes_while_we_send(way: Way) {
    let answer = bytes(25, ARRIVES_WHOLE);
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Bytes(bytes(26, 16 << 20))));
    peer.receive(1);
    peer.send(&answer);
    drop(peer);
    let haul = haul.wait();
    assert_same("the answer", &haul.stdout, &answer);
    haul.code(1).one_error();
}
both_ways!(an_answer_survives_a_peer_that_closes_while_we_send);

// Stopped by a signal before stdin's end: the peer sees a reset, as FIN means that the source ended.
fn a_signal_before_the_end_of_stdin_resets(way: Way) {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut haul, mut peer) = way.join(&[]);
        haul.say(b"half of it");
        assert_eq!(peer.receive(10), b"half of it");
        haul.signal(signal);
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
        haul.wait().killed_by(signal);
    }
}
both_ways_over_tcp!(a_signal_before_the_end_of_stdin_resets);

// The same in the middle of a file, to a peer that reads on: a cut file never looks finished.
fn a_file_cut_by_a_signal_never_ends_in_fin(way: Way) {
    let home = scratch();
    let content = bytes(27, 32 << 20);
    let file = open(&file_with(home.path(), "in", &content));
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(file)));
    let start = peer.receive(100_000);
    haul.signal(Signal::TERM);
    let (rest, ending) = peer.receive_all();
    assert_prefix("what arrived", &[start, rest].concat(), &content);
    assert_eq!(ending, Ending::Reset);
    haul.wait().killed_by(Signal::TERM);
}
both_ways_over_tcp!(a_file_cut_by_a_signal_never_ends_in_fin);

// --max-time: status 3, and a reset where stdin had not ended.
fn max_time_resets_and_is_status_3(way: Way) {
    let (mut haul, mut peer) = way.join(&["--max-time", "0.3"]);
    haul.say(b"half");
    assert_eq!(peer.receive(4), b"half");
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    haul.code(3).one_error();
}
both_ways_over_tcp!(max_time_resets_and_is_status_3);

// A read error on stdin (a directory, here) is not an end of file: status 5, and the peer sees a reset.
fn a_read_error_on_stdin_resets_and_is_status_5(way: Way) {
    let home = scratch();
    let directory = open(home.path());
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Fd(directory)));
    assert_eq!(peer.receive_all(), (Vec::new(), Ending::Reset));
    haul.wait().code(5).one_error();
}
both_ways_over_tcp!(a_read_error_on_stdin_resets_and_is_status_5);

// stdout's reader is gone: death by SIGPIPE and not a word, like cat.
fn a_reader_that_goes_away_is_sigpipe_and_silence(way: Way) {
    let (mut haul, peer) = way.join_with(&[], |haul| haul.stdin(Input::Piped).stdout(Sink::Held));
    let sending = peer.send_in_thread(bytes(28, 8 << 20));
    let mut out = haul.held.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    drop(out);
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    haul.killed_by(Signal::PIPE);
    assert_eq!(haul.complaints(), "");
    sending.join().unwrap();
}
both_ways!(a_reader_that_goes_away_is_sigpipe_and_silence);

// The same when nothing is moving: the reader's leaving is noticed without a write that fails.
fn a_reader_that_goes_away_while_idle_is_noticed_at_the_next_byte(way: Way) {
    let (mut haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Piped).stdout(Sink::Held));
    haul.held = None;
    peer.send(b"for nobody");
    let stdin = haul.stdin.take();
    let haul = haul.wait();
    drop(stdin);
    haul.killed_by(Signal::PIPE);
    assert_eq!(haul.complaints(), "");
}
both_ways!(a_reader_that_goes_away_while_idle_is_noticed_at_the_next_byte);

// A full disk under stdout is status 5 and one line.
fn a_full_disk_is_status_5(way: Way) {
    for flags in [&[][..], &["--splice", "never"]] {
        let full = OwnedFd::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let (haul, mut peer) = way.join_with(flags, |haul| haul.stdout(Sink::Fd(full)));
        peer.send(&bytes(29, 10_000));
        let haul = haul.wait();
        haul.code(5);
        let line = haul.one_error();
        assert!(line.contains("no space left on device"), "{line}");
    }
}
both_ways!(a_full_disk_is_status_5);

// A peer that acknowledges nothing more: --linger passes without progress, status 1 and the number of bytes left.
fn linger_runs_out_with_the_number_of_bytes_left(way: Way) {
    let content = bytes(30, 100_000);
    let flags = ["--sndbuf", "1M", "--linger", "0.3"];
    let (haul, peer) = way.join_tuned(&flags, Some(4096), |haul| haul.stdin(Input::Bytes(content.clone())));
    peer.finish();
    let haul = haul.wait();
    haul.code(1);
    let line = haul.one_error();
    let number = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<usize>().ok()).max();
    assert!(number.is_some_and(|left| left > 0 && left < content.len()), "no number of bytes in {line:?}");
    drop(peer);
}
both_ways_over_tcp!(linger_runs_out_with_the_number_of_bytes_left);

// --linger is time without progress: a slow reader that goes on reading gets everything.
fn linger_lasts_as_long_as_there_is_progress(way: Way) {
    let content = bytes(31, 400_000);
    let flags = ["--sndbuf", "1M", "--linger", "10"];
    let (haul, mut peer) = way.join_tuned(&flags, Some(4096), |haul| haul.stdin(Input::Bytes(content.clone())));
    peer.finish();
    proc::wait_until_idle(haul.pid());
    let (got, ending) = peer.receive_all();
    assert_same("what the slow reader got", &got, &content);
    assert_eq!(ending, Ending::Eof);
    haul.wait().ok();
}
both_ways_over_tcp!(linger_lasts_as_long_as_there_is_progress);

// Closing while the peer still sends destroys nothing: unread input would turn our close into a reset.
fn closing_waits_for_the_send_queue_and_discards_input(way: Way) {
    let content = bytes(32, 300_000);
    let flags = ["--send-only", "--sndbuf", "1M"];
    let (haul, mut peer) = way.join_tuned(&flags, Some(4096), |haul| haul.stdin(Input::Bytes(content.clone())));
    // All of this is taken, so haul reads and discards while its own bytes wait in the queue.
    let sent = peer.send_in_thread(bytes(33, 8 << 20)).join().unwrap();
    assert_eq!(sent, 8 << 20, "haul stopped discarding");
    let more = peer.send_in_thread(bytes(34, 8 << 20));
    let (got, ending) = peer.receive_all();
    assert_same("what was sent", &got, &content);
    assert_eq!(ending, Ending::Eof);
    drop(peer);
    more.join().unwrap();
    haul.wait().ok();
}
both_ways_over_tcp!(closing_waits_for_the_send_queue_and_discards_input);

// -q passes while the peer is still sending and has read nothing: what was sent is not destroyed.
fn quitting_destroys_nothing_that_was_sent(way: Way) {
    let content = bytes(35, 200_000);
    let flags = ["-q", "0.1", "--sndbuf", "1M"];
    let (haul, mut peer) =
        way.join_tuned(&flags, Some(4096), |haul| haul.stdin(Input::Bytes(content.clone())).stdout(Sink::Null));
    let more = peer.send_in_thread(bytes(36, 8 << 20));
    let (got, _) = peer.receive_all();
    assert_same("what was sent", &got, &content);
    drop(peer);
    more.join().unwrap();
    haul.wait().ok();
}
both_ways_over_tcp!(quitting_destroys_nothing_that_was_sent);

// A job whose sender was killed outright still has its bytes: what came is written, whatever the ending.
fn bytes_of_a_killed_sender_are_kept(way: Way) {
    let (haul, mut peer) = way.join_with(&[], |haul| haul.stdin(Input::Null));
    let content = bytes(37, 1 << 20);
    peer.send(&content);
    drop(peer);
    let haul = haul.wait();
    assert_same("what was received", &haul.stdout, &content);
    haul.ok();
}
both_ways!(bytes_of_a_killed_sender_are_kept);
