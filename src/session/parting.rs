//! How a session parts from its peers without destroying what they are still to get.
//!
//! Each socket lingers before it is closed (see [`super::linger`]). An end that ought not to look like one (a signal, a
//! full disk, the other side's reset) is then closed by a reset.

use std::io;
use std::time::{Duration, Instant};

use super::end::{End, Fault, Side};
use super::limits::soonest;
use super::linger::{FIRST_LOOK, Farewell, LOOK_AGAIN, Linger, Lingering, Rest, fin};
use super::pump::{Pump, Stop, Terms};
use super::receipts::Verdict;
use super::{INWARD, LOCAL, OUTWARD, Session};
use crate::endpoint::process::Child;
use crate::error::{Cause, Error, Op};
use crate::outcome::Ended;
use crate::plan::Flow;
use crate::reactor::{Park, Turn};
use crate::units::Size;

/// What kind of end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Both directions ended, or were stopped by somebody who meant it: FIN.
    Orderly,
    /// Successful, but the peer must not think that all it sent was wanted: reset, once our bytes are through.
    Reset,
    /// haul stops before its source's own end: what is in transit gets a short grace, then reset.
    Aborted,
}

/// A session on its way out.
#[derive(Debug)]
pub(super) struct Parting {
    pub(super) ended: Option<Ended>,
    pub(super) manner: Manner,
    /// No waiting beyond this, whatever moves.
    until: Option<Instant>,
    /// When something was delivered last.
    progress_at: Instant,
    /// How long to the next look at the send queues.
    pause: Duration,
    lingers: [Linger; 2],
    /// The programs of ends that are closed.
    pub(super) children: [Option<Child>; 2],
}

impl Session {
    /// Stops taking bytes and begins to part. The first call decides.
    pub(super) fn finish(&mut self, ended: Ended, manner: Manner, now: Instant) {
        if self.parting.is_some() {
            return;
        }
        // nor is it an end that was kept back on purpose
        let manner = if manner == Manner::Orderly && self.is_stalled() { Manner::Reset } else { manner };
        for pump in &mut self.pumps {
            pump.abandon();
        }
        let typed = self.ends[LOCAL].as_ref().is_some_and(|end| end.transport().reads_terminal());
        let until = (manner == Manner::Aborted).then(|| now + self.context.policy.grace);
        // whoever presses ^C has ended the source, too
        let by_signal = matches!(ended, Ended::Signal(_));
        let manner = if manner == Manner::Aborted && typed && by_signal { Manner::Orderly } else { manner };
        let lingers = [Linger::new(now); 2];
        let (ended, pause) = (Some(ended), FIRST_LOOK);
        self.parting =
            Some(Box::new(Parting { ended, manner, until, progress_at: now, pause, lingers, children: [None, None] }));
    }

    /// Shortens a parting that is under way: whoever sends a signal does not want to wait for a slow peer.
    pub(super) fn hasten(&mut self, by: Ended, now: Instant) {
        let Some(parting) = &mut self.parting else { return };
        let until = now + self.context.policy.grace;
        parting.until = Some(parting.until.map_or(until, |earlier| earlier.min(until)));
        if let Some(ended @ Ended::Clean) = &mut parting.ended {
            *ended = by;
        }
    }

    /// One turn of parting: deliver, pass the end on, linger, close.
    pub(super) fn part(&mut self, turn: &mut Turn) -> Park {
        let now = turn.now();
        if !self.drain_pumps(turn) {
            if !self.give_up_draining(now) {
                turn.deadline(self.parting_deadline(now));
                return if self.pumps.iter().any(Pump::has_paused) { Park::Again } else { Park::Wait };
            }
            // an end of file would hide that something is missing
            if let Some(Parting { manner: manner @ Manner::Orderly, .. }) = self.parting.as_deref_mut() {
                *manner = Manner::Reset;
            }
        }
        self.pumps.iter_mut().for_each(Pump::break_off);
        let settled = self.settle(turn);
        self.tell_why(turn);
        if settled {
            self.close_local(turn);
        }
        let mut more = false;
        for index in [LOCAL, 1] {
            match self.linger(turn, index) {
                Lingering::Over | Lingering::Failed(_) if settled => self.close(turn, index),
                // a peer can still be told that its bytes did not arrive after all
                Lingering::Over | Lingering::Failed(_) => {}
                Lingering::Waiting => {}
                Lingering::Busy => more = true,
            }
        }
        if self.ends.iter().any(Option::is_some) {
            turn.deadline(self.parting_deadline(now));
            return if more { Park::Again } else { Park::Wait };
        }
        let ended = self.parting.as_mut().and_then(|parting| parting.ended.take()).unwrap_or(Ended::Clean);
        turn.deadline(None);
        Park::Done(self.outcome(ended, now))
    }

    /// Delivers what is in transit; true when nothing is left of it.
    fn drain_pumps(&mut self, turn: &mut Turn) -> bool {
        let policy = &self.context.policy;
        let terms =
            Terms { pools: &self.context.pools, splice: policy.splice, block: policy.block, most: 0, tap: None };
        let [Some(local), Some(peer)] = &mut self.ends else { return true };
        let (mut failed, mut reset) = (None, None);
        for direction in [OUTWARD, INWARD] {
            let pump = &mut self.pumps[direction];
            if pump.is_over() {
                continue;
            }
            let terms = Terms { tap: self.tap.as_ref().and_then(|tap| tap.on(direction)), ..terms };
            let run = match direction {
                OUTWARD => pump.run(turn, local, peer, &terms),
                _ => pump.run(turn, peer, local, &terms),
            };
            self.context.meter.add(direction, run.delivered);
            if run.delivered > 0
                && let Some(parting) = &mut self.parting
            {
                parting.progress_at = turn.now();
                self.moved_at = turn.now();
            }
            match run.stop {
                Stop::SinkFailed(fault) => failed = Some((direction, fault)),
                Stop::Reset(way) => reset = Some((way, pump.delivered())),
                _ => {}
            }
            // what it started may still hold the pipe, but nobody is there to read
            let sink = if direction == OUTWARD { &mut *peer } else { &mut *local };
            if sink.program().is_some_and(|program| program.exited(turn).is_some()) {
                self.pumps[direction].break_off();
            }
        }
        if let Some((direction, fault)) = &failed {
            self.confess(turn, *direction, fault);
        }
        if let Some((direction, fault)) = failed
            && !self.has_read_enough(direction, &fault)
        {
            let by = match self.is_reader_gone(direction, &fault) {
                true => Ended::ReaderGone,
                false => Ended::Failed(self.explain(direction, false, fault)),
            };
            self.replace_clean(by);
        }
        if let Some((way, delivered)) = reset {
            self.blame(self.fault(way, delivered));
        }
        self.pumps.iter().all(Pump::is_over)
    }

    /// True while nothing but a clean end is known of.
    pub(super) fn is_clean(&self) -> bool {
        self.parting.as_ref().is_some_and(|parting| matches!(parting.ended, Some(Ended::Clean)))
    }

    pub(super) fn blame(&mut self, error: Error) {
        self.replace_clean(Ended::Failed(error));
    }

    /// A failure on the way out replaces a clean end, never an earlier failure. What it kept from being delivered must
    /// not be followed by an end of file.
    fn replace_clean(&mut self, by: Ended) {
        let Some(parting) = &mut self.parting else { return };
        if parting.manner == Manner::Orderly {
            parting.manner = Manner::Reset;
        }
        if let Some(ended @ Ended::Clean) = &mut parting.ended {
            *ended = by;
        }
    }

    /// True when what is in transit is not worth waiting for any longer. A reader of our output may take its time
    /// unless the user has set a limit, a peer has the linger limit.
    fn give_up_draining(&mut self, now: Instant) -> bool {
        if self.holds_back(now)
            && let Some(parting) = &mut self.parting
        {
            parting.progress_at = now; // nobody is slow
        }
        let Some(parting) = &self.parting else { return true };
        if parting.until.is_some_and(|until| until <= now) {
            return true;
        }
        let stuck = parting.progress_at + self.context.policy.linger <= now;
        let slow = [OUTWARD, INWARD].into_iter().find(|&way| !self.pumps[way].is_over() && self.is_peer(1 - way));
        if let (true, Some(way)) = (stuck, slow) {
            let name = self.ends[1 - way].as_ref().map(|end| end.name(false)).unwrap_or_default();
            let limit = humantime::format_duration(self.context.policy.linger);
            let error = Error::begun(self.headline(), Cause::Said(format!("{name} took nothing for {limit}")));
            self.blame(error);
            return true;
        }
        match self.passed_limit(now) {
            Some(error) => {
                self.blame(error);
                true
            }
            None => false,
        }
    }

    fn is_grace_over(&self, index: usize, now: Instant) -> bool {
        let Some(parting) = &self.parting else { return true };
        let idle = parting.lingers[index].progress_at() + self.context.policy.linger <= now;
        parting.until.is_some_and(|until| until <= now) || idle
    }

    /// When to look again, or what to give up at, whichever comes first. A limit that has passed without consequence
    /// (a slow reader of our output) is none: an instant of the past would spin.
    fn parting_deadline(&mut self, now: Instant) -> Option<Instant> {
        let parting = self.parting.as_mut()?;
        let again = now + parting.pause;
        let due = soonest(self.pumps.iter().map(|pump| pump.due(now)));
        parting.pause = (parting.pause * 2).min(LOOK_AGAIN);
        let linger = self.context.policy.linger;
        let limits = [
            parting.until,
            Some(parting.progress_at + linger),
            Some(parting.lingers[LOCAL].progress_at() + linger),
            Some(parting.lingers[1].progress_at() + linger),
        ];
        soonest(limits.map(|at| at.filter(|at| *at > now)).into_iter().chain([Some(again), due]))
    }

    /// Closes the local end at once: whoever reads our output need not wait for the peer's acknowledgement.
    fn close_local(&mut self, turn: &mut Turn) {
        if !self.is_peer(LOCAL) {
            self.close(turn, LOCAL);
        }
    }

    /// Waits for a peer's send queue to be empty, as long as that is worth waiting for, and for the last receipts of
    /// whatever is verified.
    fn linger(&mut self, turn: &mut Turn, index: usize) -> Lingering {
        let now = turn.now();
        let sent = self.pumps[1 - index].delivered() > 0;
        let rest = self.rest_of(index);
        let (Some(end), Some(parting)) = (&mut self.ends[index], &mut self.parting) else { return Lingering::Over };
        if !end.is_peer() && !end.is_verified() {
            return Lingering::Over;
        }
        let tells = self.context.policy.shutdown || end.ends_both();
        let orderly = parting.manner == Manner::Orderly && tells;
        let resets = parting.manner != Manner::Orderly;
        let farewell = Farewell { pools: &self.context.pools, orderly, resets, sent, rest };
        match parting.lingers[index].look(end, turn, &farewell) {
            Lingering::Over => Lingering::Over,
            Lingering::Failed(fault) => {
                let error = self.explain(index, true, fault);
                self.blame(error);
                Lingering::Busy // to tell the peer, if there is something to tell
            }
            _ if self.is_grace_over(index, now) => Lingering::Over,
            lingering => lingering,
        }
    }

    /// What becomes of bytes that this end still sends.
    fn rest_of(&self, index: usize) -> Rest {
        let delivered = self.pumps[index].delivered();
        let ended = self.verdicts[1 - index] == Verdict::Given(0);
        match () {
            () if index != LOCAL && self.context.policy.flow == Flow::SendOnly => Rest::Unwanted,
            // all that was taken has reached it, before it ended well
            () if ended && self.is_clean() && self.taken[index] == delivered => Rest::Homeless(delivered),
            () => Rest::Judged,
        }
    }

    fn close(&mut self, turn: &mut Turn, index: usize) {
        self.blame_unconfirmed(index);
        let Some(mut end) = self.ends[index].take() else { return };
        let Some(parting) = &mut self.parting else { return };
        parting.children[index] = end.take_program().map(|program| program.into_child(turn));
        let reset = parting.manner != Manner::Orderly;
        let linger = &parting.lingers[index];
        let unsent = if linger.is_settled() { 0 } else { end.unsent() };
        let (lost, manner) = (linger.is_lost(), parting.manner);
        let spared = fin(&end);
        if end.is_peer() && manner != Manner::Aborted && (lost || unsent > spared) {
            let name = end.name(true);
            if lost {
                let error = end.as_cut(Error::begun(self.headline(), reset_by(&name)));
                self.blame(error);
            } else {
                let unsent = unsent - spared;
                let limit = humantime::format_duration(self.context.policy.linger);
                let sentence = format!("{name} did not acknowledge {unsent} bytes within {limit}");
                let error = end.as_cut(Error::begun(self.headline(), Cause::Said(sentence)));
                self.blame(error);
            }
        }
        // closing a socket never fails
        let writing = if end.is_peer() { String::new() } else { end.name(false) };
        if let Err(error) = end.close(turn, reset) {
            self.blame(Error::new(Op::Write, writing, error));
        }
    }

    pub(super) fn headline(&self) -> String {
        headline(self.bytes())
    }

    /// What a fault in one direction means to a person.
    pub(super) fn explain(&self, direction: usize, at_source: bool, fault: Fault) -> Error {
        let index = if at_source { direction } else { 1 - direction };
        let name = self.ends[index].as_ref().map(|end| end.name(at_source)).unwrap_or_default();
        let error = match fault {
            Fault::Layer(error) => error.at_peer(&self.headline(), &name),
            Fault::Io(error) if !self.is_wire(index) => {
                return Error::new(if at_source { Op::Read } else { Op::Write }, name, error);
            }
            Fault::Io(error) => peer_failed(self.headline(), &name, error),
        };
        match &self.ends[index] {
            Some(end) => end.as_cut(error),
            None => error,
        }
    }
}

/// `transfer stopped after 1.2 GiB`, with both directions where both moved.
pub(super) fn headline([sent, received]: [u64; 2]) -> String {
    let amount = match (sent, received) {
        (sent, 0) => Size(sent).human(),
        (0, received) => Size(received).human(),
        (sent, received) => format!("{} sent and {} received", Size(sent).human(), Size(received).human()),
    };
    format!("transfer stopped after {amount}")
}

/// What an error of a peer's socket means to a person.
pub(super) fn peer_failed(headline: String, name: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => {
            Error::begun(headline, reset_by(name))
        }
        _ => Error::begun(format!("{headline} ({name})"), error),
    }
}

pub(super) fn reset_by(name: &str) -> Cause {
    Cause::Said(format!("{name} reset the connection"))
}

impl End {
    /// What messages call it.
    pub fn name(&self, reading: bool) -> String {
        match self.side() {
            Side::Local { reading: name, .. } if reading => name.to_string(),
            Side::Local { writing, .. } => writing.to_string(),
            Side::Program(name) | Side::Peer(name) => name.to_string(),
        }
    }
}
