//! Masking of RFC 6455, section 5.3: every byte is combined with one of four, in turn.
//!
//! The same transform masks and unmasks. It works on words of 16 and 8 bytes, the key turned to where the payload
//! stands, at more than half the speed of a plain copy.

use std::io;

/// The key of one frame.
pub(super) type Key = [u8; 4];

/// Copies `from` to `to`, which are equally long, masked; `position` is where in the payload that is.
pub(super) fn copy(key: Key, position: u64, from: &[u8], to: &mut [u8]) {
    let key = turned(key, position);
    let wide = u128::from_ne_bytes(std::array::from_fn(|i| key[i % 4]));
    let (from_blocks, from_rest) = from.as_chunks::<64>();
    let (to_blocks, to_rest) = to.as_chunks_mut::<64>();
    for (to, from) in to_blocks.iter_mut().zip(from_blocks) {
        // spelled out, since a release is compiled for its size and would not unroll a loop
        if let ([a, b, c, d], [to_a, to_b, to_c, to_d]) = (from.as_chunks().0, to.as_chunks_mut().0) {
            let masked = |bytes: &[u8; 16]| (u128::from_ne_bytes(*bytes) ^ wide).to_ne_bytes();
            (*to_a, *to_b, *to_c, *to_d) = (masked(a), masked(b), masked(c), masked(d));
        }
    }
    let word = u64::from_ne_bytes(std::array::from_fn(|i| key[i % 4]));
    let (from_words, from_rest) = from_rest.as_chunks::<8>();
    let (to_words, to_rest) = to_rest.as_chunks_mut::<8>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        *to = (u64::from_ne_bytes(*from) ^ word).to_ne_bytes();
    }
    for ((to, from), key) in to_rest.iter_mut().zip(from_rest).zip(key.iter().cycle()) {
        *to = from ^ key;
    }
}

/// Masks `bytes` where they are; for the little that a control frame holds.
pub(super) fn apply(key: Key, bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it stands for the byte at `position`.
fn turned(key: Key, position: u64) -> Key {
    let mut turned = key;
    turned.rotate_left((position % 4) as usize);
    turned
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

    proptest! {
        #[test]
        fn every_cut_masks_like_the_formula_of_the_rfc(
            key in any::<Key>(),
            start in any::<u32>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 1usize..40,
        ) {
            let plain: Vec<u8> =
                bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(start as usize + i) % 4]).collect();
            let mut masked = vec![0; bytes.len()];
            let mut at = 0;
            for (from, to) in bytes.chunks(cut).zip(masked.chunks_mut(cut)) {
                copy(key, u64::from(start) + at, from, to);
                at += from.len() as u64;
            }
            prop_assert_eq!(&masked, &plain);
            let mut in_place = bytes.clone();
            apply(turned(key, u64::from(start)), &mut in_place);
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
