//! The part of a measurement in which bytes move.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Measuring, Run, Step, time, trips};
use crate::bench::protocol::Parameters;
use crate::bench::result::{json, text};
use crate::bench::traffic::trips::Trips;
use crate::bench::traffic::{Band, Bell, Budget, Crew, Flow, Line, Phase, Way};
use crate::command::bench::ledger::Lane;
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
}

impl Course {
    pub(super) fn deadline(&self) -> Option<Instant> {
        crate::session::limits::soonest([self.omit, self.end, self.tick])
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
        let Parameters { length, rate, zerocopy, extra, .. } = &run.parameters;
        let flow = Flow {
            way,
            block: *length,
            rate: Some(*rate / 8).filter(|rate| *rate > 0 && way == Way::Sends),
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
    run.step = Step::Running(Box::new(Course {
        omit,
        end: time(load.until).map(|time| omit.unwrap_or(now) + time),
        tick: measuring.wanted.interval.map(|every| now + every),
        budgets: std::mem::take(&mut run.budgets),
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
        course.omit = None;
        course.tick = measuring.wanted.interval.map(|every| now + every);
    }
    if course.end.is_some_and(|at| at <= now) || is_done(course, ledger) {
        finish(measuring, turn, run);
        return Ok(true);
    }
    if course.tick.is_some_and(|at| at <= now) {
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
            return Err(Error::new(Op::Transfer, measuring.peer(), error));
        }
    }
    for lane in &ledger.lanes {
        if let Some(error) = lane.tally.take_error() {
            return Err(Error::new(Op::Transfer, measuring.peer(), error));
        }
    }
    Ok(false)
}

/// True if all that was to be moved has been.
fn is_done(course: &Course, ledger: &super::Ledger) -> bool {
    let spent = !course.budgets.is_empty() && course.budgets.iter().all(|budget| budget.is_spent());
    // what a sender has taken out of the budget may still wait for room
    let sending = || ledger.lanes.iter().filter(|lane| lane.connection.is_sender);
    spent && (sending().next().is_none() || sending().all(|lane| lane.tally.is_ended()))
}

/// The end of the test.
fn finish(measuring: &mut Measuring, turn: &mut Turn, run: &mut Run) {
    let Some(ledger) = &mut run.ledger else { return };
    let now = turn.now();
    let is_new = ledger.last() + SHORTEST < now;
    if is_new || ledger.is_untold() {
        measuring.interval(ledger, &run.trips, now);
    }
    ledger.end(now);
    trips::end(ledger, std::mem::take(&mut run.trips));
    run.stage.advance(Phase::Over);
    if let Some(band) = &run.band {
        band.nudge(turn);
    }
    run.talk.end();
    run.step = Step::Ending;
    run.limit = now + measuring.wanted.patience;
}

impl Measuring {
    /// The end of an interval, and its line.
    fn interval(&mut self, ledger: &mut super::Ledger, asking: &[Trips], now: Instant) {
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

/// An interval shorter than this at the end is not worth a line.
const SHORTEST: Duration = Duration::from_millis(50);
