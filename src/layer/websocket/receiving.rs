//! What comes from the peer: frames taken apart as they come, their payload handed on at once.

use super::Manner;
use super::frame::{Gather, Header, LONGEST_CONTROL, Misfit, Opcode, code};
use super::mask::{self, Key, Wide};
use super::pinging::Heard;
use super::sending::Control;
use super::utf8::{NotUtf8, Utf8};
use crate::buffer::Buffer;

/// Something that the peer said and that wants an answer.
pub(super) enum Said {
    Ping(Box<Control>),
    /// Its code, if it has one, and why.
    Close(Option<u16>, Vec<u8>),
}

/// Why what came is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Protocol(Misfit),
    NotUtf8,
    /// A message of bytes where only text is taken.
    Bytes,
}

impl From<Misfit> for Wrong {
    fn from(misfit: Misfit) -> Self {
        Wrong::Protocol(misfit)
    }
}

impl From<NotUtf8> for Wrong {
    fn from(NotUtf8: NotUtf8) -> Self {
        Wrong::NotUtf8
    }
}

/// The direction from the peer.
pub(super) struct Receiving {
    /// The peer is a client, and masks.
    masked: bool,
    manner: Manner,
    pub(super) wide: Wide,
    gather: Gather,
    frame: Option<Frame>,
    /// The kind of the message that is under way, in parts.
    message: Option<Kind>,
    utf8: Utf8,
    control: Control,
    /// The last byte of the message that is under way.
    last: Option<u8>,
    /// The end of a line is due.
    newline: bool,
    /// Payload of messages, so far.
    pub(super) total: u64,
    /// Something came since [`Receiving::take_heard`].
    heard: bool,
    /// The same of what is no pong.
    spoke: bool,
}

/// A frame whose payload is under way.
#[derive(Clone, Copy)]
struct Frame {
    what: What,
    last: bool,
    left: u64,
    key: Option<Key>,
    position: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Message(Kind),
    Control(Opcode),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Receiving {
    pub(super) fn new(masked: bool, manner: Manner) -> Self {
        Receiving {
            masked,
            manner,
            wide: |_, _, _| 0,
            gather: Gather::default(),
            frame: None,
            message: None,
            utf8: Utf8::default(),
            control: Control::new(),
            last: None,
            newline: false,
            total: 0,
            heard: false,
            spoke: false,
        }
    }

    /// What came since this was last asked.
    pub(super) fn take_heard(&mut self) -> Heard {
        match (std::mem::take(&mut self.heard), std::mem::take(&mut self.spoke)) {
            (_, true) => Heard::Words,
            (true, false) => Heard::Pong,
            (false, false) => Heard::Nothing,
        }
    }

    /// True where the wire must not end.
    pub(super) fn is_within(&self) -> bool {
        self.message.is_some() || self.frame.is_some() || self.gather.has_begun()
    }

    /// True while the end of a line has found no room.
    pub(super) fn owes(&self) -> bool {
        self.newline
    }

    /// Takes what there is room for, up to the next thing that wants an answer.
    pub(super) fn take(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<Option<Said>, Wrong> {
        self.heard |= !wire.is_empty();
        loop {
            if self.newline {
                self.newline = plain.push(b"\n") == 0;
                if self.newline {
                    return Ok(None);
                }
            }
            let Some(frame) = self.frame else {
                match self.gather.take(wire, self.masked)? {
                    Some(header) => self.begin(header)?,
                    None => return Ok(None),
                }
                continue;
            };
            let whole = match frame.what {
                What::Control(_) => self.take_control(frame, wire),
                What::Message(kind) => self.take_payload(frame, kind, wire, plain)?,
            };
            if !whole {
                return Ok(None);
            }
            self.frame = None;
            match frame.what {
                What::Message(kind) => self.end_frame(kind, frame.last)?,
                What::Control(opcode) => {
                    if let Some(said) = self.heed(opcode)? {
                        return Ok(Some(said));
                    }
                }
            }
        }
    }

    fn begin(&mut self, header: Header) -> Result<(), Wrong> {
        self.spoke |= header.opcode != Opcode::Pong;
        let what = match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Misfit("a continuation of nothing").into()),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Misfit("a message within another").into()),
            (Opcode::Binary, None) if self.manner.strict => return Err(Wrong::Bytes),
            (Opcode::Continuation, Some(kind)) => What::Message(kind),
            (Opcode::Text, None) => What::Message(Kind::Text),
            (Opcode::Binary, None) => What::Message(Kind::Binary),
            (opcode, _) => What::Control(opcode),
        };
        match what {
            What::Message(kind) => self.message = Some(kind),
            What::Control(_) => self.control.length = 0,
        }
        self.frame = Some(Frame { what, last: header.last, left: header.length, key: header.key, position: 0 });
        Ok(())
    }

    /// Takes payload of a control frame; true once it is whole.
    fn take_control(&mut self, mut frame: Frame, wire: &mut Buffer) -> bool {
        let have = self.control.length;
        let count = wire.len().min(usize::try_from(frame.left).unwrap_or(LONGEST_CONTROL));
        self.control.bytes[have..have + count].copy_from_slice(&wire.filled()[..count]);
        self.control.length += count;
        wire.consume(count);
        frame.left -= count as u64;
        self.frame = Some(frame);
        if let (0, Some(key)) = (frame.left, frame.key) {
            mask::apply(key, &mut self.control.bytes[..self.control.length]);
        }
        frame.left == 0
    }

    /// Takes payload of a message; true once the frame is whole.
    fn take_payload(&mut self, frame: Frame, kind: Kind, wire: &mut Buffer, plain: &mut Buffer) -> Result<bool, Wrong> {
        let most = wire.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        let spare = plain.spare(most);
        let count = spare.len();
        match frame.key {
            Some(key) => mask::copy(self.wide, key, frame.position, &wire.filled()[..count], spare),
            None => spare.copy_from_slice(&wire.filled()[..count]),
        }
        if kind == Kind::Text {
            self.utf8.take(spare)?;
        }
        self.last = spare.last().copied().or(self.last);
        self.spoke |= count > 0;
        plain.fill(count);
        wire.consume(count);
        Ok(self.advance(frame, count))
    }

    /// So much more of the frame has come; true if that was all.
    fn advance(&mut self, frame: Frame, count: usize) -> bool {
        let (left, position) = (frame.left - count as u64, frame.position + count as u64);
        self.frame = Some(Frame { left, position, ..frame });
        self.total += count as u64;
        left == 0
    }

    fn end_frame(&mut self, kind: Kind, last: bool) -> Result<(), NotUtf8> {
        if last {
            self.message = None;
            let ended = self.last.take() == Some(b'\n');
            if kind == Kind::Text {
                self.utf8.end()?;
                self.newline = self.manner.text && !ended;
            }
        }
        Ok(())
    }

    /// What a control frame that is whole means.
    fn heed(&mut self, opcode: Opcode) -> Result<Option<Said>, Wrong> {
        match (opcode, self.control.payload()) {
            (Opcode::Ping, _) => Ok(Some(Said::Ping(Box::new(self.control)))),
            (Opcode::Close, []) => Ok(Some(Said::Close(None, Vec::new()))),
            (Opcode::Close, [high, low, why @ ..]) => {
                let number = u16::from_be_bytes([*high, *low]);
                if !code::is_sent(number) {
                    return Err(Misfit("a Close with a code that there is not").into());
                }
                if std::str::from_utf8(why).is_err() {
                    return Err(Wrong::NotUtf8);
                }
                Ok(Some(Said::Close(Some(number), why.to_vec())))
            }
            (Opcode::Close, _) => Err(Misfit("a Close with half a code").into()),
            _ => Ok(None),
        }
    }

    /// How many of the next wire bytes are payload as they are.
    pub(super) fn raw(&self) -> usize {
        match self.frame {
            Some(Frame { what: What::Message(Kind::Binary), key: None, left, .. }) if !self.newline => {
                usize::try_from(left).unwrap_or(usize::MAX)
            }
            _ => 0,
        }
    }

    /// These bytes, at most [`Receiving::raw`], were taken elsewhere.
    pub(super) fn passed(&mut self, bytes: &[u8]) {
        let Some(frame) = self.frame else { return };
        (self.heard, self.spoke) = (true, true);
        if self.advance(frame, bytes.len()) {
            self.frame = None;
            if frame.last {
                (self.message, self.last) = (None, None);
            }
        }
    }
}
