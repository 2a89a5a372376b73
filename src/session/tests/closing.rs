//! The closing rules of the manual, one promise a test.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, StorageFull, TimedOut};
use std::time::Duration;

use super::driver::{Driver, Plot, data, drive, line, plain, silent, summary};
use super::wire::layers;
use crate::endpoint::script::{Read, Write};
use crate::event::Event;
use crate::plan::{AfterPeerEof, Flow};
use crate::session::policy::Policy;
use crate::units::Rate;

#[test]
fn both_directions_end_by_themselves_and_nothing_is_lost() {
    for lag in 0..2 {
        let wait = |reads: Vec<Read>, lags: bool| if lags { [vec![Read::Block; 3], reads].concat() } else { reads };
        let local = Plot::local(wait(vec![data("to"), Read::Block, data("peer"), Read::End], lag == 0), vec![]);
        let peer = Plot::peer(wait(vec![data("from"), Read::End], lag == 1), vec![Write::Take(1), Write::Block]);
        let mut driver = drive(local, peer, plain());
        let outcome = driver.finish();
        assert_eq!(summary(&outcome), ("clean", 0));
        assert_eq!(outcome.bytes, [6, 4]);
        assert_eq!((driver.wrote(0), driver.wrote(1)), (b"from".to_vec(), b"topeer".to_vec()));
        assert_eq!((driver.was_reset(0), driver.was_reset(1)), (false, false));
        assert_eq!((driver.seen[0].borrow().ends, driver.seen[1].borrow().ends), (1, 1));
    }
}

#[test]
fn a_reset_delivers_all_that_came_before_it_and_fails_with_status_1() {
    let local = Plot::local(silent(), vec![Write::Take(2), Write::Block, Write::Take(1)]);
    let mut driver = drive(local, Plot::peer(vec![data("before"), Read::Fail(ConnectionReset)], vec![]), plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 1));
    assert_eq!(line(&outcome), "transfer stopped after 6 B: b:2 reset the connection");
    assert_eq!(driver.wrote(0), b"before");
    assert_eq!(driver.seen[0].borrow().ends, 0, "a cut is not passed on as an end of file");
}

#[test]
fn an_end_of_file_after_the_peer_was_found_to_be_cut_is_a_reset() {
    // the write is told of the reset, so the read is told of an end of file (design.md, 6a)
    let local = Plot::local(vec![data("x"), Read::Block, Read::End], vec![]);
    let peer = Plot::peer(vec![data("last words"), Read::End], vec![Write::Fail(ConnectionReset)]);
    let mut driver = drive(local, peer, plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 1));
    assert_eq!(driver.wrote(0), b"last words");
}

#[test]
fn when_writing_to_the_peer_fails_what_it_had_sent_is_still_delivered() {
    let local = Plot::local(vec![data("x"), Read::Block, data("more")], vec![Write::Block]);
    let reads = vec![data("an"), data("swer"), Read::End];
    let mut driver = drive(local, Plot::peer(reads, vec![Write::Fail(BrokenPipe)]), plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 1));
    assert_eq!(outcome.bytes, [0, 6]);
    assert_eq!(driver.wrote(0), b"answer");
    assert!(driver.seen[0].borrow().read_closed, "who writes to our input is told that nobody reads it");
}

#[test]
fn a_full_disk_is_status_5_and_the_peer_is_reset() {
    let local = Plot::local(silent(), vec![Write::Take(3), Write::Fail(StorageFull)]);
    let mut driver = drive(local, Plot::peer(vec![data("abcdef"), Read::End], vec![]), plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 5));
    assert!(line(&outcome).starts_with("cannot write standard output: "), "{}", line(&outcome));
    assert_eq!(driver.wrote(0), b"abc");
    assert!(driver.was_reset(1));
    assert_eq!(driver.seen[1].borrow().ends, 0);
}

#[test]
fn a_read_error_of_ours_is_status_5_and_never_looks_like_an_end_of_file() {
    let local = Plot::local(vec![data("half"), Read::Fail(TimedOut)], vec![]);
    let mut driver = drive(local, Plot::peer(silent(), vec![Write::Block, Write::Take(1)]), plain());
    let outcome = driver.finish();
    assert_eq!(summary(&outcome), ("failed", 5));
    assert_eq!(driver.wrote(1), b"half", "what was read before goes out");
    assert!(driver.was_reset(1));
    assert_eq!(driver.seen[1].borrow().ends, 0);
}

#[test]
fn a_reader_that_leaves_ends_us_silently() {
    for kind in [BrokenPipe, ConnectionReset] {
        let local = Plot::local(silent(), vec![Write::Fail(kind)]);
        let mut driver = drive(local, Plot::peer(vec![data("abc"), Read::Block], vec![]), plain());
        assert_eq!(summary(&driver.finish()), ("reader gone", 128 + 13));
    }
}

#[test]
fn quit_after_is_a_clean_end_with_an_end_of_file() {
    let policy = Policy { quit_after: Some(Duration::from_secs(2)), ..plain() };
    let local = Plot::local(vec![data("question"), Read::End], vec![]);
    let mut driver = drive(local, Plot::peer([vec![data("part")], silent()].concat(), vec![]), policy);
    assert!(driver.turn().is_none());
    driver.await_alarm();
    let outcome = driver.turn().expect("the time is over");
    assert_eq!(summary(&outcome), ("clean", 0));
    assert_eq!(outcome.elapsed, Duration::from_secs(2));
    assert_eq!((driver.seen[1].borrow().ends, driver.was_reset(1)), (1, false));
    assert_eq!(driver.wrote(0), b"part");
}

#[test]
fn silence_and_the_time_limit_are_status_3_and_a_reset() {
    let limit = Some(Duration::from_secs(4));
    let policies = [(Policy { idle: limit, ..plain() }, 5), (Policy { max_time: limit, ..plain() }, 4)];
    for (policy, seconds) in policies {
        let local = Plot::local([vec![Read::Block, data("late")], silent()].concat(), vec![]);
        let mut driver = drive(local, Plot::peer(silent(), vec![]), policy);
        assert!(driver.turn().is_none());
        driver.bench.now += Duration::from_secs(1);
        driver.fire(0);
        assert!(driver.turn().is_none());
        driver.await_alarm();
        let outcome = driver.turn().expect("the time is over");
        assert_eq!(summary(&outcome), ("failed", 3));
        assert_eq!(outcome.elapsed, Duration::from_secs(seconds));
        assert!(driver.was_reset(1) && driver.seen[1].borrow().ends == 0);
    }
}

#[test]
fn the_time_limit_also_bounds_a_reader_that_takes_nothing() {
    let policy = Policy { max_time: Some(Duration::from_secs(9)), ..plain() };
    let local = Plot::local(silent(), vec![Write::Block; 1000]);
    let mut driver = drive(local, Plot::peer(vec![data("abc"), Read::Block, Read::End], vec![]), policy);
    loop {
        if let Some(outcome) = driver.turn() {
            assert_eq!(summary(&outcome), ("failed", 3));
            assert!(outcome.elapsed < Duration::from_secs(10));
            return;
        }
        driver.await_alarm();
    }
}

#[test]
fn max_bytes_delivers_exactly_so_many_and_resets_successfully() {
    for buffer in [1, 3, 7, 256] {
        let policy = Policy { max_bytes: Some(7), ..plain() };
        let local = Plot::local(silent(), vec![Write::Take(2), Write::Block]);
        let mut driver = Driver::new(local, Plot::peer(vec![data("0123456789"), Read::End], vec![]), policy, buffer);
        let outcome = driver.finish();
        assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [0, 7]));
        assert_eq!(driver.wrote(0), b"0123456");
        assert!(driver.was_reset(1));
    }
}

#[test]
fn a_failure_is_not_forgotten_when_max_bytes_are_reached() {
    let policy = Policy { max_bytes: Some(4), ..plain() };
    let local = Plot::local(vec![data("lost"), Read::End], vec![]);
    let peer = Plot::peer(vec![data("ab"), Read::Block, data("cd"), Read::End], vec![Write::Fail(BrokenPipe)]);
    assert_eq!(summary(&drive(local, peer, policy).finish()), ("failed", 1));
}

#[test]
fn the_peers_end_ends_a_terminal_session_but_not_a_pipes() {
    for (terminal, after, ends) in [
        (true, AfterPeerEof::Auto, true),
        (false, AfterPeerEof::Auto, false),
        (true, AfterPeerEof::Send, false),
        (false, AfterPeerEof::Exit, true),
    ] {
        let policy = Policy { after_peer_eof: after, ..plain() };
        let local = Plot { terminal, ..Plot::local(vec![Read::Block, data("late answer"), Read::End], vec![]) };
        let mut driver = drive(local, Plot::peer(vec![data("q"), Read::End], vec![]), policy);
        let first = driver.turn();
        assert_eq!(first.is_some(), ends, "{terminal} {after:?}");
        let outcome = first.unwrap_or_else(|| driver.finish());
        assert_eq!(summary(&outcome), ("clean", 0));
        assert_eq!(driver.wrote(1), if ends { b"".to_vec() } else { b"late answer".to_vec() });
        // a FIN would say that a source which was cut off had ended
        let cut_off = after == AfterPeerEof::Exit;
        assert_eq!((driver.was_reset(1), driver.seen[1].borrow().ends), (cut_off, usize::from(!cut_off)));
    }
}

#[test]
fn no_stdin_sends_no_end_of_file_and_receive_only_sends_it_at_once() {
    let local = || Plot::local(vec![data("never read")], vec![]);
    let peer = || Plot::peer(vec![data("x"), Read::Block, Read::End], vec![]);
    let mut quiet = drive(local(), peer(), Policy { stdin: false, ..plain() });
    assert!(quiet.turn().is_none());
    assert_eq!(quiet.seen[1].borrow().ends, 0);
    assert_eq!(summary(&quiet.finish()), ("clean", 0));
    assert_eq!(quiet.wrote(1), b"");
    let mut receiver = drive(local(), peer(), Policy { flow: Flow::ReceiveOnly, ..plain() });
    assert!(receiver.turn().is_none());
    assert_eq!(receiver.seen[1].borrow().ends, 1);
    assert_eq!(summary(&receiver.finish()), ("clean", 0));
    assert_eq!((receiver.wrote(0), receiver.wrote(1)), (b"x".to_vec(), vec![]));
}

#[test]
fn without_shutdown_the_local_end_is_kept_from_the_peer() {
    let local = Plot::local(vec![data("x"), Read::End], vec![]);
    let peer = Plot::peer(vec![Read::Block, data("y"), Read::End], vec![]);
    let mut driver = drive(local, peer, Policy { shutdown: false, ..plain() });
    assert!(driver.turn().is_none());
    assert_eq!(driver.seen[1].borrow().ends, 0);
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    assert_eq!((driver.wrote(0), driver.was_reset(1)), (b"y".to_vec(), false));
}

#[test]
fn a_rate_is_kept_and_everything_still_arrives() {
    let policy = Policy { rate: Some(Rate(1000)), ..plain() };
    let local = Plot::local(vec![Read::Data(vec![7; 2000]), Read::End], vec![]);
    let mut driver = drive(local, Plot::peer(vec![Read::End], vec![]), policy);
    let outcome = driver.finish();
    assert_eq!((summary(&outcome), outcome.bytes), (("clean", 0), [2000, 0]));
    assert!((1900..2200).contains(&outcome.elapsed.as_millis()), "{:?}", outcome.elapsed);
}

#[test]
fn each_end_is_told_once_and_a_silent_stdin_is_named_once() {
    let policy = Policy { hint: true, ..plain() };
    let local = Plot::local(vec![Read::Block, Read::Block, data("z"), Read::End], vec![]);
    let mut driver = drive(local, Plot::peer(vec![data("xy"), Read::End], vec![]), policy);
    assert!(driver.turn().is_none());
    driver.await_alarm();
    assert_eq!(driver.bench.now - driver.started, Duration::from_secs(3));
    assert!(driver.turn().is_none() && driver.bench.alarm().is_none());
    assert_eq!(summary(&driver.finish()), ("clean", 0));
    let told = driver.log.0.borrow();
    let ends: Vec<_> = told.iter().filter(|event| matches!(event, Event::Eof { .. })).collect();
    let eof = |direction, bytes| Event::Eof { session: 1, direction, bytes };
    assert_eq!(ends, [&eof("in", 2), &eof("out", 1)]);
    let hints = told.iter().filter(|event| matches!(event, Event::Note { verbosity: 0, .. }));
    assert_eq!(hints.count(), 1);
}

// What a protocol says to itself is read in portions: a peer that says nothing else keeps only itself busy.
#[test]
fn a_peer_whose_layers_only_chatter_leaves_the_turn_to_others() {
    let chatter = [b"HI".to_vec(), [255, 0].repeat(4 << 20), vec![0, 0]].concat();
    let length = chatter.len();
    let peer = Plot::peer(vec![Read::Data(chatter), Read::End], vec![]);
    let peer = Plot { stack: Some(layers(1, 9, false)), ..peer };
    let mut driver = Driver::new(Plot::local(vec![Read::End], vec![]), peer, plain(), 100);
    let mut turns = 0;
    driver.bench.was_woken();
    while driver.turn().is_none() {
        turns += 1;
        assert!(driver.bench.was_woken(), "it sleeps although there is more");
        assert!(driver.seen[1].borrow().read <= turns * length / 2 && turns < 20);
    }
    assert_eq!((turns > 1, driver.seen[1].borrow().read), (true, length));
}
