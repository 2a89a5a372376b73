//! What a banner does to a pump.

use std::rc::Rc;

use super::super::end::Side;
use super::fill::is_shortage;
use super::*;
use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Write};
use crate::reactor::testing::Bench;

/// Runs a pump with a banner to its end, the sink taking as much at once as `writes` say; what was written, and how
/// many ends of file were passed on.
fn greeted(mut pump: Pump, banner: &[u8], reads: Vec<Read>, writes: Vec<Write>) -> (Vec<u8>, usize) {
    let (from, to) = (Script::new(reads, vec![]), Script::new(vec![], writes));
    let seen = Rc::clone(&to.seen);
    let end = |script| End::new(Transport::Script(script), Side::Peer("peer".into()), None);
    let (mut from, mut to) = (end(from), end(to));
    let mut bench = Bench::new();
    from.start(&mut bench.turn()).unwrap();
    to.start(&mut bench.turn()).unwrap();
    let pools = Pools::new(4, 65536);
    let terms = Terms { pools: &pools, splice: true, block: 1000, most: 1000, tap: None };
    pump.greet(banner);
    pump.run(&mut bench.turn(), &mut from, &mut to, &terms);
    assert!(pump.is_over());
    let seen = seen.borrow();
    assert_eq!(pump.delivered(), seen.written.len() as u64);
    (seen.written.clone(), seen.ends)
}

#[test]
fn a_banner_comes_before_anything_else_whatever_its_length() {
    let reads = || vec![Read::Data(b" and the rest".to_vec()), Read::End];
    for writes in [vec![], vec![Write::Take(1), Write::Take(3), Write::Take(17)]] {
        let banner = b"longer than a buffer";
        let (written, ends) = greeted(Pump::default(), banner, reads(), writes);
        assert_eq!(written, b"longer than a buffer and the rest");
        assert_eq!(ends, 1);
    }
}

#[test]
fn a_banner_is_sent_where_nothing_else_is() {
    assert_eq!(greeted(Pump::ended(), b"hi", vec![], vec![]), (b"hi".to_vec(), 1));
    let left_alone = greeted(Pump::absent(), b"hi", vec![Read::Data(b"unread".to_vec())], vec![Write::Take(1)]);
    assert_eq!(left_alone, (b"hi".to_vec(), 0));
}

#[test]
fn no_banner_changes_nothing() {
    let mut pump = Pump::absent();
    pump.greet(b"");
    assert!(pump.is_over());
}

#[test]
fn a_kernel_pipe_that_comes_out_short_is_asked_for_once() {
    let end = |script| End::new(Transport::Script(script), Side::Peer("peer".into()), None);
    let mut from = end(Script::new(vec![Read::Data(b"bytes".to_vec())], vec![]));
    let mut bench = Bench::new();
    from.start(&mut bench.turn()).unwrap();
    let pools = Pools::with_short_pipes(16);
    let terms = Terms { pools: &pools, splice: true, block: 1000, most: 1000, tap: None };
    let mut pump = Pump::default();
    assert!(matches!(pump.fill_pipe(&mut bench.turn(), &mut from, &terms, 1000), Filled::Taken(5)));
    assert!(pump.refused.kernel && pump.pipe.is_none());
}

#[test]
fn only_a_lack_of_descriptors_is_worth_another_try() {
    for (errno, expected) in [(libc::EMFILE, true), (libc::ENFILE, true), (libc::EPERM, false)] {
        assert_eq!(is_shortage(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
    }
    assert!(!is_shortage(&io::ErrorKind::Unsupported.into()));
}

/// Takes little pieces of a source that has many of them, in one run; how many, and what that cost of a budget.
fn many_pieces(run: impl FnOnce(&mut Pump, &mut Turn, &mut [End; 2], &Terms) -> Run) -> (u64, u64) {
    let end = |script| End::new(Transport::Script(script), Side::Peer("peer".into()), None);
    let reads = vec![Read::Data(b"x".to_vec()); 10_000];
    let mut ends = [end(Script::new(reads, vec![])), end(Script::new(vec![], vec![]))];
    let mut bench = Bench::new();
    ends.iter_mut().for_each(|end| end.start(&mut bench.turn()).unwrap());
    let pools = Pools::new(4, 65536);
    let terms = Terms { pools: &pools, splice: true, block: 1, most: 1 << 20, tap: None };
    let run = run(&mut Pump::default(), &mut bench.turn(), &mut ends, &terms);
    assert!(matches!(run.stop, Stop::Spent), "{:?}", run.stop);
    (run.taken, run.cost())
}

#[test]
fn little_pieces_have_their_price_so_that_others_and_signals_have_their_turn() {
    let moved = many_pieces(|pump, turn, [from, to], terms| pump.run(turn, from, to, terms));
    let dropped = many_pieces(|pump, turn, [from, _], terms| pump.discard(turn, from, terms));
    for (taken, cost) in [moved, dropped] {
        assert!(taken <= 256 && cost >= 1 << 20, "{taken} bytes, one by one, for {cost}");
    }
}
