//! One source and many sinks: every sink gets every byte (`haul pipe` with several targets, or with `--buffer`).
//!
//! ```text
//!                            ┌─► sink, by its own cursor
//!   source ──► ring ─────────┼─► sink
//!                            └─► (a sink that is not open yet)
//!
//!   source (pipe) ──tee──► sink (pipe)      where nobody looks at the bytes and `--buffer` is not given
//!                 ──splice► sink (pipe)
//! ```
//!
//! # What moves when
//!
//! `-v` tells which way bytes take: `ring`, `tee`, or `splice` where a tee would have one sink only.
//!
//! The source is read whenever the ring has room, whatever the sinks do: also while one of them is blocked or not even
//! open. What the ring holds is what the slowest sink has yet to take; memory is bounded by the ring, whose blocks are
//! made as they are needed, and nothing for each sink. The bounds of records are not kept.
//!
//! What a sink's peer sends is read and dropped; nothing is ever written to the source.
//!
//! # How it ends
//!
//! - *The source ends* (or `--stop-at` is reached): each sink that has got everything is told the end, lingers until its
//!   send queue is empty, and is closed. A program's end is passed on once the program has succeeded.
//! - *The source fails*, or it is stopped (a signal, a limit): what has come is delivered, then the sinks are reset, for an
//!   end of file would be a lie. A signal and a time limit leave `policy.grace` for that; after the source's own failure
//!   a peer may take its time as long as it takes something within `policy.linger`.
//! - *A sink fails*: it alone is closed. With several sinks that is told at once as an [`crate::event::Event::Error`] which says which and
//!   how far, and the status is that of the first such failure in the end. A reader of standard output that has left is
//!   one of these. When no sink is left the source is read no further. The only sink's failure is the whole's, as
//!   in a [`super::Session`], and so is a reader of standard output that has left.
//! - *A program that has read enough* is no failure: its status will tell. But a source that was promised that everything
//!   is taken (`--verify`) is told that it was not, and the sink has failed.
//! - *Under receipts* the source hears what became of what it sent when every sink is closed, and every program among them
//!   has exited: its status says whether it took what it was given. A sink that is reset hears why.
//! - *`--on-slow drop`*: see `time`.
//!
//! # What is counted
//!
//! [`Spread::bytes`] and the meter count what every sink has taken that has not failed; a sink that is not open yet has
//! taken nothing. A tap sees what was taken from the source, once.

mod feed;
mod leave;
mod programs;
mod ring;
mod serve;
mod sink;
mod tee;
mod time;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::carrier::{KernelPipe, Pools};
use super::end::{End, Step};
use super::limits::Bucket;
use super::policy::Policy;
use super::program::Program;
use super::tap::Tap;
use crate::endpoint::process::Child;
use crate::error::Error;
use crate::event::Observer;
use crate::meter::Meter;
use crate::outcome::{Ended, ExitStatus};
use crate::plan::pipe::OnSlow;
use crate::reactor::{Park, Turn};
use ring::Ring;
use sink::{Leaving, Sink, Stage};
pub use time::PATIENCE;

/// What a spread needs besides its ends.
pub struct Context {
    /// Number of the session, from 1, for events.
    pub number: u64,
    /// How it runs and ends: `linger`, `grace`, `idle`, `max_time`, `rate`, `block`, `budget`, `splice` and `widen`; the
    /// rest means nothing here.
    pub policy: Policy,
    /// What becomes of a sink that holds the others back.
    pub on_slow: OnSlow,
    /// Most bytes of the ring, where the user has said so; zero copy is not tried then.
    pub buffer: Option<u64>,
    /// Bytes after which the source counts as ended; not one more is taken from it.
    pub stop_at: Option<u64>,
    /// Where kernel pipes come from.
    pub pools: Rc<Pools>,
    /// Counts what every sink has, in direction 0.
    pub meter: Arc<Meter>,
    /// Hears of ends, failures and choices.
    pub observer: Rc<dyn Observer>,
}

/// Names one sink of a spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(usize);

/// How it stands with the source. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Supply {
    /// There may be more.
    Open,
    /// It has ended, but the program behind it has not: whether that is an end is not yet known.
    Held,
    /// It has ended.
    Ended,
    /// It was left before its end, or failed, or what was taken of it already was lost.
    Cut,
}

/// One source, many sinks. Its owner is a task that passes its turns on.
pub struct Spread {
    context: Context,
    /// `None` once it is closed.
    source: Option<End>,
    supply: Supply,
    /// It was left at `--stop-at`.
    is_stopped: bool,
    /// Every sink has read enough.
    is_sated: bool,
    /// Nobody reads the source any more, and it was told.
    is_read_closed: bool,
    /// Where its parting stands.
    parting: Option<Leaving>,
    sinks: Vec<Sink>,
    ring: Ring,
    /// Bytes behind the ring's end, on their way by tee. Invariant: `None` where it would be empty.
    trunk: Option<KernelPipe>,
    /// The kernel does not tee or splice between these ends.
    is_refused: bool,
    /// The ways that bytes took and that were told: by tee, through the ring.
    told: [bool; 2],
    tap: Option<Tap>,
    bucket: Option<Bucket>,
    /// Bytes taken from the source. Invariant: no sink has taken more. Those from the ring's end on are in the trunk, or
    /// still in the source's own pipe although some sink has them.
    taken: u64,
    /// Bytes that every sink has.
    counted: u64,
    started: Instant,
    /// From when its longest time runs.
    began: Instant,
    /// When anything moved last, and when from the source.
    moved_at: Instant,
    taken_at: Option<Instant>,
    /// When the supply was cut.
    cut_at: Option<Instant>,
    /// No waiting beyond this, whatever moves.
    until: Option<Instant>,
    /// How long others have waited for slow sinks, and since when they do so again.
    waited: Duration,
    waiting_since: Option<Instant>,
    /// Since when there is nothing to wait for but sinks that are not open, where those may be dropped.
    unopened_since: Option<Instant>,
    /// Sinks that were waited for too long although they are not even open.
    overdue: Vec<SinkId>,
    /// The first thing that concerns all; it decides the outcome.
    ended: Option<Ended>,
    /// The status of the first sink that failed on its own.
    worst: Option<ExitStatus>,
    /// Why the first sink took no more, unless something that concerns all came before that.
    unwritten: Option<String>,
    /// Something changed that another turn should look at.
    has_news: bool,
    is_end_told: bool,
    /// The source was told what became of what it sent.
    is_confirmed: bool,
    /// Programs that were given everything and have yet to say by their status, to a source that waits for it, whether
    /// they have taken it.
    awaited: Vec<(SinkId, Program)>,
    /// The worst status of those.
    refused: Option<u8>,
    children: Vec<(Option<SinkId>, Child)>,
}

impl Spread {
    /// A spread of this source, without sinks. Nothing happens before [`Spread::start`].
    pub fn new(mut source: End, context: Context, now: Instant) -> Self {
        source.borrow_from(context.pools.seams());
        let bucket = context.policy.rate.map(|rate| Bucket::new(rate, now));
        let is_stopped = context.stop_at == Some(0);
        Spread {
            source: Some(source),
            supply: if is_stopped { Supply::Ended } else { Supply::Open },
            is_stopped,
            is_sated: false,
            is_read_closed: false,
            parting: None,
            sinks: Vec::new(),
            ring: Ring::new(context.buffer.unwrap_or(RING)),
            trunk: None,
            is_refused: false,
            told: [false, false],
            tap: None,
            bucket,
            taken: 0,
            counted: 0,
            started: now,
            began: now,
            moved_at: now,
            taken_at: None,
            cut_at: None,
            until: None,
            waited: Duration::ZERO,
            waiting_since: None,
            unopened_since: None,
            overdue: Vec::new(),
            ended: None,
            worst: None,
            unwritten: None,
            has_news: false,
            is_end_told: false,
            is_confirmed: false,
            awaited: Vec::new(),
            refused: None,
            children: Vec::new(),
            context,
        }
    }

    /// Has somebody look at what is taken from the source, as direction 0.
    pub fn with_tap(mut self, tap: Option<Tap>) -> Self {
        self.tap = tap;
        self
    }

    /// Has the longest time of the policy run from then: the source took a while to be ready.
    pub fn count_from(&mut self, began: Instant) {
        self.began = began;
    }

    /// Reserves the place of a sink, to which everything from the beginning is due. To be called for every sink before
    /// [`Spread::start`]; then comes [`Spread::attach`] or [`Spread::failed_to_open`] for each, at any time.
    pub fn expect(&mut self) -> SinkId {
        self.sinks.push(Sink::expected(self.started));
        SinkId(self.sinks.len() - 1)
    }

    /// Registers the source.
    ///
    /// # Errors
    /// What epoll says.
    pub fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let Some(source) = &mut self.source else { return Ok(()) };
        if self.context.policy.widen {
            source.transport().widen_pipes();
        }
        source.start(turn).map_err(|error| Error::begun("session failed", error).with_status(ExitStatus::LocalIo))
    }

    /// Puts an open sink into its place. Before [`Spread::turn`] in the same turn: what was registered before it came
    /// here may have no event any more. One that comes too late is closed by a reset.
    pub fn attach(&mut self, turn: &mut Turn, id: SinkId, mut end: End) {
        let now = turn.now();
        end.borrow_from(self.context.pools.seams());
        let is_due = self.sinks.get(id.0).is_some_and(|sink| matches!(sink.stage, Stage::Expected));
        let started = if is_due { end.start(turn) } else { Ok(()) };
        if is_due && self.context.policy.widen {
            end.transport().widen_pipes();
        }
        let sink = &mut self.sinks[id.0];
        (sink.end, sink.moved_at) = (Some(end), now);
        match started {
            _ if !is_due => self.close_end(turn, id.0, true),
            Ok(()) => sink.stage = Stage::Open,
            Err(error) => self.sink_failed(turn, id.0, error.into()),
        }
        self.has_news = true;
    }

    /// The sink of this place will not come; the others go on.
    pub fn failed_to_open(&mut self, id: SinkId, error: Error, now: Instant) {
        let Some(sink) = self.sinks.get_mut(id.0).filter(|sink| matches!(sink.stage, Stage::Expected)) else { return };
        (sink.stage, sink.has_failed) = (Stage::Gone, true);
        self.report(error, now);
    }

    /// Sinks that were expected for too long (`--on-slow drop`), each to be given up by [`Spread::failed_to_open`].
    pub fn take_overdue(&mut self) -> Vec<SinkId> {
        std::mem::take(&mut self.overdue)
    }

    /// Does everything possible now.
    pub fn turn(&mut self, turn: &mut Turn) -> Park {
        let now = turn.now();
        self.ends().for_each(|end| end.tick(now));
        if self.is_settling() || !self.awaited.is_empty() {
            // it is the disk that is busy, or a program
            self.moved_at = now;
        }
        let mut is_busy = self.move_all(turn);
        self.check_programs(turn);
        self.check_time(turn);
        self.judge_the_slow(turn);
        self.settle(turn);
        is_busy |= self.part(turn);
        if self.source.is_none() && self.sinks.iter().all(|sink| matches!(sink.stage, Stage::Gone)) {
            turn.deadline(None);
            return Park::Done(self.outcome(now));
        }
        is_busy |= std::mem::take(&mut self.has_news);
        turn.deadline(self.deadline(now));
        if is_busy { Park::Again } else { Park::Wait }
    }

    /// Ends it before its source's end: what is in transit is still delivered, within `policy.grace`. Sinks that are not
    /// open yet are given up.
    pub fn stop(&mut self, ended: Ended, now: Instant) {
        let until = now + self.context.policy.grace;
        self.until = Some(self.until.map_or(until, |earlier| earlier.min(until)));
        // whoever presses ^C has ended the source, too
        let is_typed = self.source.as_ref().is_some_and(|end| end.transport().reads_terminal());
        if is_typed && matches!(ended, Ended::Signal(_)) && self.supply < Supply::Ended {
            (self.supply, self.is_stopped) = (Supply::Ended, true);
        }
        for sink in self.sinks.iter_mut().filter(|sink| matches!(sink.stage, Stage::Expected)) {
            (sink.stage, sink.has_failed) = (Stage::Gone, true);
        }
        self.conclude(ended, now);
    }

    /// Bytes delivered in each direction so far: what every sink has, and nothing.
    pub fn bytes(&self) -> [u64; 2] {
        [self.counted, 0]
    }

    /// Bytes that one sink has taken.
    pub fn delivered(&self, id: SinkId) -> u64 {
        self.sinks.get(id.0).map_or(0, |sink| sink.at)
    }

    /// True if the source was read no further although it may have had more, and that is no failure: as many bytes as
    /// were asked for had come, or every sink had read enough.
    pub fn has_enough(&self) -> bool {
        self.is_stopped || self.is_sated
    }

    /// True once the source has ended: nobody is held back any more.
    pub fn has_source_ended(&self) -> bool {
        self.supply == Supply::Ended
    }

    /// True once every sink that has not failed, and there is one, has everything that was to come from the source.
    pub fn has_delivered_everything(&self) -> bool {
        self.supply == Supply::Ended && self.sinks.iter().any(|sink| !sink.has_failed)
    }

    /// True if the sink of this place, counted from 0, has not failed.
    pub fn has_served(&self, index: usize) -> bool {
        self.sinks.get(index).is_some_and(|sink| !sink.has_failed)
    }

    /// The programs of ends that are closed, to be waited for: `None` for the source's. To be called when it is over.
    pub fn take_children(&mut self) -> Vec<(Option<SinkId>, Child)> {
        std::mem::take(&mut self.children)
    }

    /// True if a program stands at one of its ends.
    pub fn has_programs(&self) -> bool {
        let ends = self.source.iter().chain(self.sinks.iter().filter_map(|sink| sink.end.as_ref()));
        ends.into_iter().any(End::is_program) || !self.awaited.is_empty() || !self.children.is_empty()
    }

    /// True while a file of ours is on its way to the disk.
    pub(super) fn is_settling(&mut self) -> bool {
        self.ends().any(|end| end.transport().is_settling())
    }

    /// Ends the programs of a spread that could not begin.
    pub fn kill_programs(&mut self, turn: &mut Turn) {
        let programs: Vec<_> = self.ends().filter_map(End::take_program).collect();
        programs.into_iter().for_each(|program| program.into_child(turn).kill());
        self.release_programs(turn);
        self.children.drain(..).for_each(|(_, mut child)| child.kill());
    }

    /// Moves what can be moved until nothing does or the budgets are spent; true if there is more to do at once.
    fn move_all(&mut self, turn: &mut Turn) -> bool {
        // reading and writing each have their own: a full ring is to be emptied also when nothing comes
        let mut budgets = [self.context.policy.budget; 2];
        loop {
            // a failure here comes again when the end is touched, and is judged there
            let mut moved = self.ends().fold(false, |moved, end| matches!(end.flush(turn), Step::Moved(_)) | moved);
            moved |= self.feed(turn, &mut budgets[0]);
            moved |= self.serve_all(turn, &mut budgets[1]);
            moved |= self.ends().fold(false, |moved, end| end.take_stirred() | moved);
            if budgets.contains(&0) {
                return true;
            }
            if !moved {
                return false;
            }
        }
    }

    fn ends(&mut self) -> impl Iterator<Item = &mut End> {
        self.source.iter_mut().chain(self.sinks.iter_mut().filter_map(|sink| sink.end.as_mut()))
    }

    /// Sinks that something may still be given to.
    fn live(&self) -> impl Iterator<Item = &Sink> {
        self.sinks.iter().filter(|sink| sink.is_live())
    }
}

/// Bytes of the ring where the user has not said: enough for source and sinks to overlap, and it stays in a cache.
const RING: u64 = 1 << 20;
