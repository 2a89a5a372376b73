//! A program for each peer: its datagrams are writes to the program's standard input, and each write of the program is a
//! datagram to it.
//!
//! A program that does not read loses what its pipe and a short queue have no room for; that is counted and concerns
//! nobody else. A session ends with its program. One that ends earlier (silence, the end of haul) closes the program's
//! standard input, and signals it when the grace is over.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::reaping::Reaping;
use super::surroundings::variables_of;
use super::writes;
use crate::datagram::{LocalIp, Peer};
use crate::endpoint::{Transport, printed, process};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::plan::address::Program;
use crate::reactor::{Slot, Turn};
use crate::session::limits::soonest;

/// The programs of all peers.
pub(super) struct Programs {
    grace: Duration,
    /// Most bytes of an answer.
    limit: usize,
    /// By the number of the session.
    running: HashMap<u64, Running>,
    by_slot: HashMap<Slot, u64>,
    /// Those that may have something to do. Invariant: exactly those whose `queued` is true, each once.
    ready: VecDeque<u64>,
    /// The soonest deadline of those that are not in `ready`, or an earlier instant.
    soonest: Option<Instant>,
    /// How many of them were dismissed.
    leaving: usize,
    /// The worst status so far.
    pub(super) status: u8,
    observer: Rc<dyn Observer>,
}

struct Running {
    talk: Talk,
    name: String,
    pipes: Transport,
    slots: Vec<Slot>,
    reaping: Reaping,
    /// Its exit status, once it has ended.
    status: Option<u8>,
    /// Nothing more comes from it.
    ended: bool,
    /// Its standard input is closed, here or there.
    deaf: bool,
    /// Datagrams that wait for room; the first `written` bytes of the first are in the pipe.
    waiting: VecDeque<Box<[u8]>>,
    written: usize,
    /// Bytes in `waiting`.
    bytes: usize,
    /// When it last wrote something, or ended.
    moved_at: Instant,
    /// It is not wanted any more, and when it is told so.
    leaving: Option<Instant>,
    hurried: bool,
    queued: bool,
}

/// How far a look at one program came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait,
    /// The outbox has no room for an answer.
    Full,
    /// It may have more to say at once.
    Again,
    Over,
}

/// Whom a program talks with.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    /// The number of the session.
    pub(super) number: u64,
    pub(super) peer: Peer,
    /// The address of ours that it wrote to first, if known.
    pub(super) local: Option<LocalIp>,
}

/// Who sends what programs answer, and hears of their end.
pub(super) trait Audience {
    /// At least `least` bytes to read an answer into; `None` until what waits has been sent.
    fn room(&mut self, least: usize) -> Option<&mut [u8]>;

    /// The first `count` bytes of the room are an answer: datagrams of at most `limit` bytes.
    fn answer(&mut self, turn: &mut Turn, talk: &Talk, count: usize, limit: usize);

    /// So many datagrams were not read by their program.
    fn unread(&mut self, count: u64);

    /// A program has ended, and so has its session if that is still there.
    fn over(&mut self, turn: &mut Turn, talk: &Talk, reason: &str);
}

impl Programs {
    /// None yet. `limit`: the most bytes of an answer.
    pub(super) fn new(grace: Duration, limit: usize, observer: Rc<dyn Observer>) -> Self {
        Programs {
            grace,
            limit,
            running: HashMap::new(),
            by_slot: HashMap::new(),
            ready: VecDeque::new(),
            soonest: None,
            leaving: 0,
            status: 0,
            observer,
        }
    }

    /// Most bytes of an answer: what is known once the socket is bound.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Starts one for a new session, which came over `protocol` to `local`, an address as printed.
    ///
    /// # Errors
    /// What pipe(2), fork(2) and execve(2) say.
    pub(super) fn start(
        &mut self,
        turn: &mut Turn,
        program: &Program,
        talk: Talk,
        (protocol, local): (&str, &str),
    ) -> Result<(), Error> {
        let variables = variables_of(protocol, local, &printed::peer(&talk.peer));
        let (pipes, mut child) = process::start_for_messages(program, &variables)?;
        let name = String::from_utf8_lossy(child.name()).into_owned();
        let mut pipes = Transport::from(pipes);
        let started = pipes.start(turn).and_then(|()| child.watch(turn));
        if let Err(error) = started {
            child.kill();
            return Err(Error::new(Op::Start, &name, error));
        }
        let slots: Vec<Slot> = pipes.slots().chain(child.slot()).collect();
        self.by_slot.extend(slots.iter().map(|slot| (*slot, talk.number)));
        let running = Running {
            talk,
            name,
            pipes,
            slots,
            reaping: Reaping::new(child, self.grace),
            status: None,
            ended: false,
            deaf: false,
            waiting: VecDeque::new(),
            written: 0,
            bytes: 0,
            moved_at: turn.now(),
            leaving: None,
            hurried: false,
            queued: false,
        };
        self.running.insert(talk.number, running);
        Ok(())
    }

    /// Hands a datagram to the program of a session; false if it has no room for it, or is not there, or if the datagram
    /// is empty, which a pipe cannot tell.
    pub(super) fn deliver(&mut self, turn: &mut Turn, number: u64, payload: &[u8]) -> bool {
        let Some(running) = self.running.get_mut(&number).filter(|running| !running.deaf) else { return false };
        if payload.is_empty() {
            return false;
        }
        if running.waiting.is_empty() {
            match running.pipes.write(turn, payload) {
                Ok(count) if count == payload.len() => return true,
                Ok(count) => running.written = count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => running.written = 0,
                Err(_) => {
                    running.deafen(turn);
                    return false;
                }
            }
        } else if running.bytes + payload.len() > WAITING {
            return false;
        }
        running.bytes += payload.len();
        running.waiting.push_back(payload.into());
        true
    }

    /// Notes whom the events of this turn concern.
    pub(super) fn wake(&mut self, turn: &Turn, all: bool) {
        for slot in turn.fired() {
            if let Some(number) = self.by_slot.get(slot).copied() {
                self.queue(number);
            }
        }
        if all {
            let everybody: Vec<u64> = self.running.keys().copied().collect();
            everybody.into_iter().for_each(|number| self.queue(number));
        }
    }

    fn queue(&mut self, number: u64) {
        if let Some(running) = self.running.get_mut(&number).filter(|running| !running.queued) {
            running.queued = true;
            self.ready.push_back(number);
        }
    }

    /// Gives those their turn that have something to do; true if there is more to do at once. `None` while the
    /// audience has no room.
    pub(super) fn turn(&mut self, turn: &mut Turn, audience: &mut impl Audience) -> Option<bool> {
        let now = turn.now();
        self.look_at_the_clock(now);
        for _ in 0..self.ready.len() {
            let Some(number) = self.ready.pop_front() else { break };
            let Some(running) = self.running.get_mut(&number) else { continue };
            running.queued = false;
            match running.turn(turn, self.limit, audience) {
                Step::Wait => self.soonest = soonest([self.soonest, running.deadline()]),
                Step::Again => self.queue(number),
                Step::Full => {
                    running.queued = true;
                    self.ready.push_front(number);
                    return None;
                }
                Step::Over => self.finish(turn, number, audience),
            }
        }
        Some(!self.ready.is_empty())
    }

    /// Queues those whose time has come.
    fn look_at_the_clock(&mut self, now: Instant) {
        if self.soonest.is_none_or(|at| at > now) {
            return;
        }
        // those in the queue have their turn whatever the time, and tell their deadline after it
        let deadlines = self.running.iter().filter(|(_, running)| !running.queued);
        let deadlines = deadlines.filter_map(|(number, running)| Some((running.deadline()?, *number)));
        let (due, later): (Vec<_>, Vec<_>) = deadlines.partition(|(at, _)| *at <= now);
        self.soonest = later.iter().map(|(at, _)| *at).min();
        due.into_iter().for_each(|(_, number)| self.queue(number));
    }

    /// A program has ended, and so has its session.
    fn finish(&mut self, turn: &mut Turn, number: u64, audience: &mut impl Audience) {
        let Some(running) = self.running.remove(&number) else { return };
        self.leaving -= usize::from(running.leaving.is_some());
        for slot in &running.slots {
            self.by_slot.remove(slot);
        }
        let status = running.status.unwrap_or(0);
        self.status = self.status.max(status);
        let text = format!("session {number}: {} exited with status {status}", running.name);
        self.observer.observe(&Event::Note { verbosity: 1, text });
        let reason = match status {
            0 => "clean".to_string(),
            status => format!("the program exited with status {status}"),
        };
        audience.over(turn, &running.talk, &reason);
        // pipes: there is nothing to tell the other side
        let _ = running.pipes.close(turn, false);
    }

    /// The session is over: its program gets what waits for it, then the end of its input, and after the grace signals.
    pub(super) fn dismiss(&mut self, turn: &mut Turn, number: u64) {
        let until = turn.now() + self.grace;
        let Some(running) = self.running.get_mut(&number).filter(|running| running.leaving.is_none()) else { return };
        running.leaving = Some(until);
        running.say_goodbye(turn);
        self.leaving += 1;
        self.queue(number);
    }

    /// The same for all of them.
    pub(super) fn dismiss_all(&mut self, turn: &mut Turn) {
        let all: Vec<u64> = self.running.keys().copied().collect();
        all.into_iter().for_each(|number| self.dismiss(turn, number));
    }

    /// Begins to signal all of them, as far as that was not begun.
    pub(super) fn hurry_all(&mut self, turn: &mut Turn) {
        self.dismiss_all(turn);
        for running in self.running.values_mut() {
            running.leaving = running.leaving.min(Some(turn.now()));
        }
        self.soonest = Some(turn.now());
    }

    /// Ends all of them at once.
    pub(super) fn kill_all(&mut self, now: Instant) {
        self.running.values_mut().for_each(|running| running.reaping.kill(now));
    }

    /// True if one of them may have something to do at once: after [`Programs::dismiss`], or where there was no room.
    pub(super) fn are_waiting(&self) -> bool {
        !self.ready.is_empty()
    }

    /// True if none is there.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// True while one that was dismissed has not ended.
    pub(super) fn are_leaving(&self) -> bool {
        self.leaving > 0
    }

    /// When one of them wants its next turn at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.soonest
    }
}

impl Running {
    fn turn(&mut self, turn: &mut Turn, limit: usize, audience: &mut impl Audience) -> Step {
        let now = turn.now();
        if self.status.is_none() {
            self.status = self.reaping.turn(turn);
            if self.status.is_some() {
                self.moved_at = self.moved_at.max(now);
            }
        }
        if self.leaving.is_some_and(|at| at <= now) && !self.hurried {
            self.hurried = true;
            self.reaping.hurry(now);
        }
        self.write(turn, audience);
        let step = self.read(turn, limit, audience);
        if step != Step::Wait {
            return step;
        }
        // what it has started may hold its pipe for ever
        let silent = now.saturating_duration_since(self.moved_at) >= SILENCE;
        let over = self.status.is_some() && (self.ended || silent);
        if over { Step::Over } else { Step::Wait }
    }

    /// Writes what waits.
    fn write(&mut self, turn: &mut Turn, audience: &mut impl Audience) {
        while let Some(first) = self.waiting.front() {
            match self.pipes.write(turn, &first[self.written..]) {
                Ok(count) if self.written + count < first.len() => self.written += count,
                Ok(_) => {
                    self.bytes -= first.len();
                    self.written = 0;
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    audience.unread(self.waiting.len() as u64);
                    self.deafen(turn);
                }
            }
        }
        if self.leaving.is_some() {
            self.deafen(turn);
        }
    }

    /// Reads answers straight into the room of the audience.
    fn read(&mut self, turn: &mut Turn, limit: usize, audience: &mut impl Audience) -> Step {
        for _ in 0..READS {
            if self.ended {
                return Step::Wait;
            }
            let Some(room) = audience.room(limit + writes::ROOM) else { return Step::Full };
            match writes::one_write(&mut self.pipes, turn, room, limit) {
                Ok(0) => {
                    self.ended = true;
                    self.pipes.close_read(turn);
                }
                Ok(count) => {
                    self.moved_at = turn.now();
                    audience.answer(turn, &self.talk, count, limit);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(_) => self.ended = true,
            }
        }
        Step::Again
    }

    /// Closes its standard input, once nothing waits for it.
    fn say_goodbye(&mut self, turn: &mut Turn) {
        if self.waiting.is_empty() {
            self.deafen(turn);
        }
    }

    /// Closes its standard input, and forgets what waits for it.
    fn deafen(&mut self, turn: &mut Turn) {
        self.waiting.clear();
        (self.written, self.bytes, self.deaf) = (0, 0, true);
        let closed: io::Result<()> = match &mut self.pipes {
            Transport::Descriptors(both) if both.writer.is_some() => self.pipes.close_write(turn),
            _ => Ok(()),
        };
        // a pipe has nothing to flush
        drop(closed);
    }

    fn deadline(&self) -> Option<Instant> {
        let rung = if self.hurried { self.reaping.deadline() } else { self.leaving };
        match self.status {
            None => rung,
            Some(_) => Some(self.moved_at + SILENCE),
        }
    }
}

/// Bytes that wait for a program at most.
const WAITING: usize = 256 * 1024;

/// Answers read from one program before others have their turn.
const READS: usize = 16;

/// How long the output of a program that has ended is waited for, where what it has started holds it.
const SILENCE: Duration = Duration::from_secs(1);
