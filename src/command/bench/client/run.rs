//! One measurement: how far it is, and what it holds.

use std::sync::Arc;
use std::time::Instant;

use super::{Measuring, running, trips};
use crate::bench::protocol::{Client as Talk, Cookie, Parameters};
use crate::bench::result::text;
use crate::bench::traffic::trips::Trips;
use crate::bench::traffic::{Band, Budget, Conversation, Phase, Stage};
use crate::command::approach::Approach;
use crate::command::bench::caller::Route;
use crate::command::bench::control::Control;
use crate::command::bench::ledger::Ledger;
use crate::command::bench::opening::Opening;
use crate::command::bench::setup;
use crate::error::Error;
use crate::plan::address::{Address, Options};
use crate::plan::bench::Client as Wanted;
use crate::reactor::Turn;
use crate::session::limits::soonest;

/// One measurement.
pub(super) struct Run {
    pub(super) stage: Arc<Stage>,
    pub(super) cookie: Cookie,
    pub(super) talk: Talk,
    pub(super) control: Option<Control>,
    pub(super) step: Step,
    pub(super) parameters: Parameters,
    pub(super) ledger: Option<Ledger>,
    pub(super) band: Option<Band>,
    pub(super) budgets: Vec<Arc<Budget>>,
    /// Behind the end: what is still on its way.
    pub(super) drain: Option<running::Drain>,
    /// Connections for requests, until the test begins.
    pub(super) idle: Vec<Conversation>,
    /// Those who ask: beside the streams, or instead of them.
    pub(super) trips: Vec<Trips>,
    /// The server has said that the test begins.
    pub(super) is_called: bool,
    /// When the present step must be done.
    pub(super) limit: Instant,
}

/// How far it is.
pub(super) enum Step {
    Approaching(Box<Approach>),
    /// Waiting for the server's word.
    Agreeing,
    Opening(Box<Opening>),
    /// The streams are there.
    Ready,
    Running(Box<running::Course>),
    /// Over; the results are exchanged.
    Ending,
    /// The last byte is on its way.
    Closing,
}

impl Run {
    pub(super) fn new(route: &Route, turn: &mut Turn, wanted: &Wanted) -> Result<Self, Error> {
        // what the streams are set to does not concern the conversation
        let Options { family, numeric, source, source_port, iface, .. } = route.to.options.clone();
        let options = Options { family, numeric, source, source_port, iface, ..Options::default() };
        let approach = Route { to: Address { options, ..route.to.clone() }, ..route.clone() }.approach(turn)?;
        let cookie = Cookie::new([crate::endpoint::any_number(), crate::endpoint::any_number()]);
        let parameters = setup::parameters(wanted, None);
        Ok(Run {
            stage: Arc::default(),
            cookie,
            talk: Talk::new(&cookie, parameters.clone()),
            control: None,
            step: Step::Approaching(approach),
            parameters,
            ledger: None,
            band: None,
            budgets: Vec::new(),
            drain: None,
            idle: Vec::new(),
            trips: Vec::new(),
            is_called: false,
            limit: turn.now() + wanted.patience,
        })
    }

    /// Nothing of it is left.
    pub(super) fn abandon(&mut self, turn: &mut Turn) {
        self.stage.advance(Phase::Gone);
        if let Some(band) = &self.band {
            band.nudge(turn);
        }
        self.trips.clear();
        self.ledger = None;
        if let Some(mut control) = self.control.take() {
            self.talk.leave();
            let _ = control.write(turn, self.talk.outgoing());
            control.close(turn);
        }
    }
}

impl Run {
    pub(super) fn deadline(&self) -> Option<Instant> {
        let control = self.control.as_ref().and_then(Control::deadline);
        let step = match &self.step {
            Step::Approaching(approach) => soonest([Some(self.limit), approach.deadline()]),
            Step::Opening(opening) => soonest([Some(self.limit), opening.deadline()]),
            Step::Running(course) => course.deadline(),
            Step::Ending => soonest([Some(self.limit), self.drain.as_ref().and_then(running::Drain::deadline)]),
            _ => Some(self.limit),
        };
        soonest([control, step])
    }
}

impl Run {
    /// True once something was to be measured.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.step, Step::Running(_) | Step::Ending | Step::Closing)
    }

    /// It ends before its time: what was measured so far is printed.
    pub(super) fn interrupt(&mut self, measuring: &mut Measuring, turn: &mut Turn, why: String) {
        let is_cold = self.ledger.as_ref().is_some_and(|ledger| ledger.is_omitting());
        if let (Step::Running(_), true) = (&self.step, is_cold) {
            let why = format!("{why}, before the warm-up was over: nothing was measured");
            if !measuring.plan.print.json && !measuring.plan.print.json_stream {
                measuring.printer.line(text::stopped(&why).as_bytes());
            }
            measuring.fall_short(why);
        } else if let (Step::Running(_) | Step::Ending, Some(ledger)) = (&self.step, &mut self.ledger) {
            if matches!(self.step, Step::Running(_)) {
                ledger.tick(turn.now(), trips::fresh(&self.trips));
                ledger.end(turn.now());
                trips::end(ledger, std::mem::take(&mut self.trips));
            }
            let results = ledger.close(None, Some(why));
            measuring.show(&results, None);
            measuring.done.push(results);
            measuring.is_cut = true;
            let _ = measuring.judge();
        } else {
            measuring.fall_short(why);
        }
        self.abandon(turn);
    }
}
