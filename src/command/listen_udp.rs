//! `haul listen -u`: one unconnected socket that serves every peer, with standard input and output or a program for each.
//!
//! What standard output has no room for is not received: it waits in the kernel's buffer, and what that has no room for
//! is counted there. Standard input answers whoever was heard last, and is not read before anybody was; its end ends
//! nothing.

mod account;
mod answers;
mod ending;
mod output;
mod peers;
mod reception;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::announce;
use super::errand::Errand;
use super::gate::possible;
use super::messages::Messages;
use super::programs::Programs;
use super::progress::Ticker;
use super::reporting::Reporting;
use super::writes;
use crate::datagram::flows::Limits;
use crate::datagram::{DatagramSocket, Inbox, Outbox};
use crate::endpoint::access::Access;
use crate::endpoint::process::{self, Output as Where};
use crate::endpoint::stdio;
use crate::endpoint::udp::{self, Bound};
use crate::endpoint::unix_path::SocketFile;
use crate::error::{Error, Op};
use crate::event::{Event, Observer, Traffic};
use crate::meter::Meter;
use crate::outcome::Ended;
use crate::plan::address::Kind;
use crate::plan::datagram::{Framing, ListenUdp, MOST_OVER_V4, MOST_OVER_V6};
use crate::plan::{Local, policy};
use crate::reactor::{Park, Task, Turn};
use crate::report::{Console, ProgressView};
use account::Strangers;
use output::Output;
use peers::Peers;

/// Gives the task that binds and serves.
///
/// # Errors
/// A program that cannot be run, an access list that cannot be read, standard input that is a directory.
pub(super) fn listen(plan: &ListenUdp, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let (serving, observer) = (&plan.serving, reporting.observers());
    let access = Access::load(&serving.allow, &serving.deny)?;
    let (joined, input) = match &plan.local {
        Local::Program(program) => {
            process::check(program)?;
            let programs = Programs::new(serving.grace, MOST_OVER_V4, Rc::clone(&observer));
            (Joined::Programs(Box::new(programs)), None)
        }
        Local::Stdio => {
            let split = plan.framing.map(Framing::split);
            let input = match plan.stdin {
                true => Some(Messages::stream(stdio::open(true, false)?, "standard input".into(), split, limit(plan))),
                false => None,
            };
            (Joined::Output(Output::open(plan.framing)?), input)
        }
    };
    let unix = matches!(plan.at.kind, Kind::Unix(..));
    // stamps are to be read in any case
    let dropped = !plan.stamped && matches!(&joined, Joined::Output(output) if output.drops());
    Ok(Box::new(Server {
        peers: Peers::new(access, serving.count, limits(plan), Rc::clone(&observer)),
        plan: plan.clone(),
        joined,
        input,
        line: None,
        inbox: match unix {
            false if dropped => Inbox::counting(),
            false => Inbox::new(),
            true => Inbox::unix(UNIX),
        },
        outbox: Outbox::with_room_for(limit(plan) + writes::ROOM, !unix),
        errand: None,
        status: 0,
        stuck_since: None,
        retry_at: None,
        traffic: Traffic::default(),
        drops: 0,
        unfit: None,
        strangers: Strangers::default(),
        failures: 0,
        failed_at: None,
        report_at: None,
        reported_at: None,
        told_drops: 0,
        talks: plan.report.verbosity > 0,
        ending: None,
        ending_by: None,
        drains: false,
        hurried: false,
        opened_by: None,
        started: Instant::now(),
        moved_at: Instant::now(),
        meter: Arc::new(Meter::default()),
        progress: reporting.progress(None),
        console: reporting.console(),
        observer,
    }))
}

/// The most bytes of an answer.
fn limit(plan: &ListenUdp) -> usize {
    match (&plan.at.kind, crate::plan::datagram::most(&plan.at)) {
        (Kind::Unix(..), _) => UNIX,
        (_, Some((most, _))) => most,
        _ => MOST_OVER_V6,
    }
}

/// How many peers there may be. Whoever is in talk with a program is not thrown out for somebody who may be forged, nor
/// is anybody where the limit is the user's.
fn limits(plan: &ListenUdp) -> Limits {
    let room = match &plan.local {
        Local::Program(_) => usize::try_from(possible(DESCRIPTORS)).unwrap_or(usize::MAX),
        Local::Stdio if plan.stamped => peers::MOST_ACCOUNTS,
        Local::Stdio => peers::MOST,
    };
    let most = plan.serving.most.map_or(room, |most| usize::try_from(most).unwrap_or(usize::MAX).min(room));
    let program = matches!(plan.local, Local::Program(_));
    let spare = (plan.serving.most.is_none() && !program).then_some(peers::SPARE);
    Limits { idle: Some(plan.flow_idle), most, spare }
}

/// What the socket is joined to.
enum Joined {
    Output(Output),
    Programs(Box<Programs>),
}

/// The bound socket.
struct Line {
    socket: DatagramSocket,
    /// Removed when it is dropped, before the socket is closed.
    _file: Option<SocketFile>,
    protocol: &'static str,
    printed: String,
    /// 0 of a Unix socket.
    port: u16,
}

struct Server {
    plan: ListenUdp,
    joined: Joined,
    /// Standard input; `None` once it has ended, or where it is left alone.
    input: Option<Messages>,
    /// `None` before it is bound.
    line: Option<Line>,
    inbox: Inbox,
    outbox: Outbox,
    peers: Peers,
    /// The command of `--then`, and its status.
    errand: Option<Errand>,
    status: u8,
    /// Since when the first answer has no room at a peer, where no event tells when it has; and when it is tried again.
    stuck_since: Option<Instant>,
    retry_at: Option<Instant>,
    traffic: Traffic,
    /// The kernel's count of dropped packets before what was received last.
    drops: u32,
    /// The first datagram that did not get to standard output as a whole.
    unfit: Option<Error>,
    /// Under `--seq`, what came without a stamp.
    strangers: Strangers,
    /// Receives in a row that failed.
    failures: u32,
    /// When a failed answer to nobody in particular was told last.
    failed_at: Option<Instant>,
    /// When the next interval is over, while there is something to tell; and when the last one was.
    report_at: Option<Instant>,
    reported_at: Option<Instant>,
    /// Drops that were told.
    told_drops: u64,
    /// Somebody wants to hear of each datagram.
    talks: bool,
    /// How it ended, while the rest goes out.
    ending: Option<Ended>,
    /// How long that may take.
    ending_by: Option<Instant>,
    /// A signal ended it: what the kernel has received until then is still taken.
    drains: bool,
    /// It was told to end by a signal.
    hurried: bool,
    /// When the first datagram must have come; `None` once it has.
    opened_by: Option<Instant>,
    started: Instant,
    /// When a datagram moved last, either way.
    moved_at: Instant,
    meter: Arc<Meter>,
    /// Shown from the first datagram on.
    progress: Option<ProgressView>,
    console: Console,
    observer: Rc<dyn Observer>,
}

/// How far one look at a direction came: `Wait` for an event or the deadline, or there is more to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait,
    Again,
}

impl Server {
    /// Binds, and tells everybody where.
    fn bind(&mut self, turn: &mut Turn) -> Result<Line, Error> {
        let plan = &self.plan;
        let bound = udp::bind(&plan.at)?;
        let ip = bound.local.map(|local| local.ip());
        policy::programs_and_the_bound(&plan.at, ip, policy::runs_program(&plan.local), &plan.serving)?;
        let fd = bound.fd.try_clone().map_err(|error| Error::new(Op::Open, "the socket", error))?;
        let mut socket = if ip.is_some() { DatagramSocket::ip(fd) } else { DatagramSocket::unix_to_many(fd) };
        // where what is lost is counted, each datagram that is dropped here has to count as one
        socket.prepare(plan.stamped);
        socket.hear_refusals(ip.is_some_and(|ip| ip.is_ipv6()));
        socket.start(turn).map_err(|error| Error::new(Op::Open, "the event loop", error))?;
        announce(&plan.announce, &bound)?;
        self.observer.observe(&Event::Listening { protocol: bound.protocol, address: bound.printed.clone() });
        if let Some(text) = &plan.serving.then {
            let output = match plan.local {
                Local::Program(_) => Where::Inherited,
                Local::Stdio => Where::StandardError,
            };
            let mut errand = Errand::run(text, &(&bound).into(), output, plan.serving.grace)?;
            errand.start(turn)?;
            self.errand = Some(errand);
        }
        let Bound { file, protocol, printed, local, .. } = bound;
        Ok(Line { socket, _file: file, protocol, printed, port: local.map_or(0, |local| local.port()) })
    }

    /// Takes datagrams, as long as standard output does.
    fn receive(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        for _ in 0..ROUNDS {
            if let Joined::Output(output) = &mut self.joined {
                output.flush(turn)?;
                if output.is_full() {
                    return Ok(Step::Wait);
                }
            }
            if self.ending.is_some() && !self.drains || self.left() == 0 {
                return Ok(Step::Wait);
            }
            let Some(line) = &self.line else { return Ok(Step::Wait) };
            match line.socket.receive(turn, &mut self.inbox) {
                Ok(_) => {
                    self.failures = 0;
                    self.take_in(turn)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.drains = false;
                    return Ok(Step::Wait);
                }
                // about something that was sent, unless it never stops
                Err(error) if self.failures < FAILURES => {
                    self.failures += 1;
                    self.refused(turn, &error);
                }
                Err(error) => {
                    let object = format!("{} {}", line.protocol, line.printed);
                    return Err(Ended::Failed(Error::new(Op::Accept, object, error)));
                }
            }
        }
        Ok(Step::Again)
    }

    /// Datagrams until the limit of `-W`.
    fn left(&self) -> u64 {
        self.plan.datagrams.map_or(u64::MAX, |wanted| wanted.saturating_sub(self.traffic.received))
    }

    /// Forgets who was silent for too long.
    fn expire(&mut self, turn: &mut Turn) {
        while let Some(number) = self.peers.expire(turn.now()) {
            if let Joined::Programs(programs) = &mut self.joined {
                programs.dismiss(turn, number);
            }
        }
    }

    fn work(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        let signals = self.obey(turn);
        self.run_errand(turn);
        let mut again = self.receive(turn)? == Step::Again;
        again |= self.answer(turn)? == Step::Again;
        // before the programs have their turn: those of whoever is forgotten are to end
        self.expire(turn);
        again |= self.run_programs(turn, signals) == Step::Again;
        self.flush(turn);
        if self.ending.is_none()
            && let Some(ended) = self.ended(turn.now())
        {
            self.begin_to_end(turn, ended);
            again = true;
        }
        self.tell_interval(turn.now());
        Ok(if again { Step::Again } else { Step::Wait })
    }
}

impl Task for Server {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let failed = |error| Error::new(Op::Use, "signals", error);
        turn.listen_for(&[SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT]).map_err(failed)?;
        if let Joined::Output(output) = &mut self.joined {
            output.start(turn)?;
        }
        if let Some(input) = &mut self.input {
            input.start(turn)?;
        }
        let now = turn.now();
        (self.started, self.moved_at) = (now, now);
        self.opened_by = self.plan.first_within.map(|limit| now + limit);
        let line = self.bind(turn)?;
        if let Joined::Programs(programs) = &mut self.joined {
            programs.set_limit(limit(&self.plan));
        }
        self.peers.bound(line.protocol, &line.printed, line.port);
        self.line = Some(line);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let worked = self.work(turn).and_then(|step| Ok((step, self.is_over(turn)?)));
        let step = match worked {
            Ok((step, false)) => step,
            Ok((_, true)) => return Park::Done(self.finish(turn, None)),
            Err(ended) => return Park::Done(self.finish(turn, Some(ended))),
        };
        turn.deadline(self.deadline(turn.now()));
        if step == Step::Again { Park::Again } else { Park::Wait }
    }
}

/// A peer with a program: two pipes, the pidfd, and one to spare while it is made.
const DESCRIPTORS: u64 = 4;

/// What a Unix datagram can be at most where nobody has changed the kernel's default for send buffers.
const UNIX: usize = 212_960;

/// Calls of each kind in one turn before others have theirs.
const ROUNDS: usize = 64;

/// Receives in a row that may fail.
const FAILURES: u32 = 1000;

/// From one report to the next.
const INTERVAL: Duration = Duration::from_secs(1);
