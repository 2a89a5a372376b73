//! Ends made of nothing, for tests and measurements: `null: echo: discard: zero: random: text:`.

use std::collections::VecDeque;
use std::io;

/// A stand-in for a peer.
#[derive(Debug)]
pub struct Synthetic {
    source: Source,
    /// The other direction was closed: `echo:` ends once it is empty, `discard:` at once.
    closed: bool,
}

/// Where a synthetic end's bytes come from.
#[derive(Debug)]
enum Source {
    /// Nothing, ended from the start.
    Null,
    /// Nothing, ended when the other direction is.
    Discard,
    /// What was written.
    Echo(VecDeque<u8>),
    /// Zero bytes without end.
    Zero,
    /// A reproducible stream without end: xorshift64* (Vigna 2016), eight bytes a step, little-endian.
    Random { state: u64, left: VecDeque<u8> },
    /// These bytes, from `at` on.
    Text { bytes: Vec<u8>, at: usize },
}

impl Synthetic {
    /// `null:`
    pub fn null() -> Self {
        Source::Null.into()
    }

    /// `discard:`
    pub fn discard() -> Self {
        Source::Discard.into()
    }

    /// `echo:`
    pub fn echo() -> Self {
        Source::Echo(VecDeque::new()).into()
    }

    /// `zero:`
    pub fn zero() -> Self {
        Source::Zero.into()
    }

    /// `random,seed=N:`; the same seed gives the same bytes on every machine.
    pub fn random(seed: u64) -> Self {
        // xorshift has no way out of state 0, and near seeds should not give near streams
        let state = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
        Source::Random { state, left: VecDeque::new() }.into()
    }

    /// `text:`
    pub fn text(bytes: Vec<u8>) -> Self {
        Source::Text { bytes, at: 0 }.into()
    }

    /// True if what is written is read back, so that dropping it unseen would be wrong.
    pub(super) fn echoes(&self) -> bool {
        matches!(self.source, Source::Echo(_))
    }

    /// Gives what comes next. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// WouldBlock while an echo has nothing to say.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Null => Ok(0),
            Source::Discard if self.closed => Ok(0),
            Source::Discard => Err(io::ErrorKind::WouldBlock.into()),
            Source::Echo(queue) if queue.is_empty() && !self.closed => Err(io::ErrorKind::WouldBlock.into()),
            Source::Echo(queue) => io::Read::read(queue, buffer),
            Source::Zero => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            Source::Random { state, left } => {
                generate(state, left, buffer);
                Ok(buffer.len())
            }
            Source::Text { bytes, at } => {
                let count = buffer.len().min(bytes.len() - *at);
                buffer[..count].copy_from_slice(&bytes[*at..*at + count]);
                *at += count;
                Ok(count)
            }
        }
    }

    /// Takes what it likes.
    ///
    /// # Errors
    /// WouldBlock while an echo is full.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Source::Echo(queue) = &mut self.source else { return Ok(bytes.len()) };
        let room = ECHO_CAPACITY - queue.len().min(ECHO_CAPACITY);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(room);
        queue.extend(&bytes[..count]);
        Ok(count)
    }

    /// The other direction has ended.
    pub(super) fn close_write(&mut self) {
        self.closed = true;
    }
}

impl From<Source> for Synthetic {
    fn from(source: Source) -> Self {
        Synthetic { source, closed: false }
    }
}

/// Fills `buffer`, keeping the rest of the last step in `left`, so that the cuts between reads do not show.
fn generate(state: &mut u64, left: &mut VecDeque<u8>, buffer: &mut [u8]) {
    let mut rest = buffer;
    while let (Some(first), Some(byte)) = (rest.first_mut(), left.front()) {
        *first = *byte;
        left.pop_front();
        rest = &mut std::mem::take(&mut rest)[1..];
    }
    let mut chunks = rest.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.copy_from_slice(&step(state));
    }
    let tail = chunks.into_remainder();
    if !tail.is_empty() {
        let bytes = step(state);
        tail.copy_from_slice(&bytes[..tail.len()]);
        left.extend(&bytes[tail.len()..]);
    }
}

fn step(state: &mut u64) -> [u8; 8] {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
}

/// Bytes that an echo holds before it makes its writer wait.
const ECHO_CAPACITY: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_stream_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 1000];
        Synthetic::random(1).read(&mut whole).unwrap();
        let (mut cut, mut at, mut size) = ([0; 1000], 0, 1);
        let mut source = Synthetic::random(1);
        while at < cut.len() {
            let end = cut.len().min(at + size);
            source.read(&mut cut[at..end]).unwrap();
            (at, size) = (end, size % 13 + 1);
        }
        assert_eq!(whole, cut);
        let mut other = [0; 1000];
        Synthetic::random(2).read(&mut other).unwrap();
        assert_ne!(whole, other);
    }

    #[test]
    fn an_echo_gives_back_what_it_took_and_ends_after_it() {
        let mut echo = Synthetic::echo();
        let mut buffer = [0; 4];
        assert_eq!(echo.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(echo.write(b"hello").unwrap(), 5);
        echo.close_write();
        assert_eq!((echo.read(&mut buffer).unwrap(), &buffer), (4, b"hell"));
        assert_eq!(echo.read(&mut buffer).unwrap(), 1);
        assert_eq!(echo.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn an_echo_that_is_full_makes_its_writer_wait() {
        let mut echo = Synthetic::echo();
        assert_eq!(echo.write(&vec![0; ECHO_CAPACITY + 1]).unwrap(), ECHO_CAPACITY);
        assert_eq!(echo.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
