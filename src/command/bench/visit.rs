//! One test, as the server leads it, from its parameters to its last word. Every step has its limit, so that a client
//! which is gone without a word costs a while and nothing else.

mod answer;
mod arriving;
mod doorway;
mod serving;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use super::ledger::{Lane, Ledger};
use super::server::{Desk, Newcomer};
use crate::bench::pacer::Pacer;
use crate::bench::protocol::{Breach, Cookie, Parameters, Server as Talk, ServerStep};
use crate::bench::result::{Protocol, json, text};
use crate::bench::traffic::trips::Trips;
use crate::bench::traffic::{Band, Crew, Line, Phase, Stage};
use crate::endpoint::udp::Door;
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::plan::bench::Print;
use crate::reactor::{Park, Task, Turn};

/// What a server allows, and how it tells.
pub(super) struct Terms {
    pub(super) print: Print,
    pub(super) interval: Option<Duration>,
    pub(super) most_time: Option<Duration>,
    /// Bytes a second.
    pub(super) most_rate: Option<u64>,
    /// The number of the test.
    pub(super) number: u64,
    /// What carries the streams.
    pub(super) over: Protocol,
}

/// One test.
pub(super) struct Visit {
    terms: Terms,
    cookie: Cookie,
    peer: String,
    control: Option<Control>,
    talk: Talk,
    desk: Rc<RefCell<Desk>>,
    crew: Crew,
    observer: Rc<dyn Observer>,
    stage: Arc<Stage>,
    step: Step,
    asked: Parameters,
    /// With what bytes move over; nothing where requests are answered.
    opened: Vec<(Lane, Option<Line>)>,
    /// Requests that came with a connection of their own.
    answered: u64,
    /// What holds the answers to them to the server's rate.
    welcoming: Option<Pacer>,
    /// When the next of them may be answered.
    held: Option<Instant>,
    /// Those who answer requests.
    trips: Vec<Trips>,
    /// The connection for round trips beside the streams is there.
    is_probed: bool,
    /// Where UDP streams knock.
    door: Option<Door>,
    band: Option<Band>,
    ledger: Option<Ledger>,
    /// When the present step must be done.
    limit: Instant,
    started: Instant,
    bytes: [u64; 2],
}

/// How far it is.
enum Step {
    Agreeing,
    /// Others are asking for UDP streams: knocks do not say whose they are.
    Queueing,
    Opening,
    Running(serving::Course),
    /// The client has sent everything, and some of it may not be here yet.
    Draining {
        seen: u64,
        since: Instant,
    },
    Exchanging,
    /// The last words are on their way; why it ends before its time, if it does.
    Leaving(Option<String>),
}

impl Visit {
    pub(super) fn new(
        newcomer: Newcomer,
        terms: Terms,
        crew: Crew,
        desk: Rc<RefCell<Desk>>,
        observer: Rc<dyn Observer>,
        now: Instant,
    ) -> Self {
        let Newcomer { cookie, over, peer, .. } = newcomer;
        Visit {
            terms,
            cookie,
            peer,
            control: Some(Control::new(over)),
            talk: Talk::new(&cookie),
            desk,
            crew,
            observer,
            stage: Arc::default(),
            step: Step::Agreeing,
            asked: Parameters::default(),
            opened: Vec::new(),
            answered: 0,
            welcoming: None,
            held: None,
            trips: Vec::new(),
            is_probed: false,
            door: None,
            band: None,
            ledger: None,
            limit: now + PATIENCE,
            started: now,
            bytes: [0, 0],
        }
    }

    /// Everything that can be done now.
    ///
    /// # Errors
    /// Why the test ends before its time.
    fn advance(&mut self, turn: &mut Turn) -> Result<(), String> {
        if self.desk.borrow().is_closing && !matches!(self.step, Step::Leaving(_)) {
            self.talk.leave();
            return Err("the server was told to end".into());
        }
        self.hear(turn)?;
        match &self.step {
            Step::Queueing => self.open_door(turn)?,
            Step::Opening if self.asked.udp => doorway::turn(self, turn)?,
            Step::Opening => self.take_streams(turn)?,
            Step::Running(_) => {
                self.welcome(turn);
                serving::turn(self, turn)?;
            }
            Step::Draining { .. } => self.drain(turn),
            _ => {}
        }
        let Some(control) = &mut self.control else { return Ok(()) };
        control.write(turn, self.talk.outgoing()).map_err(|error| error.to_string())?;
        if control.is_ended() && !self.talk.is_over() {
            return Err("the client has left".into());
        }
        if self.limit <= turn.now() && !matches!(self.step, Step::Leaving(_)) {
            self.talk.leave();
            return Err("the client was silent for too long".into());
        }
        Ok(())
    }

    fn hear(&mut self, turn: &mut Turn) -> Result<(), String> {
        let Self { control: Some(control), talk, .. } = self else { return Ok(()) };
        control.read(turn, |bytes| talk.receive(bytes)).map_err(|error| crate::error::sentence(&error))?;
        while let Some(step) = self.talk.step().map_err(|breach: Breach| breach.sentence())? {
            self.limit = turn.now() + PATIENCE;
            match step {
                ServerStep::Judge(asked) => self.judge(*asked)?,
                ServerStep::Stop => self.stop(turn),
                ServerStep::Tell(theirs) => self.tell(&theirs),
                ServerStep::Done => self.step = Step::Leaving(None),
                ServerStep::Left => return Err("the client has ended the test".into()),
            }
        }
        Ok(())
    }

    /// The client says that it is over.
    fn stop(&mut self, turn: &mut Turn) {
        let counted = self.asked.bytes > 0 || self.asked.blocks > 0 || (self.asked.udp && self.cookie.is_haul());
        let receives = (0..self.asked.streams()).any(|index| self.asked.client_sends(index));
        if counted && receives {
            self.stage.advance(Phase::Draining);
            self.nudge(turn);
            self.step = Step::Draining { seen: u64::MAX, since: turn.now() };
            self.drain(turn);
        } else {
            self.exchange(turn, turn.now());
        }
    }

    /// Waits until everything that was sent is here, as far as that can be known.
    fn drain(&mut self, turn: &mut Turn) {
        let (Step::Draining { seen, since }, Some(ledger)) = (&mut self.step, &self.ledger) else { return };
        let mut receivers = ledger.lanes.iter().filter(|lane| !lane.connection.is_sender);
        let bytes = ledger.received();
        if *seen != bytes {
            (*seen, *since) = (bytes, turn.now());
            self.limit = turn.now() + PATIENCE;
        }
        let ended = receivers.all(|lane| lane.tally.is_ended());
        let due = match (self.asked.bytes, self.asked.blocks) {
            (0, blocks) => blocks.saturating_mul(self.asked.length as u64),
            (bytes, _) => bytes,
        };
        let limit = match (bytes < due, self.asked.udp) {
            (false, _) => QUIET,
            (true, true) => LOST,
            (true, false) => STUCK,
        };
        if ended || turn.now().saturating_duration_since(*since) >= limit {
            // the time in which nothing came is none of the test's
            let end = *since;
            self.exchange(turn, end);
        }
    }

    fn exchange(&mut self, turn: &mut Turn, end: Instant) {
        if let Some(ledger) = &mut self.ledger {
            ledger.end(end);
        }
        self.stage.advance(Phase::Gone);
        self.nudge(turn);
        self.trips.clear();
        self.talk.exchange();
        self.step = Step::Exchanging;
    }

    fn nudge(&self, turn: &mut Turn) {
        if let Some(band) = &self.band {
            band.nudge(turn);
        }
    }

    /// Both have counted.
    fn tell(&mut self, theirs: &crate::bench::protocol::Results) {
        let Some(ledger) = &mut self.ledger else { return };
        let mut told = ledger.told();
        self.bytes = ledger.bytes();
        let results = ledger.close(Some(theirs), None);
        let summary = text::summary(&results);
        if self.asked.server_output {
            told.server_output = Some(format!("{}\n{summary}\n", super::setup::opening(&results.setup, false)));
        }
        self.talk.tell(&told);
        match (self.terms.print.json, self.terms.print.json_stream) {
            (true, _) => self.print(&json::whole(&results, &[])),
            (_, true) => self.print(&format!("{}\n", json::end(&results, &[]))),
            _ if self.terms.interval.is_some() => self.print(&format!("{summary}\n")),
            _ => self.print(&format!("{}\n{summary}\n", super::setup::opening(&results.setup, false))),
        }
    }

    fn print(&self, text: &str) {
        self.desk.borrow_mut().text.extend_from_slice(text.as_bytes());
    }

    /// It ends, and this is why.
    fn leave(&mut self, turn: &mut Turn, why: String) {
        self.stage.advance(Phase::Gone);
        self.nudge(turn);
        self.close_door(turn);
        self.trips.clear();
        self.opened.clear();
        // what the books hold of the streams would keep them open
        self.ledger = None;
        self.limit = turn.now() + LAST_WORDS;
        self.step = Step::Leaving(Some(why));
    }

    fn deadline(&self, now: Instant) -> Instant {
        let soon = match &self.step {
            Step::Running(course) => course.deadline(),
            Step::Draining { .. } => Some(now + LOOK_AGAIN),
            Step::Opening if self.asked.udp => Some(now + KNOCK_AGAIN),
            _ => None,
        };
        let control = self.control.as_ref().and_then(Control::deadline);
        // whoever waits for the rate waits for nothing any more once the test is over
        let held = self.held.filter(|_| matches!(self.step, Step::Running(_)));
        [soon, control, held].into_iter().flatten().fold(self.limit, Instant::min)
    }
}

impl Task for Visit {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if let Some(control) = &mut self.control
            && control.start(turn).is_err()
        {
            self.control = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        while turn.finished().is_some() {}
        if let Err(why) = self.advance(turn) {
            self.leave(turn, why);
        }
        if let Step::Leaving(why) = &self.step {
            let sent = match &mut self.control {
                Some(control) => !matches!(control.write(turn, self.talk.outgoing()), Ok(false)),
                None => true,
            };
            if sent || self.limit <= turn.now() {
                let elapsed = turn.now().saturating_duration_since(self.started);
                let [bytes_out, bytes_in] = self.bytes;
                let told = why.as_deref().unwrap_or("clean");
                let (session, reason) = (self.terms.number, format!("{}: {told}", self.peer));
                let failed = why.as_ref().map(|why| Error::said(Op::Transfer, &self.peer, why.as_str()));
                self.observer.observe(&Event::Closed { session, bytes_in, bytes_out, elapsed, reason });
                self.desk.borrow_mut().forget(&self.cookie);
                if let Some(control) = self.control.take() {
                    control.close(turn);
                }
                let ended = failed.map_or(Ended::Clean, Ended::Failed);
                return Park::Done(Outcome { ended, bytes: self.bytes, elapsed });
            }
        }
        turn.deadline(Some(self.deadline(turn.now())));
        Park::Wait
    }
}

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(30 * 86_400);

/// How long each step of setting up and of telling may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last words may wait for room.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often is looked whether somebody who was let in has to be answered again.
const KNOCK_AGAIN: Duration = Duration::from_millis(100);

/// How often is looked whether something more has come.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Everything that is due has come, and nothing for so long: nothing more comes.
const QUIET: Duration = Duration::from_millis(100);

/// Datagrams that are due have not come for so long: they are lost.
const LOST: Duration = Duration::from_secs(1);

/// Bytes of a stream that are due have not come for so long: they do not come.
const STUCK: Duration = Duration::from_secs(5);
