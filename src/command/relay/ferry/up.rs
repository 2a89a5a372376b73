//! From clients to targets.

use std::io::ErrorKind;

use super::flight::UP;
use super::{Ferry, Name, ROUNDS};
use crate::datagram::Stop;
use crate::datagram::flows::FlowId;
use crate::datagram::inbox::Run;
use crate::error::sentence;
use crate::event::Event;
use crate::reactor::Turn;

impl Ferry {
    /// Takes what clients have sent; true if there may be more at once.
    pub(super) fn receive(&mut self, turn: &mut Turn) -> bool {
        if !self.knows_names(turn) {
            return false;
        }
        for _ in 0..ROUNDS {
            let (Some(door), Some(inbox)) = (&self.door, &mut self.inbox) else { return false };
            match door.socket.receive(turn, inbox) {
                Ok(_) => self.take_in(turn),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // about something that was sent
                Err(error) => self.tell_seldom(turn.now(), || Event::Error {
                    session: None,
                    reason: format!("cannot answer a client: {}", sentence(&error)),
                }),
            }
        }
        true
    }

    /// Passes on what the last receive gave.
    fn take_in(&mut self, turn: &mut Turn) {
        let Some(inbox) = self.inbox.take() else { return };
        // whose datagrams wait in the outbox
        let mut aboard: Option<FlowId> = None;
        for run in inbox.runs() {
            if run.drops != 0 {
                self.count_drops(Some(run.drops));
            }
            if run.truncated {
                // a part of a datagram is not what was sent
                self.traffic.truncated += 1;
                continue;
            }
            let Some(id) = self.admit(turn, &run) else { continue };
            if let Some(other) = aboard.filter(|other| *other != id) {
                self.flush_up(turn, other);
            }
            aboard = Some(id);
            self.load(turn, id, run);
        }
        if let Some(id) = aboard {
            self.flush_up(turn, id);
        }
        self.inbox = Some(inbox);
    }

    /// Puts datagrams of one client where they wait for its target.
    fn load(&mut self, turn: &mut Turn, id: FlowId, run: Run<'_>) {
        self.follow_name(turn, id);
        let Some(flight) = self.flows.get_mut(id) else { return };
        flight.owes = true;
        self.traffic.received += run.count() as u64;
        self.traffic.bytes_in += run.length as u64;
        let plain = flight.police.is_none() && flight.lines.is_none() && flight.tap.is_none();
        if plain && !self.floor.hall.has_limit() {
            self.push_up(turn, id, run.bytes, run.segment);
            return;
        }
        for datagram in run.datagrams() {
            let payload = datagram.payload;
            let Some(flight) = self.flows.get_mut(id) else { return };
            let name = Name { id: Some(id), number: flight.number };
            flight.show(UP, payload);
            if !flight.passes(UP, turn.now(), payload.len(), &self.floor.hall) {
                self.traffic.limited += 1;
                continue;
            }
            match flight.held(UP) {
                None => self.push_up(turn, id, payload, payload.len()),
                Some(held) => {
                    held.line.take(payload.to_vec(), turn.now());
                    self.release(turn, name, UP);
                }
            }
        }
    }

    /// Puts datagrams of `segment` bytes each, the last maybe shorter, where they wait for their target.
    pub(super) fn push_up(&mut self, turn: &mut Turn, id: FlowId, bytes: &[u8], segment: usize) {
        for _ in 0..2 {
            if self.flows.get(id).is_some_and(|(_, flight)| flight.far.is_none()) {
                self.reopen(turn, id);
            }
            let far = self.flows.get(id).and_then(|(_, flight)| flight.far.as_ref());
            let Some((to, socket)) = far.map(|far| (far.to, far.socket().is_some())) else { break };
            if !socket {
                return self.hand_over(turn, id, bytes, segment);
            }
            if let Some(space) = self.up.space(bytes.len()) {
                space[..bytes.len()].copy_from_slice(bytes);
                if self.up.commit(to.as_ref(), bytes.len(), segment) {
                    return;
                }
            }
            self.flush_up(turn, id);
        }
        Ferry::lose(&mut self.traffic, bytes.len().div_ceil(segment.max(1)).max(1) as u64);
    }

    /// Gives datagrams to a flow's program.
    fn hand_over(&mut self, turn: &mut Turn, id: FlowId, bytes: &[u8], segment: usize) {
        let (Some(flight), Some(programs)) = (self.flows.get_mut(id), &mut self.programs) else { return };
        // an empty one is a datagram too
        let empty = bytes.is_empty().then_some(bytes);
        for payload in bytes.chunks(segment.max(1)).chain(empty) {
            match programs.deliver(turn, flight.number, payload) {
                true => flight.bytes[UP] += payload.len() as u64,
                false => self.traffic.unread += 1,
            }
        }
    }

    /// Another target in place of one that has refused.
    fn reopen(&mut self, turn: &mut Turn, id: FlowId) {
        let Some((key, flight)) = self.flows.get(id) else { return };
        let (key, number) = (*key, flight.number);
        match self.open(turn, &key, number) {
            Ok(far) => {
                if let Some(flight) = self.flows.get_mut(id) {
                    flight.far = Some(far);
                }
                self.introduce(id);
            }
            Err(error) => self.tell_seldom(turn.now(), || Event::Error { session: None, reason: error.line() }),
        }
    }

    /// Gives the kernel what waits for a flow's target. What it has no room for is lost.
    pub(super) fn flush_up(&mut self, turn: &mut Turn, id: FlowId) {
        while !self.up.is_empty() {
            let Some(flight) = self.flows.get_mut(id) else { break };
            let Some(far) = &flight.far else {
                self.reopen(turn, id);
                if self.flows.get(id).is_none_or(|(_, flight)| flight.far.is_none()) {
                    break;
                }
                continue;
            };
            let Some(socket) = far.socket() else { break };
            let flushed = self.up.flush(socket.fd());
            flight.bytes[UP] += flushed.bytes;
            match flushed.stop {
                Stop::Empty => return,
                Stop::Full => break,
                Stop::Refused(error) => self.refused(turn, id, &error),
                Stop::Failed(error) => {
                    Ferry::lose(&mut self.traffic, 1);
                    self.refused(turn, id, &error);
                }
            }
        }
        while self.up.give_up_first() {
            Ferry::lose(&mut self.traffic, 1);
        }
    }
}
