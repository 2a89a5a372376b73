//! The part of a test before its beginning: what the client asks for, and the streams that come.

use std::io;

use super::super::setup;
use super::answer::Answer;
use super::{PATIENCE, Step, Visit, doorway, serving};
use crate::bench::pacer::Pacer;
use crate::bench::protocol::{Parameters, Refusal, Trip, stream_id};
use crate::bench::traffic::trips::Trips;
use crate::bench::traffic::{Bell, Conversation, Layered, Line};
use crate::command::bench::ledger::Lane;
use crate::command::bench::opening::PROBE;
use crate::reactor::Turn;

impl Visit {
    /// What the client asks for, against what is allowed.
    pub(super) fn judge(&mut self, asked: Parameters) -> Result<(), String> {
        let most = self.terms.most_time.map(|most| most.as_secs_f64());
        let total = asked.bytes_per_second().unwrap_or(0).saturating_mul(asked.streams().max(1) as u64);
        // what comes cannot be held; requests are, by their answers
        let is_free = asked.udp && asked.rate == 0 && asked.extra.is_none_or(|extra| extra.trip.is_none());
        let limited = self.terms.most_rate.is_some_and(|most| total > most || is_free);
        let refusal = if most.is_some_and(|most| (asked.time + asked.omit) as f64 > most) {
            Some(Refusal::Duration)
        } else if limited {
            Some(Refusal::Rate)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.talk.refuse(refusal);
            return Err(format!("refused: {}", Refusal::sentence(refusal as i32).replace("it ", "this server ")));
        }
        self.asked = asked;
        if self.asked.udp {
            self.desk.borrow_mut().knocking.push_back(self.cookie);
            self.step = Step::Queueing;
        } else {
            self.talk.agree();
            self.step = Step::Opening;
        }
        Ok(())
    }

    /// Asks for UDP streams, once nobody else does.
    pub(super) fn open_door(&mut self, turn: &mut Turn) -> Result<(), String> {
        if self.desk.borrow().knocking.front() != Some(&self.cookie) {
            // the queue moves: each of those before has a limit of its own
            self.limit = turn.now() + PATIENCE;
            return Ok(());
        }
        match doorway::open(self, turn) {
            Ok(door) => self.door = Some(door),
            Err(error) => {
                self.talk.refuse(Refusal::Accept);
                return Err(crate::error::sentence(&error));
            }
        }
        self.talk.agree();
        self.step = Step::Opening;
        self.limit = turn.now() + PATIENCE;
        doorway::turn(self, turn)
    }

    /// Lets the next one ask for UDP streams.
    pub(super) fn close_door(&mut self, turn: &mut Turn) {
        if let Some(door) = self.door.take() {
            door.close(turn);
        }
        self.desk.borrow_mut().dequeue(turn, &self.cookie);
    }

    /// Takes the streams that have come; with the last one the test begins.
    pub(super) fn take_streams(&mut self, turn: &mut Turn) -> Result<(), String> {
        if !self.take_probe(turn)? {
            return Ok(());
        }
        while self.opened.len() < self.asked.streams() {
            let Some(over) = self.desk.borrow_mut().stream(&self.cookie) else { return Ok(()) };
            let index = self.opened.len();
            if let Some(trip) = self.asked.extra.and_then(|extra| extra.trip) {
                let lane = Lane::new(stream_id(index), false, over.socket());
                self.opened.push((lane, None));
                self.answer(turn, over, trip.size)?;
                continue;
            }
            let tuned = crate::endpoint::options::tune(&setup::options(&self.asked), &over.socket().fd());
            if let Err(error) = tuned {
                self.talk.refuse(Refusal::Options);
                return Err(error.line());
            }
            let lane = Lane::new(stream_id(index), !self.asked.client_sends(index), over.socket());
            let left = self
                .desk
                .borrow()
                .hatch
                .as_ref()
                .map(|hatch| hatch.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front());
            if let Some(pipe) = left {
                let pipe = pipe.ok_or("a stream came without its pipe")?;
                self.opened.push((lane, Some(Line::Pipe(pipe))));
                continue;
            }
            self.opened.push((lane, Some(Line::Stream(over))));
        }
        self.begin(turn)
    }

    /// Takes the connection for round trips beside the streams, which comes before them; true if there is none to wait for.
    pub(super) fn take_probe(&mut self, turn: &mut Turn) -> Result<bool, String> {
        let wanted = self.asked.extra.is_some_and(|extra| extra.probe);
        if self.is_probed || !wanted {
            return Ok(true);
        }
        let Some(over) = self.desk.borrow_mut().stream(&self.cookie) else { return Ok(false) };
        self.is_probed = true;
        self.answer(turn, over, PROBE)?;
        Ok(true)
    }

    /// Has a thread answer what comes over this connection.
    fn answer(&mut self, turn: &mut Turn, over: Layered, size: usize) -> Result<(), String> {
        let over = Conversation::new(turn, over);
        self.converse(turn, over, size)
    }

    /// The same where each request is a datagram.
    fn answer_datagrams(&mut self, turn: &mut Turn, trip: Trip) -> Result<(), String> {
        for index in 0..self.opened.len() {
            if let Some(Line::Datagrams(socket, _)) = self.opened[index].1.take() {
                self.converse(turn, Conversation::datagrams(socket), trip.size)?;
            }
        }
        Ok(())
    }

    /// The same over what calls may wait in.
    fn converse(&mut self, turn: &mut Turn, over: io::Result<Conversation>, size: usize) -> Result<(), String> {
        let rate = self.share().filter(|_| self.asked.extra.is_some_and(|extra| extra.trip.is_some()));
        let answering = Bell::of(turn).and_then(|bell| Trips::answer(over?, size, rate, bell));
        self.trips.push(answering.map_err(|error| crate::error::sentence(&error))?);
        Ok(())
    }

    /// What each stream may move of what the server allows, bytes a second.
    pub(super) fn share(&self) -> Option<u64> {
        self.terms.most_rate.map(|most| (most / (self.asked.streams() as u64).max(1)).max(1))
    }

    /// Everybody is here: it begins.
    pub(super) fn begin(&mut self, turn: &mut Turn) -> Result<(), String> {
        self.welcoming = self.share().map(|rate| Pacer::new(turn.now(), Some(rate.saturating_mul(8)), 0));
        if let Some(trip) = self.asked.extra.and_then(|extra| extra.trip) {
            self.answer_datagrams(turn, trip)?;
        }
        serving::begin(self, turn)
    }

    /// Answers those who come with a request of their own.
    pub(super) fn welcome(&mut self, turn: &mut Turn) {
        let Some(trip) = self.asked.extra.and_then(|extra| extra.trip).filter(|trip| trip.connects) else { return };
        loop {
            let ready = self.welcoming.as_mut().map(|pacer| pacer.ready(turn.now(), trip.size));
            self.held = ready.and_then(Result::err);
            if self.held.is_some() {
                return;
            }
            let Some(over) = self.desk.borrow_mut().stream(&self.cookie) else { return };
            self.answered += 1;
            if let Some(pacer) = &mut self.welcoming {
                pacer.sent(trip.size as u64);
            }
            turn.spawn(Box::new(Answer::new(over, trip.size, turn.now())));
        }
    }
}
