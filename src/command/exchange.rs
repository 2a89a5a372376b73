//! Datagrams to one place, and what comes back: the task behind `send-udp` and `connect -u`.
//!
//! The end of what is to be sent starts the clock of `-w`, and each answer starts it anew. A refusal (ICMP, or a Unix
//! socket without a receiver) ends it: whatever else it sent would be refused, too. As long as nothing was answered the
//! next address of the name is tried first, with everything from the start if that is still known.

mod ending;
mod near;
mod outgoing;
mod program;

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::arrival;
use super::messages::Step;
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::datagram::Inbox;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer, Traffic};
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::Report;
use crate::reactor::{Park, Task, Turn};
use crate::report::{Console, ProgressView};
use crate::session::limits::soonest;
use crate::units::Size;
use ending::Closing;
pub(super) use near::Near;
use outgoing::Halt;
pub(super) use outgoing::Outgoing;
pub(super) use program::Helper;

/// What ends an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// So many datagrams received.
    pub(super) replies: Option<u64>,
    /// How long answers are waited for once everything is sent; where nothing is sent at all and this is given, from the
    /// start.
    pub(super) wait: Option<Duration>,
    /// Longest time without a datagram either way.
    pub(super) idle: Option<Duration>,
    /// Longest time for everything.
    pub(super) max_time: Option<Duration>,
}

/// The task.
pub(super) struct Exchange {
    out: Outgoing,
    inbox: Inbox,
    near: Near,
    /// The program in place of standard input and output.
    helper: Option<Helper>,
    terms: Terms,
    /// What was received; what was sent is known to `out`.
    came: Traffic,
    /// How much came of the first one that was cut on its way to standard output.
    cut: Option<usize>,
    /// When the latest one came.
    heard_at: Option<Instant>,
    started: Option<Instant>,
    /// Somebody wants to hear of each one.
    talks: bool,
    /// Totals are asked for.
    tells_totals: bool,
    /// The end of what is sent was told.
    told_end: bool,
    closing: Option<Closing>,
    progress: Option<ProgressView>,
    /// Bytes to be sent, where that is known.
    size: Option<u64>,
    meter: Arc<Meter>,
    observer: Rc<dyn Observer>,
    console: Console,
}

impl Exchange {
    /// Joins `out` to `near`; `size` is what will be sent, in bytes, if that is known.
    pub(super) fn new(
        out: Outgoing,
        near: Near,
        terms: Terms,
        size: Option<u64>,
        (report, reporting): (&Report, &Reporting),
    ) -> Self {
        let line = out.line();
        Exchange {
            inbox: if line.socket.is_unix() { Inbox::unix(line.limit()) } else { Inbox::new() },
            out,
            near,
            helper: None,
            terms,
            came: Traffic::default(),
            cut: None,
            heard_at: None,
            started: None,
            talks: report.verbosity > 0,
            tells_totals: report.stats,
            told_end: false,
            closing: None,
            progress: reporting.progress(size),
            size,
            meter: Arc::new(Meter::default()),
            observer: reporting.observers(),
            console: reporting.console(),
        }
    }

    /// The same, with a program in place of standard input and output.
    pub(super) fn with_helper(self, helper: Helper) -> Self {
        Exchange { helper: Some(helper), ..self }
    }

    fn is_answered(&self) -> bool {
        self.terms.replies.is_some_and(|replies| self.came.received >= replies)
    }

    /// Somebody said that nobody listens there.
    fn refused(&mut self, turn: &mut Turn, error: io::Error) -> Result<(), Ended> {
        // the kernel tells an error before what came earlier
        for _ in 0..ROUNDS {
            match self.out.line().socket.receive(turn, &mut self.inbox) {
                Ok(_) => self.deliver(turn)?,
                Err(_) => break,
            }
        }
        if self.is_answered() || self.out.was_heard(turn.now()) {
            return Ok(());
        }
        self.out.refused(turn, error, self.came.received > 0).map_err(Ended::Failed)?;
        turn.wake(turn.id());
        Ok(())
    }

    /// Takes answers, as long as somebody takes them from us.
    fn receive(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        for _ in 0..ROUNDS {
            self.near.flush(turn)?;
            if self.near.is_full() || self.is_answered() {
                return Ok(Step::Wait);
            }
            match self.out.line().socket.receive(turn, &mut self.inbox) {
                Ok(_) => self.deliver(turn)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Wait),
                Err(error) => {
                    self.refused(turn, error)?;
                    return Ok(Step::Again);
                }
            }
        }
        Ok(Step::Again)
    }

    /// Passes on what the last receive gave.
    fn deliver(&mut self, turn: &mut Turn) -> Result<(), Ended> {
        self.out.answered();
        self.heard_at = Some(turn.now());
        for datagram in self.inbox.datagrams() {
            if self.terms.replies.is_some_and(|replies| self.came.received >= replies) {
                break;
            }
            self.near.push(datagram.payload)?;
            let bytes = datagram.payload.len();
            self.came.received += 1;
            self.came.bytes_in += bytes as u64;
            self.came.truncated += u64::from(datagram.truncated);
            if datagram.truncated && self.helper.is_none() {
                self.cut.get_or_insert(bytes);
            }
            self.meter.add(1, bytes as u64);
            if datagram.truncated || self.talks {
                self.observer.observe(&arrival::said(datagram.from, 1, bytes, datagram.truncated));
            }
        }
        Ok(())
    }

    /// When the user's limits pass, as far as there are any.
    fn limits(&self) -> [Option<Instant>; 2] {
        let Some(started) = self.started else { return [None, None] };
        let moved_at = self.heard_at.max(self.out.moved_at()).unwrap_or(started);
        [self.terms.max_time.map(|limit| started + limit), self.terms.idle.map(|limit| moved_at + limit)]
    }

    /// The user's limit that has passed, as an error.
    fn passed_limit(&self, now: Instant) -> Option<Error> {
        let [max_time, idle] = self.limits().map(|at| at.is_some_and(|at| at <= now));
        let told = |limit: Option<Duration>| humantime::format_duration(limit.unwrap_or_default()).to_string();
        let sentence = match (max_time, idle) {
            (true, _) => format!("time limit of {} reached", told(self.terms.max_time)),
            (_, true) => format!("no datagram for {}", told(self.terms.idle)),
            _ => return None,
        };
        let (sent, received) = (Size(self.out.sent()[1]).human(), Size(self.came.bytes_in).human());
        let headline = format!("exchange stopped after {sent} sent and {received} received");
        Some(Error::begun(headline, Cause::Said(sentence)).with_status(ExitStatus::TimeLimit))
    }

    /// How it ended, once it has.
    fn ended(&mut self, turn: &mut Turn) -> Option<Ended> {
        let now = turn.now();
        if self.is_answered() {
            return Some(Ended::Clean);
        }
        if let Some(error) = self.passed_limit(now) {
            return Some(Ended::Failed(error));
        }
        if let Some(at) = soonest(self.limits()) {
            turn.deadline_at_most(at);
        }
        let wait = self.terms.wait?;
        let sent_at = match self.out.sent_at() {
            None if self.out.is_silent() => return self.waited(turn, self.started?, wait),
            sent_at => sent_at?,
        };
        if !std::mem::replace(&mut self.told_end, true) {
            let bytes = self.out.sent()[1];
            self.observer.observe(&Event::Eof { session: 1, direction: "out", bytes });
        }
        self.waited(turn, sent_at, wait)
    }

    /// How it ended, once nothing has come for the time of `-w`; `from`: nothing was waited for before.
    fn waited(&self, turn: &mut Turn, from: Instant, wait: Duration) -> Option<Ended> {
        if self.near.is_full() {
            // what has come meanwhile is not known before there is room for it
            return None;
        }
        let until = self.heard_at.map_or(from, |heard_at| heard_at.max(from)) + wait;
        if turn.now() < until {
            turn.deadline_at_most(until);
            return None;
        }
        let Some(replies) = self.terms.replies else { return Some(Ended::Clean) };
        let counts = [self.out.sent()[0], self.came.received];
        Some(Ended::Failed(self.out.line().late(wait, replies, counts)))
    }

    fn work(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        turn.deadline(None);
        let sent = self.out.send(turn);
        // what is sent again to another address is no more than before
        self.meter.add(0, self.out.sent()[1].saturating_sub(self.meter.delivered(0)));
        let sending = match sent {
            Ok(step) => step,
            Err(Halt::Refused(error)) => {
                self.refused(turn, error)?;
                Step::Again
            }
            Err(Halt::Over(ended)) => return Err(ended),
        };
        let receiving = self.receive(turn)?;
        if let Some(helper) = &mut self.helper {
            helper.check(turn, &mut self.out);
        }
        if let Some(ended) = self.ended(turn) {
            return Err(ended);
        }
        Ok(if sending == Step::Again { Step::Again } else { receiving })
    }

    /// The signal that asks for the end, if there is one.
    fn signal(&mut self, turn: &mut Turn) -> Option<i32> {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.tell(&self.totals(turn.now()));
        }
        [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)
    }
}

impl Task for Exchange {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        self.started = Some(turn.now());
        self.out.start(turn)?;
        if let Some(helper) = &mut self.helper {
            self.near = helper.start(turn, &mut self.out, Rc::clone(&self.observer))?;
        }
        self.near.start(turn)?;
        if let Some(view) = self.progress.take() {
            let direction = self.size.map(|_| 0);
            turn.spawn(Box::new(Ticker::new(view, Arc::clone(&self.meter), direction)));
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let signal = self.signal(turn);
        match (signal, self.closing.is_some()) {
            (Some(number), true) => self.interrupt(turn, number),
            (Some(number), false) => self.close(turn, Ended::Signal(number)),
            (None, true) => {}
            (None, false) => match self.work(turn) {
                Ok(Step::Wait) => return Park::Wait,
                Ok(Step::Again) => return Park::Again,
                Err(ended) => self.close(turn, ended),
            },
        }
        self.wind_up(turn)
    }
}

/// Calls of each kind in one turn before others have theirs.
const ROUNDS: usize = 16;
