//! Programs as sinks of a spread: one that has exited may have read enough, and under receipts its status is the answer.

use std::io::{self, ErrorKind};

use super::sink::Stage;
use super::{SinkId, Spread, Supply};
use crate::outcome::Ended;
use crate::reactor::Turn;
use crate::session::end::receipts::why;
use crate::session::program::Program;

impl Spread {
    /// Programs at the ends: one that has exited counts as ended once its output is through.
    pub(super) fn check_programs(&mut self, turn: &mut Turn) {
        self.check_source_program(turn);
        let is_promised = self.is_promised();
        for index in 0..self.sinks.len() {
            let sink = &mut self.sinks[index];
            let (Some(end), true) = (&mut sink.end, matches!(sink.stage, Stage::Open)) else { continue };
            let Some(program) = end.program() else { continue };
            let Some(status) = program.status(turn) else { continue };
            // something that it started may hold the pipe and take nothing for ever
            let is_stuck = sink.at < self.taken;
            let is_over = program.silent_at(Some(sink.moved_at)).is_some_and(|at| at <= turn.now());
            match is_promised {
                // what comes next, or the end, tells whether it has everything; but not for ever
                true if is_over && status != 0 => {
                    self.program_failed(status);
                    self.sink_has_enough(turn, index);
                }
                true if is_over => self.sink_failed(turn, index, io::Error::from(ErrorKind::BrokenPipe).into()),
                false if sink.is_silent || is_stuck && is_over => self.sink_has_enough(turn, index),
                _ => {}
            }
        }
    }

    /// Keeps the program of a sink that was closed: whether it took everything, its status will tell.
    pub(super) fn keep_program(&mut self, turn: &mut Turn, index: usize, program: Program, resets: bool) {
        let is_due = self.is_promised() && !self.is_confirmed && !resets;
        match is_due {
            true => self.awaited.push((SinkId(index), program)),
            false => self.children.push((Some(SinkId(index)), program.into_child(turn))),
        }
    }

    /// True while the source has to wait for what programs make of what they were given: also for those that go on after
    /// another one has failed.
    pub(super) fn awaits_programs(&mut self, turn: &mut Turn) -> bool {
        let is_open = self.supply == Supply::Ended && self.ended.is_none();
        for (SinkId(index), mut program) in std::mem::take(&mut self.awaited) {
            match program.status(turn) {
                None => self.awaited.push((SinkId(index), program)),
                Some(status) => {
                    self.children.push((Some(SinkId(index)), program.into_child(turn)));
                    if status != 0 {
                        self.sinks[index].has_failed = true;
                        self.program_failed(status);
                    }
                }
            }
        }
        if is_open && !self.awaited.is_empty() {
            return true;
        }
        if let Some(status) = self.refused.filter(|_| self.worst.is_none()) {
            // whatever the source makes of that is no news
            self.conclude(Ended::Program(status), turn.now());
        }
        false
    }

    /// A program says by its status that it did not take what it was given.
    fn program_failed(&mut self, status: u8) {
        if self.ended.is_none() {
            self.unwritten.get_or_insert_with(|| why(Some(&Ended::Program(status))));
        }
        self.refused = self.refused.max(Some(status));
    }

    /// Nobody waits any more for what programs say: they are only to be reaped.
    pub(super) fn release_programs(&mut self, turn: &mut Turn) {
        for (sink, program) in std::mem::take(&mut self.awaited) {
            self.children.push((Some(sink), program.into_child(turn)));
        }
    }
}
