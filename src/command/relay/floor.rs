//! What all sessions of a relay have in common: where they go, how they move, and when it ends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::names::{Keeper, NameId, Names};
use super::scales::Scales;
use crate::command::client::Closing;
use crate::command::copy::Copier;
use crate::command::link::Joint;
use crate::command::reporting::Reporting;
use crate::endpoint::{open, printed, process};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::plan::address::{Address, Program};
use crate::plan::relay::{Balance, Copies, Pair, Relay, Target, tuned};
use crate::plan::{self, Flow, Local, Transfer};
use crate::session::share::Common;
use crate::session::tap::Tap;

/// Shared by every session of one thread.
pub(super) struct Floor {
    /// Where a client of each listener goes.
    places: Vec<Place>,
    /// The addresses of targets.
    pub(super) names: Rc<Names>,
    /// What is the same for all of them.
    joint: Joint,
    /// Longest time that connecting to one target may take.
    pub(super) connect_timeout: Duration,
    /// Tells every session to come to its end.
    pub(super) closing: Rc<Cell<Option<Closing>>>,
    /// The failure of the one session is told at the end and not when it happens.
    pub(super) once: bool,
    /// Where a line for each session goes.
    pub(super) journal: Option<Journal>,
    copies: Option<Copies>,
}

/// What clients of one listener are joined to.
pub(super) struct Place {
    /// Its targets, each with how bytes move to and from it.
    pub(super) goals: Vec<(Goal, Joint)>,
    /// Which of them is next.
    pub(super) scales: Arc<Scales>,
}

/// What a client is joined to.
pub(super) enum Goal {
    /// Something to be opened, at addresses that are looked up where it has a name.
    Open(Box<Address>, Option<NameId>),
    /// A program to be started.
    Run(Program),
}

impl Floor {
    /// What a plan says.
    ///
    /// # Errors
    /// A program that cannot be run, a directory for copies that is not there.
    pub(super) fn new(plan: &Relay, reporting: &Reporting, closing: Rc<Cell<Option<Closing>>>) -> Result<Self, Error> {
        let total = plan.limit_total.map(|rate| Common::new(rate, Instant::now()));
        let joint = Joint::new(plan.transfer.clone(), Local::Stdio, plan.serving.grace, reporting.observers());
        let joint = joint.for_relay(plan.half_close, total);
        let names = Names::new(plan.resolve_every);
        let places: Vec<_> = plan.pairs.iter().map(|pair| Place::of(pair, plan.balance, &joint, &names)).collect();
        for (goal, _) in places.iter().flat_map(|place| &place.goals) {
            if let Goal::Run(program) = goal {
                process::check(program)?;
            }
        }
        let copies = plan.copies.clone();
        if let Some(Copies { directory, .. }) = &copies {
            let name = directory.as_os_str().as_encoded_bytes();
            let found = directory.metadata().map_err(|error| Error::new(Op::Open, name, error))?;
            if !found.is_dir() {
                let advice = "a directory, for a file of each session and direction";
                return Err(Error::said(Op::Open, name, "it is not a directory").with_advice(advice));
            }
        }
        let journal = reporting.log().map(Journal::new);
        Ok(Floor {
            places,
            names,
            joint,
            connect_timeout: plan.connect_timeout,
            closing,
            once: plan.once,
            journal,
            copies,
        })
    }

    /// Where a client of this listener goes.
    pub(super) fn place(&self, pair: usize) -> Option<&Place> {
        self.places.get(pair)
    }

    /// The task that keeps the addresses of targets.
    pub(super) fn keeper(&self) -> Keeper {
        Keeper::new(Rc::clone(&self.names), Rc::clone(self.observer()))
    }

    /// Who hears of everything.
    pub(super) fn observer(&self) -> &Rc<dyn Observer> {
        &self.joint.observer
    }

    /// Bytes delivered by all sessions so far: to clients, and from them.
    pub(super) fn moved(&self) -> [u64; 2] {
        [0, 1].map(|direction| self.joint.meter.delivered(direction))
    }

    /// Who copies a session, if anybody is to. Trouble with a copy is told, and does not stop the session.
    pub(super) fn tap(&self, number: u64) -> Option<Tap> {
        let Copies { directory, hex, timestamps } = self.copies.as_ref()?;
        let plans = ["down", "up"].map(|way| {
            let ending = if *hex { ".hex" } else { "" };
            let path = directory.join(format!("{number}.{way}{ending}"));
            plan::Copy { path, hex: *hex, timestamps: *timestamps }
        });
        match Copier::both_ways(plans, self.observer()) {
            Ok(tap) => Some(tap),
            Err(error) => {
                let reason = error.line();
                self.observer().observe(&Event::Error { session: Some(number), reason });
                None
            }
        }
    }
}

impl Place {
    fn of(pair: &Pair, balance: Balance, joint: &Joint, names: &Names) -> Self {
        let goals =
            pair.targets.iter().map(|target| (Goal::of(target, names), joint.with_transfer(moves(target, joint))));
        Place { goals: goals.collect(), scales: Scales::new(balance, pair.targets.len(), Instant::now()) }
    }
}

/// How bytes move to and from a target: a file has one direction.
fn moves(target: &Target, joint: &Joint) -> Transfer {
    let transfer = joint.transfer.clone();
    match target {
        target if target.is_appended() => Transfer { stdin: false, ..transfer },
        target if target.is_file() => Transfer { flow: Flow::SendOnly, ..transfer },
        _ => transfer,
    }
}

impl Goal {
    fn of(target: &Target, names: &Names) -> Self {
        match target {
            Target::Program(program) => Goal::Run(program.clone()),
            Target::Address(address) => match open::program(address) {
                Some(program) => Goal::Run(program),
                None => {
                    let address = tuned(address);
                    let name = names.add(&address);
                    Goal::Open(Box::new(address), name)
                }
            },
        }
    }

    /// What messages call it.
    pub(super) fn object(&self) -> Vec<u8> {
        match self {
            Goal::Open(address, _) => printed::object(address, "localhost"),
            Goal::Run(_) => b"a program".to_vec(),
        }
    }
}
