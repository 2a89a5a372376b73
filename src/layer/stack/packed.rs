//! A stack on its way to another thread. Its buffers may borrow from a pool of the thread that it comes from: what is in
//! them goes along as plain bytes.

use zeroize::Zeroizing;

use super::{Stack, Stage};
use crate::buffer::Buffer;
use crate::error::Error;
use crate::layer::Layer;

/// A stack that nobody uses at the moment.
pub struct Packed {
    stages: Vec<Case>,
    received: Content,
    leftover: Content,
    failed: Option<Error>,
    wire_ended: bool,
    plain_closed: bool,
}

struct Case {
    layer: Box<dyn Layer>,
    plain: Content,
    wire: Content,
    told_wire_end: bool,
    told_plain_end: bool,
}

/// What a buffer of some capacity holds.
struct Content {
    capacity: usize,
    /// Perhaps a password.
    bytes: Zeroizing<Vec<u8>>,
}

impl Content {
    fn of(buffer: &Buffer) -> Self {
        Content { capacity: buffer.capacity(), bytes: Zeroizing::new(buffer.filled().to_vec()) }
    }

    fn unpack(self) -> Buffer {
        let mut buffer = Buffer::new(self.capacity);
        buffer.push(&self.bytes);
        buffer
    }
}

impl Stack {
    /// Makes it ready to go to another thread.
    pub fn pack(mut self) -> Box<Packed> {
        let case = |mut stage: Stage| {
            let (plain, wire) = (Content::of(&stage.plain), Content::of(&stage.wire));
            stage.wipe();
            let Stage { layer, told_wire_end, told_plain_end, .. } = stage;
            Case { layer, plain, wire, told_wire_end, told_plain_end }
        };
        Box::new(Packed {
            stages: std::mem::take(&mut self.stages).into_iter().map(case).collect(),
            received: Content::of(&self.received),
            leftover: Content::of(&self.leftover),
            failed: self.failed.take(),
            wire_ended: self.wire_ended,
            plain_closed: self.plain_closed,
        })
    }
}

impl Packed {
    /// The stack as it was, with buffers of its own.
    pub fn unpack(self) -> Stack {
        let stage = |case: Case| Stage {
            layer: case.layer,
            plain: case.plain.unpack(),
            wire: case.wire.unpack(),
            told_wire_end: case.told_wire_end,
            told_plain_end: case.told_plain_end,
        };
        Stack {
            stages: self.stages.into_iter().map(stage).collect(),
            received: self.received.unpack(),
            leftover: self.leftover.unpack(),
            failed: self.failed,
            wire_ended: self.wire_ended,
            plain_closed: self.plain_closed,
            is_lent: false,
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} layers)", self.stages.len())
    }
}
