//! A spread and the time: limits, when it wants its next turn, and `--on-slow drop`.
//!
//! # Who is slow
//!
//! A sink holds the others back while the ring is full because of it, and another sink has taken everything there is.
//! The time in which that is so is added up until the ring is half empty again. When it comes to [`PATIENCE`], the
//! sinks that keep the oldest block of the ring from going are closed by a reset. So one that is only late now and then
//! is left alone, and so is everybody while all of them are slow, or the source is. A sink that is not open yet is judged
//! as one that takes nothing; whoever opens it is told ([`Spread::take_overdue`]). So it is when all the others have got
//! everything and it has not been opened for [`PATIENCE`] after that, for nothing else would end the wait.

use std::time::{Duration, Instant};

use super::sink::{Sink, Stage};
use super::{SinkId, Spread, Supply};
use crate::error::{Cause, Error};
use crate::outcome::{Ended, ExitStatus};
use crate::plan::pipe::OnSlow;
use crate::reactor::Turn;
use crate::session::end::End;
use crate::session::limits::soonest;
use crate::session::parting::headline;
use crate::session::policy::Policy;

impl Spread {
    /// Limits that have passed.
    pub(super) fn check_time(&mut self, turn: &mut Turn) {
        let now = turn.now();
        if self.until.is_some_and(|until| until <= now) {
            return self.close_all(turn);
        }
        if self.live().next().is_none() && self.awaited.is_empty() {
            return;
        }
        if self.until.is_none()
            && let Some(error) = self.passed_limit(now)
        {
            self.stop(Ended::Failed(error), now);
        }
        for index in 0..self.sinks.len() {
            if self.gives_up_at(&self.sinks[index]).is_some_and(|at| at <= now) {
                // an earlier failure is told already
                self.sinks[index].has_failed = true;
                self.close_end(turn, index, true);
            }
        }
    }

    /// When a peer that takes nothing is not waited for any longer, although it is due what came before a failure.
    fn gives_up_at(&self, sink: &Sink) -> Option<Instant> {
        let is_due = sink.is_open() && sink.end.as_ref().is_some_and(End::is_peer);
        let since = self.cut_at.filter(|_| is_due)?.max(sink.moved_at);
        Some(since + self.context.policy.linger)
    }

    /// The user's time limit that has passed, as an error.
    fn passed_limit(&self, now: Instant) -> Option<Error> {
        let Policy { max_time, idle, .. } = &self.context.policy;
        let sentence = if let Some(limit) = max_time.filter(|limit| self.began + *limit <= now) {
            format!("time limit of {} reached", humantime::format_duration(limit))
        } else {
            let limit = idle.filter(|limit| self.moved_at + *limit <= now)?;
            format!("nothing moved for {}", humantime::format_duration(limit))
        };
        Some(Error::begun(headline(self.bytes()), Cause::Said(sentence)).with_status(ExitStatus::TimeLimit))
    }

    /// Adds up the time that others have waited for a slow sink, and closes the sink when it is too much.
    pub(super) fn judge_the_slow(&mut self, turn: &mut Turn) {
        if self.context.on_slow != OnSlow::Drop {
            return;
        }
        let now = turn.now();
        self.judge_the_unopened(now);
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        let is_due = self.supply == Supply::Open && !self.ring.has_room();
        let is_judged = is_due && self.live().any(|sink| sink.is_open() && sink.at >= self.taken);
        if !is_judged {
            return;
        }
        if self.waited < PATIENCE {
            self.waiting_since = Some(now);
            return;
        }
        self.waited = Duration::ZERO;
        for index in 0..self.sinks.len() {
            let sink = &self.sinks[index];
            if !self.ring.is_held_by(sink.at) {
                continue;
            }
            if matches!(sink.stage, Stage::Expected) {
                self.overdue.push(SinkId(index));
            } else if sink.is_open() {
                let limit = humantime::format_duration(PATIENCE);
                let cause = Cause::Said(format!("it held the others back for {limit}"));
                let error = Error::begun(self.how_far(index), cause).with_status(ExitStatus::Network);
                self.drop_sink(turn, index, error);
            }
        }
    }

    /// Names the sinks that are not open although there is nothing else to wait for any more.
    fn judge_the_unopened(&mut self, now: Instant) {
        let has_served = self.sinks.iter().any(|sink| !sink.is_live() && !sink.has_failed);
        let is_rest = self.live().all(|sink| matches!(sink.stage, Stage::Expected));
        if self.supply != Supply::Ended || !has_served || !is_rest || self.live().next().is_none() {
            self.unopened_since = None;
            return;
        }
        if *self.unopened_since.get_or_insert(now) + PATIENCE > now {
            return;
        }
        self.unopened_since = None;
        let unopened = self.sinks.iter().enumerate().filter(|(_, sink)| matches!(sink.stage, Stage::Expected));
        self.overdue.extend(unopened.map(|(index, _)| SinkId(index)));
    }

    /// When it wants a turn at the latest. What has passed without consequence is no reason for one.
    pub fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let is_open = self.supply == Supply::Open;
        let by_rate = self.bucket.as_mut().filter(|_| is_open).and_then(|bucket| bucket.allowance(now).err());
        let taken_at = self.taken_at;
        let silent = self.source.as_mut().and_then(End::program).and_then(|program| program.silent_at(taken_at));
        let held_back = self.waiting_since.map(|since| since + PATIENCE.saturating_sub(self.waited));
        let patience = soonest([held_back, self.unopened_since.map(|since| since + PATIENCE)]);
        let policy = &self.context.policy;
        let is_limited = self.until.is_none() && (self.live().next().is_some() || !self.awaited.is_empty());
        let limits = [policy.max_time.map(|limit| self.began + limit), policy.idle.map(|limit| self.moved_at + limit)];
        let of_all = [by_rate, silent, patience, self.until].into_iter();
        let of_all = of_all.chain(limits.map(|at| at.filter(|_| is_limited)));
        let parting = self.parting.as_ref().map(|leaving| leaving.look_at);
        let given_up = soonest(self.sinks.iter().map(|sink| self.gives_up_at(sink)));
        let of_sinks = self.sinks.iter_mut().flat_map(|sink| {
            let looking = match &sink.stage {
                Stage::Leaving(leaving) => Some(leaving.look_at),
                _ => None,
            };
            let moved_at = sink.moved_at;
            let program = sink.end.as_mut().and_then(End::program);
            [looking, program.and_then(|program| program.silent_at(Some(moved_at)))]
        });
        let all = of_all.chain([parting, given_up]).chain(of_sinks);
        let own = soonest(all.map(|at| at.filter(|at| *at > now)));
        // a layer that wants to be told the time at once names an instant that is past
        let layers = soonest(self.ends().map(|end| end.deadline()));
        soonest([own, layers])
    }
}

/// How long others wait for a slow sink before it is closed, with `--on-slow drop`.
pub const PATIENCE: Duration = Duration::from_secs(2);
