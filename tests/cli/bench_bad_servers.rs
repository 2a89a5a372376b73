//! `bench` against servers that are none, or go wrong: one line, the right status, and never a hang.

use std::thread;

use crate::harness::{Ended, Listener, haul};

/// Runs a client against a server that says these pieces, each after so many bytes of the client, and then closes.
#[track_caller]
fn against(script: Vec<(usize, Vec<u8>)>, flags: &[&str]) -> Ended {
    let listener = Listener::tcp();
    let endpoint = listener.endpoint();
    let scripted = thread::spawn(move || {
        let mut control = listener.accept();
        let mut streams = Vec::new();
        for (heard, said) in script {
            match heard {
                // JSON has no such byte
                THE_END => while control.receive(1) != [4] {},
                heard => drop(control.receive(heard)),
            }
            control.send(&said);
            if said == [10] {
                // it is asked for a stream
                streams.push(listener.accept());
            }
        }
        control.finish();
        control.receive_all();
    });
    let ended = haul([&["bench", &endpoint, "-t", "1"], flags].concat()).run();
    scripted.join().unwrap();
    ended
}

/// Until the client says that the test is over.
const THE_END: usize = usize::MAX;

#[track_caller]
fn complaint(script: Vec<(usize, Vec<u8>)>, code: i32) -> String {
    let ended = against(script, &[]);
    ended.code(code);
    let line = ended.one_error();
    line[line.find(": ").unwrap() + 2..].split_once(": ").map_or(line.clone(), |(_, cause)| cause.to_string())
}

#[test]
fn a_server_that_speaks_something_else_is_named() {
    let said = complaint(vec![(37, b"SSH-2.0-x\x1b[2J\r\n".to_vec())], 1);
    assert_eq!(said, "it does not speak iperf3's protocol, it said \"SSH-2.0-x\\x1b[2J\\r\\n\"");
    // its first byte is what haul says first
    let said = complaint(vec![(37, b"HTTP/1.1 400 Bad Request\r\n".to_vec())], 1);
    assert_eq!(said, "it does not speak iperf3's protocol, it said \"HTTP/1.1 400 Bad Request\\r\\n\"");
    assert_eq!(complaint(vec![(37, vec![])], 1), "it does not speak iperf3's protocol");
}

#[test]
fn a_server_that_refuses_is_told_with_its_reason() {
    assert_eq!(complaint(vec![(37, vec![255])], 1), "it is busy with another test");
    let refusal = vec![9, 254, 0, 0, 0, 27, 0, 0, 0, 0];
    assert_eq!(complaint(vec![(37, refusal)], 1), "it does not allow that rate");
    assert_eq!(complaint(vec![(37, vec![9]), (4, vec![11])], 1), "it has ended the test");
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_noticed() {
    let gone = complaint(vec![(37, vec![9]), (4, vec![10]), (0, vec![1, 2])], 1);
    assert!(gone.starts_with("it has closed the connection in the middle") || gone.contains("reset"), "{gone}");
}

#[test]
fn results_that_make_no_sense_are_refused_and_bounded() {
    let begun = || vec![(37, vec![9]), (4, vec![10]), (0, vec![1, 2])];
    let with = |said: Vec<u8>| [begun(), vec![(THE_END, vec![13]), (4, said)]].concat();
    let huge = complaint(with(u32::MAX.to_be_bytes().to_vec()), 1);
    assert_eq!(huge, "its results would be 4294967295 bytes long, more than 4194304");
    let malformed = complaint(with([&7_u32.to_be_bytes()[..], b"{\"a\x1b\": "].concat()), 1);
    assert!(malformed.starts_with("its results cannot be understood: "), "{malformed}");
    assert!(!malformed.contains('\x1b'));
}

// A figure that cannot be is none: it was printed with its 308 digits.
#[test]
fn figures_that_cannot_be_are_not_printed() {
    let told = |stream: &str| {
        let text = format!(r#"{{"cpu_util_total":-1,"cpu_util_user":1e308,"streams":[{{"id":1,{stream}}}]}}"#);
        let framed = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes(), &[14]].concat();
        vec![(37, vec![9]), (4, vec![10]), (0, vec![1, 2]), (THE_END, vec![13]), (4, framed)]
    };
    let ended = against(told(r#""bytes":1000,"retransmits":1e300,"end_time":1e300"#), &[]);
    ended.ok();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("1000 Bytes") && text.lines().all(|line| line.len() < 120), "{text}");
    assert!(!text.contains("remote"), "{text}");
    assert_eq!(
        complaint(told(r#""bytes":-1000"#), 1),
        "its results cannot be understood: bytes is -1000, not 0 to 36028797018963968"
    );
}

// One that takes the connection and says nothing costs the limit and no more.
#[test]
fn a_silent_server_is_given_up() {
    let listener = Listener::tcp();
    let ended = haul(["bench", &listener.endpoint(), "--connect-timeout", "300ms"]).run();
    ended.code(3);
    assert!(ended.one_error().ends_with(": timed out after 300ms"), "{}", ended.stderr);
}

// With -J there is one object whatever happens; what was measured before is in it.
#[test]
fn json_tells_what_went_wrong() {
    let begun = || vec![(37, vec![9]), (4, vec![10]), (0, vec![1, 2])];
    for (script, bytes) in [
        (vec![(37, vec![255])], false),
        (vec![(37, vec![9, 254, 0, 0, 0, 27, 0, 0, 0, 0])], false),
        ([begun(), vec![(THE_END, vec![11])]].concat(), true),
    ] {
        let ended = against(script, &["-J", "-i", "0"]);
        ended.code(1);
        let line = ended.one_error();
        let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(line.ends_with(told["error"].as_str().unwrap()), "{line}: {told}");
        assert_eq!(told["end"]["sum_sent"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), bytes, "{told}");
    }
    let (_held, address) = crate::harness::peer::refusing_address();
    for place in [address.to_string(), "no.such.host.invalid".to_string()] {
        let ended = haul(["bench", &place, "-J"]).run();
        ended.code(1);
        let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(told["error"].is_string(), "{told}");
    }
}

#[test]
fn nobody_there_is_status_1() {
    let (_held, address) = crate::harness::peer::refusing_address();
    let ended = haul(["bench", &address.to_string()]).run();
    ended.code(1);
    assert!(ended.one_error().ends_with(": connection refused"), "{}", ended.stderr);
}
