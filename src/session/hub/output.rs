//! What goes to standard output: a bounded queue that the clients fill by the rules of [`Lines`].

use std::collections::VecDeque;

use super::lines::{LONGEST, Lines, Speech};
use crate::reactor::Turn;
use crate::session::end::{End, Fault, Step};

/// The common output of all clients.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Bytes that passed and are not yet written.
    queue: VecDeque<u8>,
    /// Bytes that passed in all.
    passed: u64,
    /// Who may speak.
    pub(super) lines: Lines,
}

impl Output {
    /// True if whatever a client may have to say at once has room.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() + 2 * LONGEST <= MOST
    }

    /// True when everything that passed is written.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that passed so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.passed - self.queue.len() as u64
    }

    /// Passes what may pass of `held` and what came since, and holds the rest.
    pub(super) fn hear(&mut self, held: &mut Vec<u8>, speech: Speech) {
        let passed = self.lines.pass(speech);
        let (old, new) = (passed.min(held.len()), passed.saturating_sub(held.len()));
        self.push(&held[..old]);
        self.push(&speech.new[..new]);
        held.drain(..old);
        hold(held, &speech.new[new..]);
    }

    /// Passes what is left of a client that is gone, whoever speaks: it takes no more memory here than it took there.
    pub(super) fn inherit(&mut self, held: Vec<u8>) {
        self.push(&held);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
        self.passed += bytes.len() as u64;
    }

    /// Writes what there is room for; the bytes written.
    ///
    /// # Errors
    /// The output is of no use any more.
    pub(super) fn drain(&mut self, turn: &mut Turn, to: &mut End, block: usize) -> Result<u64, Fault> {
        let mut written = 0;
        while !self.queue.is_empty() {
            let (piece, _) = self.queue.as_slices();
            match to.write(turn, &piece[..piece.len().min(block)]) {
                Step::Moved(count) => {
                    self.queue.drain(..count);
                    written += count as u64;
                }
                Step::Failed(fault) => return Err(fault),
                Step::Blocked | Step::Eof => break,
            }
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(MOST);
        }
        Ok(written)
    }
}

/// Keeps bytes for later; no memory at all while there are none, and not much more than they need.
fn hold(held: &mut Vec<u8>, bytes: &[u8]) {
    let length = held.len() + bytes.len();
    if length == 0 {
        *held = Vec::new();
    } else if length > held.capacity() {
        held.reserve_exact(length.max((2 * held.capacity()).min(LONGEST)) - held.len());
    }
    held.extend(bytes);
}

/// Bytes that may wait for the output.
pub(super) const MOST: usize = 256 * 1024;
