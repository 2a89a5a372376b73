//! Bytes of a control connection, cut into what is waited for: a state, a message, two numbers.

use super::State;
use crate::escape::Escaped;

/// What is wrong with what the peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It does not speak the protocol; what it said first.
    Foreign(Vec<u8>),
    /// It is busy.
    Busy,
    /// It refuses, by a number of iperf3's.
    Refused(i32),
    /// It leaves in the middle.
    Left,
    /// A message longer than anything that makes sense: what it is about, how long, and the bound.
    Huge(&'static str, usize, usize),
    /// A message that makes no sense: what it is about, and why.
    Malformed(&'static str, String),
    /// A step that does not follow on the one before.
    OutOfStep(u8),
}

impl Breach {
    /// One sentence, with what the peer has said escaped.
    pub fn sentence(&self) -> String {
        match self {
            Breach::Foreign(said) if said.is_empty() => "it does not speak iperf3's protocol".into(),
            Breach::Foreign(said) => {
                let head = &said[..said.len().min(SHOWN)];
                format!("it does not speak iperf3's protocol, it said \"{}\"", Escaped(head))
            }
            Breach::Busy => "it is busy with another test".into(),
            Breach::Refused(code) => super::Refusal::sentence(*code),
            Breach::Left => "it has ended the test".into(),
            Breach::Huge(what, length, most) => {
                format!("its {what} would be {length} bytes long, more than {most}")
            }
            Breach::Malformed(what, why) => format!("its {what} cannot be understood: {}", Escaped(why.as_bytes())),
            Breach::OutOfStep(byte) => format!("it is out of step: it said {}", *byte as i8),
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// One byte.
    State,
    /// A length and a message of at most so many bytes, about this.
    Message(&'static str, usize),
    /// Two numbers, of which the first is told.
    Numbers,
}

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    State(Result<State, u8>),
    Message(Vec<u8>),
    Number(i32),
}

/// Bytes that were not understood yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
}

impl Incoming {
    /// Takes more bytes.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What was said and not understood.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The next piece, if it is there as a whole.
    pub(super) fn next(&mut self, want: Want) -> Result<Option<Piece>, Breach> {
        let rest = &self.bytes[self.start..];
        let (piece, length) = match want {
            Want::State => match rest.first() {
                Some(byte) => (Piece::State(State::of(*byte).ok_or(*byte)), 1),
                None => return Ok(None),
            },
            Want::Numbers => match rest.first_chunk::<8>() {
                Some(both) => (Piece::Number(i32::from_be_bytes([both[0], both[1], both[2], both[3]])), 8),
                None => return Ok(None),
            },
            Want::Message(what, most) => {
                let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
                let length = u32::from_be_bytes(*length) as usize;
                if length > most {
                    return Err(Breach::Huge(what, length, most));
                }
                match rest.get(4..4 + length) {
                    Some(text) => (Piece::Message(text.to_vec()), 4 + length),
                    None => return Ok(None),
                }
            }
        };
        self.start += length;
        Ok(Some(piece))
    }
}

/// Bytes of a foreign greeting that are shown.
const SHOWN: usize = 60;
