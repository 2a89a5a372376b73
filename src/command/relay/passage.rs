//! One session of a relay, as a task: the way to the target first, then the bytes.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::floor::Floor;
use super::journal::Parties;
use super::reach::{Reach, Reached};
use super::scales::Weight;
use crate::command::client::{Closing, Leaving, cut_short};
use crate::command::joint::far_end;
use crate::command::link::Link;
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
    number: u64,
    /// When its client was accepted, until it is watched.
    unwatched: Option<Instant>,
    /// The session's weight on its target.
    weight: Option<Weight>,
    /// Where sessions are written down, who this one is between.
    parties: Option<Box<Parties>>,
}

enum Stage {
    /// The client waits, and is not read, until its target is there.
    Reaching(Box<(Opened, Reach)>),
    /// Bytes move.
    Moving(Box<Link>),
    /// Nothing is left to do.
    Over,
}

impl Passage {
    /// A client that came to the listener of this pair.
    pub(super) fn new(client: Opened, floor: Rc<Floor>, pair: usize, number: u64, now: Instant) -> Self {
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        let named = |_: &_| Box::new(Parties { client: client.peer.clone(), ..Parties::default() });
        let parties = floor.journal.as_ref().map(named);
        let reach = Reach::new(&floor, pair, number, now);
        let stage = Stage::Reaching(Box::new((client, reach)));
        Passage { stage, floor, leaving, number, unwatched: Some(now), weight: None, parties }
    }

    /// The same, with what its target is to be sent first.
    pub(super) fn with_header(mut self, header: Option<Box<[u8]>>) -> Self {
        if let Stage::Reaching(both) = &mut self.stage {
            both.1.introduce_with(header);
        }
        self
    }

    /// True once a client that has to wait for its target has cut the connection: a target that is not there must not
    /// cost descriptors for clients that are not there any more.
    fn is_left(&mut self, turn: &mut Turn) -> bool {
        let Stage::Reaching(both) = &mut self.stage else { return false };
        let client = &mut both.0.transport;
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
                // an end of file would be an empty answer, and a socket has nothing to tell at its close
                let _ = client.transport.close(turn, true);
                Err(error)
            }
        }
    }

    fn join(&mut self, turn: &mut Turn, reached: Reached, client: Opened) -> Result<(), Error> {
        let Reached { near, name, joint, weight } = reached;
        if let Some(parties) = &mut self.parties {
            parties.target = name;
        }
        self.weight = weight;
        let (far, tap) = (far_end(client, None), self.floor.tap(self.number));
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
            Stage::Over => Park::Done(Outcome::nothing_moved(Ended::Clean)),
        }
    }
}

/// From then on a client that waits for its target is watched: most never have to.
const WATCHED: Duration = Duration::from_millis(100);
