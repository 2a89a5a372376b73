//! Who is served, and in what order: whoever had events or is due, then who waits to be heard, first come first heard.

use std::time::Instant;

use super::Hub;
use crate::plan::Share;
use crate::reactor::Turn;
use crate::session::policy::Flow;

impl Hub {
    /// Queues whoever had events or is due.
    pub(super) fn collect(&mut self, turn: &Turn) {
        for slot in turn.fired() {
            if let Some(key) = self.by_slot.get(slot).copied() {
                self.make_ready(key);
            }
        }
        while let Some((at, key)) = self.alarms.pop(turn.now()) {
            if self.clients.get_mut(key).is_some_and(|client| client.alarm.came(at)) {
                self.make_ready(key);
            }
        }
    }

    /// Consequences of time that concern all.
    pub(super) fn keep_time(&mut self, turn: &mut Turn, now: Instant) {
        self.output.lines.tick(now);
        if self.judge_at.is_some_and(|at| at <= now) {
            self.judge_at = None;
            self.drop_stuck(now);
        }
        if self.is_time_up(now) {
            self.close_all(turn);
        }
    }

    pub(super) fn is_time_up(&self, now: Instant) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.until <= now)
    }

    pub(super) fn make_ready(&mut self, key: usize) {
        if let Some(client) = self.clients.get_mut(key)
            && !std::mem::replace(&mut client.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    /// The next client to serve, and whether it was its turn to be heard.
    pub(super) fn next(&mut self, now: Instant) -> Option<(usize, bool)> {
        while let Some(key) = self.ready.pop_front() {
            if self.clients.get(key).is_some_and(|client| client.is_ready) {
                return Some((key, false));
            }
        }
        while let Some(key) = self.waiting.front().copied() {
            let number = match self.clients.get(key) {
                Some(client) if client.is_waiting => client.number,
                _ => {
                    self.waiting.pop_front();
                    continue;
                }
            };
            if !self.has_room() {
                return None;
            }
            if !self.output.lines.may_speak(number) {
                self.output.lines.await_end(now);
                return None;
            }
            self.waiting.pop_front();
            return Some((key, true));
        }
        None
    }

    /// True if there is room for whatever a client may say at once.
    pub(super) fn has_room(&self) -> bool {
        match self.context.share {
            _ if self.context.policy.flow == Flow::SendOnly => true,
            Share::Merge | Share::FanOut => self.output.has_room(),
            Share::Broker => self.backlog.has_room(),
        }
    }
}
