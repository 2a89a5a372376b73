//! The reactor against real pipes and a real clock.

use std::cell::{Cell, RefCell};
use std::io::{PipeReader, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use mio::unix::SourceFd;

use super::*;

type Step = Box<dyn FnMut(&mut Turn) -> Park>;

/// A task made of a closure.
struct Script(Step);

impl Task for Script {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        (self.0)(turn)
    }
}

fn script(step: impl FnMut(&mut Turn) -> Park + 'static) -> Box<dyn Task> {
    Box::new(Script(Box::new(step)))
}

fn done() -> Park {
    Park::Done(Outcome::nothing_moved(Ended::Clean))
}

#[test]
fn a_task_that_says_again_does_not_starve_another() {
    let (hot, cold) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (h, c) = (Rc::clone(&hot), Rc::clone(&cold));
    let mut spawned = false;
    Reactor::new()
        .unwrap()
        .run(script(move |turn| {
            if !std::mem::replace(&mut spawned, true) {
                let c = Rc::clone(&c);
                turn.spawn(script(move |_| {
                    c.set(c.get() + 1);
                    Park::Again
                }));
            }
            h.set(h.get() + 1);
            if h.get() == 100 { done() } else { Park::Again }
        }))
        .unwrap();
    assert_eq!(hot.get(), 100);
    assert!(cold.get() >= 98, "{}", cold.get());
}

#[test]
fn a_child_reports_its_outcome_to_its_parent() {
    let mut child = None;
    let outcome = Reactor::new()
        .unwrap()
        .run(script(move |turn| match (child, turn.finished()) {
            (None, _) => {
                child =
                    Some(turn.spawn(script(|_| {
                        Park::Done(Outcome { bytes: [7, 9], ..Outcome::nothing_moved(Ended::Clean) })
                    })));
                Park::Wait
            }
            (Some(id), Some((finished, outcome))) if id == finished => Park::Done(outcome),
            _ => Park::Wait,
        }))
        .unwrap();
    assert_eq!(outcome.bytes, [7, 9]);
}

#[test]
fn an_event_sets_both_latches_and_names_its_slot() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let state: Rc<RefCell<(Option<Slot>, PipeReader)>> = Rc::new(RefCell::new((None, reader)));
    Reactor::new()
        .unwrap()
        .run(script(move |turn| {
            let (slot, reader) = &mut *state.borrow_mut();
            match *slot {
                None => {
                    let registered = turn.register(&mut SourceFd(&reader.as_raw_fd())).unwrap();
                    let latch = turn.latch(registered);
                    assert!(!latch.read && !latch.write, "a latch starts cleared");
                    *slot = Some(registered);
                    writer.write_all(b"x").unwrap();
                    Park::Wait
                }
                Some(registered) => {
                    assert_eq!(turn.fired(), [registered]);
                    assert!(turn.latch(registered).read && turn.latch(registered).write);
                    turn.read_would_block(registered);
                    assert!(!turn.latch(registered).read && turn.latch(registered).write);
                    done()
                }
            }
        }))
        .unwrap();
}

#[test]
fn an_event_of_plain_room_leaves_reading_to_an_event_of_its_own() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut slot, mut told) = (None, 0);
    Reactor::new()
        .unwrap()
        .run(script(move |turn| {
            let Some(registered) = slot else {
                slot = Some(turn.register(&mut SourceFd(&ours.as_raw_fd())).unwrap());
                return Park::Wait;
            };
            told += 1;
            let latch = turn.latch(registered);
            match told {
                1 => {
                    assert!(latch.write && !latch.read && !latch.odd, "{latch:?}: nothing was sent yet");
                    theirs.write_all(b"x").unwrap();
                    Park::Wait
                }
                _ => {
                    assert!(latch.write && latch.read, "{latch:?}");
                    done()
                }
            }
        }))
        .unwrap();
}

#[test]
fn a_deadline_gives_a_turn_and_another_thread_can_wake() {
    let mut stage = 0;
    Reactor::new()
        .unwrap()
        .run(script(move |turn| {
            stage += 1;
            match stage {
                1 => turn.deadline(Some(turn.now() + Duration::from_millis(5))),
                2 => {
                    let (remote, id) = (turn.remote().unwrap(), turn.id());
                    std::thread::spawn(move || remote.wake(id));
                }
                _ => return done(),
            }
            Park::Wait
        }))
        .unwrap();
}

#[test]
fn a_stale_slot_is_ignored() {
    let mut bench = testing::Bench::new();
    let old = bench.turn().always_ready();
    bench.turn().release(old);
    let new = bench.turn().always_ready();
    assert_eq!(old.index, new.index);
    bench.turn().read_would_block(old);
    assert!(bench.latch(new).read, "a slot of the past must not touch its successor");
}

#[test]
fn a_task_that_is_over_hears_no_signals() {
    let mut reactor = Reactor::new().unwrap();
    let mut children = 0;
    let listener = || {
        script(|turn| {
            turn.listen_for(&[libc::SIGURG]).unwrap();
            done()
        })
    };
    reactor
        .run(script(move |turn| {
            turn.listen_for(&[libc::SIGURG]).unwrap();
            children += 1;
            turn.spawn(listener());
            if children == 10 { done() } else { Park::Again }
        }))
        .unwrap();
    // the last child may not have had its turn
    assert!(reactor.core.signals.take().1.len() <= 1);
}
