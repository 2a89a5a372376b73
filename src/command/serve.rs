//! `listen -k`: many connections at once, each joined to a program of its own, until a count or a signal ends it.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::errand::Errand;
use super::link::{Joint, Link};
use super::reporting::Reporting;
use super::stream::bind;
use crate::endpoint::accept::{Accepted, Acceptor};
use crate::endpoint::access::Access;
use crate::endpoint::open::Opened;
use crate::endpoint::process::{self, Output};
use crate::error::{Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, Outcome};
use crate::plan::{Listen, Local};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::report::{Console, Summary};
use crate::session::limits::soonest;

/// Accepts within its limits, and gives every connection a task of its own.
struct Server {
    plan: Listen,
    /// `None` before it is bound, and once it has stopped accepting.
    acceptor: Option<Acceptor>,
    joint: Rc<Joint>,
    access: Access,
    clients: HashMap<TaskId, Option<IpAddr>>,
    per_ip: HashMap<IpAddr, u64>,
    /// Connections accepted so far; the number of the newest session.
    accepted: u64,
    most: u64,
    /// The command of `--then`.
    errand: Option<Errand>,
    status: u8,
    /// Tells every client to come to its end.
    closing: Rc<Cell<Option<Instant>>>,
    console: Console,
    started: Instant,
}

/// Gives the task that binds and serves.
pub(super) fn listen(plan: &Listen, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    Ok(Box::new(Server::new(plan, reporting)?))
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
        let most = serving.most.unwrap_or_else(|| default_most(DESCRIPTORS));
        let joint = Joint::new(plan.transfer.clone(), plan.local.clone(), serving.grace, reporting.observers());
        Ok(Server {
            plan: plan.clone(),
            acceptor: None,
            joint: Rc::new(joint),
            access,
            clients: HashMap::new(),
            per_ip: HashMap::new(),
            accepted: 0,
            most,
            errand: None,
            status: 0,
            closing: Rc::new(Cell::new(None)),
            console: reporting.console(),
            started: Instant::now(),
        })
    }

    /// Accepts what may be accepted; true if there may be more at once.
    fn accept(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        for _ in 0..ACCEPTS {
            if self.is_full() {
                return Ok(false);
            }
            let Some(acceptor) = &mut self.acceptor else { return Ok(false) };
            let Some(accepted) = acceptor.accept(turn)? else {
                if let Some(trouble) = acceptor.trouble() {
                    self.joint.observer.observe(&Event::Error { session: None, reason: trouble.line() });
                }
                return Ok(false);
            };
            if self.admits(&accepted) {
                self.welcome(turn, accepted);
            }
            if self.plan.serving.count.is_some_and(|count| self.accepted >= count) {
                self.stop_accepting(turn);
            }
        }
        Ok(true)
    }

    /// While every place is taken, connections wait in the backlog.
    fn is_full(&self) -> bool {
        self.clients.len() as u64 >= self.most
    }

    /// The access lists, and the limit of each address. Who is not admitted is closed and does not count.
    fn admits(&self, accepted: &Accepted) -> bool {
        let Some(ip) = accepted.ip else { return true };
        let why = if !self.access.permits(ip) {
            "not allowed"
        } else if self.plan.serving.most_per_ip.is_some_and(|most| self.per_ip.get(&ip).is_some_and(|now| *now >= most))
        {
            "too many connections from its address"
        } else {
            return true;
        };
        let text = format!("refused {}: {why}", accepted.peer);
        self.joint.observer.observe(&Event::Note { verbosity: 1, text });
        false
    }

    fn welcome(&mut self, turn: &mut Turn, accepted: Accepted) {
        self.accepted += 1;
        let (ip, number) = (accepted.ip, self.accepted);
        let (protocol, peer, local) = (accepted.protocol, accepted.peer.clone(), accepted.local.clone());
        self.joint.observer.observe(&Event::Accepted { session: number, protocol, peer, local });
        let client = Client {
            opened: Some(Opened::from(accepted)),
            link: None,
            joint: Rc::clone(&self.joint),
            closing: Rc::clone(&self.closing),
            number,
            hurried: false,
        };
        let id = turn.spawn(Box::new(client));
        self.clients.insert(id, ip);
        if let Some(ip) = ip {
            *self.per_ip.entry(ip).or_default() += 1;
        }
    }

    /// Strikes off whoever is done.
    fn farewell(&mut self, turn: &mut Turn) {
        while let Some((id, _)) = turn.finished() {
            if let Some(Some(ip)) = self.clients.remove(&id)
                && let Some(count) = self.per_ip.get_mut(&ip)
            {
                *count -= 1;
                if *count == 0 {
                    self.per_ip.remove(&ip);
                }
            }
        }
    }

    fn stop_accepting(&mut self, turn: &mut Turn) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.close(turn);
        }
    }

    /// Stops accepting and gives open sessions their grace; asked again, none.
    fn wind_up(&mut self, turn: &mut Turn) {
        self.stop_accepting(turn);
        let until = match self.closing.get() {
            None => turn.now() + self.plan.serving.grace,
            Some(_) => turn.now(),
        };
        self.closing.set(Some(until));
        for id in self.clients.keys() {
            turn.wake(*id);
        }
        if let Some(errand) = &mut self.errand {
            errand.hurry(turn.now());
        }
    }

    fn obey(&mut self, turn: &mut Turn) {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.console.summary(&self.summary(turn.now()));
        }
        if signals & 1 << SIGHUP != 0
            && let Err(error) = self.access.reload()
        {
            self.joint.observer.observe(&Event::Error { session: None, reason: error.line() });
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
            self.status = status;
            self.errand = None;
            if self.closing.get().is_none() {
                self.wind_up(turn);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.acceptor.is_none() && self.clients.is_empty() && self.errand.is_none()
    }

    fn finish(&self, turn: &Turn) -> Outcome {
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(turn.now());
        self.joint.observer.observe(&Event::Stats { bytes_in, bytes_out, elapsed });
        let ended = if self.status == 0 { Ended::Clean } else { Ended::Program(self.status) };
        Outcome { ended, bytes: [bytes_out, bytes_in], elapsed }
    }
}

impl Task for Server {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1]).map_err(failed)?;
        let acceptor = bind(turn, &self.plan.at, &self.plan.announce, &*self.joint.observer)?;
        if let Some(text) = &self.plan.serving.then {
            let output = match self.plan.local {
                Local::Program(_) => Output::Inherited,
                Local::Stdio => Output::StandardError,
            };
            let mut errand = Errand::run(text, &acceptor, output, self.plan.serving.grace)?;
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
                self.joint.observer.observe(&Event::Error { session: None, reason: error.line() });
                self.wind_up(turn);
                false
            }
        };
        if self.is_over() {
            return Park::Done(self.finish(turn));
        }
        let pause = self.acceptor.as_ref().and_then(Acceptor::deadline);
        turn.deadline(soonest([pause, self.errand.as_ref().and_then(Errand::deadline)]));
        if more { Park::Again } else { Park::Wait }
    }
}

/// One connection of a server, as a task.
struct Client {
    /// Until the first turn.
    opened: Option<Opened>,
    link: Option<Box<Link>>,
    joint: Rc<Joint>,
    closing: Rc<Cell<Option<Instant>>>,
    number: u64,
    /// It was told to end at once.
    hurried: bool,
}

impl Client {
    /// The server winds up: an idle session ends at once, a busy one when the grace is over.
    fn heed_closing(&mut self, now: Instant) -> Option<Instant> {
        let until = self.closing.get()?;
        let link = self.link.as_mut()?;
        if !self.hurried && (until <= now || link.is_idle()) {
            self.hurried = true;
            link.stop(Ended::Clean, now);
        } else if self.hurried && until <= now {
            link.stop(Ended::Clean, now);
        }
        (until > now).then_some(until)
    }
}

impl Task for Client {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let Some(opened) = self.opened.take() else { return Ok(()) };
        match self.joint.join(turn, opened, None, self.number) {
            Ok(link) => {
                self.link = Some(Box::new(link));
                Ok(())
            }
            Err(error) => {
                let reason = error.line();
                self.joint.observer.observe(&Event::Error { session: Some(self.number), reason });
                Err(error)
            }
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let until = self.heed_closing(turn.now());
        let Some(link) = &mut self.link else {
            return Park::Done(Outcome::nothing_moved(Ended::Clean));
        };
        let park = link.turn(turn);
        if let (Some(until), Park::Wait) = (until, &park) {
            turn.deadline_at_most(until);
        }
        park
    }
}

/// Connections that the descriptor limit has room for, with some descriptors left for everything else.
fn default_most(each: u64) -> u64 {
    let limit = crate::sys::descriptor_limit();
    (limit.saturating_sub(RESERVED) / each).max(1)
}

/// A connection with a program: its socket, two pipes, the pidfd, and one to spare while it is made.
const DESCRIPTORS: u64 = 5;

/// Standard streams, the loop, files.
const RESERVED: u64 = 32;

/// Connections taken in one turn before others are served.
const ACCEPTS: usize = 64;
