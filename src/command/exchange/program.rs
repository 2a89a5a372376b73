//! The program in place of standard input and output: started, asked whether it has ended, reaped.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Near, Outgoing};
use crate::command::messages::Messages;
use crate::command::reaping::Reaping;
use crate::command::surroundings::variables_of;
use crate::endpoint::{Descriptors, Transport, process};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::plan::DEFAULT_GRACE;
use crate::plan::address::Program;
use crate::reactor::Turn;

/// A program of an exchange.
pub(in crate::command) struct Helper {
    program: Program,
    name: String,
    observer: Option<Rc<dyn Observer>>,
    /// `None` before it was started.
    reaping: Option<Reaping>,
    /// Its status, and when that was known.
    exited: Option<(u8, Instant)>,
}

impl Helper {
    /// A program to be started.
    ///
    /// # Errors
    /// It is not there, or not executable.
    pub(in crate::command) fn new(program: &Program) -> Result<Self, Error> {
        process::check(program)?;
        let name = String::from_utf8_lossy(&process::name(program)).into_owned();
        Ok(Helper { program: program.clone(), name, observer: None, reaping: None, exited: None })
    }

    /// Starts it: its writes are what `out` sends, and what is received goes to the near side that is given back.
    ///
    /// # Errors
    /// What fork(2) and execve(2) say.
    pub(super) fn start(
        &mut self,
        turn: &mut Turn,
        out: &mut Outgoing,
        observer: Rc<dyn Observer>,
    ) -> Result<Near, Error> {
        self.observer = Some(observer);
        let pointed = &out.line().pointed;
        let variables = variables_of(pointed.protocol, &pointed.local, &pointed.peer);
        let (Descriptors { reader, writer }, child) = process::start_for_messages(&self.program, &variables)?;
        let mut reaping = Reaping::new(child, DEFAULT_GRACE);
        let watched = reaping.watch(turn).map_err(|error| Error::new(Op::Start, &self.name, error));
        let from = Transport::from(Descriptors { reader, writer: None });
        let limit = out.line().limit();
        let reads = out.read_from(Messages::writes(from, self.name.clone(), limit), turn);
        if let Err(error) = watched.and(reads) {
            reaping.kill(turn.now());
            return Err(error);
        }
        self.reaping = Some(reaping);
        let to = Transport::from(Descriptors { reader: None, writer });
        Ok(Near::program(to, self.name.clone()))
    }

    /// Looks whether it has ended. Something that it started may keep its output open: then a silence is the end of it.
    pub(super) fn check(&mut self, turn: &mut Turn, out: &mut Outgoing) {
        self.ask(turn);
        let Some((_, at)) = self.exited else { return };
        if out.is_over() {
            return;
        }
        let silent_at = out.moved_at().map_or(at, |moved_at| moved_at.max(at)) + SILENCE;
        match silent_at <= turn.now() {
            true => {
                out.end(turn);
                turn.wake(turn.id());
            }
            false => turn.deadline_at_most(silent_at),
        }
    }

    /// Asks it to end, with more emphasis each time.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let (Some(reaping), None) = (&mut self.reaping, self.exited) {
            reaping.hurry(now);
        }
    }

    /// Its status once it has ended; until then, signals that are due are sent.
    pub(super) fn reap(&mut self, turn: &mut Turn) -> Option<u8> {
        if self.reaping.is_none() {
            return Some(0);
        }
        self.ask(turn);
        if let (None, Some(at)) = (self.exited, self.reaping.as_ref().and_then(Reaping::deadline)) {
            turn.deadline_at_most(at);
        }
        self.exited.map(|(status, _)| status)
    }

    fn ask(&mut self, turn: &mut Turn) {
        let (Some(reaping), None) = (&mut self.reaping, self.exited) else { return };
        let Some(status) = reaping.turn(turn) else { return };
        self.exited = Some((status, turn.now()));
        if let Some(observer) = &self.observer {
            let text = format!("session 1: {} exited with status {status}", self.name);
            observer.observe(&Event::Note { verbosity: 1, text });
        }
    }
}

/// How long an exited program's pipe may be silent before nobody waits for its end any more.
const SILENCE: Duration = Duration::from_secs(1);
