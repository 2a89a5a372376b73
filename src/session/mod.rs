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
mod flow;
mod holding;
pub mod hub;
mod late;
pub mod limits;
mod linger;
mod parting;
pub mod policy;
pub mod program;
pub mod pump;
mod receipts;
mod settling;
pub mod share;
pub mod spread;
pub mod tap;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::event::{Event, Observer};
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus, Outcome};
use crate::reactor::{Park, Turn};
use carrier::Pools;
use clock::HINT;
use end::End;
pub use holding::SILENCE;
use late::Late;
use limits::Bucket;
use parting::{Manner, Parting};
use policy::{AfterPeerEof, Flow, Policy};
use pump::Pump;
use receipts::Verdict;
use share::Share;
use tap::Tap;

/// What a session needs besides its ends; many may share one.
pub struct Context {
    /// How they run and end.
    pub policy: Policy,
    /// Where carriers come from.
    pub pools: Rc<Pools>,
    /// Counts what is delivered.
    pub meter: Arc<Meter>,
    /// Hears of ends and choices.
    pub observer: Rc<dyn Observer>,
}

/// Two ends joined, until both directions are over. There may be thousands, most of them idle: what only some of them
/// ever need is boxed.
pub struct Session {
    context: Rc<Context>,
    /// From 1, for events.
    number: u64,
    /// Taken out one by one as they are closed.
    ends: [Option<End>; 2],
    pumps: [Pump; 2],
    /// Who looks at what passes.
    tap: Option<Box<Tap>>,
    buckets: Option<Box<[Bucket; 2]>>,
    /// Its part of a rate that all sessions share.
    share: Option<Box<Share>>,
    /// Bytes taken from each pump's source.
    taken: [u64; 2],
    started: Instant,
    /// From when its longest time runs.
    began: Instant,
    moved_at: Instant,
    /// The first failure; it decides the outcome, also when the other direction goes on to its own end.
    failure: Option<Box<Error>>,
    parting: Option<Box<Parting>>,
    /// The program at one end has read all that it wanted: what the other end still sends is dropped.
    enough: [bool; 2],
    /// When each direction moved last.
    flowed_at: [Option<Instant>; 2],
    /// What has to be remembered once a direction has ended.
    late: Option<Box<Late>>,
    /// What the programs at the ends say of what they were given under receipts.
    verdicts: [Verdict; 2],
}

impl Session {
    /// Joins a local end and a peer; nothing happens before [`Session::start`].
    pub fn new(mut local: End, mut peer: End, context: impl Into<Rc<Context>>, now: Instant) -> Self {
        let context = context.into();
        for end in [&mut local, &mut peer] {
            end.borrow_from(context.pools.seams());
        }
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
        let buckets = policy.rate.map(|rate| Box::new([0, 1].map(|_| Bucket::new(rate, now))));
        Session {
            ends: [Some(local), Some(peer)],
            pumps: [outward, Pump::default()],
            tap: None,
            buckets,
            share: None,
            taken: [0, 0],
            started: now,
            began: now,
            moved_at: now,
            failure: None,
            parting: None,
            enough: [false, false],
            flowed_at: [None, None],
            late: None,
            verdicts: [Verdict::Open; 2],
            context,
            number: 1,
        }
    }

    /// Tells it from others, in events.
    pub fn numbered(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Has somebody look at what passes.
    pub fn with_tap(mut self, tap: Option<Tap>) -> Self {
        self.tap = tap.map(Box::new);
        self
    }

    /// Sends `banner` to the peer before anything else; it counts as sent.
    pub fn with_banner(mut self, banner: &[u8]) -> Self {
        self.pumps[OUTWARD].greet(banner);
        self
    }

    /// Has it take its part of a rate that all sessions share.
    pub fn with_share(mut self, share: Option<Share>) -> Self {
        self.share = share.map(Box::new);
        self
    }

    /// Has the longest time of the policy run from then: its connections took a while to be ready.
    pub fn count_from(&mut self, began: Instant) {
        self.began = began;
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
        if self.is_settling() || self.awaits_verdict() {
            // it is the disk, or a program, that is busy
            self.moved_at = now;
        }
        if self.parting.is_none() {
            spent = self.pump_all(turn);
            self.say_held(turn);
            self.end_kept_wires(turn);
            self.leave_closed(turn);
            self.leave_forsaken(turn);
            spent |= self.check_programs(turn);
            self.check_time(now);
        }
        self.leave_share();
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

    /// True for a source that was read no further although it may have had more, where that is no failure: as many bytes
    /// as were asked for had come, or a program that is the sink had read enough.
    pub fn has_enough_of(&self, end: usize) -> bool {
        end == LOCAL && self.context.policy.one_way && (self.has_stopped_source() || self.enough[1])
    }

    /// True once everything from the local end was delivered and its end passed on.
    pub fn has_delivered_everything(&self) -> bool {
        self.late().quiet_since.is_some()
    }

    /// Everything in this direction was delivered and its end passed on.
    fn direction_ended(&mut self, turn: &mut Turn, direction: usize) {
        let now = turn.now();
        self.confirm(turn, direction);
        self.hold_close(direction, now);
        self.heed_close(turn, direction);
        let Context { policy, observer, .. } = &*self.context;
        if direction == OUTWARD && !policy.stdin && policy.flow != Flow::ReceiveOnly {
            // the banner is sent; nothing has ended, since nothing was to be read
            return self.finish_if_over(now);
        }
        // a sink has nothing to say
        if direction == OUTWARD || !policy.one_way {
            observer.observe(&Event::Eof {
                session: self.number,
                direction: ["out", "in"][direction],
                bytes: self.pumps[direction].delivered(),
            });
        }
        let (flow, after, hint) = (policy.flow, policy.after_peer_eof, policy.hint);
        self.late_mut().half_closed_at.get_or_insert(now);
        if direction == OUTWARD {
            self.late_mut().quiet_since = Some(now);
            if flow == Flow::SendOnly && !self.awaits_verdict() {
                return self.finish(Ended::Clean, Manner::Orderly, now);
            }
        } else if flow != Flow::SendOnly && !self.pumps[OUTWARD].is_over() && !self.ends_both(1) {
            let terminal = self.ends[LOCAL].as_ref().is_some_and(|end| end.transport().reads_terminal());
            match after {
                AfterPeerEof::Exit if terminal => return self.conclude(Manner::Orderly, now),
                // an end of file would say that the source had ended
                AfterPeerEof::Exit => return self.conclude(Manner::Reset, now),
                AfterPeerEof::Auto if terminal => return self.conclude(Manner::Orderly, now),
                AfterPeerEof::Auto if hint => self.late_mut().hint_at = Some(now + HINT),
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
        let ended = self.failure.take().map_or(Ended::Clean, |error| Ended::Failed(*error));
        self.finish(ended, manner, now);
    }

    fn finish_if_over(&mut self, now: Instant) {
        let is_over = |direction| self.drops(direction) || self.pumps[direction].is_over();
        if [OUTWARD, INWARD].into_iter().all(is_over) && !self.awaits_verdict() {
            self.conclude(Manner::Orderly, now);
        }
    }

    /// Nobody wants what comes in this direction: it is read and dropped.
    fn drops(&self, direction: usize) -> bool {
        self.enough[1 - direction] || direction == INWARD && self.context.policy.flow == Flow::SendOnly
    }

    /// The source of a direction failed: for a peer it is a cut, for a file or pipe of ours a read error.
    fn source_failed(&mut self, turn: &mut Turn, direction: usize, fault: end::Fault) {
        let now = turn.now();
        let is_word = matches!(fault, end::Fault::Layer(_));
        let says_why = is_word && self.is_verified(direction);
        let error = self.explain(direction, true, fault);
        if self.late().forsaken == Some(direction) && is_word {
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
        self.fail(reason.map_or(error, |reason| self.explain(1 - direction, true, end::Fault::Layer(reason))));
        if !self.is_wire(1 - direction) {
            return self.conclude(Manner::Aborted, now);
        }
        self.late_mut().forsaken = Some(1 - direction);
        if let Some(peer) = &self.ends[1 - direction] {
            // what came together with the bad news may not have been announced yet: a read will tell
            peer.arm(turn);
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
        gone && !self.is_wire(1 - direction) && !self.is_program(1 - direction)
    }

    /// A program that does not read what is left for it has read all that it wanted.
    fn has_read_enough(&self, direction: usize, fault: &end::Fault) -> bool {
        // under receipts everything has to be taken
        let verified = self.is_verified(direction) || self.is_verified(1 - direction);
        self.is_program(1 - direction) && is_broken_pipe(fault) && !verified
    }

    fn is_program(&self, end: usize) -> bool {
        self.ends[end].as_ref().is_some_and(End::is_program)
    }

    fn ends_both(&self, end: usize) -> bool {
        self.ends[end].as_ref().is_some_and(End::ends_both)
    }

    fn is_peer(&self, end: usize) -> bool {
        self.ends[end].as_ref().is_some_and(End::is_peer)
    }

    /// True where somebody at the other side may still say why nothing can be written any more.
    fn is_wire(&self, end: usize) -> bool {
        self.is_peer(end) || self.is_verified(end)
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
