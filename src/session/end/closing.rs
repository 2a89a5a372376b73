//! How an end passes the end of our bytes on, and what is known of whether the peer heard it.

use std::io;

use super::{End, Fault, Step, is_cut};
use crate::layer::HalfClose;
use crate::reactor::Turn;

impl End {
    /// True once the end of our bytes was passed on.
    pub fn is_write_closed(&self) -> bool {
        self.write_closed
    }

    /// True if it has a protocol that cannot half-close.
    pub fn ends_both(&self) -> bool {
        self.stack.as_ref().is_some_and(|stack| stack.has_layers() && stack.half_close() == HalfClose::EndsBoth)
    }

    /// True while the end of our bytes is held back, since it would end the peer's as well, and neither was said.
    pub fn holds_close(&self) -> bool {
        self.held_close && self.has_to_hold()
    }

    fn has_to_hold(&self) -> bool {
        let has_ended = self.wire_ended || self.stack.as_ref().is_some_and(|stack| stack.is_plain_ended());
        self.ends_both() && !self.parting && !has_ended
    }

    /// Passes the end of our bytes on. `Blocked` while a layer's last words wait for room, or a file for the disk; call
    /// again then.
    pub fn close_write(&mut self, turn: &mut Turn) -> Step {
        if self.write_closed {
            return Step::Eof;
        }
        if self.mute {
            return Step::Failed(Fault::Io(io::ErrorKind::BrokenPipe.into()));
        }
        if self.has_to_hold() {
            self.held_close = true;
            return Step::Eof; // said when the peer ends, or at the close
        }
        if let Some(stack) = &mut self.stack {
            let waiting = stack.unflushed();
            self.behind_payload.get_or_insert(-waiting.cast_signed());
            stack.close_plain();
            if let Step::Failed(fault) = self.flush(turn) {
                return self.end_unheard(fault);
            }
            if self.stack.as_ref().is_some_and(|stack| !stack.is_closed()) {
                return Step::Blocked;
            }
            if self.owes_receipt() && !self.parting {
                return Step::Eof; // our direction is over, but the wire is still needed
            }
            if self.may_keep_wire() {
                self.keeps_wire = true;
                return Step::Eof; // the peer was told
            }
        }
        let step = Step::of(self.transport.close_write(turn).map(|()| 0));
        self.write_closed = !matches!(step, Step::Blocked);
        let Step::Failed(_) = step else { return step };
        match self.judge(step) {
            Step::Failed(fault) => self.end_unheard(fault),
            step => step,
        }
    }

    /// The transport need not end for the peer to know of our end, and behind proxies had better not yet.
    fn may_keep_wire(&self) -> bool {
        let is_said = self.stack.as_ref().is_some_and(|stack| stack.says_end() && !stack.has_heard_end());
        is_said && self.is_led && !self.parting && !self.wire_ended
    }

    /// True while the end of our bytes was said, and the transport's is kept back until the peer ends.
    pub fn keeps_wire(&self) -> bool {
        self.keeps_wire && !self.write_closed && !self.read_ended && !self.mute
    }

    /// The peer left before it heard of our end. Where that was said behind the payload it may have read everything: what
    /// it has said itself, and what it has acknowledged, will tell. One that may have left because of who we are has not.
    fn end_unheard(&mut self, fault: Fault) -> Step {
        match fault {
            Fault::Io(error) if is_cut(&error) && self.words_behind_payload().is_some() && self.is_accepted() => {
                (self.cut, self.write_closed) = (true, true);
                Step::Eof
            }
            fault => Step::Failed(fault),
        }
    }

    /// False while the peer may still refuse us altogether, and if it did.
    pub fn is_accepted(&self) -> bool {
        self.stack.as_ref().is_none_or(|stack| stack.is_accepted())
    }

    pub(super) fn has_heard_end(&self) -> bool {
        self.stack.as_ref().is_some_and(|stack| stack.has_heard_end())
    }

    /// Bytes behind our last payload that were written to say that it was the last; `None` while there may be payload
    /// that was not written.
    pub fn words_behind_payload(&self) -> Option<usize> {
        self.behind_payload.and_then(|count| usize::try_from(count).ok())
    }

    /// Bytes that were not acknowledged when a peer cut the connection which had said its own end before; `None` where it
    /// had not. What it was still to read may be no more than what we said of our end.
    pub fn unsent_at_orderly_cut(&self) -> Option<usize> {
        (self.has_heard_end() && self.words_behind_payload().is_some()).then(|| self.transport.unsent())
    }

    /// Passes the end of our bytes on, also by a protocol that ends both directions with it.
    pub fn close_write_for_good(&mut self, turn: &mut Turn) -> Step {
        self.parting = true;
        self.close_write(turn)
    }

    /// Brings what was written to where it is safe (`--fsync`, whole files): `Eof` once it is, at once where nothing of
    /// the kind was asked for; `Blocked` while a helper thread is at it.
    pub fn settle(&mut self, turn: &mut Turn) -> Step {
        Step::of(self.transport.settle(turn).map(|()| 0))
    }

    /// What was written is not to be settled any more: a whole file is given up.
    pub fn give_up_settling(&mut self) {
        self.transport.give_up_settling();
    }

    /// Settling may not begin while it is held.
    pub(in crate::session) fn hold_settling(&mut self, held: bool) {
        self.transport.hold_settling(held);
    }

    /// Nothing will be read here any more.
    pub fn close_read(&mut self, turn: &mut Turn) {
        self.transport.close_read(turn);
    }
}
