//! The state machine of one direction as pure code: a pump between two scripted ends, over a hundred thousand random
//! sequences of events. The number of a failing case replays it: `HAUL_PUMP_CASE=n`.

use std::io::ErrorKind;
use std::rc::Rc;

use super::driver::{Dice, given};
use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Write};
use crate::reactor::testing::Bench;
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::pump::{Pump, Stop, Terms};

fn side(peer: bool) -> Side {
    match peer {
        true => Side::Peer("peer".into()),
        false => Side::Local { reading: "in".into(), writing: "out".into() },
    }
}

fn reads(dice: &mut Dice) -> Vec<Read> {
    let mut reads = Vec::new();
    let mut next = 0u8;
    for _ in 0..dice.below(10) {
        reads.push(match dice.below(3) {
            0 => Read::Block,
            _ => {
                let bytes = (0..1 + dice.below(40) as u8).map(|i| next.wrapping_add(i));
                let bytes: Vec<u8> = bytes.collect();
                next = next.wrapping_add(bytes.len() as u8);
                Read::Data(bytes)
            }
        });
    }
    reads.push(if dice.one_in(5) { Read::Fail(ErrorKind::ConnectionReset) } else { Read::End });
    reads
}

fn writes(dice: &mut Dice) -> Vec<Write> {
    let mut writes: Vec<Write> = (0..dice.below(12))
        .map(|_| if dice.one_in(3) { Write::Block } else { Write::Take(1 + dice.below(30)) })
        .collect();
    if dice.one_in(5) {
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::StorageFull];
        writes.push(Write::Fail(kinds[dice.below(3)]));
    }
    writes
}

fn run_case(case: u64) {
    let mut dice = Dice::new(case);
    let (reads, writes) = (reads(&mut dice), writes(&mut dice));
    let expected = given(&reads);
    let source_fails = matches!(reads.last(), Some(Read::Fail(_)));
    let (from, to) = (Script::new(reads, vec![]), Script::new(vec![], writes));
    let seen = [Rc::clone(&from.seen), Rc::clone(&to.seen)];
    let peers = [dice.one_in(2), dice.one_in(2)];
    let mut from = End::new(Transport::Script(from), side(peers[0]), None);
    let mut to = End::new(Transport::Script(to), side(peers[1]), None);
    let mut bench = Bench::new();
    from.start(&mut bench.turn()).unwrap();
    to.start(&mut bench.turn()).unwrap();
    let pools = Pools::new(1 + dice.below(60), 65536);
    let keep_open = dice.one_in(8);
    let mut pump = if keep_open { Pump::keeping_open() } else { Pump::default() };
    let abandon_at = if dice.one_in(6) { dice.below(8) } else { usize::MAX };
    let block = 1 + dice.below(64);
    for step in 0.. {
        assert!(step < 2000, "no end in sight");
        if step == abandon_at {
            pump.abandon();
        }
        let abandoned = step >= abandon_at;
        let terms = Terms { pools: &pools, splice: true, block, most: dice.below(50) as u64, tap: None };
        let before = seen[1].borrow().written.len();
        let run = pump.run(&mut bench.turn(), &mut from, &mut to, &terms);
        let (ends, late) = (seen[1].borrow().ends, seen[1].borrow().late);
        let written = seen[1].borrow().written.clone();
        assert!(expected.starts_with(&written), "what comes out is a prefix of what went in");
        assert_eq!(run.delivered, (written.len() - before) as u64);
        assert_eq!(pump.delivered(), written.len() as u64);
        assert!(run.taken <= terms.most && ends <= 1 && late == 0);
        match run.stop {
            Stop::Blocked => {
                let blocked = [0, 1].map(|end| seen[end].borrow().blocked);
                assert!(blocked[0] || blocked[1], "blocked by nobody");
                // an event for one of them; for the wrong one, a turn for nothing follows
                let end = dice.below(2);
                seen[end].borrow_mut().blocked = false;
                let slot = seen[end].borrow().slot.unwrap();
                bench.fire(slot);
                continue;
            }
            Stop::Spent => {
                assert!(run.taken == terms.most && !pump.is_over());
                continue;
            }
            Stop::Ended => {
                assert!(abandoned || written == expected, "the end was told before everything was delivered");
                assert!(abandoned || !source_fails, "an end that was cut is no clean one");
                assert!(abandoned || ends == usize::from(!keep_open));
            }
            Stop::SourceFailed(_) => {
                assert!(source_fails && written == expected, "what came before the failure is delivered");
                assert_eq!(ends, 0, "a failure is not an end");
            }
            Stop::SinkFailed(_) => assert!(seen[1].borrow().broken),
            Stop::Reset(_) => panic!("nobody asked for a reset"),
        }
        break;
    }
    assert!(pump.is_over());
    let terms = Terms { pools: &pools, splice: true, block, most: 9, tap: None };
    let again = pump.run(&mut bench.turn(), &mut from, &mut to, &terms);
    assert!(matches!(again.stop, Stop::Blocked) && again.taken == 0 && again.delivered == 0);
}

#[test]
fn one_direction_delivers_a_prefix_and_ends_once_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(case) = number("HAUL_PUMP_CASE") {
        return run_case(case);
    }
    for case in 0..number("HAUL_PUMP_CASES").unwrap_or(100_000) {
        if let Err(panic) = std::panic::catch_unwind(|| run_case(case)) {
            eprintln!("replay with HAUL_PUMP_CASE={case}");
            std::panic::resume_unwind(panic);
        }
    }
}
