//! `listen` and `connect`: one connection bridged to standard input and output.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::announce;
use super::approach::Approach;
use super::patience::Patience;
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::endpoint::accept::Acceptor;
use crate::endpoint::file::{self, Found};
use crate::endpoint::open::{Opened, Role, accepts};
use crate::endpoint::{Transport, stdio};
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Kind};
use crate::plan::{Connect, Flow, Listen, Transfer};
use crate::reactor::{Park, Task, Turn};
use crate::report::summary::reason;
use crate::report::{Console, ProgressView, Summary};
use crate::session::carrier::Pools;
use crate::session::end::{End, Side};
use crate::session::policy::Policy;
use crate::session::{Context, Session};
use crate::sys;

/// Binds at once, so that a mistake is told before anything else, and gives the task that accepts and bridges.
pub(super) fn listen(plan: &Listen, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let transfer = one_way(&plan.at, &plan.transfer, Flow::ReceiveOnly);
    let mut bridge = Bridge::new(&plan.at, &transfer, reporting)?;
    bridge.limit = plan.accept_timeout;
    let ways = (transfer.flow != Flow::SendOnly, sends(&transfer));
    bridge.stage = match accepts(&plan.at, Role::Listen) {
        false => {
            let patience = Patience::new(None, plan.accept_timeout);
            Stage::Opening(Approach::new(&plan.at, ways, patience, reporting.observers())?)
        }
        true => {
            let acceptor = Acceptor::open(&plan.at)?;
            announce(&plan.announce, &acceptor)?;
            let (protocol, address) = (acceptor.protocol(), acceptor.address().to_string());
            bridge.observer.observe(&Event::Listening { protocol, address });
            Stage::Accepting(acceptor)
        }
    };
    Ok(Box::new(bridge))
}

/// Gives the task that dials and bridges.
pub(super) fn connect(plan: &Connect, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let transfer = one_way(&plan.to, &plan.transfer, Flow::SendOnly);
    let mut bridge = Bridge::new(&plan.to, &transfer, reporting)?;
    let ways = (transfer.flow != Flow::SendOnly, sends(&transfer));
    let patience = Patience::new(plan.wait, plan.connect_timeout);
    bridge.stage = Stage::Opening(Approach::new(&plan.to, ways, patience, reporting.observers())?);
    Ok(Box::new(bridge))
}

/// A bare path may turn out to be a FIFO, which goes one way: into it when connecting, out of it when listening.
fn one_way(address: &Address, transfer: &Transfer, flow: Flow) -> Transfer {
    let mut transfer = transfer.clone();
    if let Kind::Path(path) = &address.kind
        && transfer.flow == Flow::Both
        && transfer.stdin
        && matches!(file::find(path), Ok(Found::Fifo))
    {
        transfer.flow = flow;
    }
    transfer
}

/// The rules of a session, as the plan has them.
pub(super) fn policy(transfer: &Transfer) -> Policy {
    Policy {
        flow: transfer.flow,
        stdin: transfer.stdin,
        shutdown: transfer.shutdown,
        after_peer_eof: transfer.after_peer_eof,
        quit_after: transfer.quit_after,
        linger: transfer.linger,
        grace: GRACE,
        idle: transfer.idle,
        max_time: transfer.max_time,
        max_bytes: transfer.max_bytes,
        rate: transfer.rate,
        block: transfer.block.map_or(BLOCK, |size| size.0 as usize),
        splice: transfer.splice,
        hint: sys::stderr_columns().is_some(),
    }
}

/// Where the carriers of a session come from.
pub(super) fn pools(transfer: &Transfer) -> Rc<Pools> {
    let size = |default| transfer.buffer.map_or(default, |size| size.0 as usize);
    Pools::new(size(BUFFER), size(PIPE))
}

fn sends(transfer: &Transfer) -> bool {
    transfer.flow != Flow::ReceiveOnly && transfer.stdin
}

/// One connection: opened, then bridged, then reported.
struct Bridge {
    stage: Stage,
    /// The endpoint as typed, for messages.
    object: String,
    /// Longest time that the connection may take to come.
    limit: Option<Duration>,
    opened_by: Option<Instant>,
    transfer: Transfer,
    local: Option<Transport>,
    pools: Rc<Pools>,
    meter: Arc<Meter>,
    observer: Rc<dyn Observer>,
    console: Console,
    progress: Option<ProgressView>,
    /// Bytes in a file on standard input.
    size: Option<u64>,
    started: Option<Instant>,
    stopping: bool,
}

/// How far it is.
enum Stage {
    /// Waiting for the one connection.
    Accepting(Acceptor),
    /// Dialling, or opening what is not dialled.
    Opening(Approach),
    /// Moving bytes.
    Moving(Box<Session>),
    /// Nothing yet, or over.
    Idle,
}

impl Bridge {
    fn new(address: &Address, transfer: &Transfer, reporting: &Reporting) -> Result<Self, Error> {
        let reads = sends(transfer);
        let local = stdio::open(reads, transfer.flow != Flow::SendOnly)?;
        let size = if reads { stdio::size_hint() } else { None };
        Ok(Bridge {
            stage: Stage::Idle,
            object: address.to_string(),
            limit: None,
            opened_by: None,
            transfer: transfer.clone(),
            local: Some(local),
            pools: pools(transfer),
            meter: Arc::new(Meter::default()),
            observer: reporting.observers(),
            console: reporting.console(),
            progress: reporting.progress(size),
            size,
            started: None,
            stopping: false,
        })
    }

    /// Waits for the connection, or for the dial; `Some` when this turn is over.
    fn open(&mut self, turn: &mut Turn) -> Option<Park> {
        let found = match &mut self.stage {
            Stage::Accepting(acceptor) => acceptor.accept(turn).map(|accepted| accepted.map(Opened::from)),
            Stage::Opening(opening) => opening.turn(turn),
            Stage::Moving(_) | Stage::Idle => return None,
        };
        let opened = match found {
            Ok(Some(opened)) => opened,
            Ok(None) => return Some(self.wait(turn)),
            Err(error) => return Some(self.fail(turn, error)),
        };
        let listened = matches!(self.stage, Stage::Accepting(_));
        if let Stage::Accepting(acceptor) = std::mem::replace(&mut self.stage, Stage::Idle) {
            acceptor.close(turn);
        }
        self.begin(turn, opened, listened)
    }

    /// Parks until there is a connection, or the time for it is over.
    fn wait(&mut self, turn: &mut Turn) -> Park {
        if let (Some(at), Some(limit)) = (self.opened_by, self.limit)
            && at <= turn.now()
        {
            let error = Error::new(Op::Accept, &self.object, Cause::TimedOut(limit));
            return self.fail(turn, error);
        }
        let own = match &mut self.stage {
            Stage::Accepting(acceptor) => {
                if let Some(trouble) = acceptor.trouble() {
                    self.observer.observe(&Event::Error { session: None, reason: trouble.line() });
                }
                acceptor.deadline()
            }
            Stage::Opening(opening) => opening.deadline(),
            Stage::Moving(_) | Stage::Idle => None,
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
            Stage::Accepting(acceptor) => acceptor.close(turn),
            Stage::Opening(mut opening) => opening.abandon(turn),
            Stage::Moving(_) | Stage::Idle => {}
        }
    }

    /// Joins the two ends; `Some` if that failed.
    fn begin(&mut self, turn: &mut Turn, opened: Opened, listened: bool) -> Option<Park> {
        let Opened { transport, protocol, peer, local, cut } = opened;
        let (name, session) = (peer.clone(), 1);
        self.observer.observe(&match listened {
            true => Event::Accepted { session, protocol, peer, local },
            false => Event::Connected { session, protocol, peer, local },
        });
        let side = match transport.is_remote() {
            true => Side::Peer(name),
            false => Side::Local { reading: name.clone(), writing: name },
        };
        let mut far = End::new(transport, side, None);
        if cut.is_some() {
            far.mark_cut();
        }
        let names = Side::Local { reading: "standard input".into(), writing: "standard output".into() };
        let near = End::new(self.local.take()?, names, None);
        let context = Context {
            number: session,
            policy: policy(&self.transfer),
            pools: Rc::clone(&self.pools),
            meter: Arc::clone(&self.meter),
            observer: Rc::clone(&self.observer),
        };
        let mut moving = Box::new(Session::new(near, far, context, turn.now()));
        self.started = Some(turn.now());
        if let Some(view) = self.progress.take() {
            let direction = self.size.map(|_| 0);
            turn.spawn(Box::new(Ticker::new(view, Arc::clone(&self.meter), direction)));
        }
        let started = moving.start(turn);
        self.stage = Stage::Moving(moving);
        started.err().map(|error| self.fail(turn, error))
    }

    /// What signals ask for; `Some` when that is the end.
    fn obey(&mut self, turn: &mut Turn) -> Option<Park> {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now()));
        }
        let number = [SIGINT, SIGTERM, SIGHUP].into_iter().find(|number| signals & 1 << number != 0)?;
        let again = std::mem::replace(&mut self.stopping, true);
        match &mut self.stage {
            Stage::Moving(session) if !again => {
                session.stop(Ended::Signal(number), turn.now());
                None
            }
            Stage::Moving(session) => {
                let bytes = session.bytes();
                Some(self.report(Outcome { bytes, ..Outcome::nothing_moved(Ended::Signal(number)) }))
            }
            _ => {
                self.abandon(turn);
                Some(Park::Done(Outcome::nothing_moved(Ended::Signal(number))))
            }
        }
    }

    fn summary(&self, now: Instant) -> Summary {
        let elapsed = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        let (bytes_out, bytes_in) = (self.meter.delivered(0), self.meter.delivered(1));
        Summary { bytes_in, bytes_out, elapsed, reason: None }
    }

    /// Tells how it ended.
    fn report(&self, outcome: Outcome) -> Park {
        let [bytes_out, bytes_in] = outcome.bytes;
        let elapsed = outcome.elapsed;
        let reason = reason(&outcome.ended);
        self.observer.observe(&Event::Closed { session: 1, bytes_in, bytes_out, elapsed, reason });
        self.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        Park::Done(outcome)
    }
}

impl Task for Bridge {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        if let Stage::Accepting(_) = self.stage {
            self.opened_by = self.limit.map(|limit| turn.now() + limit);
        }
        match &mut self.stage {
            Stage::Accepting(acceptor) => acceptor.start(turn),
            Stage::Opening(opening) => opening.start(turn),
            Stage::Moving(_) | Stage::Idle => Ok(()),
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if let Some(park) = self.obey(turn) {
            return park;
        }
        if let Some(park) = self.open(turn) {
            return park;
        }
        let Stage::Moving(session) = &mut self.stage else { return Park::Wait };
        match session.turn(turn) {
            Park::Done(outcome) => {
                self.stage = Stage::Idle;
                self.report(outcome)
            }
            park => park,
        }
    }
}

/// Bytes in a buffer of ours: beyond this reads gain nothing.
const BUFFER: usize = 256 * 1024;

/// Bytes in a kernel pipe of ours: what an unprivileged process may have.
const PIPE: usize = 1 << 20;

/// Bytes by one system call.
const BLOCK: usize = 1 << 20;

/// How long a signal lets what is in transit go on.
const GRACE: Duration = Duration::from_millis(500);
