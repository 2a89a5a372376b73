//! Opening the one endpoint of a run: within its time, and again where `--wait` says so.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::contact::Contact;
use super::handshake::{Handshake, Limit, sooner};
use super::layering::Layering;
use super::patience::Patience;
use super::proxy::own_header;
use crate::endpoint::open::{Opened, Opening};
use crate::endpoint::printed;
use crate::error::{Cause, Error, Op};
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::plan::ProxyVersion;
use crate::plan::address::Address;
use crate::reactor::Turn;
use crate::session::limits::soonest;

/// An [`Opening`] with a time limit, followed by others while there is patience.
pub(super) struct Approach {
    address: Rc<Address>,
    /// Whether bytes will come from it, and whether they will go to it.
    ways: (bool, bool),
    /// What stands on each connection.
    layering: Layering,
    /// What each connection begins with.
    header: Option<ProxyVersion>,
    patience: Patience,
    /// Longest time for a try and everything that follows if it is the last.
    whole: Option<Duration>,
    /// When the try under way began.
    began: Option<Instant>,
    observer: Rc<dyn Observer>,
    stage: Stage,
}

enum Stage {
    /// A try is under way, until then at the latest.
    Trying(Box<Opening>, Limit),
    /// It is connected, and the same time is for its handshake.
    Shaking(Box<Handshake>),
    /// The next one begins then.
    Pausing(Instant),
}

impl Approach {
    /// Prepares to open `address`; nothing is touched yet.
    ///
    /// # Errors
    /// A kind that nobody opens here, a file that its layers need.
    pub(super) fn new(
        address: &Address,
        ways: (bool, bool),
        patience: Patience,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, Error> {
        Approach::over(address, Layering::client(address)?, ways, patience, observer)
    }

    /// The same with layers that were made before.
    ///
    /// # Errors
    /// A kind that nobody opens here.
    pub(super) fn over(
        address: &Address,
        layering: Layering,
        ways: (bool, bool),
        patience: Patience,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, Error> {
        let address = Rc::new(address.clone());
        let opening = Opening::new(&address, ways.0, ways.1)?;
        let stage = Stage::Trying(Box::new(opening), None);
        Ok(Approach { address, ways, layering, header: None, patience, whole: None, began: None, observer, stage })
    }

    /// The same, where a try has no longer than what it is for may take in all (`--max-time`).
    pub(super) fn with_whole(self, whole: Option<Duration>) -> Self {
        Approach { whole, ..self }
    }

    /// The same, where each connection begins with a PROXY header about its own two ends.
    pub(super) fn with_header(self, header: Option<ProxyVersion>) -> Self {
        Approach { header, ..self }
    }

    /// Begins the first try.
    ///
    /// # Errors
    /// What can be told at once and does not mend with time.
    pub(super) fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.patience.begin(turn.now());
        self.begin(turn)
    }

    /// Does everything possible now; `Some` once it is open. Harmless when called for nothing.
    ///
    /// # Errors
    /// Why it cannot be opened, or was not within its time.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Result<Option<Contact>, Error> {
        if matches!(self.stage, Stage::Pausing(at) if at <= turn.now()) {
            self.begin(turn)?;
        }
        let (now, whole) = (turn.now(), self.whole());
        let passed = |limit: &Limit| limit.filter(|(at, _)| *at <= now).map(|(_, limit)| limit);
        if let Stage::Trying(opening, limit) = &mut self.stage {
            let (over, limit) = (passed(&sooner(*limit, whole)), *limit);
            match (opening.turn(turn), over) {
                (Ok(None), Some(over)) => {
                    let (failure, asleep) = (opening.timed_out(over), opening.is_asleep());
                    return if asleep { self.sleep_on(turn, failure) } else { self.failed(turn, failure) }
                        .map(|()| None);
                }
                (Ok(None), None) => {}
                (Ok(Some(opened)), _) => self.shake_hands(turn, opened, limit)?,
                (Err(error), _) => self.failed(turn, error)?,
            }
        }
        let Stage::Shaking(handshake) = &mut self.stage else { return Ok(None) };
        match handshake.turn(turn) {
            Ok(found) => Ok(found.map(|contact| contact.begun(self.began).beyond(&self.address, &*self.observer))),
            Err(error) => self.failed(turn, error).map(|()| None),
        }
    }

    /// Goes on with what was opened.
    fn shake_hands(&mut self, turn: &mut Turn, opened: Opened, limit: Limit) -> Result<(), Error> {
        let header = own_header(&opened, self.header, self.layering.is_led());
        let object = printed::goal(&self.address, "localhost");
        match Handshake::with_server(turn, opened, &self.layering, header, object) {
            Ok(handshake) => {
                let handshake = handshake.within(limit, turn.now()).and_within(self.whole());
                self.stage = Stage::Shaking(Box::new(handshake));
                Ok(())
            }
            Err(error) => self.failed(turn, error),
        }
    }

    /// When the next turn is due at the latest, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Trying(opening, limit) => {
                soonest([opening.deadline(), sooner(*limit, self.whole()).map(|(at, _)| at)])
            }
            Stage::Shaking(handshake) => handshake.deadline(),
            Stage::Pausing(at) => Some(*at),
        }
    }

    /// That it is not open, and why it is not waited for any longer.
    pub(super) fn unopened(&self, cause: impl Into<Cause>) -> Error {
        match &self.stage {
            Stage::Trying(opening, _) => opening.timed_out(Duration::ZERO).with_cause(cause),
            Stage::Shaking(handshake) => handshake.timed_out(Duration::ZERO).with_cause(cause),
            Stage::Pausing(_) => Error::new(Op::Connect, printed::goal(&self.address, "localhost"), cause),
        }
    }

    /// Gives it up.
    pub(super) fn abandon(&mut self, turn: &mut Turn) {
        match &mut self.stage {
            Stage::Trying(opening, _) => opening.abandon(turn),
            Stage::Shaking(handshake) => handshake.abandon(turn),
            Stage::Pausing(_) => {}
        }
    }

    fn begin(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let mut opening = Opening::new(&self.address, self.ways.0, self.ways.1)?;
        let started = opening.start(turn);
        let limit = self.limit(turn.now());
        self.began = Some(turn.now());
        self.stage = Stage::Trying(Box::new(opening), limit);
        started.or_else(|error| self.failed(turn, error))
    }

    /// When a try that begins now is over, and how long that is.
    fn limit(&self, now: Instant) -> Limit {
        self.patience.limit(now).map(|limit| (now + limit, limit))
    }

    /// When the try under way has taken all the time that there is for everything.
    fn whole(&self) -> Limit {
        Some((self.began? + self.whole?, self.whole?))
    }

    /// Lets an opening that sleeps go on as the next try, or makes its failure final.
    fn sleep_on(&mut self, turn: &mut Turn, failure: Error) -> Result<(), Error> {
        if self.patience.again(&failure, turn.now()).is_none() {
            return self.give_up(turn, failure);
        }
        self.tell(&failure);
        let next = self.limit(turn.now());
        self.began = Some(turn.now());
        if let Stage::Trying(_, limit) = &mut self.stage {
            *limit = next;
        }
        Ok(())
    }

    /// Pauses after a failed try, or makes the failure final.
    fn failed(&mut self, turn: &mut Turn, failure: Error) -> Result<(), Error> {
        let Some(again) = self.patience.again(&failure, turn.now()) else { return self.give_up(turn, failure) };
        self.abandon(turn);
        self.tell(&failure);
        self.stage = Stage::Pausing(again);
        Ok(())
    }

    fn give_up(&mut self, turn: &mut Turn, failure: Error) -> Result<(), Error> {
        self.abandon(turn);
        Err(self.patience.give_up(failure))
    }

    /// Tells what is waited for, once for each cause.
    fn tell(&mut self, failure: &Error) {
        if let Some(cause) = self.patience.news(failure) {
            let name = printed::goal(&self.address, "localhost");
            let text = format!("waiting for {}: {cause}", Escaped(&name));
            self.observer.observe(&Event::Note { verbosity: 1, text });
        }
    }
}
