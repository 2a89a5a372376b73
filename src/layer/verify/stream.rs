//! The two streams of a verified connection: what passed, its digest, and what is to be said about it.

use super::frame::{self, Verdict};
use crate::buffer::{Buffer, Portion};
use crate::digest::Digest;

/// The stream to the peer.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) digest: Digest,
    /// Payload bytes in all frames that were begun.
    pub(super) total: u64,
    /// What is missing of the frame that was begun: it goes before anything else.
    pub(super) missing: usize,
    /// The application has nothing more.
    pub(super) closed: bool,
    pub(super) end_said: bool,
    /// Its source failed, for this reason.
    pub(super) abort: Option<String>,
    pub(super) abort_said: bool,
    /// The good receipt has come.
    pub(super) confirmed: bool,
}

/// The stream from the peer.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    pub(super) digest: Digest,
    pub(super) total: u64,
    /// What is missing of the data frame that has begun.
    pub(super) missing: usize,
    /// An end frame came, and it agreed.
    pub(super) ended: bool,
    /// What is to be said about it.
    pub(super) receipt: Option<(Verdict, u64, String)>,
    pub(super) receipt_said: bool,
}

impl Sending {
    /// Says how this stream ended, once it has: never that it is whole if anything has failed.
    pub(super) fn say_end(&mut self, wire: &mut Buffer, failed: bool) {
        if self.end_said || self.abort_said {
            return;
        }
        if let Some(why) = &self.abort {
            self.abort_said = say(wire, &frame::abort(why));
        } else if self.closed && !failed {
            self.end_said = say(wire, &frame::end(self.total, self.digest.finalize().as_bytes()));
        }
    }

    /// Begins a data frame of `payload`: what of it does not go out now will be offered again until it has. It is
    /// digested as a whole, since pieces of odd sizes cost the hash its parallel lanes.
    pub(super) fn begin(&mut self, payload: Portion<'_>) {
        self.total += payload.len() as u64;
        self.missing = payload.len();
        self.digest.update(payload);
    }
}

impl Receiving {
    pub(super) fn say_receipt(&mut self, wire: &mut Buffer) {
        if let Some((verdict, count, why)) = self.receipt.as_ref().filter(|_| !self.receipt_said) {
            self.receipt_said = say(wire, &frame::receipt(*verdict, *count, why));
        }
    }

    /// These bytes of the frame that has begun arrived.
    pub(super) fn take(&mut self, bytes: Portion<'_>) {
        self.total += bytes.len() as u64;
        self.missing -= bytes.len();
        self.digest.update(bytes);
    }
}

/// Appends `words` if all of them have room.
pub(super) fn say(wire: &mut Buffer, words: &[u8]) -> bool {
    wire.spare(words.len()).len() == words.len() && wire.push(words) == words.len()
}
