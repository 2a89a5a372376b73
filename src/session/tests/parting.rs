//! How a session leaves: signals, lingering, and what one side of a relay learns of the other.

use std::io::ErrorKind::ConnectionReset;
use std::time::Duration;

use super::byes::Byes;
use super::driver::{Dice, Plot, data, drive, line, plain, silent, summary};
use crate::buffer::Buffer;
use crate::endpoint::script::{Read, Write};
use crate::error::{Error, Op};
use crate::layer::stack::Stack;
use crate::layer::{HalfClose, Layer, LayerState, Note};
use crate::outcome::Ended;
use crate::plan::{AfterPeerEof, Flow};
use crate::session::policy::Policy;

#[test]
fn a_signal_lets_what_is_in_transit_through_and_then_resets() {
    let local = Plot::local([vec![data("in transit")], silent()].concat(), vec![]);
    let mut driver = drive(local, Plot::peer(silent(), vec![Write::Take(3), Write::Block]), plain());
    assert!(driver.turn().is_none());
    driver.session.stop(Ended::Signal(15), driver.bench.now);
    assert!(driver.turn().is_none());
    driver.fire(1);
    let outcome = driver.turn().expect("everything is delivered");
    assert_eq!(summary(&outcome), ("signal", 128 + 15));
    assert_eq!(driver.wrote(1), b"in transit");
    assert!(driver.was_reset(1) && driver.seen[1].borrow().ends == 0);
}

#[test]
fn a_signal_waits_no_longer_than_the_grace_for_a_peer_that_takes_nothing() {
    let local = Plot::local([vec![data("stuck")], silent()].concat(), vec![]);
    let mut driver = drive(local, Plot::peer(silent(), vec![Write::Block; 1000]), plain());
    assert!(driver.turn().is_none());
    driver.session.stop(Ended::Signal(2), driver.bench.now);
    while driver.turn().is_none() {
        driver.await_alarm();
    }
    assert_eq!(driver.bench.now - driver.started, Duration::from_millis(500));
    assert!(driver.was_reset(1));
}

#[test]
fn a_signal_cuts_lingering_short() {
    let local = Plot::local(vec![data("slow"), Read::End], vec![]);
    let peer = Plot { holds: true, ..Plot::peer(vec![Read::End], vec![]) };
    let mut driver = drive(local, peer, plain());
    assert!(driver.turn().is_none(), "the send queue is not empty");
    driver.session.stop(Ended::Signal(2), driver.bench.now);
    let outcome = loop {
        match driver.turn() {
            Some(outcome) => break outcome,
            None => driver.await_alarm(),
        }
    };
    assert_eq!(summary(&outcome), ("signal", 130));
    assert!(outcome.elapsed <= Duration::from_millis(500));
    assert!(!driver.was_reset(1), "the source had ended, and the kernel may go on sending");
}

#[test]
fn what_a_person_typed_before_interrupting_is_an_orderly_end() {
    let local = Plot { terminal: true, ..Plot::local([vec![data("typed")], silent()].concat(), vec![]) };
    let mut driver = drive(local, Plot::peer(silent(), vec![]), plain());
    assert!(driver.turn().is_none());
    driver.session.stop(Ended::Signal(2), driver.bench.now);
    assert_eq!(summary(&driver.turn().expect("over")), ("signal", 130));
    assert_eq!((driver.was_reset(1), driver.seen[1].borrow().ends), (false, 1));
}

#[test]
fn a_socket_is_closed_only_when_its_send_queue_is_empty() {
    let local = Plot::local(vec![data("0123456789"), Read::End], vec![]);
    let peer = Plot { holds: true, ..Plot::peer(vec![data("answer"), Read::End], vec![]) };
    let mut driver = drive(local, peer, plain());
    for left in [10, 5, 1] {
        driver.seen[1].borrow_mut().unsent = left;
        assert!(driver.turn().is_none() || left == 10, "closed with {left} bytes unsent");
        assert!(driver.seen[1].borrow().closed.is_none());
        driver.bench.now += Duration::from_secs(29);
    }
    assert!(driver.seen[0].borrow().closed.is_some(), "our reader need not wait for the peer's acknowledgement");
    driver.seen[1].borrow_mut().unsent = 0;
    assert_eq!(summary(&driver.turn().expect("empty")), ("clean", 0));
    assert_eq!((driver.was_reset(1), driver.seen[1].borrow().unsent_at_close), (false, 0));
}

#[test]
fn lingering_without_progress_fails_and_names_the_number() {
    let local = Plot::local(vec![data("0123456789"), Read::End], vec![]);
    let peer = Plot { holds: true, ..Plot::peer(vec![Read::End], vec![]) };
    let mut driver = drive(local, peer, plain());
    let outcome = loop {
        match driver.turn() {
            Some(outcome) => break outcome,
            None => driver.await_alarm(),
        }
    };
    assert_eq!(summary(&outcome), ("failed", 1));
    assert_eq!(line(&outcome), "transfer stopped after 10 B: b:2 did not acknowledge 10 bytes within 30s");
    assert_eq!(outcome.elapsed, Duration::from_secs(30));
}

#[test]
fn a_reset_that_throws_the_send_queue_away_is_a_failure() {
    // once before the first look at the queue, once after it
    for blocks in [0, 1] {
        let local = Plot::local(vec![data("0123456789"), Read::End], vec![]);
        let reads = vec![Read::End];
        let peer = Plot { holds: true, ..Plot::peer(reads, vec![]) };
        let mut driver = drive(local, peer, plain());
        if blocks == 1 {
            assert!(driver.turn().is_none());
        }
        driver.seen[1].borrow_mut().resets_after_end = true;
        let outcome = match driver.turn() {
            Some(outcome) => outcome,
            None => driver.finish(),
        };
        assert_eq!(summary(&outcome), ("failed", 1));
        assert_eq!(line(&outcome), "transfer stopped after 10 B: b:2 reset the connection");
    }
}

#[test]
fn what_the_peer_sends_while_we_linger_is_read_and_dropped() {
    let policy = Policy { after_peer_eof: AfterPeerEof::Exit, flow: Flow::SendOnly, ..plain() };
    let local = Plot::local(vec![data("x"), Read::End], vec![]);
    let reads = vec![data("noise"), Read::Block, data("more"), Read::Block, Read::End];
    let mut driver = drive(local, Plot { holds: true, ..Plot::peer(reads, vec![]) }, policy);
    let outcome = driver.run(&mut Dice::new(3));
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [1, 0]));
    assert_eq!(driver.wrote(0), b"");
}

#[test]
fn a_cut_of_one_side_of_a_relay_resets_the_other_after_delivery() {
    for side in 0..2 {
        let cut = Plot::peer(vec![data("all of it"), Read::Fail(ConnectionReset)], vec![]);
        let writes = vec![Write::Take(2), Write::Block, Write::Take(1), Write::Block];
        let other = Plot { holds: true, ..Plot::peer(silent(), writes) };
        let (left, right) = if side == 0 { (cut, other) } else { (other, cut) };
        let mut driver = drive(left, right, plain());
        let outcome = driver.run(&mut Dice::new(5));
        assert_eq!(summary(&outcome), ("failed", 1));
        assert_eq!(driver.wrote(1 - side), b"all of it");
        let seen = driver.seen[1 - side].borrow();
        assert_eq!((seen.closed, seen.ends, seen.unsent_at_close), (Some(true), 0, 0), "cut on side {side}");
    }
}

#[test]
fn a_cut_found_while_lingering_reaches_the_other_side_of_a_relay() {
    let left = Plot { holds: true, ..Plot::peer(vec![data("x"), Read::End], vec![]) };
    let right = Plot { holds: true, ..Plot::peer(vec![data("reply"), Read::End], vec![]) };
    let mut driver = drive(left, right, plain());
    assert!(driver.turn().is_none());
    driver.seen[0].borrow_mut().resets_after_end = true;
    let outcome = driver.run(&mut Dice::new(7));
    assert_eq!(summary(&outcome), ("failed", 1));
    assert!(driver.was_reset(1));
}

#[test]
fn a_relay_gives_up_a_peer_on_either_side_that_takes_nothing() {
    for side in 0..2 {
        let stuck = Plot::peer(silent(), vec![Write::Block; 1000]);
        let cut = Plot::peer(vec![data("abc"), Read::Block, Read::Block], vec![Write::Fail(ConnectionReset)]);
        let (left, right) = if side == 0 { (stuck, cut) } else { (cut, stuck) };
        let mut driver = drive(left, right, plain());
        assert!(driver.turn().is_none());
        driver.session.stop(Ended::Clean, driver.bench.now);
        let outcome = loop {
            match driver.turn() {
                Some(outcome) => break outcome,
                None => driver.await_alarm(),
            }
        };
        assert!(outcome.elapsed <= Duration::from_secs(30));
        assert!(driver.was_reset(side));
    }
}

#[test]
fn a_slow_reader_of_our_output_is_waited_for_without_spinning() {
    let local = Plot::local(silent(), vec![Write::Block; 3]);
    let mut driver = drive(local, Plot::peer(vec![data("abc"), Read::Fail(ConnectionReset)], vec![]), plain());
    // Driver::turn refuses an alarm that lies in the past
    for _ in 0..2000 {
        assert!(driver.turn().is_none());
        match driver.bench.alarm() {
            Some(at) => driver.bench.now = at,
            None => driver.bench.now += Duration::from_secs(1),
        }
    }
    assert_eq!(summary(&driver.finish()), ("failed", 1));
    assert_eq!(driver.wrote(0), b"abc");
}

#[test]
fn a_single_byte_that_is_lost_is_no_end_of_file() {
    // the one byte that is left is our FIN, but under --no-shutdown it is payload
    for (shutdown, expected) in [(true, ("clean", 0)), (false, ("failed", 1))] {
        let local = Plot::local(vec![data("x"), Read::End], vec![]);
        let peer = Plot { holds: true, ..Plot::peer(vec![Read::End], vec![]) };
        let mut driver = drive(local, peer, Policy { shutdown, ..plain() });
        assert!(driver.turn().is_none());
        driver.seen[1].borrow_mut().unsent = 1;
        assert!(driver.turn().is_none());
        driver.seen[1].borrow_mut().resets_after_end = true;
        assert_eq!(summary(&driver.turn().expect("the peer is gone")), expected);
    }
}

/// A protocol that finds out while it writes that it cannot go on. What it reads is not changed.
struct Breaks(bool);

impl Layer for Breaks {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        if !self.0 {
            let count = plain.push(wire.filled());
            wire.consume(count);
        }
        Ok(())
    }

    fn encode(&mut self, _: &[u8], _: &mut Buffer) -> Result<usize, Error> {
        self.0 = true;
        Err(Error::said(Op::Transfer, "the peer", "no more of this"))
    }

    fn flush(&mut self, _: &mut Buffer) {}

    fn note(&mut self, _: Note) {}

    fn state(&self) -> LayerState {
        if self.0 { LayerState::Failed } else { LayerState::Open }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }
}

// Nothing that comes is of use any more, so that nothing is waited for.
#[test]
fn a_layer_that_fails_while_it_writes_ends_the_session_although_the_peer_goes_on() {
    let local = Plot::local([vec![data("out")], silent()].concat(), vec![]);
    let stack = Stack::new(vec![Box::new(Breaks(false))], 64);
    let peer = Plot {
        stack: Some(stack),
        ..Plot::peer([vec![data("in"), Read::Block, data("more")], silent()].concat(), vec![])
    };
    let mut driver = drive(local, peer, plain());
    let outcome = (0..4).find_map(|_| {
        driver.turn().or_else(|| {
            driver.fire(1);
            None
        })
    });
    assert!(line(&outcome.expect("it waits for ever")).contains("no more of this"));
    assert!(driver.was_reset(1));
}

// What the peer said last may arrive together with its reset, after the last event that was looked at.
#[test]
fn a_peer_that_said_its_end_before_it_reset_has_lost_nothing_but_ours() {
    for (heard, unsent, expected) in [("\u{4}", 2, ("clean", 0)), ("\u{4}", 3, ("failed", 1)), ("", 2, ("failed", 1))] {
        let policy = Policy { after_peer_eof: AfterPeerEof::Exit, flow: Flow::SendOnly, ..plain() };
        let local = Plot::local(vec![data("page"), Read::End], vec![]);
        let stack = Some(Stack::new(vec![Box::new(Byes::new(HalfClose::Supported))], 64));
        let last_words = if heard.is_empty() { Read::End } else { data(heard) };
        let peer = Plot { holds: true, stack, ..Plot::peer(vec![Read::Block, last_words], vec![]) };
        let mut driver = drive(local, peer, policy);
        assert!(driver.turn().is_none(), "nothing is acknowledged");
        assert_eq!(driver.wrote(1), b"page\x04");
        let mut seen = driver.seen[1].borrow_mut();
        (seen.unsent, seen.resets_after_end) = (unsent, true);
        drop(seen);
        driver.await_alarm();
        let outcome = driver.turn().expect("the peer is gone");
        assert_eq!(summary(&outcome), expected, "{heard:?} heard, {unsent} not acknowledged");
    }
}
