//! Datagrams from one listener to its targets and back: a flow for each client, with a socket of its own towards the
//! target, or a program of its own, so that answers find their way.
//!
//! Nothing is kept for who is slow: what a socket has no room for is lost and counted, as in any network; only what
//! waits for the clients' socket stays in the kernel's buffers. A refusal (ICMP, or a Unix socket without a receiver)
//! concerns its flow alone. As long as nothing was ever answered there, the client's next datagram goes to the next
//! address or target.

mod down;
mod flight;
mod gate;
mod late;
mod leaving;
mod servants;
mod target;
mod up;

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::floor::{Floor, Place};
use crate::command::client::{Closing, stopped};
use crate::command::programs::Programs;
use crate::datagram::flows::{FlowId, Flows, Limits};
use crate::datagram::{DatagramSocket, Inbox, LocalIp, Outbox, Peer};
use crate::endpoint::access::Access;
use crate::endpoint::printed;
use crate::endpoint::udp::Bound;
use crate::endpoint::unix_path::SocketFile;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Traffic};
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::datagram::MOST_OVER_V6;
use crate::reactor::{Park, Slot, Task, Turn};
use crate::report::summary::reason;
use crate::session::limits::soonest;
use crate::units::Span;
pub(super) use flight::Terms;
use flight::{Flight, Key};
use late::Late;
use leaving::{Leaving, Name, Why};

/// A bound listener on its way to the thread that serves it.
pub(super) struct Berth {
    pub(super) bound: Bound,
    /// Which pair it belongs to.
    pub(super) pair: usize,
    pub(super) access: Access,
}

/// The listener.
struct Door {
    socket: DatagramSocket,
    /// Removed when it is dropped, before the socket is closed.
    _file: Option<SocketFile>,
    protocol: &'static str,
    printed: String,
    /// Neither of a Unix socket, which is port 0.
    ip: Option<IpAddr>,
    port: u16,
    /// Packets that the kernel has dropped there, as far as they were counted.
    drops: u32,
}

/// The task.
pub(super) struct Ferry {
    floor: Rc<Floor>,
    pair: usize,
    terms: Terms,
    /// Until it is started.
    berth: Option<Bound>,
    door: Option<Door>,
    access: Access,
    /// Reloads of the lists that were heeded.
    reloads: u64,
    /// Received from clients, and from targets of either kind. `None` while it is looked at, or was never used.
    inbox: Option<Box<Inbox>>,
    mail: [Option<Box<Inbox>>; 2],
    /// On their way to one target, which is empty between flows; and to all clients.
    up: Outbox,
    down: Outbox,
    /// The most bytes of an answer.
    longest: usize,
    flows: Flows<Key, Flight>,
    /// The programs of flows, where a target is one; `None` while they have their turn.
    programs: Option<Box<Programs>>,
    /// Flows that are over, but whose programs are not, by the number of the session.
    parting: HashMap<u64, Leaving>,
    /// What a program writes, until it is on its way.
    draft: Vec<u8>,
    by_slot: HashMap<Slot, FlowId>,
    /// Flows that may have answers.
    ready: VecDeque<FlowId>,
    late: BinaryHeap<Late>,
    /// Addresses that have refused somebody, and when.
    shunned: Vec<(SocketAddr, Instant)>,
    /// Since when the first answer has no room at a client, where no event tells when it has; and when to try again.
    stuck_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// When something about nobody in particular was told last.
    told_at: Option<Instant>,
    /// What was not added to the totals yet.
    traffic: Traffic,
    /// Since when haul is asked to end, and whether what was received until then was passed on.
    closing_since: Option<Instant>,
    drained: bool,
    /// Programs were told to end, and were ended at once.
    hurried: bool,
    killed: bool,
    /// With `--once`: how the one flow has ended.
    once: Option<Outcome>,
    started: Option<Instant>,
}

impl Door {
    /// Our side of a talk with whoever wrote to this address of ours, as printed.
    fn local(&self, to: Option<LocalIp>) -> String {
        to.map_or_else(|| self.printed.clone(), |to| printed::inet(&to.with_port(self.port)))
    }
}

impl Ferry {
    /// Serves clients from its first turn on.
    pub(super) fn new(berth: Berth, floor: Rc<Floor>) -> Self {
        let Berth { bound, pair, access } = berth;
        let terms = floor.datagrams;
        let most = if terms.strict { None } else { Some(SPARE) };
        let unix = bound.local.is_none();
        let unix_target = floor.place(pair).is_some_and(Place::has_unix);
        let programs = servants::of(&floor, pair, bound.local);
        let room = |unix: bool| if unix { UNIX } else { MOST_OVER_V6 };
        Ferry {
            reloads: floor.reloads.get(),
            pair,
            terms,
            inbox: Some(Box::new(if unix { Inbox::unix(UNIX) } else { Inbox::new() })),
            mail: [None, None],
            // several datagrams in one piece are for UDP alone: elsewhere they would arrive as one
            up: Outbox::with_room_for(room(unix_target), !unix_target),
            down: Outbox::with_room_for(room(unix), !unix),
            longest: room(unix),
            flows: Flows::new(Limits { idle: Some(terms.silence), most: usize::MAX, spare: most }),
            programs: programs.map(Box::new),
            parting: HashMap::new(),
            draft: Vec::new(),
            berth: Some(bound),
            door: None,
            access,
            by_slot: HashMap::new(),
            ready: VecDeque::new(),
            late: BinaryHeap::new(),
            shunned: Vec::new(),
            stuck_since: None,
            retry_at: None,
            told_at: None,
            traffic: Traffic::default(),
            closing_since: None,
            drained: false,
            hurried: false,
            killed: false,
            once: None,
            started: None,
            floor,
        }
    }

    /// Queues the flows whose sockets had events.
    fn notice(&mut self, turn: &Turn) {
        for slot in turn.fired() {
            if let Some(id) = self.by_slot.get(slot)
                && let Some(flight) = self.flows.get_mut(*id)
                && !std::mem::replace(&mut flight.queued, true)
            {
                self.ready.push_back(*id);
            }
        }
    }

    /// Takes flows to their end that were silent for too long.
    fn expire(&mut self, turn: &mut Turn) {
        while let Some((key, flight)) = self.flows.expire(turn.now()) {
            let mut why = Why::from("silent for too long");
            if let Some(limit) = self.terms.patience {
                let cause = Cause::Said(format!("no datagram moved for {}", Span(limit)));
                why.ended = Ended::Failed(Error::begun("session cut short", cause).with_status(ExitStatus::TimeLimit));
            }
            self.see_off(turn, &key, flight, why);
        }
    }

    /// Ends a flow at once.
    fn end(&mut self, turn: &mut Turn, id: FlowId, reason: &str) {
        let Some(key) = self.flows.get(id).map(|(key, _)| *key) else { return };
        if let Some(flight) = self.flows.remove(&key) {
            self.see_off(turn, &key, flight, reason);
        }
    }

    /// Ends what haul was asked to end: flows to which nothing is owed at once, the others in time.
    fn wind_up(&mut self, turn: &mut Turn) -> Option<Instant> {
        let until = match self.floor.closing.get()? {
            Closing::Until(until) if until > turn.now() => until,
            _ => turn.now(),
        };
        let first = !std::mem::replace(&mut self.drained, true);
        if first || until <= turn.now() {
            let over = |flight: &Flight| until <= turn.now() || !flight.is_busy();
            let over: Vec<Key> = self.flows.iter().filter(|(_, flight)| over(flight)).map(|(key, _)| *key).collect();
            let cut = reason(&stopped());
            for key in over {
                if let Some(flight) = self.flows.remove(&key) {
                    let reason = if flight.is_busy() { cut.as_str() } else { "clean" };
                    self.see_off(turn, &key, flight, reason);
                }
            }
        }
        if until <= turn.now() {
            self.hold_nothing(turn);
        }
        Some(until)
    }

    /// While haul ends: a flow that was answered is over.
    fn may_leave(&mut self, turn: &mut Turn, id: FlowId) {
        if self.drained && self.flows.get(id).is_some_and(|(_, flight)| !flight.is_busy()) {
            self.end(turn, id, "clean");
        }
    }

    /// Tells something that may happen often, once a second at most.
    fn tell_seldom(&mut self, now: Instant, event: impl FnOnce() -> Event) {
        if self.told_at.is_none_or(|at| at + SELDOM <= now) {
            self.told_at = Some(now);
            self.floor.observer().observe(&event());
        }
    }

    /// Adds what this turn has seen to the totals.
    fn add_up(&mut self) {
        let traffic = std::mem::take(&mut self.traffic);
        if traffic != Traffic::default() {
            self.floor.hall.add(&traffic);
        }
    }

    /// Asks the kernel what it has dropped, also after what came last.
    fn count_drops(&mut self, so_far: Option<u32>) {
        let Some(door) = &mut self.door else { return };
        if let Some(drops) = so_far.or_else(|| door.socket.drops()) {
            self.traffic.dropped += u64::from(drops.wrapping_sub(door.drops));
            door.drops = drops;
        }
    }

    fn finish(&mut self, turn: &mut Turn) -> Park {
        self.count_drops(None);
        self.add_up();
        if let Some(door) = self.door.take() {
            door.socket.close(turn);
        }
        let elapsed = self.started.map_or(Duration::ZERO, |at| turn.now().saturating_duration_since(at));
        let nothing = Outcome { ended: Ended::Clean, bytes: [0, 0], elapsed };
        Park::Done(self.once.take().map_or(nothing, |once| match once.ended {
            Ended::Clean => Outcome { ended: self.ended_alone(), ..once },
            _ => once,
        }))
    }
}

impl Task for Ferry {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.started = Some(turn.now());
        let Some(bound) = self.berth.take() else { return Ok(()) };
        let Bound { file, fd, protocol, printed, local, .. } = bound;
        let mut socket = match local {
            Some(_) => DatagramSocket::ip(fd),
            None => DatagramSocket::unix_to_many(fd),
        };
        socket.prepare(false);
        socket.start(turn).map_err(|error| Error::new(Op::Open, "the event loop", error))?;
        let (ip, port) = (local.map(|local| local.ip()), local.map_or(0, |local| local.port()));
        self.door = Some(Door { socket, _file: file, protocol, printed, ip, port, drops: 0 });
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        self.notice(turn);
        self.heed_lists();
        let closing = self.floor.closing.get();
        let mut again = false;
        if !self.drained && closing != Some(Closing::Now) {
            again |= self.receive(turn);
        }
        again |= self.hear_targets(turn);
        again |= self.run_late(turn);
        self.run_programs(turn);
        let stuck = self.flush_down(turn);
        // what had no room a moment ago may have some now, and then no event tells
        again |= !stuck && !self.ready.is_empty();
        self.expire(turn);
        // what clients had sent before haul was asked to end is passed on first
        let since = closing.map(|_| *self.closing_since.get_or_insert(turn.now()));
        let in_time = since.is_some_and(|since| turn.now() < since + DRAIN);
        let drains = matches!(closing, Some(Closing::Until(_))) && in_time && again && !self.drained;
        let until = if drains { None } else { self.wind_up(turn) };
        self.add_up();
        self.press_programs(turn, until);
        again |= !stuck && self.programs.as_ref().is_some_and(|programs| programs.are_waiting());
        let empty = self.flows.is_empty() && self.parting.is_empty() && self.is_alone();
        let over = self.drained && empty && (!stuck || until.is_none_or(|until| until <= turn.now()));
        if over || self.once.is_some() && empty {
            return self.finish(turn);
        }
        let late = self.late.peek().map(|late| late.at);
        let programs = self.programs.as_ref().and_then(|programs| programs.deadline());
        let until = until.filter(|until| *until > turn.now());
        turn.deadline(soonest([self.flows.next_expiry(), late, self.retry_at, until, programs]));
        if again { Park::Again } else { Park::Wait }
    }
}

/// A full table without a limit of the user's: whoever was silent for this long gives way.
const SPARE: Duration = Duration::from_secs(1);

/// What a Unix datagram can be at most where nobody has changed the kernel's default for send buffers.
const UNIX: usize = 212_960;

/// Calls of each kind in one turn before others have theirs.
const ROUNDS: usize = 16;

/// How long what clients have sent is still taken once haul was asked to end.
const DRAIN: Duration = Duration::from_millis(100);

/// From one message about nobody in particular to the next.
const SELDOM: Duration = Duration::from_secs(1);
