//! The bytes of `--verify`: its greeting and its frames, made and read.

use std::fmt;

use crate::buffer::Buffer;

/// A first byte that begins no text, a name, the version, no flags.
pub(super) const GREETING: [u8; 8] = [0xf1, b'h', b'a', b'u', b'l', b'V', VERSION, 0];

/// The version of the format.
pub(super) const VERSION: u8 = 1;

/// Type and length of a frame.
pub(super) const HEADER: usize = 5;

/// Most bytes in a data frame.
pub(super) const LONGEST_DATA: usize = 1 << 20;

/// Most bytes of text in an abort or a receipt.
const LONGEST_TEXT: usize = 200;

/// The longest frame that is no data, with its header.
pub(super) const LONGEST_CONTROL: usize = HEADER + VERDICT + LONGEST_TEXT;

/// The fixed part of a receipt: verdict and count.
const VERDICT: usize = 1 + 8;

/// The body of an end: total and digest.
const END_BODY: usize = 8 + 32;

pub(super) const DATA: u8 = 1;
const END: u8 = 2;
const ABORT: u8 = 3;
const RECEIPT: u8 = 4;

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is on the sink.
    Good,
    /// Not what was sent.
    Corrupt,
    /// The wire ended too early.
    Truncated,
    /// The sink failed.
    NotWritten,
    /// The receiver was ended before the stream.
    Stopped,
}

const VERDICTS: [Verdict; 5] =
    [Verdict::Good, Verdict::Corrupt, Verdict::Truncated, Verdict::NotWritten, Verdict::Stopped];

/// A frame that has come: of data only the header, of all others the whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// So many bytes follow.
    Data(usize),
    /// Total and digest of the stream.
    End(u64, [u8; 32]),
    /// Why the source failed.
    Abort(Vec<u8>),
    /// What became of the stream that goes the other way.
    Receipt(Verdict, u64, Vec<u8>),
}

/// What is wrong with bytes that make no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) &'static str);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The first bytes of a frame.
pub(super) fn header(kind: u8, length: usize) -> [u8; HEADER] {
    // no frame that is made here is longer than LONGEST_DATA
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [kind, a, b, c, d]
}

/// The end of a stream.
pub(super) fn end(total: u64, digest: &[u8; 32]) -> Vec<u8> {
    [&header(END, END_BODY)[..], &total.to_be_bytes(), digest].concat()
}

/// The failure of a source.
pub(super) fn abort(why: &str) -> Vec<u8> {
    let why = cut(why);
    [&header(ABORT, why.len())[..], why].concat()
}

/// What became of the peer's stream.
pub(super) fn receipt(verdict: Verdict, count: u64, why: &str) -> Vec<u8> {
    let why = cut(why);
    let code = VERDICTS.iter().position(|other| *other == verdict).unwrap_or_default() as u8;
    [&header(RECEIPT, VERDICT + why.len())[..], &[code], &count.to_be_bytes(), why].concat()
}

fn cut(why: &str) -> &[u8] {
    &why.as_bytes()[..why.floor_char_boundary(LONGEST_TEXT)]
}

/// Puts a frame together that comes in pieces; of a data frame only the header.
#[derive(Debug)]
pub(super) struct Gather {
    bytes: [u8; LONGEST_CONTROL],
    have: usize,
}

impl Default for Gather {
    fn default() -> Self {
        Gather { bytes: [0; LONGEST_CONTROL], have: 0 }
    }
}

impl Gather {
    /// Takes bytes until a frame is whole; `None` if more has to come.
    ///
    /// # Errors
    /// There is no such frame.
    pub(super) fn take(&mut self, wire: &mut Buffer) -> Result<Option<Frame>, Misfit> {
        if !self.fill(wire, HEADER) {
            return Ok(None);
        }
        let (kind, length) = (self.bytes[0], number(&self.bytes[1..HEADER]) as usize);
        check(kind, length)?;
        if kind == DATA {
            self.have = 0;
            return Ok(Some(Frame::Data(length)));
        }
        if !self.fill(wire, HEADER + length) {
            return Ok(None);
        }
        self.have = 0;
        parse(kind, &self.bytes[HEADER..HEADER + length]).map(Some)
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

/// Refuses types and lengths that there are not, before any of the body is waited for.
fn check(kind: u8, length: usize) -> Result<(), Misfit> {
    match kind {
        DATA if length == 0 => Err(Misfit("an empty data frame")),
        DATA if length > LONGEST_DATA => Err(Misfit("a data frame of more than 1 MiB")),
        END if length != END_BODY => Err(Misfit("an end frame of a wrong length")),
        ABORT if length > LONGEST_TEXT => Err(Misfit("a reason that is too long")),
        RECEIPT if !(VERDICT..=VERDICT + LONGEST_TEXT).contains(&length) => Err(Misfit("a receipt of a wrong length")),
        DATA | END | ABORT | RECEIPT => Ok(()),
        _ => Err(Misfit("an unknown frame")),
    }
}

/// Reads a body whose length [`check`] has let pass.
fn parse(kind: u8, body: &[u8]) -> Result<Frame, Misfit> {
    match (kind, body) {
        (ABORT, why) => Ok(Frame::Abort(why.to_vec())),
        (RECEIPT, [code, rest @ ..]) => {
            let (count, why) = rest.split_at_checked(8).ok_or(Misfit("a receipt of a wrong length"))?;
            let verdict = VERDICTS.get(usize::from(*code)).ok_or(Misfit("an unknown verdict"))?;
            Ok(Frame::Receipt(*verdict, number(count), why.to_vec()))
        }
        (END, body) => {
            let wrong = Misfit("an end frame of a wrong length");
            let (total, digest) = body.split_at_checked(8).ok_or(wrong)?;
            Ok(Frame::End(number(total), digest.try_into().map_err(|_| wrong)?))
        }
        _ => Err(Misfit("an unknown frame")),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
