//! Whole sessions over random scripts: every rule of ending crossed with every policy and with layers on the wire.
//!
//! `PROPTEST_CASES=100000 cargo test session` runs more of them.

use std::io::ErrorKind;
use std::time::Duration;

use proptest::prelude::*;

use super::driver::{Dice, Driver, Plot, given, plain};
use super::wire::{decoded, encoded, layers};
use crate::endpoint::script::{Read, Write};
use crate::outcome::Ended;
use crate::plan::{AfterPeerEof, Flow};
use crate::session::policy::Policy;
use crate::units::Rate;

/// Everything that decides a case.
#[derive(Clone, Debug)]
struct Case {
    sides: [Side; 2],
    policy: Policy,
    buffer: usize,
    /// Depth, record size and a handshake that leaves, for layers on the peer's end.
    layers: Option<(usize, usize, bool)>,
    /// Both ends are peers.
    relay: bool,
    signal_after: Option<usize>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Side {
    payload: Vec<u8>,
    /// How the payload (the wire of a layered side) is cut; 0 is a WouldBlock.
    cuts: Vec<usize>,
    /// Fails after this many of its bytes.
    read_fails: Option<usize>,
    writes: Vec<Write>,
    terminal: bool,
    holds: bool,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![6 => (1usize..60).prop_map(Write::Take), 3 => Just(Write::Block)]
}

fn failure() -> impl Strategy<Value = ErrorKind> {
    prop::sample::select(vec![ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::StorageFull])
}

prop_compose! {
    fn side()(
        payload in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(0usize..50, 1..8),
        read_fails in prop::option::weighted(0.15, 0usize..400),
        mut writes in prop::collection::vec(write(), 0..20),
        write_fails in prop::option::weighted(0.15, failure()),
        terminal in prop::bool::weighted(0.1),
        holds in any::<bool>(),
    ) -> Side {
        writes.extend(write_fails.map(Write::Fail));
        Side { payload, cuts, read_fails, writes, terminal, holds }
    }
}

prop_compose! {
    fn policy()(
        flow in prop::sample::select(vec![Flow::Both, Flow::Both, Flow::Both, Flow::SendOnly, Flow::ReceiveOnly]),
        after_peer_eof in prop::sample::select(vec![AfterPeerEof::Auto, AfterPeerEof::Send, AfterPeerEof::Exit]),
        stdin in prop::bool::weighted(0.9),
        shutdown in prop::bool::weighted(0.9),
        quit_after in prop::option::weighted(0.1, 1u64..3000),
        idle in prop::option::weighted(0.1, 1u64..3000),
        max_time in prop::option::weighted(0.1, 1u64..3000),
        max_bytes in prop::option::weighted(0.1, 1u64..300),
        rate in prop::option::weighted(0.1, 500u64..100_000),
        block in 1usize..64,
        hint in any::<bool>(),
    ) -> Policy {
        let millis = |limit: Option<u64>| limit.map(Duration::from_millis);
        let (quit_after, idle, max_time) = (millis(quit_after), millis(idle), millis(max_time));
        let rate = rate.map(Rate);
        let limits = Policy { quit_after, idle, max_time, max_bytes, rate, block, hint, ..plain() };
        Policy { flow, after_peer_eof, stdin, shutdown, ..limits }
    }
}

prop_compose! {
    fn case()(
        sides in [side(), side()],
        policy in policy(),
        buffer in 1usize..300,
        layers in prop::option::weighted(0.4, (0usize..3, 1usize..253, any::<bool>())),
        relay in prop::bool::weighted(0.3),
        signal_after in prop::option::weighted(0.1, 0usize..30),
        seed in any::<u64>(),
    ) -> Case {
        Case { sides, policy, buffer, layers, relay, signal_after, seed }
    }
}

/// What a side gives: its bytes cut as it says, then its end or its failure.
fn reads(side: &Side, bytes: &[u8]) -> Vec<Read> {
    let (bytes, last) = match side.read_fails {
        Some(at) if at < bytes.len() => (&bytes[..at], Read::Fail(ErrorKind::ConnectionReset)),
        _ => (bytes, Read::End),
    };
    let (mut reads, mut rest) = (Vec::new(), bytes);
    for cut in side.cuts.iter().cycle().take(side.cuts.len() + 2000) {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(rest.len().min(*cut));
        reads.push(if now.is_empty() { Read::Block } else { Read::Data(now.to_vec()) });
        rest = later;
    }
    if !rest.is_empty() {
        reads.push(Read::Data(rest.to_vec()));
    }
    reads.push(last);
    reads
}

/// What stays the same whatever the policy is, and what a clean end promises.
fn check(case: &Case) {
    let stack = || case.layers.map(|(depth, record, greeting)| layers(depth, record, greeting));
    let [left, right] = &case.sides;
    let wire = match case.layers {
        Some(_) => encoded(&right.payload, || stack().expect("layers")),
        None => right.payload.clone(),
    };
    let scripts = [reads(left, &left.payload), reads(right, &wire)];
    // after the end that a layer has said, a cut of the wire is no loss
    let (inward, said_all) = match stack() {
        Some(stack) => decoded(&given(&scripts[1]), stack),
        None => (given(&scripts[1]), false),
    };
    let offered = [given(&scripts[0]), inward];
    let cut = matches!(scripts[1].last(), Some(Read::Fail(_))) && !said_all;
    let plot = |side: &Side, reads: &Vec<Read>, peer: bool| Plot {
        peer,
        terminal: side.terminal && !peer,
        holds: side.holds && peer,
        ..Plot::local(reads.clone(), side.writes.clone())
    };
    let local = plot(left, &scripts[0], case.relay);
    let peer = Plot { stack: stack(), ..plot(right, &scripts[1], true) };
    let mut driver = Driver::new(local, peer, case.policy.clone(), case.buffer);
    let mut dice = Dice::new(case.seed);
    let mut outcome = None;
    for _ in 0..case.signal_after.unwrap_or(0) {
        outcome = driver.turn();
        if outcome.is_some() {
            break;
        }
        driver.nudge(&mut dice);
    }
    if case.signal_after.is_some() && outcome.is_none() {
        driver.session.stop(Ended::Signal(15), driver.bench.now);
    }
    let outcome = outcome.unwrap_or_else(|| driver.run(&mut dice));
    let (outward, told) = match stack() {
        Some(stack) => decoded(&driver.wrote(1), stack),
        None => (driver.wrote(1), false),
    };
    let arrived = [outward, driver.wrote(0)];
    for direction in 0..2 {
        assert!(offered[direction].starts_with(&arrived[direction]), "direction {direction} is no prefix");
    }
    assert_eq!(outcome.bytes[1], arrived[1].len() as u64);
    let Policy { flow, stdin, shutdown, .. } = case.policy;
    let seen = [driver.seen[0].borrow(), driver.seen[1].borrow()];
    // an end of file towards the peer means that the source ended, or that somebody meant it
    let meant = case.policy.after_peer_eof == AfterPeerEof::Exit || left.terminal || flow != Flow::Both || !stdin;
    if (seen[1].ends > 0 || told) && !meant {
        assert_eq!(arrived[0], offered[0], "an end of file hides that bytes are missing");
        assert!(!matches!(scripts[0].last(), Some(Read::Fail(_))), "an end of file after a read error");
    }
    match &outcome.ended {
        Ended::Clean => {
            let received_enough = flow != Flow::SendOnly && case.policy.max_bytes == Some(outcome.bytes[1]);
            // at the end of -q the last of them may just have been in transit
            let quit = case.policy.quit_after.is_some();
            let cut_off = case.policy.after_peer_eof == AfterPeerEof::Exit;
            let orderly = seen[1].closed == Some(received_enough) || cut_off;
            assert!(orderly || quit, "a clean end is an orderly one");
            // neither a FIN is payload, nor what a layer answers to a peer that then cut the wire
            assert!(seen[1].unsent_at_close <= seen[1].ends || case.layers.is_some() && seen[1].broken);
            let early = received_enough || quit || cut_off;
            if flow == Flow::Both && stdin && !early {
                assert!(arrived[0] == offered[0] || case.policy.after_peer_eof == AfterPeerEof::Exit || left.terminal);
                // who said its own end and then left has not heard ours
                let left_first = said_all && seen[1].broken;
                assert!(seen[1].ends == usize::from(shutdown) || left_first);
            }
            if flow != Flow::SendOnly && !early {
                assert_eq!(arrived[1], offered[1]);
                assert_eq!(seen[0].ends, 1);
                assert!(!cut, "a cut is no clean end");
            }
        }
        Ended::Program(_) | Ended::Told(_) => panic!("neither a program nor a copy is part of this"),
        Ended::Signal(15) => assert!(case.signal_after.is_some()),
        Ended::Signal(_) => panic!("nobody sent that signal"),
        Ended::ReaderGone => assert!(seen[0].broken && !case.relay),
        Ended::Failed(error) => {
            assert!(error.line().len() < 200);
            let peers_gone = seen[1].broken || case.relay && seen[0].broken;
            let limits = case.policy.idle.is_some() || case.policy.max_time.is_some();
            let in_handshake = case.layers.is_some();
            assert!(peers_gone || seen[0].broken || limits || in_handshake, "failed for no reason: {}", error.line());
            // what ended properly and was closed before the other side failed has been told the truth
            let served = case.relay && (seen[1].ends == 1 || !shutdown || !stdin);
            assert!(seen[1].closed == Some(true) || seen[1].broken || served, "a failure is told to the peer");
        }
    }
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    // a case takes less than a millisecond, and a failure is replayed from its printed input
    ProptestConfig { cases: default.cases.max(2000), failure_persistence: None, max_shrink_time: 10_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_a_session_ends_and_tells_the_truth(case in case()) {
        check(&case);
    }
}
