//! Spreads over scripts with a clock of their own, and over real descriptors.

mod awkward;
mod property;
mod real;
mod rules;
mod slow;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::driver::{Dice, Log, plain};
use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Seen, Write};
use crate::error::{Error, Op};
use crate::event::Event;
use crate::layer::stack::Stack;
use crate::meter::Meter;
use crate::outcome::Outcome;
use crate::plan::pipe::OnSlow;
use crate::reactor::Park;
use crate::reactor::testing::Bench;
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::policy::Policy;
use crate::session::spread::{Context, SinkId, Spread};
use crate::session::tap::Tap;

/// Everything about a spread but its ends.
struct Rules {
    policy: Policy,
    on_slow: OnSlow,
    buffer: u64,
    stop_at: Option<u64>,
    tap: Option<Tap>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { policy: plain(), on_slow: OnSlow::Wait, buffer: 64, stop_at: None, tap: None }
    }
}

/// One end in the making.
#[derive(Default)]
struct Part {
    reads: Vec<Read>,
    writes: Vec<Write>,
    is_peer: bool,
    is_terminal: bool,
    /// What is written stays unacknowledged until the stage says otherwise.
    holds: bool,
    stack: Option<Stack>,
    /// It is attached later.
    is_late: bool,
    /// It cannot be opened.
    is_missing: bool,
}

impl Part {
    /// A source, or a sink that says this and takes everything.
    fn says(reads: Vec<Read>) -> Self {
        Part { reads, ..Part::default() }
    }

    /// A sink that takes as these say, and then everything.
    fn takes(writes: Vec<Write>) -> Self {
        Part { reads: vec![Read::Block; 2000], writes, is_peer: true, ..Part::default() }
    }

    fn local(self) -> Self {
        Part { is_peer: false, ..self }
    }

    fn late(self) -> Self {
        Part { is_late: true, ..self }
    }

    fn end(self, name: &str) -> (End, Rc<RefCell<Seen>>) {
        let mut script = Script::new(self.reads, self.writes);
        script.terminal = self.is_terminal;
        let seen = Rc::clone(&script.seen);
        seen.borrow_mut().holds = self.holds;
        let side = match self.is_peer {
            true => Side::Peer(name.into()),
            false => Side::Local { reading: name.into(), writing: name.into() },
        };
        (End::new(Transport::Script(script), side, self.stack), seen)
    }
}

/// A spread on the bench. The source is side 0, its sinks are those from 1 on.
struct Stage {
    bench: Bench,
    spread: Spread,
    seen: Vec<Rc<RefCell<Seen>>>,
    /// Sinks that are not open yet; `None` for one that cannot be opened.
    late: Vec<(SinkId, Option<End>)>,
    log: Rc<Log>,
    meter: Arc<Meter>,
    started: Instant,
    /// Some end has layers: bytes that move from one to the next while the wire is blocked are nobody's progress, but may
    /// make room for a few more.
    has_layers: bool,
}

impl Stage {
    fn new(source: Part, sinks: Vec<Part>, rules: Rules) -> Self {
        let mut bench = Bench::new();
        let (log, meter) = (Rc::new(Log::default()), Arc::new(Meter::default()));
        let Rules { policy, on_slow, buffer, stop_at, tap } = rules;
        let context = Context {
            number: 1,
            policy,
            on_slow,
            buffer: Some(buffer),
            stop_at,
            pools: Pools::new(64, 65536),
            meter: Arc::clone(&meter),
            observer: Rc::clone(&log) as Rc<dyn crate::event::Observer>,
        };
        let has_layers = sinks.iter().chain([&source]).any(|part| part.stack.is_some());
        let (source, seen) = source.end("source");
        let (mut seen, mut late) = (vec![seen], Vec::new());
        let mut spread = Spread::new(source, context, bench.now).with_tap(tap);
        let ids: Vec<_> = sinks.iter().map(|_| spread.expect()).collect();
        spread.start(&mut bench.turn()).unwrap();
        for (index, sink) in sinks.into_iter().enumerate() {
            let (is_late, is_missing) = (sink.is_late, sink.is_missing);
            let (end, eye) = sink.end(&format!("sink:{}", index + 1));
            seen.push(eye);
            match is_late || is_missing {
                true => late.push((ids[index], (!is_missing).then_some(end))),
                false => spread.attach(&mut bench.turn(), ids[index], end),
            }
        }
        let started = bench.now;
        Stage { bench, spread, seen, late, log, meter, started, has_layers }
    }

    fn written(&self) -> usize {
        self.seen.iter().map(|seen| seen.borrow().written.len()).sum()
    }

    fn moved(&self) -> usize {
        self.written() + self.seen.iter().map(|seen| seen.borrow().read).sum::<usize>()
    }

    /// One turn, checked; `Some` at the end.
    fn turn(&mut self) -> Option<Outcome> {
        let (mut moved, mut useless) = (self.moved(), 0);
        let mut park = self.spread.turn(&mut self.bench.turn());
        while matches!(park, Park::Again) {
            useless = if self.moved() > moved { 0 } else { useless + 1 };
            assert!(useless < 100, "again and again, although nothing moves");
            moved = self.moved();
            park = self.spread.turn(&mut self.bench.turn());
        }
        for (side, seen) in self.seen.iter().enumerate() {
            let seen = seen.borrow();
            assert!(seen.ends <= 1, "side {side} was told its end {} times", seen.ends);
            assert_eq!(seen.late, 0, "side {side} was written to after its end");
        }
        assert_eq!(self.meter.delivered(0), self.spread.bytes()[0]);
        match park {
            Park::Done(outcome) => {
                for (side, seen) in self.seen.iter().enumerate() {
                    let was_open = seen.borrow().slot.is_some();
                    assert!(!was_open || seen.borrow().closed.is_some(), "side {side} was left open");
                }
                Some(outcome)
            }
            Park::Again | Park::Wait => {
                assert!(self.bench.alarm().is_none_or(|at| at > self.bench.now), "an alarm of the past spins");
                None
            }
        }
    }

    /// A turn that is expected not to be the last one.
    fn rest(&mut self) {
        assert!(self.turn().is_none(), "it is over too early");
    }

    fn fire(&mut self, side: usize) {
        let (slot, is_closed) = {
            let mut seen = self.seen[side].borrow_mut();
            seen.blocked = false;
            (seen.slot, seen.closed.is_some())
        };
        if let Some(slot) = slot.filter(|_| !is_closed) {
            self.bench.fire(slot);
        }
    }

    /// The next sink that was late is opened, or is found not to open.
    fn open_next(&mut self) {
        let (id, end) = self.late.remove(0);
        match end {
            Some(end) => self.spread.attach(&mut self.bench.turn(), id, end),
            None => {
                let error =
                    Error::new(Op::Connect, "nowhere:1", std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
                let now = self.bench.now;
                self.spread.failed_to_open(id, error, now);
            }
        }
    }

    /// Moves the clock to the alarm.
    fn await_alarm(&mut self) {
        self.bench.now = self.bench.alarm().expect("it waits for nothing");
    }

    /// Lets what must happen happen, as the dice say: events for who was told WouldBlock, time, acknowledgements,
    /// sinks that open.
    fn nudge(&mut self, dice: &mut Dice) {
        for seen in &self.seen {
            let mut seen = seen.borrow_mut();
            let acknowledged = dice.below(seen.unsent + 1).max(seen.unsent.div_ceil(4));
            seen.unsent -= acknowledged;
        }
        let is_blocked = |side: &usize| {
            let seen = self.seen[*side].borrow();
            seen.blocked && seen.closed.is_none()
        };
        let blocked: Vec<usize> = (0..self.seen.len()).filter(is_blocked).collect();
        if !self.late.is_empty() && (blocked.is_empty() || dice.one_in(6)) {
            return self.open_next();
        }
        match self.bench.alarm() {
            Some(at) if blocked.is_empty() || dice.one_in(4) => self.bench.now = at,
            None if blocked.is_empty() => panic!("nothing is blocked, no alarm is set, and yet it sleeps"),
            _ => {
                let first = blocked[dice.below(blocked.len())];
                for side in blocked {
                    if side == first || dice.one_in(3) {
                        self.fire(side);
                    }
                }
            }
        }
    }

    fn run(&mut self, dice: &mut Dice) -> Outcome {
        for _ in 0..100_000 {
            if let Some(outcome) = self.turn() {
                return outcome;
            }
            let before = self.written();
            assert!(self.turn().is_none(), "it slept although it could end");
            assert!(self.has_layers || self.written() == before, "it slept although bytes could move");
            self.nudge(dice);
        }
        panic!("no end");
    }

    /// Runs to the end.
    fn finish(&mut self) -> Outcome {
        self.run(&mut Dice::new(1))
    }

    fn got(&self, side: usize) -> String {
        String::from_utf8_lossy(&self.seen[side].borrow().written).into_owned()
    }

    /// `Some(reset)` once it was closed.
    fn closed(&self, side: usize) -> Option<bool> {
        self.seen[side].borrow().closed
    }

    fn ends(&self, side: usize) -> usize {
        self.seen[side].borrow().ends
    }

    /// The failures that were told.
    fn complaints(&self) -> Vec<String> {
        let told = self.log.0.borrow();
        let lines = told.iter().filter_map(|event| match event {
            Event::Error { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        lines.collect()
    }
}

fn stage(source: Vec<Read>, sinks: Vec<Part>) -> Stage {
    Stage::new(Part::says(source), sinks, Rules::default())
}

fn long(count: usize) -> Vec<Read> {
    vec![Read::Data((0..count).map(|i| b'a' + (i % 26) as u8).collect()), Read::End]
}

fn greedy() -> Part {
    Part::takes(vec![])
}

fn stuck() -> Part {
    Part::takes(vec![Write::Block; 10_000])
}
