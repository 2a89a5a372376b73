//! Whole spreads over random scripts: every rule of ending crossed with every policy.
//!
//! `PROPTEST_CASES=100000 cargo test spread` runs more of them.

use std::io::ErrorKind;
use std::time::Duration;

use proptest::prelude::*;

use super::super::driver::{Dice, given, plain};
use super::super::wire::{decoded, encoded, layers};
use super::{Part, Rules, Stage};
use crate::endpoint::script::{Read, Write};
use crate::outcome::Ended;
use crate::plan::pipe::OnSlow;
use crate::session::policy::Policy;
use crate::units::Rate;

#[derive(Clone, Debug)]
struct Case {
    payload: Vec<u8>,
    cuts: Vec<usize>,
    read_fails: Option<usize>,
    source_is_peer: bool,
    sinks: Vec<SinkCase>,
    policy: Policy,
    on_slow: OnSlow,
    buffer: u64,
    stop_at: Option<u64>,
    signal_after: Option<usize>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct SinkCase {
    writes: Vec<Write>,
    says: Vec<usize>,
    is_peer: bool,
    holds: bool,
    is_late: bool,
    is_missing: bool,
    /// Depth and record size of layers on its wire.
    layers: Option<(usize, usize)>,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![6 => (1usize..60).prop_map(Write::Take), 3 => Just(Write::Block)]
}

fn failure() -> impl Strategy<Value = ErrorKind> {
    prop::sample::select(vec![ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::StorageFull])
}

prop_compose! {
    fn sink()(
        mut writes in prop::collection::vec(write(), 0..30),
        write_fails in prop::option::weighted(0.2, failure()),
        says in prop::collection::vec(0usize..30, 0..6),
        is_peer in any::<bool>(),
        holds in any::<bool>(),
        is_late in prop::bool::weighted(0.3),
        is_missing in prop::bool::weighted(0.1),
        layers in prop::option::weighted(0.2, (1usize..3, 1usize..140)),
    ) -> SinkCase {
        writes.extend(write_fails.map(Write::Fail));
        SinkCase { writes, says, is_peer, holds: holds && is_peer, is_late, is_missing, layers: layers.filter(|_| is_peer) }
    }
}

prop_compose! {
    fn case()(
        payload in prop::collection::vec(any::<u8>(), 0..500),
        cuts in prop::collection::vec(0usize..50, 1..8),
        read_fails in prop::option::weighted(0.15, 0usize..500),
        source_is_peer in any::<bool>(),
        sinks in prop::collection::vec(sink(), 1..5),
        limits in (prop::option::weighted(0.1, 1u64..3000), prop::option::weighted(0.1, 1u64..3000)),
        rate in prop::option::weighted(0.1, 500u64..100_000),
        (block, budget) in (1usize..64, 1u64..2000),
        drops in any::<bool>(),
        buffer in 1u64..200,
        stop_at in prop::option::weighted(0.2, 0u64..400),
        signal_after in prop::option::weighted(0.1, 0usize..30),
        seed in any::<u64>(),
    ) -> Case {
        let millis = |limit: Option<u64>| limit.map(Duration::from_millis);
        let policy = Policy {
            idle: millis(limits.0), max_time: millis(limits.1), rate: rate.map(Rate), block, budget, ..plain()
        };
        let on_slow = if drops { OnSlow::Drop } else { OnSlow::Wait };
        Case { payload, cuts, read_fails, source_is_peer, sinks, policy, on_slow, buffer, stop_at, signal_after, seed }
    }
}

fn reads(case: &Case) -> Vec<Read> {
    let (bytes, last) = match case.read_fails {
        Some(at) if at < case.payload.len() => (&case.payload[..at], Read::Fail(ErrorKind::ConnectionReset)),
        _ => (&case.payload[..], Read::End),
    };
    let (mut reads, mut rest) = (Vec::new(), bytes);
    for cut in case.cuts.iter().cycle().take(case.cuts.len() + 2000) {
        let (now, later) = rest.split_at(rest.len().min(*cut));
        reads.push(if now.is_empty() { Read::Block } else { Read::Data(now.to_vec()) });
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    reads.extend([Read::Data(rest.to_vec())].into_iter().filter(|_| !rest.is_empty()));
    reads.push(last);
    reads
}

fn part(case: &SinkCase) -> Part {
    let make = |(depth, record)| layers(depth, record, false);
    let said = |cut: &usize| if *cut == 0 { Read::Block } else { Read::Data(vec![1; *cut]) };
    let mut reads: Vec<Read> = match case.layers {
        Some(shape) => vec![Read::Data(encoded(b"hm", || make(shape)))],
        None => case.says.iter().map(said).collect(),
    };
    reads.push(Read::End);
    let SinkCase { writes, is_peer, holds, is_late, is_missing, .. } = case.clone();
    let stack = case.layers.map(make);
    Part { reads, writes, is_peer, holds, is_late, is_missing, stack, ..Part::default() }
}

fn check(case: &Case) {
    let script = reads(case);
    let given = given(&script);
    let most = case.stop_at.map_or(given.len(), |most| given.len().min(most as usize));
    let due = &given[..most];
    let is_cut = matches!(script.last(), Some(Read::Fail(_))) && case.stop_at.is_none_or(|at| at > given.len() as u64);
    let source = Part { is_peer: case.source_is_peer, ..Part::says(script.clone()) };
    let rules = Rules {
        policy: case.policy.clone(),
        on_slow: case.on_slow,
        buffer: case.buffer,
        stop_at: case.stop_at,
        tap: None,
    };
    let mut stage = Stage::new(source, case.sinks.iter().map(part).collect(), rules);
    let mut dice = Dice::new(case.seed);
    let mut outcome = None;
    for _ in 0..case.signal_after.unwrap_or(0) {
        outcome = stage.turn();
        if outcome.is_some() {
            break;
        }
        stage.nudge(&mut dice);
    }
    if case.signal_after.is_some() && outcome.is_none() {
        stage.spread.stop(Ended::Signal(15), stage.bench.now);
    }
    let outcome = outcome.unwrap_or_else(|| stage.run(&mut dice));
    let is_limited = case.policy.idle.is_some() || case.policy.max_time.is_some();
    let is_ended_early = is_cut || is_limited || case.signal_after.is_some();
    let (mut all_well, mut any_broken) = (true, false);
    for (index, sink) in case.sinks.iter().enumerate() {
        let seen = stage.seen[index + 1].borrow();
        let (got, was_told) = match sink.layers {
            Some((depth, record)) => decoded(&seen.written, layers(depth, record, false)),
            None => (seen.written.clone(), seen.ends > 0),
        };
        assert!(due.starts_with(&got), "sink {index} got no prefix");
        if was_told {
            assert!(got == due && !is_cut, "an end of file hides that bytes are missing");
        }
        // the peers of layers say their own end: one that has everything and then leaves misses nothing but ours
        let has_heard = was_told && !seen.broken || seen.broken && sink.layers.is_some();
        let is_well = got == due && has_heard && seen.closed == Some(false);
        if !is_well {
            let is_gone = seen.broken || sink.is_missing;
            let may_be_dropped = case.on_slow == OnSlow::Drop && case.sinks.len() > 1;
            let all_others_gone = stage.seen.iter().skip(1).all(|seen| seen.borrow().closed != Some(false));
            assert!(
                is_gone || is_ended_early || may_be_dropped || all_others_gone,
                "sink {index} is missing something"
            );
        }
        all_well &= is_well;
        any_broken |= seen.broken;
    }
    match &outcome.ended {
        Ended::Clean => {
            assert!(all_well && !is_cut, "a clean end is that of every sink");
            assert_eq!(outcome.bytes, [due.len() as u64, 0]);
        }
        Ended::Signal(15) => assert!(case.signal_after.is_some()),
        // one that broke may be told of although it has everything: that it has is not always known here
        Ended::Told(_) => {
            assert!((!all_well || any_broken) && case.sinks.len() > 1 && !stage.complaints().is_empty());
        }
        Ended::ReaderGone => assert!(case.sinks.len() == 1 && !case.sinks[0].is_peer),
        Ended::Failed(error) => {
            assert!(error.line().len() < 200);
            let is_sole_sinks = case.sinks.len() == 1 && (!all_well || any_broken);
            assert!(is_cut || is_limited || is_sole_sinks, "failed: {}", error.line());
        }
        Ended::Signal(_) | Ended::Program(_) => panic!("nobody did that"),
    }
    assert_eq!(stage.got(0), "", "something was written to the source");
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(2000), failure_persistence: None, max_shrink_time: 10_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_the_sinks_do_each_gets_a_prefix_and_who_is_told_the_end_has_all(case in case()) {
        check(&case);
    }
}
