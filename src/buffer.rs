//! Buffers of fixed capacity, and the pool that lends them.
//!
//! A [`Buffer`] is linear: bytes are filled at the end and consumed at the front, and the free space is one slice. It has
//! no memory before it is first used, and after [`Buffer::rest`].
//! A [`Lease`] gives its buffer back when it is dropped, so an idle direction owns no memory.
//!
//! Another thread may go on reading bytes that were consumed here: a [`Portion`] of a buffer can be kept without a copy.
//! As long as it is, the buffer's memory does not change: who fills the buffer takes another one
//! ([`Buffer::is_shared`]), or gets other memory.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;
use std::sync::Arc;

use zeroize::Zeroize;

/// Memory of a buffer, which somebody may look at after the buffer has no use for it any more.
type Block = Arc<Box<[u8]>>;

/// Bytes in transit: `start..end` of a fixed allocation.
#[derive(Debug)]
pub struct Buffer {
    /// Invariant: there if the buffer is not empty; as long as `capacity`; while others hold it, too, nothing in it changes
    /// (nor is it wiped: what holds secrets is not kept by anybody).
    block: Option<Block>,
    capacity: usize,
    /// Where memory comes from and goes to while nothing is in transit. Invariant: its capacity is that of the buffer.
    pool: Option<Rc<Pool>>,
    /// Invariant: `start <= end`; both 0 when empty, so that the whole capacity is free.
    start: usize,
    /// Invariant: `end <= capacity`.
    end: usize,
}

impl Buffer {
    /// A buffer that holds at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Buffer { block: None, capacity, pool: None, start: 0, end: 0 }
    }

    /// From now on it borrows its memory from a pool, if that has buffers of its capacity.
    pub fn borrow_from(&mut self, pool: &Rc<Pool>) {
        if pool.capacity == self.capacity {
            self.pool = Some(Rc::clone(pool));
        }
    }

    /// Gives its memory back if there is nothing in it, until it is used again.
    pub fn rest(&mut self) {
        if self.is_empty()
            && let Some(block) = self.block.take()
        {
            self.give_back(block);
        }
    }

    fn give_back(&self, block: Block) {
        if let Some(pool) = &self.pool {
            pool.give_back(block);
        }
    }

    fn lent(&self) -> Block {
        let lent = self.pool.as_ref().and_then(|pool| pool.lend());
        lent.unwrap_or_else(|| Arc::new(vec![0; self.capacity].into_boxed_slice()))
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
        self.block.as_ref().map_or(&[], |block| &block[self.start..self.end])
    }

    /// The same, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        let filled = self.start..self.end;
        &mut self.own()[filled]
    }

    /// Bytes out of [`Buffer::filled`], in a form in which they may be kept.
    pub fn portion(&self, range: Range<usize>) -> Portion<'_> {
        let block = self.block.as_ref().map(|block| (block, self.start + range.start));
        Portion { bytes: &self.filled()[range], block }
    }

    /// True while somebody keeps a portion: to fill it again would cost an allocation.
    pub fn is_shared(&self) -> bool {
        self.block.as_ref().is_some_and(is_shared)
    }

    /// The memory, to be changed: the same unless somebody keeps some of it.
    fn own(&mut self) -> &mut [u8] {
        let filled = self.start..self.end;
        let mut block = match self.block.take() {
            Some(block) if !is_shared(&block) => block,
            old => {
                let mut block = self.lent();
                if let (Some(old), Some(new)) = (&old, Arc::get_mut(&mut block)) {
                    new[filled.clone()].copy_from_slice(&old[filled]);
                }
                old.into_iter().for_each(|old| self.give_back(old));
                block
            }
        };
        if Arc::get_mut(&mut block).is_none() {
            unreachable!("only a buffer lets its memory be kept, and this one is lent to nobody else");
        }
        Arc::get_mut(self.block.insert(block)).map_or(&mut [], |block| block)
    }

    /// Free bytes behind what is filled: as much [`Buffer::spare`] gives without moving that.
    pub fn tail(&self) -> usize {
        self.capacity - self.end
    }

    /// The free space at the end, at most `most` bytes. What is left moves to the front first when that makes room that
    /// is asked for: a protocol must find a whole record's room wherever the last one ended.
    pub fn spare(&mut self, most: usize) -> &mut [u8] {
        if self.start > 0 && self.capacity - self.end < most {
            let filled = self.start..self.end;
            self.own().copy_within(filled, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let free = self.end..self.capacity.min(self.end.saturating_add(most));
        &mut self.own()[free]
    }

    /// True when [`Buffer::spare`] would be empty.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    /// Declares that the first `count` bytes of [`Buffer::spare`] were written.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.capacity - self.end, "filled past the capacity");
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
        debug_assert!(!self.is_shared(), "a secret is kept by somebody else, and would outlive this");
        if self.block.is_some() {
            self.own().zeroize();
        }
        self.clear();
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
    block: Option<(&'a Block, usize)>,
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
    block: Block,
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
    /// Invariant: each is as long as `capacity`.
    free: RefCell<Vec<Block>>,
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

    /// The last that came back and is not looked at any more.
    fn lend(&self) -> Option<Block> {
        let mut free = self.free.borrow_mut();
        free.iter().rposition(|block| !is_shared(block)).map(|index| free.remove(index))
    }

    fn give_back(&self, block: Block) {
        let mut free = self.free.borrow_mut();
        // whoever shares its buffers has only a few out, and wants them back
        if free.len() < KEPT || is_shared(&block) && free.len() < KEPT_SHARED {
            free.push(block);
        }
    }
}

/// Somebody else holds it, too.
fn is_shared(block: &Block) -> bool {
    Arc::strong_count(block) > 1
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
    fn what_was_wiped_is_gone_although_it_was_consumed() {
        let mut buffer = Buffer::new(8);
        buffer.push(b"secret");
        buffer.consume(6);
        buffer.wipe();
        assert_eq!(buffer.own(), [0; 8]);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "a secret is kept by somebody else")]
    fn a_secret_that_is_kept_elsewhere_cannot_be_wiped() {
        let mut buffer = Buffer::new(8);
        buffer.push(b"secret");
        let _kept = buffer.portion(0..6).keep().unwrap();
        buffer.wipe();
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
        let mut other = pool.lease();
        other.push(b"xyz");
        assert!(!other.is_shared() && pool.free.borrow().len() == 1 && *kept == *b"abc");
        drop(kept);
        let mut again = pool.lease();
        again.push(b"uvw");
        assert!(!again.is_shared() && pool.free.borrow().is_empty());
    }

    // What a session holds while nothing is in transit is counted in thousands of sessions.
    #[test]
    fn a_buffer_has_memory_only_while_there_is_something_in_it() {
        let pool = Pool::new(8);
        let mut buffer = Buffer::new(8);
        buffer.borrow_from(&pool);
        assert!(buffer.block.is_none() && buffer.filled().is_empty() && buffer.tail() == 8);
        buffer.push(b"abc");
        buffer.rest();
        assert_eq!(buffer.filled(), b"abc");
        buffer.consume(3);
        buffer.rest();
        assert!(buffer.block.is_none() && pool.free.borrow().len() == 1);
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
