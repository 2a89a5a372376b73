//! A program at one end: it counts as ended when it has exited and its output is drained.

use std::io;
use std::time::{Duration, Instant};

use super::end::End;
use super::limits::soonest;
use super::parting::Manner;
use super::{LOCAL, Session};
use crate::endpoint::process::Child;
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

    /// A program that has exited ends the session once its output is through.
    pub(super) fn check_programs(&mut self, turn: &mut Turn) {
        let now = turn.now();
        for index in [LOCAL, 1] {
            let moved_at = self.flowed_at[index];
            let Some(program) = self.ends[index].as_mut().and_then(End::program) else { continue };
            if program.exited(turn).is_none() {
                continue;
            }
            let silent = program.silent_at(moved_at).is_some_and(|at| at <= now);
            if self.pumps[index].is_over() || silent {
                self.conclude(Manner::Orderly, now);
            }
        }
    }

    /// When the silence of an exited program has lasted long enough.
    pub(super) fn silence_deadline(&mut self) -> Option<Instant> {
        let flowed_at = self.flowed_at;
        let silent = |end: &mut Option<End>, moved_at| end.as_mut()?.program()?.silent_at(moved_at);
        let [local, peer] = &mut self.ends;
        soonest([silent(local, flowed_at[0]), silent(peer, flowed_at[1])])
    }

    /// The programs of a session that is over, to be waited for.
    pub fn take_children(&mut self) -> [Option<Child>; 2] {
        std::mem::take(&mut self.children).map(|child| child.map(|child| *child))
    }
}

/// How long an exited program's pipe may be silent before nobody waits for its end any more.
const SILENCE: Duration = Duration::from_secs(1);
