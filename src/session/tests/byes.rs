//! A protocol whose peers say their end by a byte of its own.

use crate::buffer::Buffer;
use crate::error::Error;
use crate::layer::{HalfClose, Layer, LayerState, Note};

/// It, with what the end of one direction means.
pub(super) struct Byes {
    half_close: HalfClose,
    to_say: bool,
    heard: bool,
}

const BYE: u8 = 4;

impl Byes {
    pub(super) fn new(half_close: HalfClose) -> Self {
        Byes { half_close, to_say: false, heard: false }
    }
}

impl Layer for Byes {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        let count = plain.push(wire.filled().split(|byte| *byte == BYE).next().unwrap_or(&[]));
        self.heard |= wire.filled().contains(&BYE);
        wire.consume(if self.heard { wire.len() } else { count });
        Ok(())
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        Ok(wire.push(plain))
    }

    fn flush(&mut self, wire: &mut Buffer) {
        if std::mem::take(&mut self.to_say) {
            wire.push(&[BYE]);
        }
    }

    fn note(&mut self, note: Note) {
        self.to_say |= matches!(note, Note::PlainClosed);
    }

    fn state(&self) -> LayerState {
        if self.heard { LayerState::PlainEof } else { LayerState::Open }
    }

    fn half_close(&self) -> HalfClose {
        self.half_close
    }
}
