//! A buffer that begins where a page does: the kernel copies into and out of it in blocks, a fifth slower from elsewhere.

use std::ops::{Deref, DerefMut};

/// Bytes of its own, zero at first; what is not touched takes no memory.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Box<[u8]>,
    /// Invariant: `start + length <= bytes.len()`.
    start: usize,
    length: usize,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(length: usize) -> Self {
        let bytes = vec![0; length + PAGE].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Room { bytes, start, length }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

const PAGE: usize = 4096;
