//! A session and the time: its limits, when it wants its next turn, and the hint about a silent standard input.

use std::time::{Duration, Instant};

use super::Session;
use super::end::End;
use super::limits::soonest;
use super::parting::Manner;
use super::policy::Policy;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus};

impl Session {
    /// Time limits, and the hint about a silent standard input.
    pub(super) fn check_time(&mut self, now: Instant) {
        if self.parting.is_some() {
            return;
        }
        self.hint(now);
        if !self.holds_quitting() && has_passed(self.late().quiet_since, self.context.policy.quit_after, now) {
            self.conclude(Manner::Orderly, now);
        } else if let Some(error) = self.passed_limit(now) {
            let error = self.failure.take().map_or(error, |earlier| *earlier);
            self.finish(Ended::Failed(error), Manner::Aborted, now);
        }
    }

    /// The user's time limit that has passed, as an error.
    pub(super) fn passed_limit(&self, now: Instant) -> Option<Error> {
        let Policy { max_time, idle, half_close, .. } = &self.context.policy;
        let sentence = if has_passed(Some(self.began), *max_time, now) {
            format!("time limit of {} reached", humantime::format_duration(max_time.unwrap_or_default()))
        } else if has_passed(self.idle_since(), *idle, now) {
            format!("nothing moved for {}", humantime::format_duration(idle.unwrap_or_default()))
        } else if has_passed(self.silent_half_since(), *half_close, now) {
            let limit = humantime::format_duration(half_close.unwrap_or_default());
            format!("one direction has ended, and nothing moved in the other for {limit}")
        } else {
            return None;
        };
        Some(Error::begun(self.headline(), Cause::Said(sentence)).with_status(ExitStatus::TimeLimit))
    }

    /// Since when nothing has moved, while that counts.
    fn idle_since(&self) -> Option<Instant> {
        (!self.is_holding()).then_some(self.moved_at)
    }

    /// Since when nothing has moved although one direction has ended.
    fn silent_half_since(&self) -> Option<Instant> {
        let half = self.pumps[0].is_over() != self.pumps[1].is_over();
        let half = half && !self.is_holding();
        self.late().half_closed_at.filter(|_| half).map(|at| at.max(self.moved_at))
    }

    /// Says once that all that is waited for is a standard input that has been silent for a while.
    pub(super) fn hint(&mut self, now: Instant) {
        if self.late().hint_at.is_none_or(|at| at > now) {
            return;
        }
        if self.moved_at + HINT > now {
            self.late_mut().hint_at = Some(self.moved_at + HINT);
            return;
        }
        self.late_mut().hint_at = None;
        let text = "the peer has ended; still reading standard input (-d or --after-peer-eof exit would end here)";
        self.context.observer.observe(&Event::Note { verbosity: 0, text: text.into() });
    }

    pub(super) fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let by_rate = [0, 1].map(|direction| match (&mut self.buckets, &self.pumps[direction]) {
            (Some(buckets), pump) if !pump.is_over() => buckets[direction].allowance(now).err(),
            _ => None,
        });
        // one that has come and was not used is no reason to look again
        let shared = [0, 1].map(|direction| self.share.as_ref()?.appointment(direction).filter(|at| *at > now));
        let silence = self.silence_deadline(now);
        let half_closed = self.silent_half_since();
        let policy = &self.context.policy;
        let after = |since: Option<Instant>, limit: Option<Duration>| Some(since? + limit?);
        soonest([
            by_rate[0],
            by_rate[1],
            shared[0],
            shared[1],
            after(half_closed, policy.half_close),
            self.late().hint_at,
            silence,
            after(self.late().quiet_since.filter(|_| !self.holds_quitting()), policy.quit_after),
            self.holding_deadline(),
            self.closing_deadline(now),
            self.wires_kept_until(),
            after(Some(self.began), policy.max_time),
            after(self.idle_since(), policy.idle),
            self.pumps[0].due(now),
            self.pumps[1].due(now),
            self.ends[0].as_ref().and_then(End::deadline),
            self.ends[1].as_ref().and_then(End::deadline),
        ])
    }
}

fn has_passed(since: Option<Instant>, limit: Option<Duration>, now: Instant) -> bool {
    matches!((since, limit), (Some(since), Some(limit)) if since + limit <= now)
}

/// How long to wait for a silent standard input before saying so.
pub(super) const HINT: Duration = Duration::from_secs(3);
