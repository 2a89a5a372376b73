//! What a session tells a verified end about the other side, and hears from it (`--verify`).
//!
//! The peer of an end with receipts is told once what became of everything that it sent: when the other end has taken
//! it all and was closed, or could not; a program has taken it when it has exited with status 0. Its own receipts may
//! come long after its end, so the wire is read for them.

use super::Session;
use super::end::receipts::{why, why_not};
use super::end::{End, Fault, Step};
use super::parting::Manner;
use crate::error::Error;
use crate::outcome::ExitStatus;
use crate::reactor::Turn;

/// What a program says, by its exit status, of what it was given under receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody waits for it.
    #[default]
    Open,
    /// It was given everything, and the source waits.
    Awaited,
    /// The exit status.
    Given(u8),
}

impl Session {
    pub(super) fn is_verified(&self, index: usize) -> bool {
        self.ends[index].as_ref().is_some_and(|end| end.is_verified())
    }

    /// Everything that the source of `direction` sent is on its sink: the source may know.
    pub(super) fn confirm(&mut self, turn: &mut Turn, direction: usize) {
        let count = self.pumps[direction].delivered();
        if self.is_verified(direction) && self.is_program(1 - direction) {
            // what it makes of its input is known when it has ended
            if self.verdicts[1 - direction] == Verdict::Open {
                self.verdicts[1 - direction] = Verdict::Awaited;
                return;
            }
        }
        if let Some(source) = &mut self.ends[direction] {
            source.answer(turn, Ok(count));
        }
    }

    /// True while a verified source waits for a program to say, by its status, that it has taken everything.
    pub(super) fn awaits_verdict(&self) -> bool {
        self.verdicts.contains(&Verdict::Awaited)
    }

    /// The program at one end has exited: a verified source at the other one may know, after what the program said.
    /// True if it was told now that the program failed.
    pub(super) fn take_verdict(&mut self, turn: &mut Turn, index: usize, status: u8, silent: bool) -> bool {
        let (source, count) = (1 - index, self.pumps[1 - index].delivered());
        let before = self.verdicts[index];
        let has_said_all = silent || self.pumps[index].is_drained();
        if !self.is_verified(source) || matches!(before, Verdict::Given(_)) || (status != 0 && !has_said_all) {
            return false;
        }
        self.verdicts[index] = Verdict::Given(status);
        if let Some(source) = self.ends[source].as_mut().filter(|_| before == Verdict::Awaited || status != 0) {
            let failed = || (count, format!("its program exited with status {status}"));
            source.answer(turn, if status == 0 { Ok(count) } else { Err(failed()) });
        }
        status != 0 && self.failure.is_none()
    }

    /// The sink of `direction` failed: the source has to know.
    pub(super) fn confess(&mut self, turn: &mut Turn, direction: usize, fault: &Fault) {
        let count = self.pumps[direction].delivered();
        if let Some(source) = self.ends[direction].as_mut().filter(|source| source.is_verified()) {
            source.answer(turn, Err((count, why_not(fault))));
        }
    }

    /// Reads on at ends whose own bytes have ended, for what their peers have to confirm; true if anything came.
    pub(super) fn attend_receipts(&mut self, turn: &mut Turn) -> bool {
        let mut moved = false;
        for index in [0, 1] {
            // until then the pump reads
            if !self.pumps[index].is_over() || self.parting.is_some() {
                continue;
            }
            match self.ends[index].as_mut().filter(|end| end.awaits_word()).map(|end| end.attend(turn)) {
                Some(Step::Moved(_)) => moved = true,
                Some(Step::Failed(fault)) => {
                    self.source_failed(turn, index, fault);
                    moved = true;
                }
                _ => {}
            }
        }
        moved
    }

    /// Why nothing can be written to a verified end any more, if its peer said so before it went away. What it sent before
    /// is read by its pump, which then comes upon its words, unless it is dropped anyway.
    pub(super) fn reason_given(&mut self, turn: &mut Turn, index: usize) -> Option<Error> {
        let drops = self.drops(index);
        let is_read = self.pumps[index].is_over() || drops;
        let end = self.ends[index].as_mut().filter(|_| is_read)?;
        end.last_words(turn, drops.then_some(&self.context.pools))
    }

    /// A session that parts before its own end tells verified peers why, in so far as they are still to hear it.
    pub(super) fn tell_why(&mut self, turn: &mut Turn) {
        let Some(parting) = self.parting.as_ref().filter(|parting| parting.manner != Manner::Orderly) else { return };
        for end in self.ends.iter_mut().flatten() {
            end.excuse(turn, || why(parting.ended.as_ref()));
        }
    }

    /// A session must not look clean if a verified peer has not confirmed what it was sent.
    pub(super) fn blame_unconfirmed(&mut self, index: usize) {
        let Some(parting) = &self.parting else { return };
        let sent = self.pumps[1 - index].delivered();
        let matters = parting.manner == Manner::Orderly || sent > 0;
        if let Some(cause) = self.ends[index].as_ref().filter(|_| matters).and_then(End::unconfirmed) {
            self.blame(Error::begun(self.headline(), cause).with_status(ExitStatus::Verify));
        }
    }
}
