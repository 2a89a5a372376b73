//! From targets to clients.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flight::{DOWN, Far, Flight, Key};
use super::{Ferry, Name, ROUNDS, UNIX};
use crate::datagram::flows::FlowId;
use crate::datagram::{Inbox, Peer, Stop};
use crate::error::sentence;
use crate::event::Event;
use crate::reactor::Turn;

impl Ferry {
    /// Takes what targets have answered; true if there may be more.
    pub(super) fn hear_targets(&mut self, turn: &mut Turn) -> bool {
        for _ in 0..ROUNDS * ROUNDS {
            let Some(id) = self.ready.pop_front() else { return false };
            match self.hear(turn, id) {
                Heard::All => {
                    if let Some(flight) = self.flows.get_mut(id) {
                        flight.queued = false;
                    }
                    self.may_leave(turn, id);
                }
                Heard::More => self.ready.push_back(id),
                Heard::Stuck => {
                    // answers stay in the kernel until clients take the ones before
                    self.ready.push_front(id);
                    return false;
                }
            }
        }
        !self.ready.is_empty()
    }

    /// Takes what one target has answered.
    fn hear(&mut self, turn: &mut Turn, id: FlowId) -> Heard {
        for _ in 0..ROUNDS / 4 {
            if self.down.space(self.longest).is_none() && self.flush_down(turn) {
                return Heard::Stuck;
            }
            let far = self.flows.get(id).and_then(|(_, flight)| flight.far.as_ref());
            let Some(socket) = far.and_then(Far::socket) else { return Heard::All };
            let kind = usize::from(socket.is_unix());
            let make = || Box::new(if kind == 1 { Inbox::unix(UNIX) } else { Inbox::new() });
            let mut mail = self.mail[kind].take().unwrap_or_else(make);
            let received = socket.receive(turn, &mut mail);
            let heard = match received {
                Ok(_) => {
                    self.carry(turn, id, &mail);
                    None
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Heard::All),
                Err(error) => {
                    self.refused(turn, id, &error);
                    None
                }
            };
            self.mail[kind] = Some(mail);
            if let Some(heard) = heard {
                return heard;
            }
        }
        Heard::More
    }

    /// Passes on what the last receive from a target gave.
    fn carry(&mut self, turn: &mut Turn, id: FlowId, mail: &Inbox) {
        let Some(key) = self.flows.get(id).map(|(key, _)| *key) else { return };
        let Some(flight) = self.answered(turn, &key) else { return };
        let name = Name { id: Some(id), number: flight.number };
        let plain = flight.police.is_none() && flight.lines.is_none() && flight.tap.is_none();
        let plain = plain && !self.floor.hall.has_limit();
        for run in mail.runs() {
            match (run.truncated, plain) {
                (true, _) => self.traffic.truncated += 1,
                (false, true) => self.push_down(turn, name, run.bytes, run.segment),
                (false, false) => self.pass_down(turn, name, run.datagrams().map(|datagram| datagram.payload)),
            }
        }
    }

    /// A target has answered this client: its flow.
    pub(super) fn answered(&mut self, turn: &Turn, key: &Key) -> Option<&mut Flight> {
        let id = self.flows.answered(turn.now(), key)?;
        let flight = self.flows.get_mut(id)?;
        (flight.was_answered, flight.owes) = (true, false);
        Some(flight)
    }

    /// Passes on what a target has answered, as far as the limits let it and with the faults that were asked for.
    pub(super) fn pass_down<'a>(&mut self, turn: &mut Turn, name: Name, payloads: impl Iterator<Item = &'a [u8]>) {
        for payload in payloads {
            let hall = Arc::clone(&self.floor.hall);
            let Some(flight) = self.flight(name) else { return };
            if !flight.passes(DOWN, turn.now(), payload.len(), &hall) {
                self.traffic.limited += 1;
                continue;
            }
            match flight.held(DOWN) {
                None => self.push_down(turn, name, payload, payload.len()),
                Some(held) => {
                    held.line.take(payload.to_vec(), turn.now());
                    self.release(turn, name, DOWN);
                }
            }
        }
    }

    /// Puts datagrams of `segment` bytes each, the last maybe shorter, where they wait for their client.
    pub(super) fn push_down(&mut self, turn: &mut Turn, name: Name, bytes: &[u8], segment: usize) {
        let count = bytes.len().div_ceil(segment.max(1)).max(1) as u64;
        let Some(key) = self.listener(name) else { return Ferry::lose(&mut self.traffic, count) };
        if key.client == Peer::Unnamed {
            let unnamed = "cannot answer a client of a Unix socket that has no name of its own";
            let Some(flight) = self.flight(name) else { return };
            if !std::mem::replace(&mut flight.told, true) {
                let event = Event::Error { session: Some(name.number), reason: unnamed.into() };
                self.floor.observer().observe(&event);
            }
            return Ferry::lose(&mut self.traffic, count);
        }
        for _ in 0..2 {
            if let Some(space) = self.down.space(bytes.len()) {
                space[..bytes.len()].copy_from_slice(bytes);
                if self.down.commit_from(key.local, Some(&key.client), bytes.len(), segment) {
                    if let Some(flight) = self.flight(name) {
                        flight.bytes[DOWN] += bytes.len() as u64;
                        flight.show(DOWN, bytes);
                    }
                    return;
                }
            }
            if self.flush_down(turn) {
                break;
            }
        }
        Ferry::lose(&mut self.traffic, count);
    }

    /// Gives the kernel what waits for clients; true if it takes no more.
    pub(super) fn flush_down(&mut self, turn: &mut Turn) -> bool {
        loop {
            let Some(door) = &self.door else { return false };
            let flushed = door.socket.flush(turn, &mut self.down);
            self.traffic.sent += flushed.datagrams;
            self.traffic.bytes_out += flushed.bytes;
            self.retry_at = None;
            if flushed.datagrams > 0 {
                self.stuck_since = None;
            }
            match flushed.stop {
                Stop::Empty => return false,
                Stop::Full if door.socket.is_untold() && self.is_stuck(turn.now()) => {
                    self.down.give_up_first();
                    Ferry::lose(&mut self.traffic, 1);
                }
                Stop::Full => return true,
                Stop::Refused(_) => {}
                Stop::Failed(error) => {
                    Ferry::lose(&mut self.traffic, 1);
                    self.tell_seldom(turn.now(), || Event::Error {
                        session: None,
                        reason: format!("cannot answer a client: {}", sentence(&error)),
                    });
                }
            }
        }
    }

    /// The queue of a client is full: true once it has been for so long that others need not wait any more.
    fn is_stuck(&mut self, now: Instant) -> bool {
        let since = *self.stuck_since.get_or_insert(now);
        let stuck = since + PATIENCE <= now;
        self.retry_at = (!stuck).then_some(now + RETRY);
        stuck
    }
}

/// What became of a look at one target.
enum Heard {
    /// It has said everything.
    All,
    /// It may have more.
    More,
    /// There is no room for what it says.
    Stuck,
}

/// How long a client of a Unix socket may keep the others waiting by not reading.
const PATIENCE: Duration = Duration::from_millis(250);

/// From one try to the next where no event tells that there is room.
const RETRY: Duration = Duration::from_millis(5);
