//! Memory between one source and many sinks: one copy of the bytes, positions counted from the beginning of the stream.
//!
//! It is a queue of blocks that are made when they are needed for the first time and used again, the one that was free
//! last first. So sinks that keep up cost one block, which stays in the processor's cache, however large the ring may
//! become; and a read or a write is one piece of memory, at most a block.

use std::collections::VecDeque;

use crate::buffer::{Buffer, Portion};

/// Bytes that not every sink has taken.
#[derive(Debug)]
pub(super) struct Ring {
    /// Invariant: all but the last are full; nothing is ever consumed out of one.
    blocks: VecDeque<Buffer>,
    /// Position of the first byte of the first block.
    start: u64,
    /// Empty blocks.
    free: Vec<Buffer>,
    /// Bytes in a block.
    block: usize,
    /// Blocks that it may have in all.
    most: usize,
}

impl Ring {
    /// A ring of at most `capacity` bytes, at least one.
    pub(super) fn new(capacity: u64) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX).max(1);
        // four at least, so that a source and a sink of a small ring still overlap
        let block = (capacity / 4).clamp(1, BLOCK);
        Ring { blocks: VecDeque::new(), start: 0, free: Vec::new(), block, most: capacity / block }
    }

    /// Position behind the last byte.
    pub(super) fn end(&self) -> u64 {
        let whole = self.blocks.len().saturating_sub(1) as u64 * self.block as u64;
        self.start + whole + self.blocks.back().map_or(0, Buffer::len) as u64
    }

    /// True if nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.end() == self.start
    }

    /// True if [`Ring::tail`] gives a buffer with room.
    pub(super) fn has_room(&self) -> bool {
        self.blocks.len() < self.most || self.blocks.back().is_some_and(|block| !block.is_full())
    }

    /// Bytes that a block holds.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// Where the next bytes go, to be filled at its end and nothing else; `None` when it is full.
    pub(super) fn tail(&mut self) -> Option<&mut Buffer> {
        if self.blocks.len() < self.most && self.blocks.back().is_none_or(Buffer::is_full) {
            let block = self.empty_block();
            self.blocks.push_back(block);
        }
        self.blocks.back_mut().filter(|block| !block.is_full())
    }

    /// One that was used before, unless another thread still looks at all of those.
    fn empty_block(&mut self) -> Buffer {
        if let Some(index) = self.free.iter().rposition(|block| !block.is_shared()) {
            return self.free.remove(index);
        }
        if self.blocks.len() + self.free.len() >= self.most {
            self.free.pop();
        }
        Buffer::new(self.block)
    }

    /// The last bytes that were filled into [`Ring::tail`]. They may be kept if nothing is to be filled in behind them, and
    /// there is another block for the next ones.
    pub(super) fn latest(&self, count: usize) -> Portion<'_> {
        let Some(tail) = self.blocks.back() else { return Portion::from(&[][..]) };
        let portion = tail.portion(tail.len() - count..tail.len());
        let recent = self.free.iter().rev().take(2 * KEPT).chain(self.blocks.iter().rev().take(2 * KEPT));
        let kept = recent.filter(|block| block.is_shared()).count();
        match tail.is_full() && kept < KEPT.min(self.most / 2) {
            true => portion,
            false => portion.unkept(),
        }
    }

    /// What a sink at this position takes next, as much of it as lies in one piece; empty for one that has caught up.
    pub(super) fn next(&self, at: u64) -> &[u8] {
        let behind = at.saturating_sub(self.start);
        let block = usize::try_from(behind / self.block as u64).unwrap_or(usize::MAX);
        let offset = (behind % self.block as u64) as usize;
        self.blocks.get(block).and_then(|block| block.filled().get(offset..)).unwrap_or_default()
    }

    /// Everything before this position is no longer needed.
    pub(super) fn release(&mut self, floor: u64) {
        if floor >= self.end() {
            // what is written next begins a block
            self.start = self.end();
            for mut block in self.blocks.drain(..) {
                block.clear();
                self.free.push(block);
            }
            return;
        }
        while self.start + self.block as u64 <= floor
            && let Some(mut block) = self.blocks.pop_front()
        {
            self.start += self.block as u64;
            block.clear();
            self.free.push(block);
        }
    }

    /// Passes over bytes that took another way. Only while it is empty.
    pub(super) fn skip(&mut self, count: u64) {
        debug_assert!(self.is_empty(), "what is held cannot be passed over");
        self.start += count;
    }

    /// True for a position that keeps the oldest block from being used again.
    pub(super) fn is_held_by(&self, at: u64) -> bool {
        at < self.start + self.block as u64
    }

    /// True while no more than half of the blocks is in use.
    pub(super) fn is_half_empty(&self) -> bool {
        self.blocks.len() * 2 <= self.most
    }
}

/// Bytes in one block: a read or a write of more gains nothing, and a few of these stay in a cache.
const BLOCK: usize = 256 * 1024;

/// Blocks that another thread may look at meanwhile.
const KEPT: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sink_takes_everything_in_order_and_the_memory_is_bounded(
            capacity in 1u64..50,
            steps in proptest::collection::vec((0usize..4, 1usize..20), 1..400),
        ) {
            let mut ring = Ring::new(capacity);
            let mut at = [0u64; 3];
            for (who, most) in steps {
                if who == 3 {
                    if ring.has_room() {
                        let from = ring.end();
                        let tail = ring.tail().unwrap();
                        let spare = tail.spare(most);
                        prop_assert!(!spare.is_empty());
                        let count = spare.len();
                        spare.iter_mut().enumerate().for_each(|(i, byte)| *byte = (from + i as u64) as u8);
                        tail.fill(count);
                        prop_assert_eq!(ring.end(), from + count as u64);
                    } else {
                        prop_assert!(at.iter().any(|at| ring.is_held_by(*at)));
                    }
                } else {
                    let piece = ring.next(at[who]);
                    prop_assert_eq!(piece.is_empty(), at[who] == ring.end());
                    for byte in &piece[..piece.len().min(most)] {
                        prop_assert_eq!(*byte, at[who] as u8);
                        at[who] += 1;
                    }
                }
                ring.release(at.into_iter().min().unwrap());
                prop_assert!((ring.blocks.len() + ring.free.len()) * ring.block <= capacity as usize);
                prop_assert_eq!(ring.is_empty(), at.iter().all(|at| *at == ring.end()));
            }
        }
    }

    #[test]
    fn a_large_ring_that_is_kept_empty_costs_one_block() {
        let mut ring = Ring::new(1 << 40);
        for _ in 0..100 {
            let room = ring.tail().unwrap().spare(usize::MAX).len();
            ring.tail().unwrap().fill(room);
            ring.release(ring.end());
        }
        assert_eq!((ring.blocks.len(), ring.free.len()), (0, 1));
        assert_eq!(ring.end(), 100 * BLOCK as u64);
    }

    #[test]
    fn what_is_kept_of_a_ring_neither_changes_nor_stops_it() {
        let mut ring = Ring::new(64);
        assert_eq!((ring.block, ring.most), (16, 4));
        ring.tail().unwrap().push(b"half of");
        assert!(ring.latest(7).keep().is_none(), "more is to be filled in behind it");
        ring.tail().unwrap().push(b" a block.");
        let mut kept: Vec<_> = ring.latest(9).keep().into_iter().collect();
        assert_eq!(*kept[0], *b" a block.");
        for turn in 0..20u8 {
            ring.release(ring.end());
            ring.tail().unwrap().push(&[turn; 16]);
            kept.extend(ring.latest(16).keep());
            assert!(ring.blocks.len() + ring.free.len() <= ring.most);
        }
        assert_eq!(kept.len(), 2, "not more than half of the blocks");
        assert_eq!((&*kept[0], &*kept[1]), (&b" a block."[..], &[0; 16][..]));
        assert_eq!(ring.next(ring.end() - 16), [19; 16]);
    }

    #[test]
    fn a_position_ahead_of_everything_has_nothing_to_take() {
        let mut ring = Ring::new(1000);
        ring.tail().unwrap().push(b"abc");
        assert!(ring.next(7).is_empty() && ring.next(u64::MAX).is_empty());
        assert_eq!(ring.next(1), b"bc");
    }
}
