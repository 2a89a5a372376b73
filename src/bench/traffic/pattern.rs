//! A payload that tells where it belongs: the same bytes in every run, with a period that no block has.

/// The bytes of a stream that is checked.
#[derive(Debug)]
pub struct Pattern {
    /// One period and a block more, so that a block can be taken from anywhere.
    bytes: Box<[u8]>,
}

impl Pattern {
    /// For blocks of at most `block` bytes.
    pub fn new(block: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            // xorshift64*: good enough that no shifted copy agrees
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        };
        let period: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        let bytes = period.iter().copied().cycle().take(PERIOD + block.max(PERIOD));
        Pattern { bytes: bytes.collect() }
    }

    /// At most `most` bytes from this place of the stream on.
    pub fn at(&self, offset: u64, most: usize) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        let end = (start + most).min(self.bytes.len());
        &self.bytes[start..end]
    }

    /// True if these are the bytes from this place on.
    pub fn agrees(&self, offset: u64, mut bytes: &[u8]) -> bool {
        let mut at = offset;
        while !bytes.is_empty() {
            let expected = self.at(at, bytes.len());
            let (head, tail) = bytes.split_at(expected.len());
            if head != expected {
                return false;
            }
            at += head.len() as u64;
            bytes = tail;
        }
        true
    }
}

/// A prime, so that it divides no block.
const PERIOD: usize = 65_521;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_agrees_with_itself_in_any_pieces_and_with_nothing_else() {
        let pattern = Pattern::new(1000);
        let mut stream = Vec::new();
        while stream.len() < 200_000 {
            let piece = pattern.at(stream.len() as u64, 1000).to_vec();
            stream.extend(piece);
        }
        for size in [1, 7, 65_521, 150_000] {
            let mut at = 0;
            for piece in stream.chunks(size) {
                assert!(pattern.agrees(at as u64, piece), "{size} at {at}");
                at += piece.len();
            }
        }
        assert!(!pattern.agrees(1, &stream[..100]));
        stream[70_000] ^= 1;
        assert!(!pattern.agrees(0, &stream));
    }
}
