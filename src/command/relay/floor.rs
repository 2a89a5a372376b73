//! What all sessions of a relay have in common: where they go, how they move, and when it ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::command::client::Closing;
use crate::command::link::Joint;
use crate::command::reporting::Reporting;
use crate::endpoint::{open, process};
use crate::error::Error;
use crate::event::Observer;
use crate::plan::Local;
use crate::plan::address::{Address, Program};
use crate::plan::relay::{Relay, Target, tuned};
use crate::session::share::Common;

/// Shared by every session of one thread.
pub(super) struct Floor {
    /// Where a client of each listener goes.
    places: Vec<Place>,
    /// How bytes move.
    pub(super) joint: Joint,
    /// Longest time that connecting to one target may take.
    pub(super) connect_timeout: Duration,
    /// Tells every session to come to its end.
    pub(super) closing: Rc<Cell<Option<Closing>>>,
    /// The failure of the one session is told at the end and not when it happens.
    pub(super) once: bool,
}

/// What a client is joined to.
pub(super) enum Place {
    /// Something to be opened.
    Open(Box<Address>),
    /// A program to be started.
    Run(Program),
}

impl Floor {
    /// What a plan says.
    ///
    /// # Errors
    /// A program that cannot be run.
    pub(super) fn new(plan: &Relay, reporting: &Reporting, closing: Rc<Cell<Option<Closing>>>) -> Result<Self, Error> {
        let places: Vec<_> = plan.pairs.iter().map(|pair| Place::of(&pair.target)).collect();
        for place in &places {
            if let Place::Run(program) = place {
                process::check(program)?;
            }
        }
        let total = plan.limit_total.map(|rate| Common::new(rate, Instant::now()));
        let joint = Joint::new(plan.transfer.clone(), Local::Stdio, plan.serving.grace, reporting.observers());
        let joint = joint.for_relay(plan.half_close, total);
        Ok(Floor { places, joint, connect_timeout: plan.connect_timeout, closing, once: plan.once })
    }

    /// Where a client of this listener goes.
    pub(super) fn place(&self, pair: usize) -> Option<&Place> {
        self.places.get(pair)
    }

    /// Who hears of everything.
    pub(super) fn observer(&self) -> &Rc<dyn Observer> {
        &self.joint.observer
    }

    /// Bytes delivered by all sessions so far: to clients, and from them.
    pub(super) fn moved(&self) -> [u64; 2] {
        [0, 1].map(|direction| self.joint.meter.delivered(direction))
    }
}

impl Place {
    fn of(target: &Target) -> Self {
        match target {
            Target::Program(program) => Place::Run(program.clone()),
            Target::Address(address) => match open::program(address) {
                Some(program) => Place::Run(program),
                None => Place::Open(Box::new(tuned(address))),
            },
        }
    }
}
