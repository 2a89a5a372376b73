//! Zero or more layers behind one pair of buffers.
//!
//! ```text
//!   application ◄─ plain ─┤ layer 0 ├─ … ─┤ layer n ├◄─ received ─ transport
//!   application ── encode ►┤ layer 0 ├─ … ─┤ layer n ├─ outgoing ─► transport
//! ```
//!
//! A layer that finishes (a proxy's handshake) leaves: what it did not take becomes the next layer's input, and when
//! the last one has left and the buffers are empty the transport is bare again.

mod packed;

use std::rc::Rc;
use std::time::Instant;

use super::tls::Summary;
use super::{HalfClose, Layer, LayerState, Note, Receipts};
use crate::buffer::{Buffer, Pool, Portion};
use crate::error::Error;
pub use packed::Packed;

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
    /// The outermost layer decodes into a buffer of somebody else's, so that nobody may leave.
    is_lent: bool,
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

    fn has_failed(&self) -> bool {
        self.layer.state() == LayerState::Failed
    }

    /// Nothing more will be read out of it.
    fn has_ended(&self) -> bool {
        self.plain.is_empty() && (self.told_wire_end || self.layer.state() == LayerState::PlainEof)
    }

    /// It goes, and what must not stay in memory with it.
    fn wipe(&mut self) {
        if self.layer.has_secrets() {
            self.wire.wipe();
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stages.iter_mut().for_each(Stage::wipe);
    }
}

impl Stack {
    /// A stack of these layers with `capacity` bytes of buffer at each seam, or what a layer asks for if that is more:
    /// twice the largest record that a layer takes or gives only as a whole, since one may have to fit behind the
    /// incomplete rest of another.
    pub fn new(layers: Vec<Box<dyn Layer>>, capacity: usize) -> Self {
        let capacity = layers.iter().map(|layer| layer.seam()).fold(capacity, usize::max);
        let stages = layers.into_iter().map(|layer| Stage::new(layer, capacity)).collect();
        let (received, leftover) = (Buffer::new(capacity), Buffer::new(0));
        Stack { stages, received, leftover, failed: None, wire_ended: false, plain_closed: false, is_lent: false }
    }

    /// From now on the buffers of a seam borrow their memory from a pool, where it has some of their size.
    pub fn borrow_from(&mut self, pool: &Rc<Pool>) {
        let seams = self.stages.iter_mut().flat_map(|stage| [&mut stage.plain, &mut stage.wire]);
        seams.chain([&mut self.received]).for_each(|buffer| buffer.borrow_from(pool));
    }

    /// Gives back the memory of those buffers that have nothing in them.
    pub fn rest(&mut self) {
        let seams = self.stages.iter_mut().flat_map(|stage| [&mut stage.plain, &mut stage.wire]);
        seams.chain([&mut self.received]).for_each(Buffer::rest);
    }

    /// Lets the layers take what was received, as [`Stack::decode`] does, and the outermost put what comes of it straight
    /// into `buffer`, which has to be empty; how many bytes that was. Layers want room for what they take as a whole: a
    /// buffer that has little gets nothing, and what comes is found in [`Stack::plain`].
    pub fn decode_into(&mut self, buffer: &mut Buffer) -> usize {
        let is_fit = buffer.is_empty() && buffer.capacity() >= LEAST_DIRECT;
        let Some(first) = self.stages.first_mut().filter(|first| is_fit && first.plain.is_empty()) else {
            self.decode();
            return 0;
        };
        std::mem::swap(&mut first.plain, buffer);
        self.is_lent = true;
        self.decode();
        self.is_lent = false;
        if let Some(first) = self.stages.first_mut() {
            std::mem::swap(&mut first.plain, buffer);
        }
        self.drop_finished();
        buffer.len()
    }

    /// Puts these layers (outermost first) on top of those that are there, whose application is now the last of them.
    /// What was decoded and not read yet is decoded by them.
    pub fn cover(&mut self, layers: Vec<Box<dyn Layer>>, capacity: usize) {
        if self.stages.is_empty() && !layers.is_empty() {
            let mut received = Buffer::new(capacity.max(self.leftover.len()));
            received.push(self.leftover.filled());
            (self.received, self.leftover) = (received, Buffer::new(0));
        }
        let covering: Vec<Stage> = layers.into_iter().map(|layer| Stage::new(layer, capacity)).collect();
        self.stages.splice(0..0, covering);
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
        if self.is_lent {
            return;
        }
        while let Some(i) = self.stages.iter().position(|stage| {
            stage.layer.state() == LayerState::Finished && stage.plain.is_empty() && stage.wire.is_empty()
        }) {
            if self.stages.len() == 1 {
                self.leftover = std::mem::replace(&mut self.received, Buffer::new(0));
            }
            self.stages.remove(i).wipe();
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
        // what is told of a layer concerns all that stand on it
        let cut = self.stages.iter_mut().skip(1).find(|stage| stage.has_failed());
        if let Some(cut) = cut.filter(|_| self.failed.is_none()) {
            return cut.layer.encode(plain, &mut cut.wire);
        }
        let Some(first) = self.stages.first_mut().filter(open) else { return Ok(0) };
        let taken = first.layer.encode(plain, &mut first.wire)?;
        self.flush()?;
        Ok(taken)
    }

    /// Carries everything that layers have to say inwards; what has no way past a layer that has failed is dropped.
    ///
    /// # Errors
    /// A layer cannot send what the one outwards of it encoded.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut closed = self.plain_closed;
        for i in 0..self.stages.len() {
            let (outer, inner) = self.stages.split_at_mut(i);
            let Some(stage) = inner.first_mut() else { break };
            // once it is told why a layer has failed, all that is waited for are its own last words
            let is_cut = stage.has_failed() && self.failed.is_none();
            if let Some(before) = outer.last_mut().filter(|_| stage.told_plain_end || is_cut) {
                // an answer to what came after its last words has no way out any more
                before.wire.clear();
            } else if let Some(before) = outer.last_mut()
                && !matches!(stage.layer.state(), LayerState::Finished | LayerState::Failed)
            {
                let taken = stage.layer.encode(before.wire.filled(), &mut stage.wire)?;
                before.wire.consume(taken);
            }
            if closed && outer.last_mut().is_none_or(Stage::is_silent) {
                stage.tell_plain_end();
            }
            stage.layer.flush(&mut stage.wire);
            // the next one inwards hears of it when it has taken what this one has said last
            let settled = stage.layer.receipts().is_none_or(|receipts| !receipts.awaited && !receipts.owed);
            closed = stage.told_plain_end && stage.layer.state() != LayerState::Handshaking && settled;
        }
        self.drop_finished();
        Ok(())
    }

    /// Bytes for the transport.
    pub fn outgoing(&mut self) -> Option<&mut Buffer> {
        self.stages.last_mut().map(|stage| &mut stage.wire)
    }

    /// Bytes that wait to be written to the transport, as they stand between the layers; not those that a layer which has
    /// failed will never let through.
    pub fn unflushed(&self) -> usize {
        let first = self.stages.iter().rposition(Stage::has_failed).unwrap_or(0);
        self.stages[first..].iter().map(|stage| stage.wire.len()).sum()
    }

    /// The application has nothing more to send. Each layer says so in turn as they are flushed, the outermost first.
    pub fn close_plain(&mut self) {
        self.plain_closed = true;
    }

    /// True once every layer has said that no more comes, the transport has taken it, and the peer has answered or
    /// confirmed it where that is asked for.
    pub fn is_closed(&self) -> bool {
        self.stages.iter().all(|stage| stage.told_plain_end && stage.layer.is_settled())
            && self.stages.last().is_none_or(|stage| stage.wire.is_empty())
            && !self.is_handshaking()
            && self.receipts().is_none_or(|receipts| !receipts.awaited)
    }

    /// True once a layer and its peer agree that this is no orderly end, and the transport has taken what is said of it.
    pub fn is_failure_told(&self) -> bool {
        let said = self.stages.iter().rposition(|stage| stage.layer.is_failure_told());
        said.is_some_and(|first| self.stages[first..].iter().all(|stage| stage.wire.is_empty()))
    }

    /// True if the peer hears of the end of our bytes without that of the transport.
    pub fn says_end(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.says_end())
    }

    /// True while the peer has yet to answer the end that was said to it.
    pub fn awaits_answer(&self) -> bool {
        self.stages.iter().any(|stage| stage.told_plain_end && !stage.layer.is_settled())
    }

    /// False while a peer may still refuse us altogether, and if it did.
    pub fn is_accepted(&self) -> bool {
        self.stages.iter().all(|stage| stage.layer.is_accepted())
    }

    /// True once the peer has said that no more application bytes come, and those that came were read. The layer that
    /// was told so need not be the outermost.
    pub fn is_plain_ended(&self) -> bool {
        let Some(told) = self.stages.iter().position(|stage| stage.layer.state() == LayerState::PlainEof) else {
            return false;
        };
        let passes = |stage: &Stage| stage.told_wire_end && stage.layer.state() == LayerState::Open;
        self.stages[..=told].iter().all(|stage| stage.plain.is_empty()) && self.stages[..told].iter().all(passes)
    }

    /// True once a layer's peer has said that no more comes, whatever has been read of it.
    pub fn has_heard_end(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.state() == LayerState::PlainEof)
    }

    /// True once a layer has failed: nothing that comes is of use any more.
    pub fn is_failed(&self) -> bool {
        self.failed.is_some() || self.stages.iter().any(|stage| stage.layer.state() == LayerState::Failed)
    }

    /// What was agreed on with the peer, if a layer has done that.
    pub fn summary(&self) -> Option<Summary> {
        self.stages.iter().find_map(|stage| stage.layer.summary())
    }

    /// How it stands with receipts, if a layer has them.
    pub fn receipts(&self) -> Option<Receipts> {
        self.stages.iter().find_map(|stage| stage.layer.receipts())
    }

    /// Tells all layers something.
    pub fn note(&mut self, note: &Note) {
        self.stages.iter_mut().for_each(|stage| stage.layer.note(note.clone()));
    }

    /// What waits for the transport, and how many of the next application bytes may be given to it straight behind that;
    /// [`Stack::passed_out`] is told. These bytes, if they are not few, are announced where nothing else is on its way.
    pub fn raw_out(&mut self, plain: Portion<'_>) -> (&mut Buffer, usize) {
        match &mut self.stages[..] {
            [stage] => {
                if plain.len() >= LEAST_RAW && stage.wire.is_empty() && stage.layer.raw_out() == 0 {
                    stage.layer.announce(plain, &mut stage.wire);
                }
                (&mut stage.wire, stage.layer.raw_out().min(plain.len()))
            }
            _ => (&mut self.leftover, 0),
        }
    }

    /// These bytes were given straight to the transport.
    pub fn passed_out(&mut self, bytes: &[u8]) {
        if let [stage] = &mut self.stages[..] {
            stage.layer.passed_out(bytes);
        }
    }

    /// How many of the next wire bytes may be read from the transport straight to where they are wanted;
    /// [`Stack::passed_in`] is told.
    pub fn raw_in(&self) -> usize {
        match &self.stages[..] {
            [stage] if self.received.is_empty() && stage.plain.is_empty() && self.failed.is_none() => {
                stage.layer.raw_in()
            }
            _ => 0,
        }
    }

    /// These bytes, read straight from the transport, are the application's; `more` follow them on the wire, at most
    /// [`Stack::wire_spare`].
    pub fn passed_in(&mut self, bytes: Portion<'_>, more: &[u8]) {
        if let [stage] = &mut self.stages[..] {
            stage.layer.passed_in(bytes);
            self.received.push(more);
        }
    }

    /// True while payload cannot pass because a layer waits for its peer.
    pub fn is_handshaking(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.state() == LayerState::Handshaking)
    }

    /// True while a layer that has finished still has its last words to get rid of: what it left is not readable before.
    pub fn is_leaving(&self) -> bool {
        self.stages.iter().any(|stage| stage.layer.state() == LayerState::Finished)
    }

    /// What the layers can do about the end of the application's bytes. Inwards of one with receipts the end is said when
    /// both directions are over, so it ends neither.
    pub fn half_close(&self) -> HalfClose {
        let mut concerned = self.stages.iter().take_while(|stage| stage.layer.receipts().is_none());
        match concerned.all(|stage| stage.layer.half_close() == HalfClose::Supported) {
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

/// Fewer application bytes are copied together with what goes before them.
const LEAST_RAW: usize = 4 * 1024;

/// Every layer can work with so much.
const LEAST_DIRECT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
