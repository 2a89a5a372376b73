//! The steps of a dialogue over one end: what to send, what to wait for, and what is told when it does not come.
//!
//! Whatever the step, the peer is read, or two programs that both write first would wait for each other for ever. What
//! it says is kept in a [`Window`]: during a `--send` only the last bytes of it, and while a match is waited for
//! everything is searched before anything is forgotten.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::printer::Printer;
use super::window::{CHUNK, Found, Pattern, Window};
use crate::buffer::Buffer;
use crate::error::{Cause, Error, Op};
use crate::escape::Escaped;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::Step;
use crate::reactor::Turn;
use crate::session::SILENCE;
use crate::session::carrier::Pools;
use crate::session::end::{self, End, Fault};
use crate::session::limits::soonest;
use crate::session::pump::{Pump, Stop, Terms};
use crate::session::tap::Tap;
use crate::units::Size;

/// One step.
#[derive(Debug)]
pub(super) enum Act {
    /// Sends these bytes, from `at` on.
    Send { bytes: Vec<u8>, at: usize },
    /// Waits for a match.
    Expect(Pattern),
}

/// The steps of a plan.
///
/// # Errors
/// A pattern that does not parse.
pub(super) fn script(steps: &[Step]) -> Result<VecDeque<Act>, Error> {
    let act = |step: &Step| match step {
        Step::Send(bytes) => Ok(Act::Send { bytes: bytes.clone(), at: 0 }),
        Step::Expect(text) => Pattern::parse(text).map(Act::Expect),
    };
    steps.iter().map(act).collect()
}

/// The time limits of a dialogue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For each match.
    pub(super) expect: Option<Duration>,
    /// Without a byte either way.
    pub(super) idle: Option<Duration>,
    /// For everything, from then on.
    pub(super) max_time: Option<Duration>,
    pub(super) since: Instant,
}

/// Standard input on its way to the peer, beside the steps.
pub(super) struct Feed {
    /// Where it comes from.
    pub(super) end: End,
    /// What moves it, and passes its end on.
    pub(super) pump: Pump,
    /// Where carriers come from.
    pub(super) pools: Rc<Pools>,
}

/// A dialogue under way.
pub(super) struct Talk {
    end: End,
    /// `None` where the steps alone say what is sent, and once it has ended.
    feed: Option<Feed>,
    /// Who looks at what is said.
    tap: Option<Tap>,
    /// The peer as typed, for messages.
    name: String,
    acts: VecDeque<Act>,
    limits: Limits,
    window: Window,
    buffer: Buffer,
    peer: Peer,
    /// Bytes sent and received.
    bytes: [u64; 2],
    started: Instant,
    /// When the step under way began.
    began: Instant,
    moved_at: Instant,
    /// When the peer was heard last.
    heard_at: Instant,
}

/// What is known of the peer.
#[derive(Debug)]
enum Peer {
    There,
    Ended,
    Failed(Fault),
}

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Talked {
    /// Nothing can be done before an event or the deadline.
    Waiting,
    /// There is more to do, after others had a turn.
    Busy,
    /// No match is waited for any more; what is left is to be sent.
    Over,
}

impl Talk {
    /// A dialogue over `end`, which is registered by [`Talk::start`]; see [`Talk::with_feed`].
    pub(super) fn new(end: End, name: String, acts: VecDeque<Act>, limits: Limits, now: Instant) -> Self {
        Talk {
            end,
            feed: None,
            tap: None,
            name,
            acts,
            limits,
            window: Window::default(),
            buffer: Buffer::new(CHUNK),
            peer: Peer::There,
            bytes: [0, 0],
            started: now,
            began: now,
            moved_at: now,
            heard_at: now,
        }
    }

    /// Sends standard input meanwhile.
    pub(super) fn with_feed(self, feed: Option<Feed>) -> Self {
        Talk { feed, ..self }
    }

    /// Has somebody look at what is said.
    pub(super) fn with_tap(self, tap: Option<Tap>) -> Self {
        Talk { tap, ..self }
    }

    /// Registers the ends.
    ///
    /// # Errors
    /// What epoll says.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let fed = self.feed.as_mut().map_or(Ok(()), |feed| feed.end.start(turn));
        fed.and_then(|()| self.end.start(turn))
            .map_err(|error| Error::new(Op::Use, &self.name, error).with_status(ExitStatus::LocalIo))
    }

    /// Does everything possible now.
    ///
    /// # Errors
    /// How the dialogue failed.
    pub(super) fn turn(&mut self, turn: &mut Turn, printer: &mut Printer) -> Result<Talked, Ended> {
        for _ in 0..ROUNDS {
            printer.flush(turn)?;
            if printer.is_full() {
                return Ok(Talked::Waiting);
            }
            let fed = self.feed(turn).map_err(Ended::Failed)?;
            let heard = self.hear(turn);
            let advanced = self.advance(turn, printer).map_err(Ended::Failed)?;
            if self.is_over() {
                return Ok(Talked::Over);
            }
            if !fed && !heard && !advanced {
                return self.in_time(turn.now()).map(|()| Talked::Waiting);
            }
        }
        self.in_time(turn.now()).map(|()| Talked::Busy)
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let expects = matches!(self.acts.front(), Some(Act::Expect(_)));
        let expect = self.limits.expect.filter(|_| expects).map(|limit| self.began + limit);
        let idle = self.limits.idle.map(|limit| self.moved_at + limit);
        let max_time = self.limits.max_time.map(|limit| self.limits.since + limit);
        let open =
            matches!(self.acts.front(), Some(Act::Expect(pattern)) if self.window.search(pattern) == Found::Open);
        let settled = open.then(|| self.heard_at + SETTLE);
        soonest([expect, idle, max_time, settled, self.held_until(), self.end.deadline()])
    }

    /// Bytes sent and received so far.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.bytes
    }

    /// When it began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The end, and what is left to be sent over it.
    pub(super) fn into_rest(self) -> (End, Vec<u8>) {
        let mut rest = Vec::new();
        for act in self.acts {
            if let Act::Send { bytes, at } = act {
                rest.extend_from_slice(&bytes[at..]);
            }
        }
        (self.end, rest)
    }

    /// True when all that is left is to send: whoever sends the rest also sees to it that it arrives.
    fn is_over(&self) -> bool {
        self.acts.iter().all(|act| matches!(act, Act::Send { .. }))
    }

    /// Moves standard input; true if there was any.
    fn feed(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let Some(Feed { end, pump, pools }) = &mut self.feed else { return Ok(false) };
        let tap = self.tap.as_ref().and_then(|tap| tap.on(0));
        let terms = Terms { pools, splice: false, block: CHUNK, most: CHUNK as u64, tap };
        let run = pump.run(turn, end, &mut self.end, &terms);
        self.bytes[0] += run.delivered;
        if run.delivered > 0 {
            self.moved_at = turn.now();
        }
        let over = match run.stop {
            Stop::Blocked | Stop::Spent => false,
            Stop::Ended | Stop::Reset(_) => true,
            Stop::SourceFailed(Fault::Io(error)) => return Err(Error::new(Op::Read, "standard input", error)),
            // what it said before is searched: it may have been enough
            Stop::SinkFailed(Fault::Io(_)) => true,
            Stop::SourceFailed(Fault::Layer(error)) | Stop::SinkFailed(Fault::Layer(error)) => {
                return Err(self.placed(error));
            }
        };
        if over {
            self.feed = None;
        }
        Ok(over || run.delivered > 0)
    }

    /// When the end of standard input is said to a peer that would end with it.
    fn held_until(&self) -> Option<Instant> {
        let held = self.feed.is_none() && self.end.holds_close() && !self.end.is_write_closed();
        held.then(|| self.moved_at + SILENCE)
    }

    /// One read; true if the peer said anything.
    fn hear(&mut self, turn: &mut Turn) -> bool {
        if !matches!(self.peer, Peer::There) {
            return false;
        }
        self.end.tick(turn.now());
        if self.held_until().is_some_and(|until| until <= turn.now()) {
            // what becomes of it shows when the peer is read
            self.end.close_write_for_good(turn);
        }
        let flushed = matches!(self.end.flush(turn), end::Step::Moved(_));
        self.buffer.clear();
        match self.end.read(turn, &mut self.buffer, CHUNK) {
            end::Step::Moved(count) => {
                if let Some(tap) = &self.tap {
                    tap.seen(1, self.buffer.filled());
                }
                self.window.push(self.buffer.filled());
                self.bytes[1] += count as u64;
                (self.moved_at, self.heard_at) = (turn.now(), turn.now());
                true
            }
            end::Step::Blocked => flushed,
            end::Step::Eof => {
                self.peer = Peer::Ended;
                true
            }
            end::Step::Failed(fault) => {
                self.peer = Peer::Failed(fault);
                true
            }
        }
    }

    /// Carries out the step under way, as far as that goes; true if that was anything.
    fn advance(&mut self, turn: &mut Turn, printer: &mut Printer) -> Result<bool, Error> {
        let now = turn.now();
        let mut advanced = false;
        while !printer.is_full() && !self.is_over() {
            let done = match self.acts.front_mut() {
                Some(Act::Send { bytes, at }) if *at < bytes.len() => match self.end.write(turn, &bytes[*at..]) {
                    end::Step::Moved(count) => {
                        if let Some(tap) = &self.tap {
                            tap.seen(0, &bytes[*at..*at + count]);
                        }
                        *at += count;
                        self.bytes[0] += count as u64;
                        (self.moved_at, advanced) = (now, true);
                        continue;
                    }
                    end::Step::Blocked => false,
                    end::Step::Eof => {
                        return Err(self.broken(turn, std::io::Error::from(ErrorKind::BrokenPipe).into()));
                    }
                    end::Step::Failed(fault) => return Err(self.broken(turn, fault)),
                },
                Some(Act::Send { .. }) => true,
                Some(Act::Expect(_)) => self.expect(now, printer)?,
                None => false,
            };
            if !done {
                break;
            }
            self.acts.pop_front();
            (self.began, advanced) = (now, true);
        }
        Ok(advanced)
    }

    /// True if the match that is waited for is there and was printed.
    fn expect(&mut self, now: Instant, printer: &mut Printer) -> Result<bool, Error> {
        let Some(Act::Expect(pattern)) = self.acts.front() else { return Ok(false) };
        let complete = match self.window.search(pattern) {
            Found::Match => true,
            found @ (Found::Open | Found::Unsure) => {
                let late = self.limits.expect.is_some_and(|limit| self.began + limit <= now);
                let settled = found == Found::Open && self.heard_at + SETTLE <= now;
                matches!(self.peer, Peer::Ended) || matches!(self.peer, Peer::There) && (late || settled)
            }
            Found::Nothing => false,
        };
        if complete && let Some(found) = self.window.take(pattern) {
            printer.line(&found);
            return Ok(true);
        }
        match self.peer {
            Peer::There => Ok(false),
            Peer::Ended => {
                Err(self.missed(format!("{} ended without", self.name)).with_status(ExitStatus::Expectation))
            }
            Peer::Failed(_) => Err(self.lost()),
        }
    }

    fn in_time(&self, now: Instant) -> Result<(), Ended> {
        self.passed_limit(now).map_or(Ok(()), |error| Err(Ended::Failed(error)))
    }

    /// The user's time limit that has passed, as an error.
    fn passed_limit(&self, now: Instant) -> Option<Error> {
        let passed = |since: Instant, limit: Option<Duration>| limit.filter(|limit| since + *limit <= now);
        let told = humantime::format_duration;
        let begin = if let Some(limit) = passed(self.limits.since, self.limits.max_time) {
            format!("the time limit of {} was reached before {} sent", told(limit), self.name)
        } else if let Some(limit) = passed(self.moved_at, self.limits.idle) {
            format!("nothing moved for {} and {} did not send", told(limit), self.name)
        } else {
            let expects = matches!(self.acts.front(), Some(Act::Expect(_)));
            let limit = passed(self.began, self.limits.expect.filter(|_| expects))?;
            format!("within {} {} did not send", told(limit), self.name)
        };
        Some(self.missed(begin).with_status(ExitStatus::TimeLimit))
    }

    /// Reading failed while a match was waited for.
    fn lost(&mut self) -> Error {
        match std::mem::replace(&mut self.peer, Peer::Ended) {
            Peer::Failed(Fault::Layer(error)) => self.placed(error),
            Peer::Failed(Fault::Io(error)) if !self.end.is_peer() => Error::new(Op::Read, &self.name, error),
            Peer::Failed(Fault::Io(error)) => self.missed(format!("{} before", cut(&self.name, &error))),
            Peer::There | Peer::Ended => self.missed(format!("{} failed before", self.name)),
        }
    }

    /// Writing failed: what the peer said before it went away tells why.
    fn broken(&mut self, turn: &mut Turn, fault: Fault) -> Error {
        for _ in 0..ROUNDS {
            if !self.hear(turn) {
                break;
            }
        }
        let error = match fault {
            _ if matches!(self.peer, Peer::Failed(Fault::Layer(_))) => return self.lost(),
            Fault::Layer(error) => return self.placed(error),
            Fault::Io(error) if !self.end.is_peer() => return Error::new(Op::Write, &self.name, error),
            Fault::Io(error) => error,
        };
        let headline = format!("{} before everything was sent", cut(&self.name, &error));
        Error::begun(headline, Cause::Said(format!("got {}", self.window.told())))
    }

    /// A layer's error with the peer in it, and how far the dialogue came.
    fn placed(&self, error: Error) -> Error {
        let [sent, received] = self.bytes.map(|bytes| Size(bytes).human());
        error.at_peer(&format!("dialogue stopped after {sent} sent and {received} received"), &self.name)
    }

    /// `BEGIN "PATTERN": got "…"`.
    fn missed(&self, begin: String) -> Error {
        let patterns = self.acts.iter().find_map(|act| match act {
            Act::Expect(pattern) => Some(pattern.text()),
            Act::Send { .. } => None,
        });
        let pattern = Escaped(patterns.unwrap_or_default().as_bytes()).to_string();
        Error::begun(format!("{begin} \"{pattern}\""), Cause::Said(format!("got {}", self.window.told())))
    }
}

fn cut(name: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected => {
            format!("{name} reset the connection")
        }
        _ => format!("the connection to {name} failed ({})", crate::error::sentence(error)),
    }
}

/// How long a peer is silent before a match that the next byte might lengthen is taken as it is.
const SETTLE: Duration = Duration::from_millis(200);

/// Reads in one turn before others have theirs.
const ROUNDS: usize = 64;
