//! BLAKE3 of a stream that comes in pieces of any size.
//!
//! The hash is quickest over whole groups of 16 of its chunks of 1 KiB, which the widest processors take side by side. A
//! piece that begins or ends within a group is hashed in halves, quarters and so on, down to single bytes. So what does
//! not fill a group waits here, copied, for the rest of it.

use blake3::{Hash, Hasher};

/// The digest of what has come so far.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Of everything before `rest`. Invariant: it has whole groups only.
    hasher: Hasher,
    /// The beginning of a group, less than all of it.
    rest: Vec<u8>,
}

impl Digest {
    /// Takes the next bytes of the stream.
    pub fn update(&mut self, mut bytes: &[u8]) {
        if !self.rest.is_empty() {
            let missing = bytes.len().min(GROUP - self.rest.len());
            self.rest.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.rest.len() < GROUP {
                return;
            }
            self.hasher.update(&self.rest);
            self.rest.clear();
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % GROUP);
        self.hasher.update(whole);
        self.rest.extend_from_slice(rest);
    }

    /// The digest of everything that has come.
    pub fn finalize(&self) -> Hash {
        self.hasher.clone().update(&self.rest).finalize()
    }
}

/// Bytes that are hashed side by side.
const GROUP: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_digest_does_not_depend_on_the_pieces(
            cuts in proptest::collection::vec(prop_oneof![0usize..100, 16_000usize..17_000, 0usize..70_000], 0..12),
        ) {
            let whole: Vec<u8> = (0..cuts.iter().sum()).map(|i: usize| (i * 31 / 7) as u8).collect();
            let (mut digest, mut at) = (Digest::default(), 0);
            for cut in cuts {
                digest.update(&whole[at..at + cut]);
                at += cut;
                prop_assert_eq!(digest.finalize(), blake3::hash(&whole[..at]));
            }
        }
    }
}
