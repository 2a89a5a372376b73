//! A program at one end: it counts as ended when it has exited and its output is drained.

use std::io;
use std::time::{Duration, Instant};

use super::end::End;
use super::limits::soonest;
use super::parting::Manner;
use super::{LOCAL, OUTWARD, Session};
use crate::endpoint::process::Child;
use crate::outcome::Ended;
use crate::reactor::Turn;

/// A child and what is known of its end.
#[derive(Debug)]
pub struct Program {
    child: Child,
    ended_at: Option<Instant>,
}

impl Program {
    /// A program that was just started.
    pub fn new(child: Child) -> Self {
        Program { child, ended_at: None }
    }

    /// Asks for a turn when it exits.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub fn start(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.child.watch(turn)
    }

    /// Notes its exit; when that was, if it was.
    pub fn exited(&mut self, turn: &mut Turn) -> Option<Instant> {
        if self.ended_at.is_none() && self.child.status(turn).is_some() {
            self.ended_at = Some(turn.now());
        }
        self.ended_at
    }

    /// Its exit status, once it has exited.
    pub fn status(&mut self, turn: &mut Turn) -> Option<u8> {
        self.exited(turn)?;
        self.child.status(turn)
    }

    /// When to stop waiting for output: something that the program started may hold the pipe for ever, so a while of
    /// silence after the exit is the end. `moved_at` is when output came last.
    pub fn silent_at(&self, moved_at: Option<Instant>) -> Option<Instant> {
        let ended_at = self.ended_at?;
        Some(moved_at.map_or(ended_at, |moved_at| moved_at.max(ended_at)) + SILENCE)
    }

    /// Ends it here and now, for a session that could not begin.
    fn kill(&mut self) {
        self.child.kill();
    }

    /// Gives the child to whoever waits for it after the session.
    pub fn into_child(mut self, turn: &mut Turn) -> Child {
        self.child.forget(turn);
        self.child
    }
}

impl Session {
    /// True if a program stands at one of its ends.
    pub fn has_programs(&self) -> bool {
        self.ends.iter().flatten().any(End::is_program)
    }

    /// Ends the programs of a session that could not begin.
    pub fn kill_programs(&mut self) {
        for program in self.ends.iter_mut().flatten().filter_map(End::program) {
            program.kill();
        }
    }

    /// A program that has exited ends the session once its output is through; true if there is more to do at once.
    pub(super) fn check_programs(&mut self, turn: &mut Turn) -> bool {
        let now = turn.now();
        let mut more = false;
        for index in [LOCAL, 1] {
            let moved_at = self.flowed_at[index];
            let Some(end) = &mut self.ends[index] else { continue };
            let readable = end.transport().can_read(turn);
            let Some(program) = end.program() else { continue };
            if program.exited(turn).is_none() {
                continue;
            }
            // what waits for a slow sink is no silence
            let waiting = readable || self.pumps[index].is_carrying();
            let silent = !waiting && program.silent_at(moved_at).is_some_and(|at| at <= now);
            let given_up_at = program.silent_at(self.flowed_at[OUTWARD]);
            let status = program.status(turn).unwrap_or_default();
            if self.context.policy.one_way && index == LOCAL {
                more |= self.judge_source(status, silent, now);
                continue;
            }
            if self.take_verdict(turn, index, status, silent) {
                // whatever the source makes of that is no news
                self.finish(Ended::Program(status), Manner::Orderly, now);
                continue;
            }
            if !self.pumps[index].is_over() && !silent {
                continue;
            }
            let leaves_early = self.context.policy.one_way && !self.pumps[OUTWARD].is_over();
            if leaves_early && self.is_verified(LOCAL) {
                // whoever sends under receipts was promised that everything is taken: what comes next, or the end, tells
                if given_up_at.is_some_and(|at| at <= now) {
                    self.sink_failed(turn, OUTWARD, io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
                continue;
            }
            self.enough[index] |= leaves_early;
            self.conclude(Manner::Orderly, now);
        }
        more
    }

    /// What the end of a program means whose output is all there is: an end that failed is not passed on as if it were
    /// the end of the data, as a shell would without `pipefail`.
    /// True if the end can be passed on now.
    fn judge_source(&mut self, status: u8, silent: bool, now: Instant) -> bool {
        let pump = &mut self.pumps[OUTWARD];
        if !silent && !pump.holds_end() {
            return false;
        }
        pump.hold_end(false);
        pump.end_source();
        if status != 0 {
            self.finish(Ended::Program(status), Manner::Aborted, now);
        }
        status == 0
    }

    /// When the silence of an exited program has lasted long enough.
    pub(super) fn silence_deadline(&mut self, now: Instant) -> Option<Instant> {
        let flowed_at = self.flowed_at;
        // what a program has to say, and what it has yet to take
        let silences = self
            .ends
            .iter_mut()
            .flatten()
            .filter_map(End::program)
            .flat_map(|program| flowed_at.map(|moved_at| program.silent_at(moved_at)));
        // what was no silence when it was due waits for a sink: an event tells when that goes on
        soonest(silences.map(|at| at.filter(|at| *at > now)))
    }

    /// The programs of a session that is over, to be waited for.
    pub fn take_children(&mut self) -> [Option<Child>; 2] {
        self.parting.as_mut().map(|parting| std::mem::take(&mut parting.children)).unwrap_or_default()
    }
}

/// How long an exited program's pipe may be silent before nobody waits for its end any more.
const SILENCE: Duration = Duration::from_secs(1);
