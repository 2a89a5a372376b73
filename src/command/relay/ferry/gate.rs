//! Who may send: admission by datagram, and a flow for each new client.

use super::flight::{Flight, Key};
use super::{Ferry, Peer, Traffic};
use crate::command::relay::hall::Full;
use crate::datagram::flows::{FlowId, Heard};
use crate::datagram::inbox::Run;
use crate::endpoint::printed;
use crate::event::Event;
use crate::reactor::Turn;

impl Ferry {
    /// Reads the lists again when that was asked for; trouble with them is told by who was asked.
    pub(super) fn heed_lists(&mut self) {
        let wanted = self.floor.reloads.get();
        if std::mem::replace(&mut self.reloads, wanted) != wanted {
            let _ = self.access.reload();
        }
    }

    /// The flow of who sent these; `None` if they are to be dropped, which is counted.
    pub(super) fn admit(&mut self, turn: &mut Turn, run: &Run<'_>) -> Option<FlowId> {
        let (now, count) = (turn.now(), run.count() as u64);
        let ip = run.from.ip().map(|address| address.ip());
        if !self.access.is_unlimited() && ip.is_some_and(|ip| !self.access.permits(ip)) {
            self.traffic.refused += count;
            self.note(turn, run.from, "not allowed");
            return None;
        }
        if self.is_ours(run) {
            self.traffic.refused += count;
            self.note(turn, run.from, "that is this very listener");
            return None;
        }
        let key = Key { client: *run.from, local: run.to };
        if let Some(id) = self.flows.answered(now, &key) {
            return Some(id);
        }
        if self.floor.closing.get().is_some() {
            self.traffic.beyond += count;
            return None;
        }
        loop {
            match self.floor.hall.enter(ip) {
                Ok(()) => break,
                Err(Full::Flows) => {
                    // a program holds its place until it has ended: whoever is next waits for that, and costs no other
                    let is_leaving = self.programs.as_ref().is_some_and(|programs| programs.are_leaving());
                    let is_leaving = is_leaving || self.parting.values().any(|leaving| leaving.talks);
                    let gone = if is_leaving { None } else { self.flows.give_way(now) };
                    if let Some((key, flight)) = gone
                        && self.see_off(turn, &key, flight, "made room for another client")
                    {
                        continue;
                    }
                    self.turn_away(turn, run.from, count, Full::Flows);
                    return None;
                }
                Err(full) => {
                    self.turn_away(turn, run.from, count, full);
                    return None;
                }
            }
        }
        self.begin(turn, key, count)
    }

    /// A flow for a client that was let in; `None` if no target can be had, and then its place is free again.
    fn begin(&mut self, turn: &mut Turn, key: Key, count: u64) -> Option<FlowId> {
        let ip = key.client.ip().map(|address| address.ip());
        let number = self.floor.hall.number();
        let far = match self.open(turn, &key, number) {
            Ok(far) => far,
            Err(error) => {
                self.floor.hall.give_back(number);
                self.floor.hall.leave(ip);
                self.traffic.unsent += count;
                self.tell_seldom(turn.now(), || Event::Error { session: None, reason: error.line() });
                return None;
            }
        };
        if far.address.is_some() && far.address == key.client.ip().map(printed::unmapped) {
            self.traffic.refused += count;
            self.note(turn, &key.client, "that is its target");
            self.floor.hall.give_back(number);
            self.vacate(turn, far, number, ip);
            return None;
        }
        if !self.floor.hall.comes_first() {
            self.turn_away(turn, &key.client, count, Full::Once);
            self.vacate(turn, far, number, ip);
            return None;
        }
        let door = self.door.as_ref()?;
        let (protocol, peer, local) = (door.protocol, printed::peer(&key.client), door.local(key.local));
        let observer = self.floor.observer();
        observer.observe(&Event::Accepted { session: number, protocol, peer, local, secured: None });
        let tap = self.floor.tap(number);
        let flight = Flight::new(number, far, &self.terms, tap, turn.now());
        let Heard::New { id, .. } = self.flows.heard(turn.now(), &key, || flight) else { return None };
        self.introduce(id);
        Some(id)
    }

    /// True for what pretends to come from this listener: the answer would come back to it, and its answer, without end
    /// (as with a client that is its own target; CVE-2024-2169 is about both).
    fn is_ours(&self, run: &Run<'_>) -> bool {
        let (Some(door), Some(from)) = (&self.door, run.from.ip()) else { return false };
        let from = printed::unmapped(from);
        from.port() == door.port && (door.ip == Some(from.ip()) || run.to.is_some_and(|to| to.ip == from.ip()))
    }

    fn turn_away(&mut self, turn: &Turn, client: &Peer, count: u64, full: Full) {
        self.traffic.beyond += count;
        self.note(turn, client, full.why());
    }

    fn note(&mut self, turn: &Turn, client: &Peer, why: &str) {
        self.tell_seldom(turn.now(), || Event::Note {
            verbosity: 1,
            text: format!("refused {}: {why}", printed::peer(client)),
        });
    }

    /// Datagrams that found no way.
    pub(super) fn lose(traffic: &mut Traffic, count: u64) {
        traffic.unsent += count;
    }
}
