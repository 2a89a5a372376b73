//! `pipe`: one source, one sink, seen on the way.
//!
//! What can fail is tried before what cannot be undone: connections, the source, and FIFOs first, all at once; then the
//! programs are started and the files that are written are emptied.

mod inspection;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::write_note;
use super::entry::Entry;
use super::link::{Joint, Link, far_end};
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::endpoint::access::Access as Lists;
use crate::endpoint::open::Opened;
use crate::endpoint::rehearsal::identity;
use crate::error::{Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Kind};
use crate::plan::pipe::Pipe;
use crate::plan::{AfterPeerEof, DEFAULT_GRACE, Flow, Local};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::{Passage, Summary};
use crate::report::{Console, ProgressView};
use crate::session::end::End;
use crate::session::limits::soonest;
use crate::session::policy::Policy;
use crate::session::{Context, Session};
use crate::sys::Access;
use inspection::Inspection;

/// Gives the task that opens both ends and moves what there is.
///
/// # Errors
/// What can be known to fail before anything is opened.
pub(super) fn pipe(plan: &Pipe, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    if plan.sinks.len() != 1 {
        return Err(Error::said(Op::Use, "several sinks", "one is all that pipe writes to"));
    }
    let observer = reporting.observers();
    let entry = |address, ways| Entry::new(address, ways, plan.connect_timeout, Rc::clone(&observer));
    let source = entry(&plan.source, (true, plan.both_ways))?;
    let sink = entry(&plan.sinks[0], (plan.both_ways, true))?;
    refuse_one_file(source.address(), sink.address())?;
    let lists = Rc::new(Lists::load(&plan.serving.allow, &plan.serving.deny)?);
    let joint = Joint::new(plan.transfer.clone(), Local::Stdio, DEFAULT_GRACE, observer);
    let inspection = Inspection::new(plan, Arc::clone(&joint.meter));
    Ok(Box::new(Piping {
        entries: [source.with_access(Rc::clone(&lists)), sink.with_access(lists)],
        plan: plan.clone(),
        joint,
        inspection,
        console: reporting.console(),
        progress: reporting.progress(None),
        stage: Stage::Opening { late: false },
        started: None,
        stopping: false,
    }))
}

/// A file that is read is not written at the same time.
fn refuse_one_file(source: &Address, sink: &Address) -> Result<(), Error> {
    let (Some(from), Some(to)) = (identity(source, Access::Read), identity(sink, Access::Write)) else {
        return Ok(());
    };
    // what the shell has emptied already cannot be lost any more
    let is_lost = from.2 > 0 || matches!(sink.kind, Kind::File(_));
    if (from.0, from.1) != (to.0, to.1) || !is_lost {
        return Ok(());
    }
    let name = match (&source.kind, &sink.kind) {
        (Kind::File(path), _) | (_, Kind::File(path)) => path.as_os_str().as_encoded_bytes().to_vec(),
        _ => b"standard output".to_vec(),
    };
    Err(Error::said(Op::Use, name, "the input file is the output file").with_advice("another file"))
}

/// A source and a sink: opened, then joined, then reported.
struct Piping {
    plan: Pipe,
    joint: Joint,
    /// The source, then the sink.
    entries: [Entry; 2],
    inspection: Option<Inspection>,
    console: Console,
    progress: Option<ProgressView>,
    stage: Stage,
    started: Option<Instant>,
    stopping: bool,
}

/// How far it is.
enum Stage {
    /// Entries are opened; `late`: those that leave traces, too.
    Opening { late: bool },
    /// Moving bytes, then waiting for programs.
    Moving(Box<Link>),
    /// Over.
    Over,
}

impl Piping {
    /// Begins to open what leaves traces, or else what does not.
    fn begin(&mut self, turn: &mut Turn, late: bool) -> Result<(), Error> {
        for entry in &mut self.entries {
            if entry.leaves_traces() == late {
                let program = self.plan.joins_program(entry.typed());
                entry.start(turn, &self.plan.announce, &self.plan.serving, program)?;
            }
        }
        Ok(())
    }

    /// Does what can be done about opening; true once all is open.
    fn open(&mut self, turn: &mut Turn, late: bool) -> Result<bool, Error> {
        let mut open = true;
        for entry in &mut self.entries {
            open &= entry.turn(turn)? || entry.leaves_traces() && !late;
        }
        match (open, late) {
            (true, false) => {
                self.stage = Stage::Opening { late: true };
                self.begin(turn, true)?;
                self.open(turn, true)
            }
            (open, _) => Ok(open),
        }
    }

    /// Joins both ends.
    fn join(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let [source, sink] = &mut self.entries;
        let (Some(source), Some(sink)) = (source.take(), sink.take()) else { return Ok(()) };
        let size = self.size(&source);
        let context = Context { policy: self.policy(), ..self.joint.context(1) };
        let session = Session::new(self.end(source), self.end(sink), context, turn.now());
        let mut session = session.with_tap(self.inspection.as_ref().map(Inspection::tap));
        if let Err(error) = session.start(turn) {
            session.kill_programs();
            return Err(error);
        }
        self.stage = Stage::Moving(Box::new(self.joint.link(session, 1)));
        self.started = Some(turn.now());
        if let Some(mut view) = self.progress.take() {
            view.begin(turn.now(), size);
            let direction = (!self.plan.both_ways).then_some(0);
            let ticker = Ticker::new(view, Arc::clone(&self.joint.meter), direction);
            turn.spawn(Box::new(ticker.with_records(self.plan.records.is_some())));
        }
        Ok(())
    }

    /// What was opened, as a side of the session.
    fn end(&self, mut opened: Opened) -> End {
        if self.plan.transfer.fsync {
            opened.transport.sync_before_close();
        }
        match opened.protocol {
            "stdio" => self.joint.local_end(opened.transport),
            _ => far_end(opened, false),
        }
    }

    /// Bytes that will pass, as far as that is known.
    fn size(&self, source: &Opened) -> Option<u64> {
        if self.plan.both_ways {
            return None;
        }
        let size = self.plan.size.or_else(|| source.transport.bytes_left());
        [size, self.plan.stop_at].into_iter().flatten().min()
    }

    fn policy(&self) -> Policy {
        let plan = &self.plan;
        Policy {
            flow: if plan.both_ways { Flow::Both } else { Flow::SendOnly },
            stdin: true,
            after_peer_eof: AfterPeerEof::Send,
            idle: soonest_limit(plan.watchdog, plan.transfer.idle),
            stop_at: plan.stop_at,
            one_way: !plan.both_ways,
            hint: false,
            ..self.joint.policy()
        }
    }

    fn fail(&mut self, turn: &mut Turn, error: Error) -> Park {
        self.give_up(turn, Ended::Failed(error))
    }

    fn give_up(&mut self, turn: &mut Turn, ended: Ended) -> Park {
        self.stage = Stage::Over;
        for entry in &mut self.entries {
            entry.abandon(turn);
        }
        Park::Done(Outcome::nothing_moved(ended))
    }

    /// What signals ask for; `Some` when that is the end.
    fn obey(&mut self, turn: &mut Turn) -> Option<Park> {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            let elapsed = self.started.map_or(Duration::ZERO, |started| turn.now().saturating_duration_since(started));
            let bytes = [0, 1].map(|direction| self.joint.meter.delivered(direction));
            match self.plan.both_ways {
                true => {
                    let [bytes_out, bytes_in] = bytes;
                    self.console.summary(&Summary { bytes_in, bytes_out, elapsed, reason: None });
                }
                false => self.console.summary(&Passage { bytes: bytes[0], records: self.records(), elapsed }),
            }
        }
        let number = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)?;
        let again = std::mem::replace(&mut self.stopping, true);
        match &mut self.stage {
            Stage::Moving(link) => {
                let outcome = link.interrupt(number, again, turn.now())?;
                Some(self.report(outcome))
            }
            Stage::Opening { .. } | Stage::Over => Some(self.give_up(turn, Ended::Signal(number))),
        }
    }

    fn records(&self) -> Option<u64> {
        self.plan.records.map(|_| self.joint.meter.records())
    }

    /// Tells the totals and, of what came through whole, the digest.
    fn report(&mut self, mut outcome: Outcome) -> Park {
        let whole = matches!(&self.stage, Stage::Moving(link) if link.has_delivered_everything());
        self.stage = Stage::Over;
        if whole
            && matches!(outcome.ended, Ended::Clean)
            && let Err(error) = self.tell_digest()
        {
            outcome.ended = Ended::Failed(error);
        }
        let [bytes_out, bytes_in] = outcome.bytes;
        let elapsed = outcome.elapsed;
        self.joint.observer.observe(&match self.plan.both_ways {
            true => Event::Stats { bytes_in, bytes_out, elapsed },
            false => Event::Piped { bytes: bytes_out, records: self.records(), elapsed },
        });
        Park::Done(outcome)
    }

    /// `--hash`: one line for each file that was written, or for what has no name.
    fn tell_digest(&self) -> Result<(), Error> {
        let (Some(hash), Some(inspection)) = (&self.plan.hash, &self.inspection) else { return Ok(()) };
        let Some(digest) = inspection.digest() else { return Ok(()) };
        let files = self.entries[1..].iter().filter_map(|sink| match &sink.address().kind {
            Kind::File(path) => Some(path.clone()),
            _ => None,
        });
        let mut names: Vec<PathBuf> = files.collect();
        if names.is_empty() {
            names.push("-".into());
        }
        let lines: Vec<u8> =
            names.iter().flat_map(|name| inspection::line(&digest, name.as_os_str().as_encoded_bytes())).collect();
        match &hash.file {
            Some(path) => write_note("--hash-file", path, &lines),
            None => {
                self.console.result(&lines);
                Ok(())
            }
        }
    }
}

impl Task for Piping {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        let begun = self.begin(turn, false);
        if begun.is_err() {
            self.entries.iter_mut().for_each(|entry| entry.abandon(turn));
        }
        begun
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if let Some(park) = self.obey(turn) {
            return park;
        }
        if let Stage::Opening { late } = self.stage {
            let opened = match self.open(turn, late) {
                Ok(true) => self.join(turn),
                Ok(false) => {
                    turn.deadline(soonest(self.entries.iter().map(Entry::deadline)));
                    return Park::Wait;
                }
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                return self.fail(turn, error);
            }
        }
        let Stage::Moving(link) = &mut self.stage else { return Park::Wait };
        match link.turn(turn) {
            Park::Done(outcome) => self.report(outcome),
            park => park,
        }
    }
}

/// The shorter of two limits that may both be there.
fn soonest_limit(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b].into_iter().flatten().min()
}
