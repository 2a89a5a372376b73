//! Bytes held back until they are due: a bounded queue in leased buffers.

use std::collections::VecDeque;
use std::time::Instant;

use crate::buffer::{Buffer, Lease};
use crate::session::carrier::Pools;

/// What was taken together and is due together, oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Invariant: each piece lies in one of the buffers, in their order, and nothing else does but what is being taken.
    buffers: VecDeque<Lease>,
    pieces: VecDeque<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    due: Instant,
    /// Bytes of it that are still there, at least 1.
    left: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        let buffers: usize = self.buffers.iter().map(|buffer| buffer.capacity()).sum();
        buffers + self.pieces.len() * size_of::<Piece>()
    }

    /// A buffer to be filled behind what is in it, without moving that; `None` if that takes more than `hold` bytes.
    /// There is always room for one piece.
    pub(super) fn room(&mut self, pools: &Pools, hold: usize, fresh: bool) -> Option<&mut Buffer> {
        if !self.is_empty() && self.memory() + size_of::<Piece>() > hold {
            return None;
        }
        let fits = |buffer: &Lease| match fresh {
            true => buffer.is_empty(),
            false => buffer.tail() >= (buffer.capacity() / 16).max(1), // little room makes for little reads
        };
        if !self.buffers.back().is_some_and(fits) {
            if !self.is_empty() && self.memory() + pools.segment_size() + size_of::<Piece>() > hold {
                return None;
            }
            // a record has to find room in one
            self.buffers.push_back(if fresh { pools.buffer() } else { pools.segment() });
        }
        self.buffers.back_mut().map(|lease| &mut **lease)
    }

    /// What was put into the room, to be changed.
    pub(super) fn newest(&mut self, count: usize) -> &mut [u8] {
        let Some(buffer) = self.buffers.back_mut() else { return &mut [] };
        let from = buffer.len().saturating_sub(count);
        &mut buffer.filled_mut()[from..]
    }

    /// `count` bytes were put into the room, and are due at `due`.
    pub(super) fn took(&mut self, count: usize, due: Instant) {
        if count > 0 {
            self.pieces.push_back(Piece { due, left: count });
        }
    }

    /// Gives back room in which nothing was put.
    pub(super) fn tidy(&mut self) {
        if self.buffers.back().is_some_and(|buffer| buffer.is_empty()) {
            self.buffers.pop_back();
        }
    }

    /// The oldest piece, if it is due.
    pub(super) fn ready(&self, now: Instant) -> Option<&[u8]> {
        let piece = self.pieces.front().filter(|piece| piece.due <= now)?;
        self.buffers.front().map(|buffer| &buffer.filled()[..piece.left])
    }

    /// The first `count` bytes of the oldest piece are no longer needed.
    pub(super) fn gone(&mut self, count: usize) {
        let (Some(piece), Some(buffer)) = (self.pieces.front_mut(), self.buffers.front_mut()) else { return };
        buffer.consume(count);
        piece.left -= count;
        let (buffer_empty, piece_empty) = (buffer.is_empty(), piece.left == 0);
        if piece_empty {
            self.pieces.pop_front();
        }
        if buffer_empty {
            self.buffers.pop_front();
        }
        if self.is_empty() && self.pieces.capacity() > KEPT {
            self.pieces = VecDeque::new();
        }
    }

    /// When the oldest piece is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pieces.front().map(|piece| piece.due)
    }
}

/// Places for pieces that an empty queue keeps.
const KEPT: usize = 16;
