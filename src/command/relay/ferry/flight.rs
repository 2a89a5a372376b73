//! One flow: a client of a datagram socket, and the socket of its own towards its target.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::hall::Hall;
use super::super::scales::Weight;
use crate::datagram::police::{Policer, Portion};
use crate::datagram::{DatagramSocket, LocalIp, Peer};
use crate::dice::Dice;
use crate::endpoint::unix_path::SocketFile;
use crate::plan::faults::{DEFAULT_HOLD, Direction, Way};
use crate::plan::relay::Relay;
use crate::session::faults::datagram::{Line, Mischief};
use crate::session::faults::dice;
use crate::session::tap::Tap;

/// To the client.
pub(super) const DOWN: usize = 0;

/// From the client.
pub(super) const UP: usize = 1;

/// Who a flow is with: the client, and the address of this host that it wrote to, where there are several. Answers leave
/// from there, or the client would not know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: Peer,
    pub(super) local: Option<LocalIp>,
}

/// What leads to a flow's target.
pub(super) enum Lead {
    Socket(DatagramSocket),
    /// A program: see [`crate::command::programs`], by the number of the flow's session.
    Program,
}

/// The target's side of a flow.
pub(super) struct Far {
    pub(super) lead: Lead,
    /// Where each datagram goes, if the socket is not connected.
    pub(super) to: Option<Peer>,
    /// The address that it was pointed at, if it has one.
    pub(super) address: Option<SocketAddr>,
    /// Which target.
    pub(super) target: usize,
    /// It and our side, as printed.
    pub(super) peer: String,
    pub(super) local: String,
    /// The name by which a Unix target answers, where it needs a file.
    pub(super) _file: Option<SocketFile>,
    pub(super) _weight: Weight,
}

/// What is kept for a flow.
pub(super) struct Flight {
    /// The number of its session.
    pub(super) number: u64,
    pub(super) began: Instant,
    /// `None` after a refusal, until the client sends again.
    pub(super) far: Option<Far>,
    /// Bytes to the client, and from it.
    pub(super) bytes: [u64; 2],
    /// The target has answered.
    pub(super) was_answered: bool,
    /// The last datagram was the client's.
    pub(super) owes: bool,
    /// Which addresses of names it knows.
    pub(super) generation: u64,
    /// It stands in the queue of those that may have answers.
    pub(super) queued: bool,
    /// That its target refuses it was told.
    pub(super) told: bool,
    /// `-L`, for each way.
    pub(super) police: Option<[Policer; 2]>,
    /// What it has had of `--limit-total`, for each way.
    pub(super) portions: [Portion; 2],
    /// What goes wrong on purpose, for each way.
    pub(super) lines: Option<Box<[Option<Held>; 2]>>,
    pub(super) tap: Option<Tap>,
}

/// One way of a flow that has faults.
pub(super) struct Held {
    pub(super) line: Line<Vec<u8>>,
    /// When the queue of times is to come back to it.
    pub(super) armed: Option<Instant>,
    /// Datagrams that the line had no room for, as far as they were counted.
    pub(super) overflowed: u64,
}

/// What is the same for all flows.
#[derive(Clone, Copy)]
pub(in crate::command::relay) struct Terms {
    pub(super) silence: Duration,
    pub(super) rate: Option<u64>,
    /// To the client, and from it.
    mischief: [Option<Mischief>; 2],
    seed: u64,
    hold: usize,
    /// The number of flows is the user's choice: nobody gives way for a newcomer.
    pub(super) strict: bool,
    pub(super) once: bool,
    /// With `--once -w`: the silence that is a limit that was passed, and not how a flow ends.
    pub(super) patience: Option<Duration>,
}

impl Terms {
    /// What a plan says.
    pub(in crate::command::relay) fn of(plan: &Relay, seed: u64) -> Self {
        let late = |way: &Way| way.delay + way.jitter;
        Terms {
            // what is held back is not lost because its flow has expired
            silence: plan.silence() + late(&plan.faults.up).max(late(&plan.faults.down)),
            rate: plan.transfer.rate.map(|rate| rate.0),
            mischief: [mischief(&plan.faults.down), mischief(&plan.faults.up)],
            seed,
            hold: plan.transfer.buffer.unwrap_or(DEFAULT_HOLD).0 as usize,
            strict: plan.serving.most.is_some(),
            once: plan.once,
            patience: plan.transfer.idle.filter(|_| plan.once && plan.flow_idle.is_none()),
        }
    }

    fn dice(&self, number: u64, way: usize) -> Dice {
        dice(self.seed, number, if way == UP { Direction::Up } else { Direction::Down })
    }

    fn lines(&self, number: u64) -> Option<Box<[Option<Held>; 2]>> {
        let held = |way: usize| {
            let line = Line::new(self.mischief[way]?, self.dice(number, way), self.hold);
            Some(Held { line, armed: None, overflowed: 0 })
        };
        self.mischief.iter().any(Option::is_some).then(|| Box::new([held(DOWN), held(UP)]))
    }
}

impl Far {
    /// Its socket; `None` for a program.
    pub(super) fn socket(&self) -> Option<&DatagramSocket> {
        match &self.lead {
            Lead::Socket(socket) => Some(socket),
            Lead::Program => None,
        }
    }
}

impl Flight {
    /// A flow that begins now.
    pub(super) fn new(number: u64, far: Far, terms: &Terms, tap: Option<Tap>, now: Instant) -> Self {
        Flight {
            number,
            began: now,
            far: Some(far),
            bytes: [0, 0],
            was_answered: false,
            owes: false,
            generation: 0,
            queued: false,
            told: false,
            police: terms.rate.map(|rate| [Policer::new(rate, now), Policer::new(rate, now)]),
            portions: [Portion::default(); 2],
            lines: terms.lines(number),
            tap,
        }
    }

    /// One way, if it has faults.
    pub(super) fn held(&mut self, way: usize) -> Option<&mut Held> {
        self.lines.as_mut()?[way].as_mut()
    }

    /// True if an answer is owed, or something is held back.
    pub(super) fn is_busy(&self) -> bool {
        let holds = |held: &Held| held.line.next_due().is_some();
        self.owes || self.lines.iter().flat_map(|lines| lines.iter().flatten()).any(holds)
    }

    /// Whether a datagram may go on under `-L` and `--limit-total`.
    pub(super) fn passes(&mut self, way: usize, now: Instant, bytes: usize, hall: &Hall) -> bool {
        let alone = self.police.as_mut().is_none_or(|police| police[way].admits(now, bytes));
        alone && hall.admits(way, &mut self.portions[way], now, bytes)
    }

    /// Shows a datagram to whoever copies the flow.
    pub(super) fn show(&self, way: usize, payload: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.seen(way, payload);
        }
    }
}

/// `None` where nothing goes wrong for datagrams.
fn mischief(way: &Way) -> Option<Mischief> {
    let Way { loss, dup, reorder, corrupt, delay, jitter, .. } = *way;
    (!way.is_sound()).then_some(Mischief { loss, dup, reorder, corrupt, delay, jitter })
}
