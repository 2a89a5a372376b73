//! A connection on its way from being connected to carrying payload: its layers shake hands, before any session exists.
//!
//! It belongs to the task that will have the connection, or that waits for it. Whoever owns it also owns the time limit:
//! one deadline is for the name, the connection, the proxies and all this.
//!
//! What came together with the last words of a handshake stands decoded in the stack, and no event will tell of it: a
//! session reads each of its ends in its first turn.

use std::io;
use std::time::{Duration, Instant};

use super::contact::Contact;
use super::guide::Guide;
use super::layering::{Layering, unlogged};
use super::proxy::introduce;
use crate::endpoint::open::Opened;
use crate::error::{Cause, Error, Op, sentence};
use crate::layer::stack::Stack;
use crate::outcome::ExitStatus;
use crate::reactor::Turn;
use crate::session::limits::soonest;

/// It, until it is over.
pub(super) struct Handshake {
    /// `None` once it is over.
    under_way: Option<(Opened, Option<Box<Stack>>)>,
    /// Where its layers are from.
    layering: Layering,
    /// Names that have to be known before there are layers.
    guide: Option<Box<Guide>>,
    /// Proxies are asked first, and a cut is one of the ways in which they refuse.
    led: bool,
    /// What the connection is called with its layers.
    protocol: &'static str,
    /// The operation and its object, as messages name them.
    op: Op,
    object: Vec<u8>,
    /// Writing has failed; what the peer said before is still read.
    mute: Option<io::Error>,
    /// When it is given up, unless its owner sees to that.
    limit: Limit,
    began: Instant,
    /// Nothing will be sent: all that is to be found out is whether the peer takes us.
    only_asks: bool,
}

/// When something is over, and how long that is.
pub(super) type Limit = Option<(Instant, Duration)>;

/// The limit that ends first.
pub(super) fn sooner(a: Limit, b: Limit) -> Limit {
    [a, b].into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// Why it failed.
enum Flaw {
    Io(io::Error),
    Layer(Error),
    Ended,
}

impl Handshake {
    /// Begins on a connection that was made to `object`; `header` is said first.
    ///
    /// # Errors
    /// A layer cannot be made, a header cannot be sent, or epoll refuses; the connection is closed then.
    pub(super) fn with_server(
        turn: &mut Turn,
        opened: Opened,
        layering: &Layering,
        header: Option<Vec<u8>>,
        object: Vec<u8>,
    ) -> Result<Self, Error> {
        Handshake::begin(turn, opened, layering, header, (Op::Connect, object))
    }

    /// Begins on a connection that was accepted.
    ///
    /// # Errors
    /// As [`Handshake::with_server`].
    pub(super) fn with_client(turn: &mut Turn, opened: Opened, layering: &Layering) -> Result<Self, Error> {
        let object = opened.local().into_bytes();
        Handshake::begin(turn, opened, layering, None, (Op::Accept, object))
    }

    /// The same, which gives itself up when `limit` is over; with none, a peer that says nothing has [`PATIENCE`]. What
    /// waits for a name or a connection has no such limit of ours: there the system has one.
    pub(super) fn within(mut self, limit: Limit, now: Instant) -> Self {
        self.limit = limit.or(Some((now + PATIENCE, PATIENCE)));
        self
    }

    /// The same, which is given up at the end of another limit if that comes sooner.
    pub(super) fn and_within(mut self, limit: Limit) -> Self {
        self.limit = sooner(self.limit, limit);
        self
    }

    /// The same where nothing will be sent: it is over when the peer cannot refuse us any more, too. A peer that has not
    /// done so within the limit has taken us.
    pub(super) fn only_asking(self) -> Self {
        Handshake { only_asks: true, ..self }
    }

    fn begin(
        turn: &mut Turn,
        mut opened: Opened,
        layering: &Layering,
        header: Option<Vec<u8>>,
        (op, object): (Op, Vec<u8>),
    ) -> Result<Self, Error> {
        let guide = match Guide::begin(turn, layering, &header) {
            Ok(guide) => guide.map(Box::new),
            Err(error) => {
                let _ = opened.transport.close(turn, true);
                return Err(error.about(op, &object));
            }
        };
        let begun = match (&header, layering.is_bare()) {
            _ if guide.is_some() => Ok(None),
            (Some(header), true) => introduce(&mut opened, header).map(|()| None),
            _ => layering.stack(header).map_err(|error| error.about(op, &object)),
        };
        let started = begun.and_then(|stack| match stack.is_some() {
            true => opened.transport.start(turn).map(|()| stack).map_err(|error| Error::new(op, &object, error)),
            false => Ok(stack),
        });
        match started {
            Ok(stack) => {
                let (protocol, led) = (layering.protocol(opened.protocol), layering.is_led());
                Ok(Handshake {
                    under_way: Some((opened, stack)),
                    layering: layering.clone(),
                    guide,
                    led,
                    protocol,
                    op,
                    object,
                    mute: None,
                    limit: None,
                    began: turn.now(),
                    only_asks: false,
                })
            }
            Err(error) => {
                let _ = opened.transport.close(turn, true);
                Err(error)
            }
        }
    }

    /// Does everything possible now; `Some` once it is over. Harmless when called for nothing.
    ///
    /// # Errors
    /// It failed, and the connection is closed; what layers had to say about that was said.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Result<Option<Contact>, Error> {
        let flaw = match self.drive(turn) {
            Ok(false) => match self.limit.filter(|(at, _)| *at <= turn.now()) {
                None => return Ok(None),
                Some(_) if self.is_open() => return Ok(self.take()),
                Some((_, limit)) => {
                    let error = self.timed_out(limit);
                    self.abandon(turn);
                    return Err(error);
                }
            },
            Ok(true) => return Ok(self.take()),
            Err(flaw) => flaw,
        };
        if let Some((opened, _)) = self.under_way.take() {
            // a reset would destroy an alert that is still on its way
            let _ = opened.transport.close(turn, false);
        }
        let broke = |cause: String| Error::said(self.op, &self.object, cause).with_status(ExitStatus::Network);
        Err(match flaw {
            Flaw::Layer(error) => error.about(self.op, &self.object),
            Flaw::Io(error) => broke(format!("{}, during the handshake", sentence(&error))),
            Flaw::Ended => broke("the peer closed the connection during the handshake".into()),
        })
    }

    /// True if payload could pass.
    fn is_open(&self) -> bool {
        let stack = self.under_way.as_ref().and_then(|(_, stack)| stack.as_deref());
        stack.is_some_and(|stack| !stack.is_handshaking() && !stack.is_leaving())
    }

    fn take(&mut self) -> Option<Contact> {
        let (opened, stack) = self.under_way.take()?;
        let mut contact = Contact::new(opened, stack, self.protocol).begun(Some(self.began));
        contact.led = self.led;
        contact.trouble = self.layering.key_log_failure().map(|error| unlogged(&error));
        Some(contact)
    }

    /// Who is at the other side, as printed; empty once it is over.
    pub(super) fn peer(&self) -> &str {
        self.under_way.as_ref().map_or("", |(opened, _)| &opened.peer)
    }

    /// When it wants a turn at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let layers = self.under_way.as_ref().and_then(|(_, stack)| stack.as_ref()?.deadline());
        soonest([layers, self.limit.map(|(at, _)| at)])
    }

    /// What to say when the owner's time limit passed.
    pub(super) fn timed_out(&self, limit: Duration) -> Error {
        let fact = |(opened, _): &(Opened, _)| match (&self.guide, self.led) {
            (Some(_), _) => "the name server has not answered".to_string(),
            (None, true) => format!("{} is connected, but the way through it is not open", opened.peer),
            (None, false) => format!("{} is connected, but its handshake is not over", opened.peer),
        };
        let facts = self.under_way.iter().map(fact);
        Error::new(self.op, &self.object, Cause::TimedOut(limit)).with_facts(facts.collect())
    }

    /// Gives it up, and cuts the connection.
    pub(super) fn abandon(&mut self, turn: &mut Turn) {
        if let Some((opened, _)) = self.under_way.take() {
            let _ = opened.transport.close(turn, true);
        }
    }

    /// True once payload may pass.
    fn drive(&mut self, turn: &mut Turn) -> Result<bool, Flaw> {
        let Some((opened, stack)) = &mut self.under_way else { return Ok(false) };
        if let Some(guide) = &mut self.guide {
            *stack = guide.turn().map_err(Flaw::Layer)?;
            if stack.is_none() {
                return Ok(false);
            }
            self.guide = None;
            opened.transport.start(turn).map_err(Flaw::Io)?;
        }
        let Some(stack) = stack else { return Ok(true) };
        stack.tick(turn.now());
        let mut ended = false;
        loop {
            stack.decode();
            // with its last words gone a layer may leave, and what it left be read
            while say(turn, opened, stack, &mut self.mute)? {
                stack.decode();
            }
            if let Some(error) = stack.take_failure() {
                return Err(Flaw::Layer(error));
            }
            if !stack.is_handshaking() && !stack.is_leaving() {
                if !self.only_asks || stack.is_accepted() {
                    return Ok(true);
                }
                // whoever hears that nothing comes answers soon, if not at once
                stack.close_plain();
                say(turn, opened, stack, &mut self.mute)?;
            }
            if ended {
                return Err(self.mute.take().map_or(Flaw::Ended, Flaw::Io));
            }
            if stack.wire_spare().is_empty() {
                return Ok(false); // a layer takes nothing before it has said something
            }
            match opened.transport.read(turn, stack.wire_spare()) {
                Ok(0) => {
                    ended = true;
                    stack.wire_ended();
                }
                Ok(count) => stack.wire_received(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.mute.take() {
                    Some(error) => return Err(Flaw::Io(error)),
                    None => return Ok(false),
                },
                Err(error) if self.led => {
                    // a layer may have words for it
                    self.mute.get_or_insert(error);
                    ended = true;
                    stack.wire_ended();
                }
                Err(error) => return Err(Flaw::Io(error)),
            }
        }
    }
}

/// Writes what the layers have to say, as far as there is room; true if that was anything.
fn say(turn: &mut Turn, opened: &mut Opened, stack: &mut Stack, mute: &mut Option<io::Error>) -> Result<bool, Flaw> {
    let mut said = false;
    loop {
        stack.flush().map_err(Flaw::Layer)?;
        let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty()) else { return Ok(said) };
        if mute.is_some() {
            wire.clear();
            continue;
        }
        match opened.transport.write(turn, wire.filled()) {
            Ok(0) => return Ok(said),
            Ok(count) => {
                wire.consume(count);
                said = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(said),
            Err(error) => *mute = Some(error),
        }
    }
}

/// How long a peer, and the proxies that lead to it, may take for their handshakes where the user has set no limit:
/// what common proxies allow a connection that they make.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
