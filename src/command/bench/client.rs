//! The end that measures.

mod judging;
mod run;
mod running;
mod trips;

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use super::caller::{self, Route};
use super::control::Control;
use super::ledger::{Lane, Ledger};
use super::opening::{Opened, Opening};
use super::server;
use super::setup::{self, Between};
use crate::bench::protocol::{Breach, Client as Talk, ClientStep, Refusal, stream_id};
use crate::bench::result::baseline::Baseline;
use crate::bench::result::{Results, json};
use crate::bench::traffic::{Crew, Hatch, Layered};
use crate::command::layering::{self, Layering};
use crate::command::printer::Printer;
use crate::command::reporting::Reporting;
use crate::endpoint::socket::Name;
use crate::error::{Cause, Error, Op};
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Host, HostPort, Kind};
use crate::plan::bench::{Bench, Client as Wanted, Peer, Until};
use crate::reactor::{Park, Task, Turn};
use crate::report::console::Console;
use crate::report::summary::Summary;
use run::{Run, Step};

/// Gives the task that measures.
pub(super) fn client(plan: &Bench, wanted: &Wanted, reporting: &Reporting) -> Result<Box<dyn Task>, Error> {
    let before = wanted.compare.as_deref().map(|path| judging::baseline(path, wanted)).transpose()?;
    let printer = Printer::open()?;
    let hatch = match wanted.peer {
        Peer::Here { pipes: true, .. } => Some(Hatch::default()),
        _ => None,
    };
    let to = match &wanted.peer {
        Peer::There(address) => address.clone(),
        Peer::Here { at, .. } => server::here(plan, at, hatch.clone())?,
    };
    let observer = reporting.observers();
    if let Peer::There(address) = &wanted.peer {
        layering::remind(std::iter::once(address).chain(&wanted.via), &*observer);
    }
    let route = Route { layering: Layering::client(&to)?, to, patience: wanted.patience, observer };
    let streams = match &wanted.via {
        Some(via) => Route { layering: Layering::client(via)?, to: via.clone(), ..route.clone() },
        None => route.clone(),
    };
    Ok(Box::new(Measuring {
        plan: plan.clone(),
        wanted: wanted.clone(),
        route,
        streams,
        hatch,
        before,
        run: None,
        done: Vec::new(),
        again_until: None,
        is_cut: false,
        missing: None,
        printer,
        ended: None,
        console: reporting.console(),
        started: Instant::now(),
    }))
}

/// Measures as often as is wanted, then judges.
struct Measuring {
    plan: Bench,
    wanted: Wanted,
    /// Where the server is.
    route: Route,
    /// Where the streams go to: the same, unless something else is in the way.
    streams: Route,
    /// Where pipes are left for the server in this process.
    hatch: Option<Hatch>,
    /// What it is compared with.
    before: Option<Baseline>,
    run: Option<Run>,
    done: Vec<Results>,
    /// Until when the next of several runs is begun anew if it cannot begin.
    again_until: Option<Instant>,
    /// The last of those was stopped before its time.
    is_cut: bool,
    /// What has arrived of what was sent, where that is less.
    missing: Option<[u64; 2]>,
    printer: Printer,
    /// How it ends, once everything is printed.
    ended: Option<Ended>,
    /// Who prints what SIGUSR1 asks for.
    console: Console,
    started: Instant,
}

impl Measuring {
    fn peer(&self) -> String {
        let (host, port) = setup::shown(&self.route.to);
        port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// Where the streams go, for what fails on that way.
    fn way(&self) -> String {
        self.wanted.via.as_ref().map_or_else(|| self.peer(), |via| via.to_string())
    }

    /// What the peer has said in the middle. Where it has waited in vain for streams that went another way, that is why.
    fn broken_off(&self, run: &Run, breach: &Breach) -> Error {
        let waits = matches!(run.step, Step::Opening(_) | Step::Ready);
        let is_alone = *breach == Breach::Left || *breach == Breach::Refused(Refusal::Accept as i32);
        match &self.wanted.via {
            Some(via) if waits && is_alone => {
                let why = format!("what went there has not arrived at {}", self.peer());
                Error::said(Op::Transfer, via.to_string(), why)
            }
            _ => self.breach(breach),
        }
    }

    /// What the peer has done wrong.
    fn breach(&self, breach: &Breach) -> Error {
        let error = Error::said(Op::Transfer, self.peer(), breach.sentence());
        match breach {
            // an alert (RFC 8446, 6)
            Breach::Foreign(said) if said.starts_with(&[21, 3]) => error.with_advice("--tls: that was TLS"),
            Breach::Foreign(_) => error.with_advice("haul bench -s or iperf3 -s there, and its port with -p"),
            Breach::Busy => error.with_advice("again later, or a server of haul, which takes many clients"),
            _ => error,
        }
    }

    fn gone(&self) -> Error {
        Error::said(Op::Transfer, self.peer(), "it has closed the connection in the middle")
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::new(Op::Transfer, self.peer(), error)
    }

    /// Moves the run on as far as it goes; true once it is over.
    fn advance(&mut self, turn: &mut Turn, run: &mut Run) -> Result<bool, Error> {
        if let Step::Approaching(approach) = &mut run.step {
            let Some(contact) = approach.turn(turn)? else { return self.in_time(turn, run) };
            let observer = &*self.route.observer;
            contact.tell_connected(1, observer);
            let over = caller::over_socket(turn, caller::end(contact), &self.peer())?;
            self.connected(turn, run, over)?;
        }
        loop {
            self.converse(turn, run)?;
            if let Step::Opening(opening) = &mut run.step
                && opening.turn(turn)?
            {
                self.begin(turn, run)?;
                continue;
            }
            if let Step::Running(_) = &run.step
                && running::turn(self, turn, run)?
            {
                continue;
            }
            running::drain(turn, run);
            break;
        }
        let unsent = match &mut run.control {
            Some(control) => !control.write(turn, run.talk.outgoing()).map_err(|error| self.io(error))?,
            None => false,
        };
        if matches!(run.step, Step::Closing) && !unsent {
            run.abandon(turn);
            return Ok(true);
        }
        if run.control.as_ref().is_some_and(Control::is_ended) && !run.talk.is_over() {
            return Err(if run.talk.is_unheard() { self.breach(&Breach::Foreign(Vec::new())) } else { self.gone() });
        }
        self.in_time(turn, run)
    }

    fn in_time(&self, turn: &Turn, run: &Run) -> Result<bool, Error> {
        if matches!(run.step, Step::Running(_)) || turn.now() < run.limit {
            return Ok(false);
        }
        let limit = self.wanted.patience;
        Err(match &run.step {
            Step::Approaching(approach) => approach.unopened(Cause::TimedOut(limit)),
            Step::Opening(_) | Step::Ready => Error::new(Op::Transfer, self.way(), Cause::TimedOut(limit)),
            _ => Error::new(Op::Transfer, self.peer(), Cause::TimedOut(limit)),
        })
    }

    /// The control connection is up.
    fn connected(&mut self, turn: &mut Turn, run: &mut Run, over: Layered) -> Result<(), Error> {
        let segment = crate::sys::segment_size(over.socket().fd());
        run.parameters = setup::parameters(&self.wanted, segment);
        run.talk = Talk::new(&run.cookie, run.parameters.clone());
        let mut control = Control::new(over);
        control.start(turn).map_err(|error| self.io(error))?;
        run.control = Some(control);
        run.step = Step::Agreeing;
        run.limit = turn.now() + self.wanted.patience;
        Ok(())
    }

    /// Hears what the server says, and does it.
    fn converse(&mut self, turn: &mut Turn, run: &mut Run) -> Result<(), Error> {
        let Run { control: Some(control), talk, .. } = run else { return Ok(()) };
        control.write(turn, talk.outgoing()).map_err(|error| self.io(error))?;
        control.read(turn, |bytes| talk.receive(bytes)).map_err(|error| self.io(error))?;
        loop {
            let step = run.talk.step();
            let Some(step) = step.map_err(|breach| self.broken_off(run, &breach))? else { break };
            run.limit = turn.now() + self.wanted.patience;
            match step {
                ClientStep::CreateStreams => {
                    self.suits(run)?;
                    if !run.talk.is_haul() {
                        run.parameters.extra = None;
                    }
                    let route = self.streams_to(run);
                    let wanted = (0..run.parameters.streams()).map(|index| run.parameters.client_sends(index));
                    run.step = Step::Opening(Box::new(
                        Opening::new(route, &run.cookie, &run.parameters, wanted.collect()).through(self.hatch.clone()),
                    ));
                }
                ClientStep::Start => {}
                // the word may come before the last stream was seen to be open
                ClientStep::Run if run.ledger.is_none() => {
                    run.is_called = true;
                    if let Step::Opening(opening) = &mut run.step {
                        opening.called();
                    }
                }
                ClientStep::Run => running::begin(self, turn, run)?,
                ClientStep::Tell => running::tell(turn, run),
                ClientStep::Show(theirs) => {
                    if let Some(ledger) = &mut run.ledger {
                        let mut results = ledger.close(Some(&theirs), None);
                        if matches!(self.wanted.peer, Peer::Here { .. }) {
                            // both ends are this process
                            results.cpu[1] = None;
                        }
                        if run.talk.is_haul() {
                            self.missing = self.missing.or(judging::missing(&results));
                        }
                        // iperf3 says it to the next client that has not asked, too
                        let said = theirs.server_output.as_deref().filter(|_| self.wanted.load.server_output);
                        self.show(&results, said);
                        self.done.push(results);
                    }
                    run.talk.finish();
                    run.step = Step::Closing;
                }
            }
        }
        Ok(())
    }

    /// What only haul can do needs a server that is haul.
    fn suits(&self, run: &Run) -> Result<(), Error> {
        let load = &self.wanted.load;
        let asked = [
            (load.trip.is_some_and(|trip| !trip.connects), "--rr"),
            (load.trip.is_some(), "--crr"),
            (load.check, "--check"),
        ];
        match asked.iter().find(|(asked, _)| *asked) {
            Some((_, flag)) if !run.talk.is_haul() => {
                let why = format!("{} is no haul, and iperf3 cannot do that", self.peer());
                Err(Error::said(Op::Use, *flag, why).with_advice("haul bench -s there"))
            }
            _ => Ok(()),
        }
    }

    /// Where the streams connect to: to the very address that the conversation is with, unless something else is in the
    /// way.
    fn streams_to(&self, run: &Run) -> Route {
        let socket = run.control.as_ref().and_then(Control::socket).filter(|_| self.wanted.via.is_none());
        match socket.and_then(|socket| socket.ends().ok()) {
            Some([Name::Inet(address), _]) => {
                let host = match address {
                    std::net::SocketAddr::V4(v4) => Host::V4(*v4.ip()),
                    std::net::SocketAddr::V6(v6) => {
                        let scope = Some(v6.scope_id()).filter(|scope| *scope != 0);
                        Host::V6(*v6.ip(), scope.map(|scope| scope.to_string()))
                    }
                };
                let kind = Kind::Tcp(HostPort { host, port: address.port() });
                Route { to: Address { kind, ..self.streams.to.clone() }, ..self.streams.clone() }
            }
            _ => self.streams.clone(),
        }
    }

    /// The streams are open: they wait for the server's word, and the books are opened.
    fn begin(&mut self, turn: &mut Turn, run: &mut Run) -> Result<(), Error> {
        let Step::Opening(opening) = &mut run.step else { return Ok(()) };
        let (opened, idle) = (opening.take(), opening.take_idle());
        run.step = Step::Ready;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.wanted.load.trip {
            None => self.plan.threads.unwrap_or(opened.len().min(cpus)),
            Some(_) => 1,
        };
        let crew = Crew::new(threads).map_err(|error| Error::new(Op::Start, "a thread", error))?;
        let (host, port) = setup::shown(&self.route.to);
        let between = Between {
            host,
            port,
            is_server: false,
            over: setup::protocol(&self.streams.to),
            cookie: &run.cookie,
            until: Some(self.wanted.load.until),
            omit: Some(self.wanted.load.omit),
        };
        let opened = if run.parameters.streams() == 0 { self.connectionless(run) } else { opened };
        let connections = opened.iter().map(|opened| opened.lane.connection.clone()).collect();
        let setup = setup::setup(between, &run.parameters, connections);
        let mut lines = Vec::new();
        let mut lanes = Vec::new();
        for opened in opened {
            lanes.push(opened.lane);
            lines.extend(opened.line);
        }
        let is_trip = self.wanted.load.trip.is_some();
        if is_trip {
            run.idle = trips::conversations(turn, lines).map_err(|error| self.io(error))?;
        } else {
            let band = running::start(turn, &crew, run, &lanes, lines).map_err(|error| self.io(error))?;
            run.band = Some(band);
        }
        self.opening(&setup);
        let mut ledger = Ledger::new(setup, lanes, turn.now());
        ledger.checks = self.wanted.load.check;
        if let Some((over, notes)) = idle {
            ledger.latency.idle = Some(notes.latency).filter(|histogram| !histogram.is_empty());
            run.idle.extend(over);
        }
        run.ledger = Some(ledger);
        if run.is_called { running::begin(self, turn, run) } else { Ok(()) }
    }

    /// What stands in the books for connections that are made for one request each.
    fn connectionless(&self, run: &Run) -> Vec<Opened> {
        let lane = |index| {
            let socket = run.control.as_ref().and_then(Control::socket);
            let mut lane = match socket {
                Some(socket) => Lane::new(stream_id(index), true, socket),
                None => Lane::named(stream_id(index), true, (String::new(), 0), (String::new(), 0)),
            };
            lane.connection.local_port = 0;
            Opened { lane, line: None }
        };
        (0..usize::from(run.parameters.parallel)).map(lane).collect()
    }

    /// Prints who measures with whom.
    fn opening(&mut self, setup: &crate::bench::result::Setup) {
        if self.plan.print.json_stream {
            self.printer.line(json::start(setup).as_bytes());
        } else if !self.plan.print.json {
            self.printer.line(setup::opening(setup, self.wanted.interval.is_some()).as_bytes());
        }
    }

    /// The end, once standard output has everything.
    fn leave(&mut self, turn: &mut Turn) -> Park {
        let finished = self.printer.finish(turn);
        let ended = match (finished, self.ended.take()) {
            (Ok(false), ended) => {
                self.ended = ended;
                return Park::Wait;
            }
            (Ok(true), ended) => ended.unwrap_or(Ended::Clean),
            (Err(_), Some(Ended::Failed(error))) => Ended::Failed(error),
            (Err(failed), _) => failed,
        };
        let bytes = self.done.iter().flat_map(|results| &results.totals).fold([0_u64; 2], |mut sum, total| {
            let sides = [total.sent, total.received];
            let way = &mut sum[usize::from(!total.is_sender)];
            *way = way.saturating_add(sides.iter().flatten().map(|side| side.bytes).max().unwrap_or(0));
            sum
        });
        Park::Done(Outcome { ended, bytes, elapsed: turn.now().saturating_duration_since(self.started) })
    }

    /// What there is to tell before anything has moved.
    fn nothing_yet(&self, turn: &Turn) -> Summary {
        let elapsed = turn.now().saturating_duration_since(self.started);
        Summary { bytes_in: 0, bytes_out: 0, elapsed, reason: None }
    }

    /// One turn of the run that is under way.
    fn measure(&mut self, turn: &mut Turn) {
        let mut run = match self.run.take() {
            Some(run) => run,
            None => match Run::new(&self.route, turn, &self.wanted) {
                Ok(run) => run,
                Err(error) => return self.fail(error, |this, why| this.fall_short(why)),
            },
        };
        match self.advance(turn, &mut run) {
            Ok(false) => {
                turn.deadline(run.deadline());
                self.run = Some(run);
            }
            Ok(true) if self.done.len() < self.wanted.repeat as usize => {
                self.again_until = Some(turn.now() + AGAIN_FOR);
                turn.wake(turn.id());
            }
            Ok(true) => self.ended = Some(self.judge()),
            Err(_) if !run.has_begun() && self.again_until.is_some_and(|until| turn.now() < until) => {
                run.abandon(turn);
                turn.deadline(Some(turn.now() + AGAIN_AFTER));
            }
            Err(error) => self.fail(error, |this, why| run.interrupt(this, turn, why)),
        }
    }

    /// It ends with this error, once `tell` has told programs.
    fn fail(&mut self, error: Error, tell: impl FnOnce(&mut Self, String)) {
        tell(self, error.line());
        if self.plan.print.json_stream {
            self.printer.line(json::error(&error.line()).as_bytes());
        }
        self.ended = Some(Ended::Failed(error));
    }
}

impl Task for Measuring {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.printer.start(turn)?;
        turn.listen_for(&[SIGINT, SIGTERM, SIGUSR1]).map_err(|error| Error::new(Op::Open, "signals", error))
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        while turn.finished().is_some() {}
        let signals = turn.signals();
        if signals & 1 << SIGUSR1 != 0 {
            let ledger = self.run.as_ref().and_then(|run| run.ledger.as_ref());
            let summary = ledger.map(|ledger| ledger.summary(turn.now()));
            self.console.summary(&summary.unwrap_or_else(|| self.nothing_yet(turn)));
        }
        for signal in [SIGINT, SIGTERM] {
            if signals & 1 << signal != 0 && self.ended.is_none() {
                if let Some(mut run) = self.run.take() {
                    run.interrupt(self, turn, "interrupted".into());
                }
                if self.plan.print.json_stream {
                    self.printer.line(json::error("interrupted").as_bytes());
                }
                self.ended = Some(Ended::Signal(signal));
            }
        }
        if self.ended.is_none() {
            self.measure(turn);
        }
        if self.ended.is_none()
            && let Err(ended) = self.printer.flush(turn)
        {
            if let Some(mut run) = self.run.take() {
                run.abandon(turn);
            }
            self.ended = Some(ended);
        }
        match self.ended {
            Some(_) => self.leave(turn),
            None => Park::Wait,
        }
    }
}

/// How long the test is to run, as far as time ends it.
fn time(until: Until) -> Option<std::time::Duration> {
    match until {
        Until::Time(time) => Some(time),
        _ => None,
    }
}

/// How long a server may take to be ready for the next of several runs: iperf3 closes its socket, and says that it is
/// busy, for a moment behind each.
const AGAIN_FOR: Duration = Duration::from_secs(5);

/// The time between two tries of that.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
