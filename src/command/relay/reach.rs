//! The way to a target: its name, its addresses, and the next target when it cannot be reached.

use std::time::{Duration, Instant};

use super::floor::{Floor, Goal, Place, Way};
use super::scales::Weight;
use crate::command::contact::Contact;
use crate::command::handshake::Handshake;
use crate::command::joint::{Joint, far_end, program_end};
use crate::endpoint::dial::Dial;
use crate::endpoint::open::Opening;
use crate::endpoint::printed;
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::ExitStatus;
use crate::reactor::Turn;
use crate::session::end::End;
use crate::session::limits::soonest;

/// One client's attempts to reach one of its targets.
pub(super) struct Reach {
    pair: usize,
    number: u64,
    /// Targets to be tried yet, the next one last.
    left: Vec<usize>,
    /// The weight on the target that is being tried.
    weight: Option<Weight>,
    target: usize,
    stage: Stage,
    /// When the target was begun with, and when it is given up.
    began: Instant,
    until: Instant,
    /// Why the targets before could not be reached.
    failures: Vec<Error>,
    /// The PROXY header about the client.
    header: Option<Box<[u8]>>,
}

/// What a client has reached.
pub(super) struct Reached<'a> {
    /// The target.
    pub(super) near: End,
    /// It, as printed.
    pub(super) name: String,
    /// How bytes move to and from it.
    pub(super) joint: &'a Joint,
    /// The session's weight on it.
    pub(super) weight: Option<Weight>,
}

enum Stage {
    /// Waiting for the first answer about a name.
    Naming,
    /// Under way.
    Opening(Box<Opening>),
    /// Connected, and not yet ready for payload.
    Shaking(Box<Handshake>),
    /// There was no descriptor left: to be tried again then.
    Starved(Instant),
    /// Nothing is under way.
    Idle,
}

impl Reach {
    /// Nothing is tried before the first turn.
    pub(super) fn new(floor: &Floor, pair: usize, number: u64, now: Instant) -> Self {
        let mut left = floor.place(pair).map_or_else(Vec::new, |place| place.scales.order(now));
        left.reverse();
        let stage = Stage::Idle;
        let (failures, header) = (Vec::new(), None);
        Reach { pair, number, left, weight: None, target: 0, stage, began: now, until: now, failures, header }
    }

    /// Every target is sent this first.
    pub(super) fn introduce_with(&mut self, header: Option<Box<[u8]>>) {
        self.header = header;
    }

    /// Does everything possible now; `Some` once a target is there.
    ///
    /// # Errors
    /// None of them can be reached.
    pub(super) fn turn<'a>(
        &mut self,
        turn: &mut Turn,
        floor: &'a Floor,
        client: &Contact,
    ) -> Result<Option<Reached<'a>>, Error> {
        let Some(place) = floor.place(self.pair) else { return Ok(None) };
        loop {
            if matches!(self.stage, Stage::Idle) {
                let Some(target) = self.left.pop() else { return Err(self.give_up()) };
                (self.target, self.began, self.until) = (target, turn.now(), turn.now() + floor.connect_timeout);
                self.weight = Some(place.scales.put(target));
                self.stage = Stage::Naming;
            }
            let found = self.advance(turn, floor, place, client);
            let failure = match found {
                Ok(Some(near)) => {
                    let Some((_, joint)) = place.goals.get(self.target) else { return Ok(None) };
                    let (near, name) = near;
                    return Ok(Some(Reached { near, name, joint, weight: self.weight.take() }));
                }
                Ok(None) if self.until > turn.now() => return Ok(None),
                Ok(None) => self.timed_out(floor, place),
                Err(error) if error.status() == ExitStatus::LocalIo && self.until > turn.now() => {
                    self.abandon(turn);
                    self.stage = Stage::Starved(turn.now() + STARVED);
                    return Ok(None);
                }
                Err(error) => error,
            };
            self.fail(turn, floor, place, failure);
        }
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = match &self.stage {
            Stage::Opening(opening) => opening.deadline(),
            Stage::Shaking(handshake) => handshake.deadline(),
            Stage::Starved(again) => Some(*again),
            Stage::Naming | Stage::Idle => None,
        };
        soonest([own, Some(self.until)])
    }

    /// Gives it up.
    pub(super) fn abandon(&mut self, turn: &mut Turn) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Opening(mut opening) => opening.abandon(turn),
            Stage::Shaking(mut handshake) => handshake.abandon(turn),
            Stage::Naming | Stage::Starved(_) | Stage::Idle => {}
        }
    }

    /// One target: its name, then its addresses and its handshake, or its program.
    fn advance(
        &mut self,
        turn: &mut Turn,
        floor: &Floor,
        place: &Place,
        client: &Contact,
    ) -> Result<Option<(End, String)>, Error> {
        if matches!(self.stage, Stage::Starved(again) if again <= turn.now()) {
            self.stage = Stage::Naming;
        }
        if matches!(self.stage, Stage::Naming) {
            let Some((goal, joint)) = place.goals.get(self.target) else { return Ok(None) };
            let mut opening = match goal {
                Goal::Run(program) => {
                    let near = program_end(program, client)?;
                    let name = near.name(true);
                    return Ok(Some((near, name)));
                }
                Goal::Open(way) => match &**way {
                    Way { address, name: None, .. } => {
                        let (reads, writes) = (joint.sends(), joint.receives());
                        Opening::new(address, reads, writes)?
                    }
                    Way { address, name: Some(name), .. } => match floor.names.addresses(turn, *name, self.began)? {
                        Some(addresses) => Opening::dialling(address, Dial::among(address, addresses)),
                        None => return Ok(None),
                    },
                },
            };
            opening.start(turn)?;
            self.stage = Stage::Opening(Box::new(opening));
        }
        if let Stage::Opening(opening) = &mut self.stage {
            let Some(target) = opening.turn(turn)? else { return Ok(None) };
            let Some((Goal::Open(way), _)) = place.goals.get(self.target) else { return Ok(None) };
            if way.layering.is_bare() && self.header.is_none() {
                self.stage = Stage::Idle; // nothing is said before the payload
                return Ok(Some(self.reached(floor, target.into())));
            }
            let header = self.header.as_ref().map(|header| header.to_vec());
            let object = printed::goal(&way.address, "localhost");
            let handshake = Handshake::with_server(turn, target, &way.layering, header, object)?;
            self.stage = Stage::Shaking(Box::new(handshake));
        }
        let Stage::Shaking(handshake) = &mut self.stage else { return Ok(None) };
        let Some(contact) = handshake.turn(turn)? else { return Ok(None) };
        let contact = match place.goals.get(self.target) {
            Some((Goal::Open(way), _)) => contact.beyond(&way.address, &**floor.observer()),
            _ => contact,
        };
        Ok(Some(self.reached(floor, contact)))
    }

    fn reached(&self, floor: &Floor, contact: Contact) -> (End, String) {
        contact.tell_connected(self.number, &**floor.observer());
        let peer = contact.opened.peer.clone();
        (far_end(contact, Vec::new()), peer)
    }

    fn timed_out(&self, floor: &Floor, place: &Place) -> Error {
        let limit = floor.connect_timeout;
        match &self.stage {
            Stage::Opening(opening) => opening.timed_out(limit),
            Stage::Shaking(handshake) => handshake.timed_out(limit),
            _ => {
                let object = place.goals.get(self.target).map_or_else(Vec::new, |(goal, _)| goal.object());
                Error::new(Op::Connect, object, Cause::TimedOut(limit))
            }
        }
    }

    /// Puts a target aside, and has its name looked up again.
    fn fail(&mut self, turn: &mut Turn, floor: &Floor, place: &Place, failure: Error) {
        self.abandon(turn);
        self.weight = None;
        self.stage = Stage::Idle;
        place.scales.failed(self.target, turn.now());
        if let Some((Goal::Open(way), _)) = place.goals.get(self.target)
            && let Some(name) = way.name
        {
            floor.names.doubt(turn, name);
        }
        if !self.left.is_empty() {
            let text = format!("session {}: {}; going on to the next target", self.number, failure.line());
            floor.observer().observe(&Event::Note { verbosity: 1, text });
        }
        self.failures.push(failure);
    }

    /// One target's failure as it is, several in one line.
    fn give_up(&mut self) -> Error {
        let mut failures = std::mem::take(&mut self.failures);
        match (failures.pop(), failures.len()) {
            (Some(only), 0) => only,
            (Some(last), before) => {
                failures.push(last);
                let lines: Vec<_> = failures.iter().map(Error::line).collect();
                Error::said(Op::Connect, format!("any of {} targets", before + 1), lines.join("; "))
            }
            (None, _) => Error::said(Op::Connect, "a target", "there is none"),
        }
    }
}

/// How long to wait for a descriptor before the next look.
const STARVED: Duration = Duration::from_millis(100);
