//! `relay` as a bad network: what goes wrong is what was asked for, and the same again.

use std::time::{Duration, Instant};

use crate::data;
use crate::harness::{Ending, haul};
use crate::relay::{echoes, joined, stop};

// Every byte is late, in both directions, and so is the end.
#[test]
fn a_delay_holds_back_every_byte_and_the_end() {
    let (relay, mut client, mut server) = joined(&["--delay", "60ms:up", "--delay", "30ms:down", "--jitter", "5ms"]);
    let asked = Instant::now();
    echoes(&mut client, &mut server);
    assert!(asked.elapsed() >= Duration::from_millis(80), "{:?}", asked.elapsed());
    let ended = Instant::now();
    client.finish();
    assert_eq!(server.receive_all(), (vec![], Ending::Eof));
    assert!(ended.elapsed() >= Duration::from_millis(55), "{:?}", ended.elapsed());
    server.finish();
    assert_eq!(client.receive_all(), (vec![], Ending::Eof));
    stop(relay);
}

// Many bytes at once are late together: the delay does not make the line narrow.
#[test]
fn a_delay_holds_many_bytes_at_once() {
    let (relay, client, mut server) = joined(&["--delay", "200ms"]);
    let sent = data::bytes(3, 8_000_000);
    let asked = Instant::now();
    let sending = client.send_in_thread(sent.clone());
    data::assert_same("what was late", &server.receive(sent.len()), &sent);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    sending.join().unwrap();
    drop((client, server));
    stop(relay);
}

#[test]
fn a_reset_comes_behind_exactly_the_bytes_asked_for() {
    let (relay, mut client, mut server) = joined(&["-v", "--reset-after", "10001:up"]);
    let sent = data::bytes(4, 50_000);
    let sending = client.send_in_thread(sent.clone());
    assert_eq!(server.receive_all(), (sent[..10_001].to_vec(), Ending::Reset));
    assert_eq!(client.receive_all(), (vec![], Ending::Reset));
    drop(sending);
    relay.stderr_line_where(|line| line.ends_with("reset on purpose, 10001 bytes up (--reset-after)"));
    stop(relay);
}

#[test]
fn a_stalled_direction_leaves_the_other_one_alone_and_a_limit_ends_it() {
    let (relay, mut client, mut server) = joined(&["--stall-after", "4:up", "-w", "1s"]);
    client.send(b"pingping");
    assert_eq!(server.receive(4), b"ping");
    server.send(b"pong");
    assert_eq!(client.receive(4), b"pong");
    client.finish();
    assert_eq!(server.receive_all(), (vec![], Ending::Reset));
    stop(relay);
}

#[test]
fn the_same_seed_corrupts_the_same_bytes_and_another_one_others() {
    let sent = data::bytes(5, 100_000);
    let through = |seed: &str| {
        let (relay, mut client, mut server) = joined(&["--corrupt", "1%:up", "--seed", seed]);
        let sending = client.send_in_thread(sent.clone());
        let got = server.receive(sent.len());
        sending.join().unwrap();
        server.send(&sent);
        data::assert_same("the other direction", &client.receive(sent.len()), &sent);
        stop(relay);
        got
    };
    let (one, again, other) = (through("1"), through("1"), through("2"));
    assert!(one == again && one != other);
    let changed = one.iter().zip(&sent).filter(|(got, sent)| got != sent).count();
    assert!(changed.abs_diff(1000) < 200, "{changed} of 100000");
}

#[test]
fn a_chopped_answer_arrives_whole() {
    let (relay, mut client, server) = joined(&["--chop", "7"]);
    let answer = data::bytes(6, 30_000);
    let sending = server.send_in_thread(answer.clone());
    data::assert_same("the answer", &client.receive(answer.len()), &answer);
    sending.join().unwrap();
    drop((client, server));
    stop(relay);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_bound() {
    for (flags, line) in [
        (&["--loss", "1%"][..], "cannot use --loss with a stream: a stream loses nothing, and keeps its order"),
        (&["--jitter", "1s"], "cannot use --jitter without --delay: there is no delay that could vary"),
        (&["--delay", "1s", "--delay", "2s:up"], "cannot use --delay: it was given twice for the direction up"),
        (&["--seed", "1"], "cannot use --seed without a fault: it decides what goes wrong, and nothing is to"),
    ] {
        let ended = haul([&["relay"], flags, &["127.0.0.1:0", "127.0.0.1:9"]].concat()).run();
        assert!(ended.code(2).one_error().contains(line), "{}", ended.one_error());
    }
}
