//! The bytes of RFC 6455, section 5.2: headers of frames made and read, and the codes of a Close.

use super::mask::Key;
use crate::buffer::Buffer;

/// Bytes of the longest header: two, a length of eight, a key of four.
pub(super) const LONGEST_HEADER: usize = 2 + 8 + 4;

/// Most payload in a control frame.
pub(super) const LONGEST_CONTROL: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// The next part of a message.
    Continuation,
    /// A message of text, or its first part.
    Text,
    /// A message of bytes, or its first part.
    Binary,
    Close,
    Ping,
    Pong,
}

const OPCODES: [(u8, Opcode); 6] = [
    (0x0, Opcode::Continuation),
    (0x1, Opcode::Text),
    (0x2, Opcode::Binary),
    (0x8, Opcode::Close),
    (0x9, Opcode::Ping),
    (0xa, Opcode::Pong),
];

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn number(self) -> u8 {
        OPCODES.iter().find(|(_, opcode)| *opcode == self).map_or(0, |(number, _)| *number)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The last frame of its message.
    pub(super) last: bool,
    pub(super) opcode: Opcode,
    /// Bytes of payload, at most 2^63 - 1.
    pub(super) length: u64,
    /// The key of a client's frame.
    pub(super) key: Option<Key>,
}

/// Why the peer broke the protocol, in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) &'static str);

/// The bytes of a header, and how many they are.
pub(super) struct Written {
    bytes: [u8; LONGEST_HEADER],
    count: usize,
}

impl Written {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes[self.count..self.count + more.len()].copy_from_slice(more);
        self.count += more.len();
    }
}

impl Header {
    /// The header as it stands on the wire, its length in as few bytes as there can be.
    pub(super) fn write(&self) -> Written {
        let mut written = Written { bytes: [0; LONGEST_HEADER], count: 0 };
        let masked = if self.key.is_some() { MASK } else { 0 };
        let first = if self.last { LAST } else { 0 } | self.opcode.number();
        match self.length {
            short @ 0..=125 => written.push(&[first, masked | short as u8]),
            middle @ 126..=0xffff => {
                written.push(&[first, masked | 126]);
                written.push(&(middle as u16).to_be_bytes());
            }
            long => {
                written.push(&[first, masked | 127]);
                written.push(&long.to_be_bytes());
            }
        }
        if let Some(key) = self.key {
            written.push(&key);
        }
        written
    }
}

/// Bytes of the header of a frame with so much payload.
pub(super) fn header_length(payload: usize, masked: bool) -> usize {
    let length = match payload {
        0..=125 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length + if masked { 4 } else { 0 }
}

/// Puts a header together that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gather {
    bytes: [u8; LONGEST_HEADER],
    have: usize,
}

impl Gather {
    /// True within a header.
    pub(super) fn has_begun(&self) -> bool {
        self.have > 0
    }

    /// Takes bytes until a header is whole; `None` if more has to come. Each part is judged as soon as it is there.
    pub(super) fn take(&mut self, wire: &mut Buffer, masked: bool) -> Result<Option<Header>, Misfit> {
        if !self.fill(wire, 1) {
            return Ok(None);
        }
        let (last, opcode) = first_byte(self.bytes[0])?;
        if !self.fill(wire, 2) {
            return Ok(None);
        }
        let short = second_byte(self.bytes[1], masked)?;
        if opcode.is_control() && !last {
            return Err(Misfit("a control frame in parts"));
        }
        if opcode.is_control() && short > LONGEST_CONTROL as u8 {
            return Err(Misfit("a control frame of more than 125 bytes"));
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.fill(wire, 2 + extended) {
            return Ok(None);
        }
        let number = self.bytes[2..2 + extended].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let length = length(short, number)?;
        if !self.fill(wire, 2 + extended + if masked { 4 } else { 0 }) {
            return Ok(None);
        }
        self.have = 0;
        let key = self.bytes[2 + extended..].first_chunk().copied().filter(|_| masked);
        Ok(Some(Header { last, opcode, length, key }))
    }

    /// Takes until there are `wanted` bytes; true if there are.
    fn fill(&mut self, wire: &mut Buffer, wanted: usize) -> bool {
        let count = wire.len().min(wanted.saturating_sub(self.have));
        self.bytes[self.have..self.have + count].copy_from_slice(&wire.filled()[..count]);
        wire.consume(count);
        self.have += count;
        self.have >= wanted
    }
}

fn first_byte(byte: u8) -> Result<(bool, Opcode), Misfit> {
    if byte & RESERVED != 0 {
        return Err(Misfit("a reserved bit is set"));
    }
    let opcode = OPCODES.iter().find(|(number, _)| *number == byte & 0xf).map(|(_, opcode)| *opcode);
    Ok((byte & LAST != 0, opcode.ok_or(Misfit("an unknown kind of frame"))?))
}

fn second_byte(byte: u8, masked: bool) -> Result<u8, Misfit> {
    match (byte & MASK != 0, masked) {
        (false, true) => Err(Misfit("a frame of a client that is not masked")),
        (true, false) => Err(Misfit("a frame of a server that is masked")),
        _ => Ok(byte & !MASK),
    }
}

fn length(short: u8, extended: u64) -> Result<u64, Misfit> {
    match (short, extended) {
        (127, long) if long >> 63 != 0 => Err(Misfit("a length of 2^63 or more")),
        (126, 0..=125) | (127, 0..=0xffff) => Err(Misfit("a length in more bytes than it needs")),
        (126 | 127, number) => Ok(number),
        (short, _) => Ok(u64::from(short)),
    }
}

const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASK: u8 = 0x80;

/// The codes of a Close that haul says (RFC 6455, section 7.4.1).
pub(super) mod code {
    /// Everything is said.
    pub(in super::super) const NORMAL: u16 = 1000;
    /// The endpoint goes away, a browser from its page.
    pub(in super::super) const AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub(in super::super) const PROTOCOL: u16 = 1002;
    /// A kind of message that is not taken here.
    pub(in super::super) const NOT_TAKEN: u16 = 1003;
    /// Text that is no UTF-8.
    pub(in super::super) const NOT_TEXT: u16 = 1007;
    /// This side cannot go on.
    pub(in super::super) const INTERNAL: u16 = 1011;

    /// True for a code that may stand in a Close.
    pub(in super::super) fn is_sent(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// True for a code that tells of no failure.
    pub(in super::super) fn is_orderly(code: u16) -> bool {
        matches!(code, NORMAL | AWAY)
    }

    /// What a code means, in a few words.
    pub(in super::super) fn meaning(code: u16) -> Option<&'static str> {
        Some(match code {
            1002 => "protocol error",
            1003 => "a kind of data that it does not take",
            1007 => "data that is not what it should be",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "an extension is missing",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], masked: bool) -> Result<Option<Header>, Misfit> {
        let mut gather = Gather::default();
        let mut wire = Buffer::new(1);
        for byte in bytes {
            wire.push(&[*byte]);
            if let Some(header) = gather.take(&mut wire, masked)? {
                assert!(!gather.has_begun());
                return Ok(Some(header));
            }
            assert!(gather.has_begun());
        }
        Ok(None)
    }

    #[test]
    fn a_header_that_is_written_is_read_byte_by_byte() {
        for length in [0, 1, 125, 126, 0xffff, 0x1_0000, i64::MAX as u64] {
            for key in [None, Some([1, 2, 3, 4])] {
                let header = Header { last: length % 2 == 0, opcode: Opcode::Binary, length, key };
                let written = header.write();
                assert_eq!(read(written.bytes(), key.is_some()), Ok(Some(header)));
                if let Ok(small) = usize::try_from(length) {
                    assert_eq!(written.bytes().len(), header_length(small, key.is_some()));
                }
            }
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_refused_as_soon_as_it_is_there() {
        for (bytes, masked, why) in [
            (&[0xc2][..], false, "a reserved bit is set"),
            (&[0x83], false, "an unknown kind of frame"),
            (&[0x8b], false, "an unknown kind of frame"),
            (&[0x82, 0x81], false, "a frame of a server that is masked"),
            (&[0x82, 0x01], true, "a frame of a client that is not masked"),
            (&[0x09, 0x00], false, "a control frame in parts"),
            (&[0x89, 126], false, "a control frame of more than 125 bytes"),
            (&[0x82, 126, 0, 125], false, "a length in more bytes than it needs"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], false, "a length in more bytes than it needs"),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], false, "a length of 2^63 or more"),
        ] {
            assert_eq!(read(bytes, masked), Err(Misfit(why)), "{bytes:x?}");
        }
    }
}
