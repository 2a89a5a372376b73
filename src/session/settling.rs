//! A session and the files that it writes: what is safe on the disk, and what takes its name only at a clean end.
//!
//! A file is settled ([`End::settle`]) when the end of its source is passed on to it, or, where the session ends earlier
//! and cleanly (`-q`, `--max-bytes`), when it parts. Any other end gives a whole file up.

use super::end::{End, Fault, Step};
use super::{INWARD, LOCAL, OUTWARD, Session};
use crate::error::{Error, Op};
use crate::reactor::Turn;

impl Session {
    /// True while a file of ours is on its way to the disk.
    pub(super) fn is_settling(&self) -> bool {
        self.ends.iter().flatten().any(|end| end.transport().is_settling())
    }

    /// The first failure decides the outcome; no file is whole after it.
    pub(super) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(Box::new(error));
        self.ends.iter_mut().flatten().for_each(End::give_up_settling);
    }

    /// What a program writes is whole only if the program says so: by its exit status, or by the end of a verified stream,
    /// which it has not got a receipt for while it runs.
    pub(super) fn hold_settling(&mut self, turn: &mut Turn, direction: usize) {
        let enough = self.has_enough_of(direction);
        let [Some(local), Some(peer)] = &mut self.ends else { return };
        let (source, sink) = if direction == OUTWARD { (local, peer) } else { (peer, local) };
        if !sink.transport().is_whole() {
            return;
        }
        if enough || source.is_verified() {
            return sink.hold_settling(false);
        }
        let Some(program) = source.program() else { return };
        let status = program.status(turn);
        sink.hold_settling(status.is_none());
        if status.is_some_and(|status| status != 0) {
            sink.give_up_settling();
        }
    }

    /// Settles what a session that parts has written; true once that is done, or not worth doing.
    pub(super) fn settle(&mut self, turn: &mut Turn) -> bool {
        if self.is_settling()
            && let Some(error) = self.passed_limit(turn.now())
        {
            self.blame(error);
        }
        [OUTWARD, INWARD].into_iter().for_each(|direction| self.hold_settling(turn, direction));
        for index in [LOCAL, 1] {
            let clean = self.is_clean();
            let Some(end) = self.ends[index].as_mut().filter(|end| !end.is_peer()) else { continue };
            if !clean {
                end.give_up_settling();
                continue;
            }
            end.hold_settling(false);
            let name = end.name(false);
            match end.settle(turn) {
                Step::Blocked => return false,
                Step::Failed(Fault::Io(error)) => self.blame(Error::new(Op::Write, name, error)),
                Step::Failed(Fault::Layer(error)) => self.blame(error),
                Step::Moved(_) | Step::Eof => {}
            }
        }
        true
    }
}
