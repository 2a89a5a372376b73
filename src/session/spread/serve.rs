//! Giving the sinks what the ring holds, and what their failures mean.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::sink::{Leaving, Stage};
use super::{Spread, Supply};
use crate::error::{Cause, Error, Op};
use crate::event::Event;
use crate::outcome::{Ended, ExitStatus};
use crate::reactor::Turn;
use crate::session::end::receipts::why;
use crate::session::end::{End, Fault, Step};
use crate::session::parting::{headline, peer_failed};
use crate::session::pump::LEAST;
use crate::units::Size;

impl Spread {
    /// Serves every sink, and forgets what all have taken; true if anything moved.
    pub(super) fn serve_all(&mut self, turn: &mut Turn, budget: &mut u64) -> bool {
        let (mut moved, mut most) = (false, 0);
        for index in 0..self.sinks.len() {
            let mut count = self.serve(turn, index);
            count += self.hear(turn, index);
            most = most.max(count);
            moved |= count > 0;
            moved |= self.pass_the_end(turn, index);
        }
        let floor = self.live().map(|sink| sink.at).min();
        let was_full = !self.ring.has_room();
        self.ring.release(floor.unwrap_or(u64::MAX));
        moved |= was_full && self.ring.has_room();
        if self.ring.is_half_empty() {
            (self.waited, self.waiting_since) = (Duration::ZERO, None);
        }
        self.count();
        let cost = if most == 0 { 0 } else { most.max(LEAST) };
        *budget -= cost.min(*budget);
        moved
    }

    /// Gives one sink some of what it is due; how much that was.
    fn serve(&mut self, turn: &mut Turn, index: usize) -> u64 {
        let quota = self.ring.block() as u64 * PORTION;
        let sink = &mut self.sinks[index];
        let (Some(end), true) = (&mut sink.end, matches!(sink.stage, Stage::Open)) else { return 0 };
        let (before, mut pieces) = (sink.at, 0);
        let failed = loop {
            let piece = self.ring.next(sink.at);
            if piece.is_empty() || sink.at - before >= quota || pieces == PIECES {
                break None;
            }
            pieces += 1;
            match end.write(turn, &piece[..piece.len().min(self.context.policy.block)]) {
                Step::Moved(count) => {
                    sink.at += count as u64;
                    (sink.moved_at, self.moved_at) = (turn.now(), turn.now());
                }
                Step::Blocked | Step::Eof => break None,
                Step::Failed(fault) => break Some(fault),
            }
        };
        let count = sink.at - before;
        if let Some(fault) = failed {
            self.sink_failed(turn, index, fault);
        }
        count
    }

    /// Reads and drops what a sink says; how much that was. A peer that is never read would stop reading us, and a layer
    /// learns in this way what its other side answers.
    fn hear(&mut self, turn: &mut Turn, index: usize) -> u64 {
        let sink = &mut self.sinks[index];
        let (Some(end), true) = (&mut sink.end, matches!(sink.stage, Stage::Open)) else { return 0 };
        if sink.is_silent && end.is_unconfirmed() {
            // it has nothing more to say but whether everything arrived
            return match end.attend(turn) {
                Step::Moved(count) => count as u64,
                Step::Failed(fault) => {
                    self.sink_failed(turn, index, fault);
                    0
                }
                Step::Blocked | Step::Eof => 0,
            };
        }
        let speaks = (end.is_peer() || end.is_program()) && !sink.is_silent;
        if !speaks || !(end.transport().can_read(turn) || end.has_layers()) {
            return 0;
        }
        let mut buffer = self.context.pools.buffer();
        let mut heard = 0;
        for _ in 0..WORDS {
            match end.read(turn, &mut buffer, usize::MAX) {
                Step::Moved(count) => heard += count as u64,
                Step::Blocked => break,
                Step::Eof => {
                    sink.is_silent = true;
                    end.delivered(Ok(0)); // nobody here wants what it said
                    break;
                }
                Step::Failed(fault) => {
                    self.sink_failed(turn, index, fault);
                    break;
                }
            }
            buffer.clear();
        }
        heard
    }

    /// Lets a sink go that has got everything; true if it did.
    fn pass_the_end(&mut self, turn: &mut Turn, index: usize) -> bool {
        let sink = &mut self.sinks[index];
        let (Some(end), true) = (&mut sink.end, matches!(sink.stage, Stage::Open)) else { return false };
        if sink.at < self.taken {
            return false;
        }
        match self.supply {
            Supply::Open | Supply::Held => return false,
            Supply::Cut => {
                end.excuse(turn, || why(self.ended.as_ref()));
                sink.stage = Stage::Leaving(Leaving::new(true, turn.now()));
            }
            Supply::Ended => match end.close_write(turn) {
                Step::Eof => {
                    self.moved_at = turn.now();
                    sink.stage = Stage::Leaving(Leaving::new(false, turn.now()));
                }
                Step::Blocked | Step::Moved(_) => return false,
                Step::Failed(fault) => self.sink_failed(turn, index, fault),
            },
        }
        true
    }

    /// Counts what every sink has that has not failed.
    fn count(&mut self) {
        let least = self.sinks.iter().filter(|sink| !sink.has_failed).map(|sink| sink.at).min();
        if let Some(fresh) = least.and_then(|least| least.checked_sub(self.counted)).filter(|fresh| *fresh > 0) {
            self.counted += fresh;
            self.context.meter.add(0, fresh);
        }
    }

    /// A sink failed: it is closed, and the others go on.
    pub(super) fn sink_failed(&mut self, turn: &mut Turn, index: usize, fault: Fault) {
        let (pools, is_promised) = (&self.context.pools, self.is_promised());
        let Some(end) = &mut self.sinks[index].end else { return };
        let kind = match &fault {
            Fault::Io(error) => Some(error.kind()),
            Fault::Layer(_) => None,
        };
        // nothing that it sends is wanted but the reason
        let reason = kind.and_then(|_| end.last_words(turn, Some(pools)));
        let fault = reason.map_or(fault, Fault::Layer);
        if end.is_program() && kind == Some(ErrorKind::BrokenPipe) && !is_promised {
            return self.sink_has_enough(turn, index);
        }
        let is_local = !end.is_peer() && !end.is_program();
        let is_left = is_local && matches!(kind, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        if is_left && self.sinks.len() == 1 {
            self.conclude(Ended::ReaderGone, turn.now());
            return self.close_end(turn, index, true);
        }
        let error = self.explain(index, fault);
        self.drop_sink(turn, index, error);
    }

    /// Closes a sink with everything that is still due to it, and says why.
    pub(super) fn drop_sink(&mut self, turn: &mut Turn, index: usize, error: Error) {
        self.sinks[index].has_failed = true;
        if let Some(end) = &mut self.sinks[index].end {
            end.excuse(turn, || error.cause().to_string());
        }
        self.close_end(turn, index, true);
        self.report(error, turn.now());
    }

    /// A program has read all that it wanted, and its status will tell whether that was right.
    pub(super) fn sink_has_enough(&mut self, turn: &mut Turn, index: usize) {
        // what it has counts; what it does not want is not waited for
        self.count();
        let sink = &mut self.sinks[index];
        sink.has_failed = true;
        if sink.at < self.taken || self.supply == Supply::Open {
            let text = format!("{} read no further after {}", sink.name(), Size(sink.at).told());
            self.context.observer.observe(&Event::Note { verbosity: 1, text });
        }
        self.close_end(turn, index, true);
    }

    /// Takes note of a sink's failure: it is told at once, or, if it is the only one, as the failure of the whole.
    pub(super) fn report(&mut self, error: Error, now: Instant) {
        self.has_news = true;
        if self.ended.is_none() {
            self.unwritten.get_or_insert_with(|| error.cause().to_string());
        }
        if self.sinks.len() == 1 {
            return self.conclude(Ended::Failed(error), now);
        }
        self.context.observer.observe(&Event::Error { session: None, reason: error.line() });
        let worst = *self.worst.get_or_insert(error.status());
        if self.live().next().is_none() && self.supply != Supply::Ended {
            self.conclude(Ended::Told(worst), now);
        }
    }

    /// The headline of one sink's failure: which, and how far.
    pub(super) fn how_far(&self, index: usize) -> String {
        let sink = &self.sinks[index];
        match self.sinks.len() {
            1 => headline([sink.at, 0]),
            _ => format!("{} stopped after {}", sink.name(), Size(sink.at).told()),
        }
    }

    /// What a sink's fault means to a person.
    fn explain(&self, index: usize, fault: Fault) -> Error {
        let (sink, headline) = (&self.sinks[index], self.how_far(index));
        let is_peer = sink.end.as_ref().is_some_and(End::is_peer);
        let error = match (fault, self.sinks.len()) {
            (Fault::Layer(error), 1) => error.at_peer(&headline, &sink.name()),
            // how far it came is told once, and by its own count
            (Fault::Layer(error), _) => {
                Error::begun(headline, Cause::Said(error.cause().to_string())).with_status(error.status())
            }
            (Fault::Io(error), 1) if is_peer => peer_failed(headline, &sink.name(), error),
            (Fault::Io(error), 1) => Error::new(Op::Write, sink.name(), error),
            (Fault::Io(error), _) if is_peer && is_reset(&error) => {
                Error::begun(headline, Cause::Said("connection reset".into()))
            }
            (Fault::Io(error), _) if is_peer => Error::begun(headline, error),
            (Fault::Io(error), _) => Error::begun(headline, error).with_status(ExitStatus::LocalIo),
        };
        match &sink.end {
            Some(end) => end.as_cut(error),
            None => error,
        }
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)
}

/// Blocks that one sink is given before the source is read again: more than one, so that a sink that is quicker than the
/// source catches up.
const PORTION: u64 = 4;

/// Writes to one sink before that, however little they are to be (`--block`).
const PIECES: usize = 16;

/// Reads of what one sink says before others are served.
const WORDS: usize = 16;
