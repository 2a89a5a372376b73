//! What a session tells a verified end about the other side, and hears from it (`--verify`).
//!
//! The peer of an end with receipts is told once what became of everything that it sent: when the other end has taken
//! it all and was closed, or could not; a program has taken it when it has exited with status 0. Its own receipts may come long after its end, so the wire is read for them.

use super::end::{Fault, Step};
use super::parting::Manner;
use super::{OUTWARD, Session};
use crate::error::{Cause, Error, sentence};
use crate::outcome::{Ended, ExitStatus};
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
        if let Some(source) = self.ends[direction].as_mut().filter(|end| end.is_verified()) {
            source.delivered(Ok(count));
            source.flush(turn);
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
            source.delivered(if status == 0 { Ok(count) } else { Err(failed()) });
            source.flush(turn);
        }
        status != 0 && self.failure.is_none()
    }

    /// The sink of `direction` failed: the source has to know.
    pub(super) fn confess(&mut self, turn: &mut Turn, direction: usize, fault: &Fault) {
        if !self.is_verified(direction) {
            return;
        }
        let why = match fault {
            Fault::Io(error) => sentence(error),
            Fault::Layer(error) => error.cause().to_string(),
        };
        let count = self.pumps[direction].delivered();
        if let Some(source) = &mut self.ends[direction] {
            source.delivered(Err((count, why)));
            source.flush(turn);
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
            match self.ends[index].as_mut().filter(|end| end.is_unconfirmed()).map(|end| end.attend(turn)) {
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

    /// Why nothing can be written to a verified end any more, if its peer said so before it went away.
    pub(super) fn reason_given(&mut self, turn: &mut Turn, index: usize) -> Option<Error> {
        let is_read = self.pumps[index].is_over();
        let end = self.ends[index].as_mut().filter(|end| is_read && end.is_unconfirmed())?;
        // what came together with the bad news may not have been announced yet
        end.transport().slots().for_each(|slot| turn.arm(slot));
        end.last_words(turn)
    }

    /// A session that parts before its own end tells verified peers why, in so far as they are still to hear it.
    pub(super) fn tell_why(&mut self) {
        let Some(parting) = self.parting.as_ref().filter(|parting| parting.manner != Manner::Orderly) else { return };
        let why = match &parting.ended {
            // paths and names of this machine are not for the peer
            Some(Ended::Failed(error)) => error.cause().to_string(),
            Some(Ended::Signal(_)) => "interrupted".into(),
            Some(Ended::ReaderGone) => "nobody reads its output".into(),
            Some(Ended::Clean | Ended::Told(_) | Ended::Program(_)) | None => "it had enough".into(),
        };
        for end in self.ends.iter_mut().flatten().filter(|end| end.is_verified()) {
            end.stopped(why.clone());
        }
    }

    /// A session must not look clean if a verified peer has not confirmed what it was sent.
    pub(super) fn blame_unconfirmed(&mut self, index: usize) {
        let Some(parting) = &self.parting else { return };
        let sent = self.pumps[1 - index].delivered();
        let matters = parting.manner == Manner::Orderly || sent > 0;
        if let Some(end) = self.ends[index].as_ref().filter(|end| matters && end.is_unconfirmed()) {
            let said = format!("{} did not confirm that everything arrived", end.name(index == OUTWARD));
            let error = Error::begun(self.headline(), Cause::Said(said)).with_status(ExitStatus::Verify);
            self.blame(error);
        }
    }
}
