//! `bench` between two hauls: what is measured, what is promised of it, and a server that many use at once.

use rustix::process::Signal;

use crate::harness::{Ended, Peer, Running, file_with, haul, scratch};

/// A server on a free port.
#[track_caller]
pub fn server(flags: &[&str]) -> Running {
    haul([&["bench", "-s"], flags, &["127.0.0.1:0"]].concat()).spawn()
}

/// A measurement against it, as a child.
#[track_caller]
pub fn client(server: &Running, flags: &[&str]) -> Running {
    let address = server.address().to_string();
    haul([&["bench", &address], flags].concat()).spawn()
}

/// The same, to its end.
#[track_caller]
pub fn measure(server: &Running, flags: &[&str]) -> Ended {
    client(server, flags).wait()
}

#[track_caller]
pub fn stop(server: Running) {
    server.signal(Signal::TERM);
    server.wait().code(0);
}

#[track_caller]
pub fn text(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}

#[track_caller]
pub fn json(ended: &Ended) -> serde_json::Value {
    serde_json::from_slice(&ended.stdout).unwrap()
}

// Each way of measuring works, says so on standard output, and nothing else.
#[test]
fn every_way_of_measuring_ends_well() {
    let server = server(&[]);
    for (flags, promise) in [
        (&["-t", "0.3"][..], "receiver"),
        (&["-t", "0.3", "-R"], "Reverse mode"),
        (&["-t", "0.3", "--bidir", "-P", "2"], "[SUM][RX-C]"),
        (&["-t", "0.3", "-Z", "-w", "256K", "-M", "1000", "-N", "-C", "reno", "-S", "0x10"], "reno (sender)"),
        (&["-t", "0.3", "-O", "0.2", "-i", "0.1"], "(omitted)"),
        (&["-t", "0.3", "-b", "8M", "-l", "1K"], "Bitrate"),
        (&["-t", "0.3", "-b", "8M/3", "-l", "1K"], "Bitrate"),
        (&["-t", "0.3", "-u", "-b", "10M"], "Datagrams: offered"),
        (&["-t", "0.3", "-u", "-b", "10M", "-R", "--udp-counters-64bit"], "Jitter"),
        (&["-t", "0.3", "-u", "-b", "10M", "--bidir", "-P", "2"], "[SUM][TX-C] Datagrams"),
        (&["-t", "0.3", "--check"], "Payload: as it was sent"),
        (&["-t", "0.3", "--check", "-R"], "Payload: as it was sent"),
        (&["-t", "0.3", "-u", "-b", "10M", "--check"], "Payload: as it was sent"),
        (&["-t", "0.3", "--rr"], "Requests: "),
        (&["-t", "0.3", "--rr=2K", "-P", "3", "--percentiles"], "standard deviation"),
        (&["-t", "0.3", "--crr"], "Connections: "),
        (&["-t", "0.3", "-u", "--rr=200", "-P", "2", "--max-loss", "99%"], ", lost "),
        (&["-t", "0.3", "--threads", "3", "-P", "3"], "[SUM]"),
        (&["-t", "0.3", "--get-server-output"], "Server output:"),
        (&["-n", "1M", "--repeat", "2"], "Over 2 runs:"),
    ] {
        if cfg!(feature = "portable") && flags.contains(&"-C") {
            continue; // the congestion control cannot be chosen there
        }
        let ended = measure(&server, flags);
        ended.ok();
        assert!(text(&ended).contains(promise), "{flags:?}: {promise:?} is not in\n{}", text(&ended));
    }
    stop(server);
}

// With -n and -k the receiver has counted exactly what the sender was to send.
#[test]
fn what_was_to_be_sent_arrives_to_the_last_byte() {
    let server = server(&[]);
    for (flags, bytes) in [
        (&["-n", "3M", "-J"][..], 3 << 20),
        (&["-n", "3M", "-J", "-R"], 3 << 20),
        (&["-n", "3M", "-J", "-P", "4"], 3 << 20),
        (&["-k", "7", "-l", "10K", "-J"], 70 << 10),
    ] {
        let ended = measure(&server, flags);
        ended.ok();
        let end = json(&ended)["end"].clone();
        for side in ["sum_sent", "sum_received"] {
            let counted = end[side]["bytes"].as_u64().unwrap();
            // a receiver may see a little more than its share of what several senders were told
            assert!(counted >= bytes && counted < bytes + (1 << 20), "{flags:?} {side}: {counted}");
        }
        if !flags.contains(&"-R") {
            assert_eq!(end["sum_received"]["bytes"].as_u64(), Some(bytes), "{flags:?}");
        }
    }
    stop(server);
}

// Round trips are measured beside every throughput between two hauls.
#[test]
fn latency_under_load_stands_beside_the_throughput() {
    let server = server(&[]);
    let ended = measure(&server, &["-t", "0.3", "-J"]);
    ended.ok();
    let told = json(&ended)["haul"].clone();
    assert!(told["latency_loaded"]["samples"].as_u64().unwrap() > 0, "{told}");
    assert!(told["latency_idle"]["p50_ns"].as_u64().unwrap() > 0, "{told}");
    stop(server);
}

// A threshold that is met says nothing; one that is not ends with 8 and the figure.
#[test]
fn thresholds_decide_the_exit_status() {
    let server = server(&[]);
    let all = ["-t", "0.3", "--min", "1bit", "--max-p99", "1h"];
    measure(&server, &[&all[..1], &all[1..2], &["--min", "8bit", "--max-p99", "1h"]].concat()).ok();
    measure(&server, &["-t", "0.3", "-u", "-b", "1M", "--max-loss", "100%"]).ok();
    for (flags, promise) in [
        (&["-t", "0.3", "--min", "900Tbit"][..], "haul: threshold not met: rate "),
        (&["-t", "0.3", "--rr", "--max-p99", "1us"], "haul: threshold not met: p99 latency "),
        (&["-t", "0.3", "--max-p99", "1us", "--min", "900Tbit"], "haul: thresholds not met: 2 of 2"),
    ] {
        let ended = measure(&server, flags);
        ended.code(8);
        assert!(ended.complaints().starts_with(promise), "{flags:?}: {}", ended.stderr);
        assert!(!ended.stdout.is_empty(), "the results are printed all the same");
    }
    stop(server);
}

// An earlier run's JSON is what a later one is held to.
#[test]
fn a_run_is_compared_with_an_earlier_one() {
    let (server, home) = (server(&[]), scratch());
    let before = measure(&server, &["-t", "0.3", "-J"]);
    let path = file_with(home.path(), "before.json", &before.ok().stdout);
    let name = path.to_str().unwrap();
    measure(&server, &["-t", "0.3", "--compare", name, "--tolerance", "99.9%"]).ok();
    let mut better = json(&before);
    better["haul"]["figures"]["bits_per_second"] = 1e18.into();
    std::fs::write(&path, better.to_string()).unwrap();
    measure(&server, &["-t", "0.3", "--compare", name, "--tolerance", "5%"]).code(8);
    for (flags, promise) in [
        (&["-R"][..], "it is of data to the server, not from the server (-R)"),
        (&["--rr"], "it is of throughput, not of requests"),
        (&["-u"], "it is of TCP, not of UDP"),
        (&["-P", "2"], "it is of 1 stream, not of 2"),
        (&["-l", "1K"], "it is of blocks of 131072 bytes, not of 1024"),
        (&["-b", "1M"], "it is of streams held to nothing, not to 1.00 Mbits/sec"),
    ] {
        let refused = measure(&server, &[&["-t", "0.3", "--compare", name], flags].concat());
        refused.code(2);
        assert!(refused.one_error().ends_with(promise), "{}", refused.stderr);
    }
    let nothing = measure(&server, &["--compare", "-"]);
    nothing.code(2);
    assert!(nothing.stderr.contains("it is read from a file, and not from standard input"), "{}", nothing.stderr);
    std::fs::write(&path, "{}").unwrap();
    let refused = measure(&server, &["-t", "0.3", "--compare", name]);
    refused.code(2);
    assert!(refused.one_error().starts_with("haul: cannot use --compare "));
    stop(server);
}

// With --repeat -J prints one object: each run as it would be by itself, and what they come to; it can be compared with.
#[test]
fn several_runs_are_one_object() {
    let (server, home) = (server(&[]), scratch());
    let ended = measure(&server, &["-n", "1M", "--repeat", "3", "-J", "-R"]);
    let told = json(ended.ok());
    let runs = told["runs"].as_array().unwrap();
    assert_eq!((runs.len(), told["haul"]["count"].as_u64()), (3, Some(3)), "{told}");
    for run in runs {
        assert_eq!(run["end"]["sum_received"]["bytes"].as_u64(), Some(1 << 20), "{run}");
        assert_eq!(run["start"]["test_start"]["reverse"].as_u64(), Some(1), "{run}");
    }
    assert!(told["haul"]["spread"]["bits_per_second"]["standard_deviation"].is_number(), "{told}");
    let path = file_with(home.path(), "before.json", &ended.stdout);
    let name = path.to_str().unwrap();
    measure(&server, &["-n", "1M", "-R", "--compare", name, "--tolerance", "99.9%"]).ok();
    measure(&server, &["-n", "1M", "--compare", name]).code(2);
    stop(server);
}

// Whoever reads a JSON object a line learns that there will be no more of them, and why.
#[test]
fn a_stream_of_json_says_that_it_was_cut() {
    let server = server(&[]);
    let running = client(&server, &["-t", "30", "-i", "0.1", "--json-stream"]);
    running.stdout_reaches(2000);
    running.signal(Signal::INT);
    let ended = running.wait();
    ended.killed_by(Signal::INT);
    let events: Vec<serde_json::Value> = text(&ended).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., end, error] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (&end["event"], &error["event"], &error["data"]),
        (&"end".into(), &"error".into(), &"interrupted".into())
    );
    stop(server);
}

// Each run is told as it happens, and what they come to at the end: all that was known of several came at once.
#[test]
fn a_stream_of_json_tells_run_after_run() {
    let server = server(&[]);
    let ended = measure(&server, &["-n", "1M", "-i", "0", "--json-stream", "--repeat", "2", "--min", "900Tbit"]);
    ended.code(8);
    let events: Vec<serde_json::Value> = text(&ended).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "end", "start", "end", "summary"]);
    let haul = &events[4]["data"]["haul"];
    assert_eq!(haul["count"].as_u64(), Some(2), "{haul}");
    assert!(haul["spread"]["bits_per_second"]["standard_deviation"].is_number(), "{haul}");
    assert_eq!(haul["verdicts"][0]["met"].as_bool(), Some(false), "{haul}");
    stop(server);
}

// What was seen in the warm-up is no result, however it ends; requests had no lines in it.
#[test]
fn a_warm_up_that_is_not_over_is_no_result() {
    let server = server(&[]);
    for load in [&["--rr"][..], &["-b", "8M"]] {
        let running = client(&server, &[&["-O", "30", "-i", "0.1"], load].concat());
        running.stdout_reaches(700);
        running.signal(Signal::INT);
        let ended = running.wait();
        ended.killed_by(Signal::INT);
        let all = text(&ended);
        let lines: Vec<_> = all.lines().filter(|line| line.starts_with("[  1]") && line.contains(" sec ")).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.ends_with("  (omitted)")), "{all}");
        let end = "stopped early: interrupted, before the warm-up was over: nothing was measured";
        assert_eq!(all.lines().last(), Some(end), "{all}");
    }
    stop(server);
}

// Short intervals have columns that tell them apart.
#[test]
fn short_intervals_are_told_apart() {
    let ended = haul(["bench", "--local", "-t", "0.3", "-i", "0.002", "-b", "80M"]).run();
    ended.ok();
    let all = text(&ended);
    let columns: Vec<&str> = all
        .lines()
        .filter(|line| line.contains(" sec ") && !line.ends_with("sender") && !line.ends_with("receiver"))
        .filter_map(|line| line.split_whitespace().find(|word| word.contains('-') && word.contains('.')))
        .collect();
    assert!(!columns.is_empty(), "{all}");
    for column in columns {
        let (start, end) = column.split_once('-').unwrap();
        assert_ne!(start, end, "{all}");
    }
}

// Both ends in one command, over each kind of stream.
#[test]
fn one_command_can_be_both_ends() {
    for flags in [
        &["--local"][..],
        &["--local", "unix", "--bidir"],
        &["--local", "unix", "--rr"],
        &["--local", "unix", "--crr"],
        &["--local", "-u", "-b", "10M"],
    ] {
        haul([&["bench", "-t", "0.3"], flags].concat()).run().ok();
    }
}

#[test]
#[cfg_attr(feature = "portable", ignore = "it has no pipes of its own")]
fn pipes_are_measured_too() {
    let ended = haul(["bench", "--local", "pipe", "-t", "0.3", "--bidir", "--check"]).run();
    ended.ok();
    assert!(text(&ended).contains("Payload: as it was sent"));
}

// The streams go through what is under test, and the conversation does not.
#[test]
fn streams_go_through_a_relay() {
    let server = server(&[]);
    let (target, log) = (server.address().to_string(), scratch());
    let log = log.path().join("log");
    let relay = haul(["relay", "--log", log.to_str().unwrap(), "127.0.0.1:0", &target]).spawn();
    let via = relay.address().to_string();
    measure(&server, &["-t", "0.3", "-P", "2", "--via", &via]).ok();
    relay.signal(Signal::TERM);
    relay.wait().code(0);
    let lines = std::fs::read_to_string(&log).unwrap();
    // two streams, and the round trips beside them
    assert_eq!(lines.lines().count(), 3, "{lines}");
    stop(server);
}

/// The beginning of a conversation: a cookie of iperf3's kind, and parameters.
pub fn parameters(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap().to_be_bytes();
    [b"i4a2snxgmrqgqlei56codfbnjex2bfkzjze4\0", &length[..], json.as_bytes()].concat()
}

const PLAIN: &str = r#"{"tcp":true,"time":5,"parallel":1,"len":131072}"#;

// Twenty clients at once, five of which die at different points: the other fifteen do not notice, nor does the next.
#[test]
fn clients_that_die_are_nobody_elses_business() {
    let server = server(&[]);
    let alive: Vec<_> = (0..15)
        .map(|index| match index % 3 {
            0 => client(&server, &["-t", "1", "-b", "50M"]),
            1 => client(&server, &["-t", "1", "-b", "50M", "-R", "-P", "2"]),
            _ => client(&server, &["-t", "1", "-u", "-b", "5M"]),
        })
        .collect();
    // one that says nothing, one in the cookie, one in the parameters, one that opens no stream, one in the middle
    let whole = parameters(PLAIN);
    for length in [0, 20, 45, whole.len()] {
        let mut peer = Peer::connect(server.address());
        peer.send(&whole[..length]);
        drop(peer);
    }
    let victim = client(&server, &["-t", "30", "-i", "0.1"]);
    victim.stdout_reaches(200);
    victim.signal(Signal::KILL);
    victim.wait().killed_by(Signal::KILL);
    for running in alive {
        running.wait().ok();
    }
    measure(&server, &["-n", "1M"]).ok();
    stop(server);
}

// A server that has as many clients as it may have says so, and serves again once one has left.
#[test]
fn a_busy_server_says_so() {
    let server = server(&["--max-clients", "1"]);
    let first = client(&server, &["-t", "30", "-i", "0.1"]);
    first.stdout_reaches(200);
    let refused = measure(&server, &["-t", "0.3"]);
    refused.code(1);
    assert!(refused.one_error().ends_with(": it is busy with another test"));
    first.signal(Signal::INT);
    let first = first.wait();
    first.killed_by(Signal::INT);
    assert!(text(&first).contains("stopped early: interrupted"));
    crate::harness::poll_until("room for the next one", || {
        (measure(&server, &["-n", "1M"]).status.code() == Some(0)).then_some(())
    });
    stop(server);
}

// What a server does not allow is refused before anything is sent, and what it bounds is bounded.
#[test]
fn a_server_holds_its_clients_to_its_limits() {
    let server = server(&["--max-time", "2", "--max-rate", "10Mbit"]);
    let refused = measure(&server, &["-t", "9"]);
    refused.code(1);
    assert!(refused.one_error().ends_with(": the test would take longer than it allows"));
    let refused = measure(&server, &["-t", "1", "-b", "20M"]);
    assert!(refused.one_error().ends_with(": it does not allow that rate"));
    // requests are held by their answers; one whose connections are no streams must not divide by their number
    for trips in [&["--crr=100K"][..], &["--rr=100K"], &["--rr=100K", "-P", "2"], &["-u", "--rr=60K"]] {
        let ended = measure(&server, &[&["-t", "1", "-J"], trips].concat());
        ended.ok();
        let rate = json(&ended)["haul"]["figures"]["bits_per_second"].as_f64().unwrap();
        assert!(0.0 < rate && rate < 15e6, "{trips:?}: {rate}");
    }
    for way in [&["-R"][..], &[]] {
        let ended = measure(&server, &[&["-t", "1", "-J"], way].concat());
        ended.ok();
        let rate = json(&ended)["end"]["sum_received"]["bits_per_second"].as_f64().unwrap();
        assert!(rate < 15e6, "{way:?}: {rate}");
    }
    stop(server);
}

// With -1 the server ends after its test, with the table on standard output.
#[test]
fn a_server_for_one_test_ends_with_it() {
    let server = server(&["-1"]);
    measure(&server, &["-n", "1M"]).ok();
    let ended = server.wait();
    ended.ok();
    assert!(text(&ended).contains("Accepted connection from 127.0.0.1"), "{}", text(&ended));
}

// Its one test has not been what it was to be: that was status 0 without a word.
#[test]
fn a_server_for_one_test_fails_with_it() {
    let server = server(&["-1", "--max-time", "1h"]);
    let client = client(&server, &["-t", "30", "-i", "0.1", "--json-stream"]);
    client.stdout_reaches(1000);
    client.signal(Signal::KILL);
    client.wait().killed_by(Signal::KILL);
    let ended = server.wait();
    ended.code(1);
    assert!(ended.complaints().starts_with("haul: cannot transfer with 127.0.0.1:"), "{}", ended.stderr);
    let server = self::server(&["-1", "--max-time", "1s"]);
    measure(&server, &["-t", "2"]).code(1);
    let ended = server.wait();
    ended.code(1);
    assert!(ended.stderr.contains(": refused: the test would take longer than this server allows"), "{}", ended.stderr);
}

// A burst goes whole, and the next one only when it has been paid for: eight of them in a second.
#[test]
fn bursts_are_whole_and_the_rate_is_kept() {
    let server = server(&[]);
    for way in [&[][..], &["-R"]] {
        // 10 datagrams of 1000 bytes are 80,000 bits
        let flags = ["-u", "-l", "1000", "-b", "80K/10", "-k", "30", "-J"];
        let ended = measure(&server, &[&flags, way].concat());
        ended.ok();
        let told = json(&ended);
        assert_eq!(told["end"]["sum_received"]["bytes"].as_u64(), Some(30_000), "{way:?}: {told}");
        // the third burst is due after two seconds
        let rate = told["end"]["sum_sent"]["bits_per_second"].as_f64().unwrap();
        assert!(rate < 130e3, "{way:?}: {rate}: {told}");
    }
    let ended = measure(&server, &["-n", "100K", "-l", "1K", "-b", "800K/50", "-J"]);
    ended.ok();
    let rate = json(&ended)["end"]["sum_sent"]["bits_per_second"].as_f64().unwrap();
    assert!(rate < 1.7e6, "{rate}");
    stop(server);
}

// A client that promises more than it says is told by iperf3's numbers, and costs no memory.
#[test]
fn parameters_that_make_no_sense_are_refused() {
    let server = server(&["-v"]);
    for (said, code) in [
        (&u32::MAX.to_be_bytes()[..], 114_u8),
        (&parameters("{\"tcp\":")[37..], 114),
        (&parameters(r#"{"tcp":true,"parallel":100000}"#)[37..], 6),
        (&parameters(r#"{"udp":true,"len":9000000}"#)[37..], 7),
    ] {
        let mut peer = Peer::connect(server.address());
        peer.send(&parameters("")[..37]);
        peer.send(said);
        assert_eq!(peer.receive(10), [9, 254, 0, 0, 0, code, 0, 0, 0, 0]);
    }
    stop(server);
}

// SIGUSR1 asks either end for what has moved so far, and ends nothing.
#[test]
fn sigusr1_prints_totals_at_both_ends() {
    let server = server(&[]);
    // until it listens a signal may still kill it
    server.address();
    server.signal(Signal::USR1);
    server.stderr_line("haul: received 0 B, sent 0 B in ");
    let running = client(&server, &["-t", "1", "-i", "0.1", "-b", "50M"]);
    running.stdout_reaches(200);
    running.signal(Signal::USR1);
    running.stderr_line("haul: received 0 B, sent ");
    server.signal(Signal::USR1);
    server.stderr_line("haul: 127.0.0.1:");
    running.wait().code(0);
    stop(server);
}

// A reader of the results that goes away early ends the measurement like any other program.
#[test]
fn results_that_nobody_reads_end_it_quietly() {
    let server = server(&[]);
    let address = server.address().to_string();
    let script = format!("{} bench {address} -t 30 -i 0.1 | head -n 1", env!("CARGO_BIN_EXE_haul"));
    let ended = crate::harness::Program::new("sh", ["-c", &script]).run();
    ended.code(0);
    assert_eq!(ended.complaints(), "");
    stop(server);
}
