//! One client's share of a turn: it takes what is due to it, and is heard when it is its turn.

use std::time::Instant;

use super::Hub;
use super::backlog::CHUNK;
use super::client::{Client, Input, Outlet, explain};
use super::lines::{LONGEST, Speech};
use super::messages;
use super::room::HALF_CLOSED;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::Share;
use crate::reactor::Turn;
use crate::session::end::{Fault, Step};
use crate::session::holding;
use crate::session::limits::soonest;
use crate::session::parting::{headline, reset_by};
use crate::session::policy::{AfterPeerEof, Flow};

impl Hub {
    /// Serves one client; `granted` if it was its turn to be heard. The bytes that moved.
    pub(super) fn serve(&mut self, turn: &mut Turn, key: usize, granted: bool) -> u64 {
        let Some(client) = self.clients.get_mut(key) else { return 0 };
        client.is_waiting &= !granted;
        client.is_ready &= granted;
        if client.end.deadline().is_some_and(|at| at <= turn.now()) {
            client.end.tick(turn.now());
        }
        let mut moved = 0;
        if client.leaving.is_none() {
            moved += self.deliver(turn, key);
            moved += self.listen(turn, key, granted);
            // what a layer has to say of what it heard
            self.clients[key].end.flush(turn);
            self.conclude(turn, key);
        }
        if self.clients[key].leaving.is_some() {
            self.part(turn, key);
        } else {
            self.arm(turn, key);
        }
        moved
    }

    /// Sends what is due to the client.
    fn deliver(&mut self, turn: &mut Turn, key: usize) -> u64 {
        let client = &mut self.clients[key];
        client.end.flush(turn);
        let mut moved = 0;
        let mut failed = None;
        match self.greet(turn, key, &mut moved) {
            Step::Blocked => return moved,
            Step::Failed(fault) => failed = Some(fault),
            Step::Moved(_) | Step::Eof => {}
        }
        let client = &mut self.clients[key];
        messages::skip(&mut self.backlog, client);
        while let Some(cursor) = &mut client.cursor
            && failed.is_none()
        {
            let piece = self.backlog.next(cursor);
            if piece.is_empty() {
                break;
            }
            if moved >= SHARE {
                self.make_ready(key);
                return moved;
            }
            match client.end.write(turn, &piece[..piece.len().min(self.context.policy.block)]) {
                Step::Moved(count) => {
                    if let Some(tap) = &client.tap {
                        tap.seen(0, &piece[..count]);
                    }
                    self.backlog.advance(cursor, count);
                    moved += count as u64;
                    client.bytes[0] += count as u64;
                    self.context.meter.add(0, count as u64);
                    (client.moved_at, client.taken_at) = (turn.now(), turn.now());
                }
                Step::Blocked | Step::Eof => return moved,
                Step::Failed(fault) => failed = Some(fault),
            }
        }
        if client.outlet == Outlet::Ending && failed.is_none() {
            let told = match self.context.policy.shutdown {
                true => client.end.close_write(turn),
                false => Step::Eof,
            };
            match told {
                Step::Blocked | Step::Moved(_) => return moved,
                Step::Eof => {
                    client.quiet_since = Some(turn.now());
                    let (session, bytes) = (client.number, client.bytes[0]);
                    self.context.observer.observe(&Event::Eof { session, direction: "out", bytes });
                    self.end_outlet(key);
                }
                Step::Failed(fault) => failed = Some(fault),
            }
        }
        if let Some(fault) = failed {
            self.blame(key, fault);
            self.end_outlet(key);
        }
        moved
    }

    /// Sends what is left of the banner. `Blocked` while there is no room for it, `Eof` when nothing is left.
    fn greet(&mut self, turn: &mut Turn, key: usize, moved: &mut u64) -> Step {
        let client = &mut self.clients[key];
        while let Some(mut greeting) = client.greeting.take() {
            let count = match client.end.write(turn, greeting.filled()) {
                Step::Moved(count) => count,
                Step::Blocked | Step::Eof => {
                    client.greeting = Some(greeting);
                    return Step::Blocked;
                }
                failed => return failed,
            };
            if let Some(tap) = &client.tap {
                tap.seen(0, &greeting.filled()[..count]);
            }
            *moved += count as u64;
            client.bytes[0] += count as u64;
            self.context.meter.add(0, count as u64);
            (client.moved_at, client.taken_at) = (turn.now(), turn.now());
            greeting.consume(count);
            client.greeting = Some(greeting).filter(|greeting| !greeting.is_empty());
        }
        Step::Eof
    }

    /// Nothing more is sent to this client.
    pub(super) fn end_outlet(&mut self, key: usize) {
        let client = &mut self.clients[key];
        client.outlet = Outlet::Over;
        if let Some(cursor) = client.cursor.take() {
            self.backlog.unsubscribe(cursor);
        }
    }

    /// Hears the client, if it is its turn; otherwise it queues up, if it may have something to say.
    fn listen(&mut self, turn: &mut Turn, key: usize, granted: bool) -> u64 {
        let client = &self.clients[key];
        if client.input != Input::Open || client.is_waiting {
            return 0;
        }
        let number = client.number;
        let has_word = client.end.transport().can_read(turn) || client.end.has_layers();
        let is_held_for_nobody = self.speakers == 1 && !client.held.is_empty();
        if !(has_word || is_held_for_nobody) {
            return 0;
        }
        let discards = self.context.policy.flow == Flow::SendOnly;
        let is_free =
            discards || granted || self.has_room() && self.output.lines.may_speak(number) && self.has_nobody_waiting();
        if !is_free {
            self.enlist(key);
            return 0;
        }
        self.hear(turn, key)
    }

    fn has_nobody_waiting(&mut self) -> bool {
        let stale = |key: &mut usize| !self.clients.get(*key).is_some_and(|client| client.is_waiting);
        while self.waiting.pop_front_if(stale).is_some() {}
        self.waiting.is_empty()
    }

    /// Puts a client in the line of those who wait to be heard; at its head if the open line is its own.
    fn enlist(&mut self, key: usize) {
        let client = &mut self.clients[key];
        if std::mem::replace(&mut client.is_waiting, true) {
            return;
        }
        match self.output.lines.is_speaking(client.number) {
            true => self.waiting.push_front(key),
            false => self.waiting.push_back(key),
        }
    }

    /// One read, and where it goes.
    fn hear(&mut self, turn: &mut Turn, key: usize) -> u64 {
        let most = self.allowance(turn, key);
        let client = &mut self.clients[key];
        self.scratch.clear();
        let step = match most {
            0 => Step::Blocked,
            _ => client.end.read(turn, &mut self.scratch, most),
        };
        match step {
            Step::Moved(count) => {
                if let Some(tap) = &client.tap {
                    tap.seen(1, self.scratch.filled());
                }
                let count = count as u64;
                client.bytes[1] += count;
                client.moved_at = turn.now();
                if let Some(bucket) = &mut client.bucket {
                    bucket.take(count);
                }
                if client.end.transport().can_read(turn) || client.end.has_layers() {
                    self.make_ready(key);
                }
                self.pass(key, false);
                count
            }
            Step::Blocked => {
                self.pass(key, false);
                0
            }
            Step::Eof => {
                let (session, bytes) = (client.number, client.bytes[1]);
                self.end_input(key);
                self.note_end(key, turn.now());
                if self.clients[key].end.ends_both() {
                    // there is no way to it any more
                    self.clients[key].greeting = None;
                    self.end_outlet(key);
                }
                self.context.observer.observe(&Event::Eof { session, direction: "in", bytes });
                0
            }
            Step::Failed(fault) => {
                self.blame(key, fault);
                self.end_input(key);
                0
            }
        }
    }

    /// Bytes that may be taken from the client now.
    fn allowance(&mut self, turn: &Turn, key: usize) -> usize {
        let (share, policy) = (self.context.share, &self.context.policy);
        let client = &mut self.clients[key];
        let by_rate = client.bucket.as_mut().map_or(u64::MAX, |bucket| bucket.allowance(turn.now()).unwrap_or(0));
        let by_size = policy.max_bytes.map_or(u64::MAX, |most| most.saturating_sub(client.bytes[1]));
        let most = usize::try_from(by_rate.min(by_size)).unwrap_or(usize::MAX).min(policy.block);
        match share {
            Share::Merge | Share::FanOut => most.min(LONGEST.saturating_sub(client.held.len()).max(1)),
            Share::Broker if self.context.lines => most.min(messages::room(client)),
            Share::Broker => most.min(CHUNK),
        }
    }

    /// Passes on what was read, as far as the rules allow now.
    fn pass(&mut self, key: usize, ended: bool) {
        let client = &mut self.clients[key];
        let new = self.scratch.filled();
        if self.context.policy.flow == Flow::SendOnly {
            return;
        }
        if self.context.share == Share::Broker {
            self.context.meter.add(1, new.len() as u64);
            self.has_news |= !new.is_empty();
            match self.context.lines {
                true => messages::pass(&mut self.backlog, client, new, ended),
                false => self.backlog.push(client.cursor.as_ref(), new),
            }
            return;
        }
        let (speaker, held) = (client.number, client.held.len());
        let alone = self.speakers == 1;
        self.output.hear(&mut client.held, Speech { speaker, held, new, alone, ended });
    }

    /// Nothing more comes from the client; what it left unfinished passes as it is.
    fn end_input(&mut self, key: usize) {
        self.scratch.clear();
        self.pass(key, true);
        let position = self.output.passed();
        self.clients[key].input = Input::Ended(position);
        if position > self.output.written() {
            self.ending.push_back((position, key));
        }
        self.lose_speaker();
    }

    /// One speaker less: the only one left need not hold anything back.
    pub(super) fn lose_speaker(&mut self) {
        self.speakers -= 1;
        if self.speakers == 1
            && let Some((key, _)) = self.clients.iter().find(|(_, client)| client.is_speaker())
        {
            self.make_ready(key);
        }
    }

    /// Remembers the first failure of a client.
    fn blame(&mut self, key: usize, fault: Fault) {
        let client = &mut self.clients[key];
        let error = explain(fault, client.bytes, &client.end);
        client.failure.get_or_insert(Box::new(error));
    }

    /// Lets the client go if its time has come.
    fn conclude(&mut self, turn: &mut Turn, key: usize) {
        let now = turn.now();
        let policy = &self.context.policy;
        let client = &mut self.clients[key];
        let ended = match client.input {
            Input::Open => policy.flow == Flow::SendOnly && client.quiet_since.is_some(),
            Input::Ended(position) => position <= self.output.written(),
        };
        let is_silent = client.outlet == Outlet::Over && client.greeting.is_none();
        let is_over = is_silent || policy.after_peer_eof == AfterPeerEof::Exit;
        let has_passed = |at: Option<_>| at.is_some_and(|at| at <= now);
        if client.failure.is_some() && client.input != Input::Open {
            let error = client.failure.take();
            self.leave(key, error.map_or(Ended::Clean, |error| Ended::Failed(*error)), true, now);
        } else if ended && is_over {
            self.leave(key, Ended::Clean, false, now);
        } else if policy.max_bytes.is_some_and(|most| client.bytes[1] >= most) {
            self.leave(key, Ended::Clean, true, now);
        } else if self.is_half_closed(key) && self.clients[key].end.transport().is_hung_up() {
            let client = &mut self.clients[key];
            let ended = match client.cursor.as_mut().is_none_or(|cursor| self.backlog.next(cursor).is_empty()) {
                true => Ended::Clean,
                false => Ended::Failed(Error::begun(headline(client.bytes), reset_by(&client.end.name(true)))),
            };
            self.leave(key, ended, true, now);
        } else if has_passed(self.held_until(key)) {
            let client = &mut self.clients[key];
            client.moved_at = now;
            // what it answers until it closes is still heard; reading tells what fails
            client.end.close_write_for_good(turn);
        } else if has_passed(self.patience(key)) {
            self.leave(key, Ended::Clean, false, now);
        } else if let Some(error) = self.passed_limit(key, now) {
            self.leave(key, Ended::Failed(error), true, now);
        } else if self.stopping.is_some() && self.is_idle(turn, key) {
            let ended = self.reason_to_stop(key);
            self.leave(key, ended, true, now);
        }
    }

    /// When a client that only waits is let go: `-q`, and the limit of the half-closed.
    fn patience(&self, key: usize) -> Option<Instant> {
        let (policy, client) = (&self.context.policy, &self.clients[key]);
        let quiet_since = client.quiet_since.filter(|_| !client.end.ends_both());
        let quiet = quiet_since.zip(policy.quit_after).map(|(since, limit)| since + limit);
        let kept = self.is_half_closed(key) && policy.after_peer_eof == AfterPeerEof::Auto;
        soonest([quiet, kept.then(|| client.moved_at + HALF_CLOSED)])
    }

    /// Until when a client is not told the end, because that would end what it says, too.
    fn held_until(&self, key: usize) -> Option<Instant> {
        let (policy, client) = (&self.context.policy, &self.clients[key]);
        let since = client.quiet_since.filter(|_| policy.shutdown && client.end.holds_close())?;
        Some(since.max(client.moved_at) + holding::patience(policy))
    }

    /// When a client has been silent for too long; while its end is held the silence is ours.
    fn idle_until(&self, key: usize) -> Option<Instant> {
        let limit = self.context.policy.idle.filter(|_| self.held_until(key).is_none())?;
        Some(self.clients[key].moved_at + limit)
    }

    /// The user's time limit that has passed for this client, as an error.
    fn passed_limit(&self, key: usize, now: Instant) -> Option<Error> {
        let (policy, client) = (&self.context.policy, &self.clients[key]);
        let sentence = if let Some(limit) = policy.max_time.filter(|_| client.until.is_some_and(|at| at <= now)) {
            format!("time limit of {} reached", humantime::format_duration(limit))
        } else {
            let limit = policy.idle.filter(|_| self.idle_until(key).is_some_and(|at| at <= now))?;
            format!("nothing moved for {}", humantime::format_duration(limit))
        };
        let cause = Cause::Said(sentence);
        Some(Error::begun(headline(client.bytes), cause).with_status(ExitStatus::TimeLimit))
    }

    /// True if nothing is under way with this client.
    fn is_idle(&mut self, turn: &Turn, key: usize) -> bool {
        let client = &mut self.clients[key];
        let speaks = client.input == Input::Open && (client.is_waiting || client.end.transport().can_read(turn));
        let waits = matches!(client.input, Input::Ended(position) if position > self.output.written());
        let caught_up = client.cursor.as_mut().is_none_or(|cursor| self.backlog.next(cursor).is_empty());
        !speaks && !waits && caught_up && client.greeting.is_none()
    }

    /// Sets the client's alarm.
    fn arm(&mut self, turn: &Turn, key: usize) {
        let now = turn.now();
        let patience = soonest([self.patience(key), self.held_until(key)]);
        let idle = self.idle_until(key);
        let Client { until, input, bucket, end, alarm, .. } = &mut self.clients[key];
        let by_rate = match bucket {
            Some(bucket) if *input == Input::Open => bucket.allowance(now).err(),
            _ => None,
        };
        self.alarms.set(key, alarm, soonest([patience, by_rate, idle, *until, end.deadline()]));
    }
}

/// Bytes that one client may take before others are served.
const SHARE: u64 = 256 * 1024;
