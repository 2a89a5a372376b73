//! What the documentation of a spread says, one promise a test.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, StorageFull, TimedOut};
use std::time::{Duration, Instant};

use super::super::driver::{data, line, plain, silent, summary};
use super::super::wire::{decoded, encoded, layers};
use super::{Part, Rules, Stage, greedy, long, stage, stuck};
use crate::buffer::Buffer;
use crate::endpoint::script::{Read, Write};
use crate::error::Error;
use crate::event::Event;
use crate::layer::stack::Stack;
use crate::layer::{HalfClose, Layer, LayerState, Note};
use crate::outcome::Ended;
use crate::reactor::Park;
use crate::session::policy::Policy;
use crate::session::tap::{Tap, Watch};
use crate::units::Rate;

#[test]
fn every_sink_gets_every_byte_and_the_end() {
    let source = vec![data("one "), Read::Block, data("two "), data("three"), Read::End];
    let slow = Part::takes(vec![Write::Take(1), Write::Block, Write::Take(2), Write::Block]);
    let mut stage = stage(source, vec![greedy(), slow, greedy().local()]);
    let outcome = stage.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [13, 0]));
    for side in 1..4 {
        assert_eq!((stage.got(side).as_str(), stage.ends(side)), ("one two three", 1));
        assert_eq!(stage.closed(side), Some(false));
    }
    let ends = stage.log.0.borrow().iter().filter(|event| matches!(event, Event::Eof { bytes: 13, .. })).count();
    assert_eq!(ends, 1);
}

#[test]
fn the_source_is_read_into_the_ring_while_a_sink_is_blocked_and_no_further() {
    for sinks in [vec![stuck()], vec![stuck(), greedy()], vec![greedy(), stuck(), stuck()]] {
        let mut stage = stage(long(1000), sinks);
        stage.rest();
        assert_eq!(stage.seen[0].borrow().read, 64, "the ring is full");
    }
}

#[test]
fn a_sink_that_opens_late_gets_everything_and_the_source_is_read_meanwhile() {
    let mut stage = stage(long(50), vec![greedy(), greedy().late()]);
    stage.rest();
    assert_eq!((stage.seen[0].borrow().read, stage.got(1).len(), stage.spread.bytes()), (50, 50, [0, 0]));
    assert_eq!(stage.ends(1), 1, "who has everything need not wait for the others");
    stage.open_next();
    let outcome = stage.finish();
    assert_eq!((summary(&outcome), stage.got(2).len(), stage.ends(2)), (("clean", 0), 50, 1));
}

#[test]
fn an_only_sink_that_opens_late_does_not_stall_the_source() {
    let mut stage = stage(long(1000), vec![greedy().late()]);
    stage.rest();
    assert_eq!(stage.seen[0].borrow().read, 64);
    stage.open_next();
    assert_eq!(summary(&stage.finish()), ("clean", 0));
    assert_eq!(stage.got(1).len(), 1000);
}

#[test]
fn a_dead_sink_ends_only_itself_and_says_which_and_how_far() {
    let dies = Part::takes(vec![Write::Take(10), Write::Take(2), Write::Fail(ConnectionReset)]);
    let full = Part::takes(vec![Write::Take(3), Write::Fail(StorageFull)]).local();
    for (sinks, status, told) in [
        (vec![dies, greedy()], 1, "sink:1 stopped after 12 B: connection reset"),
        (vec![full, greedy()], 5, "sink:1 stopped after 3 B: "),
    ] {
        let mut stage = stage(long(500), sinks);
        let outcome = stage.finish();
        assert_eq!((summary(&outcome), outcome.bytes), (("told", status), [500, 0]));
        assert_eq!((stage.got(2).len(), stage.ends(2), stage.closed(2)), (500, 1, Some(false)));
        assert_eq!((stage.ends(1), stage.closed(1)), (0, Some(true)));
        assert!(matches!(&stage.complaints()[..], [line] if line.starts_with(told)), "{:?}", stage.complaints());
    }
}

#[test]
fn when_every_sink_is_dead_the_source_is_read_no_further_and_the_first_failure_is_the_status() {
    let disk = Part::takes(vec![Write::Take(3), Write::Fail(StorageFull)]).local();
    let peer = Part::takes(vec![Write::Take(9), Write::Block, Write::Fail(ConnectionReset)]);
    let mut stage = stage(long(5000), vec![peer, disk]);
    let outcome = stage.finish();
    assert_eq!(summary(&outcome), ("told", 5));
    assert_eq!(stage.complaints().len(), 2);
    assert!(stage.seen[0].borrow().read < 200 && stage.seen[0].borrow().read_closed);
}

#[test]
fn the_only_sinks_failure_is_that_of_the_whole_and_told_once() {
    for (sink, status, told) in [
        (Part::takes(vec![Write::Fail(StorageFull)]).local(), 5, "cannot write sink:1: "),
        (
            Part::takes(vec![Write::Take(4), Write::Fail(BrokenPipe)]),
            1,
            "transfer stopped after 4 B: sink:1 reset the connection",
        ),
    ] {
        let mut stage = stage(long(500), vec![sink]);
        let outcome = stage.finish();
        assert_eq!(summary(&outcome), ("failed", status));
        assert!(line(&outcome).starts_with(told), "{}", line(&outcome));
        assert!(stage.complaints().is_empty() && stage.closed(0).is_some());
    }
}

#[test]
fn a_reader_that_leaves_ends_an_only_sink_silently_and_one_of_several_with_its_line() {
    let left = || Part::takes(vec![Write::Take(5), Write::Fail(BrokenPipe)]).local();
    let mut alone = stage(long(100), vec![left()]);
    assert_eq!(summary(&alone.finish()), ("reader gone", 128 + 13));
    let mut one_of_two = stage(long(100), vec![greedy(), left()]);
    assert_eq!(summary(&one_of_two.finish()), ("told", 5));
    assert_eq!((one_of_two.got(1).len(), one_of_two.complaints().len()), (100, 1));
}

#[test]
fn a_sink_that_cannot_be_opened_is_told_and_the_others_get_everything() {
    let missing = || Part { is_missing: true, ..greedy() };
    let mut several = stage(long(300), vec![missing(), greedy()]);
    several.rest();
    assert_eq!(several.seen[0].borrow().read, 64);
    several.open_next();
    let outcome = several.finish();
    assert_eq!((summary(&outcome), outcome.bytes, several.got(2).len()), (("told", 1), [300, 0], 300));
    assert_eq!(several.complaints(), ["cannot connect to nowhere:1: connection refused"]);
    let mut alone = stage(long(300), vec![missing()]);
    alone.open_next();
    assert_eq!(summary(&alone.finish()), ("failed", 1));
}

#[test]
fn a_source_that_fails_has_delivered_what_came_before_and_the_sinks_are_reset() {
    for (is_peer, status) in [(true, 1), (false, 5)] {
        let kind = if is_peer { ConnectionReset } else { TimedOut };
        let source = Part { is_peer, ..Part::says(vec![data("before"), Read::Fail(kind)]) };
        let slow = Part::takes(vec![Write::Take(2), Write::Block, Write::Block, Write::Take(1)]);
        let mut stage = Stage::new(source, vec![greedy(), slow, greedy().late()], Rules::default());
        let outcome = stage.finish();
        assert_eq!(summary(&outcome), ("failed", status));
        let told = if is_peer { "transfer stopped after 6 B: source reset" } else { "cannot read source: " };
        assert!(line(&outcome).starts_with(told), "{}", line(&outcome));
        for side in 1..4 {
            assert_eq!((stage.got(side).as_str(), stage.ends(side), stage.closed(side)), ("before", 0, Some(true)));
        }
    }
}

#[test]
fn a_peer_that_takes_nothing_of_what_came_before_a_failure_is_waited_for_as_long_as_it_lingers() {
    let source = vec![data("before"), Read::Fail(TimedOut)];
    let mut stage = stage(source, vec![stuck(), greedy()]);
    stage.rest();
    assert_eq!(stage.closed(2), Some(true));
    stage.await_alarm();
    let outcome = stage.turn().expect("nobody waits any longer");
    assert_eq!((outcome.elapsed, summary(&outcome)), (Duration::from_secs(30), ("failed", 5)));
}

#[test]
fn stop_at_is_the_end_of_the_source_and_a_success() {
    for most in [0, 1, 7, 64, 65] {
        for is_peer in [true, false] {
            let source = Part { is_peer, ..Part::says(long(100)) };
            let rules = Rules { stop_at: Some(most), ..Rules::default() };
            let mut stage = Stage::new(source, vec![greedy(), Part::takes(vec![Write::Take(1), Write::Block])], rules);
            let outcome = stage.finish();
            assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [most, 0]));
            for side in [1, 2] {
                assert_eq!((stage.got(side).len() as u64, stage.ends(side)), (most, 1));
                assert_eq!(stage.closed(side), Some(false));
            }
            assert_eq!(stage.seen[0].borrow().read as u64, most, "not one byte more is taken");
            assert_eq!(stage.closed(0), Some(true), "what it still has is not wanted");
            assert!(stage.spread.has_enough());
        }
    }
}

#[test]
fn the_watchdog_and_the_time_limit_are_status_3_and_a_reset() {
    let limit = Some(Duration::from_secs(4));
    for (policy, seconds) in [(Policy { idle: limit, ..plain() }, 5), (Policy { max_time: limit, ..plain() }, 4)] {
        let rules = Rules { policy, ..Rules::default() };
        let source = [vec![Read::Block, data("late")], silent()].concat();
        let mut stage = Stage::new(Part::says(source), vec![greedy(), greedy()], rules);
        stage.rest();
        stage.bench.now += Duration::from_secs(1);
        stage.fire(0);
        stage.rest();
        stage.await_alarm();
        let outcome = stage.turn().expect("the time is over");
        assert_eq!((summary(&outcome), outcome.elapsed), (("failed", 3), Duration::from_secs(seconds)));
        assert_eq!((stage.closed(1), stage.closed(2), stage.ends(1)), (Some(true), Some(true), 0));
    }
}

#[test]
fn a_signal_delivers_what_is_in_transit_within_the_grace_and_resets() {
    let slow = Part::takes(vec![Write::Block, Write::Take(40), Write::Block]);
    let mut stage =
        stage([vec![data("in transit")], silent()].concat(), vec![greedy(), slow, stuck(), greedy().late()]);
    stage.rest();
    stage.spread.stop(Ended::Signal(15), stage.bench.now);
    stage.rest();
    assert_eq!((stage.closed(1), stage.closed(2), stage.closed(3)), (Some(true), None, None));
    stage.fire(2);
    stage.rest();
    assert_eq!((stage.got(2).as_str(), stage.closed(2)), ("in transit", Some(true)));
    stage.await_alarm();
    let outcome = stage.turn().expect("the grace is over");
    assert_eq!((summary(&outcome), outcome.elapsed), (("signal", 128 + 15), Duration::from_millis(500)));
    assert_eq!((stage.closed(3), stage.ends(1) + stage.ends(2) + stage.ends(3)), (Some(true), 0));
    stage.open_next();
    assert_eq!(stage.closed(4), Some(true), "who comes too late is not left open");
}

#[test]
fn a_terminals_source_has_ended_with_its_signal() {
    let source = Part { is_terminal: true, ..Part::says([vec![data("typed")], silent()].concat()) };
    let mut stage = Stage::new(source, vec![greedy(), greedy()], Rules::default());
    stage.rest();
    stage.spread.stop(Ended::Signal(2), stage.bench.now);
    assert_eq!(summary(&stage.finish()), ("signal", 130));
    assert_eq!((stage.ends(1), stage.closed(1)), (1, Some(false)));
}

#[test]
fn a_sink_is_closed_only_when_its_send_queue_is_empty() {
    let holds = Part { holds: true, ..greedy() };
    let mut stage = stage(long(50), vec![holds, greedy()]);
    stage.rest();
    assert_eq!((stage.closed(1), stage.closed(2), stage.seen[1].borrow().unsent), (None, Some(false), 51));
    stage.seen[1].borrow_mut().unsent = 0;
    stage.await_alarm();
    assert_eq!(summary(&stage.turn().expect("everything is acknowledged")), ("clean", 0));
    assert_eq!(stage.closed(1), Some(false));
}

#[test]
fn what_a_sink_does_not_acknowledge_is_told_with_its_number() {
    let holds = || Part { holds: true, ..greedy() };
    let mut several = stage(long(50), vec![holds(), greedy()]);
    let mut alone = stage(long(50), vec![holds()]);
    for stage in [&mut several, &mut alone] {
        let outcome = loop {
            if let Some(outcome) = stage.turn() {
                break outcome;
            }
            stage.await_alarm();
        };
        assert_eq!((outcome.status().code(), outcome.elapsed.as_secs()), (1, 30));
    }
    assert_eq!(several.complaints(), ["sink:1 stopped after 50 B: sink:1 did not acknowledge 50 bytes within 30s"]);
    assert!(alone.complaints().is_empty());
}

#[test]
fn what_a_sinks_peer_says_is_dropped_and_nothing_is_written_to_the_source() {
    let source = Part { is_peer: true, ..Part::says([long(200), silent()].concat()) };
    let chatty = Part { reads: vec![Read::Data(vec![7; 5000]), Read::Block, Read::End], ..greedy() };
    let mut stage = Stage::new(source, vec![chatty, greedy()], Rules::default());
    let outcome = stage.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [200, 0]));
    assert_eq!(stage.seen[1].borrow().read, 5000);
    assert_eq!((stage.got(0).as_str(), stage.closed(0)), ("", Some(false)));
}

#[test]
fn a_peer_that_resets_while_nothing_is_to_be_sent_is_a_dead_sink_at_once() {
    let dies = Part { reads: vec![Read::Block, Read::Fail(ConnectionReset)], ..greedy() };
    let mut stage = stage([vec![data("x")], silent()].concat(), vec![dies, greedy()]);
    stage.rest();
    stage.fire(1);
    stage.rest();
    assert_eq!(stage.complaints(), ["sink:1 stopped after 1 B: connection reset"]);
    assert_eq!((stage.closed(1), stage.closed(2)), (Some(true), None));
}

#[test]
fn a_rate_is_kept_and_everything_still_arrives() {
    let policy = Policy { rate: Some(Rate(1000)), ..plain() };
    let rules = Rules { policy, ..Rules::default() };
    let mut stage = Stage::new(Part::says(long(2000)), vec![greedy(), greedy()], rules);
    let outcome = stage.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [2000, 0]));
    assert!((1900..2200).contains(&outcome.elapsed.as_millis()), "{:?}", outcome.elapsed);
}

#[test]
fn a_layer_on_a_sink_gets_its_last_words_out_before_the_end() {
    let make = || layers(2, 20, true);
    let answers = Read::Data(encoded(b"thanks", make));
    let sink = Part {
        reads: vec![answers, Read::End],
        writes: vec![Write::Take(3), Write::Block, Write::Take(30), Write::Block],
        stack: Some(make()),
        ..greedy()
    };
    let mut stage = stage(long(400), vec![sink, greedy()]);
    assert_eq!(summary(&stage.finish()), ("clean", 0));
    let (plain, told) = decoded(&stage.seen[1].borrow().written, make());
    assert!(plain == stage.seen[2].borrow().written && told);
}

struct Eye(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl Watch for Eye {
    fn seen(&mut self, direction: usize, bytes: &[u8]) {
        assert_eq!(direction, 0);
        self.0.borrow_mut().extend(bytes);
    }
}

#[test]
fn a_tap_sees_what_was_taken_once() {
    let seen = std::rc::Rc::default();
    let tap = Tap::new(Eye(std::rc::Rc::clone(&seen)), [true, false]);
    let rules = Rules { tap: Some(tap), ..Rules::default() };
    let slow = Part::takes(vec![Write::Take(1), Write::Block, Write::Take(5), Write::Block]);
    let mut stage = Stage::new(Part::says(long(700)), vec![greedy(), slow, greedy()], rules);
    assert_eq!(summary(&stage.finish()), ("clean", 0));
    assert!(*seen.borrow() == stage.seen[1].borrow().written && seen.borrow().len() == 700);
}

#[test]
fn the_way_that_bytes_take_is_told_once() {
    let mut stage = stage([long(100)].concat(), vec![greedy(), greedy()]);
    stage.finish();
    let told = stage.log.0.borrow();
    let notes: Vec<_> = told.iter().filter(|event| matches!(event, Event::Note { .. })).collect();
    assert_eq!(notes, [&Event::Note { verbosity: 1, text: "source to 2 sinks: ring".into() }]);
}

/// Waits for some time after its last word, counted from when it is told the time, for which it asks at once.
struct Waits {
    began: Instant,
    is_closing: bool,
    has_said: bool,
    by: Option<Instant>,
    is_over: bool,
}

impl Layer for Waits {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        let count = plain.push(wire.filled());
        wire.consume(count);
        Ok(())
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        Ok(wire.push(plain))
    }

    fn flush(&mut self, wire: &mut Buffer) {
        if self.is_closing && !self.has_said && wire.is_empty() {
            self.has_said = wire.push(b".") == 1;
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::PlainClosed => self.is_closing = true,
            Note::Tick(now) => match self.by {
                Some(by) => self.is_over |= by <= now,
                None => self.by = Some(now + WAITS),
            },
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.has_said && !self.is_over).then(|| self.by.unwrap_or(self.began))
    }

    fn state(&self) -> LayerState {
        LayerState::Open
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }

    fn is_settled(&self) -> bool {
        !self.is_closing || self.is_over
    }
}

const WAITS: Duration = Duration::from_secs(5);

#[test]
fn a_layer_that_asks_for_the_time_at_once_is_told_it() {
    let waits = Waits { began: Instant::now(), is_closing: false, has_said: false, by: None, is_over: false };
    let stack = Some(Stack::new(vec![Box::new(waits)], 64));
    let sink = Part { stack, ..Part::takes(vec![Write::Block]) };
    let mut stage = stage(vec![data("all"), Read::End], vec![sink]);
    stage.rest();
    stage.fire(1);
    assert!(matches!(stage.spread.turn(&mut stage.bench.turn()), Park::Wait));
    assert!(stage.bench.alarm().expect("the layer has asked for the time") <= stage.bench.now);
    stage.rest();
    assert_eq!((stage.bench.alarm(), stage.ends(1)), (Some(stage.bench.now + WAITS), 0));
    stage.await_alarm();
    let outcome = stage.finish();
    assert_eq!((summary(&outcome), stage.got(1).as_str(), stage.ends(1)), (("clean", 0), "all.", 1));
}
