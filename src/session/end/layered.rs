//! How an end reads and writes through its layers: what they take from the wire, and what they have to say on it.

use std::io;
use std::time::Instant;

use super::{End, Fault, Step};
use crate::buffer::Buffer;
use crate::layer::Note;
use crate::layer::stack::Stack;
use crate::reactor::Turn;

/// How far the peer has come with what was sent to it through layers.
#[derive(Default)]
pub(super) struct Pace {
    /// Bytes that the transport has taken.
    pub(super) given: u64,
    /// Those of them that were acknowledged when the layers were told the time last, and whether that was not all.
    acknowledged: u64,
    is_behind: bool,
}

impl Pace {
    /// Looks again; true if the peer has taken some of what waited for it.
    fn look(&mut self, unsent: usize) -> bool {
        let acknowledged = self.given.saturating_sub(unsent as u64);
        let moved = std::mem::replace(&mut self.acknowledged, acknowledged) < acknowledged;
        std::mem::replace(&mut self.is_behind, unsent > 0) && moved
    }
}

impl End {
    /// Tells the time to the layers that asked for it, and before that whether the peer takes what waits for it.
    pub fn tick(&mut self, now: Instant) {
        let due = |stack: &&mut Box<Stack>| stack.deadline().is_some_and(|at| at <= now);
        let Some(stack) = self.stack.as_mut().filter(due) else { return };
        if self.pace.look(self.transport.unsent()) {
            stack.note(&Note::Taken);
        }
        stack.tick(now);
    }

    pub(super) fn read_through_layers(&mut self, turn: &mut Turn, buffer: &mut Buffer, most: usize) -> Step {
        let mut fruitless = 0;
        loop {
            let Some(stack) = &mut self.stack else { return Step::Blocked };
            // only what is not wanted as a whole has to wait in a buffer of the stack's
            let count = if most >= buffer.capacity() { stack.decode_into(buffer) } else { 0 };
            if count > 0 {
                return Step::Moved(count);
            }
            stack.decode();
            let plain = stack.plain();
            if !plain.is_empty() {
                let count = plain.len().min(most).min(buffer.spare(most).len());
                buffer.push(&plain.filled()[..count]);
                plain.consume(count);
                return if count == 0 { Step::Blocked } else { Step::Moved(count) };
            }
            if let Some(error) = stack.take_failure() {
                // a cut that a layer saw is one like those that the kernel tells
                return Step::Failed(error.into_io().map_or_else(Fault::Layer, Fault::Io));
            }
            if stack.is_failed() {
                return Step::Blocked; // that was told; whatever comes now is no end of file
            }
            if stack.is_plain_ended() {
                return Step::Eof;
            }
            if stack.is_bare() {
                self.stack = None;
                return self.read_bare(turn, buffer, most);
            }
            if self.wire_ended {
                if stack.is_handshaking() {
                    return Step::Failed(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                if stack.is_leaving() {
                    return Step::Blocked; // until its last words are written
                }
                // a layer that has not said otherwise leaves the end of file to the transport
                return Step::Eof;
            }
            if stack.wire_spare().is_empty() {
                // a layer takes nothing before it has said something; a read of no bytes would look like the end
                return Step::Blocked;
            }
            if let Some(step) = self.read_raw(turn, buffer, most) {
                return step;
            }
            if fruitless >= MOST_FRUITLESS {
                // no payload so far (tickets, pings): others have their turn before there is more of it
                turn.wake(turn.id());
                self.stirred = false; // the next turn begins with the answers
                return Step::Blocked;
            }
            match self.read_wire(turn) {
                Step::Moved(count) => fruitless += count,
                Step::Eof => {}
                other => {
                    self.rest();
                    return other;
                }
            }
        }
    }

    /// Nothing can be done before an event: what is not in use is given back.
    fn rest(&mut self) {
        if let Some(stack) = &mut self.stack {
            stack.rest();
        }
    }

    /// Gives the layers what the transport has, or its end.
    pub(super) fn read_wire(&mut self, turn: &mut Turn) -> Step {
        let Some(stack) = &mut self.stack else { return Step::Blocked };
        let step = Step::of(self.transport.read(turn, stack.wire_spare()));
        match step {
            Step::Moved(count) => stack.wire_received(count),
            // what was cut did not end: nobody has to say that the protocol's own end is missing
            Step::Eof if self.cut && !stack.is_handshaking() && !stack.has_heard_end() => {
                return Step::Failed(Fault::Io(io::ErrorKind::ConnectionReset.into()));
            }
            Step::Eof => {
                self.wire_ended = true;
                stack.wire_ended();
            }
            other => return other,
        }
        self.stirred = true;
        step
    }

    /// True once after a layer was given something that it may answer.
    pub fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Writes what the layers have to say. `Moved` when everything or something went.
    pub fn flush(&mut self, turn: &mut Turn) -> Step {
        let Some(stack) = &mut self.stack else { return Step::Blocked };
        let mut moved = 0;
        loop {
            if let Err(error) = stack.flush() {
                return Step::Failed(Fault::Layer(error));
            }
            let Some(wire) = stack.outgoing().filter(|wire| !wire.is_empty()) else {
                stack.rest();
                break;
            };
            if self.write_closed || self.mute {
                // an answer to what came after our end has no way out any more
                wire.clear();
                continue;
            }
            match self.transport.write(turn, wire.filled()) {
                Ok(0) => break,
                Ok(count) => {
                    wire.consume(count);
                    moved += count;
                    self.pace.given += count as u64;
                    if let Some(said) = &mut self.behind_payload {
                        *said += count.cast_signed();
                    }
                    // with its last words gone a layer may leave, and what it left be read
                    self.stirred = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    (self.mute, self.stirred) = (true, true);
                    let step = Step::Failed(error.into());
                    return self.judge(step);
                }
            }
        }
        if moved > 0 { Step::Moved(moved) } else { Step::Blocked }
    }
}

/// Bytes from the wire that are read in one go as long as no payload comes of them.
const MOST_FRUITLESS: usize = 1 << 20;
