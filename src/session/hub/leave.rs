//! How clients go: by themselves, by a limit, because they hold the others back, or all together.

use std::time::Instant;

use super::client::{Client, Departed, Input, Leaving, explain};
use super::{Hub, STUCK, Standing, Stopping};
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::plan::Share;
use crate::reactor::Turn;
use crate::session::linger::{FIRST_LOOK, Farewell, LOOK_AGAIN, Linger, Lingering, Rest, fin};
use crate::session::parting::{headline, reset_by};

impl Hub {
    /// Begins to part from a client: it is heard no more and gets nothing more.
    pub(super) fn leave(&mut self, key: usize, ended: Ended, reset: bool, now: Instant) {
        self.end_outlet(key);
        let client = &mut self.clients[key];
        let was_speaker = client.is_speaker();
        let until = self.stopping.as_ref().map(|stopping| stopping.until);
        let (linger, pause) = (Linger::new(now), FIRST_LOOK);
        client.leaving = Some(Box::new(Leaving { ended, reset, until, linger, pause }));
        client.is_waiting = false;
        client.input = Input::Ended(self.output.passed());
        let held = std::mem::take(&mut client.held);
        if self.context.share != Share::Broker {
            self.output.inherit(held);
        }
        self.output.lines.leave(client.number);
        if was_speaker {
            self.lose_speaker();
        }
        self.make_ready(key);
    }

    /// Waits for the client's send queue, then closes it.
    pub(super) fn part(&mut self, turn: &mut Turn, key: usize) {
        let now = turn.now();
        let policy = &self.context.policy;
        let Client { end, bytes, leaving, alarm, .. } = &mut self.clients[key];
        let Some(leaving) = leaving else { return };
        let orderly = !leaving.reset && (policy.shutdown || end.ends_both());
        let resets = leaving.reset;
        let farewell = Farewell { pools: &self.context.pools, orderly, resets, sent: bytes[0] > 0, rest: Rest::Judged };
        let given_up = leaving.until.is_some_and(|until| until <= now);
        let idle = |linger: &Linger| linger.progress_at() + policy.linger <= now;
        let mut lingering = Lingering::Over;
        if !given_up {
            lingering = leaving.linger.look(end, turn, &farewell);
        }
        if let Lingering::Failed(fault) = lingering {
            let error = explain(fault, *bytes, end);
            leaving.reset = true;
            if let Ended::Clean = leaving.ended {
                leaving.ended = Ended::Failed(error);
            }
        } else if matches!(lingering, Lingering::Over) {
            return self.close(turn, key);
        }
        if idle(&leaving.linger) {
            return self.close(turn, key);
        }
        let again = now + leaving.pause;
        leaving.pause = (leaving.pause * 2).min(LOOK_AGAIN);
        let limit = leaving.linger.progress_at() + policy.linger;
        let at = leaving.until.into_iter().chain([again, limit]).min();
        self.alarms.set(key, alarm, at);
    }

    /// Closes a client and tells how it ended.
    pub(super) fn close(&mut self, turn: &mut Turn, key: usize) {
        let client = self.clients.remove(key);
        for slot in client.end.transport().slots() {
            self.by_slot.remove(&slot);
        }
        let Client { number, end, bytes, started, leaving, .. } = client;
        let Some(leaving) = leaving else { return };
        let Leaving { mut ended, reset, until, linger, .. } = *leaving;
        let (name, unsent) = (end.name(true), end.unsent());
        if let Ended::Clean = ended
            && until.is_none()
        {
            if linger.is_lost() {
                ended = Ended::Failed(Error::begun(headline(bytes), reset_by(&name)));
            } else if unsent > fin(&end) {
                let limit = humantime::format_duration(self.context.policy.linger);
                let sentence = format!("{name} did not acknowledge {unsent} bytes within {limit}");
                ended = Ended::Failed(Error::begun(headline(bytes), Cause::Said(sentence)));
            }
        }
        // a socket has nothing that could fail to be written
        let _ = end.close(turn, reset);
        let elapsed = turn.now().saturating_duration_since(started);
        self.departed.push(Departed { number, outcome: Outcome { ended, bytes, elapsed } });
    }

    /// Closes everybody by a reset, here and now.
    pub(super) fn close_all(&mut self, turn: &mut Turn) {
        let now = turn.now();
        let keys: Vec<usize> = self.clients.iter().map(|(key, _)| key).collect();
        for key in keys {
            if self.clients[key].leaving.is_none() {
                let ended = self.reason_to_stop(key);
                self.leave(key, ended, true, now);
            }
            if let Some(leaving) = &mut self.clients[key].leaving {
                (leaving.reset, leaving.until) = (true, Some(now));
            }
            self.close(turn, key);
        }
    }

    /// What the end of the hub is for one of its clients.
    pub(super) fn reason_to_stop(&self, key: usize) -> Ended {
        let bytes = self.clients[key].bytes;
        match self.stopping.as_ref().map(|stopping| &stopping.ended) {
            Some(Ended::Failed(error)) => Ended::Failed(Error::begun(headline(bytes), Cause::Said(error.line()))),
            Some(Ended::Signal(number)) => Ended::Signal(*number),
            Some(Ended::ReaderGone) => Ended::ReaderGone,
            Some(Ended::Clean | Ended::Program(_) | Ended::Told(_)) | None => Ended::Clean,
        }
    }

    /// The output is of no use any more, and so is the hub.
    pub(super) fn abort(&mut self, turn: &mut Turn, ended: Ended) -> Standing {
        self.stopping = Some(Stopping { ended, until: turn.now() });
        self.close_all(turn);
        if let Some(local) = self.local.take() {
            // it has failed already, and that is told
            let _ = local.close(turn, true);
        }
        self.end(turn)
    }

    /// Remembers since when the backlog has been full, and when to look who is to blame.
    pub(super) fn watch_backlog(&mut self, now: Instant) {
        if self.backlog.has_room() {
            (self.full_since, self.judge_at) = (None, None);
        } else {
            let since = *self.full_since.get_or_insert(now);
            self.judge_at.get_or_insert(since.max(now) + STUCK);
        }
    }

    /// Closes the clients that have taken nothing for too long, if anybody else waits for them.
    pub(super) fn drop_stuck(&mut self, now: Instant) {
        let Some(full_since) = self.full_since else { return };
        let last = self.clients.iter().filter(|(_, c)| c.cursor.as_ref().is_some_and(|c| self.backlog.is_last(c)));
        let since = last.map(|(key, client)| (key, client.taken_at.max(full_since))).collect::<Vec<_>>();
        let stuck = |at: &Instant| *at + STUCK <= now;
        let count = since.iter().filter(|(_, at)| stuck(at)).count();
        if count == self.backlog.sinks() {
            // nobody waits for anybody: look again
            return;
        }
        self.judge_at = since.iter().filter(|(_, at)| !stuck(at)).map(|(_, at)| *at + STUCK).min();
        for (key, _) in since.into_iter().filter(|(_, at)| stuck(at)) {
            let client = &self.clients[key];
            let limit = humantime::format_duration(STUCK);
            let sentence = format!("{} took nothing for {limit} while others waited", client.end.name(false));
            let error = Error::begun(headline(client.bytes), Cause::Said(sentence));
            let (session, reason) = (Some(client.number), error.line());
            self.context.observer.observe(&Event::Error { session, reason });
            self.leave(key, Ended::Failed(error), true, now);
            if let Some(leaving) = &mut self.clients[key].leaving {
                leaving.until = Some(now);
            }
        }
    }
}
