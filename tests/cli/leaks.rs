//! Descriptors: few are needed, running out of them is told, none stays open that has ended.

use crate::data::{assert_prefix, assert_same, bytes};
use crate::harness::{Input, Net, Role, Way, haul, poll_until, proc};

// With few descriptors a transfer works; kernel pipes are given up before bytes are.
fn twenty_descriptors_are_enough(way: Way) {
    let content = bytes(111, (1 << 20) + 1);
    let (haul, mut peer) = way.join_with(&[], |haul| haul.after("ulimit -n 20").stdin(Input::Bytes(content.clone())));
    let sending = peer.send_in_thread(content.clone());
    assert_same("what was sent", &peer.receive_all().0, &content);
    sending.join().unwrap();
    drop(peer);
    let haul = haul.wait();
    haul.ok();
    assert_same("what was received", &haul.stdout, &content);
}
both_ways!(twenty_descriptors_are_enough);

// With too few, haul fails in words, or works; it never hangs, never panics, never calls a part the whole.
#[test]
fn running_out_of_descriptors_is_told() {
    let content = bytes(112, 300_001);
    for limit in 4..20 {
        let listening = haul(["listen", "127.0.0.1:0"]).stdin(Input::Bytes(content.clone())).spawn();
        let address = listening.address().to_string();
        let prepare = format!("ulimit -n {limit}");
        let connecting = haul(["connect", &address]).after(&prepare).run();
        if connecting.status.success() {
            connecting.ok();
            assert_same("what was received", &connecting.stdout, &content);
            listening.wait().ok();
        } else {
            let code = connecting.status.code();
            assert!(matches!(code, Some(1..=5)), "limit {limit}: ended with {}", connecting.status);
            connecting.one_error();
            assert_prefix("what was received", &connecting.stdout, &content);
        }
    }
}

// A connection that carried much holds no more descriptors than one that carried nothing.
#[test]
fn nothing_stays_open_that_has_ended() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let (mut haul, mut peer) = way.join(&[]);
    haul.say(b"x");
    peer.receive(1);
    peer.send(b"y");
    haul.stdout_reaches(1);
    proc::wait_until_idle(haul.pid());
    let before = proc::open_descriptors(haul.pid());
    for turn in 1..=5 {
        peer.send(&bytes(turn, 1 << 20));
        haul.stdout_reaches(1 + ((turn as usize) << 20));
    }
    // leased kernel pipes may be pooled, a pair for each direction
    poll_until("descriptors to be given back", || (proc::open_descriptors(haul.pid()) <= before + 4).then_some(()));
    peer.finish();
    haul.stdout_end();
    haul.end_stdin();
    haul.wait().ok();
}
