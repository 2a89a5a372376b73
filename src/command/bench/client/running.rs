//! The part of a measurement in which bytes move.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Measuring, Run, Step, time, trips};
use crate::bench::protocol::Parameters;
use crate::bench::result::{json, text};
use crate::bench::traffic::trips::Trips;
use crate::bench::traffic::{Band, Bell, Budget, Crew, Flow, Line, Phase, Way};
use crate::command::bench::ledger::{Lane, Ledger};
use crate::error::{Error, Op};
use crate::reactor::Turn;

/// What happens when.
pub(super) struct Course {
    /// The end of the warm-up.
    omit: Option<Instant>,
    /// The end of it all; `None` if bytes or blocks end it.
    end: Option<Instant>,
    /// The next line.
    tick: Option<Instant>,
    /// What is to be sent, or received.
    budgets: Vec<Arc<Budget>>,
    /// Where datagrams are to be received until there are enough: some may be lost.
    quiet: Option<Quiet>,
    /// All is sent; what is on its way has to be read.
    settling: Option<Settling>,
}

/// The time for a server to read what was sent that counts no more once it has heard that this was all.
#[derive(Clone, Copy)]
struct Settling {
    /// When all was sent.
    end: Instant,
    /// Since when its system has everything.
    delivered: Option<Instant>,
}

/// What ends it when nothing comes any more.
struct Quiet {
    /// Bytes that have come, and since when no more has.
    seen: (u64, Instant),
    /// When is looked again.
    look: Instant,
    /// How long nothing may come: at the beginning, and once something has.
    limits: [Duration; 2],
}

impl Quiet {
    /// For streams like these.
    fn new(parameters: &Parameters, patience: Duration, now: Instant) -> Self {
        let rate = parameters.rate.max(1) as f64;
        // from one datagram to the next; one that is held to nothing comes at once
        let gap = if parameters.rate == 0 { 0.0 } else { parameters.length as f64 * 8.0 / rate };
        let gap = Duration::try_from_secs_f64(gap * 4.0).unwrap_or(patience);
        Quiet { seen: (0, now), look: now + LOOK, limits: [patience.max(gap), SILENCE.max(gap)] }
    }

    /// Looks at what has come: since when nothing has, once that is too long.
    fn since(&mut self, bytes: u64, now: Instant) -> Option<Instant> {
        if self.look > now {
            return None;
        }
        self.look = now + LOOK;
        if bytes != self.seen.0 {
            self.seen = (bytes, now);
        }
        let (bytes, since) = self.seen;
        let limit = self.limits[usize::from(bytes > 0)];
        (now.saturating_duration_since(since) >= limit).then_some(since)
    }
}

/// Datagrams that are on their way when the test is over: they were sent in it, and count.
pub(super) struct Drain {
    /// Bytes that have come, and when that was seen.
    seen: (u64, Instant),
    /// Since when the server sends nothing more, and waits for what was counted here.
    asked: Option<Instant>,
}

impl Drain {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.map(|_| Instant::now() + LOOK_AGAIN)
    }
}

impl Course {
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.settling.is_some() {
            // it is over, and nothing but that is waited for
            return Some(Instant::now() + LOOK_AGAIN);
        }
        let quiet = self.quiet.as_ref().map(|quiet| quiet.look);
        crate::session::limits::soonest([self.omit, self.end, self.tick, quiet])
    }

    /// All was sent by `end`, to a server that reads nothing more once it has heard that; when it was, once the server has
    /// had the time to read it.
    fn settled(&mut self, ledger: &mut Ledger, end: Instant, now: Instant, patience: Duration) -> Option<Instant> {
        let Settling { end, delivered } = self.settling.get_or_insert(Settling { end, delivered: None });
        if delivered.is_none() && ledger.is_delivered() {
            *delivered = Some(now);
        }
        let left = delivered.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if left < READING && now.saturating_duration_since(*end) < patience {
            return None;
        }
        ledger.left_to_read(left);
        Some(*end)
    }
}

/// Gives every stream a flow that waits for the beginning.
pub(super) fn start(turn: &mut Turn, crew: &Crew, run: &mut Run, lanes: &[Lane], lines: Vec<Line>) -> io::Result<Band> {
    let mut band = crew.band();
    let bell = Bell::of(turn)?;
    run.budgets = budgets(&run.parameters);
    for (lane, line) in lanes.iter().zip(lines) {
        let way = if lane.connection.is_sender { Way::Sends } else { Way::Receives };
        let budget = match (run.budgets.as_slice(), way) {
            ([], _) => None,
            ([both], _) => Some(Arc::clone(both)),
            ([up, ..], Way::Sends) => Some(Arc::clone(up)),
            ([_, down, ..], Way::Receives) => Some(Arc::clone(down)),
        };
        let Parameters { length, burst, zerocopy, extra, .. } = &run.parameters;
        let flow = Flow {
            way,
            block: *length,
            rate: run.parameters.bytes_per_second().filter(|_| way == Way::Sends),
            burst: *burst,
            budget,
            check: extra.is_some_and(|extra| extra.check),
            zerocopy: *zerocopy,
            finishes: run.talk.is_haul(),
            tally: Arc::clone(&lane.tally),
            stage: Arc::clone(&run.stage),
            bell: bell.clone(),
        };
        band.run(turn, move || line.task(flow))?;
    }
    Ok(band)
}

/// What ends it, if it is a number of bytes: one for each direction.
fn budgets(parameters: &Parameters) -> Vec<Arc<Budget>> {
    let bytes = match (parameters.bytes, parameters.blocks) {
        (0, 0) => return Vec::new(),
        (0, blocks) => blocks.saturating_mul(parameters.length as u64),
        (bytes, _) => bytes,
    };
    let count = if parameters.bidirectional { 2 } else { 1 };
    (0..count).map(|_| Arc::new(Budget::new(bytes))).collect()
}

/// The server says go.
pub(super) fn begin(measuring: &mut Measuring, turn: &mut Turn, run: &mut Run) -> Result<(), Error> {
    let Some(ledger) = &mut run.ledger else { return Ok(()) };
    let now = turn.now();
    ledger.begin(now);
    let load = &measuring.wanted.load;
    let omit = Some(load.omit).filter(|omit| !omit.is_zero()).map(|omit| now + omit);
    let receives = ledger.lanes.iter().any(|lane| !lane.connection.is_sender);
    let is_quiet = run.parameters.udp && receives && !run.budgets.is_empty();
    let quiet = is_quiet.then(|| Quiet::new(&run.parameters, measuring.wanted.patience, now));
    run.step = Step::Running(Box::new(Course {
        quiet,
        omit,
        end: time(load.until).map(|time| omit.unwrap_or(now) + time),
        tick: measuring.wanted.interval.map(|every| now + every),
        budgets: std::mem::take(&mut run.budgets),
        settling: None,
    }));
    run.stage.advance(Phase::Running);
    if let Some(band) = &run.band {
        band.nudge(turn);
    }
    trips::begin(measuring, turn, run)
}

/// Looks at the clock and at the streams; true if the test is over.
pub(super) fn turn(measuring: &mut Measuring, turn: &mut Turn, run: &mut Run) -> Result<bool, Error> {
    let (Step::Running(course), Some(ledger)) = (&mut run.step, &mut run.ledger) else { return Ok(false) };
    let now = turn.now();
    if course.omit.is_some_and(|at| at <= now) {
        if ledger.last() + SHORTEST < now {
            measuring.interval(ledger, &run.trips, now);
        }
        ledger.begin_counting(now);
        // of the warm-up, and too few for a line
        let _ = trips::fresh(&run.trips);
        course.omit = None;
        course.tick = measuring.wanted.interval.map(|every| now + every);
    }
    let silent = course.quiet.as_mut().and_then(|quiet| quiet.since(ledger.received(), now));
    if course.end.is_some_and(|at| at <= now) || is_done(course, ledger, silent.is_some()) {
        // the time in which nothing came is none of the test's
        let end = silent.unwrap_or(now);
        let sends = ledger.lanes.iter().any(|lane| lane.connection.is_sender);
        let mut settled = Some(end);
        if sends && !run.talk.is_haul() && (run.parameters.udp || !course.budgets.is_empty()) {
            if run.parameters.udp {
                // nothing more is sent: what does not arrive now is lost
                run.stage.advance(Phase::Draining);
                run.band.iter().for_each(|band| band.nudge(turn));
            }
            settled = course.settled(ledger, end, now, measuring.wanted.patience);
        }
        if let Some(end) = settled {
            finish(measuring, turn, run, end);
            return Ok(true);
        }
    }
    // no interval goes beyond the end
    if course.settling.is_none() && course.tick.is_some_and(|at| at <= now) {
        measuring.interval(ledger, &run.trips, now);
        // a turn that came late does not move the others
        let every = measuring.wanted.interval.unwrap_or(Duration::MAX);
        while course.tick.is_some_and(|at| at <= now) {
            course.tick = course.tick.and_then(|at| at.checked_add(every));
        }
    }
    if let Some(error) = run.trips.iter().find_map(|trips| trips.notes().error.take()) {
        // beside the streams it is only a figure less
        if measuring.wanted.load.trip.is_some() {
            return Err(Error::new(Op::Transfer, measuring.way(), error));
        }
    }
    for lane in &ledger.lanes {
        if let Some(error) = lane.tally.take_error() {
            return Err(Error::new(Op::Transfer, measuring.way(), error));
        }
    }
    Ok(false)
}

/// True if all that was to be moved has been, or nothing more comes.
fn is_done(course: &Course, ledger: &Ledger, is_silent: bool) -> bool {
    let (up, down) = match course.budgets.as_slice() {
        [] => return false,
        [one] => (one, one),
        [up, down, ..] => (up, down),
    };
    let all_ended = |is_sender| {
        let mut lanes = ledger.lanes.iter().filter(|lane| lane.connection.is_sender == is_sender);
        lanes.all(|lane| lane.tally.is_ended())
    };
    let receives = ledger.lanes.iter().any(|lane| !lane.connection.is_sender);
    let sends = ledger.lanes.iter().any(|lane| lane.connection.is_sender);
    // what a sender has taken out of the budget may still wait for room
    let is_sent = !sends || up.is_spent() && all_ended(true);
    is_sent && (!receives || down.is_spent() || all_ended(false) || is_silent)
}

/// The end of the test.
fn finish(measuring: &mut Measuring, turn: &mut Turn, run: &mut Run, end: Instant) {
    let Some(ledger) = &mut run.ledger else { return };
    let is_new = ledger.last() + SHORTEST < end;
    if is_new || ledger.is_untold() {
        measuring.interval(ledger, &run.trips, end);
    }
    ledger.end(end);
    trips::end(ledger, std::mem::take(&mut run.trips));
    let receives = ledger.lanes.iter().any(|lane| !lane.connection.is_sender);
    run.drain = (run.parameters.udp && receives).then(|| Drain { seen: (ledger.received(), end), asked: None });
    run.stage.advance(if run.drain.is_some() { Phase::Draining } else { Phase::Over });
    if let Some(band) = &run.band {
        band.nudge(turn);
    }
    run.talk.end();
    run.step = Step::Ending;
    let patience = measuring.wanted.patience;
    // the server waits for all that was sent, however slowly it comes
    run.limit =
        turn.now() + if time(measuring.wanted.load.until).is_none() { patience.max(DRAINING) } else { patience };
}

/// The server has stopped, and wants to know what was counted.
pub(super) fn tell(turn: &Turn, run: &mut Run) {
    match (&mut run.drain, &run.ledger) {
        (Some(drain), _) => drain.asked = Some(turn.now()),
        (None, Some(ledger)) => run.talk.tell(&ledger.told()),
        (None, None) => {}
    }
}

/// Waits until nothing comes any more of what the server has sent, then tells it what was counted. Whatever is missing
/// then was lost, also behind the last that came.
pub(super) fn drain(turn: &mut Turn, run: &mut Run) {
    let (Some(Drain { seen, asked: Some(asked) }), Some(ledger)) = (&mut run.drain, &mut run.ledger) else { return };
    let (now, bytes) = (turn.now(), ledger.received());
    if bytes != seen.0 {
        *seen = (bytes, now);
    }
    let is_quiet = now.saturating_duration_since(seen.1.max(*asked)) >= QUIET;
    if !is_quiet && now.saturating_duration_since(*asked) < LONGEST_DRAIN {
        return;
    }
    ledger.drained(seen.1);
    run.drain = None;
    run.stage.advance(Phase::Over);
    if let Some(band) = &run.band {
        band.nudge(turn);
    }
    run.talk.tell(&ledger.told());
}

impl Measuring {
    /// The end of an interval, and its line.
    fn interval(&mut self, ledger: &mut Ledger, asking: &[Trips], now: Instant) {
        let setup = ledger.setup.clone();
        let (interval, is_first) = ledger.tick(now, trips::fresh(asking));
        if self.wanted.interval.is_none() {
            return;
        }
        if self.plan.print.json_stream {
            self.printer.line(json::interval(interval).as_bytes());
        } else if !self.plan.print.json {
            self.printer.line(text::interval(&setup, interval, is_first).as_bytes());
        }
    }
}

/// How often is looked whether datagrams still come.
const LOOK: Duration = Duration::from_millis(50);

/// No datagram has come for so long: none comes any more.
const SILENCE: Duration = Duration::from_secs(1);

/// How often is looked whether something more has come behind the end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long a server may take to read what its system has.
const READING: Duration = Duration::from_millis(20);

/// The server has stopped, and nothing has come for so long: nothing more comes.
const QUIET: Duration = Duration::from_millis(100);

/// A server that has stopped and goes on sending is heard no longer than this.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

/// How long a server may wait for what is on its way.
const DRAINING: Duration = Duration::from_secs(60);

/// An interval shorter than this at the end is not worth a line.
const SHORTEST: Duration = Duration::from_millis(50);
