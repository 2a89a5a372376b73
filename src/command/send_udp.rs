//! `haul send-udp`: datagrams out at a pace, answers to standard output.
//!
//! A refusal (ICMP, or a Unix socket without a receiver) ends it: whatever else it sent would be refused, too. DATA that
//! was refused by one address of a name goes to the next, as long as nothing was answered; what came from a stream has
//! been consumed and does not. The end of what is to be sent starts the clock of `-w`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::line::{Line, said};
use super::messages::{Messages, Next, Step, limits};
use super::printer::Printer;
use super::reporting::Reporting;
use crate::datagram::pace::{self, Pace, Ready};
use crate::datagram::sequence::{STAMP, Stamp};
use crate::datagram::{Inbox, Outbox, Stop};
use crate::endpoint::udp::Course;
use crate::endpoint::{Transport, file, stdio};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::plan::address::Options;
use crate::plan::datagram::{Payload, SendUdp, fits};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::reason;
use crate::report::{Console, Summary};

/// The task that carries out a plan.
///
/// # Errors
/// No address of the target works; the payload is too long or cannot be opened.
pub(super) fn send(plan: &SendUdp, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let mut course = Course::new(&plan.to)?;
    let line = Line::open(&mut course)?;
    let limit = line.limit() - if plan.stamped { STAMP } else { 0 };
    let messages = match &plan.payload {
        Payload::Bytes(bytes) => {
            if let Some((most, over)) = line.pointed.most {
                fits(bytes.len(), most - if plan.stamped { STAMP } else { 0 }, over)?;
            }
            Messages::Same(bytes.clone())
        }
        Payload::Stdin => Messages::stream(stdio::open(true, false)?, "standard input".into(), plan.split, limit),
        Payload::File(path) => {
            let file = Transport::Descriptors(file::open(path, &Options::default(), true, false)?);
            Messages::stream(file, path.to_string_lossy().into_owned(), plan.split, limit)
        }
    };
    let limits = limits(&plan.pacing, matches!(plan.payload, Payload::Bytes(_)));
    let session = plan.stamped.then(|| RandomState::new().build_hasher().finish());
    Ok(Box::new(SendTask {
        course,
        outbox: line.outbox(),
        inbox: if line.socket.is_unix() { Inbox::unix(line.limit()) } else { Inbox::new() },
        line,
        messages,
        limits,
        pace: None,
        session,
        stamped: 0,
        replies: plan.replies,
        wait: plan.wait,
        sent_at: None,
        heard_at: None,
        talks: plan.report.verbosity > 0 || plan.report.events.is_some(),
        ending: None,
        over: false,
        printer: Some(Printer::open()?),
        started: None,
        datagrams: [0, 0],
        bytes: [0, 0],
        observer: reporting.observers(),
        console: reporting.console(),
    }))
}

struct SendTask {
    course: Course,
    line: Line,
    outbox: Outbox,
    inbox: Inbox,
    messages: Messages,
    limits: pace::Limits,
    /// `None` before the first turn.
    pace: Option<Pace>,
    /// The session of the stamps, if there are any.
    session: Option<u64>,
    /// Stamps given out.
    stamped: u64,
    replies: Option<u64>,
    wait: Duration,
    /// When everything had been given to the kernel.
    sent_at: Option<Instant>,
    /// When the latest answer came.
    heard_at: Option<Instant>,
    /// Somebody wants to hear of each answer.
    talks: bool,
    /// How it ended, while the last answers go out.
    ending: Option<Ended>,
    /// Nothing more is to be queued.
    over: bool,
    /// `None` once it is closed.
    printer: Option<Printer>,
    started: Option<Instant>,
    /// Sent and received.
    datagrams: [u64; 2],
    bytes: [u64; 2],
    observer: Rc<dyn Observer>,
    console: Console,
}

impl SendTask {
    /// Queues and sends what may go now.
    fn send(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        for _ in 0..ROUNDS {
            let waits = self.flush(turn)?;
            if self.over || waits {
                return Ok(Step::Wait);
            }
            if let Some(step) = self.queue(turn)? {
                // what was queued before it came to wait goes out at once
                self.flush(turn)?;
                return Ok(step);
            }
        }
        Ok(Step::Again)
    }

    /// Fills the outbox; `None` once it is full.
    fn queue(&mut self, turn: &mut Turn) -> Result<Option<Step>, Ended> {
        let now = turn.now();
        loop {
            let length = match self.messages.next(turn).map_err(Ended::Failed)? {
                Next::Payload(payload) => payload.len(),
                Next::Later => return Ok(Some(Step::Wait)),
                Next::Over => {
                    self.finish(turn);
                    return Ok(Some(Step::Wait));
                }
            };
            let pace = self.pace.get_or_insert_with(|| Pace::new(now, self.limits));
            let most = match pace.ready(now, length) {
                Ready::Now(most) => most,
                Ready::At(at) => {
                    turn.deadline_at_most(at);
                    return Ok(Some(Step::Wait));
                }
                Ready::Over => {
                    self.finish(turn);
                    return Ok(Some(Step::Wait));
                }
            };
            let count = match self.session {
                None if matches!(self.messages, Messages::Same(_)) => {
                    self.outbox.again(usize::try_from(most).unwrap_or(usize::MAX)) as u64
                }
                _ => 0,
            };
            let count = match (count, self.session, self.messages.block(most)) {
                (0, None, Some((block, size))) => {
                    let count = self.outbox.push_block(self.line.to.as_ref(), block, size);
                    if count == 0 {
                        return Ok(None);
                    }
                    self.messages.take_block(count, size);
                    count as u64
                }
                _ => count,
            };
            if count > 0 {
                pace.sent(count, count * length as u64);
                continue;
            }
            if !self.push(now, turn)? {
                return Ok(None);
            }
        }
    }

    /// Puts the next payload into the outbox; false if that is full.
    fn push(&mut self, now: Instant, turn: &mut Turn) -> Result<bool, Ended> {
        let sent_at = self.clock(now);
        let Next::Payload(payload) = self.messages.next(turn).map_err(Ended::Failed)? else { return Ok(true) };
        let (length, to) = (payload.len(), self.line.to.as_ref());
        let pushed = match self.session {
            None => self.outbox.push(to, payload),
            Some(session) => {
                let stamp = Stamp { session, sequence: self.stamped, sent_at, is_end: false };
                match self.outbox.space(STAMP + length) {
                    Some(space) => {
                        space[..STAMP].copy_from_slice(&stamp.encode());
                        space[STAMP..STAMP + length].copy_from_slice(payload);
                        self.outbox.commit(to, STAMP + length, STAMP + length)
                    }
                    None => false,
                }
            }
        };
        if pushed {
            self.stamped += 1;
            self.messages.take();
            if let Some(pace) = &mut self.pace {
                pace.sent(1, length as u64);
            }
        }
        Ok(pushed)
    }

    /// Nanoseconds since the start.
    fn clock(&self, now: Instant) -> u64 {
        let since = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Everything is queued: with stamps, its end is told.
    fn finish(&mut self, turn: &mut Turn) {
        self.over = true;
        self.messages.close(turn);
        if let Some(session) = self.session {
            let stamp = Stamp { session, sequence: self.stamped, sent_at: self.clock(turn.now()), is_end: true };
            for _ in 0..ENDS {
                // an end that finds no room is one that got lost
                let _ = self.outbox.push(self.line.to.as_ref(), &stamp.encode());
            }
        }
    }

    /// Gives the kernel what waits; true if it takes no more.
    fn flush(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        loop {
            let flushed = self.line.socket.flush(turn, &mut self.outbox);
            self.datagrams[0] += flushed.datagrams;
            self.bytes[0] += flushed.bytes;
            match flushed.stop {
                Stop::Empty => {
                    if self.over && self.sent_at.is_none() {
                        self.sent_at = Some(turn.now());
                    }
                    return Ok(false);
                }
                Stop::Full => return Ok(true),
                Stop::Refused(error) => self.refused(turn, error)?,
                // a queue of the system that is full has dropped it, as a network might
                Stop::Failed(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Stop::Failed(error) => {
                    let error = Error::new(Op::Transfer, &self.line.pointed.peer, error);
                    return Err(Ended::Failed(error));
                }
            }
        }
    }

    /// Somebody said that nobody listens there: on to the next address, if nothing is lost by that.
    fn refused(&mut self, turn: &mut Turn, error: io::Error) -> Result<(), Ended> {
        let same = matches!(self.messages, Messages::Same(_));
        if !same || self.datagrams[1] > 0 {
            return Err(Ended::Failed(Error::new(Op::Transfer, &self.line.pointed.peer, error)));
        }
        self.course.refused(&self.line.pointed, error);
        let mut line = Line::open(&mut self.course).map_err(Ended::Failed)?;
        let started = line.socket.start(turn);
        started.map_err(|error| Ended::Failed(Error::new(Op::Open, "the event loop", error)))?;
        self.observer.observe(&line.connected());
        std::mem::replace(&mut self.line, line).socket.close(turn);
        // from the start
        self.outbox = self.line.outbox();
        (self.over, self.sent_at, self.stamped, self.pace) = (false, None, 0, None);
        (self.datagrams[0], self.bytes[0]) = (0, 0);
        turn.wake(turn.id());
        Ok(())
    }

    /// Takes answers, as long as standard output does.
    fn receive(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        let wanted = self.replies.unwrap_or(u64::MAX);
        for _ in 0..ROUNDS {
            let Some(printer) = &mut self.printer else { return Ok(Step::Wait) };
            printer.flush(turn)?;
            if printer.is_full() || self.datagrams[1] >= wanted {
                return Ok(Step::Wait);
            }
            match self.line.socket.receive(turn, &mut self.inbox) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Wait),
                Err(error) => {
                    self.refused(turn, error)?;
                    return Ok(Step::Again);
                }
            }
            for datagram in self.inbox.datagrams() {
                if self.datagrams[1] >= wanted {
                    break;
                }
                printer.bytes(datagram.payload);
                self.datagrams[1] += 1;
                self.bytes[1] += datagram.payload.len() as u64;
                self.heard_at = Some(turn.now());
                if datagram.truncated || self.talks {
                    self.observer.observe(&said(&datagram));
                }
            }
        }
        Ok(Step::Again)
    }

    /// How it ended, once it has.
    fn ended(&mut self, turn: &mut Turn) -> Option<Ended> {
        if self.replies.is_some_and(|replies| self.datagrams[1] >= replies) {
            return Some(Ended::Clean);
        }
        let sent_at = self.sent_at?;
        let until = self.heard_at.map_or(sent_at, |heard_at| heard_at.max(sent_at)) + self.wait;
        if turn.now() < until {
            turn.deadline_at_most(until);
            return None;
        }
        let Some(replies) = self.replies else { return Some(Ended::Clean) };
        Some(Ended::Failed(self.line.late(self.wait, replies, self.datagrams)))
    }

    fn work(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now(), None));
        }
        if let Some(number) = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0) {
            return Err(Ended::Signal(number));
        }
        turn.deadline(None);
        let sending = self.send(turn)?;
        let receiving = self.receive(turn)?;
        if let Some(ended) = self.ended(turn) {
            return Err(ended);
        }
        Ok(if sending == Step::Again { Step::Again } else { receiving })
    }

    /// Lets the last answers out, then tells how it ended.
    fn print(&mut self, turn: &mut Turn, ended: Ended) -> Park {
        let printed = match &mut self.printer {
            None => Ok(()),
            Some(printer) => match printer.flush(turn) {
                Ok(false) => {
                    turn.deadline(None);
                    self.ending = Some(ended);
                    return Park::Wait;
                }
                Ok(true) => printer.close(turn),
                Err(ended) => Err(ended),
            },
        };
        self.printer = None;
        let ended = match (printed, ended) {
            (Err(failure), Ended::Clean) => failure,
            (_, ended) => ended,
        };
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(turn.now(), None);
        if self.started.is_some() {
            let reason = reason(&ended);
            self.observer.observe(&Event::Closed { session: 1, bytes_in, bytes_out, elapsed, reason });
            self.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        }
        Park::Done(Outcome { ended, bytes: self.bytes, elapsed })
    }

    fn summary(&self, now: Instant, reason: Option<String>) -> Summary {
        let elapsed = self.started.map_or(Duration::ZERO, |started| now - started);
        Summary { bytes_in: self.bytes[1], bytes_out: self.bytes[0], elapsed, reason }
    }
}

impl Task for SendTask {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Open, "the event loop", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        self.started = Some(turn.now());
        self.line.socket.start(turn).map_err(failed)?;
        self.observer.observe(&self.line.connected());
        self.messages.start(turn)?;
        self.printer.as_mut().map_or(Ok(()), |printer| printer.start(turn))
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let ended = match self.ending.take() {
            Some(ended) => ended,
            None => match self.work(turn) {
                Ok(Step::Wait) => return Park::Wait,
                Ok(Step::Again) => return Park::Again,
                Err(ended) => ended,
            },
        };
        self.print(turn, ended)
    }
}

/// Calls of each kind in one turn before others have theirs.
const ROUNDS: usize = 16;

/// Stamps that tell the end: a datagram may get lost.
const ENDS: usize = 3;
