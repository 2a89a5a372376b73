//! How a spread ends: the sinks that have got everything linger and are closed, then the source.

use std::time::Instant;

use super::sink::{Leaving, Stage};
use super::{Spread, Supply};
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::reactor::Turn;
use crate::session::end::End;
use crate::session::end::receipts::why;
use crate::session::linger::{Farewell, Lingering, Rest, fin};
use crate::session::parting::{headline, reset_by};

impl Spread {
    /// Something that concerns all has happened: nothing more is taken. The first call decides the outcome.
    pub(super) fn conclude(&mut self, ended: Ended, now: Instant) {
        self.ended.get_or_insert(ended);
        if self.supply < Supply::Ended {
            self.supply = Supply::Cut;
            self.cut_at = Some(now);
        }
        self.has_news = true;
    }

    /// Where nobody is left to be given anything, not one more byte of the source is taken, and its end is none.
    fn leave_unless_wanted(&mut self, now: Instant) {
        if self.live().next().is_none() && self.supply < Supply::Ended {
            (self.supply, self.cut_at) = (Supply::Cut, Some(now));
        }
    }

    /// The source was promised that whatever it sends is taken.
    pub(super) fn is_promised(&self) -> bool {
        self.source.as_ref().is_some_and(End::is_verified)
    }

    /// Draws the consequences of what this turn has found.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        self.leave_unless_wanted(turn.now());
        self.is_sated = self.supply == Supply::Cut && self.ended.is_none();
        if self.supply < Supply::Ended {
            return;
        }
        let owes = self.ring.end() < self.taken && self.live().next().is_some();
        if let Some(source) = &mut self.source
            && !owes
            && !source.is_peer()
            && !std::mem::replace(&mut self.is_read_closed, true)
        {
            // whoever writes there learns that nobody reads any more
            source.close_read(turn);
        }
        let is_delivered = self.supply == Supply::Ended && self.live().next().is_none();
        if is_delivered && !std::mem::replace(&mut self.is_end_told, true) && self.until.is_none() {
            let (session, bytes) = (self.context.number, self.counted);
            self.context.observer.observe(&Event::Eof { session, direction: "out", bytes });
        }
    }

    /// Waits for send queues, and closes who has nothing left in it; true if there is more to do at once.
    pub(super) fn part(&mut self, turn: &mut Turn) -> bool {
        let mut is_busy = false;
        for index in 0..self.sinks.len() {
            is_busy |= self.part_from_sink(turn, index);
        }
        if self.sinks.iter().all(|sink| matches!(sink.stage, Stage::Gone)) && !self.awaits_programs(turn) {
            self.confirm(turn);
            is_busy |= self.part_from_source(turn);
        }
        is_busy
    }

    fn part_from_sink(&mut self, turn: &mut Turn, index: usize) -> bool {
        let sink = &mut self.sinks[index];
        let (Some(end), Stage::Leaving(leaving)) = (&mut sink.end, &mut sink.stage) else { return false };
        let (orderly, resets, sent) = (!leaving.resets, leaving.resets, sink.at > 0);
        let farewell = Farewell { pools: &self.context.pools, orderly, resets, sent, rest: Rest::Unwanted };
        let lingering = leaving.look(end, turn, &farewell, self.context.policy.linger);
        let is_lost = leaving.linger.is_lost();
        match lingering {
            Lingering::Over if resets => self.close_end(turn, index, true),
            Lingering::Failed(fault) => self.sink_failed(turn, index, fault),
            Lingering::Over => self.close_served(turn, index, is_lost),
            Lingering::Waiting => {}
            Lingering::Busy => return true,
        }
        false
    }

    /// Closes a sink that was given everything, and says if its peer did not get it.
    fn close_served(&mut self, turn: &mut Turn, index: usize, is_lost: bool) {
        let Some(end) = &self.sinks[index].end else { return };
        let (unsent, name) = (end.unsent().saturating_sub(fin(end)), end.name(true));
        let cause = match (is_lost, unsent) {
            (true, _) => reset_by(&name),
            (false, 0) => match end.unconfirmed() {
                Some(cause) => cause,
                None => return self.close_end(turn, index, false),
            },
            (false, unsent) => {
                let limit = humantime::format_duration(self.context.policy.linger);
                Cause::Said(format!("{name} did not acknowledge {unsent} bytes within {limit}"))
            }
        };
        let error = end.as_cut(Error::begun(self.how_far(index), cause));
        self.sinks[index].has_failed = true;
        self.close_end(turn, index, false);
        self.report(error, turn.now());
    }

    /// Closes a sink; its program is kept, to be waited for.
    pub(super) fn close_end(&mut self, turn: &mut Turn, index: usize, resets: bool) {
        let headline = self.how_far(index);
        let sink = &mut self.sinks[index];
        sink.stage = Stage::Gone;
        self.has_news = true;
        let end = sink.end.take();
        self.leave_unless_wanted(turn.now());
        let Some(mut end) = end else { return };
        if resets {
            end.excuse(turn, || why(self.ended.as_ref()));
        }
        if let Some(program) = end.take_program() {
            self.keep_program(turn, index, program, resets);
        }
        let sink = &mut self.sinks[index];
        let (name, was_peer) = (end.name(false), end.is_peer());
        if let Err(error) = end.close(turn, resets)
            && !was_peer
            && !sink.has_failed
            && !resets
        {
            sink.has_failed = true;
            let error = match self.sinks.len() {
                1 => Error::new(Op::Write, name, error),
                _ => Error::begun(headline, error).with_status(ExitStatus::LocalIo),
            };
            self.report(error, turn.now());
        }
    }

    /// Closes the source: with a reset unless it has ended and every sink has everything.
    fn part_from_source(&mut self, turn: &mut Turn) -> bool {
        let Some(source) = &mut self.source else { return false };
        let is_well = self.ended.is_none() && self.worst.is_none();
        let orderly = is_well && self.supply == Supply::Ended && !self.is_stopped;
        let leaving = self.parting.get_or_insert_with(|| Leaving::new(!orderly, turn.now()));
        let (resets, sent) = (leaving.resets, source.has_layers());
        let farewell = Farewell { pools: &self.context.pools, orderly: !resets, resets, sent, rest: Rest::Judged };
        match leaving.look(source, turn, &farewell, self.context.policy.linger) {
            Lingering::Over => {}
            Lingering::Failed(fault) => {
                self.source_failed(fault, turn.now());
                self.close_source(turn, true);
                return false;
            }
            Lingering::Waiting => return false,
            Lingering::Busy => return true,
        }
        let is_lost = !resets && sent && leaving.linger.is_lost();
        if is_lost {
            // what a layer had to say about the end did not arrive
            let error = source.as_cut(Error::begun(headline([self.counted, 0]), reset_by(&source.name(true))));
            self.conclude(Ended::Failed(error), turn.now());
        }
        self.close_source(turn, resets);
        false
    }

    /// Tells a source that waits for a receipt what became of everything it sent, once every sink is closed.
    fn confirm(&mut self, turn: &mut Turn) {
        if std::mem::replace(&mut self.is_confirmed, true) {
            return;
        }
        let has_all =
            self.supply == Supply::Ended && !self.is_stopped && self.sinks.iter().all(|sink| !sink.has_failed);
        let count = self.counted;
        let Some(source) = &mut self.source else { return };
        match &self.unwritten {
            Some(why) => source.answer(turn, Err((count, why.clone()))),
            None if has_all && self.ended.is_none() => source.answer(turn, Ok(count)),
            None => source.excuse(turn, || why(self.ended.as_ref())),
        }
    }

    fn close_source(&mut self, turn: &mut Turn, resets: bool) {
        let Some(mut source) = self.source.take() else { return };
        self.release_programs(turn);
        if let Some(program) = source.take_program() {
            self.children.push((None, program.into_child(turn)));
        }
        // a reader has nothing that could fail to be written
        let _ = source.close(turn, resets);
    }

    /// The time is over: everything is closed as it is.
    pub(super) fn close_all(&mut self, turn: &mut Turn) {
        for index in 0..self.sinks.len() {
            let resets = match &self.sinks[index].stage {
                Stage::Gone => continue,
                Stage::Leaving(leaving) => leaving.resets,
                Stage::Expected | Stage::Open => true,
            };
            self.close_end(turn, index, resets);
        }
        let is_over = self.supply == Supply::Ended && !self.is_stopped && self.ended.is_none();
        self.close_source(turn, !is_over);
    }

    /// How it ended.
    pub(super) fn outcome(&mut self, now: Instant) -> Outcome {
        let aside = self.worst.map_or(Ended::Clean, Ended::Told);
        let ended = self.ended.take().unwrap_or(aside);
        Outcome { ended, bytes: self.bytes(), elapsed: now.saturating_duration_since(self.started) }
    }
}

impl Leaving {
    /// Looks whether an end can be closed: at once if nobody is there to acknowledge anything, or when the peer has moved
    /// nothing for too long.
    fn look(
        &mut self,
        end: &mut End,
        turn: &mut Turn,
        farewell: &Farewell,
        patience: std::time::Duration,
    ) -> Lingering {
        let now = turn.now();
        if !end.is_peer() {
            return Lingering::Over;
        }
        let lingering = self.linger.look(end, turn, farewell);
        if self.linger.progress_at() + patience <= now {
            return Lingering::Over;
        }
        self.wait(now);
        lingering
    }
}
