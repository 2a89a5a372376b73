//! A few bytes that a connection begins with, said before anything else; then the layer is done and leaves.
//!
//! A PROXY header goes out this way where it may be neither the first thing on the wire (a proxy is asked first) nor a
//! part of what is encrypted: it stands between the two.

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::Error;

/// What is to be said, until it is.
#[derive(Debug)]
pub struct Prologue {
    rest: Box<[u8]>,
    said: usize,
}

impl Prologue {
    /// Says these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Prologue { rest: bytes.into(), said: 0 }
    }
}

impl Layer for Prologue {
    fn decode(&mut self, _: &mut Buffer, _: &mut Buffer) -> Result<(), Error> {
        // an answer to what is yet to be said is for the next layer, once this one has left
        Ok(())
    }

    fn encode(&mut self, _: &[u8], _: &mut Buffer) -> Result<usize, Error> {
        Ok(0)
    }

    fn flush(&mut self, wire: &mut Buffer) {
        self.said += wire.push(&self.rest[self.said..]);
    }

    fn note(&mut self, _: Note) {}

    fn state(&self) -> LayerState {
        if self.said < self.rest.len() { LayerState::Handshaking } else { LayerState::Finished }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::Stack;
    use super::super::testing::Chaos;
    use super::*;

    /// A header that was mixed with what is encrypted, or came behind it, would be understood by nobody.
    #[test]
    fn what_goes_first_is_said_before_the_layers_above_and_as_it_is() {
        let mut stack = Stack::new(vec![Box::new(Chaos::new(5)), Box::new(Prologue::new(*b"PROXY x"))], 64);
        let mut said = Vec::new();
        for _ in 0..4 {
            stack.flush().unwrap();
            if let Some(wire) = stack.outgoing() {
                said.extend_from_slice(wire.filled());
                wire.clear();
            }
        }
        assert_eq!(said, b"PROXY xHI");
        assert!(stack.has_layers() && stack.is_handshaking(), "the peer has not greeted yet");
    }

    /// Bytes that come while it is being said are for the layer above.
    #[test]
    fn what_comes_meanwhile_is_left_for_the_layer_above() {
        let mut stack = Stack::new(vec![Box::new(Prologue::new(*b"PROXY x"))], 64);
        stack.wire_spare()[..3].copy_from_slice(b"abc");
        stack.wire_received(3);
        stack.decode();
        assert!(stack.plain().is_empty());
        stack.flush().unwrap();
        assert_eq!(stack.outgoing().unwrap().filled(), b"PROXY x");
        stack.outgoing().unwrap().clear();
        stack.flush().unwrap();
        assert!(!stack.has_layers());
        assert_eq!(stack.plain().filled(), b"abc");
    }
}
