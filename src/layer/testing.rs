//! A layer for tests, with every property that makes real ones hard: a handshake, a header before each record, bytes
//! that change on the way, an end of its own, short takes, and something to say between the records.

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::Buffer;
use crate::error::{Error, Op};

/// `len key payload`, the payload XORed with the key; `0 0` is the end. Both sides greet with `HI` first.
pub(crate) struct Chaos {
    greeted: bool,
    greeting_sent: bool,
    /// Answers to pings that are due: `255 0`.
    pongs: usize,
    key: u8,
    closing: bool,
    closed: bool,
    ended: bool,
    failed: bool,
    /// Leaves the stack after the greeting, as a proxy's handshake does.
    leaves: bool,
    /// Most payload bytes in a record.
    record: usize,
}

impl Chaos {
    pub(crate) fn new(record: usize) -> Self {
        Chaos {
            greeted: false,
            greeting_sent: false,
            pongs: 0,
            key: 1,
            closing: false,
            closed: false,
            ended: false,
            failed: false,
            leaves: false,
            record: record.clamp(1, 253),
        }
    }

    /// One that is only a handshake.
    pub(crate) fn greeting() -> Self {
        Chaos { leaves: true, ..Chaos::new(1) }
    }
}

impl Layer for Chaos {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        if !self.greeted {
            if wire.len() < 2 {
                return Ok(());
            }
            if &wire.filled()[..2] != b"HI" {
                self.failed = true;
                return Err(Error::said(Op::Transfer, "test", "no greeting"));
            }
            wire.consume(2);
            self.greeted = true;
        }
        while !self.leaves && !self.ended {
            let Some((&len, rest)) = wire.filled().split_first() else { break };
            let Some((&key, payload)) = rest.split_first() else { break };
            match (len, key) {
                (0, 0) => self.ended = true,
                (254, 0) => self.pongs += 1,
                (255, 0) => {}
                _ => {
                    let len = usize::from(len);
                    if payload.len() < len || plain.spare(len).len() < len {
                        break;
                    }
                    let bytes: Vec<u8> = payload[..len].iter().map(|byte| byte ^ key).collect();
                    plain.push(&bytes);
                    wire.consume(len);
                }
            }
            wire.consume(2);
        }
        Ok(())
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        if self.failed {
            return Err(Error::said(Op::Transfer, "test", "it has failed"));
        }
        if self.state() == LayerState::Handshaking || plain.is_empty() || self.closed {
            return Ok(0);
        }
        let room = wire.spare(usize::MAX).len().saturating_sub(4);
        let count = plain.len().min(self.record).min(room);
        if count == 0 {
            return Ok(0);
        }
        self.key = self.key.wrapping_mul(31) | 1;
        let key = self.key;
        wire.push(&[254, 0]);
        wire.push(&[count as u8, key]);
        let bytes: Vec<u8> = plain[..count].iter().map(|byte| byte ^ key).collect();
        wire.push(&bytes);
        Ok(count)
    }

    fn flush(&mut self, wire: &mut Buffer) {
        let mut say = |words: &[u8]| wire.spare(words.len()).len() == words.len() && wire.push(words) == words.len();
        if !self.greeting_sent {
            self.greeting_sent = say(b"HI");
        }
        while self.pongs > 0 && say(&[255, 0]) {
            self.pongs -= 1;
        }
        if self.closing && !self.closed && self.greeted && !self.leaves {
            self.closed = say(&[0, 0]);
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::PlainClosed => self.closing = true,
            Note::WireEof | Note::Tick(_) | Note::Taken | Note::Delivered(_) | Note::Stopped(_) => {}
        }
    }

    fn state(&self) -> LayerState {
        match () {
            () if self.failed => LayerState::Failed,
            () if !self.greeted || !self.greeting_sent => LayerState::Handshaking,
            () if self.leaves => LayerState::Finished,
            () if self.ended => LayerState::PlainEof,
            () => LayerState::Open,
        }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::Supported
    }

    fn says_end(&self) -> bool {
        true
    }
}
