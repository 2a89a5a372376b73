//! `haul listen -u --seq`: what the stamps of `send-udp --seq` tell about the way.

use std::net::UdpSocket;

#[cfg(not(feature = "portable"))]
use rustix::process::Signal;

#[cfg(not(feature = "portable"))]
use crate::harness::poll_until;
use crate::harness::{haul, scratch};

use crate::listen_udp::{peer, program, start};

/// A datagram with a stamp, as the documentation of the format has it.
fn stamped(session: u64, sequence: u64, end: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"hseq\x01".to_vec();
    bytes.extend([u8::from(end), 0, 0]);
    bytes.extend(session.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((sequence * 1000).to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn stamps_are_stripped_and_the_account_tells_what_became_of_each() {
    let home = scratch();
    let events = home.path().join("events");
    let flags = ["--seq", "--split", "line", "-W", "9", "--events", events.to_str().unwrap()];
    let (running, at) = start(program(&flags, &[]));
    let socket = peer(at);
    // 3 is lost, 5 comes after 6, 7 comes twice, 9 of another is no stamp at all
    for sequence in [0, 1, 2, 4, 6, 5, 7, 7] {
        socket.send(&stamped(1, sequence, false, &[b'a' + sequence as u8])).unwrap();
    }
    for _ in 0..3 {
        socket.send(&stamped(1, 8, true, b"")).unwrap();
    }
    let name = socket.local_addr().unwrap();
    let told = running.stderr_line(&format!("haul: {name}: "));
    let expected = format!("haul: {name}: sent 8, received 7, lost 1 (12.50 %), reordered 1, duplicated 1, jitter ");
    assert!(told.starts_with(&expected), "{told}");
    socket.send(b"plain").unwrap();
    let ended = running.wait();
    assert_eq!(ended.code(0).stdout, b"a\nb\nc\ne\ng\nf\nh\nh\nplain\n");
    assert_eq!(ended.complaints().lines().count(), 2, "told once: {}", ended.stderr);
    assert!(ended.stderr.ends_with("haul: 1 datagram without a stamp\n"), "{}", ended.stderr);
    let events = std::fs::read_to_string(&events).unwrap();
    let loss: Vec<&str> = events.lines().filter(|line| line.contains(r#""event":"loss""#)).collect();
    assert_eq!(loss.len(), 1, "{events}");
    assert!(
        loss[0].contains(r#""sent":8,"received":7,"bytes":7,"lost":1,"dropped_here":0,"reordered":1,"duplicated":1"#)
    );
}

#[test]
fn each_sender_of_stamps_has_its_own_account_and_there_is_a_total() {
    let (running, at) = start(program(&["--seq", "-W", "6"], &[]));
    let (first, second) = (peer(at), peer(at));
    for sequence in [0, 1, 2] {
        first.send(&stamped(1, sequence, false, b"x")).unwrap();
        second.send(&stamped(2, sequence * 2, false, b"x")).unwrap();
    }
    let ended = running.wait();
    let told = ended.code(0).complaints();
    let line = |socket: &UdpSocket| {
        let start = format!("haul: {}: ", socket.local_addr().unwrap());
        told.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{told}")).to_string()
    };
    assert!(line(&first).contains(": sent 3, received 3, lost 0 ("), "{told}");
    assert!(line(&second).contains(": sent 5, received 3, lost 2 ("), "{told}");
    assert!(told.contains("haul: all senders: sent 8, received 6, lost 2 (25.00 %)"), "{told}");
}

// The portable build is told nothing of it.
#[cfg(not(feature = "portable"))]
#[test]
fn what_is_dropped_here_is_told_apart_from_what_the_network_lost() {
    let (running, at) = start(program(&["--seq", "--rcvbuf", "4Ki", "-k"], &[]));
    let socket = peer(at);
    // 1 is lost on the way
    for sequence in [0, 2] {
        socket.send(&stamped(1, sequence, false, &[0; 10])).unwrap();
    }
    running.stdout_reaches(20);
    running.freeze();
    for sequence in 3..100 {
        socket.send(&stamped(1, sequence, false, &[0; 1000])).unwrap();
    }
    running.thaw();
    poll_until("what has come to be read", || {
        socket.send(&stamped(1, 100, true, b"")).unwrap();
        running.signal(Signal::USR1);
        let told = running.stderr_line("haul: ");
        (!told.is_empty()).then_some(())
    });
    let told = running.stderr_line(&format!("haul: {}: ", socket.local_addr().unwrap()));
    let number = |after: &str| -> u64 {
        let rest = told.split_once(after).unwrap_or_else(|| panic!("{told}")).1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let (lost, here) = (number(", lost "), number(" %, "));
    assert_eq!((number(": sent "), lost - here), (100, 1), "{told}");
    assert!(here > 0, "{told}");
}

#[cfg(not(feature = "portable"))]
#[test]
fn what_is_dropped_behind_the_last_stamp_is_told_at_the_end() {
    let home = scratch();
    let events = home.path().join("events");
    let flags = ["--seq", "--rcvbuf", "4Ki", "-k", "--events", events.to_str().unwrap()];
    let (running, at) = start(program(&flags, &[]));
    let socket = peer(at);
    socket.send(&stamped(1, 0, false, &[0; 10])).unwrap();
    running.stdout_reaches(10);
    running.freeze();
    for sequence in 1..100 {
        socket.send(&stamped(1, sequence, false, &[0; 1000])).unwrap();
    }
    running.thaw();
    running.signal(Signal::TERM);
    let ended = running.wait();
    let told = ended.code(0).one_error();
    let number = |after: &str| -> u64 {
        let rest = told.split_once(after).unwrap_or_else(|| panic!("{told}")).1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let unseen = 100 - number(", received ");
    assert!(unseen > 0 && told.contains(&format!(", {unseen} dropped here that no stamp tells of, ")), "{told}");
    let events = std::fs::read_to_string(&events).unwrap();
    assert!(events.contains(&format!(r#""dropped_unseen":{unseen}}}"#)), "{events}");
}

#[test]
fn stamps_of_another_version_are_counted_apart_and_intervals_told() {
    let (running, at) = start(program(&["--seq", "-W", "4", "--progress=line"], &[]));
    let socket = peer(at);
    socket.send(&stamped(1, 0, false, b"x")).unwrap();
    running.stderr_line_where(|line| line.contains(" s: sent 1, received 1, lost 0 "));
    let mut foreign = stamped(1, 1, false, b"y");
    foreign[4] = 2;
    for datagram in [&foreign[..], &foreign, b"plain"] {
        socket.send(datagram).unwrap();
    }
    let told = running.wait().code(0).stderr.clone();
    assert!(told.contains("haul: 2 datagrams with stamps of version 2, which are not understood\n"), "{told}");
    assert!(told.contains("haul: 1 datagram without a stamp\n"), "{told}");
}

#[test]
fn send_udp_and_listen_agree_on_stamps() {
    let (running, at) = start(program(&["--seq", "--stats"], &[]));
    haul(["send-udp", "--seq", "--count", "100", "--pps", "5000", "-w", "0", &at.to_string(), "payload"]).run().code(0);
    let told = running.stderr_line("haul: 127.0.0.1:");
    assert!(told.contains(": sent 100, received 100, lost 0 (0.00 %), reordered 0, duplicated 0, jitter "), "{told}");
    assert_eq!(running.stdout_reaches(700).len(), 700);
}
