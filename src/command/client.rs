//! One connection of a server with a program of its own, as a task.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::contact::Contact;
use super::joint::Joint;
use super::link::Link;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};

/// It, from the first turn on.
pub(super) struct Client {
    /// Until the first turn.
    contact: Option<Contact>,
    link: Option<Link>,
    joint: Rc<Joint>,
    leaving: Leaving,
    number: u64,
}

/// One connection's part in the end of its server.
pub(super) struct Leaving {
    /// Tells when the server winds up.
    closing: Rc<Cell<Option<Closing>>>,
    /// The session was told to end.
    stopped: bool,
    /// Its program was told to end, too.
    hurried: bool,
}

/// How a server that was asked to end treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// Idle ones end at once, busy ones may go on until then.
    Until(Instant),
    /// It was asked again: nothing is waited for.
    Now,
}

/// How a session ends that the server ended.
pub(super) fn stopped() -> Ended {
    Ended::Failed(cut_short())
}

/// The same as an error.
pub(super) fn cut_short() -> Error {
    Error::begun("session cut short", Cause::Said("haul was asked to end".into()))
}

impl Client {
    /// A connection to be joined in its first turn; `closing` tells when the server winds up.
    pub(super) fn new(contact: Contact, joint: Rc<Joint>, closing: Rc<Cell<Option<Closing>>>, number: u64) -> Self {
        Client { contact: Some(contact), link: None, joint, leaving: Leaving::new(closing), number }
    }
}

impl Leaving {
    /// `closing` tells when the server winds up.
    pub(super) fn new(closing: Rc<Cell<Option<Closing>>>) -> Self {
        Leaving { closing, stopped: false, hurried: false }
    }

    /// How the server ends, once it does.
    pub(super) fn asked(&self) -> Option<Closing> {
        self.closing.get()
    }

    /// The server winds up; gives when to look again, while the grace is not over.
    pub(super) fn heed(&mut self, link: &mut Link, now: Instant) -> Option<Instant> {
        let until = match self.closing.get()? {
            Closing::Until(until) => until,
            Closing::Now => {
                link.kill(stopped(), now);
                return None;
            }
        };
        if until <= now && !self.hurried {
            self.hurried = true;
            link.hurry(stopped(), now);
        } else if !self.stopped && link.is_idle(now) {
            self.stopped = true;
            link.stop(stopped(), now);
        }
        (until > now).then_some(until.min(now + LOOK_AGAIN))
    }
}

impl Task for Client {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let Some(contact) = self.contact.take() else { return Ok(()) };
        match self.joint.join(turn, contact, None, self.number) {
            Ok(link) => {
                self.link = Some(link);
                Ok(())
            }
            Err(error) => {
                let reason = error.line();
                self.joint.observer.observe(&Event::Error { session: Some(self.number), reason });
                Err(error)
            }
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let Some(link) = &mut self.link else {
            return Park::Done(Outcome::nothing_moved(Ended::Clean));
        };
        let until = self.leaving.heed(link, turn.now());
        let park = link.turn(turn);
        if let (Some(until), Park::Wait) = (until, &park) {
            turn.deadline_at_most(until);
        }
        park
    }
}

/// How often a session that was busy when its server winds up is asked whether it is idle now.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
