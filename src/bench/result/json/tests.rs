use serde_json::Value;

use super::*;
use crate::bench::result::baseline::{Asked, Baseline};
use crate::bench::result::testing::{requests, run};
use crate::bench::result::verdict::Thresholds;
use crate::bench::result::{Direction, Protocol};

fn object(results: &Results) -> Value {
    serde_json::from_str(&whole(results, &[])).unwrap()
}

/// The keys of an object at a path.
fn keys(object: &Value, path: &str) -> Vec<String> {
    object.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect()
}

/// Sorted, as the map of a parsed object is.
fn sorted(words: &str) -> Vec<String> {
    let mut words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    words.sort_unstable();
    words
}

// The keys that iperf3 3.12 writes for a TCP run.
#[test]
fn tcp_has_the_fields_of_iperf3() {
    let object = object(&run(Protocol::Tcp, Direction::Forward, 1));
    assert_eq!(keys(&object, ""), sorted("start intervals end haul"));
    let start = "connected version timestamp connecting_to cookie tcp_mss target_bitrate sock_bufsize sndbuf_actual \
                 rcvbuf_actual test_start";
    assert_eq!(keys(&object, "/start"), sorted(start));
    assert_eq!(object["start"]["timestamp"]["time"], "Fri, 20 Nov 2026 12:57:08 GMT");
    let test = "protocol num_streams blksize omit duration bytes blocks reverse tos target_bitrate bidir";
    assert_eq!(keys(&object, "/start/test_start"), sorted(test));
    let slice =
        "socket start end seconds bytes bits_per_second retransmits snd_cwnd snd_wnd rtt rttvar pmtu omitted sender";
    assert_eq!(keys(&object, "/intervals/0/streams/0"), sorted(slice));
    assert_eq!(object["intervals"][1]["streams"][0]["rtt"], 153);
    let sum = "start end seconds bytes bits_per_second retransmits omitted sender";
    assert_eq!(keys(&object, "/intervals/0/sum"), sorted(sum));
    let end = "streams sum_sent sum_received cpu_utilization_percent sender_tcp_congestion receiver_tcp_congestion";
    assert_eq!(keys(&object, "/end"), sorted(end));
    let sender = "socket start end seconds bytes bits_per_second retransmits max_snd_cwnd max_snd_wnd max_rtt min_rtt \
                  mean_rtt sender";
    assert_eq!(keys(&object, "/end/streams/0/sender"), sorted(sender));
    assert_eq!(object["end"]["sum_sent"]["retransmits"], 6);
    assert_eq!(object["end"]["sum_received"]["seconds"], 2.01);
    let cpu = "host_total host_user host_system remote_total remote_user remote_system";
    assert_eq!(keys(&object, "/end/cpu_utilization_percent"), sorted(cpu));
}

#[test]
fn datagrams_have_the_fields_of_iperf3_and_more() {
    let object = object(&run(Protocol::Udp, Direction::Forward, 2));
    let udp = &object["end"]["streams"][0]["udp"];
    assert_eq!((&udp["packets"], &udp["lost_packets"], &udp["lost_percent"]), (&500.into(), &10.into(), &2.0.into()));
    assert_eq!((&udp["out_of_order"], &udp["jitter_ms"]), (&2.into(), &0.008.into()));
    assert_eq!((&udp["haul_offered_packets"], &udp["haul_received_packets"]), (&510.into(), &490.into()));
    assert_eq!(object["end"]["sum"]["lost_packets"], 20);
    assert_eq!(object["intervals"][0]["sum"]["packets"], 1000);
    assert!(object["intervals"][0]["sum"].get("lost_packets").is_none(), "a sender does not know");
}

#[test]
fn directions_go_by_the_names_of_iperf3() {
    let both = object(&run(Protocol::Tcp, Direction::Both, 1));
    for (name, sender) in [
        ("sum_sent", true),
        ("sum_received", true),
        ("sum_sent_bidir_reverse", false),
        ("sum_received_bidir_reverse", false),
    ] {
        assert_eq!(both["end"][name]["sender"], sender, "{name}");
    }
    assert_eq!(both["intervals"][0]["sum_bidir_reverse"]["sender"], false);
    let reverse = object(&run(Protocol::Tcp, Direction::Reverse, 1));
    assert_eq!(reverse["end"]["sum_received"]["sender"], false);
    assert!(reverse["end"].get("sum_sent_bidir_reverse").is_none());
}

// What is written can be compared with, and gives the figures that were judged.
#[test]
fn what_is_written_can_be_compared_with() {
    for results in [
        run(Protocol::Tcp, Direction::Both, 2),
        run(Protocol::Udp, Direction::Reverse, 1),
        run(Protocol::Other("unix"), Direction::Forward, 1),
        requests(),
    ] {
        let read = Baseline::parse(whole(&results, &[]).as_bytes()).unwrap();
        for figure in Figure::ALL {
            // serde_json reads a number to its last bit but one
            let near = |(a, b): (f64, f64)| (a - b).abs() <= a * 1e-12;
            let (read, told) = (read.figures.of(figure), results.figures().of(figure));
            assert!(read.zip(told).map_or(read == told, near), "{figure:?}: {read:?} {told:?}");
        }
        assert_eq!(read.check(&Asked::from(&results.setup)), Ok(()));
    }
}

#[test]
fn latency_and_verdicts_stand_under_haul() {
    let results = requests();
    let thresholds = Thresholds { max_p99: Some(std::time::Duration::from_micros(50)), ..Thresholds::default() };
    let verdicts = thresholds.judge(&results.figures());
    let object: Value = serde_json::from_str(&whole(&results, &verdicts)).unwrap();
    let haul = &object["haul"];
    assert_eq!((&haul["kind"], &haul["transactions"]), (&"requests".into(), &100.into()));
    assert_eq!((&haul["latency"]["max_ns"], &haul["latency"]["samples"]), (&100_000.into(), &100.into()));
    assert_eq!((&haul["verdicts"][0]["met"], &haul["verdicts"][0]["at_most"]), (&false.into(), &50_000.0.into()));
    assert_eq!(object["intervals"][0]["haul_latency"]["samples"], 100);
}

// Every record is one line with its event, and together they hold what -J holds.
#[test]
fn a_stream_is_one_object_a_line() {
    let results = run(Protocol::Tcp, Direction::Forward, 1);
    let whole = object(&results);
    let parse = |line: String| -> Value {
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    };
    let first = parse(start(&results.setup));
    assert_eq!((&first["event"], &first["data"]), (&"start".into(), &whole["start"]));
    let second = parse(interval(&results.intervals[0]));
    assert_eq!((&second["event"], &second["data"]), (&"interval".into(), &whole["intervals"][0]));
    let last = parse(end(&results, &[]));
    assert_eq!(last["data"]["sum_sent"], whole["end"]["sum_sent"]);
    assert_eq!(last["data"]["haul"], whole["haul"]);
    assert_eq!(parse(error("it went away"))["data"], "it went away");
}

#[test]
fn a_series_is_one_object_too() {
    let runs = [run(Protocol::Tcp, Direction::Forward, 1), run(Protocol::Tcp, Direction::Forward, 2)];
    let mut series = Series::default();
    runs.iter().for_each(|run| series.add(run.figures()));
    let text = repeated(&runs, &series, &[]);
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["runs"].as_array().unwrap().len(), 2);
    let rates = &object["haul"]["spread"]["bits_per_second"];
    assert!(rates["lowest"].as_f64() < rates["mean"].as_f64() && rates["standard_deviation"].as_f64() > Some(0.0));
    let read = Baseline::parse(text.as_bytes()).unwrap();
    let (read_rate, mean) = (read.figures.bits_per_second.unwrap(), series.mean().bits_per_second.unwrap());
    assert!((read_rate - mean).abs() <= mean * 1e-12);
    assert_eq!(read.check(&Asked::from(&runs[0].setup)), Ok(()));
}
