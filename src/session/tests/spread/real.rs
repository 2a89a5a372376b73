//! Spreads over real descriptors in a real reactor: tee, the ring, and what is between.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::super::descriptors::{
    Far, KINDS, Kind, Sink, bytes, descriptor, drop_nothing, local_end, sink, socket_end, source,
};
use super::super::driver::Log;
use crate::endpoint::Transport;
use crate::endpoint::process::{self, Child};
use crate::endpoint::socket::Family;
use crate::endpoint::testing::tcp_pair;
use crate::error::Error;
use crate::event::Event;
use crate::meter::Meter;
use crate::outcome::{Ended, Outcome};
use crate::plan::address::Program;
use crate::plan::pipe::OnSlow;
use crate::reactor::{Park, Reactor, Task, Turn};
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::limits::soonest;
use crate::session::policy::Policy;
use crate::session::spread::{Context, SinkId, Spread};
use crate::sys::{self, Access};
use crate::units::Rate;

/// A spread as the reactor's only task; some of its sinks are attached only when the first has taken something.
struct Alone {
    spread: Spread,
    first: Vec<(SinkId, End)>,
    late: Vec<(SinkId, End)>,
    watched: SinkId,
    /// Dropped at this time.
    release: Option<(Instant, Sender<()>)>,
    /// The programs that were left at the end.
    programs: Rc<RefCell<Programs>>,
}

impl Task for Alone {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.spread.start(turn)?;
        self.first.drain(..).for_each(|(id, end)| self.spread.attach(turn, id, end));
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let park = self.spread.turn(turn);
        self.release.take_if(|(at, _)| *at <= turn.now());
        if let (Park::Wait, Some((at, _))) = (&park, &self.release) {
            turn.deadline(soonest([self.spread.deadline(turn.now()), Some(*at)]));
        }
        let children = self.spread.take_children().into_iter();
        self.programs.borrow_mut().extend(children.map(|(sink, child)| (sink.is_none(), child)));
        if self.spread.delivered(self.watched) < 100_000 || self.late.is_empty() {
            return park;
        }
        self.late.drain(..).for_each(|(id, end)| self.spread.attach(turn, id, end));
        Park::Again
    }
}

struct Terms {
    policy: Policy,
    on_slow: OnSlow,
    buffer: Option<u64>,
    stop_at: Option<u64>,
    /// Sinks from this one on are attached only when the first has taken something.
    late_from: usize,
    /// To be dropped when the silence of a program that has exited at once has had its say.
    release: Option<Sender<()>>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            policy: drop_nothing(),
            on_slow: OnSlow::Wait,
            buffer: None,
            stop_at: None,
            late_from: usize::MAX,
            release: None,
        }
    }
}

/// Runs a spread to its end; how it ended, the ways that were told, and the complaints. A hang fails by `--max-time`.
fn run(source: End, sinks: Vec<End>, terms: Terms) -> (Outcome, Vec<String>, Vec<String>) {
    let (outcome, routes, complaints, mut programs) = run_with_programs(source, sinks, terms);
    programs.iter_mut().for_each(|(_, child)| child.kill());
    (outcome, routes, complaints)
}

/// Programs, and whether each is the source's.
type Programs = Vec<(bool, Child)>;

/// The same, with the programs that are left.
fn run_with_programs(source: End, sinks: Vec<End>, terms: Terms) -> (Outcome, Vec<String>, Vec<String>, Programs) {
    let log = Rc::new(Log::default());
    let context = Context {
        number: 1,
        policy: Policy { max_time: Some(Duration::from_secs(20)), ..terms.policy },
        on_slow: terms.on_slow,
        buffer: terms.buffer,
        stop_at: terms.stop_at,
        pools: Pools::new(64 * 1024, 256 * 1024),
        meter: Arc::new(Meter::default()),
        observer: Rc::clone(&log) as Rc<dyn crate::event::Observer>,
    };
    let mut spread = Spread::new(source, context, Instant::now());
    let ids: Vec<_> = sinks.iter().map(|_| spread.expect()).collect();
    let mut first: Vec<_> = ids.into_iter().zip(sinks).collect();
    let late = first.split_off(terms.late_from.min(first.len()));
    let watched = first[0].0;
    let programs = Rc::default();
    let release = terms.release.map(|release| (Instant::now() + Duration::from_millis(1500), release));
    let task = Alone { spread, first, late, watched, release, programs: Rc::clone(&programs) };
    let outcome = Reactor::new().unwrap().run(Box::new(task)).unwrap();
    let told = log.0.borrow();
    let routes = told.iter().filter_map(|event| match event {
        Event::Note { text, .. } => text.rsplit(": ").next().map(str::to_string),
        _ => None,
    });
    let complaints = told.iter().filter_map(|event| match event {
        Event::Error { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    (outcome, routes.collect(), complaints.collect(), programs.take())
}

/// A program at one end.
fn program(text: &str) -> End {
    let (both, child) = process::start(&Program::Shell(text.into()), &[]).unwrap();
    End::new(Transport::from(both), Side::Program(text.into()), None).with_program(child)
}

fn of_kind(kinds: &[Kind], seed: u64) -> (Vec<End>, Vec<Sink>) {
    kinds.iter().zip(seed..).map(|(kind, seed)| sink(*kind, seed)).unzip()
}

/// A pipe whose far side reads slowly, in small pieces, with pauses that the reader of another pipe decides.
fn slow_pipe() -> (End, Far) {
    let (reader, writer) = io::pipe().unwrap();
    let far = Far::spawn(reader, |far| {
        let (mut heard, mut piece) = (Vec::new(), [0; 3000]);
        loop {
            match far.read(&mut piece).unwrap() {
                0 => return heard,
                count => heard.extend(&piece[..count]),
            }
            for _ in 0..20 {
                std::thread::yield_now();
            }
        }
    });
    (local_end(None, Some(descriptor(writer, Access::Write))), far)
}

const SIZES: [usize; 6] = [0, 1, 65_536, 65_537, (1 << 20) + 4097, 3 << 20];

#[test]
fn every_source_reaches_every_set_of_sinks_whatever_the_way() {
    let sets: [&[Kind]; 6] = [
        &[Kind::Pipe, Kind::Pipe],
        &[Kind::Pipe],
        &[Kind::Pipe, Kind::Pipe, Kind::Pipe],
        &[Kind::File, Kind::Tcp, Kind::Pipe],
        &[Kind::Unix, Kind::Tcp],
        &[Kind::File],
    ];
    let mut seed = 0;
    for from in KINDS {
        for set in sets {
            for (buffer, splice) in [(None, true), (None, false), (Some(100_000), true)] {
                seed += 1;
                let payload = bytes(SIZES[seed as usize % SIZES.len()], seed);
                let (ends, far) = of_kind(set, seed);
                let terms = Terms { buffer, policy: Policy { splice, ..drop_nothing() }, ..Terms::default() };
                let (outcome, routes, _) = run(source(from, &payload, seed), ends, terms);
                let what = format!("{from:?} to {set:?}, {buffer:?}, splice {splice}, {routes:?}: {outcome:?}");
                assert_eq!((outcome.status().code(), outcome.bytes), (0, [payload.len() as u64, 0]), "{what}");
                for sink in far {
                    assert!(sink.bytes() == payload, "{what}");
                }
                let all_pipes = set.iter().all(|kind| *kind == Kind::Pipe);
                let tees = sys::SPLICE && splice && buffer.is_none() && all_pipes;
                if payload.len() > 1 {
                    let by_kernel = if set.len() == 1 { "splice" } else { "tee" };
                    assert_eq!(routes, [if tees { by_kernel } else { "ring" }], "{what}");
                }
            }
        }
    }
}

#[test]
fn one_slow_reader_of_a_tee_holds_the_others_but_loses_nothing() {
    for kind in [Kind::Pipe, Kind::Tcp, Kind::File] {
        let payload = bytes((1 << 20) + 123, 7);
        let (quick, heard) = of_kind(&[Kind::Pipe, Kind::Pipe], 3);
        let (slow, far) = slow_pipe();
        let ends = quick.into_iter().chain([slow]).collect();
        let (outcome, routes, _) = run(source(kind, &payload, 7), ends, Terms::default());
        assert_eq!((outcome.status().code(), outcome.bytes), (0, [payload.len() as u64, 0]), "{outcome:?}");
        assert!(far.join() == payload && heard.into_iter().all(|sink| sink.bytes() == payload));
        assert_eq!(routes, [if sys::SPLICE { "tee" } else { "ring" }]);
    }
}

#[test]
fn a_reader_that_leaves_a_tee_in_the_middle_ends_only_itself() {
    for (place, kind) in [(0, Kind::Pipe), (1, Kind::Pipe), (2, Kind::Pipe), (1, Kind::File), (0, Kind::Tcp)] {
        let payload = bytes(2 << 20, 11);
        let (mut ends, heard) = of_kind(&[Kind::Pipe, Kind::Pipe], 3);
        let (reader, writer) = io::pipe().unwrap();
        let far = Far::spawn(Some(reader), |far| {
            let mut some = vec![0; 100_001];
            far.as_mut().unwrap().read_exact(&mut some).unwrap();
            *far = None;
            some
        });
        ends.insert(place, local_end(None, Some(descriptor(writer, Access::Write))));
        let (outcome, _, complaints) = run(source(kind, &payload, 5), ends, Terms::default());
        assert!(matches!(outcome.ended, Ended::Told(_)), "{outcome:?}");
        assert_eq!((outcome.status().code(), outcome.bytes), (5, [payload.len() as u64, 0]));
        assert!(complaints.len() == 1 && complaints[0].contains("stopped after"), "{complaints:?}");
        assert!(payload.starts_with(&far.join()) && heard.into_iter().all(|sink| sink.bytes() == payload));
    }
}

#[test]
fn a_tee_keeps_rate_and_stop_at_to_the_byte() {
    for kind in [Kind::Pipe, Kind::Tcp, Kind::File] {
        let payload = bytes(1 << 20, 13);
        let (ends, heard) = of_kind(&[Kind::Pipe, Kind::Pipe, Kind::Pipe], 6);
        let policy = Policy { rate: Some(Rate(2_000_000)), ..drop_nothing() };
        let terms = Terms { policy, stop_at: Some(300_001), ..Terms::default() };
        // whoever still writes at the end is told by EPIPE: the threads of `source` must not
        let from = match kind {
            Kind::Pipe => {
                let (reader, writer) = io::pipe().unwrap();
                let payload = payload.clone();
                Far::spawn(writer, move |far| {
                    let _ = io::Write::write_all(far, &payload);
                    Vec::new()
                });
                local_end(Some(descriptor(reader, Access::Read)), None)
            }
            Kind::Tcp => {
                let (near, mut far) = tcp_pair(None);
                let payload = payload.clone();
                std::thread::spawn(move || {
                    let _ = io::Write::write_all(&mut far, &payload);
                });
                socket_end(near.into(), Family::Tcp, None)
            }
            _ => source(kind, &payload, 1),
        };
        let (outcome, _, _) = run(from, ends, terms);
        assert_eq!((outcome.status().code(), outcome.bytes), (0, [300_001, 0]), "{kind:?} {outcome:?}");
        assert!(outcome.elapsed >= Duration::from_millis(130), "{:?}", outcome.elapsed);
        for sink in heard {
            assert!(sink.bytes() == payload[..300_001], "{kind:?}");
        }
    }
}

#[test]
fn late_pipes_get_what_the_ring_kept_and_then_the_tee() {
    for from in KINDS {
        let payload = bytes(3 << 20, 17);
        let (ends, heard) = of_kind(&[Kind::Pipe, Kind::Pipe, Kind::Pipe], 9);
        let (outcome, routes, _) = run(source(from, &payload, 17), ends, Terms { late_from: 1, ..Terms::default() });
        assert_eq!((outcome.status().code(), outcome.bytes), (0, [3 << 20, 0]), "{outcome:?}");
        assert!(heard.into_iter().all(|sink| sink.bytes() == payload), "{from:?}");
        assert_eq!(routes, if sys::SPLICE { vec!["ring", "tee"] } else { vec!["ring"] }, "{from:?}");
    }
}

#[test]
fn a_slow_pipe_is_dropped_and_the_others_get_everything() {
    let payload = bytes(4 << 20, 19);
    let (mut ends, heard) = of_kind(&[Kind::Tcp, Kind::File], 4);
    // nobody reads it
    let (reader, writer) = io::pipe().unwrap();
    ends.push(local_end(None, Some(descriptor(writer, Access::Write))));
    let terms = Terms { on_slow: OnSlow::Drop, buffer: Some(1 << 20), ..Terms::default() };
    let (outcome, _, complaints) = run(source(Kind::Pipe, &payload, 19), ends, terms);
    assert_eq!((outcome.status().code(), outcome.bytes), (1, [4 << 20, 0]), "{outcome:?}");
    assert!(complaints.len() == 1 && complaints[0].ends_with("it held the others back for 2s"), "{complaints:?}");
    assert!(heard.into_iter().all(|sink| sink.bytes() == payload));
    drop(reader);
}

#[test]
fn a_pipe_that_is_source_and_sink_at_once_goes_through_memory() {
    // tee and splice refuse a pipe as its own target
    let (reader, mut writer) = io::pipe().unwrap();
    io::Write::write_all(&mut writer, b"round").unwrap();
    let (other, heard) = sink(Kind::Pipe, 1);
    let back = local_end(None, Some(descriptor(writer, Access::Write)));
    let from = local_end(Some(descriptor(reader, Access::Read)), None);
    let (outcome, routes, _) = run(from, vec![back, other], Terms { stop_at: Some(11), ..Terms::default() });
    assert_eq!((outcome.status().code(), outcome.bytes), (0, [11, 0]), "{outcome:?}");
    assert_eq!(heard.bytes(), b"roundroundr");
    assert_eq!(routes, ["ring"]);
}

#[test]
fn a_source_that_is_a_program_has_ended_well_only_if_it_says_so() {
    for (text, status) in [("printf abc", 0), ("printf abc; exit 3", 3), ("printf abc; kill -9 $$", 137)] {
        for buffer in [None, Some(1000)] {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            // a reset is told to whoever has sent something that was not read
            let far = Far::spawn(far, |far| {
                let mut heard = vec![0; 3];
                far.read_exact(&mut heard).unwrap();
                heard
            });
            let ends = vec![socket_end(near.into(), Family::Unix, None), sink(Kind::Pipe, 2).0];
            let terms = Terms { buffer, ..Terms::default() };
            let (outcome, _, complaints, programs) = run_with_programs(program(text), ends, terms);
            assert_eq!((outcome.status().code(), outcome.bytes), (status, [3, 0]), "{text}: {outcome:?}");
            assert_eq!(far.join(), b"abc");
            assert!(complaints.is_empty() && matches!(&programs[..], [(true, _)]), "{complaints:?}");
        }
    }
}

#[test]
fn what_a_program_started_may_hold_its_output_but_not_the_spread() {
    // the sleeper has the pipe for its own, and says nothing
    let (ends, heard) = of_kind(&[Kind::Pipe, Kind::File], 2);
    let (outcome, ..) = run(program("sleep 15 & printf early"), ends, Terms::default());
    assert_eq!((outcome.status().code(), outcome.bytes), (0, [5, 0]), "{outcome:?}");
    assert!(outcome.elapsed < Duration::from_secs(10));
    assert!(heard.into_iter().all(|sink| sink.bytes() == b"early"));
}

#[test]
fn a_program_that_has_read_enough_is_no_failure_and_the_others_get_everything() {
    let payload = bytes(2 << 20, 23);
    for kind in KINDS {
        let (mut ends, heard) = of_kind(&[Kind::Pipe, Kind::File], 2);
        ends.insert(1, program("head -c 1000 >/dev/null"));
        let (outcome, _, complaints, programs) = run_with_programs(source(kind, &payload, 1), ends, Terms::default());
        assert_eq!((outcome.status().code(), outcome.bytes), (0, [2 << 20, 0]), "{kind:?} {outcome:?}");
        assert!(heard.into_iter().all(|sink| sink.bytes() == payload), "{kind:?}");
        assert!(complaints.is_empty() && matches!(&programs[..], [(false, _)]), "{complaints:?}");
    }
}

#[test]
fn when_every_program_has_read_enough_an_endless_source_is_left() {
    for buffer in [None, Some(100_000)] {
        let both = ["head -c 1000 >/dev/null", "head -c 500000 | cksum >/dev/null"];
        let ends = both.into_iter().map(program).collect();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let from = local_end(Some(descriptor(zeros, Access::Read)), None);
        let (outcome, _, _, programs) = run_with_programs(from, ends, Terms { buffer, ..Terms::default() });
        assert!(matches!(outcome.ended, Ended::Clean), "{outcome:?}");
        assert_eq!(programs.len(), 2);
    }
}

#[test]
fn what_a_program_says_is_dropped_and_does_not_hold_it_up() {
    let payload = bytes(1 << 20, 29);
    let (mut ends, heard) = of_kind(&[Kind::File], 2);
    ends.push(program("cat"));
    let (outcome, ..) = run(source(Kind::Tcp, &payload, 1), ends, Terms::default());
    assert_eq!((outcome.status().code(), outcome.bytes), (0, [1 << 20, 0]), "{outcome:?}");
    assert!(heard.into_iter().all(|sink| sink.bytes() == payload));
}

#[test]
fn a_program_that_has_exited_is_read_to_its_end_however_long_a_sink_stalls() {
    for buffer in [None, Some(10_000)] {
        let ((reader, writer), (release, released)) = (io::pipe().unwrap(), channel());
        let slow = Far::spawn(reader, move |far| {
            let mut heard = Vec::new();
            let _ = released.recv();
            far.read_to_end(&mut heard).unwrap();
            heard
        });
        let ends = vec![local_end(None, Some(descriptor(writer, Access::Write)))];
        // a pipe full of it is still to be read when the program is gone
        let (outcome, ..) = run(
            program("head -c 120000 /dev/zero"),
            ends,
            Terms { buffer, release: Some(release), ..Terms::default() },
        );
        assert_eq!((outcome.status().code(), outcome.bytes), (0, [120_000, 0]), "{buffer:?} {outcome:?}");
        assert_eq!(slow.join().len(), 120_000);
    }
}
