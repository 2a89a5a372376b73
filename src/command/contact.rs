//! Something that is open, with the layers that stand on it: what a handshake makes of a connection.

use std::time::Instant;

use crate::endpoint::Transport;
use crate::endpoint::accept::Accepted;
use crate::endpoint::open::Opened;
use crate::endpoint::printed;
use crate::event::{Certificate, Event, Observer, Secured};
use crate::layer::Layer;
use crate::layer::stack::Stack;
use crate::plan::address::Address;
use crate::reactor::Turn;

/// It, ready to carry the bytes of a session.
pub(super) struct Contact {
    pub(super) opened: Opened,
    /// Layers whose handshakes are over, and what they have decoded already. Invariant: never bare; a proxy that was the
    /// only layer has left, and zero copy is possible again.
    stack: Option<Box<Stack>>,
    /// What it is called with its layers: `tls`, `wss`; what is open alone without them.
    protocol: &'static str,
    /// When it was gone to, or came; `None` for just now.
    began: Option<Instant>,
    /// Proxies lead to the peer.
    pub(super) led: bool,
    /// What its handshake left undone beside it, to be told when the connection is.
    pub(super) trouble: Option<String>,
}

impl Contact {
    /// What is open, with what stands on it now; together they are called `protocol`.
    pub(super) fn new(opened: Opened, stack: Option<Box<Stack>>, protocol: &'static str) -> Self {
        Contact {
            opened,
            stack: stack.filter(|stack| !stack.is_bare()),
            protocol,
            began: None,
            led: false,
            trouble: None,
        }
    }

    /// The same, which has taken this long to become.
    pub(super) fn begun(self, at: Option<Instant>) -> Self {
        Contact { began: at, ..self }
    }

    /// From when its time runs (`--max-time`), if not from now.
    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// What it is called with its layers: `tcp`, `tls`, `wss`.
    pub(super) fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Tells `observer` that it was accepted, as a session's connection, if anybody hears of that.
    pub(super) fn tell_accepted(&self, session: u64, observer: &dyn Observer) {
        self.tell_trouble(observer);
        if observer.wants_details() {
            observer.observe(&self.accepted(session, observer));
        }
    }

    /// The same of one that we asked for.
    pub(super) fn tell_connected(&self, session: u64, observer: &dyn Observer) {
        self.tell_trouble(observer);
        if observer.wants_details() {
            let (peer, local) = (self.opened.peer.clone(), self.opened.local());
            let secured = self.secured(observer);
            observer.observe(&Event::Connected { session, protocol: self.protocol, peer, local, secured });
        }
    }

    /// What is told of one that was accepted.
    pub(super) fn accepted(&self, session: u64, observer: &dyn Observer) -> Event {
        let (peer, local) = (self.opened.peer.clone(), self.opened.local());
        Event::Accepted { session, protocol: self.protocol, peer, local, secured: self.secured(observer) }
    }

    /// What went wrong beside it, which ends nothing.
    pub(super) fn tell_trouble(&self, observer: &dyn Observer) {
        if let Some(text) = &self.trouble {
            observer.observe(&Event::Note { verbosity: 0, text: text.clone() });
        }
    }

    /// What protects it; not asked for where nobody would hear of it.
    fn secured(&self, observer: &dyn Observer) -> Option<Box<Secured>> {
        // TLS to a proxy protects nothing beyond it
        let is_own = self.protocol != self.opened.protocol;
        let summary = self.stack.as_ref().filter(|_| is_own && observer.wants_details())?.summary()?;
        let lines = summary.lines();
        Some(Box::new(Secured {
            version: summary.version.into(),
            cipher: summary.suite,
            alpn: summary.alpn,
            resumed: summary.resumed,
            certificate: summary.certificate.map(|shown| Certificate {
                subject: shown.subject,
                issuer: shown.issuer,
                names: shown.names,
                not_before: shown.not_before,
                not_after: shown.not_after,
                pin: shown.pin,
            }),
            lines,
        }))
    }

    /// The two, with these layers (outermost first) on top.
    pub(super) fn covered(self, layers: Vec<Box<dyn Layer>>) -> (Opened, Option<Stack>) {
        let Contact { opened, stack, .. } = self;
        let stack = match stack {
            None if layers.is_empty() => None,
            None => Some(Stack::new(layers, LAYER_BUFFER)),
            Some(mut stack) => {
                stack.cover(layers, LAYER_BUFFER);
                Some(*stack)
            }
        };
        (opened, stack)
    }

    /// The same beyond the proxies that led to `address`, if any did: from now on the target is the peer.
    pub(super) fn beyond(mut self, address: &Address, observer: &dyn Observer) -> Self {
        if let (Some(target), Some(way)) = (printed::beyond(address), &address.options.way) {
            let proxy = std::mem::replace(&mut self.opened.peer, target);
            let text = format!("{} is reached through {way} ({proxy})", self.opened.peer);
            observer.observe(&Event::Note { verbosity: 1, text });
        }
        self
    }

    /// Ends what was only to be looked at: layers say that nothing comes, as far as there is room for it.
    pub(super) fn part(self, turn: &mut Turn) {
        let Contact { mut opened, stack, .. } = self;
        if let Some(mut stack) = stack {
            stack.close_plain();
            if stack.flush().is_ok()
                && let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty())
            {
                // a peer that does not hear it sees the connection end
                let _ = opened.transport.write(turn, wire.filled());
            }
        }
        let _ = opened.transport.close(turn, false);
    }

    /// Takes it out of the reactor, for another task or thread.
    pub(super) fn release(&mut self, turn: &mut Turn) {
        if let Transport::Socket(socket) = &mut self.opened.transport {
            socket.stop(turn);
        }
    }

    /// Cuts the connection.
    pub(super) fn reset(self, turn: &mut Turn) {
        // a socket has nothing to tell at its close
        let _ = self.opened.transport.close(turn, true);
    }
}

impl From<Opened> for Contact {
    /// Nothing stands on it.
    fn from(opened: Opened) -> Self {
        let protocol = opened.protocol;
        Contact { opened, stack: None, protocol, began: None, led: false, trouble: None }
    }
}

impl From<Accepted> for Contact {
    /// Nothing stands on it.
    fn from(accepted: Accepted) -> Self {
        Opened::from(accepted).into()
    }
}

/// Bytes at each seam of a layer: what one call of a layer that copies moves.
const LAYER_BUFFER: usize = 16 * 1024;
