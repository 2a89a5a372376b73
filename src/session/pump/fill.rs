//! The ways in which a pump takes bytes from its source, and what it does when the kernel refuses one.

use std::io;

use super::{Pump, Terms};
use crate::reactor::Turn;
use crate::session::end::{End, Fault, Step};
use crate::sys::{self, Access};

/// The ways that bytes can take; those that the kernel refused for this pair are not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Spliced straight: one of the two is a pipe.
    Straight,
    /// Spliced through a pipe of our own.
    Kernel,
    /// Copied from file to file by the file system: perhaps only by reference.
    Copied,
    /// Dropped inside the kernel: the sink is the null device.
    Dropped,
    /// Read and written.
    Buffer,
}

impl Route {
    /// As `-v` tells it.
    pub fn describe(self) -> &'static str {
        match self {
            Route::Straight => "splice, straight",
            Route::Kernel => "splice, through a pipe",
            Route::Copied => "copy_file_range",
            Route::Dropped => "dropped in the kernel",
            Route::Buffer => "read and write",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) straight: bool,
    pub(super) kernel: bool,
    pub(super) drain: bool,
    pub(super) drop: bool,
    pub(super) copy: bool,
}

impl Pump {
    /// Takes bytes from the source by the best way that this pair allows.
    pub(super) fn fill(&mut self, turn: &mut Turn, from: &mut End, to: &mut End, terms: &Terms, most: usize) -> Filled {
        if from.is_dry(turn) {
            return Filled::Blocked; // before anything is leased for it
        }
        if self.route.is_none() && from.transport().reads_long_file() {
            self.streak = SPLICING; // what a few large reads would show is known beforehand
        }
        let route = self.choose(from, to, terms);
        let filled = match route {
            Route::Straight => self.splice_straight(turn, from, to, terms, most, RACES),
            Route::Kernel => self.fill_pipe(turn, from, terms, most),
            Route::Copied => self.copy_range(turn, from, to, terms, most),
            Route::Dropped => self.drop_in_kernel(turn, from, terms, most),
            Route::Buffer => self.fill_buffer(turn, from, terms, most),
        };
        if let Filled::Taken(_) = filled
            && !self.has_refused(route)
        {
            self.route = Some(route);
        }
        filled
    }

    fn choose(&self, from: &End, to: &End, terms: &Terms) -> Route {
        if !terms.splice || !sys::SPLICE || terms.tap.is_some() {
            return Route::Buffer;
        }
        if to.transport().drops_everything() && !from.has_layers() && !to.has_layers() && !self.refused.drop {
            return Route::Dropped;
        }
        match (from.spliceable(Access::Read), to.spliceable(Access::Write)) {
            (Some(source), Some(sink)) if source.is_pipe || sink.is_pipe => match self.refused.straight {
                false => Route::Straight,
                true => Route::Buffer,
            },
            (Some(source), Some(sink)) if source.is_file && sink.is_file && !self.refused.copy => Route::Copied,
            (Some(_), Some(_)) if !self.refused.kernel && !self.refused.drain => {
                let at_once = to.transport().drops_everything();
                match at_once || self.streak > STREAK {
                    true => Route::Kernel,
                    false => Route::Buffer,
                }
            }
            _ => Route::Buffer,
        }
    }

    fn has_refused(&self, route: Route) -> bool {
        match route {
            Route::Straight => self.refused.straight,
            Route::Kernel => self.refused.kernel,
            Route::Copied => self.refused.copy,
            Route::Dropped => self.refused.drop,
            Route::Buffer => false,
        }
    }

    pub(super) fn fill_buffer(&mut self, turn: &mut Turn, from: &mut End, terms: &Terms, most: usize) -> Filled {
        // another thread may still look at what it held
        self.buffer.take_if(|buffer| buffer.is_empty() && buffer.is_shared());
        let buffer = self.buffer.get_or_insert_with(|| terms.pools.buffer().into());
        let room = buffer.capacity().min(most);
        let step = from.read(turn, buffer, room);
        if let Step::Moved(count) = step {
            if let Some(tap) = terms.tap {
                tap.taken(buffer.portion(buffer.len() - count..buffer.len()));
            }
            self.streak = match self.streak + 1 {
                _ if count < LARGE => 0,
                STREAK.. => SPLICING,
                fewer => fewer,
            };
        }
        step.into()
    }

    pub(super) fn fill_pipe(&mut self, turn: &mut Turn, from: &mut End, terms: &Terms, most: usize) -> Filled {
        if !from.transport().can_read(turn) {
            return Filled::Blocked;
        }
        if self.pipe.is_none() {
            match terms.pools.pipe() {
                Ok(pipe) => self.pipe = Some(pipe.into()),
                // without a descriptor it is memory for this time; a pipe that came out short would do so at every fill
                Err(error) => {
                    self.refused.kernel = !is_shortage(&error);
                    return self.fill_buffer(turn, from, terms, most);
                }
            }
        }
        let (Some(pipe), Some(source)) = (&mut self.pipe, from.spliceable(Access::Read)) else {
            return Filled::Blocked;
        };
        match pipe.fill(source.fd, most.min(pipe.size())) {
            Ok(0) => self.fill_buffer(turn, from, terms, most), // see `splice_straight`
            Ok(count) => {
                self.streak = match self.streak.saturating_sub(1) {
                    _ if count >= SMALL => SPLICING,
                    ..=STREAK => 0, // messages again: two plain calls are quicker for those
                    fewer => fewer,
                };
                Filled::Taken(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.source_would_block(turn, from, terms, most),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill_pipe(turn, from, terms, most),
            Err(error) if is_refusal(&error) => {
                self.refused.kernel = true;
                self.fill_buffer(turn, from, terms, most)
            }
            Err(error) => Filled::SourceFailed(from.failed(error)),
        }
    }

    /// splice said WouldBlock and only the source can be meant. An urgent byte makes it say so for ever although the
    /// socket is readable; then one plain read goes past it.
    fn source_would_block(&mut self, turn: &mut Turn, from: &mut End, terms: &Terms, most: usize) -> Filled {
        if from.transport().is_odd(turn) && from.transport().polls_ready(Access::Read) {
            return self.fill_buffer(turn, from, terms, most);
        }
        from.transport().would_block(turn, Access::Read);
        Filled::Blocked
    }

    /// `races`: how often both ends may turn out ready after all before a plain read has to settle it.
    fn splice_straight(
        &mut self,
        turn: &mut Turn,
        from: &mut End,
        to: &mut End,
        terms: &Terms,
        most: usize,
        races: u8,
    ) -> Filled {
        if !from.transport().can_read(turn) || !to.transport().can_write(turn) {
            return Filled::Blocked;
        }
        let (Some(source), Some(sink)) = (from.spliceable(Access::Read), to.spliceable(Access::Write)) else {
            return Filled::Blocked;
        };
        match sys::splice(source.fd, sink.fd, most) {
            // 0 is no proof of an end: with FIN already there splice gives it at an urgent byte, too, whatever comes
            // behind (tcp_splice_read). Only a plain read knows, and goes past it.
            Ok(0) => self.fill_buffer(turn, from, terms, most),
            Ok(count) => {
                self.delivered += count as u64;
                Filled::Taken(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blame(turn, from, to, terms, most, races),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.splice_straight(turn, from, to, terms, most, races)
            }
            Err(error) if is_refusal(&error) => {
                self.refused.straight = true;
                self.fill_buffer(turn, from, terms, most)
            }
            // only the socket of the two can be cut; everything else is told by the side that takes
            Err(error) if from.is_peer() && !to.is_peer() && error.kind() != io::ErrorKind::BrokenPipe => {
                match error.kind() {
                    io::ErrorKind::StorageFull => Filled::SinkFailed(to.failed(error)),
                    _ => Filled::SourceFailed(from.failed(error)),
                }
            }
            Err(error) => Filled::SinkFailed(to.failed(error)),
        }
    }

    /// A straight splice said WouldBlock without saying which end it means. Unless only one can be meant, poll tells,
    /// and only the end that is not ready loses its latch. If both are ready they became so meanwhile, and it is tried
    /// again; an urgent byte makes a socket seem so for ever, and there one plain read settles it.
    fn blame(
        &mut self,
        turn: &mut Turn,
        from: &mut End,
        to: &mut End,
        terms: &Terms,
        most: usize,
        races: u8,
    ) -> Filled {
        if to.spliceable(Access::Write).is_some_and(|sink| sink.is_always_ready) {
            return self.source_would_block(turn, from, terms, most);
        }
        let (readable, writable) = match (from.spliceable(Access::Read), to.spliceable(Access::Write)) {
            (Some(source), Some(sink)) => sys::poll_pair(source.fd, sink.fd),
            _ => (from.transport().polls_ready(Access::Read), to.transport().polls_ready(Access::Write)),
        };
        if !readable {
            from.transport().would_block(turn, Access::Read);
        }
        if !writable {
            to.transport().would_block(turn, Access::Write);
        }
        match readable && writable {
            false => Filled::Blocked,
            true if races > 0 && !from.is_peer() => self.splice_straight(turn, from, to, terms, most, races - 1),
            true => self.fill_buffer(turn, from, terms, most),
        }
    }

    /// Lets the file system copy. Which of the two a failure means it does not say: the plain way finds out.
    fn copy_range(&mut self, turn: &mut Turn, from: &mut End, to: &mut End, terms: &Terms, most: usize) -> Filled {
        let (Some(source), Some(sink)) = (from.spliceable(Access::Read), to.spliceable(Access::Write)) else {
            return Filled::Blocked;
        };
        match sys::copy_range(source.fd, sink.fd, most) {
            // the end, or a file that has no length before it is read (proc(5)): a plain read knows
            Ok(0) => self.fill_buffer(turn, from, terms, most),
            Ok(count) => {
                self.delivered += count as u64;
                Filled::Taken(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.copy_range(turn, from, to, terms, most),
            Err(_) => {
                self.refused.copy = true;
                self.fill_buffer(turn, from, terms, most)
            }
        }
    }

    fn drop_in_kernel(&mut self, turn: &mut Turn, from: &mut End, terms: &Terms, most: usize) -> Filled {
        match from.discard(turn, most) {
            Step::Failed(Fault::Io(error)) if is_refusal(&error) || error.raw_os_error() == Some(libc::EFAULT) => {
                self.refused.drop = true;
                self.fill_buffer(turn, from, terms, most)
            }
            Step::Moved(count) => {
                self.delivered += count as u64;
                Filled::Taken(count)
            }
            step => step.into(),
        }
    }
}

/// What became of one attempt to take bytes.
pub(super) enum Filled {
    Taken(usize),
    Blocked,
    Eof,
    SourceFailed(Fault),
    SinkFailed(Fault),
}

impl From<Step> for Filled {
    /// A step at the source.
    fn from(step: Step) -> Self {
        match step {
            Step::Moved(count) => Filled::Taken(count),
            Step::Blocked => Filled::Blocked,
            Step::Eof => Filled::Eof,
            Step::Failed(fault) => Filled::SourceFailed(fault),
        }
    }
}

/// Errors that mean "not this way" rather than "not at all".
pub(in crate::session) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// No descriptor is left now: there may be one at the next try.
pub(in crate::session) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// How often in a row both ends of a splice may have become ready just after it was told that one was not.
const RACES: u8 = 8;

/// Large reads in a row after which a direction goes over to splice; small messages stay at a read and a write each.
const STREAK: u8 = 4;

/// From here a direction that splices counts down with each small fill, so that a few in a row end it. A bulk transfer
/// has single ones wherever its writer's blocks end in the middle of a segment.
const SPLICING: u8 = 2 * STREAK;

/// What counts as a large read. A fast peer's bytes seldom come by full buffers, so that would be too much to ask.
const LARGE: usize = 32 * 1024;

/// A splice that moved less than this was not worth its pipe.
const SMALL: usize = 4 * 1024;
