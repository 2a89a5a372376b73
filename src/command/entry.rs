//! One endpoint of several on its way to being open: gone to, waited at, started, or there at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::announce::announce;
use super::approach::Approach;
use super::contact::Contact;
use super::door::Door;
use super::layering::{Again, Layering};
use super::patience::Patience;
use crate::endpoint::accept::Acceptor;
use crate::endpoint::access::Access;
use crate::endpoint::file::{self, Found};
use crate::endpoint::open::{self, Opened, Role, accepts};
use crate::endpoint::rehearsal::rehearse;
use crate::endpoint::{Transport, process};
use crate::error::{Cause, Error, Op};
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::plan::address::{Address, Kind};
use crate::plan::pipe::{self, Pipe};
use crate::plan::policy;
use crate::reactor::Turn;
use crate::session::limits::soonest;
use crate::sys;

/// An endpoint that will be open within its time, or fail.
pub(super) struct Entry {
    address: Address,
    /// The same as it was typed.
    typed: Address,
    /// Whether bytes will come from it, and whether they will go to it.
    ways: (bool, bool),
    /// Longest time that it may take.
    limit: Option<Duration>,
    observer: Rc<dyn Observer>,
    /// Who may connect.
    access: Rc<RefCell<Access>>,
    /// What stands on the connection.
    layering: Layering,
    opened_by: Option<Instant>,
    stage: Stage,
}

enum Stage {
    /// Not begun, or taken.
    Idle,
    Accepting(Box<Door>),
    Opening(Box<Approach>),
    Open(Box<Contact>),
}

impl Entry {
    /// Prepares to open `address`; nothing is touched yet.
    ///
    /// # Errors
    /// What can be known to fail beforehand.
    pub(super) fn new(
        address: &Address,
        ways: (bool, bool),
        limit: Option<Duration>,
        observer: Rc<dyn Observer>,
    ) -> Result<Self, Error> {
        let (typed, address) = (address.clone(), settled(address));
        rehearse(&address, ways.0, ways.1)?;
        let access = Rc::default();
        let layering = match accepts(&address, Role::Connect) {
            true => Layering::server(&address, Again::Unlikely)?,
            false => Layering::client(&address)?,
        };
        Ok(Entry { address, typed, ways, limit, observer, access, layering, opened_by: None, stage: Stage::Idle })
    }

    /// The same, where only these may connect.
    pub(super) fn with_access(self, access: Rc<RefCell<Access>>) -> Self {
        Entry { access, ..self }
    }

    /// What it stands for: a bare path is a file by now where it is one.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match &self.address.kind {
            Kind::File(path) | Kind::Fifo(path) => Escaped(path.as_os_str().as_encoded_bytes()).to_string(),
            _ => Escaped(self.typed.to_string().as_bytes()).to_string(),
        }
    }

    /// True once it is open, also after it was taken.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Accepting(_) | Stage::Opening(_))
    }

    /// True while somebody may come in.
    pub(super) fn is_accepting(&self) -> bool {
        matches!(self.stage, Stage::Accepting(_))
    }

    /// True if opening it does something that cannot be undone: a file is emptied, a program runs. Such are opened last.
    pub(super) fn leaves_traces(&self) -> bool {
        match &self.address.kind {
            Kind::File(path) => self.ways.1 && !matches!(file::find(path), Ok(Found::Fifo)),
            Kind::Exec(_) | Kind::Shell(_) => true,
            _ => false,
        }
    }

    /// Begins, as one of the endpoints of `plan`.
    ///
    /// # Errors
    /// What can be told at once.
    pub(super) fn start(&mut self, turn: &mut Turn, plan: &Pipe) -> Result<(), Error> {
        self.opened_by = self.limit.map(|limit| turn.now() + limit);
        if accepts(&self.address, Role::Connect) {
            let mut acceptor = Acceptor::open(&self.address)?;
            let program = plan.joins_program(&self.typed);
            policy::programs_and_the_bound(&self.typed, acceptor.ip(), program, &plan.serving)?;
            if acceptor.ip().is_none() {
                pipe::lists_and_the_nameless(plan, &self.typed)?;
            }
            acceptor.start(turn)?;
            announce(&plan.announce, &acceptor)?;
            let protocol = self.layering.protocol(acceptor.protocol());
            let address = acceptor.address().to_string();
            self.observer.observe(&Event::Listening { protocol, address });
            self.layering.tell_pin("connect", &acceptor, &*self.observer);
            self.stage =
                Stage::Accepting(Box::new(Door::new(acceptor, self.layering.clone(), Rc::clone(&self.observer))));
            return Ok(());
        }
        let access = if self.ways.0 { sys::Access::Read } else { sys::Access::Write };
        if let Some(program) = open::program(&self.address).filter(|_| self.ways.0 != self.ways.1) {
            let (both, child) = process::start_one_way(&program, access)?;
            let (transport, peer) = (Transport::from(both), Escaped(child.name()).to_string());
            let child = Some(child);
            let opened = Opened { transport, protocol: "exec", peer, told_local: None, cut: None, child };
            self.stage = Stage::Open(Box::new(opened.into()));
            return Ok(());
        }
        let patience = Patience::new(None, self.limit);
        let (layering, observer) = (self.layering.clone(), Rc::clone(&self.observer));
        let approach = Approach::over(&self.address, layering, self.ways, patience, observer)?;
        let mut approach = approach.with_whole(plan.transfer.max_time);
        approach.start(turn)?;
        self.stage = Stage::Opening(Box::new(approach));
        Ok(())
    }

    /// Does everything possible now; true once it is open. Harmless when called for nothing.
    ///
    /// # Errors
    /// Why it cannot be opened, or was not within its time.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let opened = match &mut self.stage {
            Stage::Idle => return Ok(false),
            Stage::Open(_) => return Ok(true),
            Stage::Opening(approach) => approach.turn(turn)?,
            Stage::Accepting(door) => door.turn(turn, &self.access.borrow())?,
        };
        if let Some(contact) = opened {
            self.tell(&contact);
            // dropping the acceptor is not enough: the reactor has to forget it
            if let Stage::Accepting(door) = std::mem::replace(&mut self.stage, Stage::Open(Box::new(contact))) {
                door.close(turn);
            }
            return Ok(true);
        }
        if let Stage::Accepting(door) = &mut self.stage {
            door.tell_trouble();
            if let (Some(at), Some(limit)) = (self.opened_by, self.limit)
                && at <= turn.now()
            {
                return self.unopened(Cause::TimedOut(limit)).map_or(Ok(false), Err);
            }
        }
        Ok(false)
    }

    /// When the next turn is due at the latest, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Accepting(door) => soonest([door.deadline(), self.opened_by]),
            Stage::Opening(approach) => approach.deadline(),
            Stage::Idle | Stage::Open(_) => None,
        }
    }

    /// That it is not open, and why it is not waited for any longer; `None` if it is, or has not begun.
    pub(super) fn unopened(&self, cause: impl Into<Cause>) -> Option<Error> {
        match &self.stage {
            // the address that was bound says more than the port 0 that was typed
            Stage::Accepting(door) => {
                let object = format!("{} {}", door.protocol(), door.acceptor().address());
                Some(Error::new(Op::Accept, object, cause))
            }
            Stage::Opening(approach) => Some(approach.unopened(cause)),
            Stage::Idle | Stage::Open(_) => None,
        }
    }

    /// When a peer that is there now was gone to, or came.
    pub(super) fn began(&self) -> Option<Instant> {
        let Stage::Open(contact) = &self.stage else { return None };
        contact.began().filter(|_| contact.opened.transport.is_remote())
    }

    /// What was opened, once [`Entry::turn`] has said so.
    pub(super) fn take(&mut self) -> Option<Contact> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Open(contact) => Some(*contact),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Gives it up. Whoever is connected already gets a reset: an end of file would be an empty answer.
    pub(super) fn abandon(&mut self, turn: &mut Turn) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Accepting(door) => door.close(turn),
            Stage::Opening(mut approach) => approach.abandon(turn),
            Stage::Open(mut contact) => {
                if let Some(mut child) = contact.opened.child.take() {
                    child.kill();
                }
                contact.reset(turn);
            }
            Stage::Idle => {}
        }
    }

    /// Tells of a connection; files and standard input need no word.
    fn tell(&self, contact: &Contact) {
        if !contact.opened.transport.is_remote() {
            return;
        }
        match self.stage {
            Stage::Accepting(_) => contact.tell_accepted(1, &*self.observer),
            _ => contact.tell_connected(1, &*self.observer),
        }
    }
}

/// A bare path is what stands there: a socket, or else a file, also one that is yet to be made.
fn settled(address: &Address) -> Address {
    match &address.kind {
        Kind::Path(path) if !address.options.listen && !matches!(file::find(path), Ok(Found::Socket)) => {
            Address { kind: Kind::File(path.clone()), ..address.clone() }
        }
        _ => address.clone(),
    }
}
