//! Clients that were accepted and whose handshakes are not over, each as a task of its own: one that is silent or talks
//! nonsense keeps nobody else waiting, and uses up no place among those that are served.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::contact::Contact;
use super::handshake::Handshake;
use super::layering::Layering;
use crate::endpoint::accept::Accepted;
use crate::endpoint::open::Opened;
use crate::error::{Cause, Error};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::session::limits::soonest;
use crate::sys;
use crate::units::Span;

/// Everybody who has come in and has not got through yet.
pub(super) struct Vestibule<T = ()> {
    /// With their addresses.
    waiting: HashMap<TaskId, Option<IpAddr>>,
    most: usize,
    desk: Rc<Desk<T>>,
    observer: Rc<dyn Observer>,
}

/// What the tasks and the vestibule share.
struct Desk<T> {
    over: RefCell<VecDeque<(TaskId, Option<Passed<T>>)>>,
    /// Nobody is waited for any more.
    closed: Cell<bool>,
}

/// A client that got through.
pub(super) struct Passed<T> {
    pub(super) contact: Contact,
    /// Its address, for access lists and counts.
    pub(super) ip: Option<IpAddr>,
    /// What its owner knows it by.
    pub(super) tag: T,
}

impl<T: 'static> Vestibule<T> {
    /// An empty one; `observer` hears of those that do not get through.
    pub(super) fn new(observer: Rc<dyn Observer>) -> Self {
        let most = (sys::descriptor_limit() / 4).clamp(1, MOST) as usize;
        let desk = Rc::new(Desk { over: RefCell::default(), closed: Cell::new(false) });
        Vestibule { waiting: HashMap::new(), most, desk, observer }
    }

    /// Lets a client begin.
    pub(super) fn admit(&mut self, turn: &mut Turn, client: Accepted, layering: &Layering, tag: T) {
        if layering.is_bare() {
            // nothing is waited for, and no task is needed for that
            let ip = client.ip;
            let passed = Passed { contact: client.into(), ip, tag };
            return self.desk.over.borrow_mut().push_back((turn.id(), Some(passed)));
        }
        let ip = client.ip;
        let newcomer = Newcomer {
            name: client.peer.clone(),
            ip,
            until: turn.now() + PATIENCE,
            tag: Some(tag),
            outside: Some((client.into(), layering.clone())),
            handshake: None,
            desk: Rc::clone(&self.desk),
            observer: Rc::clone(&self.observer),
        };
        self.waiting.insert(turn.spawn(Box::new(newcomer)), ip);
    }

    /// How many of an address have come in and not got through yet.
    pub(super) fn waiting_from(&self, ip: Option<IpAddr>) -> u64 {
        if ip.is_none() {
            return 0; // Unix peers
        }
        self.waiting.values().filter(|there| **there == ip).count() as u64
    }

    /// Why somebody may not come in although there is room: silent connections of one address would take all of it, and
    /// nobody else got through before they are given up.
    pub(super) fn refuses(&self, ip: Option<IpAddr>) -> Option<&'static str> {
        let share = (self.most - self.most / 4) as u64;
        (self.waiting_from(ip) >= share).then_some("too many handshakes from its address")
    }

    /// True while there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.most
    }

    /// True while somebody who got through has not been asked for.
    pub(super) fn has_passed(&self) -> bool {
        self.desk.over.borrow().iter().any(|(_, passed)| passed.is_some())
    }

    /// Somebody who got through.
    pub(super) fn passed(&mut self) -> Option<Passed<T>> {
        loop {
            let (task, passed) = self.desk.over.borrow_mut().pop_front()?;
            self.waiting.remove(&task);
            if passed.is_some() {
                return passed;
            }
        }
    }

    /// Waits for nobody any more: whoever has not been asked for is cut off.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        self.desk.closed.set(true);
        for (task, _) in self.waiting.drain() {
            turn.wake(task);
        }
        let over = std::mem::take(&mut *self.desk.over.borrow_mut());
        for (_, passed) in over {
            if let Some(passed) = passed {
                passed.contact.reset(turn);
            }
        }
    }
}

/// One client whose handshake is not over.
struct Newcomer<T> {
    /// Its name, as printed.
    name: String,
    ip: Option<IpAddr>,
    /// Until it is left at the desk.
    tag: Option<T>,
    /// Before the first turn.
    outside: Option<(Opened, Layering)>,
    handshake: Option<Handshake>,
    until: Instant,
    desk: Rc<Desk<T>>,
    observer: Rc<dyn Observer>,
}

impl<T> Newcomer<T> {
    /// `Some` once it got through.
    fn go_on(&mut self, turn: &mut Turn) -> Result<Option<Contact>, Error> {
        if let Some((opened, layering)) = self.outside.take() {
            self.handshake = Some(Handshake::with_client(turn, opened, &layering)?);
        }
        let Some(handshake) = &mut self.handshake else { return Ok(None) };
        if self.desk.closed.get() {
            handshake.abandon(turn);
            return Ok(None);
        }
        match handshake.turn(turn)? {
            None if self.until <= turn.now() => {
                let error = handshake.timed_out(PATIENCE);
                handshake.abandon(turn);
                Err(error)
            }
            found => Ok(found),
        }
    }

    /// Leaves it at the desk, for another task; or nothing, if it did not get through.
    fn tell(&mut self, turn: &mut Turn, contact: Option<Contact>) -> Park {
        let passed = contact.zip(self.tag.take()).map(|(mut contact, tag)| {
            contact.release(turn);
            Passed { contact, ip: self.ip, tag }
        });
        match (self.desk.closed.get(), passed) {
            (false, passed) => self.desk.over.borrow_mut().push_back((turn.id(), passed)),
            (true, Some(passed)) => passed.contact.reset(turn),
            (true, None) => {}
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

impl<T> Task for Newcomer<T> {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        match self.go_on(turn) {
            Ok(None) if !self.desk.closed.get() => {
                let layers = self.handshake.as_ref().and_then(Handshake::deadline);
                turn.deadline(soonest([Some(self.until), layers]));
                Park::Wait
            }
            Ok(contact) => self.tell(turn, contact),
            Err(error) => {
                self.observer.observe(&refusal(&self.name, &error));
                self.tell(turn, None)
            }
        }
    }
}

/// That the handshake of a client failed, and why.
pub(super) fn refusal(peer: &str, error: &Error) -> Event {
    let reason = match error.cause() {
        Cause::TimedOut(limit) => format!("its handshake was not over within {}", Span(*limit)),
        cause => cause.to_string(),
    };
    Event::Refused { peer: peer.to_string(), reason }
}

/// How long a client may take for its handshake.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes at once, however many descriptors there are.
const MOST: u64 = 1024;
