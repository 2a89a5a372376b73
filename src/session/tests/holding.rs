//! The end of a protocol that cannot half-close, and the limits while it is held.

use std::io::ErrorKind::BrokenPipe;
use std::time::Duration;

use super::byes::Byes;
use super::driver::{Plot, data, drive, plain, silent, summary};
use crate::endpoint::script::{Read, Write};
use crate::layer::HalfClose;
use crate::layer::stack::Stack;
use crate::layer::testing::Chaos;
use crate::session::policy::Policy;

// While the end is held the silence is ours: a limit makes that shorter, and counts from the end on.
#[test]
fn the_patience_before_the_end_is_said_is_no_silence_of_the_peer() {
    let limit = Some(Duration::from_secs(1));
    for (idle, half_close) in [(limit, None), (None, limit)] {
        for answers in [true, false] {
            let local = Plot::local(vec![data("x"), Read::End], vec![]);
            let stack = Some(Stack::new(vec![Box::new(Byes::new(HalfClose::EndsBoth))], 64));
            let reads = [vec![Read::Block, data("late\u{4}")], silent()].concat();
            let mut driver =
                drive(local, Plot { stack, ..Plot::peer(reads, vec![]) }, Policy { idle, half_close, ..plain() });
            assert!(driver.turn().is_none());
            assert_eq!(driver.wrote(1), b"x");
            driver.await_alarm();
            assert!(driver.turn().is_none(), "the end is said first");
            assert_eq!(driver.wrote(1), b"x\x04");
            if answers {
                driver.bench.now += Duration::from_millis(900);
                driver.fire(1);
            } else {
                driver.await_alarm();
            }
            let outcome = driver.turn().expect("it was answered, or was not for too long");
            assert_eq!(summary(&outcome), if answers { ("clean", 0) } else { ("failed", 3) });
            assert_eq!(outcome.elapsed, Duration::from_millis(if answers { 1900 } else { 2000 }));
            assert_eq!(driver.wrote(0), if answers { &b"late"[..] } else { b"" });
        }
    }
}

// A wire that was kept for the answer cannot be closed any more once an answer of a layer found it broken.
#[test]
fn a_kept_wire_that_breaks_is_no_reason_to_look_again_and_again() {
    let local = Plot::local(vec![data("x"), Read::End], vec![]);
    let stack = Some(Stack::new(vec![Box::new(Chaos::new(100))], 64));
    let ping = Read::Data(vec![254, 0]);
    let reads = [vec![data("HI"), Read::Block, ping], silent()].concat();
    // the greeting, a record of one byte with what goes before it, and the end
    let said = "HI".len() + 5 + 2;
    let writes = [vec![Write::Take(1); said], vec![Write::Fail(BrokenPipe)]].concat();
    let peer = Plot { stack, led: true, ..Plot::peer(reads, writes) };
    let mut driver = drive(local, peer, plain());
    assert!(driver.turn().is_none());
    assert_eq!((driver.wrote(1).len(), driver.seen[1].borrow().ends), (said, 0), "the end is said, and the wire kept");
    driver.fire(1);
    assert!(driver.turn().is_none());
    driver.bench.now += 2 * plain().linger;
    driver.turn();
}
