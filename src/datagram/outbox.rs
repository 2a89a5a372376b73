//! Sending: datagrams wait in one buffer, in order, and go out in as few calls as the kernel allows.
//!
//! Neighbours of one length to one receiver are a *run*: the kernel takes up to 64 of them as one piece and cuts it
//! (UDP_SEGMENT), which is where the speed is. A call takes several pieces. What the kernel refuses to cut goes datagram
//! by datagram, from the same bytes, so that nothing is lost, doubled or moved. The rules of failure:
//!
//! - *Full* (WouldBlock): the rest waits for the next edge.
//! - *Refused* (ECONNREFUSED and what else an ICMP message may say): the kernel tells it once, on the next call, and
//!   that call sends nothing. It is about an earlier datagram. The caller is told; the one at the head stays and goes
//!   out with the next flush. Three times in a row without progress it is about that one itself (a Unix socket whose
//!   receiver is gone, no route), which then fails.
//! - *Failed*: the datagram at the head is taken out and counted, and the caller decides whether to go on.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use super::room::Room;
use crate::sys::{self, LocalIp, Parcel, Peer};

/// Why a flush ended.
#[derive(Debug)]
pub enum Stop {
    /// Nothing is left.
    Empty,
    /// The kernel has no room; the rest waits.
    Full,
    /// An earlier datagram was refused; nothing is lost, and the rest waits for the next flush.
    Refused(io::Error),
    /// The datagram at the head cannot be sent, and was taken out; the rest waits for the next flush.
    Failed(io::Error),
}

/// What a flush did.
#[derive(Debug)]
pub struct Flushed {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it went no further.
    pub stop: Stop,
}

/// Datagrams to one receiver, of one length but the last.
#[derive(Clone, Copy, Debug)]
struct Run {
    to: Option<Peer>,
    from: Option<LocalIp>,
    /// The length of each but the last. Invariant: at most 65,535 if there is more than one.
    size: usize,
    /// Invariant: at least 1.
    count: usize,
    /// The length of the last. Invariant: `last <= size`, and nothing is added behind one that is shorter.
    last: usize,
}

impl Run {
    fn bytes(&self) -> usize {
        self.size * (self.count - 1) + self.last
    }

    /// True if `other` may become a part of it.
    fn takes(&self, other: &Run) -> bool {
        let goes_on = self.size > 0 && self.last == self.size && (self.to, self.from) == (other.to, other.from);
        // a single shorter datagram may end a run
        let ends = other.count == 1 && other.last > 0 && other.size < self.size;
        goes_on && (other.size == self.size || ends)
    }

    fn most_in_a_piece(&self, segments: usize, longest: usize) -> usize {
        if self.size == 0 || self.size > longest { 1 } else { segments.min(PIECE / self.size).max(1) }
    }

    /// How many of its first datagrams go out as one piece, and how many bytes that is.
    fn piece(&self, segments: usize, longest: usize) -> (usize, usize) {
        let most = self.most_in_a_piece(segments, longest);
        match most < self.count {
            true => (most, most * self.size),
            false => (self.count, self.bytes()),
        }
    }
}

/// Datagrams on their way to the kernel.
#[derive(Debug)]
pub struct Outbox {
    buffer: Room,
    /// The waiting bytes. Invariant: `start <= end <= buffer.len()`, and `end - start` is what the runs add up to.
    start: usize,
    end: usize,
    /// Invariant: never more than its first capacity.
    runs: VecDeque<Run>,
    waiting: usize,
    /// Most datagrams in one piece; 1 once the kernel has said that it cuts nothing.
    segments: usize,
    /// The longest datagram that the kernel cuts; less than a packet once it has refused one.
    longest: usize,
    /// Calls in a row that were refused.
    refusals: u32,
    failed: u64,
    /// What went out last, if it was everything that the buffer held and one run.
    last: Option<Run>,
}

impl Outbox {
    /// An empty one. With `offload` off each datagram is a send of its own (Unix sockets).
    pub fn new(offload: bool) -> Self {
        Outbox::sized(ROOM, if offload { sys::MOST_SEGMENTS } else { 1 })
    }

    /// Room for one datagram of `most` bytes at least.
    pub fn with_room_for(most: usize, offload: bool) -> Self {
        Outbox::sized(ROOM.max(most * 2), if offload { sys::MOST_SEGMENTS } else { 1 })
    }

    fn sized(room: usize, segments: usize) -> Self {
        Outbox {
            buffer: Room::new(room),
            start: 0,
            end: 0,
            runs: VecDeque::with_capacity(RUNS),
            waiting: 0,
            segments,
            longest: PIECE,
            refusals: 0,
            failed: 0,
            last: None,
        }
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Datagrams that wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Datagrams that could not be sent and were taken out.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Puts a datagram at the end, which may be empty. False if there is no room or enough waits: flush first. After that
    /// there is room for a datagram of half the buffer at least.
    #[must_use]
    pub fn push(&mut self, to: Option<&Peer>, payload: &[u8]) -> bool {
        self.push_from(None, to, payload)
    }

    /// The same for one that leaves from this address of this host, if there is one.
    #[must_use]
    pub fn push_from(&mut self, from: Option<LocalIp>, to: Option<&Peer>, payload: &[u8]) -> bool {
        let Some(space) = self.space(payload.len()) else { return false };
        space[..payload.len()].copy_from_slice(payload);
        self.commit_from(from, to, payload.len(), payload.len())
    }

    /// Room for datagrams of `size` bytes to this receiver, for as many as are best sent together, at most `most`: to be
    /// filled from its beginning, and [committed](Outbox::commit) as far as it is. `None` if there is no room: flush first.
    pub fn block(&mut self, to: Option<&Peer>, size: usize, most: u64) -> Option<&mut [u8]> {
        let size = size.max(1);
        let run = Run { to: to.copied(), from: None, size, count: 1, last: size };
        let piece = run.most_in_a_piece(self.segments, self.longest);
        let before = self.runs.back().filter(|last| last.takes(&run)).map_or(0, |last| last.count);
        let space = self.space(size)?;
        let fit = (space.len() / size).min(usize::try_from(most).unwrap_or(usize::MAX));
        // the last piece is to be a whole one, too
        let whole = ((before + fit) / piece * piece).saturating_sub(before);
        let count = if whole > 0 { whole } else { fit };
        Some(&mut space[..count * size])
    }

    /// At least `least` free bytes to write payloads into, all there are; [`Outbox::commit`] makes datagrams of them.
    /// `None` if there are fewer or enough waits: flush first.
    pub fn space(&mut self, least: usize) -> Option<&mut [u8]> {
        if self.runs.len() == RUNS || self.is_enough() {
            return None;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < least && self.start >= self.buffer.len() / 2 {
            // at most half of the buffer moves, after another half went out
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < least {
            return None;
        }
        self.last = None;
        Some(&mut self.buffer[self.end..])
    }

    /// True if so much of one run waits that it is best sent now: whole pieces, since a last piece of a few datagrams
    /// costs as much as a full one.
    fn is_enough(&self) -> bool {
        let Some(run) = self.runs.back() else { return false };
        let most = run.most_in_a_piece(self.segments, self.longest);
        most > 1 && run.count.is_multiple_of(most) && run.bytes() >= PIECE
    }

    /// Makes datagrams of the next `length` bytes of [`Outbox::space`]: each of `size` bytes, the last shorter if it does
    /// not come out even. None of `length` is one empty datagram. False, and nothing done, if too many runs wait.
    #[must_use]
    pub fn commit(&mut self, to: Option<&Peer>, length: usize, size: usize) -> bool {
        self.commit_from(None, to, length, size)
    }

    /// The same for those that leave from this address of this host, if there is one.
    #[must_use]
    pub fn commit_from(&mut self, from: Option<LocalIp>, to: Option<&Peer>, length: usize, size: usize) -> bool {
        let size = size.min(length);
        let count = if size == 0 { 1 } else { length.div_ceil(size) };
        let run = Run { to: to.copied(), from, size, count, last: length - size * (count - 1) };
        if length > self.buffer.len() - self.end {
            return false;
        }
        if !self.joins_last(&run) {
            if self.runs.len() == RUNS {
                return false;
            }
            self.runs.push_back(run);
        }
        self.end += length;
        self.waiting += count;
        true
    }

    /// Adds a run to the one at the end, if that changes the bounds of no datagram.
    fn joins_last(&mut self, run: &Run) -> bool {
        let Some(last) = self.runs.back_mut().filter(|last| last.takes(run)) else { return false };
        last.count += run.count;
        last.last = run.last;
        true
    }

    /// Queues once more, without copying, at most `most` of the datagrams that the last flush sent. 0 if that was not
    /// one run that began with an empty queue: push them then.
    pub fn again(&mut self, most: usize) -> usize {
        let (true, Some(last)) = (self.runs.is_empty(), self.last) else { return 0 };
        let count = most.min(last.count);
        if count == 0 {
            return 0;
        }
        let run = Run { count, last: if count == last.count { last.last } else { last.size }, ..last };
        (self.start, self.end) = (0, run.bytes());
        self.runs.push_back(run);
        self.waiting = count;
        count
    }

    /// Takes out the datagram at the head, which counts as failed; false if nothing waits.
    pub fn give_up_first(&mut self) -> bool {
        let Some(run) = self.runs.front() else { return false };
        let length = if run.count == 1 { run.last } else { run.size };
        self.last = None;
        self.failed += 1;
        self.take_out(1, length);
        true
    }

    /// Gives the kernel what it takes.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> Flushed {
        self.flush_by(|parcels| sys::send_parcels(socket, parcels))
    }

    fn flush_by(&mut self, mut send: impl FnMut(&[Parcel<'_>]) -> io::Result<usize>) -> Flushed {
        if self.start == 0 {
            self.last = self.runs.front().copied().filter(|_| self.runs.len() == 1);
        }
        let (mut datagrams, mut bytes) = (0, 0);
        let stop = loop {
            if self.runs.is_empty() {
                (self.start, self.end) = (0, 0);
                break Stop::Empty;
            }
            match self.send_some(&mut send) {
                Ok((count, length)) => {
                    self.refusals = 0;
                    datagrams += count as u64;
                    bytes += length as u64;
                }
                Err(error) => {
                    if let Some(stop) = self.stop(error) {
                        break stop;
                    }
                }
            }
        };
        Flushed { datagrams, bytes, stop }
    }

    /// One call; the datagrams and bytes that went out.
    fn send_some(&mut self, send: &mut impl FnMut(&[Parcel<'_>]) -> io::Result<usize>) -> io::Result<(usize, usize)> {
        const NOTHING: Parcel<'_> = Parcel { bytes: &[], segment: 0, to: None, from: None };
        let mut parcels = [NOTHING; sys::MOST_PARCELS];
        let mut counts = [(0, 0); sys::MOST_PARCELS];
        let (mut at, mut filled) = (self.start, 0);
        'all: for run in &self.runs {
            let mut rest = *run;
            loop {
                if filled == parcels.len() {
                    break 'all;
                }
                let (count, length) = rest.piece(self.segments, self.longest);
                let segment = if count > 1 { rest.size as u16 } else { 0 };
                let bytes = &self.buffer[at..at + length];
                parcels[filled] = Parcel { bytes, segment, to: run.to.as_ref(), from: run.from };
                counts[filled] = (count, length);
                filled += 1;
                at += length;
                if count == rest.count {
                    break;
                }
                rest.count -= count;
            }
        }
        let sent = send(&parcels[..filled])?.min(filled);
        let (count, length) = counts[..sent].iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        self.take_out(count, length);
        Ok((count, length))
    }

    /// Removes datagrams from the head.
    fn take_out(&mut self, mut count: usize, length: usize) {
        self.start += length;
        self.waiting -= count;
        while count > 0
            && let Some(run) = self.runs.front_mut()
        {
            let gone = count.min(run.count);
            count -= gone;
            run.count -= gone;
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// What an error of a call means; `None` to try at once again.
    fn stop(&mut self, error: io::Error) -> Option<Stop> {
        let code = error.raw_os_error().unwrap_or(0);
        if error.kind() == io::ErrorKind::WouldBlock {
            return Some(Stop::Full);
        }
        if code == libc::EINTR || self.cuts_less(code) {
            return None;
        }
        self.refusals += 1;
        // the path may have become narrower for an earlier one; if it is about this one it says so again
        if code == libc::EMSGSIZE && self.refusals == 1 {
            return None;
        }
        if is_told_late(code) && self.refusals < REFUSALS {
            return Some(Stop::Refused(error));
        }
        self.refusals = 0;
        self.give_up_first();
        Some(Stop::Failed(error))
    }

    /// After a piece that the kernel would not cut: true if smaller ones are to be tried.
    fn cuts_less(&mut self, code: i32) -> bool {
        let Some(run) = self.runs.front() else { return false };
        if run.piece(self.segments, self.longest).0 < 2 {
            return false;
        }
        match code {
            // longer than a packet of this path
            libc::EINVAL | libc::EMSGSIZE => self.longest = run.size - 1,
            // no checksum offload, an old kernel, another kind of socket
            libc::EIO | libc::ENOPROTOOPT | libc::EOPNOTSUPP => self.segments = 1,
            _ => return false,
        }
        true
    }
}

/// Errors that an ICMP message about an earlier datagram may leave on a socket.
fn is_told_late(code: i32) -> bool {
    matches!(code, libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENOPROTOOPT)
}

/// Bytes that wait at most, two pieces: few enough to be in the cache still when the kernel copies them.
const ROOM: usize = 128 * 1024;

/// Bytes in one piece at most: a packet's length is 16 bits, headers included.
const PIECE: usize = 65_000;

/// Runs that wait at most.
const RUNS: usize = 256;

/// Calls refused in a row after which it is the datagram's own fault.
const REFUSALS: u32 = 3;

#[cfg(test)]
mod tests;
