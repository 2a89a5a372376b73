//! One stream of bytes in one direction: as much as goes, and counted.
//!
//! The sender writes one hot block again and again; the receiver has the kernel drop what came (MSG_TRUNC), unless it
//! is to be checked. So the tool does no more than the connection needs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::medium::Medium;
use super::pattern::Pattern;
use super::tally::{Bell, Budget, Phase, Stage, Tally};
use crate::bench::pacer::Pacer;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};
use crate::sys;

/// Which way a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of this end.
    Sends,
    /// Into it.
    Receives,
}

/// One stream in one direction.
#[derive(Debug)]
pub struct Flow {
    /// Which way it goes.
    pub way: Way,
    /// Bytes of one write.
    pub block: usize,
    /// Bytes a second, if there is a bound.
    pub rate: Option<u64>,
    /// Blocks that go together once the first of them may; 0 is 1.
    pub burst: u64,
    /// What all senders may send together, or all receivers are to receive.
    pub budget: Option<Arc<Budget>>,
    /// The payload is a pattern, and is looked at.
    pub check: bool,
    /// The kernel reads a file.
    pub zerocopy: bool,
    /// The peer is told when everything is sent: only haul waits for that.
    pub finishes: bool,
    /// What it counts.
    pub tally: Arc<Tally>,
    /// What it goes by.
    pub stage: Arc<Stage>,
    /// Rung when it can do no more.
    pub bell: Bell,
}

impl Flow {
    /// The pace of one that begins now, if there is a bound.
    pub(super) fn pacer(&self, now: Instant) -> Option<Pacer> {
        self.rate.map(|rate| Pacer::new(now, Some(rate.saturating_mul(8)), self.burst))
    }
}

/// The task of a flow.
pub struct Stream {
    flow: Flow,
    /// `None` once it is closed.
    medium: Option<Medium>,
    pattern: Option<Pattern>,
    /// What is sent again and again.
    block: Box<[u8]>,
    /// Where it is read to.
    buffer: Buffer,
    file: Option<OwnedFd>,
    pacer: Option<Pacer>,
    /// Bytes that may go without asking again: the rest of a burst.
    granted: usize,
    /// The system cannot drop what came: it is read.
    reads: bool,
}

/// What one try came to.
enum Tried {
    Moved,
    Paused(Instant),
    Blocked,
    Finished,
    Failed(io::Error),
}

impl Stream {
    /// The task that moves bytes through `medium`, which is registered with no reactor.
    pub fn new(flow: Flow, medium: Medium) -> Self {
        let reads = flow.check || medium.has_to_read();
        let pattern = flow.check.then(|| Pattern::new(flow.block));
        let (block, file) = match flow.way {
            Way::Sends => {
                let block = vec![0x5a; flow.block].into_boxed_slice();
                // where there is no such thing it is sent as usual
                let file = if flow.zerocopy && !flow.check { sys::memory_file(&block).ok() } else { None };
                (block, file)
            }
            Way::Receives => (Box::default(), None),
        };
        // it has no memory before it is used
        let buffer = Buffer::new(READ);
        Stream { flow, medium: Some(medium), pattern, block, buffer, file, pacer: None, granted: 0, reads }
    }

    fn send(&mut self, turn: &mut Turn) -> Tried {
        let Some(medium) = &mut self.medium else { return Tried::Finished };
        let mut most = self.flow.block;
        if let Some(pacer) = &mut self.pacer {
            if self.granted == 0 {
                match pacer.ready(turn.now(), most) {
                    Err(at) => return Tried::Paused(at),
                    Ok(_) => self.granted = self.flow.burst.max(1) as usize * most,
                }
            }
            most = most.min(self.granted);
        }
        if !medium.can_write(turn) {
            return Tried::Blocked;
        }
        if let Some(budget) = &self.flow.budget {
            most = budget.take(most as u64) as usize;
            if most == 0 {
                return Tried::Finished;
            }
        }
        let bytes = match &self.pattern {
            Some(pattern) => pattern.at(self.flow.tally.bytes(), most),
            None => &self.block[..most],
        };
        let result = match &self.file {
            Some(file) => medium.send_file(turn, file.as_fd(), most),
            None => medium.write(turn, bytes),
        };
        let sent = *result.as_ref().unwrap_or(&0);
        if let Some(budget) = &self.flow.budget
            && sent < most
        {
            budget.give_back((most - sent) as u64);
        }
        match result {
            Ok(sent) => {
                self.flow.tally.add(sent);
                self.granted = self.granted.saturating_sub(sent);
                if let Some(pacer) = &mut self.pacer {
                    pacer.sent(sent as u64);
                }
                Tried::Moved
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Tried::Blocked,
            Err(error) if self.file.is_some() && is_refused(&error) => {
                self.file = None;
                Tried::Moved
            }
            Err(error) => Tried::Failed(error),
        }
    }

    fn receive(&mut self, turn: &mut Turn, counts: bool) -> Tried {
        let Some(medium) = &mut self.medium else { return Tried::Finished };
        if counts
            && let Some(pacer) = &mut self.pacer
            && let Err(at) = pacer.ready(turn.now(), self.flow.block)
        {
            return Tried::Paused(at);
        }
        // one that is held to a rate takes no more at once than it was allowed
        let most = if self.pacer.is_some() && counts { self.flow.block } else { usize::MAX };
        let result = match self.reads {
            true => {
                self.buffer.clear();
                medium.read(turn, &mut self.buffer, most)
            }
            false => medium.discard(turn, most.min(DISCARD)),
        };
        match result {
            Ok(0) => Tried::Finished,
            Ok(count) => {
                if counts {
                    if let Some(pattern) = &self.pattern
                        && !pattern.agrees(self.flow.tally.bytes(), self.buffer.filled())
                    {
                        self.flow.tally.spoil(1);
                    }
                    if let Some(pacer) = &mut self.pacer {
                        pacer.sent(count as u64);
                    }
                    self.flow.tally.add(count);
                    if let Some(budget) = &self.flow.budget
                        && budget.take(count as u64) > 0
                        && budget.is_spent()
                    {
                        self.flow.bell.ring();
                    }
                }
                Tried::Moved
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Tried::Blocked,
            Err(error) if !self.reads && is_refused(&error) => {
                self.reads = true;
                Tried::Moved
            }
            Err(error) => Tried::Failed(error),
        }
    }

    /// Everything that may be done in one turn.
    fn pump(&mut self, turn: &mut Turn, phase: Phase) -> Park {
        for _ in 0..TRIES {
            let tried = match (self.flow.way, phase) {
                (Way::Sends, Phase::Running) => self.send(turn),
                (Way::Sends, _) => return Park::Wait,
                (Way::Receives, phase) => self.receive(turn, matches!(phase, Phase::Running | Phase::Draining)),
            };
            match tried {
                Tried::Moved if self.flow.stage.phase() != phase => return Park::Again,
                Tried::Moved => {}
                Tried::Paused(at) => {
                    turn.deadline(Some(at));
                    return Park::Wait;
                }
                Tried::Blocked => return Park::Wait,
                Tried::Finished if self.flow.way == Way::Sends => {
                    // all was sent that was to be; the stream stays until the test is over
                    if !self.flow.tally.is_ended() {
                        self.finish(turn);
                    }
                    return Park::Wait;
                }
                Tried::Finished => return self.close(turn, None),
                Tried::Failed(error) => return self.close(turn, Some(error)),
            }
        }
        Park::Again
    }

    /// A sender has sent everything, once nothing of it waits in a layer.
    fn finish(&mut self, turn: &mut Turn) {
        let Some(medium) = &mut self.medium else { return };
        if !medium.flush(turn) {
            return;
        }
        if self.flow.finishes {
            medium.finish(turn);
        }
        self.flow.tally.end(None);
        self.flow.bell.ring();
    }

    fn close(&mut self, turn: &mut Turn, error: Option<io::Error>) -> Park {
        self.flow.tally.end(error);
        self.flow.bell.ring();
        if let Some(medium) = self.medium.take() {
            medium.close(turn);
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

impl Task for Stream {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if let Some(medium) = &mut self.medium
            && let Err(error) = medium.start(turn)
        {
            self.flow.tally.end(Some(error));
            self.medium = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let phase = self.flow.stage.phase();
        let Some(medium) = self.medium.as_mut().filter(|_| phase != Phase::Gone) else {
            return self.close(turn, None);
        };
        medium.flush(turn);
        if phase == Phase::Waiting {
            return Park::Wait;
        }
        if self.pacer.is_none() && phase == Phase::Running {
            self.pacer = self.flow.pacer(turn.now());
        }
        self.pump(turn, phase)
    }
}

/// True if a call cannot work on such a socket, and a plain one can.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(libc::EFAULT | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

/// Bytes of one receive that is read.
const READ: usize = 256 << 10;

/// Bytes of one receive that is dropped.
const DISCARD: usize = 1 << 20;

/// Calls in one turn, so that others have theirs: some milliseconds at most.
const TRIES: usize = 32;
