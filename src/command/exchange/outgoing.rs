//! Datagrams on their way out: from where they are taken, at their pace, into the socket, and to another address of the
//! name when the one in use has refused them.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ROUNDS;
use crate::command::line::Line;
use crate::command::messages::{Messages, Next, Step};
use crate::datagram::pace::{Limits, Pace, Ready};
use crate::datagram::sequence::{STAMP, Stamp};
use crate::datagram::{Outbox, Stop};
use crate::endpoint::udp::Course;
use crate::error::{Error, Op};
use crate::event::Observer;
use crate::outcome::{Ended, ExitStatus};
use crate::reactor::Turn;

/// Why sending stops.
#[derive(Debug)]
pub(super) enum Halt {
    /// Somebody said that nobody listens there.
    Refused(io::Error),
    /// It cannot go on.
    Over(Ended),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Over(Ended::Failed(error))
    }
}

/// The way out.
pub(in crate::command) struct Outgoing {
    course: Course,
    line: Line,
    outbox: Outbox,
    messages: Messages,
    limits: Limits,
    /// `None` before the first datagram.
    pace: Option<Pace>,
    /// The session of the stamps, if there are any.
    session: Option<u64>,
    /// Stamps given out.
    stamped: u64,
    /// Nothing more is to be queued.
    over: bool,
    /// When everything had been given to the kernel.
    sent_at: Option<Instant>,
    /// When the kernel took one last.
    moved_at: Option<Instant>,
    /// Datagrams that the kernel took from us, stamps of the end among them, and their bytes, stamps among them.
    taken: [u64; 2],
    /// Datagrams that it did not take, on their way to an address that was given up.
    failed: u64,
    /// Stamps of the end: how many are still to be queued, when the next is due, and how many were.
    ends_left: u64,
    end_due: Option<Instant>,
    ends: u64,
    started: Option<Instant>,
    observer: Rc<dyn Observer>,
}

impl Outgoing {
    /// Sends `messages` over `line`, which `course` gave; with a `session` each begins with a stamp.
    pub(in crate::command) fn new(
        course: Course,
        line: Line,
        mut messages: Messages,
        limits: Limits,
        session: Option<u64>,
        observer: Rc<dyn Observer>,
    ) -> Self {
        if course.has_more() {
            messages.remember();
        }
        Outgoing {
            outbox: line.outbox(),
            course,
            line,
            messages,
            limits,
            pace: None,
            session,
            stamped: 0,
            over: false,
            sent_at: None,
            moved_at: None,
            taken: [0, 0],
            failed: 0,
            ends_left: 0,
            end_due: None,
            ends: 0,
            started: None,
            observer,
        }
    }

    /// Registers what is read and the socket.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.started = Some(turn.now());
        self.line.start(turn)?;
        self.observer.observe(&self.line.connected());
        self.messages.start(turn)
    }

    /// Takes what a program writes, from now on; only before [`Outgoing::start`] has anything else to read.
    pub(super) fn read_from(&mut self, mut messages: Messages, turn: &mut Turn) -> Result<(), Error> {
        messages.start(turn)?;
        if self.course.has_more() {
            messages.remember();
        }
        self.messages = messages;
        Ok(())
    }

    /// The socket in use.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Datagrams sent, and the bytes of their payloads: stamps are none, and those that tell the end no datagrams.
    pub(super) fn sent(&self) -> [u64; 2] {
        let [datagrams, bytes] = self.taken;
        let stamps = if self.session.is_some() { datagrams * STAMP as u64 } else { 0 };
        // they are the last in the queue
        let ends = self.ends.saturating_sub(self.outbox.len() as u64);
        [datagrams.saturating_sub(ends), bytes.saturating_sub(stamps)]
    }

    /// Datagrams that could not be sent.
    pub(super) fn unsent(&self) -> u64 {
        self.failed + self.outbox.failed()
    }

    /// When everything had been given to the kernel, once it has.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }

    /// When the kernel took one last.
    pub(super) fn moved_at(&self) -> Option<Instant> {
        self.moved_at
    }

    /// True once nothing more is to be queued.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// True if nothing is ever to be sent.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.messages, Messages::Nothing)
    }

    /// Somebody answered: this is the address.
    pub(super) fn answered(&mut self) {
        self.messages.forget();
    }

    /// True if each datagram begins with a stamp.
    pub(super) fn is_stamped(&self) -> bool {
        self.session.is_some()
    }

    /// Queues and sends what may go now.
    pub(super) fn send(&mut self, turn: &mut Turn) -> Result<Step, Halt> {
        for _ in 0..ROUNDS {
            self.tell_end(turn);
            let waits = self.flush(turn)?;
            if self.over || waits {
                return Ok(Step::Wait);
            }
            match self.queue(turn) {
                Ok(None) => {}
                // what was queued before it came to wait goes out at once
                Ok(Some(step)) => return self.flush(turn).map(|_| step),
                Err(error) => {
                    self.flush(turn)?;
                    return Err(error.into());
                }
            }
        }
        Ok(Step::Again)
    }

    /// Fills the outbox; `None` once it is full.
    fn queue(&mut self, turn: &mut Turn) -> Result<Option<Step>, Error> {
        let now = turn.now();
        loop {
            // payloads of one size are read where they are sent from, once there was a first one
            let size = self.messages.size().filter(|_| self.session.is_none() && self.pace.is_some());
            let length = match size {
                Some(size) => size,
                None => match self.messages.next(turn)? {
                    Next::Payload(payload) => payload.len(),
                    Next::Later => return Ok(Some(Step::Wait)),
                    Next::Over => {
                        self.end(turn);
                        return Ok(Some(Step::Wait));
                    }
                },
            };
            let Some(most) = self.allowed(turn, length) else { return Ok(Some(Step::Wait)) };
            let count = match size {
                Some(size) => {
                    let Some(space) = self.outbox.block(self.line.to.as_ref(), size, most) else { return Ok(None) };
                    let count = self.messages.fill(turn, space)?;
                    if count == 0 && self.messages.next(turn)? == Next::Later {
                        return Ok(Some(Step::Wait));
                    }
                    if count > 0 && !self.outbox.commit(self.line.to.as_ref(), count * size, size) {
                        return Err(Error::said(Op::Transfer, &self.line.pointed.peer, "too many datagrams wait"));
                    }
                    count
                }
                None if self.session.is_none() && matches!(self.messages, Messages::Same(_)) => {
                    self.outbox.again(usize::try_from(most).unwrap_or(usize::MAX))
                }
                None => 0,
            };
            if let (Some(pace), 1..) = (&mut self.pace, count) {
                pace.sent(count as u64, count as u64 * length as u64);
            } else if size.is_none() && !self.push(now, turn)? {
                return Ok(None);
            }
        }
    }

    /// How many of `length` bytes may go now; `None` before the deadline, or after the last one.
    fn allowed(&mut self, turn: &mut Turn, length: usize) -> Option<u64> {
        let now = turn.now();
        match self.pace.get_or_insert_with(|| Pace::new(now, self.limits)).ready(now, length) {
            Ready::Now(most) => return Some(most),
            Ready::At(at) => turn.deadline_at_most(at),
            Ready::Over => self.end(turn),
        }
        None
    }

    /// Puts the next payload into the outbox; false if that is full.
    fn push(&mut self, now: Instant, turn: &mut Turn) -> Result<bool, Error> {
        let sent_at = self.clock(now);
        let Next::Payload(payload) = self.messages.next(turn)? else { return Ok(true) };
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
    pub(super) fn end(&mut self, turn: &mut Turn) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.messages.close(turn);
        if self.session.is_some() {
            (self.ends_left, self.end_due) = (ENDS, Some(turn.now()));
            self.tell_end(turn);
        }
    }

    /// Queues a stamp that tells the end, if one is due. Without room it waits, as everything does.
    fn tell_end(&mut self, turn: &mut Turn) {
        let (Some(session), Some(due), 1..) = (self.session, self.end_due, self.ends_left) else { return };
        let now = turn.now();
        if due <= now {
            let stamp = Stamp { session, sequence: self.stamped, sent_at: self.clock(now), is_end: true };
            if !self.outbox.push(self.line.to.as_ref(), &stamp.encode()) {
                return;
            }
            self.ends += 1;
            self.ends_left -= 1;
            self.end_due = Some(now + END_PAUSE);
        }
        if let (Some(at), 1..) = (self.end_due, self.ends_left) {
            turn.deadline_at_most(at);
        }
    }

    /// Asked at a refusal: true if it is only of a repeated end, since nobody had refused what came before for a while.
    /// The receiver has left with all that it wanted, and is told no more.
    pub(super) fn was_heard(&mut self, now: Instant) -> bool {
        let taken = self.ends.saturating_sub(self.outbox.len() as u64);
        if taken < 2 {
            return false;
        }
        self.failed += self.outbox.failed();
        self.outbox = self.line.outbox();
        (self.ends, self.ends_left) = (taken, 0);
        self.sent_at.get_or_insert(now);
        true
    }

    /// Nothing more is waited for. Where nobody was told the end of the stamps, it is told now: what the kernel did not
    /// take until now is not sent.
    pub(super) fn give_up(&mut self, turn: &mut Turn) {
        self.end(turn);
        if self.session.is_none() || self.ends_left == 0 && self.outbox.is_empty() {
            return;
        }
        let waiting = self.outbox.len() as u64;
        let ends = self.ends.min(waiting);
        self.stamped -= waiting - ends;
        self.ends -= ends;
        self.failed += self.outbox.failed();
        self.outbox = self.line.outbox();
        (self.ends_left, self.end_due) = (1, Some(turn.now()));
        self.tell_end(turn);
        // whoever cannot be told is told by nobody
        let _ = self.flush(turn);
    }

    /// Gives the kernel what waits; true if it takes no more.
    fn flush(&mut self, turn: &mut Turn) -> Result<bool, Halt> {
        loop {
            let flushed = self.line.socket.flush(turn, &mut self.outbox);
            self.taken[0] += flushed.datagrams;
            self.taken[1] += flushed.bytes;
            if flushed.datagrams > 0 {
                self.moved_at = Some(turn.now());
            }
            match flushed.stop {
                Stop::Empty => {
                    if self.over && self.ends_left == 0 && self.sent_at.is_none() {
                        self.sent_at = Some(turn.now());
                    }
                    return Ok(false);
                }
                Stop::Full => return Ok(true),
                Stop::Refused(error) => return Err(Halt::Refused(error)),
                // a queue of the system that is full has dropped it, as a network might
                Stop::Failed(error) if error.raw_os_error() == Some(libc::ENOBUFS) && !self.line.socket.is_unix() => {}
                Stop::Failed(error) => return Err(self.failed(error).into()),
            }
        }
    }

    /// What the kernel says of one datagram.
    fn failed(&self, error: io::Error) -> Error {
        let too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
        let error = Error::new(Op::Transfer, &self.line.pointed.peer, error);
        match too_long {
            true => error.with_advice("--split 1400, which sends several").with_status(ExitStatus::Usage),
            false => error,
        }
    }

    /// Goes on to the next address, if nothing is lost by that: nobody has `answered`, and everything can be sent again.
    ///
    /// # Errors
    /// Why not; what each address said.
    pub(super) fn refused(&mut self, turn: &mut Turn, error: io::Error, answered: bool) -> Result<(), Error> {
        if answered || (self.course.has_more() && !self.messages.rewind()) {
            return Err(Error::new(Op::Transfer, &self.line.pointed.peer, error));
        }
        self.course.refused(&self.line.pointed, error);
        let mut line = Line::open(&mut self.course)?;
        line.start(turn)?;
        self.observer.observe(&line.connected());
        std::mem::replace(&mut self.line, line).socket.close(turn);
        self.failed += self.outbox.failed();
        self.outbox = self.line.outbox();
        (self.over, self.sent_at, self.stamped, self.pace, self.taken) = (false, None, 0, None, [0, 0]);
        (self.ends_left, self.end_due, self.ends) = (0, None, 0);
        Ok(())
    }
}

/// Stamps that tell the end: a datagram may get lost, and what it was that lost one takes the next as well if that comes
/// at once.
const ENDS: u64 = 3;

/// From one of them to the next.
const END_PAUSE: Duration = Duration::from_millis(10);
