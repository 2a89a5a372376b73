//! Buffers of fixed capacity, and the pool that lends them.
//!
//! A [`Buffer`] is linear: bytes are filled at the end and consumed at the front, and the free space is one slice.
//! A [`Lease`] gives its buffer back when it is dropped, so an idle direction owns no memory.
//!
//! Another thread may go on reading bytes that were consumed here: a [`Portion`] of a buffer can be kept without a copy.
//! As long as it is, the buffer's memory does not change: who fills the buffer takes another one
//! ([`Buffer::is_shared`]), or gets other memory.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes in transit: `start..end` of a fixed allocation.
#[derive(Debug)]
pub struct Buffer {
    /// Invariant: its length never changes; while others hold it, too, nothing in it does.
    bytes: Arc<Box<[u8]>>,
    /// Invariant: `start <= end`; both 0 when empty, so that the whole capacity is free.
    start: usize,
    /// Invariant: `end <= bytes.len()`.
    end: usize,
}

impl Buffer {
    /// A buffer that holds at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Buffer { bytes: Arc::new(vec![0; capacity].into_boxed_slice()), start: 0, end: 0 }
    }

    /// The most it can hold.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes filled and not yet consumed.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True when there is nothing to consume.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What is there to consume.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        let filled = self.start..self.end;
        &mut self.own()[filled]
    }

    /// Bytes out of [`Buffer::filled`], in a form in which they may be kept.
    pub fn portion(&self, range: Range<usize>) -> Portion<'_> {
        Portion { bytes: &self.filled()[range.clone()], block: Some((&self.bytes, self.start + range.start)) }
    }

    /// True while somebody keeps a portion: to fill it again would cost an allocation.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.bytes) > 1
    }

    /// The memory, to be changed: the same unless somebody keeps some of it.
    fn own(&mut self) -> &mut [u8] {
        if self.is_shared() {
            let mut bytes = vec![0; self.bytes.len()].into_boxed_slice();
            bytes[self.start..self.end].copy_from_slice(self.filled());
            self.bytes = Arc::new(bytes);
        }
        match Arc::get_mut(&mut self.bytes) {
            Some(bytes) => bytes,
            None => unreachable!("only this buffer lets its memory be kept"),
        }
    }

    /// Free bytes behind what is filled: as much [`Buffer::spare`] gives without moving that.
    pub fn tail(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// The free space at the end, at most `most` bytes. What is left moves to the front first when that makes room that
    /// is asked for: a protocol must find a whole record's room wherever the last one ended.
    pub fn spare(&mut self, most: usize) -> &mut [u8] {
        if self.start > 0 && self.bytes.len() - self.end < most {
            let filled = self.start..self.end;
            self.own().copy_within(filled, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let free = self.end..self.bytes.len().min(self.end.saturating_add(most));
        &mut self.own()[free]
    }

    /// True when [`Buffer::spare`] would be empty.
    pub fn is_full(&self) -> bool {
        self.len() == self.bytes.len()
    }

    /// Declares that the first `count` bytes of [`Buffer::spare`] were written.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "filled past the capacity");
        self.end += count;
    }

    /// Copies as much of `bytes` as fits and says how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare(bytes.len());
        let count = spare.len();
        spare.copy_from_slice(&bytes[..count]);
        self.fill(count);
        count
    }

    /// Declares that the first `count` bytes of [`Buffer::filled`] are no longer needed.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed more than there was");
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// Bytes to look at, and perhaps to keep.
#[derive(Clone, Copy, Debug)]
pub struct Portion<'a> {
    bytes: &'a [u8],
    /// The memory that they lie in, and where; `None` where they cannot be kept.
    block: Option<(&'a Arc<Box<[u8]>>, usize)>,
}

impl<'a> Portion<'a> {
    /// The same as two: so many bytes, and the rest.
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let (first, rest) = self.bytes.split_at(count);
        let behind = self.block.map(|(block, start)| (block, start + count));
        (Portion { bytes: first, block: self.block }, Portion { bytes: rest, block: behind })
    }

    /// The bytes, for as long as the buffer lets itself be looked at.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The same bytes, to be looked at by any thread for as long as it likes; `None` where that would be a copy.
    pub fn keep(self) -> Option<Kept> {
        let (block, start) = self.block?;
        Some(Kept { block: Arc::clone(block), range: start..start + self.bytes.len() })
    }

    /// The same, only to be looked at.
    pub fn unkept(self) -> Self {
        Portion { block: None, ..self }
    }
}

impl Deref for Portion<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> From<&'a [u8]> for Portion<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Portion { bytes, block: None }
    }
}

/// Bytes of a buffer that do not change as long as this is there.
#[derive(Clone, Debug)]
pub struct Kept {
    block: Arc<Box<[u8]>>,
    range: Range<usize>,
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

/// Lends buffers of one size; keeps a few of those that come back.
#[derive(Debug)]
pub struct Pool {
    capacity: usize,
    free: RefCell<Vec<Buffer>>,
}

impl Pool {
    /// A pool of buffers of `capacity` bytes each.
    pub fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Pool { capacity, free: RefCell::new(Vec::new()) })
    }

    /// The size of the buffers lent.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lends an empty buffer.
    pub fn lease(self: &Rc<Self>) -> Lease {
        let mut free = self.free.borrow_mut();
        let whole = free.iter().rposition(|buffer| !buffer.is_shared()).map(|index| free.remove(index));
        let buffer = whole.unwrap_or_else(|| Buffer::new(self.capacity));
        Lease { buffer: Some(buffer), pool: Rc::clone(self) }
    }
}

/// A buffer on loan; dropping it gives it back, emptied.
#[derive(Debug)]
pub struct Lease {
    /// Invariant: `Some` until drop.
    buffer: Option<Buffer>,
    pool: Rc<Pool>,
}

impl Deref for Lease {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        match &self.buffer {
            Some(buffer) => buffer,
            None => unreachable!("a lease holds its buffer until it is dropped"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Buffer {
        match &mut self.buffer {
            Some(buffer) => buffer,
            None => unreachable!("a lease holds its buffer until it is dropped"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut free = self.pool.free.borrow_mut();
        if let Some(mut buffer) = self.buffer.take()
            // whoever shares its buffers has only a few out, and wants them back
            && (free.len() < KEPT || buffer.is_shared() && free.len() < KEPT_SHARED)
        {
            buffer.clear();
            free.push(buffer);
        }
    }
}

/// Buffers kept for the next lease: under back pressure many are out at once, and then their memory is returned.
const KEPT: usize = 4;

/// The same as long as those that come back are looked at by another thread.
const KEPT_SHARED: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_consumed_is_what_was_pushed_in_order(
            capacity in 1usize..40,
            steps in proptest::collection::vec((any::<bool>(), 0usize..50), 0..200),
        ) {
            let mut buffer = Buffer::new(capacity);
            let (mut pushed, mut consumed) = (0u8, 0u8);
            for (push, count) in steps {
                if push {
                    let bytes: Vec<u8> = (0..count).map(|i| pushed.wrapping_add(i as u8)).collect();
                    let taken = buffer.push(&bytes);
                    prop_assert!(taken == count || buffer.is_full() || buffer.spare(1).is_empty());
                    pushed = pushed.wrapping_add(taken as u8);
                } else {
                    let count = count.min(buffer.len());
                    for byte in &buffer.filled()[..count] {
                        prop_assert_eq!(*byte, consumed);
                        consumed = consumed.wrapping_add(1);
                    }
                    buffer.consume(count);
                }
                prop_assert!(buffer.len() <= buffer.capacity());
            }
        }
    }

    #[test]
    fn what_is_kept_does_not_change_whatever_the_buffer_is_used_for() {
        let mut buffer = Buffer::new(8);
        buffer.push(b"abcdef");
        buffer.consume(2);
        let (first, rest) = buffer.portion(1..4).split_at(1);
        assert_eq!((first.bytes(), rest.bytes()), (&b"d"[..], &b"ef"[..]));
        assert!(rest.unkept().keep().is_none() && Portion::from(&b"x"[..]).keep().is_none());
        let kept = rest.keep().unwrap();
        assert!(buffer.is_shared());
        assert_eq!(buffer.push(b"ghijk"), 4);
        assert!(!buffer.is_shared());
        buffer.filled_mut().fill(b'x');
        assert_eq!(*kept, *b"ef");
        assert_eq!(buffer.filled(), b"xxxxxxxx");
    }

    #[test]
    fn a_buffer_that_is_looked_at_elsewhere_is_not_lent_before_that_is_over() {
        let pool = Pool::new(8);
        let mut lease = pool.lease();
        lease.push(b"abc");
        let kept = lease.portion(0..3).keep().unwrap();
        drop(lease);
        let other = pool.lease();
        assert!(!other.is_shared() && pool.free.borrow().len() == 1);
        drop(kept);
        assert!(!pool.lease().is_shared() && pool.free.borrow().len() == 1);
        drop(other);
    }

    #[test]
    fn a_returned_buffer_is_lent_again_and_empty() {
        let pool = Pool::new(8);
        let mut lease = pool.lease();
        lease.push(b"secret");
        drop(lease);
        assert_eq!(pool.free.borrow().len(), 1);
        assert!(pool.lease().is_empty());
    }
}
