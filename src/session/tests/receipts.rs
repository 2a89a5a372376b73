//! Sessions whose peer confirms what it gets (`--verify`): when a direction is over, and what each side is told.

use std::io::ErrorKind;
use std::time::Instant;

use super::driver::{Driver, Plot, data, drive, line, plain, silent, summary};
use crate::endpoint::script::{Read, Write};
use crate::layer::Note;
use crate::layer::stack::Stack;
use crate::layer::verify::Verify;
use crate::outcome::Ended;
use crate::plan::Flow;
use crate::session::policy::Policy;

fn verified() -> Stack {
    Stack::new(vec![Box::new(Verify::new(Instant::now()))], 1024)
}

/// What a stack has to say.
fn words(stack: &mut Stack) -> Vec<u8> {
    let mut words = Vec::new();
    stack.flush().unwrap();
    while let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty()) {
        words.extend(wire.filled());
        wire.clear();
        stack.flush().unwrap();
    }
    words
}

/// Gives bytes to a stack and takes out what it read.
fn hear(stack: &mut Stack, wire: &[u8]) -> Vec<u8> {
    stack.wire_spare()[..wire.len()].copy_from_slice(wire);
    stack.wire_received(wire.len());
    stack.decode();
    let plain = stack.plain().filled().to_vec();
    stack.plain().clear();
    plain
}

/// What a far side says that sends `says` and hears `hears`, in order: greeting, data, end, receipt.
fn far(says: &str, hears: &str, verdict: Result<(), &str>) -> [Vec<u8>; 4] {
    let (mut near, mut far) = (verified(), verified());
    let greeting = words(&mut far);
    hear(&mut near, &greeting);
    hear(&mut far, &words(&mut near));
    assert_eq!(far.encode(says.as_bytes()).unwrap(), says.len());
    let payload = words(&mut far);
    far.close_plain();
    let end = words(&mut far);
    assert_eq!(near.encode(hears.as_bytes()).unwrap(), hears.len());
    near.close_plain();
    assert_eq!(hear(&mut far, &words(&mut near)), hears.as_bytes());
    let count = hears.len() as u64;
    far.note(&Note::Delivered(verdict.map(|()| count).map_err(|why| (count, why.into()))));
    let receipt = words(&mut far);
    [greeting, payload, end, receipt]
}

fn peer(reads: Vec<Read>, writes: Vec<Write>) -> Plot {
    Plot { stack: Some(verified()), ..Plot::peer(reads, writes) }
}

/// What the peer reads out of what the session wrote to it, whether it was told the end, and why it failed.
fn as_heard(driver: &Driver, receipt: bool) -> (String, bool, Option<String>) {
    let mut far = verified();
    if receipt {
        // what the session confirms has to have been sent
        far.close_plain();
    }
    let (wire, mut plain) = (driver.wrote(1), Vec::new());
    for piece in wire.chunks(100) {
        plain.extend(hear(&mut far, piece));
        words(&mut far);
    }
    let ended = far.is_plain_ended();
    (String::from_utf8(plain).unwrap(), ended, far.take_failure().map(|error| error.line()))
}

#[test]
fn a_sender_is_done_when_the_good_receipt_has_come_and_not_before() {
    let [greeting, _, end, receipt] = far("", "payload", Ok(()));
    let reads = [greeting, end].map(Read::Data).to_vec();
    let reads = [reads, vec![Read::Block, Read::Block, Read::Data(receipt), Read::Block, Read::End]].concat();
    let mut driver = drive(Plot::local(vec![data("payload"), Read::End], vec![]), peer(reads, vec![]), plain());
    for _ in 0..2 {
        assert!(driver.turn().is_none());
        assert_eq!(driver.seen[1].borrow().ends, 0, "the wire is still needed");
        driver.turn_for_nothing();
        driver.fire(1);
    }
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [7, 0]));
    assert_eq!(driver.seen[1].borrow().ends, 1);
    assert!(!driver.was_reset(1));
}

#[test]
fn a_receiver_confirms_only_what_its_sink_has_taken() {
    let [greeting, payload, end, receipt] = far("payload", "", Ok(()));
    let mut reads = [greeting, payload, end].map(Read::Data).to_vec();
    reads.extend([Read::Block, Read::Data(receipt), Read::End]);
    let local = Plot::local(vec![Read::End], vec![Write::Take(3), Write::Block]);
    let mut driver = drive(local, peer(reads, vec![]), plain());
    assert!(driver.turn().is_none());
    let before = driver.wrote(1).len();
    driver.fire(0);
    assert!(driver.turn().is_none());
    assert_eq!(driver.wrote(0), b"payload");
    assert_eq!(driver.wrote(1).len() - before, 14, "a receipt without a text");
    assert_eq!(driver.seen[0].borrow().ends, 1);
    driver.fire(1);
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [0, 7]));
}

#[test]
fn a_sink_that_fails_is_told_to_the_sender_and_is_status_5_here() {
    let [greeting, payload, end, _] = far("payload", "", Ok(()));
    let reads = [[greeting, payload, end].map(Read::Data).to_vec(), silent()].concat();
    let writes = vec![Write::Take(3), Write::Fail(ErrorKind::StorageFull)];
    let mut driver = drive(Plot::local(silent(), writes), peer(reads, vec![]), plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 5));
    assert!(driver.was_reset(1));
    let (_, ended, failure) = as_heard(&driver, false);
    let failure = failure.expect("told");
    assert!(failure.starts_with("sending failed after 3 B: the receiver could not write: "), "{failure}");
    assert!(!ended);
}

#[test]
fn a_bad_receipt_is_status_4_and_names_the_cause() {
    let [greeting, _, end, receipt] = far("", "payload", Err("no space left on device"));
    for late in [false, true] {
        let mut reads = [greeting.clone(), end.clone()].map(Read::Data).to_vec();
        if late {
            reads.push(Read::Block);
        }
        reads.extend([Read::Data(receipt.clone()), Read::Fail(ErrorKind::ConnectionReset)]);
        let mut driver = drive(Plot::local(vec![data("payload"), Read::End], vec![]), peer(reads, vec![]), plain());
        let outcome = driver.finish();
        assert_eq!(summary(&outcome), ("failed", 4));
        let wanted = "sending failed after 7 B: the receiver could not write: no space left on device";
        assert_eq!(line(&outcome), wanted);
    }
}

#[test]
fn a_bad_receipt_is_heard_although_writing_failed_first() {
    let [greeting, _, end, receipt] = far("", "payload", Err("no space left on device"));
    // once before the peer's end, once after it
    for ended in [false, true] {
        let mut reads = vec![Read::Data(greeting.clone())];
        if ended {
            reads.push(Read::Data(end.clone()));
        }
        reads.extend([Read::Block, Read::Data(receipt.clone()), Read::Fail(ErrorKind::ConnectionReset)]);
        let writes = vec![Write::Take(100), Write::Fail(ErrorKind::ConnectionReset)];
        let mut driver = drive(Plot::local(vec![data("payload"), Read::End], vec![]), peer(reads, writes), plain());
        let outcome = driver.finish();
        assert_eq!(summary(&outcome), ("failed", 4));
        assert!(line(&outcome).ends_with("no space left on device"), "{}", line(&outcome));
    }
}

#[test]
fn a_wire_that_ends_or_is_cut_anywhere_is_status_4() {
    let [greeting, payload, end, receipt] = far("answer", "payload", Ok(()));
    let early = [greeting, payload, end].concat();
    let script = |at: usize, last: Read| {
        let (first, then) = (early[..at.min(early.len())].to_vec(), receipt[..at.saturating_sub(early.len())].to_vec());
        vec![Read::Data(first), Read::Block, Read::Data(then), last]
    };
    let whole = early.len() + receipt.len();
    for last in [Read::End, Read::Fail(ErrorKind::ConnectionReset)] {
        for at in 1..whole {
            let reads =
                script(at, last.clone()).into_iter().filter(|read| !matches!(read, Read::Data(d) if d.is_empty()));
            let local = Plot::local(vec![data("payload"), Read::End], vec![]);
            let mut driver = drive(local, peer(reads.collect(), vec![]), plain());
            let outcome = driver.finish();
            assert_eq!(summary(&outcome), ("failed", 4), "after {at} of {whole} bytes, {last:?}");
            assert!(!line(&outcome).contains('\n'));
        }
    }
    let local = Plot::local(vec![data("payload"), Read::End], vec![]);
    let mut driver = drive(local, peer(script(whole, Read::End), vec![]), plain());
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [7, 6]));
}

#[test]
fn a_signal_or_a_source_that_fails_never_says_the_end() {
    for fails in [false, true] {
        let [greeting, ..] = far("", "", Ok(()));
        let last = if fails { vec![Read::Fail(ErrorKind::InvalidData)] } else { silent() };
        let local = Plot::local([vec![data("half"), Read::Block], last].concat(), vec![]);
        let reads = [vec![Read::Data(greeting)], silent()].concat();
        let mut driver = drive(local, peer(reads, vec![]), plain());
        assert!(driver.turn().is_none());
        if !fails {
            driver.session.stop(Ended::Signal(15), driver.bench.now);
        }
        let outcome = driver.finish();
        assert_eq!(summary(&outcome), if fails { ("failed", 5) } else { ("signal", 143) });
        assert!(driver.was_reset(1) && driver.seen[1].borrow().ends == 0);
        let (plain, ended, failure) = as_heard(&driver, false);
        assert_eq!((plain.as_str(), ended), ("half", false));
        let failure = failure.expect("told");
        assert!(failure.starts_with("receiving failed after 4 B: the peer stopped: "), "{failure}");
    }
}

#[test]
fn a_listener_without_input_confirms_and_ends_with_its_peer() {
    // -d, --recv-only, an empty input
    let policies = [Policy { stdin: false, ..plain() }, Policy { flow: Flow::ReceiveOnly, ..plain() }, plain()];
    for policy in policies {
        let [greeting, payload, end, receipt] = far("payload", "", Ok(()));
        let mut reads = [greeting, payload, end].map(Read::Data).to_vec();
        reads.extend([Read::Block, Read::Data(receipt), Read::End]);
        let mut driver = drive(Plot::local(vec![Read::End], vec![]), peer(reads, vec![]), policy);
        let outcome = driver.finish();
        assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [0, 7]));
        let (_, ended, failure) = as_heard(&driver, true);
        assert!(ended || failure.is_some_and(|line| line.ends_with("a receipt for nothing")));
    }
}

#[test]
fn whoever_only_sends_confirms_what_it_drops() {
    let [greeting, payload, end, receipt] = far("noise", "payload", Ok(()));
    let mut reads = vec![];
    // this peer's end comes last
    for words in [greeting, receipt, payload, end] {
        reads.extend([Read::Data(words), Read::Block]);
    }
    let policy = Policy { flow: Flow::SendOnly, ..plain() };
    let mut driver = drive(Plot::local(vec![data("payload"), Read::End], vec![]), peer(reads, vec![]), policy);
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [7, 0]));
    let wire = driver.wrote(1);
    assert_eq!(wire[wire.len() - 14], 4, "a receipt comes last");
    assert_eq!(wire[wire.len() - 9], 0, "and it is good");
}

#[test]
fn a_receipt_comes_through_while_the_other_direction_goes_on() {
    let [greeting, payload, _, receipt] = far("one ", "payload", Ok(()));
    let (mut near, mut talker) = (verified(), verified());
    hear(&mut near, &words(&mut talker));
    hear(&mut talker, &words(&mut near));
    assert_eq!(talker.encode(b"one ").unwrap(), 4);
    words(&mut talker);
    let mut reads = vec![Read::Data(greeting), Read::Data(payload), Read::Block, Read::Data(receipt)];
    for _ in 0..50 {
        assert_eq!(talker.encode(b"more").unwrap(), 4);
        reads.extend([Read::Data(words(&mut talker)), Read::Block]);
    }
    talker.close_plain();
    reads.extend([Read::Data(words(&mut talker)), Read::End]);
    let mut driver = drive(Plot::local(vec![data("payload"), Read::End], vec![]), peer(reads, vec![]), plain());
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [7, 204]));
}
