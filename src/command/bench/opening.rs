//! Opening the streams of a client: one after the other, because the server counts them in the order in which they come.

use std::time::{Duration, Instant};

use super::caller::{Caller, Route};
use super::ledger::Lane;
use super::setup::split;
use crate::bench::protocol::{Cookie, Parameters, UDP_ANSWER, UDP_HELLO, UDP_OLD_ANSWER, stream_id};
use crate::bench::reception::Counters;
use crate::bench::traffic::trips::{Course as Round, Notes, Rhythm, Trips};
use crate::bench::traffic::{Bell, Conversation, Hatch, Line, pipe};
use crate::datagram::{DatagramSocket, Inbox, Outbox, Stop};
use crate::endpoint::Descriptors;
use crate::endpoint::udp::{Course, Pointed};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Kind};
use crate::reactor::Turn;

/// A stream that is open, and its place in the books.
pub(super) struct Opened {
    pub(super) lane: Lane,
    /// Nothing where each request has a connection.
    pub(super) line: Option<Line>,
}

/// Streams on their way.
pub(super) struct Opening {
    route: Route,
    /// Round trips beside them are to be measured, and that has not begun.
    probes: bool,
    idle: Option<Idle>,
    /// Where the server in this process takes pipes.
    hatch: Option<Hatch>,
    cookie: Cookie,
    counters: Option<Counters>,
    /// How long an answer to a datagram may take before it is sent again.
    knock_every: Duration,
    /// The server has said that all streams are there.
    is_called: bool,
    /// For each stream whether this end sends.
    wanted: Vec<bool>,
    opened: Vec<Opened>,
    /// What this end keeps of the pipe that the next one stands for.
    kept: Option<Descriptors>,
    next: Option<Next>,
}

/// Round trips before anything else is sent.
enum Idle {
    Calling(Box<Caller>),
    Measuring(Trips),
    Done(Box<(Option<Conversation>, Notes)>),
}

/// The stream that is being opened.
enum Next {
    Call(Box<Caller>),
    Knock(Box<Knock>),
}

/// A datagram that asks for a stream.
struct Knock {
    socket: DatagramSocket,
    local: String,
    peer: String,
    inbox: Inbox,
    every: Duration,
    again: Instant,
}

impl Opening {
    /// Streams on this route; `wanted` says of each whether this end sends.
    pub(super) fn new(route: Route, cookie: &Cookie, asked: &Parameters, wanted: Vec<bool>) -> Self {
        Opening {
            hatch: None,
            route,
            probes: asked.extra.is_some_and(|extra| extra.probe),
            idle: None,
            cookie: *cookie,
            counters: asked.udp.then_some(if asked.wide { Counters::Long } else { Counters::Short }),
            // iperf3 takes a second one for data
            knock_every: if asked.extra.is_some() { KNOCK_EVERY } else { KNOCK_RARELY },
            is_called: false,
            wanted,
            opened: Vec::new(),
            kept: None,
            next: None,
        }
    }

    /// The same through pipes.
    pub(super) fn through(self, hatch: Option<Hatch>) -> Self {
        Opening { hatch, ..self }
    }

    /// The server has said so: what it should have answered before that was lost.
    pub(super) fn called(&mut self) {
        self.is_called = true;
    }

    /// Does everything possible now; true once all are open.
    ///
    /// # Errors
    /// One cannot be opened.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        if !self.idle(turn)? {
            return Ok(false);
        }
        while self.opened.len() < self.wanted.len() {
            let mut next = match self.next.take() {
                Some(next) => next,
                None => self.begin(turn)?,
            };
            let index = self.opened.len();
            let (id, is_sender) = (stream_id(index), self.wanted[index]);
            let is_called = self.is_called && index + 1 == self.wanted.len();
            let opened = match &mut next {
                Next::Call(caller) => caller.turn(turn, &self.cookie)?.map(|over| {
                    let lane = Lane::new(id, is_sender, over.socket());
                    Opened { lane, line: Some(self.kept.take().map_or(Line::Stream(over), Line::Pipe)) }
                }),
                Next::Knock(knock) => (is_called || knock.turn(turn)?).then(|| {
                    let lane = Lane::named(id, is_sender, split(&knock.local), split(&knock.peer));
                    Opened { lane, line: None }
                }),
            };
            let opened = match (opened, next) {
                (None, next) => {
                    self.next = Some(next);
                    return Ok(false);
                }
                (Some(opened), Next::Call(_)) => opened,
                (Some(opened), Next::Knock(knock)) => {
                    let counters = self.counters.unwrap_or(Counters::Short);
                    Opened { line: Some(Line::Datagrams(knock.socket.unregistered(turn), counters)), ..opened }
                }
            };
            self.opened.push(opened);
        }
        Ok(true)
    }

    /// Measures round trips while nothing else is sent; true once that is done.
    fn idle(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        loop {
            self.idle = Some(match self.idle.take() {
                None if !std::mem::take(&mut self.probes) => return Ok(true),
                None => Idle::Calling(Box::new(Caller::new(turn, &self.route)?)),
                Some(Idle::Calling(mut caller)) => match caller.turn(turn, &self.cookie)? {
                    None => {
                        self.idle = Some(Idle::Calling(caller));
                        return Ok(false);
                    }
                    Some(over) => {
                        let over = Conversation::new(turn, over);
                        let course = Round {
                            size: PROBE,
                            rhythm: Rhythm::Answer,
                            warm_up: Duration::ZERO,
                            until: Instant::now() + IDLE,
                            patience: Duration::from_secs(1),
                        };
                        let failed = |error| Error::new(Op::Start, "a thread", error);
                        let bell = Bell::of(turn).map_err(failed)?;
                        Idle::Measuring(over.and_then(|over| Trips::ask(over, course, bell)).map_err(failed)?)
                    }
                },
                Some(Idle::Measuring(trips)) if trips.is_over() => Idle::Done(Box::new(trips.end())),
                Some(Idle::Measuring(trips)) => {
                    self.idle = Some(Idle::Measuring(trips));
                    return Ok(false);
                }
                Some(done @ Idle::Done(_)) => {
                    self.idle = Some(done);
                    return Ok(true);
                }
            });
        }
    }

    /// What was measured before anything else was sent, and over what.
    pub(super) fn take_idle(&mut self) -> Option<(Option<Conversation>, Notes)> {
        match self.idle.take() {
            Some(Idle::Done(both)) => Some(*both),
            _ => None,
        }
    }

    fn begin(&mut self, turn: &mut Turn) -> Result<Next, Error> {
        if self.counters.is_none() {
            if let Some(hatch) = &self.hatch {
                // before the ticket goes out, what it stands for is there
                self.kept = Some(leave_pipe(hatch, self.wanted[self.opened.len()])?);
            }
            return Ok(Next::Call(Box::new(Caller::new(turn, &self.route)?)));
        }
        let to = match &self.route.to.kind {
            Kind::Tcp(at) => Address { kind: Kind::Udp(at.clone()), ..self.route.to.clone() },
            _ => self.route.to.clone(),
        };
        let Pointed { fd, peer, local, .. } = Course::new(&to)?.open_next()?;
        let mut socket = DatagramSocket::ip(fd);
        socket.start(turn).map_err(|error| Error::new(Op::Connect, &peer, error))?;
        let (inbox, every) = (Inbox::unix(64), self.knock_every);
        Ok(Next::Knock(Box::new(Knock { socket, local, peer, inbox, every, again: turn.now() })))
    }

    /// What is open.
    pub(super) fn take(&mut self) -> Vec<Opened> {
        std::mem::take(&mut self.opened)
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.idle {
            Some(Idle::Calling(caller)) => return caller.deadline(),
            // its bell rings a moment before it is over
            Some(Idle::Measuring(_)) => return Some(Instant::now() + Duration::from_millis(5)),
            _ => {}
        }
        match self.next.as_ref()? {
            Next::Call(caller) => caller.deadline(),
            Next::Knock(knock) => Some(knock.again),
        }
    }
}

/// Makes a pipe, and leaves its other half for the server.
fn leave_pipe(hatch: &Hatch, sends: bool) -> Result<Descriptors, Error> {
    let (kept, given) = pipe(sends).map_err(|error| Error::new(Op::Open, "a pipe", error))?;
    hatch.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_back(given);
    Ok(kept)
}

impl Knock {
    /// Asks, and asks again after a while; true once there is an answer.
    fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        loop {
            match self.socket.receive(turn, &mut self.inbox) {
                Ok(_) => {
                    let mut datagrams = self.inbox.datagrams();
                    if datagrams.any(|datagram| [UDP_ANSWER, UDP_OLD_ANSWER].iter().any(|one| datagram.payload == one))
                    {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::new(Op::Connect, format!("udp {}", self.peer), error)),
            }
        }
        if self.again <= turn.now() {
            let mut outbox = Outbox::with_room_for(64, false);
            // an empty outbox has room, and so has a new socket
            let _ = outbox.push(None, &UDP_HELLO);
            if let Stop::Failed(error) | Stop::Refused(error) = outbox.flush(self.socket.fd()).stop {
                return Err(Error::new(Op::Connect, format!("udp {}", self.peer), error));
            }
            self.again = turn.now() + self.every;
        }
        Ok(false)
    }
}

/// Bytes of a request beside the streams.
pub(super) const PROBE: usize = 64;

/// How long round trips are measured before anything else is sent.
const IDLE: Duration = Duration::from_millis(50);

/// How long an answer to a datagram may take before it is sent again: of haul, and of iperf3.
const KNOCK_EVERY: Duration = Duration::from_millis(250);
const KNOCK_RARELY: Duration = Duration::from_secs(2);
