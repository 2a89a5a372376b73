//! `pipe`: one source, its sinks, and what is seen on the way.
//!
//! What can fail is tried before what cannot be undone: connections, the source, and FIFOs first, all at once; then the
//! programs are started and the files that are written are emptied. With `--buffer`, and with `--on-slow drop` among
//! several sinks, the source is not kept waiting for that: once it is open it is read into the ring, and a sink that cannot
//! be opened, or under `--on-slow drop` not in time, ends only itself.

mod clash;
mod digest;
mod inspection;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::rehearse_note;
use super::contact::Contact;
use super::entry::Entry;
use super::joint::{Joint, far_end};
use super::link::Link;
use super::mover::Mover;
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::endpoint::access::Access as Lists;
use crate::endpoint::open::Opened;
use crate::endpoint::{Descriptors, Transport};
use crate::error::{Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::plan::pipe::Pipe;
use crate::plan::{AfterPeerEof, DEFAULT_GRACE, Flow, Local};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::{Passage, Summary};
use crate::report::{Console, ProgressView};
use crate::session::end::End;
use crate::session::limits::soonest;
use crate::session::policy::Policy;
use crate::session::spread::{self, SinkId, Spread};
use crate::session::{Context, Session};
use clash::{refuse_one_file, refuse_twice};
use inspection::Inspection;

/// Gives the task that opens both ends and moves what there is.
///
/// # Errors
/// What can be known to fail before anything is opened.
pub(super) fn pipe(plan: &Pipe, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let observer = reporting.observers();
    let entry = |address, ways| Entry::new(address, ways, plan.connect_timeout, Rc::clone(&observer));
    let lists = Rc::new(RefCell::new(Lists::load(&plan.serving.allow, &plan.serving.deny)?));
    let mut entries = vec![entry(&plan.source, (true, plan.both_ways))?.with_access(Rc::clone(&lists))];
    for sink in &plan.sinks {
        let sink = entry(sink, (plan.both_ways, true))?.with_access(Rc::clone(&lists));
        refuse_one_file(entries[0].address(), sink.address())?;
        entries[1..].iter().try_for_each(|other| refuse_twice(other.address(), sink.address()))?;
        entries.push(sink);
    }
    if let Some(path) = plan.hash.as_ref().and_then(|hash| hash.file.as_deref()) {
        rehearse_note("--hash-file", path)?;
    }
    let joint = Joint::new(plan.transfer.clone(), Local::Stdio, DEFAULT_GRACE, observer);
    let inspection = Inspection::new(plan, Arc::clone(&joint.meter));
    Ok(Box::new(Piping {
        entries,
        lists,
        pending: Vec::new(),
        plan: plan.clone(),
        joint,
        inspection,
        console: reporting.console(),
        progress: reporting.progress(None),
        stage: Stage::Opening { late: false },
        began: None,
        started: None,
        stopping: false,
    }))
}

/// A source and its sinks: opened, then joined, then reported.
struct Piping {
    plan: Pipe,
    joint: Joint,
    /// The source, then its sinks.
    entries: Vec<Entry>,
    /// Who may come in at those that listen.
    lists: Rc<RefCell<Lists>>,
    /// Sinks that are still being opened while bytes move already: their place among the entries, and in the spread.
    pending: Vec<(usize, SinkId)>,
    inspection: Option<Inspection>,
    console: Console,
    progress: Option<ProgressView>,
    stage: Stage,
    /// When opening began, and when moving.
    began: Option<Instant>,
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
                entry.start(turn, &self.plan)?;
            }
        }
        Ok(())
    }

    /// Does what can be done about opening; true once all is open.
    fn open(&mut self, turn: &mut Turn, late: bool) -> Result<bool, Error> {
        let mut open = true;
        let early = self.begins_early();
        // what became of handshakes is known already
        while turn.finished().is_some() {}
        for (index, entry) in self.entries.iter_mut().enumerate() {
            // where others are attached later only the source is waited for
            if index == 0 || !early {
                open &= entry.turn(turn)? || entry.leaves_traces() && !late;
            }
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
        let began = self.entries.iter().filter_map(Entry::began).max();
        let Some(source) = self.entries[0].take() else { return Ok(()) };
        let size = self.size(&source.opened);
        let source = self.end(source, turn.now());
        let link = match self.plan.sinks.len() {
            1 if !self.is_buffered() => self.pair(turn, source)?,
            _ => self.spread(turn, source)?,
        };
        self.stage = Stage::Moving(Box::new(link.counted_from(began)));
        self.started = Some(turn.now());
        if let Some(mut view) = self.progress.take() {
            view.begin(turn.now(), size);
            let direction = (!self.plan.both_ways).then_some(0);
            let ticker = Ticker::new(view, Arc::clone(&self.joint.meter), direction);
            turn.spawn(Box::new(ticker.with_records(self.plan.records.is_some())));
        }
        Ok(())
    }

    /// A source and its only sink.
    fn pair(&mut self, turn: &mut Turn, source: End) -> Result<Link, Error> {
        let sink = self.entries[1].take().map(|sink| self.end(sink, turn.now()));
        let sink = sink.unwrap_or_else(|| self.joint.local_end(Transport::from(Descriptors::default())));
        let Context { pools, meter, observer, .. } = self.joint.context();
        let context = Context { policy: self.policy(), pools, meter, observer };
        let session = Session::new(source, sink, context, turn.now());
        let mut session = session.with_tap(self.inspection.as_ref().map(Inspection::tap));
        if let Err(error) = session.start(turn) {
            session.kill_programs();
            return Err(error);
        }
        Ok(self.joint.link(session, 1))
    }

    /// A source and its sinks, some of which may not be open yet.
    fn spread(&mut self, turn: &mut Turn, source: End) -> Result<Link, Error> {
        let Context { pools, meter, observer, .. } = self.joint.context();
        let plan = &self.plan;
        let (on_slow, buffer, stop_at) = (plan.on_slow, plan.transfer.buffer.map(|size| size.0), plan.stop_at);
        let policy = self.policy();
        let context = spread::Context { number: 1, policy, on_slow, buffer, stop_at, pools, meter, observer };
        let spread = Spread::new(source, context, turn.now());
        let mut spread = spread.with_tap(self.inspection.as_ref().map(Inspection::tap));
        self.pending = (1..self.entries.len()).map(|index| (index, spread.expect())).collect();
        if let Err(error) = spread.start(turn) {
            spread.kill_programs(turn);
            return Err(error);
        }
        Ok(self.joint.link_of(Mover::Spread(Box::new(spread)), 1))
    }

    /// Gives the spread those sinks that are open by now, or will not be.
    fn attach(&mut self, turn: &mut Turn) {
        let pending = std::mem::take(&mut self.pending);
        for (index, id) in pending {
            let entry = &mut self.entries[index];
            let found = entry.turn(turn).map(|open| if open { entry.take() } else { None });
            let end = match found {
                Ok(None) => {
                    self.pending.push((index, id));
                    continue;
                }
                Ok(Some(opened)) => Ok(self.end(opened, turn.now())),
                Err(error) => {
                    entry.abandon(turn);
                    Err(error)
                }
            };
            let Stage::Moving(link) = &mut self.stage else { return };
            let Some(spread) = link.spread() else { continue };
            match end {
                Ok(end) => spread.attach(turn, id, end),
                Err(error) => spread.failed_to_open(id, error, turn.now()),
            }
        }
    }

    /// What was opened, as a side of the session.
    fn end(&self, mut contact: Contact, now: Instant) -> End {
        let opened = &mut contact.opened;
        if self.plan.transfer.fsync {
            opened.transport.sync_before_close();
        }
        match opened.protocol {
            "stdio" => self.joint.local_end(contact.opened.transport),
            // a file or a program has nobody who could confirm anything
            _ if opened.transport.is_remote() => far_end(contact, self.joint.layers(now)),
            _ => far_end(contact, Vec::new()),
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

    /// True if a ring lies between the source and its sinks, also where there is only one.
    fn is_buffered(&self) -> bool {
        self.plan.transfer.buffer.is_some() && !self.plan.both_ways
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
        let signals = self.reread_lists(signals);
        let number = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)?;
        let again = std::mem::replace(&mut self.stopping, true);
        match &mut self.stage {
            Stage::Moving(link) => {
                let interrupted = link.interrupt(number, again, turn.now());
                self.pending.clear();
                self.entries.iter_mut().for_each(|entry| entry.abandon(turn));
                let outcome = interrupted?;
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
        let served = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Moving(link) if link.has_delivered_everything() => {
                Some((0..self.plan.sinks.len()).map(|index| link.has_served(index)).collect::<Vec<_>>())
            }
            _ => None,
        };
        match (&outcome.ended, served) {
            (Ended::Clean, Some(_)) => {
                if let Err(error) = self.tell_digest(None) {
                    outcome.ended = Ended::Failed(error);
                }
            }
            // some sinks have failed, and that is told; the others have everything
            (Ended::Told(status), Some(served)) => {
                if let Err(error) = self.tell_digest(Some(&served)) {
                    outcome.ended = Ended::Failed(error.with_status(*status));
                }
            }
            (Ended::Clean, None) if self.plan.hash.is_some() => outcome.ended = Ended::Failed(self.no_digest(&outcome)),
            _ => {}
        }
        let [bytes_out, bytes_in] = outcome.bytes;
        let elapsed = outcome.elapsed;
        self.joint.observer.observe(&match self.plan.both_ways {
            true => Event::Stats { bytes_in, bytes_out, elapsed },
            false => Event::Piped { bytes: bytes_out, records: self.records(), elapsed },
        });
        Park::Done(outcome)
    }
}

impl Task for Piping {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        turn.end_at(&[SIGINT, SIGTERM, SIGHUP]);
        self.began = Some(turn.now());
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
                Ok(false) => match self.overdue(turn.now()) {
                    Some(error) => Err(error),
                    None => {
                        let own = self.entries.iter().map(Entry::deadline);
                        turn.deadline(soonest(own.chain([self.watched_until()])));
                        return Park::Wait;
                    }
                },
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                return self.fail(turn, error);
            }
        }
        self.attach(turn);
        let Stage::Moving(link) = &mut self.stage else { return Park::Wait };
        match link.turn(turn) {
            Park::Done(outcome) => {
                let outcome = self.name_the_unopened(outcome);
                self.entries.iter_mut().for_each(|entry| entry.abandon(turn));
                self.report(outcome)
            }
            _ if self.give_up_overdue(turn) => Park::Again,
            park => {
                if let Some(at) = soonest(self.pending.iter().map(|(index, _)| self.entries[*index].deadline())) {
                    turn.deadline_at_most(at);
                }
                park
            }
        }
    }
}

/// The shorter of two limits that may both be there.
fn soonest_limit(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b].into_iter().flatten().min()
}
