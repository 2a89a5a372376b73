//! One session of a relay, as a task: the way to the target first, then the bytes.

use std::rc::Rc;
use std::time::Instant;

use super::floor::{Floor, Goal};
use super::journal::Parties;
use crate::command::approach::Approach;
use crate::command::client::{Closing, Leaving, cut_short};
use crate::command::link::{Link, far_end, program_end};
use crate::command::patience::Patience;
use crate::endpoint::open::Opened;
use crate::error::Error;
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};
use crate::session::end::{End, Side};
use crate::session::limits::soonest;

/// It, from the moment its client was accepted.
pub(super) struct Passage {
    stage: Stage,
    floor: Rc<Floor>,
    leaving: Leaving,
    pair: usize,
    number: u64,
    /// Where sessions are written down, who this one is between.
    parties: Option<Box<Parties>>,
}

enum Stage {
    /// Nothing is done yet.
    New(Box<Opened>),
    /// The client waits, and is not read, until its target is there.
    Reaching(Box<(Opened, Approach)>),
    /// Bytes move.
    Moving(Box<Link>),
    /// Nothing is left to do.
    Over,
}

impl Passage {
    /// A client that came to the listener of this pair.
    pub(super) fn new(client: Opened, floor: Rc<Floor>, pair: usize, number: u64) -> Self {
        let leaving = Leaving::new(Rc::clone(&floor.closing));
        let named = |_: &_| Box::new(Parties { client: client.peer.clone(), ..Parties::default() });
        let parties = floor.journal.as_ref().map(named);
        Passage { stage: Stage::New(Box::new(client)), floor, leaving, pair, number, parties }
    }

    /// Begins to open the target, or starts the program.
    fn begin(&mut self, turn: &mut Turn, client: Opened) -> Result<(), Error> {
        let floor = Rc::clone(&self.floor);
        let Some(place) = floor.place(self.pair) else { return Ok(()) };
        match &place.goal {
            Goal::Run(program) => match program_end(program, &client) {
                Ok(near) => {
                    if let (Some(parties), Side::Program(name)) = (&mut self.parties, near.side()) {
                        parties.target.clone_from(name);
                    }
                    self.join(turn, near, client)
                }
                Err(error) => Err(turn_away(turn, client, error)),
            },
            Goal::Open(address) => {
                let patience = Patience::new(None, Some(floor.connect_timeout));
                let approach = Approach::new(address, place.ways(), patience, Rc::clone(floor.observer()));
                let begun = approach.and_then(|mut approach| approach.start(turn).map(|()| approach));
                match begun {
                    Ok(approach) => self.stage = Stage::Reaching(Box::new((client, approach))),
                    Err(error) => return Err(turn_away(turn, client, error)),
                }
                Ok(())
            }
        }
    }

    /// Goes on with opening the target; joins the two once it is open.
    fn reach(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let Stage::Reaching(both) = &mut self.stage else { return Ok(()) };
        let given_up = match self.leaving.asked() {
            Some(Closing::Until(until)) => until <= turn.now(),
            Some(Closing::Now) => true,
            None => false,
        };
        let found = if given_up { Err(None) } else { both.1.turn(turn).map_err(Some) };
        let target = match found {
            Ok(None) => return Ok(()),
            Ok(Some(target)) => Ok(target),
            Err(why) => Err(why),
        };
        let Stage::Reaching(both) = std::mem::replace(&mut self.stage, Stage::Over) else { return Ok(()) };
        let (client, mut approach) = *both;
        match target {
            Ok(target) => {
                let (protocol, peer, local) = (target.protocol, target.peer.clone(), target.local.clone());
                let connected = Event::Connected { session: self.number, protocol, peer, local };
                self.floor.observer().observe(&connected);
                if let Some(parties) = &mut self.parties {
                    parties.target.clone_from(&target.peer);
                }
                self.join(turn, far_end(target, false), client)
            }
            Err(why) => {
                approach.abandon(turn);
                let error = why.unwrap_or_else(cut_short);
                Err(turn_away(turn, client, error))
            }
        }
    }

    fn join(&mut self, turn: &mut Turn, near: End, client: Opened) -> Result<(), Error> {
        let Some(place) = self.floor.place(self.pair) else { return Ok(()) };
        let (far, tap) = (far_end(client, false), self.floor.tap(self.number));
        let link = place.joint.join_ends(turn, near, far, self.number, tap)?;
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

    /// When to look again before there is a session.
    fn deadline(&self) -> Option<Instant> {
        let Stage::Reaching(both) = &self.stage else { return None };
        let until = match self.leaving.asked() {
            Some(Closing::Until(until)) => Some(until),
            _ => None,
        };
        soonest([both.1.deadline(), until])
    }
}

impl Task for Passage {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if let Stage::New(_) = &self.stage
            && let Stage::New(client) = std::mem::replace(&mut self.stage, Stage::Over)
            && let Err(error) = self.begin(turn, *client)
        {
            return self.fail(error);
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
            Stage::Reaching(_) => {
                turn.deadline(self.deadline());
                Park::Wait
            }
            Stage::New(_) | Stage::Over => Park::Done(Outcome::nothing_moved(Ended::Clean)),
        }
    }
}

/// Resets a client that gets nothing: an end of file would be an empty answer.
fn turn_away(turn: &mut Turn, client: Opened, error: Error) -> Error {
    // a socket has nothing to tell at its close
    let _ = client.transport.close(turn, true);
    error
}
