//! What goes to the peer: messages as frames, and between them what the protocol has to say.

use std::io;

use super::frame::{Header, LONGEST_CONTROL, LONGEST_HEADER, Opcode, code, header_length};
use super::mask::{self, Entropy, Key, Keys, Wide};
use super::utf8::{NotUtf8, Utf8};
use crate::buffer::Buffer;

/// The payload of a control frame.
#[derive(Clone, Copy)]
pub(super) struct Control {
    pub(super) bytes: [u8; LONGEST_CONTROL],
    pub(super) length: usize,
}

impl Control {
    pub(super) fn new() -> Self {
        Control { bytes: [0; LONGEST_CONTROL], length: 0 }
    }

    /// The payload of a Close: a code, and why.
    fn close(code: u16, why: &str) -> Self {
        let mut control = Control::new();
        let why = &why.as_bytes()[..why.floor_char_boundary(LONGEST_CONTROL - 2)];
        control.bytes[..2].copy_from_slice(&code.to_be_bytes());
        control.bytes[2..2 + why.len()].copy_from_slice(why);
        control.length = 2 + why.len();
        control
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Why nothing more can be sent.
pub(super) enum Trouble {
    /// In text mode: the next bytes are no UTF-8.
    NotUtf8,
    /// The system has no random bytes.
    Entropy(io::Error),
}

impl From<NotUtf8> for Trouble {
    fn from(NotUtf8: NotUtf8) -> Self {
        Trouble::NotUtf8
    }
}

/// The direction to the peer.
pub(super) struct Sending {
    /// A client masks.
    keys: Option<Box<Keys>>,
    /// A message a line, of text; otherwise a message a write, of bytes.
    text: bool,
    pub(super) wide: Wide,
    utf8: Utf8,
    /// A message was begun whose line goes on.
    in_message: bool,
    /// What is missing of a frame that was begun: it goes before anything else.
    pub(super) missing: usize,
    /// The application has nothing more.
    pub(super) closed: bool,
    /// The newest ping's payload, to be sent back.
    pub(super) pong: Option<Box<Control>>,
    /// A ping of our own is due.
    pub(super) ping: bool,
    /// What is said at the end, where the peer has closed.
    answer: Option<Box<Control>>,
    /// The Close that is due or was said.
    close: Option<Box<Control>>,
    pub(super) close_said: bool,
}

impl Sending {
    pub(super) fn new(masks: Option<Entropy>, text: bool) -> Self {
        Sending {
            keys: masks.map(|entropy| Box::new(Keys::new(entropy))),
            text,
            wide: |_, _, _| 0,
            utf8: Utf8::default(),
            in_message: false,
            missing: 0,
            closed: false,
            pong: None,
            ping: false,
            answer: None,
            close: None,
            close_said: false,
        }
    }

    /// Has a Close said, unless there is one already.
    pub(super) fn close(&mut self, code: u16, why: &str) {
        self.close.get_or_insert_with(|| Box::new(Control::close(code, why)));
    }

    /// Has a Close answered by the same, once the application has ended.
    pub(super) fn answer_close(&mut self, code: Option<u16>) {
        self.answer = Some(code.map_or_else(Control::new, |code| Control::close(code, "")).into());
    }

    /// True once a Close was said whose code means a failure.
    pub(super) fn has_said_failure(&self) -> bool {
        let number =
            self.close.as_ref().and_then(|close| close.payload().first_chunk().copied().map(u16::from_be_bytes));
        self.close_said && number.is_some_and(|number| !code::is_orderly(number))
    }

    /// Takes application bytes; how many.
    pub(super) fn take(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Trouble> {
        if self.missing > 0 {
            let count = wire.push(&plain[..plain.len().min(self.missing)]);
            self.missing -= count;
            return Ok(count);
        }
        self.say(wire)?;
        if self.close_said {
            return Ok(0);
        }
        match self.text {
            true => self.take_lines(plain, wire),
            false => self.take_bytes(plain, wire),
        }
    }

    /// Messages that no peer refuses for their length.
    fn take_bytes(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Trouble> {
        let mut taken = 0;
        for piece in plain.chunks(LONGEST_MESSAGE) {
            let count = self.room(piece.len(), wire);
            if count > 0 {
                self.push(Opcode::Binary, true, &piece[..count], wire)?;
            }
            taken += count;
            if count < piece.len() {
                break;
            }
        }
        Ok(taken)
    }

    /// A message for each line; the beginning of a line whose end has not come goes out as a part.
    fn take_lines(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Trouble> {
        let mut taken = 0;
        while taken < plain.len() {
            let rest = &plain[taken..];
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            let count = self.room(line.len(), wire);
            let ends = count == line.len() && end.is_some();
            if count == 0 && !(ends && Self::free(wire) >= LONGEST_HEADER) {
                break;
            }
            self.utf8.take(&line[..count])?;
            if ends {
                self.utf8.end()?;
            }
            let opcode = if self.in_message { Opcode::Continuation } else { Opcode::Text };
            self.push(opcode, ends, &line[..count], wire)?;
            self.in_message = !ends;
            taken += count + usize::from(ends);
        }
        Ok(taken)
    }

    /// Begins a frame whose payload will pass by: only what is not masked can.
    pub(super) fn announce(&mut self, payload: &[u8], wire: &mut Buffer) -> Result<(), Trouble> {
        if self.text || self.keys.is_some() || payload.is_empty() || self.missing > 0 {
            return Ok(());
        }
        self.say(wire)?;
        if !self.close_said && Self::free(wire) > LONGEST_HEADER {
            let length = payload.len().min(LONGEST_MESSAGE);
            let header = Header { last: true, opcode: Opcode::Binary, length: length as u64, key: None };
            wire.push(header.write().bytes());
            self.missing = length;
        }
        Ok(())
    }

    /// Says what is due, each as a whole; nothing goes into the midst of a frame, nor behind a Close.
    pub(super) fn say(&mut self, wire: &mut Buffer) -> Result<(), Trouble> {
        if self.missing > 0 || self.close_said {
            return Ok(());
        }
        if let Some(pong) = self.pong.take()
            && !self.control(Opcode::Pong, pong.payload(), wire)?
        {
            self.pong = Some(pong);
        }
        if self.ping && self.control(Opcode::Ping, b"", wire)? {
            self.ping = false;
        }
        if self.closed && self.close.is_none() {
            // a last line without its end is a message all the same
            if self.in_message {
                if Self::free(wire) < LONGEST_HEADER {
                    return Ok(());
                }
                self.utf8.end()?;
                self.push(Opcode::Continuation, true, b"", wire)?;
                self.in_message = false;
            }
            self.close = self.answer.take().or_else(|| Some(Box::new(Control::close(code::NORMAL, ""))));
        }
        if let Some(close) = self.close.take() {
            self.close_said = self.control(Opcode::Close, close.payload(), wire)?;
            self.close = Some(close);
        }
        Ok(())
    }

    /// Appends a control frame if all of it has room.
    fn control(&mut self, opcode: Opcode, payload: &[u8], wire: &mut Buffer) -> Result<bool, Trouble> {
        let fits = Self::free(wire) >= header_length(payload.len(), self.keys.is_some()) + payload.len();
        if fits {
            self.push(opcode, true, payload, wire)?;
        }
        Ok(fits)
    }

    /// How many of `wanted` bytes can be the payload of a frame now; 0 rather than a scrap.
    fn room(&self, wanted: usize, wire: &Buffer) -> usize {
        let free = Self::free(wire);
        let count = wanted.min(free.saturating_sub(header_length(wanted.min(free), self.keys.is_some())));
        if count < wanted && count < SCRAP && !wire.is_empty() { 0 } else { count }
    }

    fn free(wire: &Buffer) -> usize {
        wire.capacity() - wire.len()
    }

    /// Appends a frame; there must be room.
    fn push(&mut self, opcode: Opcode, last: bool, payload: &[u8], wire: &mut Buffer) -> Result<(), Trouble> {
        let key = self.key()?;
        wire.push(Header { last, opcode, length: payload.len() as u64, key }.write().bytes());
        match key {
            None => {
                wire.push(payload);
            }
            Some(key) => {
                let spare = wire.spare(payload.len());
                let count = spare.len();
                mask::copy(self.wide, key, 0, &payload[..count], spare);
                wire.fill(count);
            }
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Option<Key>, Trouble> {
        self.keys.as_mut().map(|keys| keys.next()).transpose().map_err(Trouble::Entropy)
    }
}

/// Most bytes of one message: some libraries take no more than 32 KiB by default.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// Fewer bytes are no frame of their own while others wait to be written.
const SCRAP: usize = 1024;
