//! How long what is not open yet is waited for, and what is told of it.

use std::time::Instant;

use signal_hook::consts::SIGHUP;

use super::{Piping, Stage};
use crate::command::entry::Entry;
use crate::error::{Cause, Error};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::pipe::OnSlow;
use crate::reactor::Turn;
use crate::session::spread;

impl Piping {
    /// True if sinks are attached as they come, and the source does not wait for them.
    pub(super) fn begins_early(&self) -> bool {
        self.is_buffered() || self.plan.on_slow == OnSlow::Drop && self.plan.sinks.len() > 1
    }

    /// With access lists that can be read again, and somebody who may still come in, SIGHUP is no end: what is left of these
    /// signals.
    pub(super) fn reread_lists(&self, signals: u64) -> u64 {
        let is_asked = signals & 1 << SIGHUP != 0 && self.entries.iter().any(Entry::is_accepting);
        if !is_asked || self.lists.borrow().is_unlimited() {
            return signals;
        }
        if let Err(error) = self.lists.borrow_mut().reload() {
            self.joint.observer.observe(&Event::Error { session: None, reason: error.line() });
        }
        signals & !(1 << SIGHUP)
    }

    /// `--watchdog`: why nothing has moved for so long, if it has not while something is being opened.
    pub(super) fn overdue(&self, now: Instant) -> Option<Error> {
        let limit = self.plan.watchdog.filter(|_| self.watched_until().is_some_and(|until| until <= now))?;
        let cause = || Cause::Said(format!("nothing moved for {}", humantime::format_duration(limit)));
        let waited_for = self.entries.iter().find_map(|entry| entry.unopened(cause()));
        waited_for.map(|error| error.with_status(ExitStatus::TimeLimit))
    }

    pub(super) fn watched_until(&self) -> Option<Instant> {
        Some(self.began? + self.plan.watchdog?)
    }

    /// Gives up the sinks that are not open after they were waited for too long; true if there were any.
    pub(super) fn give_up_overdue(&mut self, turn: &mut Turn) -> bool {
        let Stage::Moving(link) = &mut self.stage else { return false };
        let Some(spread) = link.spread() else { return false };
        let overdue = spread.take_overdue();
        for id in &overdue {
            let Some(at) = self.pending.iter().position(|(_, pending)| pending == id) else { continue };
            let entry = &mut self.entries[self.pending[at].0];
            let limit = humantime::format_duration(spread::PATIENCE);
            // one that has opened meanwhile is attached in the next turn
            let sentence = match spread.has_source_ended() {
                false => format!("it held the others back for {limit}"),
                true => format!("it was not open {limit} after everything else was done"),
            };
            let Some(error) = entry.unopened(Cause::Said(sentence)) else { continue };
            entry.abandon(turn);
            self.pending.remove(at);
            spread.failed_to_open(*id, error.with_status(ExitStatus::Network), turn.now());
        }
        !overdue.is_empty()
    }

    /// A time limit that has passed while a sink was not open yet says which.
    pub(super) fn name_the_unopened(&self, outcome: Outcome) -> Outcome {
        let ended = match outcome.ended {
            Ended::Failed(error) if error.status() == ExitStatus::TimeLimit => {
                let pending = self.pending.iter().map(|(index, _)| &self.entries[*index]);
                let names: Vec<String> = pending.filter(|entry| !entry.is_open()).map(Entry::name).collect();
                let sentence = format!("{}; not open: {}", error.cause(), names.join(", "));
                let named = |error: Error| error.with_cause(Cause::Said(sentence)).with_status(ExitStatus::TimeLimit);
                Ended::Failed(if names.is_empty() { error } else { named(error) })
            }
            ended => ended,
        };
        Outcome { ended, ..outcome }
    }
}
