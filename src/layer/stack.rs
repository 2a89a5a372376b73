//! Zero or more layers behind one pair of buffers.
//!
//! ```text
//!   application ◄─ plain ─┤ layer 0 ├─ … ─┤ layer n ├◄─ received ─ transport
//!   application ── encode ►┤ layer 0 ├─ … ─┤ layer n ├─ outgoing ─► transport
//! ```
//!
//! A layer that finishes (a proxy's handshake) leaves: what it did not take becomes the next layer's input, and when
//! the last one has left and the buffers are empty the transport is bare again.

use std::time::Instant;

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::Error;

/// Layers, outermost (nearest to the application) first.
pub struct Stack {
    stages: Vec<Stage>,
    /// Wire bytes received and not yet decoded.
    received: Buffer,
    /// What is left to read after the last layer has left, and nothing else.
    leftover: Buffer,
    /// The first error, told after what was decoded before it.
    failed: Option<Error>,
    /// The transport has ended.
    wire_ended: bool,
    /// The application has nothing more to send.
    plain_closed: bool,
}

struct Stage {
    layer: Box<dyn Layer>,
    /// What this layer decoded and the next one outwards (or the application) has not taken.
    plain: Buffer,
    /// What this layer encoded and the next one inwards (or the transport) has not taken.
    wire: Buffer,
    /// It was told that no more wire bytes come.
    told_wire_end: bool,
    /// It was told that no more application bytes come.
    told_plain_end: bool,
}

impl Stage {
    fn new(layer: Box<dyn Layer>, capacity: usize) -> Self {
        let (plain, wire) = (Buffer::new(capacity), Buffer::new(capacity));
        Stage { layer, plain, wire, told_wire_end: false, told_plain_end: false }
    }

    fn tell_wire_end(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.told_wire_end, true);
        if first {
            self.layer.note(Note::WireEof);
        }
        first
    }

    fn tell_plain_end(&mut self) {
        if !std::mem::replace(&mut self.told_plain_end, true) {
            self.layer.note(Note::PlainClosed);
        }
    }

    /// Has nothing more to say now, even when there is room.
    fn is_silent(&mut self) -> bool {
        self.layer.flush(&mut self.wire);
        self.wire.is_empty()
    }

    /// Nothing more will be read out of it.
    fn has_ended(&self) -> bool {
        self.plain.is_empty() && (self.told_wire_end || self.layer.state() == LayerState::PlainEof)
    }
}

impl Stack {
    /// A stack of these layers with `capacity` bytes of buffer at each seam: twice the largest record that a layer takes
    /// or gives only as a whole, since one may have to fit behind the incomplete rest of another.
    pub fn new(layers: Vec<Box<dyn Layer>>, capacity: usize) -> Self {
        let stages = layers.into_iter().map(|layer| Stage::new(layer, capacity)).collect();
        let (received, leftover) = (Buffer::new(capacity), Buffer::new(0));
        Stack { stages, received, leftover, failed: None, wire_ended: false, plain_closed: false }
    }

    /// True when nothing stands between the application and the transport any more.
    pub fn is_bare(&self) -> bool {
        self.stages.is_empty() && self.leftover.is_empty() && self.failed.is_none()
    }

    /// False once every layer has left, although something may be left to read.
    pub fn has_layers(&self) -> bool {
        !self.stages.is_empty()
    }

    /// Room for bytes from the transport; empty while earlier ones wait for the application.
    pub fn wire_spare(&mut self) -> &mut [u8] {
        self.received.spare(usize::MAX)
    }

    /// Declares that the first `count` bytes of [`Stack::wire_spare`] came from the transport.
    pub fn wire_received(&mut self, count: usize) {
        self.received.fill(count);
    }

    /// Tells the layers that the transport has ended: the innermost at once, each other one when the one inwards of it
    /// has nothing more for it.
    pub fn wire_ended(&mut self) {
        self.decode();
        self.wire_ended = true;
        self.decode();
    }

    /// Passes the end of the wire on to the next layer that should know it; true if there was one.
    fn pass_wire_end(&mut self) -> bool {
        let mut ended = self.wire_ended;
        for stage in self.stages.iter_mut().rev() {
            if ended && stage.tell_wire_end() {
                return true;
            }
            ended = stage.has_ended();
        }
        false
    }

    /// Lets every layer take what the one inwards of it has; an error is kept for [`Stack::take_failure`].
    pub fn decode(&mut self) {
        loop {
            let before = self.pending();
            for i in (0..self.stages.len()).rev() {
                let (outer, inner) = self.stages.split_at_mut(i + 1);
                let Some(stage) = outer.last_mut() else { break };
                let wire = inner.first_mut().map_or(&mut self.received, |next| &mut next.plain);
                if let Err(error) = stage.layer.decode(wire, &mut stage.plain) {
                    self.failed.get_or_insert(error);
                }
            }
            self.drop_finished();
            if self.failed.is_some() || self.pending() == before && !self.pass_wire_end() {
                return;
            }
        }
    }

    fn pending(&self) -> (usize, usize, usize) {
        (self.stages.len(), self.received.len(), self.stages.iter().map(|stage| stage.plain.len()).sum())
    }

    /// Takes out layers that are done, once what they decoded and encoded has been taken. What they left undecoded
    /// already stands where the next layer outwards looks for it.
    fn drop_finished(&mut self) {
        while let Some(i) = self.stages.iter().position(|stage| {
            stage.layer.state() == LayerState::Finished && stage.plain.is_empty() && stage.wire.is_empty()
        }) {
            if self.stages.len() == 1 {
                self.leftover = std::mem::replace(&mut self.received, Buffer::new(0));
            }
            self.stages.remove(i);
        }
    }

    /// Application bytes ready to be read.
    pub fn plain(&mut self) -> &mut Buffer {
        match self.stages.first_mut() {
            Some(stage) => &mut stage.plain,
            None => &mut self.leftover,
        }
    }

    /// Takes application bytes; how many were taken, 0 while there is no room or a handshake is under way.
    ///
    /// # Errors
    /// The layer cannot send any more.
    pub fn encode(&mut self, plain: &[u8]) -> Result<usize, Error> {
        // one that has finished is on its way out: what follows its last words is not for it
        let open = |stage: &&mut Stage| stage.layer.state() != LayerState::Finished;
        let Some(first) = self.stages.first_mut().filter(open) else { return Ok(0) };
        let taken = first.layer.encode(plain, &mut first.wire)?;
        self.flush()?;
        Ok(taken)
    }

    /// Carries everything that layers have to say inwards.
    ///
    /// # Errors
    /// A layer cannot send what the one outwards of it encoded.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut closed = self.plain_closed;
        for i in 0..self.stages.len() {
            let (outer, inner) = self.stages.split_at_mut(i);
            let Some(stage) = inner.first_mut() else { break };
            if let Some(before) = outer.last_mut().filter(|_| stage.told_plain_end) {
                // an answer to what came after its last words has no way out any more
                before.wire.clear();
            } else if let Some(before) = outer.last_mut()
                && stage.layer.state() != LayerState::Finished
            {
                let taken = stage.layer.encode(before.wire.filled(), &mut stage.wire)?;
                before.wire.consume(taken);
            }
            if closed && outer.last_mut().is_none_or(Stage::is_silent) {
                stage.tell_plain_end();
            }
            stage.layer.flush(&mut stage.wire);
            // the next one inwards hears of it when it has taken what this one has said last
            closed = stage.told_plain_end && stage.layer.state() != LayerState::Handshaking;
        }
        self.drop_finished();
        Ok(())
    }

    /// Bytes for the transport.
    pub fn outgoing(&mut self) -> Option<&mut Buffer> {
        self.stages.last_mut().map(|stage| &mut stage.wire)
    }

    /// Bytes that wait to be written to the transport, as they stand between the layers.
    pub fn unflushed(&self) -> usize {
        self.stages.iter().map(|stage| stage.wire.len()).sum()
    }

    /// The application has nothing more to send. Each layer says so in turn as they are flushed, the outermost first.
    pub fn close_plain(&mut self) {
        self.plain_closed = true;
    }

    /// True once every layer has said that no more comes, and the transport has taken it.
    pub fn is_closed(&self) -> bool {
        self.stages.iter().all(|stage| stage.told_plain_end)
            && self.stages.last().is_none_or(|stage| stage.wire.is_empty())
            && !self.is_handshaking()
    }

    /// True once the peer has said that no more application bytes come.
    pub fn is_plain_ended(&self) -> bool {
        self.stages.first().is_some_and(|stage| stage.layer.state() == LayerState::PlainEof && stage.plain.is_empty())
    }

    /// True while payload cannot pass because a layer waits for its peer.
    pub fn is_handshaking(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.state() == LayerState::Handshaking)
    }

    /// True while a layer that has finished still has its last words to get rid of: what it left is not readable before.
    pub fn is_leaving(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.state() == LayerState::Finished)
    }

    /// What the layers can do about the end of the application's bytes.
    pub fn half_close(&self) -> HalfClose {
        match self.stages.iter().all(|stage| stage.layer.half_close() == HalfClose::Supported) {
            true => HalfClose::Supported,
            false => HalfClose::EndsBoth,
        }
    }

    /// The first error, once everything decoded before it has been read.
    pub fn take_failure(&mut self) -> Option<Error> {
        if self.plain().is_empty() { self.failed.take() } else { None }
    }

    /// When a layer wants to be told the time.
    pub fn deadline(&self) -> Option<Instant> {
        self.stages.iter().filter_map(|stage| stage.layer.deadline()).min()
    }

    /// Tells the time to the layers that asked for it.
    pub fn tick(&mut self, now: Instant) {
        for stage in &mut self.stages {
            if stage.layer.deadline().is_some_and(|at| at <= now) {
                stage.layer.note(Note::Tick(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Chaos;
    use super::*;

    /// Two stacks and the wire between them, cut as `cuts` says.
    struct Pair {
        sides: [Stack; 2],
        read: [Vec<u8>; 2],
        cuts: Vec<usize>,
        turn: usize,
    }

    impl Pair {
        fn new(layers: impl Fn() -> Vec<Box<dyn Layer>>, cuts: Vec<usize>) -> Self {
            Pair {
                sides: [Stack::new(layers(), 300), Stack::new(layers(), 300)],
                read: [vec![], vec![]],
                cuts,
                turn: 0,
            }
        }

        fn cut(&mut self) -> usize {
            self.turn += 1;
            self.cuts[self.turn % self.cuts.len()]
        }

        /// Carries a few bytes of what `from` has to say to the other side; how many.
        fn carry(&mut self, from: usize) -> usize {
            let most = self.cut();
            let [a, b] = &mut self.sides;
            let (from, to, read) = if from == 0 { (a, b, &mut self.read[1]) } else { (b, a, &mut self.read[0]) };
            from.flush().unwrap();
            let mut count = 0;
            if let Some(wire) = from.outgoing() {
                let spare = to.wire_spare();
                count = wire.len().min(most).min(spare.len());
                spare[..count].copy_from_slice(&wire.filled()[..count]);
                to.wire_received(count);
                wire.consume(count);
            }
            to.decode();
            let plain = to.plain();
            read.extend_from_slice(plain.filled());
            plain.clear();
            count
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_chunking_gives_the_same_bytes_both_ways(
            data in proptest::collection::vec(any::<u8>(), 0..600),
            cuts in proptest::collection::vec(1usize..50, 1..20),
            record in 1usize..140,
            depth in 1usize..4,
            greeting in any::<bool>(),
        ) {
            let layers = || -> Vec<Box<dyn Layer>> {
                let mut layers: Vec<Box<dyn Layer>> = Vec::new();
                for _ in 0..depth {
                    layers.push(Box::new(Chaos::new(record)));
                }
                if greeting {
                    layers.push(Box::new(Chaos::greeting()));
                }
                layers
            };
            let mut pair = Pair::new(layers, cuts);
            let mut sent = [0, 0];
            let mut closed = [false, false];
            let mut idle = 0;
            for side in [0, 1].into_iter().cycle() {
                prop_assert!(idle < 100, "nothing moves any more: {:?} of {}", pair.read.each_ref().map(Vec::len), data.len());
                let most = pair.cut();
                let end = data.len().min(sent[side] + most);
                let taken = pair.sides[side].encode(&data[sent[side]..end]).unwrap();
                sent[side] += taken;
                if sent[side] == data.len() && !closed[side] {
                    closed[side] = true;
                    pair.sides[side].close_plain();
                }
                idle = if taken + pair.carry(side) > 0 { 0 } else { idle + 1 };
                if (0..2).all(|side| closed[side] && pair.sides[side].is_plain_ended()) {
                    break;
                }
            }
            prop_assert_eq!(&pair.read[0], &data);
            prop_assert_eq!(&pair.read[1], &data);
        }
    }

    #[test]
    fn a_handshake_that_finishes_leaves_and_its_leftover_is_payload() {
        let mut stack = Stack::new(vec![Box::new(Chaos::greeting())], 64);
        stack.flush().unwrap();
        assert_eq!(stack.outgoing().unwrap().filled(), b"HI");
        stack.outgoing().unwrap().clear();
        let glued = b"HIglued to the answer";
        stack.wire_spare()[..glued.len()].copy_from_slice(glued);
        stack.wire_received(glued.len());
        stack.decode();
        assert_eq!(stack.plain().filled(), b"glued to the answer");
        assert!(!stack.is_bare());
        stack.plain().clear();
        assert!(stack.is_bare());
    }

    #[test]
    fn an_error_is_told_after_what_was_decoded_before_it() {
        let mut stack = Stack::new(vec![Box::new(Chaos::new(9))], 64);
        stack.wire_spare()[..3].copy_from_slice(b"NO!");
        stack.wire_received(3);
        stack.decode();
        assert!(stack.take_failure().is_some());
    }
}
