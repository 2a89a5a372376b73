//! BLAKE3 of a stream that comes in pieces of any size, some of it hashed by another thread.
//!
//! The hash is quickest over whole groups of 16 of its chunks of 1 KiB, which the widest processors take side by side. A
//! piece that begins or ends within a group is hashed in halves, quarters and so on, down to single bytes. So what does
//! not fill a group waits here, copied, for the rest of it.
//!
//! The hash is a tree over these groups, so parts of a long stream can be hashed in any order. What can be kept
//! without a copy ([`Portion::keep`]) is offered to a helper thread; what it has no time for is hashed at once, and so is
//! what it has not come to when the digest is asked for. Nothing is ever waited for.

mod helper;
mod tree;

use blake3::{Hash, Hasher};

use crate::buffer::Portion;
use tree::Tree;

/// The digest of what has come so far.
#[derive(Debug, Default)]
pub struct Digest {
    /// Of the beginning, [`HEAD`] bytes at most. Invariant: it has whole groups only.
    head: Hasher,
    /// Of what follows a whole head. Invariant: it is not empty.
    tree: Option<Box<Tree>>,
    /// The beginning of a group, less than all of it.
    rest: Vec<u8>,
}

impl Digest {
    /// Takes the next bytes of the stream.
    pub fn update<'a>(&mut self, bytes: impl Into<Portion<'a>>) {
        let mut bytes = bytes.into();
        if !self.rest.is_empty() {
            let (missing, behind) = bytes.split_at(bytes.len().min(GROUP - self.rest.len()));
            self.rest.extend_from_slice(&missing);
            bytes = behind;
            if self.rest.len() < GROUP {
                return;
            }
            let mut group = std::mem::take(&mut self.rest);
            self.take(group.as_slice().into());
            group.clear();
            self.rest = group;
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % GROUP);
        self.take(whole);
        self.rest.extend_from_slice(&rest);
    }

    /// Takes whole groups.
    fn take(&mut self, groups: Portion<'_>) {
        let room = HEAD - self.head.count() as usize;
        let (head, behind) = groups.split_at(groups.len().min(room));
        self.head.update(&head);
        if !behind.is_empty() {
            self.tree.get_or_insert_with(|| Box::new(Tree::behind(&self.head))).take(behind);
        }
    }

    /// The digest of everything that has come.
    pub fn finalize(&self) -> Hash {
        match &self.tree {
            None => self.head.clone().update(&self.rest).finalize(),
            Some(tree) => tree.finalize(&self.rest),
        }
    }
}

/// Bytes that are hashed side by side.
const GROUP: usize = 16 * 1024;

/// Bytes with which a stream must begin before another thread is worth its start. Invariant: a power of two, and whole
/// groups.
const HEAD: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::Buffer;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i: usize| (i * 31 / 7) as u8).collect()
    }

    proptest! {
        #[test]
        fn the_digest_does_not_depend_on_the_pieces(
            cuts in proptest::collection::vec(prop_oneof![0usize..100, 16_000usize..17_000, 0usize..70_000], 0..12),
        ) {
            let whole = content(cuts.iter().sum());
            let (mut digest, mut at) = (Digest::default(), 0);
            for cut in cuts {
                digest.update(&whole[at..at + cut]);
                at += cut;
                prop_assert_eq!(digest.finalize(), blake3::hash(&whole[..at]));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the helper thread takes, in time or not.
        #[test]
        fn the_digest_does_not_depend_on_who_hashes(
            cuts in proptest::collection::vec(
                (any::<bool>(), prop_oneof![Just(1 << 18), Just(1 << 17), Just(1 << 14), 0usize..300_000]),
                0..40,
            ),
            asked in 0usize..40,
        ) {
            let whole = content(cuts.iter().map(|(_, cut)| cut).sum());
            let (mut digest, mut at) = (Digest::default(), 0);
            for (step, (shared, cut)) in cuts.into_iter().enumerate() {
                let piece = &whole[at..at + cut];
                let mut buffer = Buffer::new(cut);
                buffer.push(piece);
                match shared {
                    true => digest.update(buffer.portion(0..cut)),
                    false => digest.update(piece),
                }
                // the buffer is used again, and nobody who hashes may see that
                buffer.clear();
                buffer.spare(cut).fill(0xff);
                at += cut;
                if step == asked {
                    prop_assert_eq!(digest.finalize(), blake3::hash(&whole[..at]));
                }
            }
            prop_assert_eq!(digest.finalize(), blake3::hash(&whole[..at]));
        }
    }

    /// The ends of groups, of the head, and of the subtrees behind it.
    #[test]
    fn the_digest_is_right_at_every_seam() {
        let whole = content(HEAD * 4 + 1);
        let seams = [HEAD, HEAD + GROUP, HEAD * 2, HEAD * 2 + GROUP * 3, HEAD * 3, HEAD * 4];
        for length in seams.into_iter().flat_map(|seam| [seam - 1, seam, seam + 1]) {
            for piece in [GROUP, GROUP * 16, GROUP * 16 + 1, length] {
                let mut digest = Digest::default();
                whole[..length].chunks(piece).for_each(|piece| digest.update(piece));
                assert_eq!(digest.finalize(), blake3::hash(&whole[..length]), "{length} by {piece}");
            }
        }
    }

    /// What waits for bytes holds no memory but one piece: the helper gives back what it is done with.
    #[test]
    fn nothing_is_kept_for_long() {
        let (mut digest, whole) = (Digest::default(), content(1 << 18));
        let mut buffers = Vec::new();
        for _ in 0..64 {
            let mut buffer = Buffer::new(whole.len());
            buffer.push(&whole);
            digest.update(buffer.portion(0..whole.len()));
            buffers.push(buffer);
        }
        let begin = std::time::Instant::now();
        while buffers.iter().filter(|buffer| buffer.is_shared()).count() > 1 {
            assert!(begin.elapsed().as_secs() < 20, "the helper keeps what it has hashed");
            std::thread::yield_now();
        }
    }
}
