//! LF to CRLF on the way to the peer (`-C`), for line protocols typed by hand or written by Unix tools.
//!
//! A CR is put before each LF that has none: what is CRLF already stays as it is, wherever the chunks part. What the
//! peer sends passes as it came. The layer has no protocol of its own: the ends of both directions are those of the
//! transport, or of the layer inwards of it.

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::Error;

/// The transform of one direction. Its wire buffer must hold at least 2 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crlf {
    /// What went out last was a CR: an LF that comes next has the one it needs.
    after_cr: bool,
}

impl Crlf {
    /// Nothing has gone out yet.
    pub fn new() -> Self {
        Crlf::default()
    }

    /// Appends to `wire` what becomes of `plain`, for whoever wants to see it as the peer does.
    pub fn append(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        self.convert(plain, |bytes| {
            wire.extend_from_slice(bytes);
            bytes.len()
        });
    }

    /// Gives what becomes of `plain` to `put`, which says how many bytes it took; how many bytes of `plain` that were.
    /// A CR may go out before its LF is taken: the LF comes again, and then has it.
    fn convert(&mut self, plain: &[u8], mut put: impl FnMut(&[u8]) -> usize) -> usize {
        let mut taken = 0;
        while taken < plain.len() {
            let same = &plain[taken..taken + self.unchanged(&plain[taken..])];
            if same.is_empty() {
                if put(b"\r") == 0 {
                    break;
                }
                self.after_cr = true;
                continue;
            }
            let count = put(same);
            self.after_cr = if count > 0 { same[count - 1] == b'\r' } else { self.after_cr };
            taken += count;
            if count < same.len() {
                break;
            }
        }
        taken
    }

    /// How many bytes at the front of `plain` go out as they are: those before the first LF without a CR.
    fn unchanged(&self, plain: &[u8]) -> usize {
        let mut after_cr = self.after_cr;
        let is_bare = |byte: &u8| {
            *byte == b'\n' && !after_cr || {
                after_cr = *byte == b'\r';
                false
            }
        };
        plain.iter().position(is_bare).unwrap_or(plain.len())
    }
}

impl Layer for Crlf {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        let taken = plain.push(wire.filled());
        wire.consume(taken);
        Ok(())
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        Ok(self.convert(plain, |bytes| wire.push(bytes)))
    }

    fn flush(&mut self, _: &mut Buffer) {}

    fn note(&mut self, _: Note) {}

    fn state(&self) -> LayerState {
        LayerState::Open
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::stack::Stack;
    use super::*;

    /// What goes out when `plain` is given to a stack of `capacity` bytes in pieces, and the wire taken in pieces.
    fn sent(plain: &[u8], capacity: usize, cuts: &[usize]) -> Vec<u8> {
        let mut stack = Stack::new(vec![Box::new(Crlf::new())], capacity);
        let (mut given, mut out, mut cuts) = (0, Vec::new(), cuts.iter().cycle());
        let mut cut = || *cuts.next().unwrap();
        while given < plain.len() || stack.unflushed() > 0 {
            let end = plain.len().min(given + cut());
            given += stack.encode(&plain[given..end]).unwrap();
            let wire = stack.outgoing().unwrap();
            let count = wire.len().min(cut());
            out.extend_from_slice(&wire.filled()[..count]);
            wire.consume(count);
        }
        out
    }

    /// The rule in its plainest form.
    fn with_crlf(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in plain {
            if *byte == b'\n' && out.last() != Some(&b'\r') {
                out.push(b'\r');
            }
            out.push(*byte);
        }
        out
    }

    proptest! {
        #[test]
        fn every_chunking_sends_the_same_bytes(
            plain in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..300),
            capacity in 2usize..40,
            cuts in proptest::collection::vec(1usize..20, 1..12),
        ) {
            prop_assert_eq!(sent(&plain, capacity, &cuts), with_crlf(&plain));
            let mut seen = Vec::new();
            let mut crlf = Crlf::new();
            for chunk in plain.chunks(cuts[0]) {
                crlf.append(chunk, &mut seen);
            }
            prop_assert_eq!(seen, with_crlf(&plain));
        }

        #[test]
        fn what_is_received_is_not_changed(wire in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..40) {
            let mut stack = Stack::new(vec![Box::new(Crlf::new())], 16);
            let (mut given, mut read) = (0, Vec::new());
            while read.len() < wire.len() {
                let spare = stack.wire_spare();
                let count = spare.len().min(cut).min(wire.len() - given);
                spare[..count].copy_from_slice(&wire[given..given + count]);
                stack.wire_received(count);
                given += count;
                stack.decode();
                read.extend_from_slice(stack.plain().filled());
                stack.plain().clear();
            }
            prop_assert_eq!(read, wire);
        }
    }

    #[test]
    fn a_cr_of_its_own_is_never_doubled() {
        for (plain, wire) in [
            (&b"a\nb\n"[..], &b"a\r\nb\r\n"[..]),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"\n\n\r\n\r\r\n", b"\r\n\r\n\r\n\r\r\n"),
            (b"no end", b"no end"),
        ] {
            for cut in 1..4 {
                assert_eq!(sent(plain, 2, &[cut]), wire);
            }
        }
    }
}
