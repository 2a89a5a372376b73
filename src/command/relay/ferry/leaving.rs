//! Flows that are over while their programs are not: what those still say is carried as before, and only what was said
//! last ends the flow's record.

use std::net::IpAddr;

use super::Ferry;
use super::flight::{DOWN, Far, Flight, Key, Lead};
use crate::command::client::stopped;
use crate::datagram::flows::FlowId;
use crate::endpoint::printed;
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::reactor::Turn;
use crate::report::summary::reason;

/// Names a flow from its beginning until nothing of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Where it stands in the table; `None`, or perhaps another, once it is over.
    pub(super) id: Option<FlowId>,
    /// The number of its session.
    pub(super) number: u64,
}

/// Why a flow is over.
pub(super) struct Why {
    pub(super) reason: String,
    pub(super) ended: Ended,
}

impl From<&str> for Why {
    fn from(reason: &str) -> Self {
        Why { reason: reason.to_string(), ended: Ended::Clean }
    }
}

/// A flow that is over.
pub(super) struct Leaving {
    key: Key,
    pub(super) flight: Flight,
    /// Its target, as printed.
    target: String,
    why: Why,
    /// Its program has not ended.
    pub(super) talks: bool,
}

impl Leaving {
    fn holds_answers(&mut self) -> bool {
        self.flight.held(DOWN).is_some_and(|held| held.line.next_due().is_some())
    }
}

impl Ferry {
    /// A flow, also one that is over but has something left to say.
    pub(super) fn flight(&mut self, name: Name) -> Option<&mut Flight> {
        match self.living(name) {
            Some(id) => self.flows.get_mut(id),
            None => self.parting.get_mut(&name.number).map(|leaving| &mut leaving.flight),
        }
    }

    /// Where a flow stands in the table while it is not over.
    pub(super) fn living(&self, name: Name) -> Option<FlowId> {
        name.id.filter(|id| self.flows.get(*id).is_some_and(|(_, flight)| flight.number == name.number))
    }

    /// Whom a flow is with; `None` also once that client talks with another target, which would have to take what this
    /// one says for that one's answer.
    pub(super) fn listener(&self, name: Name) -> Option<Key> {
        match self.living(name) {
            Some(id) => self.flows.get(id).map(|(key, _)| *key),
            None => {
                self.parting.get(&name.number).map(|leaving| leaving.key).filter(|key| self.flows.find(key).is_none())
            }
        }
    }

    /// A flow is over; true if its place is free already.
    pub(super) fn see_off(&mut self, turn: &mut Turn, key: &Key, mut flight: Flight, why: impl Into<Why>) -> bool {
        let (number, why) = (flight.number, why.into());
        let (target, talks) = match flight.far.take() {
            Some(far) => {
                let target = far.peer.clone();
                (target, !self.leave_target(turn, far, number))
            }
            None => (String::new(), false),
        };
        if talks {
            let text = match why.reason.as_str() {
                "clean" => format!("session {number}: its program is to end"),
                reason => format!("session {number}: its program is to end: {reason}"),
            };
            self.floor.observer().observe(&Event::Note { verbosity: 1, text });
            self.parting.insert(number, Leaving { key: *key, flight, target, why, talks });
            return false;
        }
        self.record(turn, Leaving { key: *key, flight, target, why, talks });
        true
    }

    /// The program of a session has ended, and with it its flow, but for what is held back.
    pub(super) fn fall_silent(&mut self, turn: &mut Turn, name: Name, ip: Option<IpAddr>, told: &str) {
        let key = self.living(name).and_then(|id| self.flows.get(id)).map(|(key, _)| *key);
        if let Some(key) = key
            && let Some(mut flight) = self.flows.remove(&key)
        {
            let target = flight.far.take().map_or_else(String::new, |far| far.peer);
            let leaving = Leaving { key, flight, target, why: told.into(), talks: false };
            self.parting.insert(name.number, leaving);
        } else if let Some(leaving) = self.parting.get_mut(&name.number) {
            leaving.talks = false;
        } else {
            // its flow never began
            self.floor.hall.leave(ip);
        }
        self.let_go(turn, name.number);
    }

    /// Writes the record of a flow that is over, once it has nothing left to say.
    pub(super) fn let_go(&mut self, turn: &mut Turn, number: u64) {
        let Some(leaving) = self.parting.get_mut(&number) else { return };
        if leaving.talks || leaving.holds_answers() {
            return;
        }
        if let Some(leaving) = self.parting.remove(&number) {
            self.record(turn, leaving);
        }
    }

    /// Waits for nothing that is held back any more.
    pub(super) fn hold_nothing(&mut self, turn: &mut Turn) {
        let numbers: Vec<u64> = self.parting.keys().copied().collect();
        for number in numbers {
            if let Some(leaving) = self.parting.get_mut(&number)
                && leaving.holds_answers()
            {
                leaving.flight.lines = None;
                leaving.why.reason = reason(&stopped());
            }
            self.let_go(turn, number);
        }
    }

    /// Nothing is left of a flow.
    fn record(&mut self, turn: &Turn, leaving: Leaving) {
        let Leaving { key, flight, target, why: Why { reason, ended }, .. } = leaving;
        self.floor.hall.leave(key.client.ip().map(|address| address.ip()));
        let elapsed = turn.now().saturating_duration_since(flight.began);
        let [bytes_out, bytes_in] = flight.bytes;
        if let Some(journal) = &self.floor.journal {
            journal.write_flow([&printed::peer(&key.client), &target], flight.bytes, elapsed, &reason);
            journal.watch(&**self.floor.observer());
        }
        let session = flight.number;
        self.floor.observer().observe(&Event::Closed { session, bytes_in, bytes_out, elapsed, reason });
        if self.terms.once {
            self.once = Some(Outcome { ended, bytes: flight.bytes, elapsed });
        }
    }

    /// Closes a flow's socket, or dismisses its program; false if that is not gone yet.
    pub(super) fn leave_target(&mut self, turn: &mut Turn, far: Far, number: u64) -> bool {
        match far.lead {
            Lead::Socket(socket) => {
                if let Some(slot) = socket.slot() {
                    self.by_slot.remove(&slot);
                }
                socket.close(turn);
                true
            }
            Lead::Program => {
                if let Some(programs) = &mut self.programs {
                    programs.dismiss(turn, number);
                }
                false
            }
        }
    }

    /// The same for a flow that has not begun. Its place is free once nothing of it is left: programs that take their time
    /// to end are not to become more than there may be.
    pub(super) fn vacate(&mut self, turn: &mut Turn, far: Far, number: u64, ip: Option<IpAddr>) {
        if self.leave_target(turn, far, number) {
            self.floor.hall.leave(ip);
        }
    }
}
