//! One direction of a session: takes bytes from one end, delivers them to the other, and passes the end of file on.
//!
//! The same pump is launched twice. It borrows both ends and owns only what is in transit. What it delivers is at every
//! moment a prefix of what it took (invariant 3): the carrier is emptied before it is filled again.

mod faulty;
mod fill;

use std::io;

use super::carrier::{KernelPipe, Pools};
use super::end::{End, Fault, Step};
use super::faults::Faults;
use super::tap::Tapped;
use crate::buffer::{Buffer, Lease};
use crate::plan::faults::Direction;
use crate::reactor::Turn;
use crate::sys::Access;
pub use fill::Route;
use fill::{Filled, Refused};
pub(super) use fill::{is_refusal, is_shortage};

/// One direction's state and what it carries.
#[derive(Debug, Default)]
pub struct Pump {
    state: State,
    /// Bytes of our own that go first. Invariant: older than those in `buffer`.
    greeting: Option<Box<Buffer>>,
    /// Bytes in memory. Invariant: older than those in `pipe`.
    buffer: Option<Box<Lease>>,
    /// Bytes in the kernel.
    pipe: Option<Box<KernelPipe>>,
    refused: Refused,
    /// The way the last bytes took.
    route: Option<Route>,
    /// Large reads in a row: after a few, copying is worth avoiding, until there are a few small fills in a row.
    streak: u8,
    /// The source's end is the end of this direction only.
    keep_open: bool,
    /// The source's end is not passed on yet.
    held: bool,
    /// What goes wrong on purpose; bytes are held there then.
    faults: Option<Box<Faults>>,
    delivered: u64,
}

/// Where a direction stands. It only ever moves down this list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The source may have more.
    #[default]
    Filling,
    /// The source has ended; the sink has yet to take the rest and learn it.
    Closing,
    /// Nothing more is taken; what is in transit may still be delivered, without an end of file.
    Abandoned,
    /// Over.
    Done,
}

/// What a run may use.
pub struct Terms<'a> {
    /// Where carriers come from.
    pub pools: &'a Pools,
    /// False where every byte has to pass through memory.
    pub splice: bool,
    /// Most bytes by one system call.
    pub block: usize,
    /// Most bytes to take from the source in this run: the fairness budget, cut down by rate and byte limits.
    pub most: u64,
    /// Who looks at the bytes; they pass through memory then.
    pub tap: Option<Tapped<'a>>,
}

/// What a run did.
#[derive(Debug)]
pub struct Run {
    /// Bytes taken from the source.
    pub taken: u64,
    /// How often something was taken.
    pub takes: u64,
    /// Bytes that reached the sink.
    pub delivered: u64,
    /// Why it returned.
    pub stop: Stop,
}

/// Why a run returned.
#[derive(Debug)]
pub enum Stop {
    /// The source has nothing, or the sink no room: an event will tell.
    Blocked,
    /// As many bytes as allowed were taken.
    Spent,
    /// The direction is over: everything was delivered, and the end passed on unless it was abandoned.
    Ended,
    /// The source failed; everything before was delivered.
    SourceFailed(Fault),
    /// The sink failed; what was in transit is lost.
    SinkFailed(Fault),
    /// A fault wants both sides reset: everything before was delivered.
    Reset(Direction),
}

impl Run {
    /// What it cost of a fairness budget in bytes: taking little at a time costs as if it were more.
    pub fn cost(&self) -> u64 {
        self.taken.max(self.takes * LEAST)
    }

    fn took(&mut self, count: usize) {
        self.taken += count as u64;
        self.takes += 1;
    }
}

impl Pump {
    /// A direction that has nothing to carry and only passes its end on (`--recv-only`).
    pub fn ended() -> Self {
        Pump { state: State::Closing, ..Pump::default() }
    }

    /// A direction that is left alone altogether (`-d`).
    pub fn absent() -> Self {
        Pump { state: State::Done, ..Pump::default() }
    }

    /// A direction whose end of file is not passed on (`--no-shutdown`).
    pub fn keeping_open() -> Self {
        Pump { keep_open: true, ..Pump::default() }
    }

    /// Sends `banner` before anything else (`--banner`). A direction that was left alone is over once it is sent,
    /// without an end of file.
    pub fn greet(&mut self, banner: &[u8]) {
        if banner.is_empty() {
            return;
        }
        let mut greeting = Buffer::new(banner.len());
        greeting.push(banner);
        self.greeting = Some(Box::new(greeting));
        if self.state == State::Done {
            self.state = State::Abandoned;
        }
    }

    /// True while the source may have more that is wanted.
    pub fn is_taking(&self) -> bool {
        self.state == State::Filling
    }

    /// True when nothing more will happen in this direction.
    pub fn is_over(&self) -> bool {
        self.state == State::Done
    }

    /// True while bytes are in transit.
    pub fn is_carrying(&self) -> bool {
        let held = || self.faults.as_ref().is_some_and(|faults| faults.is_holding());
        self.buffer.is_some() || self.pipe.is_some() || held()
    }

    /// Bytes that reached the sink.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The way the last bytes took.
    pub fn route(&self) -> Option<Route> {
        self.route
    }

    /// The source counts as ended, whatever it may still have: what is in transit is delivered, then the end passed on.
    pub fn end_source(&mut self) {
        if self.state == State::Filling {
            self.state = State::Closing;
        }
    }

    /// Keeps the end of the source from being passed on while `held`.
    pub fn hold_end(&mut self, held: bool) {
        self.held = held;
    }

    /// True once the source has ended and nothing of it is in transit; its end may still have to be passed on, or
    /// confirmed.
    pub fn is_drained(&self) -> bool {
        matches!(self.state, State::Closing | State::Done) && !self.is_carrying()
    }

    /// True while everything is delivered and only the end is being held back.
    pub fn holds_end(&self) -> bool {
        self.held && self.state == State::Closing && self.is_drained()
    }

    /// Takes nothing more; what is in transit is still delivered, but no end of file follows it.
    pub fn abandon(&mut self) {
        if matches!(self.state, State::Filling | State::Closing) {
            self.state = State::Abandoned;
        }
    }

    /// Ends this direction here and now; what is in transit is lost.
    pub fn break_off(&mut self) {
        self.state = State::Done;
        self.greeting = None;
        self.buffer = None;
        self.pipe = None;
        self.faults = None;
    }

    /// Moves what can be moved now.
    pub fn run(&mut self, turn: &mut Turn, from: &mut End, to: &mut End, terms: &Terms) -> Run {
        let mut run = Run { taken: 0, takes: 0, delivered: 0, stop: Stop::Blocked };
        let delivered = self.delivered;
        run.stop = match self.faults.take() {
            None => self.shovel(turn, from, to, terms, &mut run),
            Some(mut faults) => {
                let stop = self.shovel_badly(&mut faults, turn, from, to, terms, &mut run.taken);
                self.faults = Some(faults);
                stop
            }
        };
        run.delivered = self.delivered - delivered;
        self.return_empty_carriers();
        if matches!(run.stop, Stop::Ended | Stop::SourceFailed(_) | Stop::SinkFailed(_) | Stop::Reset(_)) {
            self.break_off();
        }
        run
    }

    fn shovel(&mut self, turn: &mut Turn, from: &mut End, to: &mut End, terms: &Terms, run: &mut Run) -> Stop {
        loop {
            match self.drain(turn, to, terms) {
                Step::Blocked => return Stop::Blocked,
                Step::Failed(fault) => return Stop::SinkFailed(fault),
                Step::Moved(_) | Step::Eof => {}
            }
            match self.state {
                State::Filling => {}
                State::Abandoned => return Stop::Ended,
                State::Done => return Stop::Blocked,
                State::Closing => return self.pass_end_on(turn, to),
            }
            let left = terms.most.saturating_sub(run.taken);
            if left == 0 || run.takes == TAKES {
                return Stop::Spent;
            }
            let most = match from.transport().keeps_records(Access::Read) && to.transport().keeps_records(Access::Write)
            {
                // the bounds of records are kept, even where one is more than the limits allow
                true => usize::MAX,
                false => usize::try_from(left).unwrap_or(usize::MAX).min(terms.block),
            };
            match self.fill(turn, from, to, terms, most) {
                Filled::Taken(count) => run.took(count),
                Filled::Blocked => return Stop::Blocked,
                Filled::Eof => self.state = State::Closing,
                Filled::SourceFailed(fault) => return Stop::SourceFailed(fault),
                Filled::SinkFailed(fault) => return Stop::SinkFailed(fault),
            }
        }
    }

    /// Everything was delivered, and the source has ended.
    fn pass_end_on(&self, turn: &mut Turn, to: &mut End) -> Stop {
        match self.held {
            true => return Stop::Blocked,
            false if self.keep_open => return Stop::Ended,
            false => {}
        }
        match to.close_write(turn) {
            Step::Failed(fault) => Stop::SinkFailed(fault),
            Step::Eof => Stop::Ended,
            Step::Blocked | Step::Moved(_) => Stop::Blocked,
        }
    }

    /// Gives what is in transit to the sink. `Eof` or `Moved` mean that nothing is left in transit.
    fn drain(&mut self, turn: &mut Turn, to: &mut End, terms: &Terms) -> Step {
        loop {
            if let Some(buffer) = self.in_memory() {
                let count = buffer.len().min(terms.block);
                match to.write_portion(turn, buffer.portion(0..count)) {
                    Step::Moved(count) => {
                        if let Some(tap) = terms.tap {
                            tap.delivered(buffer.portion(0..count));
                        }
                        buffer.consume(count);
                        self.delivered += count as u64;
                    }
                    other => return other,
                }
                continue;
            }
            let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) else { return Step::Eof };
            if self.refused.drain {
                let buffer = self.buffer.get_or_insert_with(|| terms.pools.buffer().into());
                match pipe.read(buffer.spare(usize::MAX)) {
                    Ok(count) => buffer.fill(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Step::Failed(error.into()),
                }
                continue;
            }
            if !to.transport().can_write(turn) {
                return Step::Blocked;
            }
            let Some(sink) = to.spliceable(Access::Write) else {
                self.refused.drain = true;
                continue;
            };
            match pipe.drain(sink.fd, terms.block) {
                // nothing moved out of a pipe that is not empty: as good as a refusal
                Ok(0) => self.refused.drain = true,
                Ok(count) => self.delivered += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    to.transport().would_block(turn, Access::Write);
                    return Step::Blocked;
                }
                Err(error) if is_refusal(&error) => self.refused.drain = true,
                Err(error) => return Step::Failed(to.failed(error)),
            }
        }
    }

    /// The oldest bytes in memory, if there are any.
    fn in_memory(&mut self) -> Option<&mut Buffer> {
        match &mut self.greeting {
            Some(greeting) if !greeting.is_empty() => Some(greeting),
            _ => self.buffer.as_deref_mut().map(|lease| &mut **lease).filter(|buffer| !buffer.is_empty()),
        }
    }

    /// Takes bytes only to drop them (`--send-only`): a peer that is never read would stop reading us. Its end of file
    /// is no news.
    pub fn discard(&mut self, turn: &mut Turn, from: &mut End, terms: &Terms) -> Run {
        let mut run = Run { taken: 0, takes: 0, delivered: 0, stop: Stop::Spent };
        while run.taken < terms.most && run.takes < TAKES {
            match self.fill_buffer(turn, from, terms, terms.block) {
                Filled::Taken(count) => run.took(count),
                Filled::Blocked => run.stop = Stop::Blocked,
                Filled::Eof => run.stop = Stop::Ended,
                Filled::SourceFailed(fault) | Filled::SinkFailed(fault) => run.stop = Stop::SourceFailed(fault),
            }
            self.buffer = None;
            if !matches!(run.stop, Stop::Spent) {
                break;
            }
        }
        if matches!(run.stop, Stop::Ended | Stop::SourceFailed(_)) {
            self.break_off();
        }
        run
    }

    /// After the sink has read all that it wanted: what still comes will only be discarded.
    pub fn go_on_discarding(&mut self) {
        self.state = State::Filling;
    }

    fn return_empty_carriers(&mut self) {
        if self.greeting.as_ref().is_some_and(|greeting| greeting.is_empty()) {
            self.greeting = None;
        }
        if self.buffer.as_ref().is_some_and(|buffer| buffer.is_empty()) {
            self.buffer = None;
        }
        if self.pipe.as_ref().is_some_and(|pipe| pipe.held() == 0) {
            self.pipe = None;
        }
    }
}

/// System calls in one run that take something: what comes in little pieces must not hold the loop.
const TAKES: u64 = 256;

/// Bytes that taking something costs at the least.
pub(in crate::session) const LEAST: u64 = 4096;

#[cfg(test)]
mod tests;
