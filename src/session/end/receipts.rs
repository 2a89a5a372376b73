//! Receipts at an end: what its layer's peer confirms, and what it is told about the other side of the session.
//!
//! An end with receipts is verified: its own direction is over only when the peer has confirmed it
//! ([`End::close_write`] answers `Blocked` until then), and the wire is read for that beyond the peer's own end.
//!
//! Whoever moves bytes uses the same words: [`End::answer`] and [`End::excuse`] towards the peer, [`why`] and
//! [`why_not`] for the reasons, [`End::last_words`], [`End::unconfirmed`] and [`End::as_cut`] for what the peer did.

use super::{End, Fault, Step};
use crate::buffer::{Buffer, Portion};
use crate::error::{Cause, Error, sentence};
use crate::layer::{Note, Receipts};
use crate::outcome::{Ended, ExitStatus};
use crate::reactor::Turn;
use crate::session::carrier::Pools;

/// Why there is an end before the end, as a verified peer is told it. Paths and names of this machine are not for it.
pub(in crate::session) fn why(ended: Option<&Ended>) -> String {
    match ended {
        Some(Ended::Failed(error)) => error.cause().to_string(),
        Some(Ended::Signal(_)) => "interrupted".into(),
        Some(Ended::ReaderGone) => "nobody reads its output".into(),
        Some(Ended::Program(status)) => format!("its program exited with status {status}"),
        Some(Ended::Told(_)) => "not everything could be written".into(),
        Some(Ended::Clean) | None => "it had enough".into(),
    }
}

/// Why a sink took no more, as the verified peer is told that sent it.
pub(in crate::session) fn why_not(fault: &Fault) -> String {
    match fault {
        Fault::Io(error) => sentence(error),
        Fault::Layer(error) => error.cause().to_string(),
    }
}

impl End {
    /// How it stands with receipts, where a layer has them.
    fn receipts(&self) -> Option<Receipts> {
        self.stack.as_ref().and_then(|stack| stack.receipts())
    }

    /// True if its peer confirms what it gets.
    pub fn is_verified(&self) -> bool {
        self.receipts().is_some()
    }

    /// True while the peer has not confirmed what it was sent.
    pub fn is_unconfirmed(&self) -> bool {
        self.receipts().is_some_and(|receipts| receipts.awaited)
    }

    /// True while the peer has something to confirm, or to answer, whatever else it has ended.
    pub fn awaits_word(&self) -> bool {
        self.is_unconfirmed() || self.stack.as_ref().is_some_and(|stack| stack.awaits_answer())
    }

    /// True while the peer has no receipt from us.
    pub fn owes_receipt(&self) -> bool {
        self.receipts().is_some_and(|receipts| receipts.owed)
    }

    /// Tells the peer what became of what it sent: all of it is on its sink, or writing it failed after so many bytes.
    pub fn delivered(&mut self, result: Result<u64, (u64, String)>) {
        self.note(&Note::Delivered(result));
    }

    /// The same at once, if the peer is verified. The first answer or excuse counts.
    pub fn answer(&mut self, turn: &mut Turn, result: Result<u64, (u64, String)>) {
        if self.is_verified() {
            self.delivered(result);
            self.flush(turn);
        }
    }

    /// Tells a verified peer at once that there is an end before the end, and why, in so far as it is still to hear it.
    pub fn excuse(&mut self, turn: &mut Turn, why: impl FnOnce() -> String) {
        if self.is_verified() {
            self.note(&Note::Stopped(why()));
            self.flush(turn);
        }
    }

    fn note(&mut self, note: &Note) {
        if let Some(stack) = &mut self.stack {
            stack.note(note);
            self.stirred = true; // it may have something to say now
        }
    }

    /// Reads on after the peer's end as long as it has something to confirm, or to answer. `Failed` if it will not.
    pub fn attend(&mut self, turn: &mut Turn) -> Step {
        let mut moved = 0;
        loop {
            let Some(stack) = &mut self.stack else { return Step::Blocked };
            stack.decode();
            if let Some(error) = stack.take_failure() {
                return self.judge(Step::Failed(error.into_io().map_or_else(Fault::Layer, Fault::Io)));
            }
            let awaited = stack.receipts().is_some_and(|receipts| receipts.awaited) || stack.awaits_answer();
            if !awaited || self.wire_ended || stack.is_failed() || stack.wire_spare().is_empty() {
                break;
            }
            match self.read_wire(turn) {
                Step::Moved(count) => moved += count,
                Step::Eof => {}
                Step::Blocked => break,
                failed => return self.judge(failed),
            }
        }
        if moved > 0 { Step::Moved(moved) } else { Step::Blocked }
    }

    /// The same, once writing has failed: why, if the peer said so before it went away. What it sent before that is in
    /// the way: with `pools` it is dropped, without them nobody may be waiting for any.
    pub fn last_words(&mut self, turn: &mut Turn, pools: Option<&Pools>) -> Option<Error> {
        if !self.is_unconfirmed() && self.is_accepted() {
            return None;
        }
        // what came together with the bad news may not have been announced yet
        self.transport.slots().for_each(|slot| turn.arm(slot));
        if let Some(pools) = pools {
            let mut buffer = pools.buffer();
            for _ in 0..LAST_READS {
                match self.read(turn, &mut buffer, usize::MAX) {
                    Step::Moved(_) => buffer.clear(),
                    Step::Failed(Fault::Layer(error)) => return Some(error),
                    Step::Failed(Fault::Io(_)) | Step::Eof | Step::Blocked => break,
                }
            }
        }
        match self.attend(turn) {
            Step::Failed(Fault::Layer(error)) => Some(error),
            _ => None,
        }
    }

    /// What is to be said of a peer that has not confirmed what it was sent.
    pub fn unconfirmed(&self) -> Option<Cause> {
        let said = || format!("{} did not confirm that everything arrived", self.name(true));
        self.is_unconfirmed().then(|| Cause::Said(said()))
    }

    /// What a failure of this end's socket, or of a layer below the receipts, is for a person: under receipts, a stream
    /// that was cut short.
    pub fn as_cut(&self, error: Error) -> Error {
        match (self.is_verified() && error.status() == ExitStatus::Network, error.cause()) {
            (false, _) => error,
            (true, Cause::Said(said)) => {
                let said = format!("stream cut short: {said}");
                error.with_cause(Cause::Said(said)).with_status(ExitStatus::Verify)
            }
            (true, _) => error.with_status(ExitStatus::Verify),
        }
    }

    /// Reads payload from the transport straight to where it is wanted, if the layer lets it pass; `None` if it does
    /// not. The next frame's header comes with it, so that most reads can be of this kind.
    pub(super) fn read_raw(&mut self, turn: &mut Turn, buffer: &mut Buffer, most: usize) -> Option<Step> {
        let stack = self.stack.as_mut()?;
        let frame = stack.raw_in();
        let room = buffer.spare(frame.saturating_add(AHEAD)).len();
        let payload = frame.min(most).min(room);
        if payload < LEAST_RAW {
            return None;
        }
        let ahead = if payload == frame { AHEAD.min(room - payload) } else { 0 };
        let step = Step::of(self.transport.read(turn, buffer.spare(payload + ahead)));
        let count = match step {
            Step::Moved(count) => count,
            Step::Eof => return None, // a plain read sees it again
            other => return Some(other),
        };
        let (own, mut more) = (count.min(payload), [0; AHEAD]);
        let more = &mut more[..count - own];
        more.copy_from_slice(&buffer.spare(count)[own..count]);
        buffer.fill(own);
        let count = own;
        stack.passed_in(buffer.portion(buffer.len() - count..buffer.len()), more);
        self.stirred = true;
        Some(Step::Moved(count))
    }

    /// Gives payload straight to the transport behind what the layer says before it, if the layer lets it pass; `None` if
    /// it does not.
    pub(super) fn write_raw(&mut self, turn: &mut Turn, bytes: Portion<'_>) -> Option<Step> {
        let stack = self.stack.as_mut().filter(|_| !self.mute)?;
        loop {
            let (before, most) = stack.raw_out(bytes);
            if most == 0 {
                return None;
            }
            match self.transport.write_both(turn, before.filled(), &bytes[..most]) {
                Ok(0) => return Some(Step::Blocked),
                Ok(count) => {
                    self.pace.given += count as u64;
                    let said = count.min(before.len());
                    before.consume(said);
                    if count > said {
                        stack.passed_out(&bytes[..count - said]);
                        return Some(Step::Moved(count - said));
                    }
                }
                Err(error) => {
                    let step = Step::of(Err(error));
                    if let Step::Failed(_) = step {
                        (self.mute, self.stirred) = (true, true);
                    }
                    return Some(step);
                }
            }
        }
    }
}

/// A frame's header: what follows a frame that is read to its end.
const AHEAD: usize = 5;

/// Reads for the last words of a peer that is gone: what its socket can hold.
const LAST_READS: usize = 1024;

/// Fewer bytes are read together with what follows them.
const LEAST_RAW: usize = 16 * 1024;
