//! Sessions with faults: over scripts and virtual time, and over real sockets.

use std::io::ErrorKind;
use std::time::Duration;

use super::driver::{Dice, Driver, Plot, data, drive, given, line, plain, silent, summary};
use crate::endpoint::script::{Read, Write};
use crate::event::Event;
use crate::outcome::Ended;
use crate::plan::faults::{Direction, Way};
use crate::session::faults::Faults;
use crate::session::policy::Policy;

mod real;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Faults from the first end to the second (up) and the other way (down).
pub(super) fn ways(up: &Way, down: &Way) -> [Option<Faults>; 2] {
    let faults = |way, direction| Faults::new(way, direction, 7, 1, 1 << 20);
    [faults(up, Direction::Up), faults(down, Direction::Down)]
}

/// A session between two peers.
fn between(local: Vec<Read>, peer: Vec<Read>, policy: Policy, up: &Way, down: &Way) -> Driver {
    let mut driver = drive(Plot::peer(local, vec![]), Plot::peer(peer, vec![]), policy);
    driver.session.suffer(ways(up, down));
    driver
}

fn late(delay: u64) -> Way {
    Way { delay: ms(delay), ..Way::default() }
}

#[test]
fn exactly_as_many_bytes_as_asked_for_come_before_a_reset_of_both_sides() {
    for (delay, chop) in [(0, None), (20, None), (0, Some(2)), (20, Some(100))] {
        for count in [0, 1, 5, 11] {
            let way = Way { reset_after: Some(count), chop, ..late(delay) };
            let sent = vec![data("hello "), data("world"), Read::Block, data("more")];
            let mut driver = between(sent, silent(), plain(), &way, &Way::default());
            let outcome = driver.finish();
            assert_eq!(driver.wrote(1), &b"hello world"[..count as usize], "{delay} {chop:?}");
            assert!(driver.was_reset(0) && driver.was_reset(1));
            assert_eq!((driver.seen[0].borrow().ends, driver.seen[1].borrow().ends), (0, 0), "an end would be a lie");
            assert_eq!(summary(&outcome), ("failed", 1));
            let bytes = if count == 1 { "byte" } else { "bytes" };
            let said = format!("reset on purpose, {count} {bytes} up (--reset-after)");
            assert!(line(&outcome).ends_with(&said), "{}", line(&outcome));
        }
    }
}

#[test]
fn a_stream_that_ends_before_its_fault_ends_well() {
    let way = Way { reset_after: Some(100), stall_after: None, ..late(5) };
    let mut driver = between(vec![data("hello"), Read::End], vec![Read::End], plain(), &way, &way);
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert_eq!((driver.wrote(1), driver.was_reset(1)), (b"hello".to_vec(), false));
}

#[test]
fn a_stalled_direction_passes_nothing_on_and_the_other_one_goes_on() {
    for way in [Way { stall_after: Some(3), ..Way::default() }, Way { stall_after: Some(3), ..late(5) }] {
        let policy = Policy { idle: Some(Duration::from_secs(9)), ..plain() };
        let up = vec![data("hello"), Read::End];
        let down = vec![Read::Block, data("good "), Read::Block, data("day"), Read::End];
        let mut driver = between(up, down, policy, &way, &Way::default());
        let outcome = driver.finish();
        assert_eq!((driver.wrote(1), driver.wrote(0)), (b"hel".to_vec(), b"good day".to_vec()));
        assert_eq!((driver.seen[0].borrow().ends, driver.seen[1].borrow().ends), (1, 0));
        assert_eq!(summary(&outcome), ("failed", 3), "the idle limit ends it");
        assert!(driver.was_reset(1), "what was kept back has no end");
        let told = |event: &Event| matches!(event, Event::Note { text, .. } if text == "up: nothing more comes through after 3 bytes");
        assert_eq!(driver.log.0.borrow().iter().filter(|event| told(event)).count(), 1);
    }
}

#[test]
fn a_stalled_source_that_is_cut_ends_the_session() {
    let way = Way { stall_after: Some(0), ..Way::default() };
    let mut driver = between(silent(), silent(), plain(), &way, &Way::default());
    assert!(driver.turn().is_none());
    driver.seen[0].borrow_mut().resets_after_end = true;
    driver.fire(0);
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 1));
    assert!(driver.was_reset(1));
}

#[test]
fn what_is_delayed_comes_neither_earlier_nor_much_later_and_its_end_comes_behind_it() {
    let sent = vec![data("a"), Read::Block, data("b"), Read::End];
    let mut driver = between(sent, vec![Read::End], plain(), &late(40), &Way::default());
    let at = |driver: &Driver| driver.bench.now.duration_since(driver.started);
    assert!(driver.turn().is_none());
    driver.bench.now += ms(15);
    driver.fire(0);
    assert!(driver.turn().is_none());
    assert_eq!((driver.wrote(1), driver.seen[0].borrow().ends), (vec![], 1), "the other direction is not late");
    driver.await_alarm();
    assert!(driver.turn().is_none());
    assert_eq!((at(&driver), driver.wrote(1), driver.seen[1].borrow().ends), (ms(40), b"a".to_vec(), 0));
    driver.await_alarm();
    assert!(driver.turn().is_some());
    assert_eq!((at(&driver), driver.wrote(1), driver.seen[1].borrow().ends), (ms(55), b"ab".to_vec(), 1));
}

#[test]
fn a_reset_is_late_too_and_comes_behind_every_byte() {
    let sent = vec![data("last words"), Read::Fail(ErrorKind::ConnectionReset)];
    let mut driver = between(sent, silent(), plain(), &late(40), &Way::default());
    assert!(driver.turn().is_none());
    assert_eq!((driver.wrote(1).len(), driver.seen[1].borrow().closed), (0, None));
    driver.await_alarm();
    let outcome = driver.finish();
    assert_eq!((driver.wrote(1), summary(&outcome)), (b"last words".to_vec(), ("failed", 1)));
    assert!(driver.was_reset(1));
}

#[test]
fn a_source_is_not_read_while_as_much_is_held_as_may_be() {
    let sent = vec![Read::Data(vec![7; 10_000]), Read::End];
    let mut driver = drive(Plot::peer(sent, vec![]), Plot::peer(vec![Read::End], vec![]), plain());
    driver.session.suffer([Faults::new(&late(40), Direction::Up, 7, 1, 3000), None]);
    assert!(driver.turn().is_none());
    let read = driver.seen[0].borrow().read;
    assert!((2000..=3000).contains(&read), "{read} were read");
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert_eq!(driver.wrote(1), [7; 10_000]);
}

#[test]
fn chopped_bytes_come_by_pieces_and_let_others_have_their_turn() {
    let way = Way { chop: Some(3), ..Way::default() };
    let sent = vec![Read::Data((0..=255).cycle().take(100_000).collect()), Read::End];
    let policy = Policy { block: 1 << 16, ..plain() };
    let plots = (Plot::peer(sent.clone(), vec![]), Plot::peer(vec![Read::End], vec![]));
    let mut driver = Driver::new(plots.0, plots.1, policy, 1 << 16);
    driver.session.suffer(ways(&way, &Way::default()));
    let park = driver.session.turn(&mut driver.bench.turn());
    assert!(matches!(park, crate::reactor::Park::Again));
    assert!(driver.wrote(1).len() <= 3 * 256, "{} in one turn", driver.wrote(1).len());
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert!(driver.wrote(1) == given(&sent));
    assert_eq!(driver.seen[1].borrow().largest, 3);
}

#[test]
fn a_signal_waits_for_what_is_late_no_longer_than_its_grace() {
    for (delay, written) in [(100, "late"), (10_000, "")] {
        let mut driver = between(vec![data("late")], silent(), plain(), &late(delay), &Way::default());
        assert!(driver.turn().is_none());
        driver.session.stop(Ended::Signal(15), driver.bench.now);
        assert_eq!(summary(&driver.finish()).0, "signal");
        assert_eq!(driver.wrote(1), written.as_bytes(), "{delay}");
        assert!(driver.bench.now.duration_since(driver.started) <= ms(600));
    }
}

#[test]
fn a_long_delay_is_not_taken_for_a_slow_peer() {
    let sent = vec![data("patience"), Read::Block, Read::End];
    let policy = Policy { linger: ms(50), quit_after: Some(ms(1)), ..plain() };
    let (up, down) = (Way::default(), late(500));
    let mut driver = between(vec![Read::End], sent, policy, &up, &down);
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert_eq!(driver.wrote(0), b"patience");
}

/// What a script says before a clean end, in pieces and with pauses.
fn speech(dice: &mut Dice) -> Vec<Read> {
    let mut reads: Vec<Read> = (0..dice.below(12))
        .map(|_| match dice.below(3) {
            0 => Read::Block,
            _ => Read::Data((0..1 + dice.below(300)).map(|_| dice.below(256) as u8).collect()),
        })
        .collect();
    reads.push(Read::End);
    reads
}

fn appetite(dice: &mut Dice) -> Vec<Write> {
    (0..dice.below(15)).map(|_| if dice.one_in(3) { Write::Block } else { Write::Take(1 + dice.below(60)) }).collect()
}

fn trouble(dice: &mut Dice) -> Way {
    let delay = if dice.one_in(2) { dice.below(80) as u64 } else { 0 };
    Way {
        jitter: ms(dice.below(delay as usize + 1) as u64),
        chop: dice.one_in(2).then(|| 1 + dice.below(50) as u64),
        ..late(delay)
    }
}

#[test]
fn whatever_is_late_and_chopped_everything_arrives_and_ends() {
    for case in 0..3000 {
        let mut dice = Dice::new(case);
        let (up, down) = (speech(&mut dice), speech(&mut dice));
        let expected = [given(&up), given(&down)];
        let plots = (Plot::peer(up, appetite(&mut dice)), Plot::peer(down, appetite(&mut dice)));
        let (capacity, hold) = (1 + dice.below(200), dice.below(3000));
        let mut driver = Driver::new(plots.0, plots.1, Policy { budget: 300, ..plain() }, capacity);
        let ways = [(trouble(&mut dice), Direction::Up), (trouble(&mut dice), Direction::Down)];
        driver.session.suffer(ways.map(|(way, direction)| Faults::new(&way, direction, case, 1, hold)));
        let outcome = driver.run(&mut dice);
        assert_eq!(summary(&outcome), ("clean", 0), "case {case}");
        assert!([driver.wrote(1), driver.wrote(0)] == expected, "case {case}");
        assert_eq!(outcome.bytes, expected.map(|bytes| bytes.len() as u64), "case {case}");
    }
}

#[test]
fn whatever_breaks_and_when_nothing_comes_that_was_not_sent() {
    for case in 0..3000 {
        let mut dice = Dice::new(case);
        let (mut up, down) = (speech(&mut dice), speech(&mut dice));
        if dice.one_in(2) {
            up.pop();
            up.push(Read::Fail(ErrorKind::ConnectionReset));
        }
        let expected = [given(&up), given(&down)];
        let mut appetites = [appetite(&mut dice), appetite(&mut dice)];
        if dice.one_in(3) {
            appetites[1].push(Write::Fail(ErrorKind::ConnectionReset));
        }
        let [local, peer] = appetites;
        let policy = Policy { idle: Some(Duration::from_secs(60)), linger: Duration::from_secs(3), ..plain() };
        let mut driver = Driver::new(Plot::peer(up, local), Plot::peer(down, peer), policy, 1 + dice.below(200));
        let at = dice.below(1000) as u64;
        let way = match dice.below(3) {
            0 => Way { reset_after: Some(at), ..trouble(&mut dice) },
            1 => Way { stall_after: Some(at), ..trouble(&mut dice) },
            _ => trouble(&mut dice),
        };
        driver.session.suffer(ways(&way, &trouble(&mut dice)));
        let outcome = driver.run(&mut dice);
        assert!(expected[0].starts_with(&driver.wrote(1)) && expected[1].starts_with(&driver.wrote(0)), "case {case}");
        let most = way.reset_after.or(way.stall_after).unwrap_or(u64::MAX);
        assert!(driver.wrote(1).len() as u64 <= most, "case {case}");
        if summary(&outcome).0 == "clean" {
            assert!([driver.wrote(1), driver.wrote(0)] == expected, "case {case}");
        }
    }
}
