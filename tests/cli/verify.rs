//! `--verify`: the sender's success means that the receiver has every byte, and nothing else looks like it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;

use crate::data::{FEW_SIZES, assert_prefix, assert_same, bytes};
use crate::harness::{
    Ended, Ending, Input, Listener, Peer, Program, Running, Sink, create, haul, open, poll_until, proc, require,
    scratch,
};

const GREETING: [u8; 8] = [0xf1, b'h', b'a', b'u', b'l', b'V', 1, 0];

/// Both sides with `--verify`; what the listener reads and writes, and the connector.
#[track_caller]
fn pair(listener: (Input, Sink), connector: (Input, Sink)) -> (Running, Running) {
    let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).stdin(listener.0).stdout(listener.1).spawn();
    let address = receiver.address().to_string();
    let sender = haul(["connect", "--verify", &address]).stdin(connector.0).stdout(connector.1).spawn();
    (receiver, sender)
}

#[test]
fn files_cross_verified() {
    for size in FEW_SIZES {
        let (left, right) = (bytes(1, size), bytes(2, size / 3));
        let (listener, connector) =
            pair((Input::Bytes(left.clone()), Sink::Captured), (Input::Bytes(right.clone()), Sink::Captured));
        let (listener, connector) = (listener.wait(), connector.wait());
        connector.ok();
        listener.ok();
        assert_same("to the connector", &connector.stdout, &left);
        assert_same("to the listener", &listener.stdout, &right);
    }
}

#[test]
fn a_listener_without_input_receives_verified() {
    for flags in [&["-d"][..], &["--recv-only"], &[]] {
        let payload = bytes(3, 3 << 20);
        let receiver = haul([&["listen", "--verify", "127.0.0.1:0"], flags].concat()).spawn();
        let address = receiver.address().to_string();
        let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(payload.clone())).run();
        let receiver = receiver.wait();
        sender.ok().no_stdout();
        receiver.ok();
        assert_same("received", &receiver.stdout, &payload);
    }
}

#[test]
fn a_sender_that_only_sends_is_confirmed() {
    let payload = bytes(3, 1 << 20);
    let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).stdin(Input::Bytes(b"dropped".to_vec())).spawn();
    let address = receiver.address().to_string();
    let sender = haul(["connect", "--verify", "--send-only", &address]).stdin(Input::Bytes(payload.clone())).run();
    sender.ok().no_stdout();
    receiver.wait().ok();
}

#[test]
fn each_connection_of_a_server_is_verified_by_itself() {
    let server = haul(["listen", "-k", "--count", "3", "--verify", "127.0.0.1:0", "--", "cat"]).spawn();
    let address = server.address().to_string();
    // a plain one comes in between
    let plain = haul(["connect", &address]).stdin(Input::Bytes(b"hello".to_vec())).run();
    plain.code(1);
    for seed in [1, 2] {
        let payload = bytes(seed, 2 << 20);
        let client = haul(["connect", "--verify", &address]).stdin(Input::Bytes(payload.clone())).run();
        client.ok();
        assert_same("echoed", &client.stdout, &payload);
    }
    server.wait().code(0);
}

#[test]
fn a_sender_is_not_done_before_the_receiver_has_written() {
    let (mut receiver, sender) = pair((Input::Null, Sink::Held), (Input::Bytes(bytes(4, 2 << 20)), Sink::Captured));
    let mut held = receiver.held.take().unwrap();
    // more than a pipe and less than the sockets hold: the sender has nothing left to do but to wait
    proc::wait_until_idle(sender.pid());
    proc::wait_until_idle(receiver.pid());
    assert_ne!(proc::state(sender.pid()), 'Z', "done although nothing is written");
    let mut got = Vec::new();
    held.read_to_end(&mut got).unwrap();
    assert_same("received", &got, &bytes(4, 2 << 20));
    sender.wait().ok();
    receiver.wait().ok();
}

#[test]
fn a_full_disk_is_status_5_there_and_4_here() {
    for payload in [bytes(5, 100), bytes(5, 5 << 20)] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (receiver, sender) = pair((Input::Null, Sink::Fd(full.into())), (Input::Bytes(payload), Sink::Captured));
        let sender = sender.wait();
        let line = "haul: sending failed after 0 B: the receiver could not write: no space left on device";
        assert_eq!(sender.code(4).one_error(), line);
        let receiver = receiver.wait();
        let line = "haul: cannot write standard output: no space left on device";
        assert_eq!(receiver.code(5).one_error(), line);
    }
}

#[test]
fn a_source_that_fails_is_no_end_for_the_receiver() {
    // reading from a process's memory at 0 is an error, and at no time an end
    let source = open(std::path::Path::new("/proc/self/mem"));
    let (receiver, sender) = pair((Input::Null, Sink::Captured), (Input::Fd(source), Sink::Captured));
    sender.wait().code(5).one_error();
    receiver.wait().code(4).one_error();
}

#[test]
fn a_signal_on_one_side_is_status_4_on_the_other() {
    for signals_sender in [true, false] {
        let (receiver, mut sender) = pair((Input::Null, Sink::Captured), (Input::Piped, Sink::Captured));
        sender.say(b"half of it");
        receiver.stdout_reaches(10);
        let (first, other) = if signals_sender { (sender, receiver) } else { (receiver, sender) };
        first.signal(Signal::TERM);
        first.wait().killed_by(Signal::TERM);
        let other = other.wait();
        assert!(other.code(4).one_error().contains("interrupted"));
    }
}

/// One side is killed at a random point of a transfer that has not ended; the other one's status.
fn kill_at(seed: u64) -> (bool, Vec<u8>, Ended) {
    let dice = bytes(seed, 16);
    let number = |at: usize| u32::from_le_bytes(dice[at..at + 4].try_into().unwrap()) as usize;
    let (receiver, mut sender) = pair((Input::Null, Sink::Captured), (Input::Piped, Sink::Captured));
    let payload = bytes(seed, 4 << 20);
    let mut stdin = sender.stdin.take().unwrap();
    let given = payload.clone();
    // never ended by the test before somebody was killed
    let feeding = thread::spawn(move || {
        let _ = stdin.write_all(&given);
        stdin
    });
    receiver.stdout_reaches(number(0) % (3 << 20));
    let kills_sender = number(4) % 2 == 0;
    let (victim, survivor) = if kills_sender { (sender, receiver) } else { (receiver, sender) };
    victim.signal(Signal::KILL);
    victim.wait().killed_by(Signal::KILL);
    drop(feeding.join().unwrap());
    (kills_sender, payload, survivor.wait())
}

#[test]
fn a_side_that_is_killed_is_never_success_on_the_other() {
    for seed in 0..100 {
        let (kills_sender, payload, survivor) = kill_at(seed);
        survivor.code(4).one_error();
        if kills_sender {
            assert_prefix("received", &survivor.stdout, &payload);
        }
    }
}

#[test]
fn a_side_that_is_killed_near_the_end_is_success_only_with_everything() {
    for seed in 0..30 {
        let payload = bytes(seed, 1 << 20);
        let home = scratch();
        let path = home.path().join("out");
        let (receiver, sender) =
            pair((Input::Null, Sink::Fd(create(&path))), (Input::Bytes(payload.clone()), Sink::Captured));
        // the last bytes, the end frame, the receipts: the kill meets any of them
        let enough = payload.len() as u64 - seed * 1000;
        poll_until("most of the file", || std::fs::metadata(&path).ok().filter(|found| found.len() >= enough));
        let (victim, survivor) = if seed % 2 == 0 { (sender, receiver) } else { (receiver, sender) };
        victim.signal(Signal::KILL);
        let survivor = survivor.wait();
        match survivor.status.code() {
            Some(0) => assert_same("received", &std::fs::read(&path).unwrap(), &payload),
            _ => {
                survivor.code(4).one_error();
            }
        }
        drop(victim);
    }
}

#[test]
fn a_plain_haul_is_told_apart_on_either_side() {
    let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
    let address = receiver.address().to_string();
    let sender = haul(["connect", &address]).stdin(Input::Bytes(b"plain".to_vec())).run();
    sender.code(1);
    assert_eq!(sender.stdout, GREETING);
    let receiver = receiver.wait();
    let line = receiver.code(4).no_stdout().one_error();
    assert_eq!(line, "haul: nothing was transferred: the peer does not use --verify");

    let receiver = haul(["listen", "127.0.0.1:0"]).stdin(Input::Bytes(b"plain".to_vec())).spawn();
    let address = receiver.address().to_string();
    let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(6, 100_000))).run();
    let line = sender.code(4).no_stdout().one_error();
    assert_eq!(line, "haul: nothing was transferred: the peer does not use --verify");
    let receiver = receiver.wait();
    receiver.code(1);
    assert_eq!(receiver.stdout, GREETING);
}

#[test]
fn nc_gets_eight_bytes_and_no_payload() {
    let Some(nc) = require("nc.openbsd") else { return };
    let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).stdin(Input::Bytes(bytes(9, 1000))).spawn();
    let port = receiver.address().port().to_string();
    let nc = Program::new(nc, ["-N", "127.0.0.1", &port]).stdin(Input::Bytes(b"hello".to_vec())).run();
    // once it is reset this nc does not read what came before
    assert!(GREETING.starts_with(&nc.stdout));
    let receiver = receiver.wait();
    let line = receiver.code(4).no_stdout().one_error();
    assert_eq!(line, "haul: nothing was transferred: the peer does not use --verify");
}

#[test]
fn a_peer_that_says_nothing_is_given_ten_seconds_at_most() {
    let listener = Listener::tcp();
    let sender = haul(["connect", "--verify", &listener.endpoint()]).stdin(Input::Bytes(bytes(6, 1000))).spawn();
    let mut peer = listener.accept();
    assert_eq!(peer.receive(8), GREETING);
    assert!(peer.hears_nothing());
    let line = sender.wait();
    let line = line.code(4).one_error();
    assert_eq!(line, "haul: nothing was transferred: the peer gave no greeting of --verify within 10s");
    assert_eq!(peer.receive_all(), (vec![], Ending::Reset));
}

#[test]
fn rubbish_and_other_versions_are_refused() {
    let cases: [(&[u8], &str); 4] = [
        (b"GET / HTTP/1.0\r\n\r\n", "nothing was transferred: the peer does not use --verify"),
        (
            &[0xf1, b'h', b'a', b'u', b'l', b'V', 7, 0],
            "nothing was transferred: the peer speaks version 7 of --verify, this is version 1",
        ),
        (
            &[0xf1, b'h', b'a', b'u', b'l', b'V', 1, 0, 1, 0xff, 0xff, 0xff, 0xff],
            "receiving failed after 0 B: the peer broke the protocol of --verify: a data frame of more than 1 MiB",
        ),
        (
            &[0xf1, b'h', b'a', b'u', b'l', b'V', 1, 0, 99, 0, 0, 0, 1],
            "receiving failed after 0 B: the peer broke the protocol of --verify: an unknown frame",
        ),
    ];
    for (wire, wanted) in cases {
        let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
        let mut peer = Peer::connect(receiver.address());
        peer.send(wire);
        let receiver = receiver.wait();
        assert_eq!(receiver.code(4).no_stdout().one_error(), format!("haul: {wanted}"));
    }
}

/// Passes bytes between a connector and `to`; what comes from the connector goes through `alter`, which gives what is
/// to be sent, and whether it goes on after that.
fn proxy(to: String, mut alter: impl FnMut(Vec<u8>) -> (Vec<u8>, bool) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(to).unwrap();
        let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = std::io::copy(&mut back_from, &mut back_to);
            let _ = back_to.shutdown(Shutdown::Write);
        });
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let (bytes, goes_on) = alter(buffer[..count].to_vec());
            if server.write_all(&bytes).is_err() || !goes_on {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut client, &mut std::io::sink());
        let _ = back.join();
    });
    address
}

#[test]
fn a_bit_that_changes_on_the_way_is_status_4_on_both_sides() {
    // in the greeting, a header, the payload, and somewhere in 3 MiB of frames
    for at in [3, 9, 40, 2_000_003] {
        let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
        let mut passed = 0;
        let address = proxy(receiver.address().to_string(), move |mut bytes| {
            if (passed..passed + bytes.len()).contains(&at) {
                bytes[at - passed] ^= 0x10;
            }
            passed += bytes.len();
            (bytes, true)
        });
        let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(7, 3 << 20))).run();
        sender.code(4).one_error();
        receiver.wait().code(4).one_error();
    }
}

#[test]
fn a_stream_that_is_cut_on_the_way_is_status_4_on_both_sides() {
    for at in [0, 5, 8, 11, 500_000, (1 << 20) + 30] {
        let receiver = haul(["listen", "--verify", "127.0.0.1:0"]).spawn();
        let mut left = at;
        let address = proxy(receiver.address().to_string(), move |mut bytes| {
            bytes.truncate(left);
            left -= bytes.len();
            (bytes, left > 0)
        });
        let sender = haul(["connect", "--verify", &address]).stdin(Input::Bytes(bytes(8, 1 << 20))).run();
        sender.code(4).one_error();
        let receiver = receiver.wait();
        receiver.code(4).one_error();
    }
}
