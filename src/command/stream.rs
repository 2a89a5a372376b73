//! `listen` and `connect`: one connection bridged to standard input and output, or to a program.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::announce;
use super::approach::Approach;
use super::contact::Contact;
use super::door::Door;
use super::joint::Joint;
use super::layering::{Again, Layering};
use super::link::Link;
use super::patience::Patience;
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::endpoint::accept::Acceptor;
use crate::endpoint::access::Access;
use crate::endpoint::file::{self, Found};
use crate::endpoint::open::{Role, accepts};
use crate::endpoint::{Transport, process, stdio};
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Kind};
use crate::plan::{Connect, DEFAULT_GRACE, Flow, Listen, Local, Transfer, policy, serving};
use crate::reactor::{Park, Task, Turn};
use crate::report::{Console, ProgressView, Summary};

/// Gives the task that binds, accepts and bridges.
pub(super) fn listen(plan: &Listen, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let transfer = one_way(&plan.at, &plan.transfer, Flow::ReceiveOnly)?;
    let joint = Joint::new(transfer, plan.local.clone(), plan.serving.grace, reporting.observers());
    let joint = joint.with_copier(reporting.copier());
    let mut bridge = Bridge::new(&plan.at, joint, reporting)?;
    bridge.limit = plan.accept_timeout;
    bridge.access = Access::load(&plan.serving.allow, &plan.serving.deny)?;
    bridge.stage = match accepts(&plan.at, Role::Listen) {
        false => Stage::Opening(Box::new(bridge.approach(&plan.at, Patience::new(None, plan.accept_timeout))?)),
        true => {
            let layering = Layering::server(&plan.at, Again::Unlikely)?.typed(bridge.joint.is_typed());
            Stage::Binding(Box::new((plan.clone(), layering)))
        }
    };
    Ok(Box::new(bridge))
}

/// Gives the task that dials and bridges.
pub(super) fn connect(plan: &Connect, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let transfer = one_way(&plan.to, &plan.transfer, Flow::SendOnly)?;
    let joint = Joint::new(transfer, plan.local.clone(), DEFAULT_GRACE, reporting.observers());
    let joint = joint.with_copier(reporting.copier());
    let mut bridge = Bridge::new(&plan.to, joint, reporting)?;
    let patience = Patience::new(plan.wait, plan.connect_timeout);
    let approach = bridge.approach(&plan.to, patience)?.with_whole(plan.transfer.max_time);
    bridge.stage = Stage::Opening(Box::new(approach.with_header(plan.proxy_send)));
    Ok(Box::new(bridge))
}

/// Binds, and tells everybody where.
///
/// # Errors
/// It cannot be bound, a program would be served to the world there, or access lists would mean nothing there: then
/// nobody has been told, and nobody accepted.
pub(super) fn bind(
    turn: &mut Turn,
    plan: &Listen,
    layering: &Layering,
    observer: &dyn Observer,
) -> Result<Acceptor, Error> {
    let mut acceptor = Acceptor::open(&plan.at)?;
    policy::programs_and_the_bound(&plan.at, acceptor.ip(), policy::runs_program(&plan.local), &plan.serving)?;
    if acceptor.ip().is_none() {
        serving::lists_and_the_nameless(plan)?;
    }
    acceptor.start(turn)?;
    announce(&plan.announce, &acceptor)?;
    let (protocol, address) = (layering.protocol(acceptor.protocol()), acceptor.address().to_string());
    observer.observe(&Event::Listening { protocol, address });
    layering.tell_pin("connect", &acceptor, observer);
    Ok(acceptor)
}

/// A bare path may turn out to be a FIFO, which goes one way: into it when connecting, out of it when listening.
///
/// # Errors
/// A banner for something that is only read; receipts where only one way leads.
fn one_way(address: &Address, transfer: &Transfer, flow: Flow) -> Result<Transfer, Error> {
    let mut transfer = transfer.clone();
    let is_fifo = match &address.kind {
        Kind::Path(path) => matches!(file::find(path), Ok(Found::Fifo)),
        kind => matches!(kind, Kind::Fifo(_)),
    };
    if is_fifo && transfer.verify {
        let error =
            Error::said(Op::Use, format!("--verify with {address}"), "a FIFO goes one way, and receipts go the other");
        return Err(error.with_advice("fd:N/M with two FIFOs, or a Unix socket"));
    }
    if is_fifo && transfer.flow == Flow::Both && transfer.stdin {
        transfer.flow = flow;
    }
    if is_fifo && transfer.flow == Flow::ReceiveOnly && !transfer.banner.is_empty() {
        let error = Error::said(Op::Use, format!("--banner with {address}"), "a FIFO is read here");
        return Err(error.with_advice("a Unix socket"));
    }
    Ok(transfer)
}

/// One connection: opened, then bridged, then reported.
struct Bridge {
    stage: Stage,
    joint: Joint,
    /// The endpoint as typed, for messages.
    object: String,
    /// Longest time that the connection may take to come.
    limit: Option<Duration>,
    opened_by: Option<Instant>,
    /// Who may connect.
    access: Access,
    stdio: Option<Transport>,
    console: Console,
    progress: Option<ProgressView>,
    /// Bytes to be sent, where standard input is a file.
    size: Option<u64>,
    started: Option<Instant>,
    stopping: bool,
}

/// How far it is.
enum Stage {
    /// About to listen there: bound only once signals are handled, or one that comes between would leave a socket file.
    Binding(Box<(Listen, Layering)>),
    /// Waiting for the one connection.
    Accepting(Box<Door>),
    /// Dialling, or opening what is not dialled.
    Opening(Box<Approach>),
    /// Moving bytes, then waiting for programs.
    Moving(Box<Link>),
    /// Nothing yet, or over.
    Idle,
}

impl Bridge {
    fn new(address: &Address, joint: Joint, reporting: &Reporting) -> Result<Self, Error> {
        if let Local::Program(program) = &joint.local {
            process::check(program)?;
        }
        let stdio = joint.open_stdio()?;
        let size = if stdio.is_some() && joint.sends() { stdio::size_hint() } else { None };
        let size = size.map(|size| size + joint.transfer.banner.len() as u64);
        Ok(Bridge {
            stage: Stage::Idle,
            joint,
            object: address.to_string(),
            limit: None,
            opened_by: None,
            access: Access::default(),
            stdio,
            console: reporting.console(),
            progress: reporting.progress(size),
            size,
            started: None,
            stopping: false,
        })
    }

    fn approach(&self, address: &Address, patience: Patience) -> Result<Approach, Error> {
        let layering = Layering::client(address)?.typed(self.joint.is_typed());
        Approach::over(address, layering, self.joint.ways(), patience, Rc::clone(&self.joint.observer))
    }

    /// Waits for the connection, or for the dial; `Some` when this turn is over.
    fn open(&mut self, turn: &mut Turn) -> Option<Park> {
        let found = match &mut self.stage {
            Stage::Accepting(door) => {
                // what became of each is known already
                while turn.finished().is_some() {}
                door.turn(turn, &self.access)
            }
            Stage::Opening(opening) => opening.turn(turn),
            Stage::Binding(_) | Stage::Moving(_) | Stage::Idle => return None,
        };
        let contact = match found {
            Ok(Some(contact)) => contact,
            Ok(None) => return Some(self.wait(turn)),
            Err(error) => return Some(self.fail(turn, error)),
        };
        let listened = matches!(self.stage, Stage::Accepting(_));
        if let Stage::Accepting(door) = std::mem::replace(&mut self.stage, Stage::Idle) {
            door.close(turn);
        }
        self.begin(turn, contact, listened).err().map(|error| self.fail(turn, error))
    }

    /// Parks until there is a connection, or the time for it is over.
    fn wait(&mut self, turn: &mut Turn) -> Park {
        if let (Some(at), Some(limit)) = (self.opened_by, self.limit)
            && at <= turn.now()
        {
            // the address that was bound says more than the port 0 that was typed
            let object = match &self.stage {
                Stage::Accepting(door) => format!("{} {}", door.protocol(), door.acceptor().address()),
                _ => self.object.clone(),
            };
            let error = Error::new(Op::Accept, object, Cause::TimedOut(limit));
            return self.fail(turn, error);
        }
        let own = match &mut self.stage {
            Stage::Accepting(door) => {
                door.tell_trouble();
                door.deadline()
            }
            Stage::Opening(opening) => opening.deadline(),
            Stage::Binding(_) | Stage::Moving(_) | Stage::Idle => None,
        };
        turn.deadline(crate::session::limits::soonest([own, self.opened_by]));
        Park::Wait
    }

    fn fail(&mut self, turn: &mut Turn, error: Error) -> Park {
        self.abandon(turn);
        Park::Done(Outcome::nothing_moved(Ended::Failed(error)))
    }

    fn abandon(&mut self, turn: &mut Turn) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Accepting(door) => door.close(turn),
            Stage::Opening(mut opening) => opening.abandon(turn),
            Stage::Binding(_) | Stage::Moving(_) | Stage::Idle => {}
        }
    }

    /// Joins the two ends.
    fn begin(&mut self, turn: &mut Turn, contact: Contact, listened: bool) -> Result<(), Error> {
        let (session, observer) = (1, &*self.joint.observer);
        match listened {
            true => contact.tell_accepted(session, observer),
            false => contact.tell_connected(session, observer),
        }
        let link = self.joint.join(turn, contact, self.stdio.take(), session)?;
        self.stage = Stage::Moving(Box::new(link));
        self.started = Some(turn.now());
        if let Some(view) = self.progress.take() {
            let direction = self.size.map(|_| 0);
            turn.spawn(Box::new(Ticker::new(view, Arc::clone(&self.joint.meter), direction)));
        }
        Ok(())
    }

    /// What signals ask for; `Some` when that is the end.
    fn obey(&mut self, turn: &mut Turn) -> Option<Park> {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now()));
        }
        // with an access list that is read again, SIGHUP is no end
        let signals = match signals & 1 << SIGHUP != 0 && matches!(self.stage, Stage::Accepting(_)) {
            true if !self.access.is_unlimited() => {
                if let Err(error) = self.access.reload() {
                    self.joint.observer.observe(&Event::Error { session: None, reason: error.line() });
                }
                signals & !(1 << SIGHUP)
            }
            _ => signals,
        };
        let number = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)?;
        let again = std::mem::replace(&mut self.stopping, true);
        match &mut self.stage {
            Stage::Moving(link) => {
                let outcome = link.interrupt(number, again, turn.now())?;
                Some(self.report(outcome))
            }
            _ => {
                self.abandon(turn);
                Some(Park::Done(Outcome::nothing_moved(Ended::Signal(number))))
            }
        }
    }

    fn summary(&self, now: Instant) -> Summary {
        let elapsed = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        let meter = &self.joint.meter;
        Summary { bytes_in: meter.delivered(1), bytes_out: meter.delivered(0), elapsed, reason: None }
    }

    /// Tells the totals.
    fn report(&self, outcome: Outcome) -> Park {
        let [bytes_out, bytes_in] = outcome.bytes;
        self.joint.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed: outcome.elapsed });
        Park::Done(outcome)
    }
}

impl Task for Bridge {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        turn.end_at(&[SIGINT, SIGTERM, SIGHUP]);
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Binding(both) => {
                let (plan, layering) = *both;
                self.opened_by = self.limit.map(|limit| turn.now() + limit);
                let acceptor = bind(turn, &plan, &layering, &*self.joint.observer)?;
                self.stage = Stage::Accepting(Box::new(Door::new(acceptor, layering, Rc::clone(&self.joint.observer))));
                Ok(())
            }
            Stage::Opening(mut opening) => {
                opening.start(turn)?;
                self.stage = Stage::Opening(opening);
                Ok(())
            }
            other => {
                self.stage = other;
                Ok(())
            }
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if let Some(park) = self.obey(turn) {
            return park;
        }
        if let Some(park) = self.open(turn) {
            return park;
        }
        let Stage::Moving(link) = &mut self.stage else { return Park::Wait };
        match link.turn(turn) {
            Park::Done(outcome) => {
                self.stage = Stage::Idle;
                self.report(outcome)
            }
            park => park,
        }
    }
}
