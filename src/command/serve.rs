//! `listen -k`: many connections at once, each joined to a program of its own, or all of them to one standard input and
//! output, until a count or a signal ends it.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::client::{Client, Closing, stopped};
use super::contact::Contact;
use super::errand::Errand;
use super::gate::{Gate, possible};
use super::joint::{Joint, far_end};
use super::layering::{Again, Layering};
use super::progress::Ticker;
use super::reporting::Reporting;
use super::stream::bind;
use super::vestibule::{Passed, Vestibule};
use crate::endpoint::accept::Acceptor;
use crate::endpoint::access::Access;
use crate::endpoint::process::{self, Output};
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::plan::{Flow, Listen, Local, Share};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::report::summary::reason;
use crate::report::{Console, ProgressView, Summary};
use crate::session::hub::{self, Departed, Hub, Standing};
use crate::session::limits::soonest;
use crate::session::policy::Policy;

/// Accepts within its limits, and gives every connection a task of its own.
struct Server {
    plan: Listen,
    /// `None` before it is bound, and once it has stopped accepting.
    acceptor: Option<Acceptor>,
    joint: Rc<Joint>,
    gate: Gate,
    /// What stands on each connection.
    layering: Layering,
    /// Who has come in and has not got through.
    vestibule: Vestibule,
    /// Sessions with a program, each a task of its own.
    clients: HashMap<TaskId, Option<IpAddr>>,
    /// Everybody else, around standard input and output.
    hub: Option<Hub>,
    /// The clients of the hub by their number.
    guests: HashMap<u64, Option<IpAddr>>,
    /// Connections accepted so far; the number of the newest session.
    accepted: u64,
    /// The command of `--then`.
    errand: Option<Errand>,
    status: u8,
    /// How the hub ended.
    ended: Option<Ended>,
    /// Tells every client to come to its end.
    closing: Rc<Cell<Option<Closing>>>,
    console: Console,
    /// Shown from the first connection on.
    progress: Option<ProgressView>,
    /// When the first connection must have come; `None` once it has.
    opened_by: Option<Instant>,
    started: Instant,
}

/// Connections at once. A bare connection that finds no descriptor waits in the backlog; one with a program is let in
/// only when there is one for everything that it needs.
fn most(plan: &Listen) -> u64 {
    match plan.local {
        Local::Stdio => plan.serving.most.unwrap_or_else(|| possible(1)),
        Local::Program(_) => plan.serving.most.unwrap_or(u64::MAX).min(possible(DESCRIPTORS)),
    }
}

/// Gives the task that binds and serves.
pub(super) fn listen(plan: &Listen, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    Ok(Box::new(Server::new(plan, reporting)?))
}

/// Standard input and output with nobody around them yet.
fn open_hub(plan: &Listen, joint: &Joint, lines: bool) -> Result<Hub, Error> {
    let share = plan.serving.share;
    let local = match share {
        Share::Broker => None,
        Share::Merge | Share::FanOut => {
            let reads = share == Share::FanOut && joint.sends();
            Some(joint.local_end(joint.open_local(reads, plan.transfer.flow != Flow::SendOnly)?))
        }
    };
    let policy = Policy { grace: plan.serving.grace, ..joint.policy() };
    let (pools, meter, observer) = (Rc::clone(&joint.pools), Arc::clone(&joint.meter), Rc::clone(&joint.observer));
    let hub = Hub::new(local, hub::Context { share, lines, policy, pools, meter, observer }, Instant::now());
    let hub = hub.with_banner(&joint.transfer.banner);
    Ok(match joint.copier.clone() {
        Some(copier) => hub.with_taps(move |number| copier.tap(number)),
        None => hub,
    })
}

impl Server {
    /// A server that is not bound yet.
    ///
    /// # Errors
    /// A program that cannot be run, an access list that cannot be read.
    fn new(plan: &Listen, reporting: &Reporting) -> Result<Self, Error> {
        if let Local::Program(program) = &plan.local {
            process::check(program)?;
        }
        let serving = &plan.serving;
        let access = Access::load(&serving.allow, &serving.deny)?;
        let gate = Gate::new(access, serving, most(plan));
        let joint =
            Joint::new(plan.transfer.clone(), plan.local.clone(), serving.grace, reporting.observers()).for_many();
        let joint = joint.with_copier(reporting.copier());
        let layering = Layering::server(&plan.at, Again::Unlikely)?.typed(joint.is_typed());
        let layering = layering.shared(serving.share == Share::Broker);
        let hub = match plan.local {
            Local::Stdio => Some(open_hub(plan, &joint, layering.speaks_lines())?),
            Local::Program(_) => None,
        };
        Ok(Server {
            plan: plan.clone(),
            acceptor: None,
            layering,
            vestibule: Vestibule::new(Rc::clone(&joint.observer)),
            joint: Rc::new(joint),
            gate,
            clients: HashMap::new(),
            hub,
            guests: HashMap::new(),
            accepted: 0,
            errand: None,
            status: 0,
            ended: None,
            closing: Rc::new(Cell::new(None)),
            console: reporting.console(),
            progress: reporting.progress(None),
            opened_by: None,
            started: Instant::now(),
        })
    }

    /// Accepts what may be accepted; true if there may be more at once.
    fn accept(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        for _ in 0..ACCEPTS {
            self.let_through(turn);
            if self.gate.is_full() || self.vestibule.is_full() {
                return Ok(false);
            }
            let Some(acceptor) = &mut self.acceptor else { return Ok(false) };
            let Some(accepted) = acceptor.accept(turn)? else { return Ok(false) };
            let (ip, waiting) = (accepted.ip, self.vestibule.waiting_from(accepted.ip));
            match self.gate.refuses_beside(waiting, ip).or_else(|| self.vestibule.refuses(ip)) {
                None => self.vestibule.admit(turn, accepted, &self.layering, ()),
                Some(why) => self.refuse(&accepted.peer, why),
            }
        }
        self.let_through(turn);
        Ok(true)
    }

    /// Serves those whose handshakes are over, while there is room. Who is in the vestibule has no place yet.
    fn let_through(&mut self, turn: &mut Turn) {
        while !self.gate.is_full()
            && let Some(Passed { contact, ip, .. }) = self.vestibule.passed()
        {
            match self.gate.refuses(ip) {
                None => self.welcome(turn, contact, ip),
                Some(why) => {
                    self.refuse(&contact.opened.peer, why);
                    contact.reset(turn);
                }
            }
            if self.plan.serving.count.is_some_and(|count| self.accepted >= count) {
                self.stop_accepting(turn);
            }
        }
    }

    fn refuse(&self, peer: &str, why: &str) {
        let text = format!("refused {peer}: {why}");
        self.joint.observer.observe(&Event::Note { verbosity: 1, text });
    }

    fn welcome(&mut self, turn: &mut Turn, contact: Contact, ip: Option<IpAddr>) {
        self.accepted += 1;
        self.opened_by = None;
        if let Some(view) = self.progress.take() {
            turn.spawn(Box::new(Ticker::new(view, Arc::clone(&self.joint.meter), None)));
        }
        let number = self.accepted;
        contact.tell_accepted(number, &*self.joint.observer);
        self.gate.enter(ip);
        if let Some(hub) = &mut self.hub {
            self.guests.insert(number, ip);
            let came = contact.began();
            if let Err(error) = hub.add(turn, far_end(contact, self.joint.layers(turn.now())), number, came) {
                let reason = error.line();
                self.joint.observer.observe(&Event::Error { session: Some(number), reason });
                self.guests.remove(&number);
                self.gate.leave(ip);
            }
            return;
        }
        let (joint, closing) = (Rc::clone(&self.joint), Rc::clone(&self.closing));
        let client = Client::new(contact, joint, closing, number);
        let id = turn.spawn(Box::new(client));
        self.clients.insert(id, ip);
    }

    /// Strikes off whoever is done.
    fn farewell(&mut self, turn: &mut Turn) {
        while let Some((id, _)) = turn.finished() {
            if let Some(ip) = self.clients.remove(&id) {
                self.gate.leave(ip);
            }
        }
    }

    /// Tells how the clients of the hub ended that are gone, and strikes them off; true if there were any.
    fn see_off(&mut self) -> bool {
        let departed: Vec<Departed> = self.hub.iter_mut().flat_map(Hub::departed).collect();
        let any = !departed.is_empty();
        for Departed { number, outcome } in departed {
            let [bytes_out, bytes_in] = outcome.bytes;
            let (elapsed, reason) = (outcome.elapsed, reason(&outcome.ended));
            let closed = Event::Closed { session: number, bytes_in, bytes_out, elapsed, reason };
            self.joint.observer.observe(&closed);
            if let Some(ip) = self.guests.remove(&number) {
                self.gate.leave(ip);
            }
        }
        any
    }

    /// Has a half-closed client of the hub make room if there is none for somebody who waits; true if it did.
    fn make_room(&mut self, turn: &mut Turn) -> bool {
        let (Some(acceptor), Some(hub)) = (&mut self.acceptor, &mut self.hub) else { return false };
        let awaited = self.vestibule.has_passed() || acceptor.is_awaited(turn);
        let wanted = acceptor.is_starved() || self.gate.is_full() && awaited;
        if !wanted || !hub.make_room(turn) {
            return false;
        }
        acceptor.resume();
        self.see_off();
        true
    }

    /// Gives the hub its turn; true if it has more to do at once.
    fn run_hub(&mut self, turn: &mut Turn) -> bool {
        let Some(hub) = &mut self.hub else { return false };
        let standing = hub.turn(turn);
        // a place that is free again is offered at once: no event comes for somebody who waits already
        let freed = self.see_off() && self.acceptor.is_some();
        match standing {
            Standing::Waiting => freed,
            Standing::Busy => true,
            Standing::Over(ended) => {
                self.hub = None;
                self.stop_accepting(turn);
                // a server that was asked to end has done what it should
                let ended = match ended {
                    Ended::Told(_) => ended,
                    _ if self.closing.get().is_some() => Ended::Clean,
                    _ => ended,
                };
                // a count that was reached leaves the command its time; a failure here is its failure
                if let (Some(errand), false) = (&mut self.errand, matches!(ended, Ended::Clean)) {
                    errand.hurry(turn.now());
                }
                self.ended.get_or_insert(ended);
                false
            }
        }
    }

    /// Gives up if the first connection has not come within its time. Nobody is here then, so nothing is left to move.
    fn lose_patience(&mut self, turn: &mut Turn) {
        let (Some(at), Some(limit)) = (self.opened_by, self.plan.accept_timeout) else { return };
        if let Some(acceptor) = self.acceptor.as_ref().filter(|_| at <= turn.now()) {
            let object = format!("{} {}", self.layering.protocol(acceptor.protocol()), acceptor.address());
            self.hub = None;
            self.wind_up(turn);
            self.ended = Some(Ended::Failed(Error::new(Op::Accept, object, Cause::TimedOut(limit))));
        }
    }

    fn stop_accepting(&mut self, turn: &mut Turn) {
        self.opened_by = None;
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.close(turn);
        }
        self.vestibule.close(turn);
        if let Some(hub) = &mut self.hub {
            hub.expect_no_more();
        }
    }

    /// Stops accepting and gives open sessions their grace; asked again, none.
    fn wind_up(&mut self, turn: &mut Turn) {
        self.stop_accepting(turn);
        let again = self.closing.get().is_some();
        let closing = if again { Closing::Now } else { Closing::Until(turn.now() + self.plan.serving.grace) };
        self.closing.set(Some(closing));
        for id in self.clients.keys() {
            turn.wake(*id);
        }
        if let Some(hub) = &mut self.hub {
            hub.stop(stopped(), turn.now());
        }
        if let Some(errand) = &mut self.errand {
            if again { errand.kill(turn.now()) } else { errand.hurry(turn.now()) }
        }
    }

    fn obey(&mut self, turn: &mut Turn) {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now()));
        }
        if signals & 1 << SIGHUP != 0 {
            for error in [self.gate.reload(), self.layering.reload()].into_iter().filter_map(Result::err) {
                self.joint.observer.observe(&Event::Error { session: None, reason: error.line() });
            }
        }
        if signals & (1 << SIGINT | 1 << SIGTERM) != 0 {
            self.wind_up(turn);
        }
    }

    fn summary(&self, now: Instant) -> Summary {
        let (meter, elapsed) = (&self.joint.meter, now.saturating_duration_since(self.started));
        Summary { bytes_in: meter.delivered(1), bytes_out: meter.delivered(0), elapsed, reason: None }
    }

    /// The command of `--then` has ended: so does the server.
    fn run_errand(&mut self, turn: &mut Turn) {
        let Some(errand) = &mut self.errand else { return };
        if let Some(status) = errand.turn(turn) {
            // a command that was stopped because nobody came is not why it ends
            self.status = if self.accepted == 0 && self.ended.is_some() { 0 } else { status };
            self.errand = None;
            if self.closing.get().is_none() {
                self.wind_up(turn);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.acceptor.is_none() && self.clients.is_empty() && self.hub.is_none() && self.errand.is_none()
    }

    fn finish(&mut self, turn: &Turn) -> Outcome {
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(turn.now());
        self.joint.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        let ended = match (self.ended.take(), self.status) {
            // the command of --then was only told to end because of this
            (Some(ended @ (Ended::Failed(_) | Ended::ReaderGone)), _) => ended,
            (ended, 0) => ended.unwrap_or(Ended::Clean),
            (_, status) => Ended::Program(status),
        };
        Outcome { ended, bytes: [bytes_out, bytes_in], elapsed }
    }
}

impl Task for Server {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        turn.end_at(&[SIGINT, SIGTERM]);
        if let Some(hub) = &mut self.hub {
            hub.start(turn)?;
        }
        self.opened_by = self.plan.accept_timeout.map(|limit| turn.now() + limit);
        let acceptor = bind(turn, &self.plan, &self.layering, &*self.joint.observer)?;
        if let Some(text) = &self.plan.serving.then {
            let output = match self.plan.local {
                Local::Program(_) => Output::Inherited,
                Local::Stdio => Output::StandardError,
            };
            let mut errand = Errand::run(text, &(&acceptor).into(), output, self.plan.serving.grace)?;
            errand.start(turn)?;
            self.errand = Some(errand);
        }
        self.acceptor = Some(acceptor);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        self.obey(turn);
        self.farewell(turn);
        self.run_errand(turn);
        let more = match self.accept(turn) {
            Ok(more) => more,
            Err(error) => {
                // the listener is of no use any more: what is open still comes to its end
                self.ended = Some(Ended::Failed(error));
                self.wind_up(turn);
                false
            }
        };
        self.lose_patience(turn);
        let was_full = self.gate.is_full();
        let busy = self.run_hub(turn);
        let has_room = self.make_room(turn) || was_full && !self.gate.is_full();
        if let Some(trouble) = self.acceptor.as_mut().and_then(Acceptor::trouble) {
            self.joint.observer.observe(&Event::Error { session: None, reason: trouble.line() });
        }
        if self.is_over() {
            return Park::Done(self.finish(turn));
        }
        let pause = self.acceptor.as_ref().and_then(Acceptor::deadline);
        let now = turn.now();
        let hub = self.hub.as_mut().and_then(|hub| hub.deadline(now));
        turn.deadline(soonest([pause, self.opened_by, hub, self.errand.as_ref().and_then(Errand::deadline)]));
        if more || busy || has_room { Park::Again } else { Park::Wait }
    }
}

/// A connection with a program: its socket, two pipes, the pidfd, and one to spare while it is made.
const DESCRIPTORS: u64 = 5;

/// Connections taken in one turn before others are served.
const ACCEPTS: usize = 64;
