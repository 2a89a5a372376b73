//! Masking of RFC 6455, section 5.3: every byte is combined with one of four, in turn.
//!
//! The same transform masks and unmasks. It copies and masks in one pass, 16 bytes at a time, the key turned to where
//! the payload stands; nothing is prepared for a call but the key as a number. Most of it is left to [`Wide`] where the
//! machine has wider registers than the oldest one that this is compiled for.

use std::io;

/// The key of one frame.
pub(super) type Key = [u8; 4];

/// Masks the front of some bytes, with a key whose lowest byte comes first, from one place to another of the same length;
/// how many bytes it did, a multiple of four. It may leave all to others.
pub type Wide = fn(u32, &[u8], &mut [u8]) -> usize;

/// Copies `from` to `to`, which are equally long, masked; `position` is where in the payload that is.
pub(super) fn copy(wide: Wide, key: Key, position: u64, from: &[u8], to: &mut [u8]) {
    let key = turned(key, position);
    let done = wide(key, from, to);
    copy_rest(key, &from[done..], &mut to[done..]);
}

/// The same for what has no wide registers.
fn copy_rest(mut key: u32, from: &[u8], to: &mut [u8]) {
    let wide = u128::from(key) * REPEATED;
    let masked = |bytes: &[u8; 16]| (u128::from_le_bytes(*bytes) ^ wide).to_le_bytes();
    let (from_blocks, from_rest) = from.as_chunks::<128>();
    let (to_blocks, to_rest) = to.as_chunks_mut::<128>();
    for (to, from) in to_blocks.iter_mut().zip(from_blocks) {
        // spelled out, since a release is compiled for its size and would not unroll a loop
        if let ([a, b, c, d, e, f, g, h], [to_a, to_b, to_c, to_d, to_e, to_f, to_g, to_h]) =
            (from.as_chunks().0, to.as_chunks_mut().0)
        {
            (*to_a, *to_b, *to_c, *to_d) = (masked(a), masked(b), masked(c), masked(d));
            (*to_e, *to_f, *to_g, *to_h) = (masked(e), masked(f), masked(g), masked(h));
        }
    }
    let (from_words, from_rest) = from_rest.as_chunks();
    let (to_words, to_rest) = to_rest.as_chunks_mut();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = masked(from);
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = from ^ key as u8;
        key = key.rotate_right(8);
    }
}

/// Four times a key: a number of 128 bits.
const REPEATED: u128 = 0x1_0000_0001_0000_0001_0000_0001;

/// Masks `bytes` where they are; for the little that a control frame holds.
pub(super) fn apply(key: Key, bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it stands for the byte at `position`, which is combined with its lowest eight bits.
fn turned(key: Key, position: u64) -> u32 {
    u32::from_le_bytes(key).rotate_right(8 * (position % 4) as u32)
}

/// Fills a buffer with bytes that nobody can foresee.
pub type Entropy = fn(&mut [u8]) -> io::Result<()>;

/// Keys, fetched from the system many at a time: each frame has a fresh one.
pub(super) struct Keys {
    entropy: Entropy,
    bytes: [u8; 256],
    used: usize,
}

impl Keys {
    pub(super) fn new(entropy: Entropy) -> Self {
        Keys { entropy, bytes: [0; 256], used: 256 }
    }

    /// The next key.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn next(&mut self) -> io::Result<Key> {
        if self.used == self.bytes.len() {
            (self.entropy)(&mut self.bytes)?;
            self.used = 0;
        }
        let key = self.bytes[self.used..].first_chunk().copied().unwrap_or_default();
        self.used += key.len();
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_words(key: u32, from: &[u8], to: &mut [u8]) -> usize {
        let (from, to) = (from.as_chunks::<4>().0, to.as_chunks_mut::<4>().0);
        from.iter().zip(&mut *to).for_each(|(from, to)| *to = (u32::from_le_bytes(*from) ^ key).to_le_bytes());
        from.len() * 4
    }

    proptest! {
        #[test]
        fn every_cut_masks_like_the_formula_of_the_rfc(
            key in any::<Key>(),
            start in any::<u32>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 1usize..40,
            is_wide in any::<bool>(),
        ) {
            let plain: Vec<u8> =
                bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(start as usize + i) % 4]).collect();
            // as much as there is in words
            let wide: Wide = if is_wide { by_words } else { |_, _, _| 0 };
            let mut masked = vec![0; bytes.len()];
            let mut at = 0;
            for (from, to) in bytes.chunks(cut).zip(masked.chunks_mut(cut)) {
                copy(wide, key, u64::from(start) + at, from, to);
                at += from.len() as u64;
            }
            prop_assert_eq!(&masked, &plain);
            let mut in_place = bytes.clone();
            apply(turned(key, u64::from(start)).to_le_bytes(), &mut in_place);
            prop_assert_eq!(in_place, plain);
        }
    }

    #[test]
    fn keys_are_fetched_in_bulk_and_each_is_new() {
        fn count(bytes: &mut [u8]) -> io::Result<()> {
            bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
            Ok(())
        }
        let mut keys = Keys::new(count);
        assert_eq!(keys.next().unwrap(), [0, 1, 2, 3]);
        assert_eq!(keys.next().unwrap(), [4, 5, 6, 7]);
        let mut none = Keys::new(|_| Err(io::ErrorKind::Other.into()));
        assert!(none.next().is_err());
    }
}
