//! Who runs the sessions of a relay: this thread, or several that are given connections by it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::ferry::{Berth, Ferry};
use super::floor::{Blueprint, Floor};
use super::passage::Passage;
use crate::command::client::Closing;
use crate::command::contact::Contact;
use crate::endpoint::accept::Accepted;
use crate::endpoint::open::Opened;
use crate::error::{Error, Op};
use crate::outcome::{Ended, Outcome};
use crate::reactor::shard::Shard;
use crate::reactor::{Park, Remote, Task, TaskId, Turn};

/// A client on its way to a session.
pub(super) struct Arrival {
    pub(super) client: Accepted,
    pub(super) guest: Guest,
}

/// What is known of a client besides its connection.
pub(super) struct Guest {
    /// Where it came from.
    pub(super) ip: Option<IpAddr>,
    /// The listener that it came to.
    pub(super) pair: usize,
    /// The number of its session.
    pub(super) number: u64,
    /// The PROXY header that its target is to have.
    pub(super) header: Option<Box<[u8]>>,
}

/// A session that is over.
pub(super) struct Departure {
    /// Where its client came from.
    pub(super) ip: Option<IpAddr>,
    pub(super) outcome: Outcome,
    /// It was a listener for datagrams.
    pub(super) is_ferry: bool,
    /// The thread that had it.
    worker: usize,
}

/// Everybody who runs sessions.
pub(super) enum Crew {
    /// This thread.
    Alone(Team),
    /// Others.
    Threads(Threads),
}

/// Threads that are given connections.
pub(super) struct Threads {
    workers: Vec<Shard<Order>>,
    /// Sessions that each of them has.
    load: Vec<usize>,
    /// Listeners for datagrams that they serve.
    ferries: usize,
    departures: Receiver<Departure>,
}

/// What a thread is told.
enum Order {
    Serve(Arrival),
    Ferry(Box<Berth>),
    Reload,
    Close(Closing),
    /// End, once nobody is there any more.
    Leave,
}

impl Crew {
    /// Gets everybody ready; `turn` is that of the task that is woken for each departure.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn muster(turn: &mut Turn, blueprint: &Blueprint) -> Result<Self, Error> {
        if blueprint.threads < 2 {
            let team = Team::new(Floor::new(blueprint, true));
            team.begin(turn);
            return Ok(Crew::Alone(team));
        }
        let failed = |error| Error::new(Op::Start, "a thread", error);
        let (home, departures) = channel();
        let mut workers = Vec::new();
        for worker in 0..blueprint.threads {
            let (blueprint, home) = (blueprint.clone(), home.clone());
            let (remote, root) = (turn.remote().map_err(failed)?, turn.id());
            let make = move |orders| {
                let team = Team::new(Floor::new(&blueprint, worker == 0));
                let worker = Worker { team, orders, home, remote, root, number: worker, leaving: false };
                Box::new(worker) as Box<dyn Task>
            };
            workers.push(Shard::start(&format!("relay {worker}"), make).map_err(failed)?);
        }
        let load = vec![0; workers.len()];
        Ok(Crew::Threads(Threads { workers, load, ferries: 0, departures }))
    }

    /// Begins a session, on the thread that has the fewest.
    ///
    /// # Errors
    /// That thread has ended, which it should not have.
    pub(super) fn welcome(&mut self, turn: &mut Turn, arrival: Arrival) -> Result<(), Error> {
        let threads = match self {
            Crew::Alone(team) => {
                team.welcome(turn, arrival);
                return Ok(());
            }
            Crew::Threads(threads) => threads,
        };
        let Some(index) = (0..threads.load.len()).min_by_key(|index| threads.load[*index]) else { return Ok(()) };
        threads.load[index] += 1;
        threads.workers[index]
            .send(Order::Serve(arrival))
            .map_err(|_| Error::said(Op::Use, "a thread", "it has ended, and its sessions with it"))
    }

    /// Begins a session with a client whose handshake is over, in this thread.
    ///
    /// # Errors
    /// Sessions are not in this thread.
    pub(super) fn usher(&mut self, turn: &mut Turn, contact: Contact, guest: Guest) -> Result<(), Error> {
        match self {
            Crew::Alone(team) => {
                team.usher(turn, contact, guest);
                Ok(())
            }
            Crew::Threads(_) => Err(Error::said(Op::Use, "a connection", "its session would be in another thread")),
        }
    }

    /// Serves a listener for datagrams, on one of the threads.
    ///
    /// # Errors
    /// That thread has ended, which it should not have.
    pub(super) fn ferry(&mut self, turn: &mut Turn, berth: Berth) -> Result<(), Error> {
        let threads = match self {
            Crew::Alone(team) => {
                team.ferry(turn, berth);
                return Ok(());
            }
            Crew::Threads(threads) => threads,
        };
        let worker = threads.ferries % threads.workers.len();
        threads.ferries += 1;
        threads.workers[worker]
            .send(Order::Ferry(Box::new(berth)))
            .map_err(|_| Error::said(Op::Use, "a thread", "it has ended, and its sessions with it"))
    }

    /// Has the access lists of datagrams read again.
    pub(super) fn reload(&mut self, turn: &mut Turn) {
        match self {
            Crew::Alone(team) => team.reload(turn),
            Crew::Threads(threads) => {
                for worker in &threads.workers {
                    let _ = worker.send(Order::Reload);
                }
            }
        }
    }

    /// A session that has ended since the last call.
    pub(super) fn departed(&mut self, turn: &mut Turn) -> Option<Departure> {
        match self {
            Crew::Alone(team) => team.departed(turn, 0),
            Crew::Threads(threads) => {
                // no session is a task of this thread; what ends here is of no interest
                while turn.finished().is_some() {}
                let departure = threads.departures.try_recv().ok()?;
                match departure.is_ferry {
                    true => threads.ferries -= 1,
                    false => threads.load[departure.worker] -= 1,
                }
                Some(departure)
            }
        }
    }

    /// Tells every session to come to its end.
    pub(super) fn close(&mut self, turn: &mut Turn, closing: Closing) {
        match self {
            Crew::Alone(team) => team.close(turn, closing),
            Crew::Threads(threads) => {
                for worker in &threads.workers {
                    // one that has ended has nobody to tell
                    let _ = worker.send(Order::Close(closing));
                }
            }
        }
    }

    /// True while there is a session.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Crew::Alone(team) => !team.is_empty(),
            Crew::Threads(threads) => threads.ferries > 0 || threads.load.iter().any(|load| *load > 0),
        }
    }

    /// Lets the threads end; nobody is there any more.
    pub(super) fn dismiss(&mut self) {
        if let Crew::Threads(threads) = self {
            for worker in threads.workers.drain(..) {
                let _ = worker.send(Order::Leave);
                worker.join();
            }
        }
    }
}

/// The sessions of one thread.
pub(super) struct Team {
    floor: Rc<Floor>,
    sessions: HashMap<TaskId, Option<IpAddr>>,
    ferries: HashSet<TaskId>,
}

impl Team {
    fn new(floor: Floor) -> Self {
        Team { floor: Rc::new(floor), sessions: HashMap::new(), ferries: HashSet::new() }
    }

    fn begin(&self, turn: &mut Turn) {
        turn.spawn(Box::new(self.floor.keeper()));
    }

    fn welcome(&mut self, turn: &mut Turn, arrival: Arrival) {
        let Arrival { client, guest: Guest { ip, pair, number, header } } = arrival;
        let passage = Passage::new(Opened::from(client), Rc::clone(&self.floor), pair, number, header);
        self.sessions.insert(turn.spawn(Box::new(passage)), ip);
    }

    fn usher(&mut self, turn: &mut Turn, contact: Contact, guest: Guest) {
        let Guest { ip, pair, number, header } = guest;
        let floor = Rc::clone(&self.floor);
        let passage = Passage::after_handshake(contact, floor, pair, number, header, turn.now());
        self.sessions.insert(turn.spawn(Box::new(passage)), ip);
    }

    fn departed(&mut self, turn: &mut Turn, worker: usize) -> Option<Departure> {
        while let Some((id, outcome)) = turn.finished() {
            if let Some(ip) = self.sessions.remove(&id) {
                return Some(Departure { ip, outcome, is_ferry: false, worker });
            }
            if self.ferries.remove(&id) {
                return Some(Departure { ip: None, outcome, is_ferry: true, worker });
            }
        }
        None
    }

    fn close(&self, turn: &mut Turn, closing: Closing) {
        self.floor.closing.set(Some(closing));
        for id in self.sessions.keys().chain(&self.ferries) {
            turn.wake(*id);
        }
    }

    fn ferry(&mut self, turn: &mut Turn, berth: Berth) {
        let ferry = Ferry::new(berth, Rc::clone(&self.floor));
        self.ferries.insert(turn.spawn(Box::new(ferry)));
    }

    fn reload(&self, turn: &mut Turn) {
        self.floor.reloads.set(self.floor.reloads.get() + 1);
        self.ferries.iter().for_each(|id| turn.wake(*id));
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ferries.is_empty()
    }
}

/// The root task of a thread.
struct Worker {
    team: Team,
    orders: Receiver<Order>,
    home: Sender<Departure>,
    /// Wakes `root`, where departures are read.
    remote: Remote,
    root: TaskId,
    number: usize,
    leaving: bool,
}

impl Task for Worker {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.team.begin(turn);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let mut more = true;
        for _ in 0..ORDERS {
            match self.orders.try_recv() {
                Ok(Order::Serve(arrival)) => self.team.welcome(turn, arrival),
                Ok(Order::Ferry(berth)) => self.team.ferry(turn, *berth),
                Ok(Order::Reload) => self.team.reload(turn),
                Ok(Order::Close(closing)) => self.team.close(turn, closing),
                Ok(Order::Leave) => self.leaving = true,
                Err(_) => {
                    more = false;
                    break;
                }
            }
        }
        let mut any = false;
        while let Some(departure) = self.team.departed(turn, self.number) {
            // without a home nobody counts any more
            any |= self.home.send(departure).is_ok();
        }
        if any {
            self.remote.wake(self.root);
        }
        match self.leaving && self.team.is_empty() {
            true => Park::Done(Outcome::nothing_moved(Ended::Clean)),
            false if more => Park::Again,
            false => Park::Wait,
        }
    }
}

/// Orders that are carried out before sessions have their turns: a crowd whose sessions are all opened at once leaves
/// holes behind in memory, where what was needed for that stood between what stays.
const ORDERS: usize = 16;
