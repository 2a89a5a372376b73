//! Two relays, one behind the other, with faults of their own: what they do to time and to segments changes no byte and
//! no end, and what they do to bytes and connections is what was asked for.

use std::net::SocketAddr;

use crate::data;
use crate::harness::{Ending, Listener, Peer, Running};
use crate::relay::{relay_to, stop};
use crate::relay_soak::sessions;

/// A relay with some flags to another one with others, which leads to the target; the one that clients come to first.
#[track_caller]
fn chain(to: SocketAddr, flags: [&[&str]; 2]) -> [Running; 2] {
    let second = relay_to(&to.to_string(), flags[1]);
    let first = relay_to(&second.address().to_string(), flags[0]);
    [first, second]
}

// Sessions in pieces, with pauses, half-closes and resets, over two bad lines.
#[test]
fn chaos_over_two_bad_lines_arrives_whole() {
    let late = ["--delay", "5ms", "--jitter", "4ms", "--chop", "700", "--seed", "11"];
    let early = ["--delay", "3ms:up", "--jitter", "3ms:up", "--chop", "1400:down", "--seed", "22"];
    for threads in ["1", "2"] {
        let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = target.local_addr().unwrap();
        let flags = [&late[..], &[&early[..], &["--threads", threads]].concat()];
        let relays = chain(to, flags);
        sessions(relays[0].address(), target, 100);
        relays.into_iter().for_each(stop);
    }
}

// Where a line cuts and another one corrupts, it is after so many bytes, and the same ones: whoever asks twice with the
// same seeds gets the same.
#[test]
fn two_bad_lines_do_the_same_mischief_again() {
    let sent = data::bytes(31, 200_000);
    let through = || {
        let target = Listener::tcp();
        let to = target.address();
        let relays =
            chain(to, [&["--corrupt", "0.1%:up", "--seed", "5"], &["--reset-after", "150000:up", "--seed", "6"]]);
        let mut client = Peer::connect(relays[0].address());
        let mut server = target.accept();
        let sending = client.send_in_thread(sent.clone());
        let (got, ending) = server.receive_all();
        assert_eq!((got.len(), ending), (150_000, Ending::Reset));
        assert_eq!(client.receive_all().1, Ending::Reset);
        drop(sending);
        relays.into_iter().for_each(stop);
        got
    };
    let (one, again) = (through(), through());
    assert!(one == again, "the same seeds gave other bytes");
    let changed = one.iter().zip(&sent).filter(|(got, sent)| got != sent).count();
    assert!(changed.abs_diff(150) < 75, "{changed} of 150000");
}
