//! One session of a relay, as a task: the client's handshake and the way to the target first, then the bytes.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::floor::Floor;
use super::journal::Parties;
use super::reach::{Reach, Reached};
use super::scales::Weight;
use crate::command::client::{Closing, Leaving, cut_short};
use crate::command::contact::Contact;
use crate::command::handshake::Handshake;
use crate::command::joint::far_end;
use crate::command::link::Link;
use crate::command::vestibule::{PATIENCE, refusal};
use crate::endpoint::open::Opened;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::reason;
use crate::session::limits::soonest;

/// It, from the moment its client was accepted.
pub(super) struct Passage {
    stage: Stage,
    floor: Rc<Floor>,
    leaving: Leaving,
    /// The listener that its client came to.
    pair: usize,
    number: u64,
    /// Since when its target is gone to: it is told to have lasted since then.
    began: Option<Instant>,
    /// The session's weight on its target.
    weight: Option<Weight>,
    /// Where sessions are written down, who this one is between.
    parties: Option<Box<Parties>>,
}

enum Stage {
    /// Before the first turn.
    Outside(Box<Opened>, Header),
    /// The client's layers shake hands, until then at the latest.
    Shaking(Box<Handshake>, Instant, Header),
    /// The client waits, and is not read, until its target is there.
    Reaching(Box<Approach>),
    /// Bytes move.
    Moving(Link),
    /// Nothing is left to do.
    Over,
}

/// What a target is to be sent first.
type Header = Option<Box<[u8]>>;

/// A client on its way to a target.
struct Approach {
    client: Contact,
    reach: Reach,
    /// When the client was accepted, until it is watched.
    unwatched: Option<Instant>,
}

impl Passage {
    /// A client that came to the listener of this pair, and what its target is to be sent first.
    pub(super) fn new(client: Opened, floor: Rc<Floor>, pair: usize, number: u64, header: Header) -> Self {
        let stage = Stage::Outside(Box::new(client), header);
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        Passage { stage, floor, leaving, pair, number, began: None, weight: None, parties: None }
    }

    /// The same for a client whose handshake is over.
    pub(super) fn after_handshake(
        client: Contact,
        floor: Rc<Floor>,
        pair: usize,
        number: u64,
        header: Header,
        now: Instant,
    ) -> Self {
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        let stage = Stage::Over;
        let mut passage = Passage { stage, floor, leaving, pair, number, began: None, weight: None, parties: None };
        passage.begin_to_reach(client, header, now);
        passage
    }

    /// The client is ready: now its target is gone to.
    fn begin_to_reach(&mut self, client: Contact, header: Header, now: Instant) {
        let named = |_: &_| Box::new(Parties { client: client.opened.peer.clone(), ..Parties::default() });
        self.parties = self.floor.journal.as_ref().map(named);
        self.began = Some(now);
        let mut reach = Reach::new(&self.floor, self.pair, self.number, now);
        reach.introduce_with(header);
        self.stage = Stage::Reaching(Box::new(Approach { client, reach, unwatched: Some(now) }));
    }

    /// Goes on with the client's handshake; false if it failed, which is told and is no session.
    fn shake_hands(&mut self, turn: &mut Turn) -> bool {
        if let Stage::Outside(..) = &self.stage
            && let Some(place) = self.floor.place(self.pair)
        {
            let Stage::Outside(client, header) = std::mem::replace(&mut self.stage, Stage::Over) else { return true };
            if place.layering.is_bare() {
                self.begin_to_reach((*client).into(), header, turn.now());
                return true;
            }
            let name = client.peer.clone();
            match Handshake::with_client(turn, *client, &place.layering) {
                Ok(handshake) => self.stage = Stage::Shaking(Box::new(handshake), turn.now() + PATIENCE, header),
                Err(error) => {
                    self.floor.observer().observe(&refusal(&name, &error));
                    return false;
                }
            }
        }
        let Stage::Shaking(handshake, until, header) = &mut self.stage else { return true };
        let peer = handshake.peer().to_string();
        let error = match handshake.turn(turn) {
            Ok(Some(contact)) => {
                contact.tell_accepted(self.number, &**self.floor.observer());
                let header = header.take();
                self.begin_to_reach(contact, header, turn.now());
                return true;
            }
            Ok(None) if self.leaving.asked().is_some() => cut_short(),
            Ok(None) if *until <= turn.now() => handshake.timed_out(PATIENCE),
            Ok(None) => return true,
            Err(error) => error,
        };
        handshake.abandon(turn);
        self.floor.observer().observe(&refusal(&peer, &error));
        false
    }

    /// True once a client that has to wait for its target has cut the connection: a target that is not there must not
    /// cost descriptors for clients that are not there any more.
    fn is_left(&mut self, turn: &mut Turn) -> bool {
        let Stage::Reaching(way) = &mut self.stage else { return false };
        let client = &mut way.client.opened.transport;
        if way.unwatched.is_some_and(|accepted| accepted + WATCHED <= turn.now()) {
            way.unwatched = None;
            // without it the client is only not watched
            let _ = client.start(turn);
        }
        way.unwatched.is_none() && client.is_odd(turn) && client.take_error().is_some()
    }

    /// Goes on with the way to the target; joins the two once it is there.
    fn reach(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let left = self.is_left(turn);
        let Stage::Reaching(way) = &mut self.stage else { return Ok(()) };
        let Approach { client, reach, .. } = &mut **way;
        let given_up = match self.leaving.asked() {
            Some(Closing::Until(until)) => until <= turn.now(),
            Some(Closing::Now) => true,
            None => false,
        };
        let floor = Rc::clone(&self.floor);
        let found = match given_up {
            true => Err(cut_short()),
            false if left => {
                let why = Cause::Said("its client left before a target was reached".into());
                Err(Error::begun("session cut short", why))
            }
            false => reach.turn(turn, &floor, client),
        };
        let found = match found {
            Ok(None) => return Ok(()),
            Ok(Some(reached)) => Ok(reached),
            Err(error) => Err(error),
        };
        let Stage::Reaching(way) = std::mem::replace(&mut self.stage, Stage::Over) else { return Ok(()) };
        let Approach { client, mut reach, .. } = *way;
        match found {
            Ok(reached) => self.join(turn, reached, client),
            Err(error) => {
                reach.abandon(turn);
                // an end of file would be an empty answer
                client.reset(turn);
                Err(error)
            }
        }
    }

    fn join(&mut self, turn: &mut Turn, reached: Reached, client: Contact) -> Result<(), Error> {
        let Reached { near, name, joint, weight } = reached;
        if let Some(parties) = &mut self.parties {
            parties.target = name;
        }
        self.weight = weight;
        let (far, tap) = (far_end(client, Vec::new()), self.floor.tap(self.number));
        let link = joint.join_ends(turn, near, far, self.number, tap)?;
        self.stage = Stage::Moving(link.lasting_since(self.began));
        Ok(())
    }

    /// Tells that nothing came of it.
    fn fail(&mut self, error: Error, now: Instant) -> Park {
        self.stage = Stage::Over;
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        let ended = Ended::Failed(error);
        let reason = reason(&ended);
        self.floor.observer().observe(&Event::Closed {
            session: self.number,
            bytes_in: 0,
            bytes_out: 0,
            elapsed,
            reason,
        });
        // with --once it is the last thing that haul says
        if let (Ended::Failed(error), false) = (&ended, self.floor.once) {
            let reason = error.line();
            self.floor.observer().observe(&Event::Error { session: Some(self.number), reason });
        }
        self.done(Outcome { elapsed, ..Outcome::nothing_moved(ended) })
    }

    fn done(&mut self, outcome: Outcome) -> Park {
        if let (Some(journal), Some(parties)) = (&self.floor.journal, self.parties.take()) {
            journal.write(&parties, &outcome);
        }
        Park::Done(outcome)
    }
}

impl Task for Passage {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if !self.shake_hands(turn) {
            self.stage = Stage::Over;
            return Park::Done(Outcome::nothing_moved(Ended::Clean));
        }
        if let Err(error) = self.reach(turn) {
            return self.fail(error, turn.now());
        }
        match &mut self.stage {
            Stage::Moving(link) => {
                let until = self.leaving.heed(link, turn.now());
                match (link.turn(turn), until) {
                    (Park::Done(outcome), _) => self.done(outcome),
                    (Park::Wait, Some(until)) => {
                        turn.deadline_at_most(until);
                        Park::Wait
                    }
                    (park, _) => park,
                }
            }
            Stage::Reaching(way) => {
                let until = match self.leaving.asked() {
                    Some(Closing::Until(until)) => Some(until),
                    _ => None,
                };
                let watch = way.unwatched.map(|accepted| accepted + WATCHED);
                turn.deadline(soonest([way.reach.deadline(), until, watch]));
                Park::Wait
            }
            Stage::Shaking(handshake, until, _) => {
                turn.deadline(soonest([handshake.deadline(), Some(*until)]));
                Park::Wait
            }
            Stage::Outside(..) | Stage::Over => Park::Done(Outcome::nothing_moved(Ended::Clean)),
        }
    }
}

/// From then on a client that waits for its target is watched: most never have to.
const WATCHED: Duration = Duration::from_millis(100);
