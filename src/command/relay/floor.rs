//! What all sessions of a relay have in common: where they go, how they move, and when it ends.

use std::cell::Cell;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ferry::Terms;
use super::hall::Hall;
use super::journal::Journal;
use super::names::{Keeper, NameId, Names};
use super::scales::Scales;
use crate::command::client::Closing;
use crate::command::copy::Copier;
use crate::command::joint::Joint;
use crate::command::layering::{Again, Layering};
use crate::command::reporting::{Everybody, Reporting};
use crate::dice::any_seed;
use crate::endpoint::credentials::Trust;
use crate::endpoint::{open, printed, process};
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::ExitStatus;
use crate::plan::address::{Address, Kind, Program};
use crate::plan::faults::Faults;
use crate::plan::relay::{Copies, Pair, Relay, Target, tuned};
use crate::plan::{self, Flow, Local, Transfer};
use crate::report::{Observers, Outlet};
use crate::session::share::Common;
use crate::session::tap::Tap;
use crate::sys;

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
    /// What all threads have in common.
    pub(super) hall: Arc<Hall>,
    /// What is the same for all flows of datagrams.
    pub(super) datagrams: Terms,
    /// How often the access lists were to be read again.
    pub(super) reloads: Cell<u64>,
    /// Where a line for each session goes.
    pub(super) journal: Option<Journal>,
    copies: Option<Copies>,
    /// Names that are not found are told here.
    tells: bool,
}

/// What clients of one listener are joined to.
pub(super) struct Place {
    /// What stands on connections of its clients.
    pub(super) layering: Layering,
    /// Its targets, each with how bytes move to and from it.
    pub(super) goals: Vec<(Goal, Joint)>,
    /// Which of them is next.
    pub(super) scales: Arc<Scales>,
}

/// What a client is joined to.
pub(super) enum Goal {
    /// Something to be opened, at addresses that are looked up where it has a name.
    Open(Box<Way>),
    /// A program to be started.
    Run(Program),
}

/// How a target is reached.
pub(super) struct Way {
    pub(super) address: Rc<Address>,
    /// Where its addresses are looked up.
    pub(super) name: Option<NameId>,
    /// What stands on connections to it.
    pub(super) layering: Layering,
}

/// What every thread makes its floor of.
#[derive(Clone)]
pub(super) struct Blueprint {
    plan: Arc<Relay>,
    /// Threads for sessions.
    pub(super) threads: usize,
    observers: Arc<Observers>,
    /// Counts what all sessions deliver.
    meter: Arc<Meter>,
    total: Option<Arc<Common>>,
    scales: Vec<Arc<Scales>>,
    layerings: Vec<Layerings>,
    /// What all threads have in common.
    pub(super) hall: Arc<Hall>,
    log: Option<Outlet>,
    /// What decides whatever goes wrong by chance.
    seed: u64,
}

/// What stands on the connections of a listener and its targets.
#[derive(Clone)]
struct Layerings {
    client: Layering,
    targets: Vec<Layering>,
}

impl Blueprint {
    /// What a plan says; `most` flows of datagrams may be there at once.
    ///
    /// # Errors
    /// A program that cannot be run, a file that a layer needs, a directory for copies that is not there.
    pub(super) fn new(plan: &Relay, reporting: &Reporting, most: u64) -> Result<Self, Error> {
        let now = Instant::now();
        for target in plan.pairs.iter().flat_map(|pair| &pair.targets) {
            if let Some(program) = program(target) {
                process::check(&program)?;
            }
            if let Some(Address { kind: Kind::Path(path), .. }) = target.address() {
                is_socket(path)?;
            }
        }
        if let Some(Copies { directory, .. }) = &plan.copies {
            let name = directory.as_os_str().as_encoded_bytes();
            let found = directory.metadata().map_err(|error| Error::new(Op::Open, name, error))?;
            if !found.is_dir() {
                let advice = "a directory, for a file of each session and direction";
                return Err(Error::said(Op::Open, name, "it is not a directory").with_advice(advice));
            }
        }
        let mut trust = Trust::default();
        Ok(Blueprint {
            plan: Arc::new(plan.clone()),
            // the one session goes to whoever gets through first, which is found out in this thread
            threads: if plan.once { 1 } else { plan.threads },
            observers: reporting.shared_observers(),
            meter: Arc::new(Meter::default()),
            total: plan.limit_total.map(|rate| Common::new(rate, now)),
            scales: plan.pairs.iter().map(|pair| Scales::new(plan.balance, pair.targets.len(), now)).collect(),
            layerings: plan.pairs.iter().map(|pair| Layerings::of(pair, &mut trust)).collect::<Result<_, _>>()?,
            hall: Arc::new(Hall::new(most, plan.serving.most_per_ip, plan.once).with_total(plan.limit_total, now)),
            log: reporting.log(),
            seed: seed(plan, reporting),
        })
    }

    /// What stands on connections that come to the listener of this pair.
    pub(super) fn layering(&self, pair: usize) -> Layering {
        self.layerings.get(pair).map(|layerings| layerings.client.clone()).unwrap_or_default()
    }

    /// Bytes delivered by all sessions so far: to clients, and from them.
    pub(super) fn moved(&self) -> [u64; 2] {
        [0, 1].map(|direction| self.meter.delivered(direction))
    }
}

impl Floor {
    /// The floor of one thread; `tells`: it is the one that tells what all of them would.
    pub(super) fn new(blueprint: &Blueprint, tells: bool) -> Self {
        let Blueprint { plan, observers, meter, total, scales, layerings, hall, log, seed, .. } = blueprint;
        let observer: Rc<dyn Observer> = Rc::new(Everybody(Arc::clone(observers)));
        let joint = Joint::new(plan.transfer.clone(), Local::Stdio, plan.serving.grace, observer);
        let joint = joint.for_relay(plan.half_close, total.clone(), Arc::clone(meter), blueprint.threads);
        let joint = joint.with_faults(&plan.faults, *seed);
        let names = Names::new(plan.resolve_every);
        let places = plan.pairs.iter().zip(scales).zip(layerings);
        let places = places.map(|((pair, scales), layers)| Place::of(pair, Arc::clone(scales), layers, &joint, &names));
        Floor {
            places: places.collect(),
            names,
            connect_timeout: plan.connect_timeout,
            closing: Rc::new(Cell::new(None)),
            once: plan.once,
            hall: Arc::clone(hall),
            datagrams: Terms::of(plan, *seed),
            reloads: Cell::new(0),
            journal: log.clone().map(Journal::new),
            copies: plan.copies.clone(),
            tells,
            joint,
        }
    }

    /// Where a client of this listener goes.
    pub(super) fn place(&self, pair: usize) -> Option<&Place> {
        self.places.get(pair)
    }

    /// The task that keeps the addresses of targets.
    pub(super) fn keeper(&self) -> Keeper {
        Keeper::new(Rc::clone(&self.names), self.tells.then(|| Rc::clone(self.observer())))
    }

    /// Who hears of everything.
    pub(super) fn observer(&self) -> &Rc<dyn Observer> {
        &self.joint.observer
    }

    /// Who copies a session, if anybody is to. Trouble with a copy is told, and does not stop the session; haul's status
    /// is another for it.
    pub(super) fn tap(&self, number: u64) -> Option<Tap> {
        let Copies { directory, hex, timestamps } = self.copies.as_ref()?;
        let plans = ["down", "up"].map(|way| {
            let ending = if *hex { ".hex" } else { "" };
            let path = directory.join(format!("{number}.{way}{ending}"));
            plan::Copy { path, hex: *hex, timestamps: *timestamps }
        });
        let tell: Rc<dyn Observer> =
            Rc::new(Complaints { to: Rc::clone(self.observer()), hall: Arc::clone(&self.hall) });
        match Copier::both_ways(plans, &tell) {
            Ok(tap) => Some(tap),
            Err(error) => {
                tell.observe(&Event::Error { session: Some(number), reason: error.line() });
                None
            }
        }
    }
}

/// Hears of copies that are not complete.
struct Complaints {
    to: Rc<dyn Observer>,
    hall: Arc<Hall>,
}

impl Observer for Complaints {
    fn observe(&self, event: &Event) {
        self.hall.miss_copy();
        self.to.observe(event);
    }
}

impl Place {
    /// True if one of the targets is a Unix socket.
    pub(super) fn has_unix(&self) -> bool {
        self.goals.iter().filter_map(|(goal, _)| goal.way()).any(|(to, _)| matches!(to.kind, Kind::Unix(..)))
    }

    fn of(pair: &Pair, scales: Arc<Scales>, layers: &Layerings, joint: &Joint, names: &Names) -> Self {
        let goal = |(target, layering): (_, &Layering)| {
            (Goal::of(target, layering, names), joint.with_transfer(moves(target, joint)))
        };
        let goals = pair.targets.iter().zip(&layers.targets).map(goal).collect();
        Place { layering: layers.client.clone(), goals, scales }
    }
}

impl Layerings {
    fn of(pair: &Pair, trust: &mut Trust) -> Result<Self, Error> {
        let target = |target: &Target| match target {
            Target::Program(_) => Ok(Layering::default()),
            Target::Address(address) => Layering::client_with(address, trust),
        };
        let targets = pair.targets.iter().map(target).collect::<Result<_, _>>()?;
        Ok(Layerings { client: Layering::server(&pair.at, Again::Likely)?, targets })
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
    /// Where it is, and where its addresses are looked up; `None` for a program.
    pub(super) fn way(&self) -> Option<(&Address, Option<NameId>)> {
        match self {
            Goal::Open(way) => Some((&*way.address, way.name)),
            Goal::Run(_) => None,
        }
    }

    fn of(target: &Target, layering: &Layering, names: &Names) -> Self {
        let address = match target {
            Target::Program(program) => return Goal::Run(program.clone()),
            Target::Address(address) => prepared(address),
        };
        match open::program(&address) {
            Some(program) => Goal::Run(program),
            None => {
                let name = names.add(&address);
                Goal::Open(Box::new(Way { address: Rc::new(address), name, layering: layering.clone() }))
            }
        }
    }

    /// What messages call it.
    pub(super) fn object(&self) -> Vec<u8> {
        match self {
            Goal::Open(way) => printed::goal(&way.address, "localhost"),
            Goal::Run(_) => b"a program".to_vec(),
        }
    }
}

/// An address with what a relay sets on every connection, as far as this system has it.
pub(super) fn prepared(address: &Address) -> Address {
    let mut prepared = tuned(address);
    if !sys::USER_TIMEOUT {
        prepared.options.user_timeout = address.options.user_timeout;
    }
    prepared
}

/// The seed of the faults, told so that they can be repeated.
fn seed(plan: &Relay, reporting: &Reporting) -> u64 {
    let seed = plan.faults.seed.unwrap_or_else(any_seed);
    if !plan.faults.is_sound() {
        let told = Faults { seed: Some(seed), ..plan.faults.clone() };
        let text = format!("faults: {told}");
        reporting.observers().observe(&Event::Note { verbosity: 1, text });
    }
    seed
}

/// Refuses what stands at a path and is no socket. Nothing may stand there yet.
fn is_socket(path: &Path) -> Result<(), Error> {
    let Ok(found) = path.metadata() else { return Ok(()) };
    let name = path.as_os_str().as_encoded_bytes();
    let (cause, advice) = match found.file_type() {
        kind if kind.is_fifo() => {
            ("it is a FIFO: there is one of it, and every session wants its own", "a program: sh:'cat > FIFO'")
        }
        kind if kind.is_file() => ("it is a file, which is sent or appended to", "file:NAME or file,append:NAME"),
        kind if kind.is_dir() => ("it is a directory", "the path of a socket"),
        _ => return Ok(()),
    };
    Err(Error::said(Op::Connect, name, cause).with_advice(advice).with_status(ExitStatus::Usage))
}

/// The program that sessions with a target run, if they do.
fn program(target: &Target) -> Option<Program> {
    match target {
        Target::Program(program) => Some(program.clone()),
        Target::Address(address) => open::program(address),
    }
}
