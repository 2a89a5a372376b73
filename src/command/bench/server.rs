//! The end that serves: who comes, and whose they are.
//!
//! A connection says first which test it belongs to. One that belongs to none begins one; the others are streams of a
//! test, which is given them. Each test is a task of its own ([`super::visit`]) and watches over itself, so that one
//! that dies is nobody else's business.

mod greeting;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::setup;
use super::visit::{Terms, Visit};
use crate::bench::protocol::{self, Cookie};
use crate::bench::traffic::{Crew, Hatch, Layered, Tally};
use crate::command::announce::announce;
use crate::command::gate::possible;
use crate::command::layering::{Again, Layering};
use crate::command::printer::Printer;
use crate::command::reporting::Reporting;
use crate::endpoint::accept::Acceptor;
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Kind};
use crate::plan::bench::{Bench, Server as Wanted};
use crate::plan::{Announce, DEFAULT_GRACE};
use crate::reactor::shard::Shard;
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::report::console::Console;
use crate::report::summary::Summary;
use greeting::Greeting;

/// Gives the task that serves.
pub(super) fn server(plan: &Bench, wanted: &Wanted, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let (printer, console) = (Some(Printer::open()?), Some(reporting.console()));
    // a client of it sends and does not read: tickets would make its close a reset
    let layering = Layering::server(&wanted.at, Again::Unlikely)?;
    Ok(Box::new(Serving { printer, console, ..Serving::new(plan, wanted, layering, reporting.observers()) }))
}

/// Serves on another thread of this process, for `--local`; where it listens.
///
/// # Errors
/// It cannot, or no thread can be had.
pub(super) fn here(plan: &Bench, at: &Address, hatch: Option<Hatch>) -> Result<Address, Error> {
    let wanted = Wanted {
        at: at.clone(),
        once: false,
        most_clients: None,
        most_time: None,
        most_rate: None,
        interval: None,
        announce: Announce::default(),
    };
    let (bound, listening) = channel();
    let plan = plan.clone();
    let layering = Layering::server(at, Again::Unlikely)?;
    let pin = layering.credentials().map(|credentials| credentials.pin());
    let make = move |_: Receiver<()>| {
        let serving = Serving::new(&plan, &wanted, layering, Rc::new(Nobody));
        serving.desk.borrow_mut().hatch = hatch;
        Box::new(Serving { bound: Some(bound), ..serving }) as Box<dyn Task>
    };
    // it serves as long as there is this process
    Shard::start("server", make).map_err(|error| Error::new(Op::Start, "a thread", error))?;
    let ended = |_| Err(Error::said(Op::Listen, at.to_string(), "the thread has ended"));
    let mut bound = listening.recv().unwrap_or_else(ended)?;
    // its certificate was made a moment ago
    bound.options.tls.pin.extend(pin);
    Ok(bound)
}

/// Hears nothing.
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &Event) {}
}

/// What those who come and the tests share.
#[derive(Default)]
pub(super) struct Desk {
    /// The tests under way, and the streams that have come for them.
    tests: HashMap<Cookie, Test>,
    /// Those who begin a test.
    newcomers: VecDeque<Newcomer>,
    /// Tests that want streams of datagrams; the first of them is asking.
    pub(super) knocking: VecDeque<Cookie>,
    /// What is to be printed.
    pub(super) text: Vec<u8>,
    /// Who comes before having said anything.
    greeting: usize,
    /// The server is to end.
    pub(super) is_closing: bool,
    /// Where the client in this process leaves pipes.
    pub(super) hatch: Option<Hatch>,
}

struct Test {
    task: TaskId,
    streams: VecDeque<Layered>,
    /// Once it has begun.
    running: Option<Running>,
}

/// What can be told of a test while it runs.
pub(super) struct Running {
    pub(super) peer: String,
    pub(super) began: Instant,
    /// Of each stream, with true where this end sends.
    pub(super) tallies: Vec<(bool, Arc<Tally>)>,
}

/// Somebody who begins a test.
pub(super) struct Newcomer {
    pub(super) cookie: Cookie,
    pub(super) over: Layered,
    pub(super) peer: String,
    /// What is told of it, but for its number.
    told: Box<Event>,
}

impl Desk {
    /// The next stream of a test.
    pub(super) fn stream(&mut self, cookie: &Cookie) -> Option<Layered> {
        self.tests.get_mut(cookie)?.streams.pop_front()
    }

    /// A test has begun.
    pub(super) fn begun(&mut self, cookie: &Cookie, running: Running) {
        if let Some(test) = self.tests.get_mut(cookie) {
            test.running = Some(running);
        }
    }

    /// A test asks for no more datagrams: the next one may.
    pub(super) fn dequeue(&mut self, turn: &mut Turn, cookie: &Cookie) {
        self.knocking.retain(|waiting| waiting != cookie);
        if let Some(test) = self.knocking.front().and_then(|next| self.tests.get(next)) {
            turn.wake(test.task);
        }
    }

    /// The test is over: whoever still comes for it is closed.
    pub(super) fn forget(&mut self, cookie: &Cookie) {
        self.tests.remove(cookie);
    }
}

/// The server.
struct Serving {
    plan: Bench,
    wanted: Wanted,
    threads: usize,
    door: Option<Acceptor>,
    /// What stands on each connection.
    layering: Layering,
    /// Made with the first test.
    crew: Option<Crew>,
    desk: Rc<RefCell<Desk>>,
    /// Under way.
    tests: u64,
    served: u64,
    /// Bytes that those which are over have sent and received.
    moved: [u64; 2],
    /// `None` where a client of this process tells everything.
    printer: Option<Printer>,
    /// Who prints what SIGUSR1 asks for.
    console: Option<Console>,
    /// Who is told where it listens, once.
    bound: Option<Sender<Result<Address, Error>>>,
    observer: Rc<dyn Observer>,
    /// It was asked to end, and does at this time whatever is under way.
    until: Option<Instant>,
    ended: Option<Ended>,
    /// With `-1`: why its test has ended before its time.
    failed: Option<Error>,
    started: Instant,
}

impl Serving {
    fn new(plan: &Bench, wanted: &Wanted, layering: Layering, observer: Rc<dyn Observer>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Serving {
            threads: plan.threads.unwrap_or(cpus),
            plan: plan.clone(),
            wanted: wanted.clone(),
            door: None,
            layering,
            crew: None,
            desk: Rc::default(),
            tests: 0,
            served: 0,
            moved: [0, 0],
            printer: None,
            console: None,
            bound: None,
            observer,
            until: None,
            ended: None,
            failed: None,
            started: Instant::now(),
        }
    }

    /// Binds, and tells where.
    fn open(&mut self, turn: &mut Turn) -> Result<Address, Error> {
        let mut door = Acceptor::open(&self.wanted.at)?;
        door.start(turn)?;
        announce(&self.wanted.announce, &door)?;
        let (protocol, address) = (self.layering.protocol(door.protocol()), door.address().to_string());
        self.observer.observe(&Event::Listening { protocol, address });
        self.layering.tell_pin("bench", &door, &*self.observer);
        let mut at = self.wanted.at.clone();
        if let (Kind::Tcp(at), Some(port)) = (&mut at.kind, door.port()) {
            at.port = port;
        }
        self.door = Some(door);
        Ok(at)
    }

    fn accept(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        for _ in 0..ACCEPTS {
            // whoever says nothing takes a place only for a while
            if self.desk.borrow().greeting >= MOST_GREETINGS {
                return Ok(false);
            }
            let Some(door) = &mut self.door else { return Ok(false) };
            let Some(accepted) = door.accept(turn)? else {
                if let Some(trouble) = door.trouble() {
                    self.observer.observe(&Event::Error { session: None, reason: trouble.line() });
                }
                return Ok(false);
            };
            self.desk.borrow_mut().greeting += 1;
            let (desk, observer) = (Rc::clone(&self.desk), Rc::clone(&self.observer));
            let greeting = Greeting::new((accepted, self.layering.clone()), desk, observer, turn.id(), turn.now());
            turn.spawn(Box::new(greeting));
        }
        Ok(true)
    }

    /// Begins the tests of those who have said that they want one.
    fn welcome(&mut self, turn: &mut Turn) -> Result<(), Error> {
        loop {
            let Some(mut newcomer) = self.desk.borrow_mut().newcomers.pop_front() else { return Ok(()) };
            let most = match self.wanted.once {
                true => 1,
                false => self.wanted.most_clients.unwrap_or_else(|| possible(DESCRIPTORS)),
            };
            if self.tests >= most || self.door.is_none() {
                let text = format!("refused {}: it is one too many", newcomer.peer);
                self.observer.observe(&Event::Note { verbosity: 1, text });
                newcomer.over.dismiss(turn, &protocol::Server::BUSY);
                continue;
            }
            let crew = match &self.crew {
                Some(crew) => crew.clone(),
                None => {
                    let crew = Crew::new(self.threads).map_err(|error| Error::new(Op::Start, "a thread", error))?;
                    self.crew.insert(crew).clone()
                }
            };
            self.tests += 1;
            self.served += 1;
            let cookie = newcomer.cookie;
            if let Event::Accepted { session, .. } = &mut *newcomer.told {
                *session = self.served;
            }
            self.observer.observe(&newcomer.told);
            let terms = Terms {
                print: self.plan.print.clone(),
                interval: self.wanted.interval,
                most_time: self.wanted.most_time,
                most_rate: self.wanted.most_rate.map(|rate| rate.0),
                number: self.served,
                over: setup::protocol(&self.wanted.at),
            };
            let visit = Visit::new(newcomer, terms, crew, Rc::clone(&self.desk), Rc::clone(&self.observer), turn.now());
            let task = turn.spawn(Box::new(visit));
            self.desk.borrow_mut().tests.insert(cookie, Test { task, streams: VecDeque::new(), running: None });
        }
    }

    fn heed(&mut self, turn: &mut Turn) {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.tell_totals(turn.now());
        }
        if signals & 1 << SIGHUP != 0
            && let Err(error) = self.layering.reload()
        {
            self.observer.observe(&Event::Error { session: None, reason: error.line() });
        }
        if signals & (1 << SIGINT | 1 << SIGTERM) == 0 {
            return;
        }
        self.until = Some(match self.until {
            None => turn.now() + DEFAULT_GRACE,
            // a second one ends at once
            Some(_) => turn.now(),
        });
        self.close_door(turn);
    }

    /// What each test under way has moved so far, then all of them together, those before included.
    fn tell_totals(&self, now: Instant) {
        let Some(console) = &self.console else { return };
        let mut all = Summary {
            bytes_in: self.moved[1],
            bytes_out: self.moved[0],
            elapsed: now.saturating_duration_since(self.started),
            reason: None,
        };
        for running in self.desk.borrow().tests.values().filter_map(|test| test.running.as_ref()) {
            let sum =
                |sends| running.tallies.iter().filter(|tally| tally.0 == sends).map(|tally| tally.1.bytes()).sum();
            let elapsed = now.saturating_duration_since(running.began);
            let one = Summary { bytes_in: sum(false), bytes_out: sum(true), elapsed, reason: None };
            all.bytes_in += one.bytes_in;
            all.bytes_out += one.bytes_out;
            console.summary(&format!("{}: {one}", running.peer));
        }
        console.summary(&all);
    }

    fn close_door(&mut self, turn: &mut Turn) {
        if let Some(door) = self.door.take() {
            door.close(turn);
        }
    }

    fn is_over(&self) -> bool {
        let enough = self.wanted.once && self.served > 0;
        self.tests == 0 && (enough || self.until.is_some())
    }

    fn step(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        self.heed(turn);
        while let Some((_, outcome)) = turn.finished() {
            // those who only greet are counted at the desk
            if outcome.bytes != GREETING {
                self.tests -= 1;
                (0..2).for_each(|way| self.moved[way] = self.moved[way].saturating_add(outcome.bytes[way]));
                // whoever told it to end knows
                if let (true, None, Ended::Failed(error)) = (self.wanted.once, self.until, outcome.ended) {
                    self.failed = Some(error);
                }
            }
        }
        let more = self.accept(turn)?;
        self.welcome(turn)?;
        if self.until.is_some_and(|until| until <= turn.now()) && !self.desk.borrow().is_closing {
            let mut desk = self.desk.borrow_mut();
            desk.is_closing = true;
            desk.tests.values().for_each(|test| turn.wake(test.task));
        }
        if self.is_over() {
            self.close_door(turn);
            self.ended = Some(self.failed.take().map_or(Ended::Clean, Ended::Failed));
        }
        Ok(more)
    }
}

/// What marks the outcome of a connection that began no test.
pub(super) const GREETING: [u64; 2] = [u64::MAX, u64::MAX];

impl Task for Serving {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if let Some(bound) = self.bound.take() {
            let opened = self.open(turn);
            let failed = opened.is_err();
            // whoever asked is gone only with the process
            let _ = bound.send(opened);
            if failed {
                self.ended = Some(Ended::Clean);
            }
            return Ok(());
        }
        if let Some(printer) = &mut self.printer {
            printer.start(turn)?;
        }
        let mut signals = vec![SIGINT, SIGTERM, SIGUSR1];
        if self.layering.credentials().is_some() {
            // certificates are read again; without any it ends by the hang-up of its terminal
            signals.push(SIGHUP);
        }
        turn.listen_for(&signals).map_err(|error| Error::new(Op::Open, "signals", error))?;
        self.open(turn).map(drop)
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let mut more = false;
        if self.ended.is_none() {
            match self.step(turn) {
                Ok(again) => more = again,
                Err(error) => self.ended = Some(Ended::Failed(error)),
            }
        }
        let text = std::mem::take(&mut self.desk.borrow_mut().text);
        // a reader that has stopped costs lines, not memory
        if let Some(printer) = self.printer.as_mut().filter(|printer| !printer.is_full()) {
            printer.bytes(&text);
        }
        let flushed = match (&mut self.printer, &self.ended) {
            (None, _) => Ok(true),
            (Some(printer), Some(_)) => printer.finish(turn),
            (Some(printer), None) => printer.flush(turn),
        };
        match (flushed, self.ended.take()) {
            (Err(failed), None | Some(Ended::Clean)) => Park::Done(self.outcome(failed, turn)),
            (Ok(true) | Err(_), Some(ended)) => Park::Done(self.outcome(ended, turn)),
            (_, ended) => {
                self.ended = ended;
                let door = self.door.as_ref().and_then(Acceptor::deadline);
                turn.deadline(crate::session::limits::soonest([self.until.filter(|at| *at > turn.now()), door]));
                if more { Park::Again } else { Park::Wait }
            }
        }
    }
}

impl Serving {
    fn outcome(&self, ended: Ended, turn: &Turn) -> Outcome {
        Outcome { ended, bytes: [0, 0], elapsed: turn.now().saturating_duration_since(self.started) }
    }
}

/// Connections taken in one turn.
const ACCEPTS: usize = 64;

/// Connections that have not said yet what they are.
const MOST_GREETINGS: usize = 256;

/// Descriptors of a test: its conversation, and a few streams, each of which is watched through a second one.
const DESCRIPTORS: u64 = 8;

/// How long somebody may take to say what it is.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
