//! Buffers of fixed capacity, and the pool that lends them.
//!
//! A [`Buffer`] is linear: bytes are filled at the end and consumed at the front, and the free space is one slice. It has
//! no memory before it is first used, and after [`Buffer::rest`].
//! A [`Lease`] gives its buffer back when it is dropped, so an idle direction owns no memory.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use zeroize::Zeroize;

/// Bytes in transit: `start..end` of a fixed allocation.
#[derive(Debug)]
pub struct Buffer {
    /// Invariant: none, or as many as `capacity`; as many if the buffer is not empty.
    bytes: Box<[u8]>,
    capacity: usize,
    /// Where memory comes from and goes to while nothing is in transit. Invariant: its capacity is that of the buffer.
    pool: Option<Rc<Pool>>,
    /// Invariant: `start <= end`; both 0 when empty, so that the whole capacity is free.
    start: usize,
    /// Invariant: `end <= bytes.len()`.
    end: usize,
}

impl Buffer {
    /// A buffer that holds at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Buffer { bytes: Box::default(), capacity, pool: None, start: 0, end: 0 }
    }

    /// From now on it borrows its memory from a pool, if that has buffers of its capacity.
    pub fn borrow_from(&mut self, pool: &Rc<Pool>) {
        if pool.capacity == self.capacity {
            self.pool = Some(Rc::clone(pool));
        }
    }

    /// Gives its memory back if there is nothing in it, until it is used again.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() || !self.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(pool) = &self.pool {
            pool.give_back(bytes);
        }
    }

    fn wake(&mut self) {
        if self.bytes.is_empty() && self.capacity > 0 {
            let lent = self.pool.as_ref().and_then(|pool| pool.free.borrow_mut().pop());
            self.bytes = lent.unwrap_or_else(|| vec![0; self.capacity].into_boxed_slice());
        }
    }

    /// The most it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
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
        &mut self.bytes[self.start..self.end]
    }

    /// Free bytes behind what is filled: as much [`Buffer::spare`] gives without moving that.
    pub fn tail(&self) -> usize {
        self.capacity - self.end
    }

    /// The free space at the end, at most `most` bytes. What is left moves to the front first when that makes room that
    /// is asked for: a protocol must find a whole record's room wherever the last one ended.
    pub fn spare(&mut self, most: usize) -> &mut [u8] {
        self.wake();
        if self.start > 0 && self.bytes.len() - self.end < most {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let end = self.bytes.len().min(self.end.saturating_add(most));
        &mut self.bytes[self.end..end]
    }

    /// True when [`Buffer::spare`] would be empty.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity
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

    /// Forgets everything, so that nothing of it is left in memory: it may have been a secret.
    pub fn wipe(&mut self) {
        self.bytes.zeroize();
        self.clear();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// Lends buffers of one size; keeps a few of those that come back.
#[derive(Debug)]
pub struct Pool {
    capacity: usize,
    /// Invariant: each is as long as `capacity`.
    free: RefCell<Vec<Box<[u8]>>>,
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
        Lease(Buffer { pool: Some(Rc::clone(self)), ..Buffer::new(self.capacity) })
    }

    fn give_back(&self, bytes: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(bytes);
        }
    }
}

/// A buffer on loan; dropping it gives it back, emptied.
#[derive(Debug)]
pub struct Lease(Buffer);

impl Deref for Lease {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.clear();
        self.0.rest();
    }
}

/// Buffers kept for the next lease: under back pressure many are out at once, and then their memory is returned.
const KEPT: usize = 4;

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
    fn what_was_wiped_is_gone_although_it_was_consumed() {
        let mut buffer = Buffer::new(8);
        buffer.push(b"secret");
        buffer.consume(6);
        buffer.wipe();
        assert_eq!(buffer.bytes[..], [0; 8]);
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

    // What a session holds while nothing is in transit is counted in thousands of sessions.
    #[test]
    fn a_buffer_has_memory_only_while_there_is_something_in_it() {
        let pool = Pool::new(8);
        let mut buffer = Buffer::new(8);
        buffer.borrow_from(&pool);
        assert!(buffer.bytes.is_empty() && buffer.filled().is_empty() && buffer.tail() == 8);
        buffer.push(b"abc");
        buffer.rest();
        assert_eq!(buffer.filled(), b"abc");
        buffer.consume(3);
        buffer.rest();
        assert!(buffer.bytes.is_empty() && pool.free.borrow().len() == 1);
        buffer.push(b"again");
        assert!(pool.free.borrow().is_empty());
        // of another size
        let mut other = Buffer::new(9);
        other.borrow_from(&pool);
        other.push(b"x");
        other.clear();
        other.rest();
        assert!(pool.free.borrow().is_empty());
    }
}
