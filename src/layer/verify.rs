//! Length, digest and receipt around a stream (`--verify`): the sender's success means that the receiver has every byte.
//!
//! Both ends are haul. Nothing is encrypted or authenticated: this finds accidents, and a peer that gave up, not forgery.
//!
//! # Format, version 1
//!
//! Numbers are in network byte order. Each side says the greeting once, 8 bytes, and then frames, each with a header of
//! 5 bytes. No frame is sent before the peer's greeting has come: a peer without `--verify` gets 8 bytes and no more.
//!
//! ```text
//! greeting   f1 'h' 'a' 'u' 'l' 'V'   version: u8   flags: u8 (0)
//! frame      type: u8   length: u32   body
//!
//! type  name     body
//!  1    data     1 byte to 1 MiB of payload
//!  2    end      total: u64, BLAKE3-256 of the payload of all data frames: 32 bytes
//!  3    abort    why, 0 to 200 bytes of text
//!  4    receipt  verdict: u8, count: u64, why, 0 to 200 bytes of text
//! ```
//!
//! The two directions are independent but for the receipts, which go against the stream that they are about, between
//! two frames of the other one. For each stream:
//!
//! - data frames, then one *end*, or one *abort* if its source failed. After either, no more data.
//! - one *receipt* for it: verdict 0 once an end came that agreed with what arrived and every byte is on the receiver's
//!   sink (written, settled where that was asked, and taken by a program that has exited with status 0); 1 if length or
//!   digest did not agree or the frames made no sense; 2 if the wire ended before the end frame; 3 if the sink failed,
//!   with the reason as text; 4 if the receiver was ended by something else, with the reason. The count is what arrived,
//!   for verdict 3 what is on the sink. A bad receipt may come before the end of its stream.
//!
//! A stream is over for its sender when the good receipt has come, with the count that was sent, and not before; for
//! its receiver when the end frame agreed. The wire may end when both streams are over and both receipts are said. All
//! else is a failure with exit status 4: other frames, longer ones, an end of the wire at any other place, a greeting
//! that has not come within 10 s.

mod frame;
mod stream;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::{HalfClose, Layer, LayerState, Note, Receipts};
use crate::buffer::{Buffer, Portion};
use crate::error::{Cause, Error};
use crate::escape::Escaped;
use crate::outcome::ExitStatus;
use crate::units::Size;
use frame::{Frame, GREETING, Gather, HEADER, LONGEST_DATA, Misfit, VERSION, Verdict};
use stream::{Receiving, Sending, say};

/// Both streams of one connection. Its wire buffer must hold the longest frame that is no data, [`LEAST_BUFFER`] bytes.
#[derive(Debug)]
pub struct Verify {
    /// How much of the peer's greeting has come.
    greeted: usize,
    /// Our greeting is in the wire buffer, or beyond.
    greeting_said: bool,
    /// When the peer's greeting must have come, until it has.
    greeted_by: Option<Instant>,
    sending: Sending,
    receiving: Receiving,
    /// The peer's next frame, as far as it has come.
    gather: Gather,
    /// What was found out by the clock, to be told by the next decode.
    overdue: bool,
    wire_ended: bool,
    failed: bool,
}

impl Verify {
    /// Nothing has passed yet; `now` begins the wait for the peer's greeting.
    pub fn new(now: Instant) -> Self {
        Verify {
            greeted: 0,
            greeting_said: false,
            greeted_by: Some(now + PATIENCE),
            sending: Sending::default(),
            receiving: Receiving::default(),
            gather: Gather::default(),
            overdue: false,
            wire_ended: false,
            failed: false,
        }
    }

    fn is_greeted(&self) -> bool {
        self.greeted == GREETING.len()
    }

    /// Takes the peer's greeting; what comes first from a peer without `--verify` is refused at its first byte.
    fn take_greeting(&mut self, wire: &mut Buffer) -> Result<(), Error> {
        while let (Some(&byte), Some(&wanted)) = (wire.filled().first(), GREETING.get(self.greeted)) {
            // the flags of a later version may be anything
            match self.greeted {
                VERSION_AT if byte != VERSION => {
                    let said = format!("the peer speaks version {byte} of --verify, this is version {VERSION}");
                    return Err(self.refuse(said));
                }
                _ if byte != wanted => return Err(self.refuse("the peer does not use --verify")),
                _ => {}
            }
            wire.consume(1);
            self.greeted += 1;
        }
        if self.is_greeted() {
            self.greeted_by = None;
        }
        Ok(())
    }

    /// A failure before anything could be transferred. Nothing more is said to this peer.
    fn refuse(&mut self, said: impl Into<String>) -> Error {
        self.failed = true;
        self.greeted_by = None;
        Error::begun("nothing was transferred", Cause::Said(said.into())).with_status(ExitStatus::Verify)
    }

    /// A failure of one direction that had begun, and after how much of it.
    fn fail(&mut self, direction: Direction, bytes: u64, said: impl Into<String>) -> Error {
        self.failed = true;
        let headline = format!("{} failed after {}", direction.word(), Size(bytes).human());
        Error::begun(headline, Cause::Said(said.into())).with_status(ExitStatus::Verify)
    }

    /// The stream from the peer is no good; the peer is to know it.
    fn reject(&mut self, verdict: Verdict, said: impl Into<String>) -> Error {
        let total = self.receiving.total;
        self.receiving.receipt.get_or_insert((verdict, total, String::new()));
        self.fail(Direction::Receiving, total, said)
    }

    fn misfit(&mut self, misfit: Misfit) -> Error {
        self.reject(Verdict::Corrupt, format!("the peer broke the protocol of --verify: {misfit}"))
    }

    /// Takes payload of the data frame that is under way; false when there is no room for it.
    fn take_payload(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> bool {
        let count = wire.len().min(self.receiving.missing);
        let taken = plain.push(&wire.filled()[..count]);
        self.receiving.take(wire.filled()[..taken].into());
        wire.consume(taken);
        taken == count
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Error> {
        if self.receiving.ended && !matches!(frame, Frame::Receipt(..)) {
            return Err(self.misfit(Misfit("something follows the end")));
        }
        match frame {
            Frame::Data(length) => self.receiving.missing = length,
            Frame::End(total, digest) => self.take_end(total, &digest)?,
            Frame::Abort(why) => {
                let total = self.receiving.total;
                return Err(self.fail(Direction::Receiving, total, because("the peer stopped", &why)));
            }
            Frame::Receipt(verdict, count, why) => self.take_receipt(verdict, count, &why)?,
        }
        Ok(())
    }

    fn take_end(&mut self, total: u64, digest: &[u8; 32]) -> Result<(), Error> {
        let arrived = self.receiving.total;
        if total != arrived {
            let said = format!("stream cut short: {arrived} bytes arrived, {total} were sent");
            return Err(self.reject(Verdict::Corrupt, said));
        }
        if self.receiving.digest.finalize() != *digest {
            let said = "digest mismatch: what arrived is not what was sent";
            return Err(self.reject(Verdict::Corrupt, said));
        }
        self.receiving.ended = true;
        Ok(())
    }

    fn take_receipt(&mut self, verdict: Verdict, count: u64, why: &[u8]) -> Result<(), Error> {
        let said = match verdict {
            Verdict::Good if !self.sending.end_said || self.sending.confirmed => {
                return Err(self.misfit(Misfit("a receipt for nothing")));
            }
            Verdict::Good if count == self.sending.total => {
                self.sending.confirmed = true;
                return Ok(());
            }
            Verdict::Good => format!("the receiver has {count} bytes, {} were sent", self.sending.total),
            Verdict::Corrupt => "the receiver found that what arrived is not what was sent".into(),
            Verdict::Truncated => "the receiver found the stream cut short".into(),
            Verdict::NotWritten => because("the receiver could not write", why),
            Verdict::Stopped => because("the peer stopped", why),
        };
        Err(self.fail(Direction::Sending, count, said))
    }

    /// What the end of the wire means at this place.
    fn judge_end(&mut self) -> Result<(), Error> {
        if self.greeted == 0 {
            return Err(self.refuse("the peer ended without the greeting of --verify"));
        }
        if !self.is_greeted() {
            return Err(self.refuse("stream cut short: the peer ended within its greeting"));
        }
        if !self.receiving.ended {
            let said = "stream cut short: the peer ended without saying that it was done";
            return Err(self.reject(Verdict::Truncated, said));
        }
        if !self.sending.confirmed {
            let total = self.sending.total;
            return Err(self.fail(
                Direction::Sending,
                total,
                "the peer ended without confirming that everything arrived",
            ));
        }
        Ok(())
    }

    /// Begins a data frame if it may: nothing else is due, and there is room for the header and a byte.
    fn begin_frame(&mut self, payload: Portion<'_>, wire: &mut Buffer) {
        let sending = &mut self.sending;
        let is_open = !sending.closed && sending.abort.is_none() && !payload.is_empty();
        if is_open && wire.spare(HEADER + 1).len() > HEADER {
            let (payload, _) = payload.split_at(payload.len().min(LONGEST_DATA));
            wire.push(&frame::header(frame::DATA, payload.len()));
            sending.begin(payload);
        }
    }

    /// Says what is due, each as a whole; nothing goes into the midst of a data frame.
    fn say(&mut self, wire: &mut Buffer) {
        if !self.greeting_said {
            self.greeting_said = say(wire, &GREETING);
        }
        if !self.is_greeted() || !self.greeting_said || self.sending.missing > 0 {
            return;
        }
        // of a session that was stopped the peer should first hear what it means for the bytes that it got
        let stopped = matches!(self.receiving.receipt, Some((Verdict::Stopped, ..)));
        if !stopped {
            self.receiving.say_receipt(wire);
        }
        self.sending.say_end(wire, self.failed);
        if stopped {
            self.receiving.say_receipt(wire);
        }
    }
}

/// Which of the two streams a failure is about: each side has one of either kind.
#[derive(Clone, Copy)]
enum Direction {
    Sending,
    Receiving,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Direction::Sending => "sending",
            Direction::Receiving => "receiving",
        }
    }
}

/// What happened, and the peer's reason if it gave one.
fn because(what: &str, why: &[u8]) -> String {
    if why.is_empty() { what.into() } else { format!("{what}: {}", Escaped(why)) }
}

impl Layer for Verify {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        if std::mem::take(&mut self.overdue) {
            let limit = humantime::format_duration(PATIENCE);
            return Err(self.refuse(format!("the peer gave no greeting of --verify within {limit}")));
        }
        self.take_greeting(wire)?;
        while self.is_greeted() && !wire.is_empty() {
            if self.receiving.missing > 0 {
                if !self.take_payload(wire, plain) {
                    break;
                }
                continue;
            }
            match self.gather.take(wire) {
                Ok(Some(frame)) => self.take_frame(frame)?,
                Ok(None) => {}
                Err(misfit) => return Err(self.misfit(misfit)),
            }
        }
        if self.wire_ended && wire.is_empty() { self.judge_end() } else { Ok(()) }
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        if self.failed && self.sending.missing == 0 {
            return Err(self.fail(Direction::Sending, self.sending.total, "the stream has failed"));
        }
        if self.state() == LayerState::Handshaking {
            return Ok(0);
        }
        if self.sending.missing == 0 {
            self.say(wire);
            self.begin_frame(plain.into(), wire);
        }
        let count = wire.push(&plain[..plain.len().min(self.sending.missing)]);
        self.sending.missing -= count;
        Ok(count)
    }

    fn flush(&mut self, wire: &mut Buffer) {
        self.say(wire);
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::PlainClosed => self.sending.closed = true,
            Note::WireEof => self.wire_ended = true,
            Note::Tick(now) => self.overdue |= self.greeted_by.take_if(|at| *at <= now).is_some(),
            Note::Delivered(Ok(_)) if self.receiving.ended => {
                let total = self.receiving.total;
                self.receiving.receipt.get_or_insert((Verdict::Good, total, String::new()));
            }
            Note::Delivered(Ok(_)) | Note::Taken => {}
            Note::Delivered(Err((count, why))) => {
                self.receiving.receipt.get_or_insert((Verdict::NotWritten, count, why));
            }
            Note::Stopped(why) => {
                let total = self.receiving.total;
                self.receiving.receipt.get_or_insert_with(|| (Verdict::Stopped, total, why.clone()));
                self.sending.abort.get_or_insert(why);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.greeted_by
    }

    fn state(&self) -> LayerState {
        match () {
            () if self.failed => LayerState::Failed,
            () if !self.is_greeted() || !self.greeting_said => LayerState::Handshaking,
            () if self.receiving.ended => LayerState::PlainEof,
            () => LayerState::Open,
        }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }

    fn receipts(&self) -> Option<Receipts> {
        Some(Receipts { awaited: !self.sending.confirmed, owed: !self.receiving.receipt_said })
    }

    fn announce(&mut self, payload: Portion<'_>, wire: &mut Buffer) {
        let is_open = !self.failed && self.state() != LayerState::Handshaking;
        if is_open && self.sending.missing == 0 {
            self.say(wire);
            self.begin_frame(payload, wire);
        }
    }

    fn raw_out(&self) -> usize {
        self.sending.missing
    }

    fn passed_out(&mut self, bytes: &[u8]) {
        self.sending.missing -= bytes.len();
    }

    fn raw_in(&self) -> usize {
        if self.failed { 0 } else { self.receiving.missing }
    }

    fn passed_in(&mut self, bytes: Portion<'_>) {
        self.receiving.take(bytes);
    }
}

/// How long a peer may take for its greeting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the version stands in the greeting.
const VERSION_AT: usize = 6;

/// Bytes that a seam of this layer must hold.
pub const LEAST_BUFFER: usize = frame::LONGEST_CONTROL;
