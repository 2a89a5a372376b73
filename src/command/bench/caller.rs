//! The connections that a client makes for a test: where they lead, and the word by which the server knows them.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::bench::protocol::Cookie;
use crate::bench::traffic::Layered;
use crate::bench::traffic::medium::moved;
use crate::command::approach::Approach;
use crate::command::contact::Contact;
use crate::command::layering::Layering;
use crate::command::patience::Patience;
use crate::error::{Error, Op};
use crate::event::Observer;
use crate::plan::address::{Address, Kind, UnixName, UnixSocket};
use crate::reactor::Turn;
use crate::session::end::{End, Side};

/// Where connections lead, and what stands on each of them.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) to: Address,
    pub(super) layering: Layering,
    /// How long each may take, its handshake included.
    pub(super) patience: Duration,
    pub(super) observer: Rc<dyn Observer>,
}

impl Route {
    /// Begins to connect.
    ///
    /// # Errors
    /// What can be told at once.
    pub(super) fn approach(&self, turn: &mut Turn) -> Result<Box<Approach>, Error> {
        let kind = match &self.to.kind {
            // nothing else at a path can be a server
            Kind::Path(path) => Kind::Unix(UnixName::Path(path.clone()), UnixSocket::Stream),
            kind => kind.clone(),
        };
        let to = Address { kind, ..self.to.clone() };
        let patience = Patience::new(None, Some(self.patience));
        let observer = Rc::clone(&self.observer);
        let mut approach = Box::new(Approach::over(&to, self.layering.clone(), (true, true), patience, observer)?);
        approach.start(turn)?;
        Ok(approach)
    }
}

/// A connection for a test, until it has said for which.
pub(super) struct Caller {
    /// Who it is said to, for messages.
    object: String,
    stage: Stage,
}

enum Stage {
    Approaching(Box<Approach>),
    /// So many bytes of the cookie are said.
    Greeting(Box<End>, usize),
    Over,
}

impl Caller {
    /// Begins.
    ///
    /// # Errors
    /// What can be told at once.
    pub(super) fn new(turn: &mut Turn, route: &Route) -> Result<Self, Error> {
        Ok(Caller { object: route.to.to_string(), stage: Stage::Approaching(route.approach(turn)?) })
    }

    /// Does everything possible now; `Some` once it is open and has said `cookie`.
    ///
    /// # Errors
    /// It cannot be opened, or is cut.
    pub(super) fn turn(&mut self, turn: &mut Turn, cookie: &Cookie) -> Result<Option<Layered>, Error> {
        if let Stage::Approaching(approach) = &mut self.stage {
            let Some(contact) = approach.turn(turn)? else { return Ok(None) };
            self.stage = Stage::Greeting(Box::new(end(contact)), 0);
        }
        let Stage::Greeting(end, said) = &mut self.stage else { return Ok(None) };
        while *said < cookie.0.len() {
            match moved(end.write(turn, &cookie.0[*said..])) {
                Ok(count) => *said += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(Error::new(Op::Transfer, &self.object, error)),
            }
        }
        end.flush(turn);
        if end.is_mute() {
            // the server will never know for which test it is
            return Err(Error::new(Op::Transfer, &self.object, io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        if end.unflushed() > 0 {
            return Ok(None);
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Greeting(end, _) => over_socket(turn, *end, &self.object).map(Some),
            _ => Ok(None),
        }
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Approaching(approach) => approach.deadline(),
            Stage::Greeting(..) | Stage::Over => None,
        }
    }
}

/// What a handshake has made of a connection, as an end.
pub(super) fn end(contact: Contact) -> End {
    let (opened, stack) = contact.covered(Vec::new());
    End::new(opened.transport, Side::Peer(opened.peer.into()), stack)
}

/// The same for another task or thread.
///
/// # Errors
/// It is over something else than a socket.
pub(super) fn over_socket(turn: &mut Turn, end: End, object: &str) -> Result<Layered, Error> {
    Layered::new(turn, end).ok_or_else(|| Error::said(Op::Use, object, "a test goes over sockets"))
}
