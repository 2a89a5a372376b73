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
use crate::session::limits::soonest;

/// It, from the moment its client was accepted.
pub(super) struct Passage {
    stage: Stage,
    floor: Rc<Floor>,
    leaving: Leaving,
    /// The listener that its client came to.
    pair: usize,
    number: u64,
    /// What its target is to be sent first.
    header: Option<Box<[u8]>>,
    /// When its client was accepted, until it is watched.
    unwatched: Option<Instant>,
    /// The session's weight on its target.
    weight: Option<Weight>,
    /// Where sessions are written down, who this one is between.
    parties: Option<Box<Parties>>,
}

enum Stage {
    /// Before the first turn.
    Outside(Box<Opened>),
    /// The client's layers shake hands, until then at the latest.
    Shaking(Box<Handshake>, Instant),
    /// The client waits, and is not read, until its target is there.
    Reaching(Box<(Contact, Reach)>),
    /// Bytes move.
    Moving(Box<Link>),
    /// Nothing is left to do.
    Over,
}

impl Passage {
    /// A client that came to the listener of this pair, and what its target is to be sent first.
    pub(super) fn new(client: Opened, floor: Rc<Floor>, pair: usize, number: u64, header: Option<Box<[u8]>>) -> Self {
        let stage = Stage::Outside(Box::new(client));
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        Passage { stage, floor, leaving, pair, number, header, unwatched: None, weight: None, parties: None }
    }

    /// The same for a client whose handshake is over.
    pub(super) fn after_handshake(
        client: Contact,
        floor: Rc<Floor>,
        pair: usize,
        number: u64,
        header: Option<Box<[u8]>>,
        now: Instant,
    ) -> Self {
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        let mut passage = Passage {
            stage: Stage::Over,
            floor,
            leaving,
            pair,
            number,
            header,
            unwatched: None,
            weight: None,
            parties: None,
        };
        passage.begin_to_reach(client, now);
        passage
    }

    /// The client is ready: now its target is gone to.
    fn begin_to_reach(&mut self, client: Contact, now: Instant) {
        let named = |_: &_| Box::new(Parties { client: client.opened.peer.clone(), ..Parties::default() });
        self.parties = self.floor.journal.as_ref().map(named);
        let mut reach = Reach::new(&self.floor, self.pair, self.number, now);
        reach.introduce_with(self.header.take());
        self.unwatched = Some(now);
        self.stage = Stage::Reaching(Box::new((client, reach)));
    }

    /// Goes on with the client's handshake; false if it failed, which is told and is no session.
    fn shake_hands(&mut self, turn: &mut Turn) -> bool {
        if let Stage::Outside(client) = &mut self.stage
            && let Some(place) = self.floor.place(self.pair)
        {
            if place.layering.is_bare() {
                let Stage::Outside(client) = std::mem::replace(&mut self.stage, Stage::Over) else { return true };
                self.begin_to_reach((*client).into(), turn.now());
                return true;
            }
            let name = client.peer.clone();
            let Stage::Outside(client) = std::mem::replace(&mut self.stage, Stage::Over) else { return true };
            match Handshake::with_client(turn, *client, &place.layering) {
                Ok(handshake) => self.stage = Stage::Shaking(Box::new(handshake), turn.now() + PATIENCE),
                Err(error) => {
                    self.floor.observer().observe(&refusal(&name, &error));
                    return false;
                }
            }
        }
        let Stage::Shaking(handshake, until) = &mut self.stage else { return true };
        let peer = handshake.peer().to_string();
        let error = match handshake.turn(turn) {
            Ok(Some(contact)) => {
                let observer = self.floor.observer();
                observer.observe(&contact.accepted(self.number, &**observer));
                self.begin_to_reach(contact, turn.now());
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
        let Stage::Reaching(both) = &mut self.stage else { return false };
        let client = &mut both.0.opened.transport;
        if self.unwatched.is_some_and(|accepted| accepted + WATCHED <= turn.now()) {
            self.unwatched = None;
            // without it the client is only not watched
            let _ = client.start(turn);
        }
        self.unwatched.is_none() && client.is_odd(turn) && client.take_error().is_some()
    }

    /// Goes on with the way to the target; joins the two once it is there.
    fn reach(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let left = self.is_left(turn);
        let Stage::Reaching(both) = &mut self.stage else { return Ok(()) };
        let (client, reach) = &mut **both;
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
        let Stage::Reaching(both) = std::mem::replace(&mut self.stage, Stage::Over) else { return Ok(()) };
        let (client, mut reach) = *both;
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
        self.stage = Stage::Moving(Box::new(link));
        Ok(())
    }

    /// Tells that nothing came of it.
    fn fail(&mut self, error: Error) -> Park {
        self.stage = Stage::Over;
        // with --once it is the last thing that haul says
        if !self.floor.once {
            let reason = error.line();
            self.floor.observer().observe(&Event::Error { session: Some(self.number), reason });
        }
        self.done(Outcome::nothing_moved(Ended::Failed(error)))
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
            return self.fail(error);
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
            Stage::Reaching(both) => {
                let until = match self.leaving.asked() {
                    Some(Closing::Until(until)) => Some(until),
                    _ => None,
                };
                let watch = self.unwatched.map(|accepted| accepted + WATCHED);
                turn.deadline(soonest([both.1.deadline(), until, watch]));
                Park::Wait
            }
            Stage::Shaking(handshake, until) => {
                turn.deadline(soonest([handshake.deadline(), Some(*until)]));
                Park::Wait
            }
            Stage::Outside(_) | Stage::Over => Park::Done(Outcome::nothing_moved(Ended::Clean)),
        }
    }
}

/// From then on a client that waits for its target is watched: most never have to.
const WATCHED: Duration = Duration::from_millis(100);
