//! A connection that has not said yet which test it belongs to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::{Desk, GREETING, GREETING_LIMIT, Newcomer};
use crate::bench::protocol::{COOKIE, Cookie, MOST_STREAMS};
use crate::bench::traffic::medium::moved;
use crate::buffer::Buffer;
use crate::command::bench::caller;
use crate::command::contact::Contact;
use crate::command::handshake::Handshake;
use crate::command::layering::Layering;
use crate::command::vestibule::refusal as refusal_of;
use crate::endpoint::accept::Accepted;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::session::end::End;
use crate::session::limits::soonest;

/// Shakes hands, and reads a cookie.
pub(super) struct Greeting {
    peer: String,
    stage: Stage,
    cookie: Buffer,
    desk: Rc<RefCell<Desk>>,
    observer: Rc<dyn Observer>,
    server: TaskId,
    limit: Instant,
}

enum Stage {
    Outside(Accepted, Layering),
    Shaking(Box<Handshake>),
    /// Its layers are ready; with what is told of it if it begins a test.
    Reading(Box<End>, Box<Event>),
    /// Somebody else has it, or nobody.
    Over,
}

/// Why it is turned away.
enum Refusal {
    /// It does not know its manners.
    Said(&'static str),
    /// Its handshake has failed.
    Handshake(Error),
}

impl Greeting {
    pub(super) fn new(
        (accepted, layering): (Accepted, Layering),
        desk: Rc<RefCell<Desk>>,
        observer: Rc<dyn Observer>,
        server: TaskId,
        now: Instant,
    ) -> Self {
        let peer = accepted.peer.clone();
        let stage = Stage::Outside(accepted, layering);
        let limit = now + GREETING_LIMIT;
        Greeting { peer, stage, cookie: Buffer::new(COOKIE), desk, observer, server, limit }
    }

    /// The cookie, once the whole of it is there.
    fn advance(&mut self, turn: &mut Turn) -> Result<Option<Cookie>, Refusal> {
        if let Stage::Outside(..) = self.stage
            && let Stage::Outside(accepted, layering) = std::mem::replace(&mut self.stage, Stage::Over)
        {
            let handshake = Handshake::with_client(turn, accepted.into(), &layering).map_err(Refusal::Handshake)?;
            self.stage = Stage::Shaking(Box::new(handshake));
        }
        if let Stage::Shaking(handshake) = &mut self.stage {
            let Some(contact) = handshake.turn(turn).map_err(Refusal::Handshake)? else { return Ok(None) };
            self.begin_reading(turn, contact)?;
        }
        self.read(turn).map_err(Refusal::Said)
    }

    fn begin_reading(&mut self, turn: &mut Turn, contact: Contact) -> Result<(), Refusal> {
        // the session has its number only if it begins a test
        contact.tell_trouble(&*self.observer);
        let told = Box::new(contact.accepted(0, &*self.observer));
        let mut end = Box::new(caller::end(contact));
        end.start(turn).map_err(|_| Refusal::Said("nothing is left to watch it with"))?;
        self.stage = Stage::Reading(end, told);
        Ok(())
    }

    fn read(&mut self, turn: &mut Turn) -> Result<Option<Cookie>, &'static str> {
        let Stage::Reading(end, _) = &mut self.stage else { return Ok(None) };
        while self.cookie.len() < COOKIE {
            let most = COOKIE - self.cookie.len();
            match moved(end.read(turn, &mut self.cookie, most)) {
                Ok(0) => return Err("it has left without a word"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    end.flush(turn);
                    return Ok(None);
                }
                Err(_) => return Err("it has left without a word"),
            }
        }
        Ok(<[u8; COOKIE]>::try_from(self.cookie.filled()).ok().map(Cookie))
    }

    fn done(&mut self, turn: &mut Turn) -> Park {
        let mut desk = self.desk.borrow_mut();
        desk.greeting = desk.greeting.saturating_sub(1);
        turn.wake(self.server);
        Park::Done(Outcome { bytes: GREETING, ..Outcome::nothing_moved(Ended::Clean) })
    }

    fn refuse(&mut self, turn: &mut Turn, refusal: Refusal) -> Park {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Shaking(mut handshake) => handshake.abandon(turn),
            Stage::Reading(end, _) => drop(end.close(turn, false)),
            Stage::Outside(..) | Stage::Over => {}
        }
        let event = match refusal {
            Refusal::Said(why) => Event::Note { verbosity: 1, text: format!("refused {}: {why}", self.peer) },
            Refusal::Handshake(error) => refusal_of(&self.peer, &error),
        };
        self.observer.observe(&event);
        self.done(turn)
    }

    /// Why it is given up.
    fn late(&self) -> Refusal {
        match &self.stage {
            Stage::Shaking(handshake) => Refusal::Handshake(handshake.timed_out(GREETING_LIMIT)),
            _ => Refusal::Said("it has said nothing"),
        }
    }

    /// Hands the connection to whom it belongs.
    fn hand_over(&mut self, turn: &mut Turn, cookie: Cookie) {
        let Stage::Reading(end, told) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let Ok(over) = caller::over_socket(turn, *end, &self.peer) else { return };
        let mut desk = self.desk.borrow_mut();
        if let Some(test) = desk.tests.get_mut(&cookie) {
            if test.streams.len() >= 2 * usize::from(MOST_STREAMS) {
                return; // more than any test has
            }
            test.streams.push_back(over);
            turn.wake(test.task);
            return;
        }
        desk.newcomers.push_back(Newcomer { cookie, over, peer: self.peer.clone(), told });
    }
}

impl Task for Greeting {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        turn.deadline(Some(self.limit));
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.advance(turn) {
            Ok(Some(cookie)) => {
                if !cookie.is_sound() {
                    return self.refuse(turn, Refusal::Said("it does not speak iperf3's protocol"));
                }
                self.hand_over(turn, cookie);
                self.done(turn)
            }
            Ok(None) if self.limit <= turn.now() => {
                let why = self.late();
                self.refuse(turn, why)
            }
            Ok(None) => {
                let layers = match &self.stage {
                    Stage::Shaking(handshake) => handshake.deadline(),
                    _ => None,
                };
                turn.deadline(soonest([Some(self.limit), layers]));
                Park::Wait
            }
            Err(why) => self.refuse(turn, why),
        }
    }
}
