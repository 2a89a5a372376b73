//! Gives turns to a session over scripts, moves its clock, and holds it to the invariants after every turn.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::endpoint::Transport;
use crate::endpoint::script::{Read, Script, Seen, Write};
use crate::event::{Event, Observer};
use crate::layer::stack::Stack;
use crate::meter::Meter;
use crate::outcome::{Ended, Outcome};
use crate::plan::{AfterPeerEof, Flow};
use crate::reactor::Park;
use crate::reactor::testing::Bench;
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::policy::Policy;
use crate::session::{Context, Session};

/// Pseudo-random numbers that a case's seed decides (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// What the command line's defaults make of a session.
pub(super) fn plain() -> Policy {
    Policy {
        flow: Flow::Both,
        stdin: true,
        shutdown: true,
        after_peer_eof: AfterPeerEof::Auto,
        quit_after: None,
        linger: Duration::from_secs(30),
        grace: Duration::from_millis(500),
        idle: None,
        half_close: None,
        max_time: None,
        max_bytes: None,
        stop_at: None,
        one_way: false,
        rate: None,
        block: 64,
        budget: 1 << 20,
        splice: true,
        widen: false,
        hint: false,
    }
}

/// Keeps the events, for tests that look at them.
#[derive(Default)]
pub(super) struct Log(pub(super) RefCell<Vec<Event>>);

impl Observer for Log {
    fn observe(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

/// One end in the making.
pub(super) struct Plot {
    pub(super) reads: Vec<Read>,
    pub(super) writes: Vec<Write>,
    pub(super) peer: bool,
    pub(super) terminal: bool,
    /// Bytes written stay unacknowledged until the driver says otherwise.
    pub(super) holds: bool,
    pub(super) stack: Option<Stack>,
    /// Proxies lead there.
    pub(super) led: bool,
}

impl Plot {
    pub(super) fn local(reads: Vec<Read>, writes: Vec<Write>) -> Self {
        Plot { reads, writes, peer: false, terminal: false, holds: false, stack: None, led: false }
    }

    pub(super) fn peer(reads: Vec<Read>, writes: Vec<Write>) -> Self {
        Plot { peer: true, ..Plot::local(reads, writes) }
    }

    fn end(self, name: &str) -> (End, Rc<RefCell<Seen>>) {
        let mut script = Script::new(self.reads, self.writes);
        script.terminal = self.terminal;
        let seen = Rc::clone(&script.seen);
        seen.borrow_mut().holds = self.holds;
        let side = match self.peer {
            true => Side::Peer(name.into()),
            false => Side::Local { reading: "standard input".into(), writing: "standard output".into() },
        };
        (End::new(Transport::Script(script), side, self.stack).led(self.led), seen)
    }
}

/// A session on the bench.
pub(super) struct Driver {
    pub(super) bench: Bench,
    pub(super) session: Session,
    pub(super) seen: [Rc<RefCell<Seen>>; 2],
    pub(super) log: Rc<Log>,
    pub(super) started: Instant,
    /// How often the clock stood still and nothing was fired.
    idle_turns: usize,
}

impl Driver {
    pub(super) fn new(local: Plot, peer: Plot, policy: Policy, buffer: usize) -> Self {
        let mut bench = Bench::new();
        let (local, seen_local) = local.end("a:1");
        let (peer, seen_peer) = peer.end("b:2");
        let log = Rc::new(Log::default());
        let context = Context {
            policy,
            pools: Pools::new(buffer, 65536),
            meter: Arc::new(Meter::default()),
            observer: Rc::clone(&log) as Rc<dyn Observer>,
        };
        let mut session = Session::new(local, peer, context, bench.now);
        session.start(&mut bench.turn()).unwrap();
        let started = bench.now;
        Driver { bench, session, seen: [seen_local, seen_peer], log, started, idle_turns: 0 }
    }

    fn written(&self) -> usize {
        self.seen.iter().map(|seen| seen.borrow().written.len()).sum()
    }

    fn moved(&self) -> usize {
        self.written() + self.seen.iter().map(|seen| seen.borrow().read).sum::<usize>()
    }

    /// One turn, checked; `Some` at the end.
    pub(super) fn turn(&mut self) -> Option<Outcome> {
        let (mut moved, mut useless) = (self.moved(), 0);
        let mut park = self.session.turn(&mut self.bench.turn());
        while matches!(park, Park::Again) {
            // what layers have decoded may be dropped without a system call, but there is little of it
            useless = if self.moved() > moved { 0 } else { useless + 1 };
            assert!(useless < 100, "again and again, although nothing moves");
            moved = self.moved();
            park = self.session.turn(&mut self.bench.turn());
        }
        for (side, seen) in self.seen.iter().enumerate() {
            let seen = seen.borrow();
            assert!(seen.ends <= 1, "side {side} was told its end {} times", seen.ends);
            assert_eq!(seen.late, 0, "side {side} was written to after its end");
        }
        match park {
            Park::Done(outcome) => {
                for (side, seen) in self.seen.iter().enumerate() {
                    assert!(seen.borrow().closed.is_some(), "side {side} was left open");
                }
                Some(outcome)
            }
            Park::Again | Park::Wait => {
                let alarm = self.bench.alarm();
                assert!(alarm.is_none_or(|at| at > self.bench.now), "an alarm of the past spins");
                None
            }
        }
    }

    /// A turn for nothing finds nothing to do: all that was possible was done.
    pub(super) fn turn_for_nothing(&mut self) -> Option<Outcome> {
        let before = self.written();
        let outcome = self.turn();
        assert!(outcome.is_none(), "the session slept although it could end");
        assert_eq!(self.written(), before, "the session slept although bytes could move");
        outcome
    }

    pub(super) fn fire(&mut self, side: usize) {
        let slot = {
            let mut seen = self.seen[side].borrow_mut();
            seen.blocked = false;
            seen.slot
        };
        if let Some(slot) = slot.filter(|_| self.seen[side].borrow().closed.is_none()) {
            self.bench.fire(slot);
        }
    }

    /// Moves the clock to the alarm.
    pub(super) fn await_alarm(&mut self) {
        self.bench.now = self.bench.alarm().expect("the session waits for nothing");
    }

    /// Lets what must happen happen: fires blocked sides, moves the clock, acknowledges, as the dice say.
    pub(super) fn nudge(&mut self, dice: &mut Dice) {
        let blocked = [0, 1].map(|side| {
            let seen = self.seen[side].borrow();
            seen.blocked && seen.closed.is_none()
        });
        for seen in &self.seen {
            let mut seen = seen.borrow_mut();
            let acknowledged = dice.below(seen.unsent + 1).max(seen.unsent.div_ceil(4));
            seen.unsent -= acknowledged;
        }
        match (blocked, self.bench.alarm()) {
            ([false, false], None) => panic!("nothing is blocked, no alarm is set, and yet the session sleeps"),
            ([false, false], Some(at)) => self.bench.now = at,
            ([a, b], alarm) => {
                if let Some(at) = alarm.filter(|_| dice.one_in(4)) {
                    self.bench.now = at;
                }
                let both = a && b && dice.one_in(2);
                let side = if a && b { dice.below(2) } else { usize::from(b) };
                for side in if both { vec![0, 1] } else { vec![side] } {
                    self.fire(side);
                }
            }
        }
    }

    /// Runs to the end.
    pub(super) fn run(&mut self, dice: &mut Dice) -> Outcome {
        for _ in 0..100_000 {
            if let Some(outcome) = self.turn() {
                return outcome;
            }
            self.idle_turns += 1;
            self.turn_for_nothing();
            self.nudge(dice);
        }
        panic!("no end after {} turns", self.idle_turns);
    }

    /// Runs to the end, one event after the other, everything acknowledged at once.
    pub(super) fn finish(&mut self) -> Outcome {
        self.run(&mut Dice::new(1))
    }

    pub(super) fn wrote(&self, side: usize) -> Vec<u8> {
        self.seen[side].borrow().written.clone()
    }

    pub(super) fn was_reset(&self, side: usize) -> bool {
        self.seen[side].borrow().closed.expect("closed")
    }
}

/// Text that is read.
pub(super) fn data(text: &str) -> Read {
    Read::Data(text.as_bytes().to_vec())
}

/// Never says anything and never ends.
pub(super) fn silent() -> Vec<Read> {
    vec![Read::Block; 1000]
}

/// A session with buffers that hold every text of these tests.
pub(super) fn drive(local: Plot, peer: Plot, policy: Policy) -> Driver {
    Driver::new(local, peer, policy, 256)
}

/// The bytes that a script gives before it ends or fails.
pub(super) fn given(reads: &[Read]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for read in reads {
        match read {
            Read::Data(more) => bytes.extend(more),
            Read::Block => {}
            Read::End | Read::Fail(_) => break,
        }
    }
    bytes
}

/// How it ended, in one word and the status.
pub(super) fn summary(outcome: &Outcome) -> (&'static str, u8) {
    let word = match &outcome.ended {
        Ended::Clean => "clean",
        Ended::Failed(_) => "failed",
        Ended::ReaderGone => "reader gone",
        Ended::Signal(_) => "signal",
        Ended::Program(_) => "program",
        Ended::Told(_) => "told",
    };
    (word, outcome.status().code())
}

/// The line that tells of the failure.
pub(super) fn line(outcome: &Outcome) -> String {
    match &outcome.ended {
        Ended::Failed(error) => error.line(),
        other => panic!("did not fail: {other:?}"),
    }
}
