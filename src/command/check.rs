//! `connect -z`: is it open? Many targets at once, each try a task of its own, the report on standard output.
//!
//! The names of hosts are looked up once for all ports on them. With `--wait` what is not open is tried again, as
//! [`Patience`] has it, until the time is over; a mistake of usage ends the wait, since nothing can come of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::layering::Layering;
use super::patience::{Patience, cause, is_hopeless};
use super::printer::Printer;
use super::probe::{Answer, Limit, Naming, Probe, goal, name, unanswered, unnamed};
use super::reporting::Reporting;
use crate::endpoint::credentials::Trust;
use crate::endpoint::resolve::Lookup;
use crate::error::{Cause, Error};
use crate::escape::Escaped;
use crate::event::{Event, Observer};
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::Check;
use crate::plan::address::{Address, Family, Host, HostPort, Kind};
use crate::reactor::{Park, Task, TaskId, Turn};
use crate::sys;

/// Gives the task that tests all targets.
///
/// # Errors
/// Standard output cannot be used for the report.
pub(super) fn check(plan: &Check, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    // a thousand ports behind one proxy need its roots once
    let mut trust = Trust::default();
    let target = |address: &Address| {
        Ok(Target {
            name: name(address),
            layering: Layering::client_with(address, &mut trust)?,
            address: Rc::new(address.clone()),
            patience: Patience::new(plan.wait, plan.timeout),
            limit: None,
            state: State::Queued,
        })
    };
    // a try has a descriptor for each address that it races over
    let room = sys::descriptor_limit().saturating_sub(RESERVED) / 2;
    Ok(Box::new(Checker {
        targets: plan.targets.iter().map(target).collect::<Result<_, Error>>()?,
        any: plan.any,
        wait: plan.wait,
        timeout: plan.timeout,
        printer: if plan.report.verbosity > 0 && !plan.report.quiet { Some(Printer::open()?) } else { None },
        observer: reporting.observers(),
        most: room.clamp(1, AT_ONCE) as usize,
        queue: (0..plan.targets.len()).collect(),
        pauses: BinaryHeap::new(),
        running: HashMap::new(),
        names: HashMap::new(),
        undecided: plan.targets.len(),
        told: 0,
        over: None,
    }))
}

/// One thing to test.
struct Target {
    address: Rc<Address>,
    /// What stands on a connection to it.
    layering: Layering,
    /// As typed, for messages.
    name: Vec<u8>,
    patience: Patience,
    /// Of the try under way.
    limit: Limit,
    state: State,
}

enum State {
    /// Its next try has not begun, or is under way.
    Queued,
    /// It was tried in vain and will be tried again.
    Pausing(Error),
    Open,
    Closed(Error),
}

/// A host to look up, and for which family.
type Key = (String, Option<bool>);

/// What is known of a host.
enum Named {
    /// Being looked up, for these targets.
    Asked { answer: Answer, waiting: Vec<usize> },
    /// Looked up at this time.
    Known { addresses: Vec<std::net::SocketAddr>, at: Instant },
}

/// What a child task is at.
enum Errand {
    Probe(usize),
    Name(Key),
}

struct Checker {
    targets: Vec<Target>,
    any: bool,
    wait: Option<Duration>,
    timeout: Option<Duration>,
    /// With `-v`.
    printer: Option<Printer>,
    observer: Rc<dyn Observer>,
    /// Child tasks at once.
    most: usize,
    queue: VecDeque<usize>,
    pauses: BinaryHeap<Reverse<(Instant, usize)>>,
    running: HashMap<TaskId, Errand>,
    names: HashMap<Key, Named>,
    /// Targets that are neither open nor closed for good.
    undecided: usize,
    /// The targets before this one were reported.
    told: usize,
    /// Decided; the report may still be on its way out.
    over: Option<Ended>,
}

impl Checker {
    /// Begins tries while there is room.
    fn launch(&mut self, turn: &mut Turn) {
        while self.running.len() < self.most
            && let Some(index) = self.queue.pop_front()
        {
            let now = turn.now();
            let target = &mut self.targets[index];
            if !matches!(target.state, State::Queued | State::Pausing(_)) {
                continue;
            }
            target.patience.begin(now);
            target.limit = target.patience.limit(now).map(|limit| (now + limit, limit));
            match asks(&target.address) {
                Some((key, at)) => self.ask(turn, index, key, &at),
                None => {
                    let probe = Probe::new(&target.address, target.limit, self.timeout);
                    let probe = probe.with_layers(target.layering.clone());
                    self.running.insert(turn.spawn(Box::new(probe)), Errand::Probe(index));
                }
            }
        }
    }

    /// Asks for a target's name, unless somebody has just done that.
    fn ask(&mut self, turn: &mut Turn, index: usize, key: Key, at: &HostPort) {
        match self.names.get_mut(&key) {
            Some(Named::Asked { waiting, .. }) => return waiting.push(index),
            Some(Named::Known { addresses, at }) if *at + FRESH > turn.now() => {
                let addresses = addresses.clone();
                return self.probe(turn, index, &addresses);
            }
            _ => {}
        }
        let target = &self.targets[index];
        match Lookup::new(at, &target.address.options) {
            Ok(lookup) => {
                let answer = Answer::default();
                let naming = Naming::new(lookup, Rc::clone(&answer), target.limit);
                self.running.insert(turn.spawn(Box::new(naming)), Errand::Name(key.clone()));
                self.names.insert(key, Named::Asked { answer, waiting: vec![index] });
            }
            Err(why) => {
                let error = unnamed(&target.address, why);
                self.settle(turn, index, Some(error));
            }
        }
    }

    fn probe(&mut self, turn: &mut Turn, index: usize, addresses: &[std::net::SocketAddr]) {
        let target = &self.targets[index];
        let mut addresses = addresses.to_vec();
        if let Kind::Tcp(at) | Kind::Udp(at) = &target.address.dialled().kind {
            addresses.iter_mut().for_each(|address| address.set_port(at.port));
        }
        let probe = Probe::at(&target.address, &addresses, target.limit, self.timeout);
        let probe = probe.with_layers(target.layering.clone());
        self.running.insert(turn.spawn(Box::new(probe)), Errand::Probe(index));
    }

    /// Takes what the child tasks have found.
    fn collect(&mut self, turn: &mut Turn) {
        while let Some((id, outcome)) = turn.finished() {
            match self.running.remove(&id) {
                Some(Errand::Probe(index)) => {
                    let failure = if let Ended::Failed(error) = outcome.ended { Some(error) } else { None };
                    self.settle(turn, index, failure);
                }
                Some(Errand::Name(key)) => self.named(turn, key),
                None => {}
            }
        }
    }

    /// A name has been looked up, or could not be.
    fn named(&mut self, turn: &mut Turn, key: Key) {
        let Some(Named::Asked { answer, waiting }) = self.names.remove(&key) else { return };
        match answer.take() {
            Some(Ok(addresses)) => {
                // room for all of them is found by and by
                waiting.iter().rev().for_each(|index| self.queue.push_front(*index));
                self.names.insert(key, Named::Known { addresses, at: turn.now() });
            }
            Some(Err(why)) => {
                for index in waiting {
                    let error = unnamed(&self.targets[index].address, why.clone());
                    self.settle(turn, index, Some(error));
                }
            }
            None => {
                for index in waiting {
                    let target = &self.targets[index];
                    let limit = target.limit.map_or(Duration::ZERO, |(_, limit)| limit);
                    let error = unanswered(&goal(&target.address), limit);
                    self.settle(turn, index, Some(error));
                }
            }
        }
    }

    /// A try is over.
    fn settle(&mut self, turn: &mut Turn, index: usize, failure: Option<Error>) {
        let target = &mut self.targets[index];
        let Some(failure) = failure else {
            target.state = State::Open;
            self.undecided -= 1;
            return;
        };
        let Some(again) = target.patience.again(&failure, turn.now()) else {
            target.state = State::Closed(failure);
            self.undecided -= 1;
            return;
        };
        if let Some(cause) = target.patience.news(&failure) {
            let text = format!("waiting for {}: {cause}", Escaped(&target.name));
            self.observer.observe(&Event::Note { verbosity: 1, text });
        }
        target.state = State::Pausing(failure);
        self.pauses.push(Reverse((again, index)));
    }

    /// Queues those whose pause is over.
    fn resume(&mut self, now: Instant) {
        while let Some(Reverse((at, index))) = self.pauses.peek().copied()
            && at <= now
        {
            self.pauses.pop();
            self.queue.push_back(index);
        }
    }

    /// How it ends, once that is known.
    fn decide(&mut self) -> Option<Ended> {
        let is_open = |target: &Target| matches!(target.state, State::Open);
        if self.any && self.targets.iter().any(is_open) {
            return Some(Ended::Clean);
        }
        let doomed = |target: &Target| matches!(&target.state, State::Closed(error) if is_hopeless(error));
        let vain = !self.any && self.wait.is_some() && self.running.is_empty() && self.targets.iter().any(doomed);
        if self.undecided > 0 && !vain {
            return None;
        }
        let missing: Vec<usize> = (0..self.targets.len()).filter(|index| !is_open(&self.targets[*index])).collect();
        Some(match missing.as_slice() {
            [] => Ended::Clean,
            [index] => match std::mem::replace(&mut self.targets[*index].state, State::Queued) {
                State::Closed(error) => Ended::Failed(self.targets[*index].patience.give_up(error)),
                State::Pausing(error) => Ended::Failed(error),
                State::Queued | State::Open => Ended::Clean,
            },
            missing => Ended::Failed(self.several(missing)),
        })
    }

    /// One line for several that are not open, and a line each below it.
    fn several(&self, missing: &[usize]) -> Error {
        let failures = missing.iter().filter_map(|index| match &self.targets[*index].state {
            State::Closed(error) | State::Pausing(error) => Some((&self.targets[*index].name, error)),
            State::Queued | State::Open => None,
        });
        let rows: Vec<_> = failures.map(|(name, error)| (Escaped(name).to_string(), error)).collect();
        let status = |error: &Error| match self.wait {
            Some(_) if !is_hopeless(error) => ExitStatus::TimeLimit,
            _ => error.status(),
        };
        let mut statuses = rows.iter().map(|(_, error)| status(error));
        let first = statuses.next().unwrap_or(ExitStatus::Network);
        let status = if statuses.all(|status| status == first) { first } else { ExitStatus::Network };
        let causes: Vec<_> = rows.iter().map(|(_, error)| cause(error)).collect();
        let same = causes.iter().all(|cause| *cause == causes[0]);
        let sentence = if same { causes[0].clone() } else { "each for its own reason".into() };
        let width = rows.iter().take(SHOWN).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let line = |((name, _), cause): (&(String, &Error), &String)| format!("{name:width$}  {cause}");
        let mut facts: Vec<_> = rows.iter().zip(&causes).take(SHOWN).map(line).collect();
        if rows.len() > SHOWN {
            facts.push(format!("and {} more", rows.len() - SHOWN));
        }
        let within = self.wait.map(|wait| format!(" within {}", humantime::format_duration(wait))).unwrap_or_default();
        let headline = format!("{} of {} are not open{within}", missing.len(), self.targets.len());
        Error::begun(headline, Cause::Said(sentence)).with_facts(facts).with_status(status)
    }

    /// Reports what is decided, in the order given; at the end also what stands behind something undecided.
    fn report(&mut self) {
        let Some(printer) = &mut self.printer else { return };
        for target in &self.targets[self.told..] {
            match target.state {
                State::Open => printer.line(format!("open {}", Escaped(&target.name)).as_bytes()),
                State::Queued | State::Pausing(_) if self.over.is_none() => return,
                _ => {}
            }
            self.told += 1;
        }
    }

    /// Lets the report out; then it is over.
    fn finish(&mut self, turn: &mut Turn) -> Park {
        let printed = match &mut self.printer {
            Some(printer) => printer.finish(turn),
            None => Ok(true),
        };
        match (printed, &self.over) {
            (Ok(false), _) | (Ok(true), None) => Park::Wait,
            (Err(ended), None | Some(Ended::Clean)) => Park::Done(Outcome::nothing_moved(ended)),
            (_, Some(_)) => {
                let ended = self.over.take().unwrap_or(Ended::Clean);
                Park::Done(Outcome::nothing_moved(ended))
            }
        }
    }
}

impl Task for Checker {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        // the wait is the same for all, also for those that have to queue
        self.targets.iter_mut().for_each(|target| target.patience.begin(turn.now()));
        self.printer.as_mut().map_or(Ok(()), |printer| printer.start(turn))
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if self.over.is_none() {
            self.collect(turn);
            self.resume(turn.now());
            self.launch(turn);
            self.over = self.decide();
            self.report();
        }
        if self.over.is_some() {
            turn.deadline(None);
            return self.finish(turn);
        }
        turn.deadline(self.pauses.peek().map(|Reverse((at, _))| *at));
        match self.printer.as_mut().map_or(Ok(true), |printer| printer.flush(turn)) {
            Ok(_) => Park::Wait,
            Err(ended) => Park::Done(Outcome::nothing_moved(ended)),
        }
    }
}

/// The host to look up for a target, or for the first proxy on the way there; `None` where there is none, or where our side has an address of its own to find.
fn asks(target: &Address) -> Option<(Key, HostPort)> {
    let target = target.dialled();
    let (Kind::Tcp(at) | Kind::Udp(at)) = &target.kind else { return None };
    let Host::Name(host) = &at.host else { return None };
    if target.options.source.is_some() && matches!(target.kind, Kind::Tcp(_)) {
        return None;
    }
    let family = target.options.family.map(|family| family == Family::V4);
    Some(((host.clone(), family), at.clone()))
}

/// Tries at once.
const AT_ONCE: u64 = 256;

/// Descriptors that are not for tries: the standard streams, the events, the poll.
const RESERVED: u64 = 16;

/// How long the addresses of a name are used before it is looked up again.
const FRESH: Duration = Duration::from_secs(1);

/// Lines below the first one of a failure.
const SHOWN: usize = 100;
