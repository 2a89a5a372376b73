//! `bench` and iperf3: each as the client of the other, for every flag that both have.

use rustix::process::Signal;

use crate::bench::{json, server, stop, text};
use crate::bench_paths::datagrams;
use crate::harness::{Ended, Program, Running, haul, poll_until, proc, require};

/// iperf3 on some port that was free a moment ago.
#[track_caller]
fn iperf3_server() -> Option<(Running, String)> {
    let iperf3 = require("iperf3")?;
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let running = Program::new(iperf3, ["-s", "-p", &port]).spawn();
    assert_eq!(proc::listening_port(running.pid()).to_string(), port);
    Some((running, port))
}

#[track_caller]
fn iperf3_client(server: &Running, flags: &[&str]) -> Option<Ended> {
    let iperf3 = require("iperf3")?;
    let port = server.address().port().to_string();
    Some(Program::new(iperf3, [&["-c", "127.0.0.1", "-p", &port], flags].concat()).run())
}

/// What both understand; each is short.
const ROWS: &[&[&str]] = &[
    &["-t", "1"],
    &["-n", "2M"],
    &["-k", "20"],
    &["-n", "2M", "-R"],
    &["-t", "1", "--bidir"],
    &["-n", "4M", "-P", "4"],
    &["-t", "1", "-b", "20M", "-l", "4K"],
    &["-n", "2M", "-w", "128K", "-M", "1000", "-N", "-C", "reno", "-S", "8"],
    &["-t", "1", "-O", "1", "-i", "1"],
    &["-n", "2M", "-Z", "-4"],
    &["-t", "1", "-u"],
    &["-t", "1", "-u", "-b", "20M", "-R"],
    &["-t", "1", "-u", "-b", "10M", "--bidir", "-P", "2"],
    &["-t", "1", "-u", "-b", "10M", "-l", "200", "--udp-counters-64bit"],
    &["-n", "1M", "-u", "-b", "50M"],
    &["-n", "1M", "-J"],
    &["-n", "1M", "--get-server-output"],
];

// It closes its socket for a moment behind each test, and then says that it is busy.
#[test]
fn several_runs_in_a_row_wait_for_iperf3_to_be_ready() {
    let Some((_iperf3, port)) = iperf3_server() else { return };
    let ended = haul(["bench", "127.0.0.1", &port, "--repeat", "4", "-n", "100K", "-J"]).run();
    ended.code(0);
    let runs = json(&ended);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(4), "{runs}");
}

/// Those of them that this build has a way for.
fn rows() -> impl Iterator<Item = &'static &'static [&'static str]> {
    ROWS.iter().filter(|flags| !(cfg!(feature = "portable") && flags.contains(&"-C")))
}

#[test]
fn iperf3_measures_against_haul() {
    let server = server(&[]);
    for flags in rows() {
        let Some(ended) = iperf3_client(&server, flags) else { return };
        ended.code(0);
        assert!(!text(&ended).contains("error"), "{flags:?}: {}", text(&ended));
        assert!(text(&ended).contains("receiver"), "{flags:?}: {}", text(&ended));
    }
    stop(server);
}

#[test]
fn haul_measures_against_iperf3() {
    let Some((server, port)) = iperf3_server() else { return };
    for flags in rows() {
        // between two tests it closes its socket, which resets who waits there, and listens anew
        let ended = poll_until("iperf3 to be ready again", || {
            let ended = haul([&["bench", "127.0.0.1", "-p", &port], *flags].concat()).run();
            let signs = ["busy with another test", "connection refused", "connection reset"];
            let begun = ["bits/sec", "bits_per_second"].iter().any(|unit| text(&ended).contains(unit));
            let early = !begun && signs.iter().any(|why| ended.stderr.contains(why));
            (!early).then_some(ended)
        });
        ended.ok();
        assert!(text(&ended).contains("receiver"), "{flags:?}: {}", text(&ended));
    }
    server.signal(Signal::KILL);
}

// Many iperf3 at once are served by one haul, which two of iperf3's own servers would not do.
#[test]
fn several_iperf3_are_served_at_once() {
    let Some(iperf3) = require("iperf3") else { return };
    let server = server(&[]);
    let port = server.address().port().to_string();
    let clients: Vec<_> = [&["-u", "-b", "5M"][..], &["-R"], &["-b", "50M"], &["-u", "-R", "-b", "5M"]]
        .into_iter()
        .map(|flags| Program::new(&iperf3, [&["-c", "127.0.0.1", "-p", &port, "-t", "1"], flags].concat()).spawn())
        .collect();
    for client in clients {
        client.wait().code(0);
    }
    stop(server);
}

// What both ends have counted agrees, whoever is which.
#[test]
fn both_ends_count_the_same() {
    let server = server(&["-J", "-1"]);
    let Some(ended) = iperf3_client(&server, &["-n", "3M", "-J"]) else { return };
    ended.code(0);
    let (theirs, ours) = (json(&ended), server.wait());
    let ours = json(ours.ok());
    for side in ["sum_sent", "sum_received"] {
        let bytes = |value: &serde_json::Value| value["end"][side]["bytes"].as_u64().unwrap();
        assert_eq!(bytes(&theirs), bytes(&ours), "{side}");
        assert_eq!(bytes(&theirs), 3 << 20, "{side}");
    }
}

// What only haul can do is refused with advice, before anything is sent.
#[test]
fn what_iperf3_cannot_do_is_refused() {
    let Some((server, port)) = iperf3_server() else { return };
    for flag in ["--rr", "--crr", "--check"] {
        let ended = haul(["bench", "127.0.0.1", "-p", &port, flag]).run();
        ended.code(2);
        assert!(ended.one_error().contains("is no haul, and iperf3 cannot do that"), "{flag}: {}", ended.stderr);
    }
    server.signal(Signal::KILL);
}

// What is lost behind the last that came leaves no gap for iperf3 to count: what was sent tells of it.
#[test]
fn a_tail_that_is_lost_towards_iperf3_is_counted() {
    let Some((server, port)) = iperf3_server() else { return };
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    let mut passed = 0;
    let first = move |_: &mut [u8]| {
        passed += 1;
        passed <= 20
    };
    let (via, over, threads) = datagrams(to, |length| length > 100, first);
    let all = ["-u", "-J", "-t", "1", "-l", "1000", "-b", "1M", "--via", &via.to_string()];
    let ended = haul([&["bench", "127.0.0.1", "-p", &port][..], &all].concat()).run();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let sum = json(ended.ok())["end"]["sum"].clone();
    let count = |key: &str| sum[key].as_u64().unwrap();
    assert_eq!((count("haul_received_packets"), count("packets") - count("lost_packets")), (20, 20), "{sum}");
    assert!(count("lost_packets") > 20, "{sum}");
    server.signal(Signal::KILL);
}
