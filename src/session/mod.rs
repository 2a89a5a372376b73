//! Moving bytes: two ends, two pumps, and the rules by which it all ends.
//!
//! ```text
//!   ends[0] ── pumps[0] ──► ends[1]        ends[0] is the side of the command line (stdin, stdout),
//!   ends[0] ◄── pumps[1] ── ends[1]        ends[1] the one that the command connected or accepted
//! ```
//!
//! A turn runs both pumps until nothing moves. When both directions are over, or something ends the session before
//! that, it parts: what the sockets have accepted is waited for (lingering), then they are closed, by a reset where an
//! end of file would be a lie.

pub mod carrier;
mod clock;
pub mod end;
pub mod faults;
pub mod hub;
pub mod limits;
mod linger;
mod parting;
pub mod policy;
pub mod program;
pub mod pump;
mod receipts;
mod settling;
pub mod spread;
pub mod tap;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::endpoint::process::Child;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::reactor::{Park, Turn};
use carrier::Pools;
use clock::HINT;
use end::{End, Step};
use limits::Bucket;
use parting::{Manner, Parting};
use policy::{AfterPeerEof, Flow, Policy};
use pump::{Pump, Run, Stop, Terms};
use tap::Tap;

/// What a session needs besides its ends.
pub struct Context {
    /// Number of the session, from 1, for events.
    pub number: u64,
    /// How it runs and ends.
    pub policy: Policy,
    /// Where carriers come from.
    pub pools: Rc<Pools>,
    /// Counts what is delivered.
    pub meter: Arc<Meter>,
    /// Hears of ends and choices.
    pub observer: Rc<dyn Observer>,
}

/// Two ends joined, until both directions are over.
pub struct Session {
    context: Context,
    /// Taken out one by one as they are closed.
    ends: [Option<End>; 2],
    pumps: [Pump; 2],
    /// Who looks at what passes.
    tap: Option<Tap>,
    buckets: [Option<Bucket>; 2],
    /// Bytes taken from each pump's source.
    taken: [u64; 2],
    started: Instant,
    moved_at: Instant,
    /// When the local side's end of file was passed on (`-q` runs from here).
    quiet_since: Option<Instant>,
    /// When to tell that we wait for a silent standard input, once.
    hint_at: Option<Instant>,
    /// The first failure; it decides the outcome, also when the other direction goes on to its own end.
    failure: Option<Error>,
    parting: Option<Parting>,
    /// The program at one end has read all that it wanted: what the other end still sends is dropped.
    enough: [bool; 2],
    /// The peer that takes nothing any more: what it sent before is read, and then nothing is waited for.
    forsaken: Option<usize>,
    /// When each direction moved last.
    flowed_at: [Option<Instant>; 2],
    /// The programs of ends that are closed.
    children: [Option<Child>; 2],
}

impl Session {
    /// Joins a local end and a peer; nothing happens before [`Session::start`].
    pub fn new(local: End, peer: End, context: Context, now: Instant) -> Self {
        let policy = &context.policy;
        let mut outward = match policy.flow {
            Flow::ReceiveOnly => Pump::ended(),
            Flow::Both | Flow::SendOnly if !policy.stdin => Pump::absent(),
            Flow::Both | Flow::SendOnly if !policy.shutdown => Pump::keeping_open(),
            Flow::Both | Flow::SendOnly => Pump::default(),
        };
        if policy.stop_at == Some(0) {
            outward.end_source();
        }
        outward.hold_end(policy.one_way && local.is_program() && policy.stop_at != Some(0));
        let bucket = || policy.rate.map(|rate| Bucket::new(rate, now));
        let buckets = [bucket(), bucket()];
        Session {
            ends: [Some(local), Some(peer)],
            pumps: [outward, Pump::default()],
            tap: None,
            buckets,
            taken: [0, 0],
            started: now,
            moved_at: now,
            quiet_since: None,
            hint_at: None,
            failure: None,
            parting: None,
            enough: [false, false],
            forsaken: None,
            flowed_at: [None, None],
            children: [None, None],
            context,
        }
    }

    /// Has somebody look at what passes.
    pub fn with_tap(mut self, tap: Option<Tap>) -> Self {
        self.tap = tap;
        self
    }

    /// Sends `banner` to the peer before anything else; it counts as sent.
    pub fn with_banner(mut self, banner: &[u8]) -> Self {
        self.pumps[OUTWARD].greet(banner);
        self
    }

    /// Registers both ends.
    ///
    /// # Errors
    /// What epoll says.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        for end in self.ends.iter_mut().flatten() {
            if self.context.policy.widen {
                end.transport().widen_pipes();
            }
            end.start(turn).map_err(|error| Error::begun("session failed", error).with_status(ExitStatus::LocalIo))?;
        }
        Ok(())
    }

    /// Does everything possible now.
    pub fn turn(&mut self, turn: &mut Turn) -> Park {
        let now = turn.now();
        let mut spent = false;
        for end in self.ends.iter_mut().flatten() {
            end.tick(now);
        }
        if self.is_settling() {
            // it is the disk that is busy
            self.moved_at = now;
        }
        if self.parting.is_none() {
            spent = self.pump_all(turn);
            self.leave_forsaken(turn);
            spent |= self.check_programs(turn);
            self.check_time(now);
        }
        if self.parting.is_some() {
            return self.part(turn);
        }
        turn.deadline(self.next_deadline(now));
        if spent { Park::Again } else { Park::Wait }
    }

    /// Ends the session before its own end: what is in transit is still delivered, within `policy.grace`.
    pub fn stop(&mut self, ended: Ended, now: Instant) {
        match self.parting {
            None => self.finish(ended, Manner::Aborted, now),
            Some(_) => self.hasten(ended, now),
        }
    }

    /// True if stopping now would cut nothing short as far as can be told: nothing is in transit, neither direction has
    /// ended, and the last word was not the peer's (a request is answered when it is answered) and not just now.
    pub fn is_idle(&self, now: Instant) -> bool {
        let still = self.pumps.iter().all(|pump| !pump.is_over() && !pump.is_carrying());
        let quiet = match (self.flowed_at[OUTWARD], self.flowed_at[INWARD]) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(said), heard) => heard.is_none_or(|heard| heard <= said) && said + QUIET <= now,
        };
        self.parting.is_none() && still && quiet
    }

    /// Bytes delivered in each direction so far.
    pub fn bytes(&self) -> [u64; 2] {
        [self.pumps[0].delivered(), self.pumps[1].delivered()]
    }

    /// Runs both pumps until nothing moves or their budgets are spent; true if there is more to do at once.
    fn pump_all(&mut self, turn: &mut Turn) -> bool {
        let mut budgets = [self.context.policy.budget; 2];
        loop {
            let mut moved = self.flush_layers(turn);
            for (direction, budget) in budgets.iter_mut().enumerate() {
                moved |= self.pump_one(turn, direction, budget);
            }
            for end in self.ends.iter_mut().flatten() {
                moved |= end.take_stirred();
            }
            if self.parting.is_some() {
                return false;
            }
            if budgets.contains(&0) {
                return true;
            }
            if !moved {
                return false;
            }
        }
    }

    /// A peer that takes nothing any more need not say that it is done: what it sent before is there, or lost.
    fn leave_forsaken(&mut self, turn: &Turn) {
        let Some(index) = self.forsaken else { return };
        let Some(end) = &self.ends[index] else { return };
        if !self.pumps[index].is_carrying() && !end.has_layers() && !end.transport().can_read(turn) {
            self.conclude(Manner::Reset, turn.now());
        }
    }

    fn flush_layers(&mut self, turn: &mut Turn) -> bool {
        let mut moved = false;
        for end in self.ends.iter_mut().flatten() {
            // a failure here comes again when a pump touches the end, and is judged there
            moved |= matches!(end.flush(turn), Step::Moved(_));
        }
        moved | self.attend_receipts(turn)
    }

    /// Runs one pump; true if it made any progress.
    fn pump_one(&mut self, turn: &mut Turn, direction: usize, budget: &mut u64) -> bool {
        let now = turn.now();
        if self.pumps[direction].is_over() || *budget == 0 || self.parting.is_some() {
            return false;
        }
        // a bucket that has nothing now names the instant; next_deadline asks it again
        let most = self.allowance(direction, now).min(*budget);
        self.hold_settling(turn, direction);
        let tap = self.tap.as_ref().and_then(|tap| tap.on(direction));
        let Context { policy, pools, .. } = &self.context;
        let terms = Terms { pools, splice: policy.splice, block: policy.block, most, tap };
        let [Some(local), Some(peer)] = &mut self.ends else { return false };
        let pump = &mut self.pumps[direction];
        let route = pump.route();
        let run = match direction {
            OUTWARD if self.enough[1] => pump.discard(turn, local, &terms),
            OUTWARD => pump.run(turn, local, peer, &terms),
            _ if policy.flow == Flow::SendOnly || self.enough[LOCAL] => pump.discard(turn, peer, &terms),
            _ => pump.run(turn, peer, local, &terms),
        };
        let changed = pump.route().filter(|_| pump.route() != route);
        *budget -= run.taken.min(*budget);
        if let Some(route) = changed {
            self.tell_route(direction, route);
        }
        self.heed_faults(direction, budget);
        self.account(turn, direction, run)
    }

    /// Books what a run did and draws the consequences; true if it made any progress.
    fn account(&mut self, turn: &mut Turn, direction: usize, run: Run) -> bool {
        let now = turn.now();
        self.taken[direction] += run.taken;
        let stopped = direction == OUTWARD && run.taken > 0 && self.has_stopped_source();
        if stopped {
            self.pumps[OUTWARD].hold_end(false);
            self.pumps[OUTWARD].end_source();
        }
        if let Some(bucket) = &mut self.buckets[direction] {
            bucket.take(run.taken);
        }
        if run.taken > 0 || run.delivered > 0 {
            self.moved_at = now;
            self.flowed_at[direction] = Some(now);
            self.context.meter.add(direction, run.delivered);
        }
        let over = match run.stop {
            Stop::Blocked | Stop::Spent => false,
            Stop::Ended => {
                self.direction_ended(turn, direction);
                true
            }
            Stop::SourceFailed(fault) => {
                self.source_failed(turn, direction, fault);
                true
            }
            Stop::SinkFailed(fault) => {
                self.sink_failed(turn, direction, fault);
                true
            }
            Stop::Reset(way) => {
                self.reset_by_fault(direction, way, now);
                true
            }
        };
        if self.received_enough() {
            self.conclude(Manner::Reset, now);
        }
        over || run.taken > 0 || run.delivered > 0
    }

    /// `--stop-at`: as much was taken from the local end as was asked for, and nobody reads the rest.
    fn has_stopped_source(&self) -> bool {
        self.context.policy.stop_at.is_some_and(|most| self.taken[OUTWARD] >= most)
    }

    /// True for a source that was read no further although it may have had more, where that is no failure: as many bytes
    /// as were asked for had come, or a program that is the sink had read enough.
    pub fn has_enough_of(&self, end: usize) -> bool {
        end == LOCAL && self.context.policy.one_way && (self.has_stopped_source() || self.enough[1])
    }

    /// True once everything from the local end was delivered and its end passed on.
    pub fn has_delivered_everything(&self) -> bool {
        self.quiet_since.is_some()
    }

    /// `--max-bytes`: everything allowed was taken from the peer and delivered.
    fn received_enough(&self) -> bool {
        self.parting.is_none()
            && self.context.policy.max_bytes.is_some_and(|most| self.pumps[INWARD].delivered() >= most)
    }

    /// Bytes that may be taken now in this direction.
    fn allowance(&mut self, direction: usize, now: Instant) -> u64 {
        let by_rate = match &mut self.buckets[direction] {
            Some(bucket) => bucket.allowance(now).unwrap_or(0),
            None => u64::MAX,
        };
        let Policy { max_bytes, stop_at, flow, .. } = &self.context.policy;
        match *max_bytes {
            _ if direction == OUTWARD && stop_at.is_some() => {
                by_rate.min(stop_at.unwrap_or(u64::MAX).saturating_sub(self.taken[OUTWARD]))
            }
            // what is only dropped does not count as received
            Some(most) if direction == INWARD && *flow != Flow::SendOnly => {
                by_rate.min(most.saturating_sub(self.taken[direction]))
            }
            _ => by_rate,
        }
    }

    /// Everything in this direction was delivered and its end passed on.
    fn direction_ended(&mut self, turn: &mut Turn, direction: usize) {
        let now = turn.now();
        self.confirm(turn, direction);
        let Context { policy, observer, number, .. } = &self.context;
        if direction == OUTWARD && !policy.stdin && policy.flow != Flow::ReceiveOnly {
            // the banner is sent; nothing has ended, since nothing was to be read
            return self.finish_if_over(now);
        }
        // a sink has nothing to say
        if direction == OUTWARD || !policy.one_way {
            observer.observe(&Event::Eof {
                session: *number,
                direction: ["out", "in"][direction],
                bytes: self.pumps[direction].delivered(),
            });
        }
        let (flow, after, hint) = (policy.flow, policy.after_peer_eof, policy.hint);
        if direction == OUTWARD {
            self.quiet_since = Some(now);
            if flow == Flow::SendOnly {
                return self.finish(Ended::Clean, Manner::Orderly, now);
            }
        } else if flow != Flow::SendOnly && !self.pumps[OUTWARD].is_over() {
            let terminal = self.ends[LOCAL].as_ref().is_some_and(|end| end.transport().reads_terminal());
            match after {
                AfterPeerEof::Exit if terminal => return self.conclude(Manner::Orderly, now),
                // an end of file would say that the source had ended
                AfterPeerEof::Exit => return self.conclude(Manner::Reset, now),
                AfterPeerEof::Auto if terminal => return self.conclude(Manner::Orderly, now),
                AfterPeerEof::Auto if hint => self.hint_at = Some(now + HINT),
                AfterPeerEof::Auto => {}
                AfterPeerEof::Send => {}
            }
        }
        self.finish_if_over(now);
    }

    /// Begins to part, with the first failure as the outcome, or cleanly if there was none. After a failure nobody
    /// gets an end of file from us that its source did not reach.
    fn conclude(&mut self, manner: Manner, now: Instant) {
        let manner = if self.failure.is_some() && manner == Manner::Orderly { Manner::Reset } else { manner };
        let ended = self.failure.take().map_or(Ended::Clean, Ended::Failed);
        self.finish(ended, manner, now);
    }

    fn finish_if_over(&mut self, now: Instant) {
        let inward = self.context.policy.flow == Flow::SendOnly || self.enough[LOCAL] || self.pumps[INWARD].is_over();
        let outward = self.enough[1] || self.pumps[OUTWARD].is_over();
        if outward && inward {
            self.conclude(Manner::Orderly, now);
        }
    }

    /// The source of a direction failed: for a peer it is a cut, for a file or pipe of ours a read error.
    fn source_failed(&mut self, turn: &mut Turn, direction: usize, fault: end::Fault) {
        let now = turn.now();
        let says_why = matches!(fault, end::Fault::Layer(_)) && self.is_verified(direction);
        let error = self.explain(direction, true, fault);
        if self.forsaken == Some(direction) && says_why {
            self.failure = None; // it says more than that nothing could be written
        }
        self.fail(error);
        if direction == OUTWARD && !self.is_peer(LOCAL) {
            return self.conclude(Manner::Aborted, now);
        }
        // nothing can reach a peer that is gone: the other direction is over too, and its source learns it
        match says_why {
            true => self.pumps[1 - direction].abandon(), // it may still be told, after what was begun
            false => self.pumps[1 - direction].break_off(),
        }
        self.conclude(Manner::Orderly, now);
    }

    /// The sink of a direction failed. What the peer had sent before it went away is still there to be read.
    fn sink_failed(&mut self, turn: &mut Turn, direction: usize, fault: end::Fault) {
        let now = turn.now();
        self.confess(turn, direction, &fault);
        if self.has_read_enough(direction, &fault) {
            // it has read all that it wanted; its status will tell whether that was right
            self.enough[1 - direction] = true;
            self.pumps[direction].go_on_discarding();
            return self.finish_if_over(now);
        }
        if self.is_reader_gone(direction, &fault) {
            return self.finish(Ended::ReaderGone, Manner::Aborted, now);
        }
        let error = self.explain(direction, false, fault);
        let reason = self.reason_given(turn, 1 - direction);
        self.fail(reason.unwrap_or(error));
        if !self.is_peer(1 - direction) {
            return self.conclude(Manner::Aborted, now);
        }
        self.forsaken = Some(1 - direction);
        if let Some(peer) = &self.ends[1 - direction] {
            // what came together with the bad news may not have been announced yet: a read will tell
            peer.transport().slots().for_each(|slot| turn.arm(slot));
        }
        if let Some(source) = &mut self.ends[direction] {
            source.close_read(turn);
        }
        self.finish_if_over(now);
    }

    /// Nobody reads our output any more; for a socket on standard output that may be a reset.
    fn is_reader_gone(&self, direction: usize, fault: &end::Fault) -> bool {
        let end::Fault::Io(error) = fault else { return false };
        let gone = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        gone && !self.is_peer(1 - direction) && !self.is_program(1 - direction)
    }

    /// A program that does not read what is left for it has read all that it wanted.
    fn has_read_enough(&self, direction: usize, fault: &end::Fault) -> bool {
        // whoever sends under receipts was promised that everything is taken
        self.is_program(1 - direction) && is_broken_pipe(fault) && !self.is_verified(direction)
    }

    fn is_program(&self, end: usize) -> bool {
        self.ends[end].as_ref().is_some_and(End::is_program)
    }

    fn is_peer(&self, end: usize) -> bool {
        self.ends[end].as_ref().is_some_and(End::is_peer)
    }

    fn tell_route(&self, direction: usize, route: pump::Route) {
        let name = |end: usize, reading: bool| self.ends[end].as_ref().map(|end| end.name(reading)).unwrap_or_default();
        let text = format!("{} to {}: {}", name(direction, true), name(1 - direction, false), route.describe());
        self.context.observer.observe(&Event::Note { verbosity: 1, text });
    }

    fn outcome(&mut self, ended: Ended, now: Instant) -> Outcome {
        Outcome { ended, bytes: self.bytes(), elapsed: now.saturating_duration_since(self.started) }
    }
}

fn is_broken_pipe(fault: &end::Fault) -> bool {
    matches!(fault, end::Fault::Io(error) if error.kind() == ErrorKind::BrokenPipe)
}

/// The end of the command line's side.
const LOCAL: usize = 0;

/// From the local end to the peer.
const OUTWARD: usize = 0;

/// From the peer to the local end.
const INWARD: usize = 1;

/// How long after its last word a session counts as idle.
const QUIET: Duration = Duration::from_secs(1);
