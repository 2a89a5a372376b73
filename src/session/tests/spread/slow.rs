//! Who is slow, and what becomes of it.

use std::time::Duration;

use super::super::driver::{data, summary};
use super::{Part, Rules, Stage, greedy, long, stuck};
use crate::endpoint::script::{Read, Write};
use crate::plan::pipe::OnSlow;

#[test]
fn a_slow_sink_holds_the_others_for_two_seconds_and_is_dropped() {
    let rules = Rules { on_slow: OnSlow::Drop, ..Rules::default() };
    let mut stage = Stage::new(Part::says(long(1000)), vec![greedy(), stuck()], rules);
    stage.rest();
    assert_eq!(stage.got(1).len(), 64);
    stage.await_alarm();
    assert_eq!(stage.bench.now - stage.started, Duration::from_secs(2));
    let outcome = stage.turn().expect("the other one gets everything at once");
    assert_eq!((summary(&outcome), outcome.bytes), (("told", 1), [1000, 0]));
    assert_eq!((stage.got(1).len(), stage.closed(2)), (1000, Some(true)));
    assert_eq!(stage.complaints(), ["sink:2 stopped after 0 B: it held the others back for 2s"]);
}

#[test]
fn a_sink_that_takes_a_little_at_a_time_holds_the_others_back_too() {
    let rules = Rules { on_slow: OnSlow::Drop, ..Rules::default() };
    let trickle = (0..1000).flat_map(|_| [Write::Take(1), Write::Block]).collect();
    let mut stage = Stage::new(Part::says(long(1000)), vec![greedy(), Part::takes(trickle)], rules);
    stage.rest();
    for _ in 0..21 {
        stage.bench.now += Duration::from_millis(100);
        stage.fire(2);
        if let Some(outcome) = stage.turn() {
            assert_eq!((summary(&outcome), stage.got(1).len()), (("told", 1), 1000));
            assert!(outcome.elapsed >= Duration::from_secs(2));
            return;
        }
    }
    panic!("it held the others for more than two seconds");
}

#[test]
fn nobody_is_dropped_while_nobody_waits() {
    // all are slow; the source is; there is one sink alone; the others are to be waited for
    let rules = |on_slow| Rules { on_slow, ..Rules::default() };
    let cases = vec![
        (long(1000), vec![stuck(), stuck()], OnSlow::Drop),
        (vec![data("few"), Read::Block, Read::Block], vec![greedy(), stuck()], OnSlow::Drop),
        (long(1000), vec![stuck()], OnSlow::Drop),
        (long(1000), vec![greedy(), stuck()], OnSlow::Wait),
    ];
    for (source, sinks, on_slow) in cases {
        let mut stage = Stage::new(Part::says(source), sinks, rules(on_slow));
        stage.rest();
        for _ in 0..10 {
            stage.bench.now += Duration::from_secs(60);
            stage.rest();
        }
        assert!(stage.complaints().is_empty());
    }
}

#[test]
fn a_sink_that_is_not_open_holds_the_others_back_as_well() {
    for (on_slow, is_overdue) in [(OnSlow::Drop, true), (OnSlow::Wait, false)] {
        let sinks = vec![greedy(), greedy().late()];
        let mut stage = Stage::new(Part::says(long(1000)), sinks, Rules { on_slow, ..Rules::default() });
        stage.rest();
        assert!(stage.spread.take_overdue().is_empty(), "it has its time");
        stage.bench.now += Duration::from_secs(2);
        stage.rest();
        assert_eq!(!stage.spread.take_overdue().is_empty(), is_overdue);
        assert!(stage.complaints().is_empty(), "whoever opens it knows what to say");
    }
}

/// What fits into the ring never fills it, and nothing else would end the wait.
#[test]
fn a_sink_that_is_not_open_after_the_others_have_everything_is_given_up() {
    for (on_slow, is_overdue) in [(OnSlow::Drop, true), (OnSlow::Wait, false)] {
        let sinks = vec![greedy(), greedy().late(), greedy().late()];
        let source = Part::says(vec![data("few"), Read::End]);
        let mut stage = Stage::new(source, sinks, Rules { on_slow, ..Rules::default() });
        stage.rest();
        stage.bench.now += Duration::from_millis(1999);
        stage.rest();
        assert!(stage.spread.take_overdue().is_empty(), "they have their time");
        if is_overdue {
            stage.await_alarm();
            assert_eq!(stage.bench.now - stage.started, Duration::from_secs(2));
        } else {
            stage.bench.now += Duration::from_secs(60);
        }
        stage.rest();
        assert_eq!(stage.spread.take_overdue().len(), if is_overdue { 2 } else { 0 });
    }
}

/// There is nobody else whom that could concern.
#[test]
fn the_only_sink_that_is_left_may_open_when_it_likes() {
    let sinks = vec![Part { is_missing: true, ..greedy() }, greedy().late()];
    let source = Part::says(vec![data("few"), Read::End]);
    let mut stage = Stage::new(source, sinks, Rules { on_slow: OnSlow::Drop, ..Rules::default() });
    stage.rest();
    stage.bench.now += Duration::from_secs(60);
    stage.rest();
    assert!(stage.spread.take_overdue().is_empty());
}

#[test]
fn a_sink_that_catches_up_in_time_is_not_dropped() {
    let rules = Rules { on_slow: OnSlow::Drop, ..Rules::default() };
    let hiccups = (0..20).flat_map(|_| [Write::Block, Write::Take(64), Write::Take(64)]).collect();
    let mut stage = Stage::new(Part::says(long(2000)), vec![greedy(), Part::takes(hiccups)], rules);
    let outcome = loop {
        if let Some(outcome) = stage.turn() {
            break outcome;
        }
        stage.bench.now += Duration::from_millis(1900);
        stage.fire(2);
    };
    assert_eq!((summary(&outcome), stage.got(2).len()), (("clean", 0), 2000));
}
