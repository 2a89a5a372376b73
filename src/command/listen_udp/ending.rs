//! What ends it: limits, signals, the command of `--then`; and what still goes out then.

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::{Joined, Server};
use crate::command::errand::Errand;
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::reactor::Turn;
use crate::session::limits::soonest;

impl Server {
    /// How it ended, once it has.
    pub(super) fn ended(&self, now: Instant) -> Option<Ended> {
        let passed = |since: Instant, limit: Option<Duration>| limit.filter(|limit| since + *limit <= now);
        let programs = matches!(&self.joined, Joined::Programs(programs) if !programs.is_empty());
        if self.left() == 0 || self.peers.is_over() && !programs {
            return Some(Ended::Clean);
        }
        if let Some(limit) = self.plan.first_within.filter(|_| self.opened_by.is_some_and(|at| at <= now)) {
            let object =
                self.line.as_ref().map_or_else(String::new, |line| format!("{} {}", line.protocol, line.printed));
            return Some(Ended::Failed(Error::new(Op::Accept, object, Cause::TimedOut(limit))));
        }
        if let Some(limit) = passed(self.started, self.plan.max_time) {
            return Some(self.stopped(format!("time limit of {} reached", humantime::format_duration(limit))));
        }
        let limit = passed(self.moved_at, self.plan.idle)?;
        Some(self.stopped(format!("no datagram moved for {}", humantime::format_duration(limit))))
    }

    /// A limit of the user's that was reached, as a failure.
    fn stopped(&self, sentence: String) -> Ended {
        let were = if self.traffic.received == 1 { "datagram" } else { "datagrams" };
        let headline = format!("stopped after {} {were}", self.traffic.received);
        Ended::Failed(Error::begun(headline, Cause::Said(sentence)).with_status(ExitStatus::TimeLimit))
    }

    /// Begins the end: nothing more is received or read, programs get the end of their input.
    pub(super) fn begin_to_end(&mut self, turn: &mut Turn, ended: Ended) {
        if let Some(mut input) = self.input.take() {
            input.close(turn);
        }
        if let Joined::Programs(programs) = &mut self.joined {
            programs.dismiss_all(turn);
        }
        // a limit that was reached leaves the command of --then its time
        if let (Some(errand), false) = (&mut self.errand, matches!(ended, Ended::Clean) && !self.hurried) {
            errand.hurry(turn.now());
        }
        if matches!(ended, Ended::Signal(_)) || self.hurried {
            self.ending_by = Some(turn.now() + LAST_WRITES);
            self.drains = matches!(self.joined, Joined::Output(_));
        } else if let Joined::Output(_) = self.joined {
            // nobody may be reading what is still to be written
            self.ending_by = match ended {
                Ended::Clean => self.plan.max_time.map(|limit| self.started + limit),
                _ => Some(turn.now() + LAST_WRITES),
            };
        }
        self.ending = Some(ended);
    }

    pub(super) fn obey(&mut self, turn: &mut Turn) -> u64 {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.count_drops();
            self.console.tell(&self.totals(turn.now()));
        }
        if signals & 1 << SIGHUP != 0
            && let Err(error) = self.peers.reload()
        {
            self.observer.observe(&Event::Error { session: None, reason: error.line() });
        }
        if let Some(number) = [SIGINT, SIGTERM].into_iter().find(|number| signals & 1 << number != 0) {
            self.stop(turn, number);
        }
        signals
    }

    /// Asked to end; asked again, at once.
    pub(super) fn stop(&mut self, turn: &mut Turn, number: i32) {
        let again = std::mem::replace(&mut self.hurried, true);
        if again || self.ending.is_some() {
            self.ending_by = Some(turn.now());
            if let Joined::Programs(programs) = &mut self.joined {
                programs.kill_all(turn.now());
            }
            if let Some(errand) = &mut self.errand {
                errand.kill(turn.now());
            }
        }
        if self.ending.is_none() {
            let ended = if self.plan.serving.keep { Ended::Clean } else { Ended::Signal(number) };
            self.begin_to_end(turn, ended);
        }
    }

    /// The command of `--then` has ended: so does the server.
    pub(super) fn run_errand(&mut self, turn: &mut Turn) {
        let Some(status) = self.errand.as_mut().and_then(|errand| errand.turn(turn)) else { return };
        self.errand = None;
        // a command that was stopped because nobody came is not why it ends
        let stopped = self.traffic.received == 0 && self.ending.is_some();
        self.status = if stopped { 0 } else { status };
        if self.ending.is_none() {
            self.begin_to_end(turn, Ended::Clean);
        }
    }

    /// True once nothing is left to do after the end.
    pub(super) fn is_over(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let given_up = self.ending_by.is_some_and(|at| at <= turn.now());
        self.drains &= !given_up && self.left() > 0;
        let programs = matches!(self.joined, Joined::Programs(_));
        let done = match &mut self.joined {
            Joined::Output(output) => output.flush(turn)?,
            Joined::Programs(programs) => programs.is_empty(),
        };
        let flushed = !self.flush(turn);
        if let (false, true, Some(Ended::Clean), false) = (done && flushed, given_up, &self.ending, self.hurried)
            && let Some(limit) = self.plan.max_time
        {
            self.ending = Some(self.stopped(format!("time limit of {} reached", humantime::format_duration(limit))));
        }
        let sent = flushed || given_up;
        Ok(self.ending.is_some() && !self.drains && (done || given_up && !programs) && sent && self.errand.is_none())
    }

    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let open = self.ending.is_none();
        let idle = self.plan.idle.filter(|_| open).map(|limit| self.moved_at + limit);
        let whole = self.plan.max_time.filter(|_| open).map(|limit| self.started + limit);
        let programs = match &self.joined {
            Joined::Programs(programs) => programs.deadline(),
            Joined::Output(_) => None,
        };
        let errand = self.errand.as_ref().and_then(Errand::deadline);
        let first = self.opened_by.filter(|_| open);
        // once it has passed, only a command may still be waited for
        let last = self.ending_by.filter(|at| *at > now);
        soonest([idle, whole, programs, errand, first, last, self.report_at, self.retry_at, self.peers.deadline()])
    }

    pub(super) fn finish(&mut self, turn: &mut Turn, failed: Option<Ended>) -> Outcome {
        let now = turn.now();
        self.count_drops();
        let printed = match &mut self.joined {
            Joined::Output(output) => output.close(turn),
            Joined::Programs(programs) => {
                // nothing of them is left but after a failure
                programs.kill_all(now);
                Ok(())
            }
        };
        let dropped = if self.plan.stamped { self.traffic.dropped } else { 0 };
        self.peers.end_all(now, "clean", dropped);
        self.strangers.tell(&*self.observer);
        self.observer.observe(&self.totals(now));
        let bytes = [self.traffic.bytes_out, self.traffic.bytes_in];
        let own = match &self.joined {
            Joined::Programs(programs) if !self.plan.serving.keep && self.plan.serving.count == Some(1) => {
                programs.status
            }
            _ => 0,
        };
        let ended = failed.or(self.ending.take()).unwrap_or(Ended::Clean);
        let ended = match (printed, ended) {
            (Err(failure), Ended::Clean) => failure,
            (_, Ended::Clean) if self.unfit.is_some() => self.unfit.take().map_or(Ended::Clean, Ended::Failed),
            (_, Ended::Clean) if self.status.max(own) != 0 => {
                Ended::Program(if self.status != 0 { self.status } else { own })
            }
            (_, ended) => ended,
        };
        Outcome { ended, bytes, elapsed: now.saturating_duration_since(self.started) }
    }
}

/// How long a signal or a limit lets what was received go on to standard output.
const LAST_WRITES: Duration = Duration::from_millis(500);
