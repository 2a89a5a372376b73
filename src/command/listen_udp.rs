//! `haul listen -u`: one unconnected socket that serves every peer, with standard input and output or a program for each.
//!
//! What standard output has no room for is not received: it waits in the kernel's buffer, and what that has no room for
//! is counted there. Standard input answers whoever was heard last, and is not read before anybody was; its end ends
//! nothing.

mod account;
mod output;
mod peers;
mod programs;
mod reception;

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::announce::announce;
use super::errand::Errand;
use super::gate::possible;
use super::messages::{Messages, Next};
use super::progress::Ticker;
use super::reporting::Reporting;
use crate::datagram::flows::Limits;
use crate::datagram::{DatagramSocket, Inbox, Outbox, Peer, Stop};
use crate::endpoint::access::Access;
use crate::endpoint::process::{self, Output as Where};
use crate::endpoint::stdio;
use crate::endpoint::udp::{self, Bound};
use crate::endpoint::unix_path::SocketFile;
use crate::error::{Cause, Error, Op};
use crate::event::{Event, Observer, Traffic};
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::plan::address::Kind;
use crate::plan::datagram::{Framing, ListenUdp, MOST_OVER_V4, MOST_OVER_V6};
use crate::plan::{Local, policy};
use crate::reactor::{Park, Task, Turn};
use crate::report::{Console, ProgressView};
use crate::session::limits::soonest;
use output::Output;
use peers::Peers;
use programs::{Programs, Surroundings};

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
            let programs = Programs::new(program, serving.grace, MOST_OVER_V4, Rc::clone(&observer));
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
    Ok(Box::new(Server {
        peers: Peers::new(access, serving.count, limits(plan), Rc::clone(&observer)),
        plan: plan.clone(),
        joined,
        input,
        line: None,
        inbox: match (unix, plan.framing) {
            (false, _) => Inbox::new(),
            // its length has to fit into two bytes
            (true, Some(Framing::Len16)) => Inbox::unix(usize::from(u16::MAX)),
            (true, _) => Inbox::unix(UNIX),
        },
        outbox: Outbox::with_room_for(limit(plan), !unix),
        errand: None,
        status: 0,
        traffic: Traffic::default(),
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
    traffic: Traffic,
    /// Receives in a row that failed.
    failures: u32,
    /// When a failed answer was told last.
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
        let mut socket = if ip.is_some() { DatagramSocket::ip(fd) } else { DatagramSocket::unix(fd) };
        // where what is lost is counted, each datagram that is dropped here has to count as one
        socket.prepare(plan.stamped);
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
        let Bound { file, protocol, printed, .. } = bound;
        Ok(Line { socket, _file: file, protocol, printed })
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

    /// Sends what standard input holds to whoever was heard last.
    fn answer(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        for _ in 0..ROUNDS {
            // nobody came yet: standard input waits
            let (Some(input), Some(peer)) = (&mut self.input, self.peers.latest()) else { return Ok(Step::Wait) };
            let length = match input.next(turn).map_err(Ended::Failed)? {
                Next::Later => return Ok(Step::Wait),
                Next::Over => {
                    input.close(turn);
                    self.input = None;
                    return Ok(Step::Wait);
                }
                Next::Payload(_) if peer == Peer::Unnamed => {
                    input.take();
                    self.traffic.unsent += 1;
                    if self.peers.is_news(&peer) {
                        let reason = "cannot answer a client of a Unix socket that has no name of its own".into();
                        self.observer.observe(&Event::Error { session: None, reason });
                    }
                    continue;
                }
                Next::Payload(payload) => self.outbox.push(Some(&peer), payload).then_some(payload.len()),
            };
            let Some(length) = length else {
                if self.flush(turn) {
                    return Ok(Step::Wait);
                }
                continue;
            };
            input.take();
            if let Some(number) = self.peers.find(&peer).map(|visit| visit.number) {
                self.peers.answered(turn.now(), &peer, number, length as u64);
            }
        }
        Ok(Step::Again)
    }

    /// Gives the programs their turn.
    fn run_programs(&mut self, turn: &mut Turn, signals: u64) -> Step {
        let Joined::Programs(programs) = &mut self.joined else { return Step::Wait };
        programs.wake(turn, signals & 1 << SIGCHLD != 0);
        for _ in 0..ROUNDS {
            let Joined::Programs(programs) = &mut self.joined else { break };
            let Server { peers, outbox, traffic, .. } = self;
            match programs.turn(turn, &mut Surroundings { peers, outbox, traffic }) {
                Some(true) => return Step::Again,
                Some(false) => return Step::Wait,
                None if self.flush(turn) => return Step::Wait,
                None => {}
            }
        }
        Step::Again
    }

    /// Gives the kernel what waits; true if it takes no more.
    fn flush(&mut self, turn: &mut Turn) -> bool {
        loop {
            let Some(line) = &self.line else { return false };
            let flushed = line.socket.flush(turn, &mut self.outbox);
            self.traffic.sent += flushed.datagrams;
            self.traffic.bytes_out += flushed.bytes;
            if flushed.datagrams > 0 {
                self.moved_at = turn.now();
                self.meter.add(0, flushed.bytes);
            }
            match flushed.stop {
                Stop::Empty => return false,
                Stop::Full => return true,
                Stop::Refused(error) => self.refused(turn, &error),
                Stop::Failed(error) => {
                    self.traffic.unsent += 1;
                    self.refused(turn, &error);
                }
            }
        }
    }

    /// An answer did not get through, which concerns its peer alone; told at most once a second.
    fn refused(&mut self, turn: &Turn, error: &io::Error) {
        if self.failed_at.is_none_or(|at| at + INTERVAL <= turn.now()) {
            self.failed_at = Some(turn.now());
            let reason = format!("cannot answer a peer: {}", crate::error::sentence(error));
            self.observer.observe(&Event::Error { session: None, reason });
        }
    }

    /// Forgets who was silent for too long.
    fn expire(&mut self, turn: &mut Turn) {
        while let Some(number) = self.peers.expire(turn.now()) {
            if let Joined::Programs(programs) = &mut self.joined {
                programs.dismiss(turn, number);
            }
        }
    }

    /// How it ended, once it has.
    fn ended(&self, now: Instant) -> Option<Ended> {
        let passed = |since: Instant, limit: Option<Duration>| limit.filter(|limit| since + *limit <= now);
        let programs = matches!(&self.joined, Joined::Programs(programs) if !programs.is_empty());
        if self.left() == 0 || self.peers.is_over() && !programs {
            return Some(Ended::Clean);
        }
        if let Some(limit) = self.plan.first_within.filter(|_| self.opened_by.is_some_and(|at| at <= now)) {
            let object =
                self.line.as_ref().map_or_else(String::new, |line| format!("{} {}", line.protocol, line.printed));
            return Some(Ended::Failed(Error::new(Op::Accept, object, Cause::TimedOut(limit))));
        }
        let sentence = if let Some(limit) = passed(self.started, self.plan.max_time) {
            format!("time limit of {} reached", humantime::format_duration(limit))
        } else {
            let limit = passed(self.moved_at, self.plan.idle)?;
            format!("no datagram moved for {}", humantime::format_duration(limit))
        };
        let were = if self.traffic.received == 1 { "datagram" } else { "datagrams" };
        let headline = format!("stopped after {} {were}", self.traffic.received);
        Some(Ended::Failed(Error::begun(headline, Cause::Said(sentence)).with_status(ExitStatus::TimeLimit)))
    }

    /// Begins the end: nothing more is received or read, programs get the end of their input.
    fn begin_to_end(&mut self, turn: &mut Turn, ended: Ended) {
        if let Some(mut input) = self.input.take() {
            input.close(turn);
        }
        if let Joined::Programs(programs) = &mut self.joined {
            programs.dismiss_all(turn);
        }
        // a limit that was reached leaves the command of --then its time
        if let (Some(errand), false) = (&mut self.errand, matches!(ended, Ended::Clean) && !self.hurried) {
            errand.hurry(turn.now());
        }
        if matches!(ended, Ended::Signal(_)) || self.hurried {
            self.ending_by = Some(turn.now() + LAST_WRITES);
            self.drains = matches!(self.joined, Joined::Output(_));
        }
        self.ending = Some(ended);
    }

    fn obey(&mut self, turn: &mut Turn) -> u64 {
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            self.count_drops();
            self.console.tell(&self.totals(turn.now()));
        }
        if signals & 1 << SIGHUP != 0
            && let Err(error) = self.peers.reload()
        {
            self.observer.observe(&Event::Error { session: None, reason: error.line() });
        }
        if let Some(number) = [SIGINT, SIGTERM].into_iter().find(|number| signals & 1 << number != 0) {
            self.stop(turn, number);
        }
        signals
    }

    /// Asked to end; asked again, at once.
    fn stop(&mut self, turn: &mut Turn, number: i32) {
        let again = std::mem::replace(&mut self.hurried, true);
        if again || self.ending.is_some() {
            self.ending_by = Some(turn.now());
            if let Joined::Programs(programs) = &mut self.joined {
                programs.kill_all(turn.now());
            }
            if let Some(errand) = &mut self.errand {
                errand.kill(turn.now());
            }
        }
        if self.ending.is_none() {
            let ended = if self.plan.serving.keep { Ended::Clean } else { Ended::Signal(number) };
            self.begin_to_end(turn, ended);
        }
    }

    /// The command of `--then` has ended: so does the server.
    fn run_errand(&mut self, turn: &mut Turn) {
        let Some(status) = self.errand.as_mut().and_then(|errand| errand.turn(turn)) else { return };
        self.errand = None;
        // a command that was stopped because nobody came is not why it ends
        let stopped = self.traffic.received == 0 && self.ending.is_some();
        self.status = if stopped { 0 } else { status };
        if self.ending.is_none() {
            self.begin_to_end(turn, Ended::Clean);
        }
    }

    fn work(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        let signals = self.obey(turn);
        self.run_errand(turn);
        let mut again = self.receive(turn)? == Step::Again;
        again |= self.answer(turn)? == Step::Again;
        again |= self.run_programs(turn, signals) == Step::Again;
        self.flush(turn);
        self.expire(turn);
        if self.ending.is_none()
            && let Some(ended) = self.ended(turn.now())
        {
            self.begin_to_end(turn, ended);
            again = true;
        }
        self.tell_interval(turn.now());
        Ok(if again { Step::Again } else { Step::Wait })
    }

    /// True once nothing is left to do after the end.
    fn is_over(&mut self, turn: &mut Turn) -> Result<bool, Ended> {
        let given_up = self.ending_by.is_some_and(|at| at <= turn.now());
        self.drains &= !given_up && self.left() > 0;
        let done = match &mut self.joined {
            Joined::Output(output) => output.flush(turn)? || given_up,
            Joined::Programs(programs) => programs.is_empty(),
        };
        let sent = !self.flush(turn) || given_up;
        Ok(self.ending.is_some() && !self.drains && done && sent && self.errand.is_none())
    }

    fn deadline(&self) -> Option<Instant> {
        let open = self.ending.is_none();
        let idle = self.plan.idle.filter(|_| open).map(|limit| self.moved_at + limit);
        let whole = self.plan.max_time.filter(|_| open).map(|limit| self.started + limit);
        let programs = match &self.joined {
            Joined::Programs(programs) => programs.deadline(),
            Joined::Output(_) => None,
        };
        let errand = self.errand.as_ref().and_then(Errand::deadline);
        let first = self.opened_by.filter(|_| open);
        let last = self.ending_by.filter(|_| !matches!(self.joined, Joined::Programs(_)));
        soonest([idle, whole, programs, errand, first, last, self.report_at, self.peers.deadline()])
    }

    fn finish(&mut self, turn: &mut Turn, failed: Option<Ended>) -> Outcome {
        let now = turn.now();
        self.count_drops();
        let printed = match &mut self.joined {
            Joined::Output(output) => output.close(turn),
            Joined::Programs(programs) => {
                // nothing of them is left but after a failure
                programs.kill_all(now);
                Ok(())
            }
        };
        self.peers.end_all(now, "clean");
        self.observer.observe(&self.totals(now));
        let bytes = [self.traffic.bytes_out, self.traffic.bytes_in];
        let own = match &self.joined {
            Joined::Programs(programs) if !self.plan.serving.keep && self.plan.serving.count == Some(1) => {
                programs.status
            }
            _ => 0,
        };
        let ended = failed.or(self.ending.take()).unwrap_or(Ended::Clean);
        let ended = match (printed, ended) {
            (Err(failure), Ended::Clean) => failure,
            (_, Ended::Clean) if self.status.max(own) != 0 => {
                Ended::Program(if self.status != 0 { self.status } else { own })
            }
            (_, ended) => ended,
        };
        Outcome { ended, bytes, elapsed: now.saturating_duration_since(self.started) }
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
        self.peers.bound(line.protocol, &line.printed);
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
        turn.deadline(self.deadline());
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

/// How long a signal lets what was received go on to standard output.
const LAST_WRITES: Duration = Duration::from_millis(500);
