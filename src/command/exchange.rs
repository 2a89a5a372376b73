//! Datagrams to one place, and what comes back: the task behind `send-udp` and `connect -u`.
//!
//! The end of what is to be sent starts the clock of `-w`, and each answer starts it anew. A refusal (ICMP, or a Unix
//! socket without a receiver) ends it: whatever else it sent would be refused, too. As long as nothing was answered the
//! next address of the name is tried first, with everything from the start if that is still known.

mod near;
mod outgoing;
mod program;

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::line::said;
use super::messages::Step;
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::datagram::Inbox;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::Report;
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::reason;
use crate::report::{Console, ProgressView, Summary};
use crate::session::limits::soonest;
use crate::units::Size;
pub(super) use near::Near;
use outgoing::Halt;
pub(super) use outgoing::Outgoing;
pub(super) use program::Helper;

/// What ends an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// So many datagrams received.
    pub(super) replies: Option<u64>,
    /// How long answers are waited for once everything is sent.
    pub(super) wait: Duration,
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
    /// Datagrams received, and their bytes.
    received: [u64; 2],
    /// When the latest one came.
    heard_at: Option<Instant>,
    started: Option<Instant>,
    /// Somebody wants to hear of each one.
    talks: bool,
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

/// How it ended, while the last answers go out.
struct Closing {
    ended: Ended,
    /// Until then at the latest.
    until: Option<Instant>,
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
            received: [0, 0],
            heard_at: None,
            started: None,
            talks: report.verbosity > 0 || report.events.is_some(),
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
        self.terms.replies.is_some_and(|replies| self.received[0] >= replies)
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
        if self.is_answered() {
            return Ok(());
        }
        self.out.refused(turn, error, self.received[0] > 0).map_err(Ended::Failed)?;
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
            if self.terms.replies.is_some_and(|replies| self.received[0] >= replies) {
                break;
            }
            self.near.push(datagram.payload)?;
            let bytes = datagram.payload.len() as u64;
            self.received = [self.received[0] + 1, self.received[1] + bytes];
            self.meter.add(1, bytes);
            if datagram.truncated || self.talks {
                self.observer.observe(&said(&datagram));
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
        let (sent, received) = (Size(self.out.sent()[1]).human(), Size(self.received[1]).human());
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
        let sent_at = self.out.sent_at()?;
        if !std::mem::replace(&mut self.told_end, true) {
            let bytes = self.out.sent()[1];
            self.observer.observe(&Event::Eof { session: 1, direction: "out", bytes });
        }
        if self.near.is_full() {
            // what has come meanwhile is not known before there is room for it
            return None;
        }
        let until = self.heard_at.map_or(sent_at, |heard_at| heard_at.max(sent_at)) + self.terms.wait;
        if now < until {
            turn.deadline_at_most(until);
            return None;
        }
        let Some(replies) = self.terms.replies else { return Some(Ended::Clean) };
        let counts = [self.out.sent()[0], self.received[0]];
        Some(Ended::Failed(self.out.line().late(self.terms.wait, replies, counts)))
    }

    fn work(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        turn.deadline(None);
        let before = self.out.sent()[1];
        let sent = self.out.send(turn);
        self.meter.add(0, self.out.sent()[1] - before);
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
            self.console.summary(&self.summary(turn.now()));
        }
        [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)
    }

    /// Begins the end. What a failure leaves unwritten is given up after a while; a success has its time.
    fn close(&mut self, turn: &mut Turn, ended: Ended) {
        let now = turn.now();
        let until = match ended {
            Ended::Clean => self.limits()[0],
            _ => Some(now + GRACE),
        };
        if let (Some(helper), false) = (&mut self.helper, matches!(ended, Ended::Clean)) {
            helper.hurry(now);
        }
        self.closing = Some(Closing { ended, until });
    }

    /// A signal while the last answers go out.
    fn interrupt(&mut self, turn: &mut Turn, number: i32) {
        let now = turn.now();
        if let Some(helper) = &mut self.helper {
            helper.hurry(now);
        }
        if let Some(closing) = &mut self.closing {
            *closing = Closing { ended: Ended::Signal(number), until: Some(now) };
        }
    }

    /// Lets the last answers out, waits for the program, then tells how it ended.
    fn wind_up(&mut self, turn: &mut Turn) -> Park {
        let now = turn.now();
        let Some(Closing { ended, until }) = self.closing.take() else { return Park::Wait };
        turn.deadline(None);
        let late = until.is_some_and(|until| until <= now);
        let printed = match self.near.flush(turn) {
            Ok(false) if !late => {
                turn.deadline(until);
                self.closing = Some(Closing { ended, until });
                return Park::Wait;
            }
            Ok(false) if matches!(ended, Ended::Clean) => {
                let _ = self.near.close(turn);
                self.passed_limit(now).map_or(Ok(()), |error| Err(Ended::Failed(error)))
            }
            Ok(_) => self.near.close(turn),
            Err(ended) => Err(ended),
        };
        let mut ended = match (printed, ended) {
            (Err(failure), Ended::Clean) => failure,
            (_, ended) => ended,
        };
        self.out.end(turn);
        if let Some(helper) = &mut self.helper {
            let Some(status) = helper.reap(turn) else {
                self.closing = Some(Closing { ended, until });
                return Park::Wait;
            };
            if matches!(ended, Ended::Clean) && status != 0 {
                ended = Ended::Program(status);
            }
        }
        self.report(now, ended)
    }

    fn report(&self, now: Instant, ended: Ended) -> Park {
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(now);
        if self.started.is_some() {
            let reason = reason(&ended);
            self.observer.observe(&Event::Closed { session: 1, bytes_in, bytes_out, elapsed, reason });
            self.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        }
        Park::Done(Outcome { ended, bytes: [bytes_out, bytes_in], elapsed })
    }

    fn summary(&self, now: Instant) -> Summary {
        let elapsed = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        Summary { bytes_in: self.received[1], bytes_out: self.out.sent()[1], elapsed, reason: None }
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

/// How long what is left may go on after a failure or a signal.
const GRACE: Duration = Duration::from_millis(500);
