//! A listener for one connection: the first that may come in and whose handshake gets through is the only one.

use std::rc::Rc;
use std::time::Instant;

use super::contact::Contact;
use super::layering::Layering;
use super::vestibule::{Passed, Vestibule};
use crate::endpoint::accept::Acceptor;
use crate::endpoint::access::Access;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::reactor::Turn;

/// It, until somebody got through.
pub(super) struct Door {
    acceptor: Acceptor,
    layering: Layering,
    vestibule: Vestibule,
    observer: Rc<dyn Observer>,
}

impl Door {
    /// A listener that was started.
    pub(super) fn new(acceptor: Acceptor, layering: Layering, observer: Rc<dyn Observer>) -> Self {
        Door { acceptor, layering, vestibule: Vestibule::new(Rc::clone(&observer)), observer }
    }

    /// Does everything possible now; `Some` once somebody got through. Others are closed and do not count.
    ///
    /// # Errors
    /// The listener is of no use any more.
    pub(super) fn turn(&mut self, turn: &mut Turn, access: &Access) -> Result<Option<Contact>, Error> {
        for _ in 0..REFUSALS {
            if let Some(Passed { contact, .. }) = self.vestibule.passed() {
                return Ok(Some(contact));
            }
            if self.vestibule.is_full() {
                return Ok(None);
            }
            let Some(accepted) = self.acceptor.accept(turn)? else { return Ok(None) };
            let why = match accepted.ip {
                Some(ip) if !access.permits(ip) => Some("not allowed"),
                ip => self.vestibule.refuses(ip),
            };
            let Some(why) = why else {
                self.vestibule.admit(turn, accepted, &self.layering, ());
                continue;
            };
            let text = format!("refused {}: {why}", accepted.peer);
            self.observer.observe(&Event::Note { verbosity: 1, text });
        }
        // there may be more of them, after everything else had its turn
        turn.wake(turn.id());
        Ok(None)
    }

    /// The listener itself.
    pub(super) fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// Tells what keeps the listener from accepting, if that is new.
    pub(super) fn tell_trouble(&mut self) {
        if let Some(trouble) = self.acceptor.trouble() {
            self.observer.observe(&Event::Error { session: None, reason: trouble.line() });
        }
    }

    /// What it is called with the layers of its connections: `tcp`, `tls`, `wss`.
    pub(super) fn protocol(&self) -> &'static str {
        self.layering.protocol(self.acceptor.protocol())
    }

    /// When the next turn is due at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.acceptor.deadline()
    }

    /// Listens no more, and cuts off whoever has not got through.
    pub(super) fn close(mut self, turn: &mut Turn) {
        self.vestibule.close(turn);
        self.acceptor.close(turn);
    }
}

/// Clients taken in one turn before signals and limits are looked at.
const REFUSALS: usize = 64;
