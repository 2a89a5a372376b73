//! `relay`: connections that come to listeners are joined to connections that are made to targets, many at once, until
//! a signal ends it.
//!
//! Every listener is bound before the first client is accepted, so that a command with a mistake in it serves nobody.
//! Each session is a task of its own ([`passage`]); what those of one thread share is its [`floor`], and the
//! [`crew`] is who runs them.

mod crew;
mod ferry;
mod floor;
mod hall;
mod journal;
mod lobby;
mod names;
mod passage;
mod reach;
mod scales;
mod signals;

use std::rc::Rc;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::client::Closing;
use super::gate::{Gate, possible};
use super::proxy::{header, parties};
use super::reporting::{Reporting, appended};
use super::vestibule::{Passed, Vestibule};
use crate::endpoint::accept::{Accepted, Acceptor};
use crate::endpoint::access::Access;
use crate::endpoint::udp;
use crate::error::{Error, Op};
use crate::event::{Event, Observer};
use crate::layer::proxy_header::Parties;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::address::Address;
use crate::plan::policy;
use crate::plan::relay::{LogSink, Pair, Relay, Target};
use crate::reactor::{Park, Task, Turn};
use crate::report::{Console, Outlet, Summary};
use crate::session::limits::soonest;
use crate::sys;
use crew::{Arrival, Crew, Guest};
use ferry::Berth;
use floor::{Blueprint, prepared};
use journal::Journal;
use lobby::{Heard, Lobby, Silence};

/// Accepts within its limits, and gives every connection a task of its own.
struct Forwarder {
    plan: Relay,
    /// The listeners for connections, each with the number of its pair; empty once nobody is accepted any more.
    doors: Vec<(usize, Acceptor)>,
    blueprint: Blueprint,
    gate: Gate,
    /// Where PROXY headers are waited for, if there are any.
    lobby: Option<Lobby>,
    /// With `--once`, clients whose handshakes are not over: the first that gets through is the only one.
    vestibule: Option<Vestibule<Ticket>>,
    /// Who runs the sessions; `None` before the listeners are bound.
    crew: Option<Crew>,
    /// Where lines about sessions go, if anywhere.
    journal: Option<Journal>,
    observer: Rc<dyn Observer>,
    /// Why it ends, where that is a failure.
    ended: Option<Ended>,
    /// It was asked to end.
    closing: bool,
    console: Console,
    started: Instant,
}

/// What is known of a client in the vestibule.
struct Ticket {
    pair: usize,
    /// Whom its PROXY header named.
    told: Option<Parties>,
}

/// Gives the task that binds, accepts and joins.
pub(super) fn relay(plan: Relay, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let (sessions, flows) = (most(&plan), most_flows(&plan));
    if let Some(text) = shortage(&plan) {
        reporting.observers().observe(&Event::Note { verbosity: 1, text });
    }
    let blueprint = Blueprint::new(&plan, reporting, flows)?;
    let access = Access::load(&plan.serving.allow, &plan.serving.deny)?;
    let gate = Gate::new(access, &plan.serving, sessions);
    let lobby = plan.proxy_accept.as_deref().map(Lobby::new).transpose()?;
    Ok(Box::new(Forwarder {
        doors: Vec::new(),
        blueprint,
        gate,
        lobby,
        vestibule: plan.once.then(|| Vestibule::new(reporting.observers())),
        crew: None,
        journal: reporting.log().map(Journal::new),
        observer: reporting.observers(),
        ended: None,
        closing: false,
        console: reporting.console(),
        started: Instant::now(),
        plan,
    }))
}

/// Opens what `--log` asks for.
///
/// # Errors
/// It cannot be opened, or standard output was closed.
pub(super) fn open_log(plan: &Relay) -> Result<Option<Outlet>, Error> {
    match &plan.log {
        None => Ok(None),
        Some(LogSink::Stdout) if sys::was_closed_at_start(1) => {
            let closed = std::io::Error::from_raw_os_error(libc::EBADF);
            Err(Error::new(Op::Write, "standard output", closed))
        }
        Some(LogSink::Stdout) => Ok(Some(Outlet::new(std::io::stdout()))),
        Some(LogSink::File(path)) => appended(path).map(|log| Some(log.that_retries())),
    }
}

/// That descriptors are not enough for as many as `-m` says.
pub(super) fn shortage(plan: &Relay) -> Option<String> {
    let datagrams = plan.pairs.iter().all(Pair::is_datagram);
    let possible = if datagrams { most_flows(plan) } else { most(plan) };
    plan.serving.most.filter(|most| *most > possible)?;
    Some(format!("descriptors are enough for {possible} at once, less than -m says: see ulimit -n"))
}

/// Sessions at once: each needs descriptors for both ends, and more for a program.
fn most(plan: &Relay) -> u64 {
    let programs = plan.pairs.iter().flat_map(|pair| &pair.targets).any(Target::is_program);
    let each = if programs { WITH_PROGRAM } else { WITH_SOCKET };
    let each = if plan.copies.is_some() { each + 2 } else { each };
    plan.serving.most.unwrap_or(u64::MAX).min(possible(each))
}

/// Flows of datagrams at once: each has a socket towards its target, or a program.
fn most_flows(plan: &Relay) -> u64 {
    let mut targets = plan.pairs.iter().filter(|pair| pair.is_datagram()).flat_map(|pair| &pair.targets);
    let each = if targets.any(Target::is_program) { FLOW_WITH_PROGRAM } else { 1 };
    let each = if plan.copies.is_some() { each + 2 } else { each };
    plan.serving.most.unwrap_or(u64::MAX).min(possible(each))
}

impl Forwarder {
    /// Binds everything, then tells where.
    ///
    /// # Errors
    /// One of them cannot be bound, or a program would be served to the world there: then nobody was accepted anywhere.
    fn bind(&mut self, turn: &mut Turn) -> Result<Vec<Berth>, Error> {
        let (mut doors, mut berths, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (index, pair) in self.plan.pairs.iter().enumerate() {
            if pair.is_datagram() {
                let bound = self.bind_datagrams(index)?;
                told.extend(bound.first().map(|berth| (berth.bound.protocol, berth.bound.printed.clone())));
                berths.extend(bound);
                continue;
            }
            let mut door = Acceptor::open(&prepared(&pair.at))?;
            let program = pair.targets.iter().any(Target::is_program);
            policy::programs_and_the_bound(&pair.at, door.ip(), program, &self.plan.checked())?;
            self.suits(&pair.at, &door)?;
            door.start(turn)?;
            told.push((self.blueprint.layering(index).protocol(door.protocol()), door.address().to_string()));
            doors.push((index, door));
        }
        for (protocol, address) in told {
            self.observer.observe(&Event::Listening { protocol, address });
        }
        for (pair, door) in &doors {
            self.blueprint.layering(*pair).tell_pin("connect", door, &*self.observer);
        }
        self.doors = doors;
        Ok(berths)
    }

    /// Binds a pair's listener for datagrams: a socket a thread, where the kernel shares clients out among them.
    fn bind_datagrams(&self, pair: usize) -> Result<Vec<Berth>, Error> {
        let Pair { at, targets } = &self.plan.pairs[pair];
        let listed = !(self.plan.serving.allow.is_empty() && self.plan.serving.deny.is_empty());
        let first = udp::bind(at)?;
        let ip = first.local.map(|local| local.ip());
        policy::programs_and_the_bound(at, ip, targets.iter().any(Target::is_program), &self.plan.checked())?;
        if listed && first.local.is_none() {
            let why = "who sends there has no address, and --allow and --deny would mean nothing";
            return Err(Error::said(Op::Listen, at.to_string(), why));
        }
        let shared = first.local.is_some_and(|local| !local.ip().is_multicast());
        let mut bound = vec![first];
        for _ in 1..if shared { self.plan.threads } else { 1 } {
            bound.push(udp::bind_beside(at, &bound[0])?);
        }
        Ok(bound.into_iter().map(|bound| Berth { bound, pair, access: self.gate.lists().clone() }).collect())
    }

    /// Refuses lists of addresses for a socket whose clients have none, and headers before packets: an inherited one
    /// could not be judged earlier.
    fn suits(&self, at: &Address, door: &Acceptor) -> Result<(), Error> {
        let Relay { serving, proxy_accept, .. } = &self.plan;
        let listed = !(serving.allow.is_empty() && serving.deny.is_empty());
        let why = match proxy_accept {
            Some(_) if door.protocol() == "unix-seqpacket" => "a PROXY header goes before a stream, not before packets",
            Some(lists) if door.ip().is_none() && !lists.is_empty() => {
                "who connects there has no address, and the list behind --proxy-accept would mean nothing"
            }
            None if door.ip().is_none() && listed => {
                "who connects there has no address, and --allow and --deny would mean nothing"
            }
            _ => return Ok(()),
        };
        Err(Error::said(Op::Listen, at.to_string(), why))
    }

    /// Accepts what may be accepted; true if there may be more at once.
    fn accept(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let mut more = false;
        for index in 0..self.doors.len() {
            for left in (0..ACCEPTS).rev() {
                if self.gate.is_full() || self.vestibule.as_ref().is_some_and(Vestibule::is_full) {
                    return Ok(false);
                }
                let Some((pair, door)) = self.doors.get_mut(index) else { return Ok(false) };
                let pair = *pair;
                let Some(accepted) = door.accept(turn)? else { break };
                match &mut self.lobby {
                    Some(lobby) if lobby.trusts(accepted.ip) => {
                        self.gate.enter(None);
                        lobby.admit(turn, accepted, pair);
                    }
                    Some(_) => self.refuse(&accepted, "it is none of the proxies"),
                    None => self.judge(turn, pair, accepted, None)?,
                }
                more |= left == 0;
            }
        }
        Ok(more)
    }

    /// Goes on with those whose PROXY header was waited for.
    fn hear(&mut self, turn: &mut Turn) -> Result<(), Error> {
        while let Some(heard) = self.lobby.as_mut().and_then(Lobby::heard) {
            self.gate.leave(None);
            let Heard { pair, client, header, .. } = heard;
            match header {
                // with --once somebody else was first
                _ if self.doors.is_empty() => {}
                Ok(parties) => self.judge(turn, pair, client, Some(parties))?,
                Err(Silence::Left) => self.refuse(&client, "it has left without a PROXY header"),
                Err(Silence::Unheard(why)) => {
                    let reason = format!("refused {}: {why}", client.peer);
                    self.observer.observe(&Event::Error { session: None, reason });
                }
            }
        }
        Ok(())
    }

    /// Lets somebody in or not.
    fn judge(&mut self, turn: &mut Turn, pair: usize, client: Accepted, told: Option<Parties>) -> Result<(), Error> {
        let crowded = self.vestibule.as_ref().and_then(|vestibule| vestibule.refuses(client.ip));
        let waiting = self.vestibule.as_ref().map_or(0, |vestibule| vestibule.waiting_from(client.ip));
        match self.gate.refuses_beside(waiting, client.ip).or(crowded) {
            None if client.ip.is_none() && self.lobby.is_some() && !self.gate.is_open() => {
                self.refuse(&client, "not allowed, without an address");
                Ok(())
            }
            None => self.admit(turn, pair, client, told),
            Some(why) => {
                self.refuse(&client, why);
                Ok(())
            }
        }
    }

    fn refuse(&self, client: &Accepted, why: &str) {
        let text = format!("refused {}: {why}", client.peer);
        self.observer.observe(&Event::Note { verbosity: 1, text });
    }

    /// Gives a client its session, or has it shake hands first where only one may get through.
    fn admit(&mut self, turn: &mut Turn, pair: usize, client: Accepted, told: Option<Parties>) -> Result<(), Error> {
        let told = told.filter(|told| *told != Parties::Own).or_else(|| {
            // asked while it is still known; a client that leaves takes its name along
            self.plan.proxy_send.is_some().then(|| parties(&client.socket))
        });
        let layering = self.blueprint.layering(pair);
        if let Some(vestibule) = &mut self.vestibule {
            vestibule.admit(turn, client, &layering, Ticket { pair, told });
            return self.let_through(turn);
        }
        let number = self.blueprint.hall.number();
        if layering.is_bare() && self.observer.wants_details() {
            let (protocol, peer, local) = (client.protocol, client.peer.clone(), client.local());
            self.observer.observe(&Event::Accepted { session: number, protocol, peer, local, secured: None });
        }
        self.gate.enter(client.ip);
        let guest = Guest { ip: client.ip, pair, number, header: self.header(told) };
        match &mut self.crew {
            Some(crew) => crew.welcome(turn, Arrival { client, guest }),
            None => Ok(()),
        }
    }

    /// What the target of a client is to be sent first.
    fn header(&self, about: Option<Parties>) -> Option<Box<[u8]>> {
        let version = self.plan.proxy_send?;
        Some(header(version, &about.unwrap_or(Parties::Own)).into_boxed_slice())
    }

    /// With `--once`, gives the first that got through its session, and cuts off everybody else.
    fn let_through(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let passed = self.vestibule.as_mut().and_then(Vestibule::passed);
        let Some(Passed { contact, ip, tag: Ticket { pair, told } }) = passed else { return Ok(()) };
        if !self.blueprint.hall.comes_first() {
            let text = format!("refused {}: somebody else was first", contact.opened.peer);
            self.observer.observe(&Event::Note { verbosity: 1, text });
            contact.reset(turn);
            // a flow of datagrams has the place: nobody who comes or waits can have it any more
            self.stop_accepting(turn);
            return Ok(());
        }
        let number = self.blueprint.hall.number();
        contact.tell_accepted(number, &*self.observer);
        self.gate.enter(ip);
        self.stop_accepting(turn);
        let guest = Guest { ip, pair, number, header: self.header(told) };
        match &mut self.crew {
            Some(crew) => crew.usher(turn, contact, guest),
            None => Ok(()),
        }
    }

    /// Strikes off whoever is done; true if somebody was.
    fn farewell(&mut self, turn: &mut Turn) -> bool {
        let mut any = false;
        while let Some(departure) = self.crew.as_mut().and_then(|crew| crew.departed(turn)) {
            any = true;
            if !departure.is_ferry {
                self.gate.leave(departure.ip);
            }
            // a listener for datagrams ends when it is asked to, or because it cannot be of use
            let failed = departure.is_ferry && matches!(departure.outcome.ended, Ended::Failed(_));
            if (self.plan.once || failed) && !self.closing {
                self.ended = Some(departure.outcome.ended);
                self.wind_up(turn);
            }
        }
        any
    }

    fn stop_accepting(&mut self, turn: &mut Turn) {
        for (_, door) in self.doors.drain(..) {
            door.close(turn);
        }
        if let Some(lobby) = &self.lobby {
            lobby.close(turn);
        }
        if let Some(vestibule) = &mut self.vestibule {
            vestibule.close(turn);
        }
    }

    /// Stops accepting and gives open sessions their grace; asked again, none.
    fn wind_up(&mut self, turn: &mut Turn) {
        self.stop_accepting(turn);
        let again = std::mem::replace(&mut self.closing, true);
        let closing = if again { Closing::Now } else { Closing::Until(turn.now() + self.plan.serving.grace) };
        if let Some(crew) = &mut self.crew {
            crew.close(turn, closing);
        }
    }

    fn finish(&mut self, turn: &Turn) -> Outcome {
        let Summary { bytes_in, bytes_out, elapsed, .. } = self.summary(turn.now());
        for event in self.totals(turn.now()) {
            self.observer.observe(&event);
        }
        let ended = match self.ended.take() {
            // it was told when it happened
            None | Some(Ended::Clean) if self.blueprint.hall.misses_copies() => Ended::Told(ExitStatus::LocalIo),
            ended => ended.unwrap_or(Ended::Clean),
        };
        Outcome { ended, bytes: [bytes_out, bytes_in], elapsed }
    }
}

impl Task for Forwarder {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1]).map_err(failed)?;
        let berths = self.bind(turn)?;
        let mut crew = Crew::muster(turn, &self.blueprint)?;
        for berth in berths {
            crew.ferry(turn, berth)?;
        }
        self.crew = Some(crew);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        self.obey(turn);
        if self.farewell(turn) {
            if let Some(journal) = &self.journal {
                journal.watch(&*self.observer);
            }
            // descriptors are free again: nobody has to wait for the end of a pause
            let doors = self.doors.iter_mut().map(|(_, door)| door);
            doors.filter(|door| door.is_starved()).for_each(Acceptor::resume);
        }
        let heard = self.let_through(turn).and_then(|()| self.hear(turn));
        let more = match heard.and_then(|()| self.accept(turn)) {
            Ok(more) => more,
            Err(error) => {
                // a listener is of no use any more: what is open still comes to its end
                self.ended = Some(Ended::Failed(error));
                self.wind_up(turn);
                false
            }
        };
        for (_, door) in &mut self.doors {
            if let Some(trouble) = door.trouble() {
                self.observer.observe(&Event::Error { session: None, reason: trouble.line() });
            }
        }
        let busy = self.lobby.as_ref().is_some_and(Lobby::is_busy);
        if self.doors.is_empty() && !busy && !self.crew.as_ref().is_some_and(Crew::is_busy) {
            if let Some(crew) = &mut self.crew {
                crew.dismiss();
            }
            return Park::Done(self.finish(turn));
        }
        turn.deadline(soonest(self.doors.iter().map(|(_, door)| door.deadline())));
        if more { Park::Again } else { Park::Wait }
    }
}

/// A session between two sockets. What a race for an address needs beside them is taken from the reserve, or waited for.
const WITH_SOCKET: u64 = 2;

/// A session with a program: its socket, two pipes, the pidfd, and one to spare.
const WITH_PROGRAM: u64 = 5;

/// A flow with a program: two pipes, the pidfd, and one to spare while it is made.
const FLOW_WITH_PROGRAM: u64 = WITH_PROGRAM - 1;

/// Connections taken from one listener in one turn before others are served.
const ACCEPTS: usize = 64;
