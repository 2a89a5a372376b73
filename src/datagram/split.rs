//! Bytes to datagrams, and back: where one message of a stream of bytes ends and the next begins.

use std::fmt;

/// How a stream of bytes is cut into messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// What one read gave is one message.
    #[default]
    Read,
    /// A line is one, without its newline; an unfinished last one counts.
    Line,
    /// What ends in a NUL is one, without the NUL; an unfinished last one counts.
    Nul,
    /// So many bytes are one, at least 1; the last may be shorter.
    Size(usize),
    /// Two bytes, the more significant first, say how long the message behind them is.
    Len16,
    /// All of it is one, also if it is empty.
    None,
}

/// Why a message cannot be sent, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    rule: Rule,
    /// Its number, from 1.
    number: u64,
    /// Where it begins, in bytes from the start of the input.
    offset: u64,
    /// Bytes of the longest message; `None` if the input ended inside this one.
    limit: Option<usize>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unfit { number, offset, .. } = self;
        match self.rule {
            Rule::Line => write!(f, "line {number} (at byte {offset})")?,
            Rule::None => write!(f, "the input")?,
            _ => write!(f, "message {number} (at byte {offset})")?,
        }
        match self.limit {
            Some(limit) => write!(f, " is longer than a datagram can be, {limit} bytes"),
            None => write!(f, " is cut short by the end of the input"),
        }
    }
}

impl std::error::Error for Unfit {}

/// One message: `pending[start..start + length]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where its first byte stands.
    pub start: usize,
    /// How many it has; may be 0.
    pub length: usize,
    /// How many bytes of `pending` are done with: the next call must not see them again.
    pub used: usize,
}

/// Cuts one stream.
#[derive(Clone, Debug)]
pub struct Splitter {
    rule: Rule,
    limit: usize,
    /// Bytes at the head of `pending` that are known to hold no end of a message.
    scanned: usize,
    messages: u64,
    offset: u64,
    over: bool,
}

impl Splitter {
    /// Messages of at most `limit` bytes.
    pub fn new(rule: Rule, limit: usize) -> Self {
        let rule = if rule == Rule::Size(0) { Rule::Size(1) } else { rule };
        Splitter { rule, limit, scanned: 0, messages: 0, offset: 0, over: false }
    }

    /// The most bytes of `pending` that may be needed to find a message: its own, and what frames it.
    pub fn room(&self) -> usize {
        self.limit + 2
    }

    /// The next message in `pending`, which holds everything from the end of the last one on; `ended` if nothing comes
    /// after it. `None` if more has to come first, or nothing is left.
    ///
    /// # Errors
    /// A message that is longer than the limit, or cut short by the end; call no more then.
    pub fn next(&mut self, pending: &[u8], ended: bool) -> Result<Option<Message>, Unfit> {
        let found = match self.rule {
            Rule::Read => (!pending.is_empty()).then(|| whole(pending.len().min(self.limit))),
            Rule::Size(size) if pending.len() >= size => Some(whole(size)),
            Rule::Size(_) => (ended && !pending.is_empty()).then(|| whole(pending.len())),
            Rule::Line => self.until(b'\n', pending, ended)?,
            Rule::Nul => self.until(0, pending, ended)?,
            Rule::Len16 => self.counted(pending, ended)?,
            Rule::None => (ended && !self.over).then(|| whole(pending.len())),
        };
        // an unfinished message that is too long already must not wait for its end
        let length = found.map_or(self.unfinished(pending), |message| message.length);
        if length > self.limit {
            return Err(self.unfit(Some(self.limit)));
        }
        if let Some(message) = found {
            self.messages += 1;
            self.offset += message.used as u64;
            self.scanned = 0;
            self.over = self.rule == Rule::None;
        }
        Ok(found)
    }

    /// The length of each message, where they all have one ([`Rule::Size`]): whoever has several in a block need not ask
    /// for each, and says so by [`Splitter::skipped`].
    pub fn size(&self) -> Option<usize> {
        match self.rule {
            Rule::Size(size) if size <= self.limit => Some(size),
            _ => None,
        }
    }

    /// Notes messages of one size that were not asked for.
    pub fn skipped(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.offset += bytes;
    }

    /// Bytes of `pending` that surely belong to a message that has not ended yet.
    fn unfinished(&self, pending: &[u8]) -> usize {
        match self.rule {
            Rule::Line | Rule::Nul | Rule::None if !self.over => pending.len(),
            _ => 0,
        }
    }

    fn until(&mut self, end: u8, pending: &[u8], ended: bool) -> Result<Option<Message>, Unfit> {
        // one byte beyond the limit decides, however much is pending
        let seen = &pending[..pending.len().min(self.limit + 1)];
        let from = self.scanned.min(seen.len());
        if let Some(at) = seen[from..].iter().position(|byte| *byte == end) {
            let length = from + at;
            return Ok(Some(Message { start: 0, length, used: length + 1 }));
        }
        if seen.len() > self.limit {
            return Err(self.unfit(Some(self.limit)));
        }
        self.scanned = seen.len();
        Ok((ended && !pending.is_empty()).then(|| whole(pending.len())))
    }

    fn counted(&mut self, pending: &[u8], ended: bool) -> Result<Option<Message>, Unfit> {
        let length = match pending {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            [] => return Ok(None),
            [_] if ended => return Err(self.unfit(None)),
            [_] => return Ok(None),
        };
        match pending.len() >= 2 + length {
            true => Ok(Some(Message { start: 2, length, used: 2 + length })),
            false if length > self.limit => Err(self.unfit(Some(self.limit))),
            false if ended => Err(self.unfit(None)),
            false => Ok(None),
        }
    }

    fn unfit(&self, limit: Option<usize>) -> Unfit {
        Unfit { rule: self.rule, number: self.messages + 1, offset: self.offset, limit }
    }
}

fn whole(length: usize) -> Message {
    Message { start: 0, length, used: length }
}

/// How datagrams are written to a stream of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Their payloads and nothing else.
    #[default]
    Raw,
    /// A newline behind each, whatever is in it.
    Line,
    /// A NUL behind each.
    Nul,
    /// Their length before each, two bytes, the more significant first.
    Len16,
}

impl Framing {
    /// What stands before a payload of so many bytes. `None` if that cannot be said: a Unix datagram beyond 65,535 bytes.
    pub fn before(self, length: usize) -> Option<Head> {
        match self {
            Framing::Len16 => Some(Head { bytes: u16::try_from(length).ok()?.to_be_bytes(), length: 2 }),
            _ => Some(Head { bytes: [0; 2], length: 0 }),
        }
    }

    /// What stands behind a payload.
    pub fn after(self) -> &'static [u8] {
        match self {
            Framing::Line => b"\n",
            Framing::Nul => b"\0",
            Framing::Raw | Framing::Len16 => b"",
        }
    }

    /// The most bytes that a frame adds.
    pub const MOST: usize = 2;
}

/// The bytes before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 2],
    length: u8,
}

impl Head {
    /// Its bytes, none for most framings.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds pieces of these lengths, over and over; the messages, and what was wrong.
    fn cut(rule: Rule, limit: usize, input: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, Option<String>) {
        let (mut splitter, mut pending, mut messages) = (Splitter::new(rule, limit), Vec::new(), Vec::new());
        let (mut rest, mut turn) = (input, 0);
        loop {
            let count = pieces[turn % pieces.len()].clamp(1, rest.len().max(1)).min(rest.len());
            pending.extend_from_slice(&rest[..count]);
            rest = &rest[count..];
            turn += 1;
            loop {
                match splitter.next(&pending, rest.is_empty()) {
                    Ok(Some(message)) => {
                        messages.push(pending[message.start..message.start + message.length].to_vec());
                        pending.drain(..message.used);
                    }
                    Ok(None) => break,
                    Err(unfit) => return (messages, Some(unfit.to_string())),
                }
            }
            if rest.is_empty() {
                assert!(pending.is_empty(), "{rule:?} left {pending:?}");
                return (messages, None);
            }
        }
    }

    fn texts(rule: Rule, input: &str) -> Vec<String> {
        let (messages, wrong) = cut(rule, 100, input.as_bytes(), &[3]);
        assert_eq!(wrong, None);
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn lines_lose_their_newline_and_empty_ones_count() {
        assert_eq!(texts(Rule::Line, "one\n\ntwo\r\nrest"), ["one", "", "two\r", "rest"]);
        assert_eq!(texts(Rule::Line, "one\n"), ["one"]);
        assert_eq!(texts(Rule::Line, ""), [""; 0]);
        assert_eq!(texts(Rule::Nul, "a\0b\nc\0\0"), ["a", "b\nc", ""]);
    }

    #[test]
    fn sizes_and_counts_cut_where_they_say() {
        assert_eq!(texts(Rule::Size(4), "abcdefghij"), ["abcd", "efgh", "ij"]);
        assert_eq!(texts(Rule::Len16, "\0\x03abc\0\0\0\x01z"), ["abc", "", "z"]);
        assert_eq!(texts(Rule::Read, "abcdefgh"), ["abc", "def", "gh"]);
        assert_eq!(texts(Rule::None, "abc\ndef"), ["abc\ndef"]);
        assert_eq!(texts(Rule::None, ""), [""]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let wrong = |rule, input: &[u8]| cut(rule, 4, input, &[2]).1.unwrap_or_default();
        assert_eq!(wrong(Rule::Line, b"ab\nabcde\n"), "line 2 (at byte 3) is longer than a datagram can be, 4 bytes");
        assert_eq!(wrong(Rule::Line, b"abcd\n"), "");
        assert_eq!(wrong(Rule::Nul, b"abcde"), "message 1 (at byte 0) is longer than a datagram can be, 4 bytes");
        assert_eq!(wrong(Rule::None, b"abcde"), "the input is longer than a datagram can be, 4 bytes");
        assert_eq!(
            wrong(Rule::Len16, b"\0\x01a\0\x05abcde"),
            "message 2 (at byte 3) is longer than a datagram can be, 4 bytes"
        );
        assert_eq!(wrong(Rule::Len16, b"\0\x03ab"), "message 1 (at byte 0) is cut short by the end of the input");
        assert_eq!(wrong(Rule::Len16, b"\0"), "message 1 (at byte 0) is cut short by the end of the input");
    }

    #[test]
    fn a_line_without_end_is_refused_before_its_end_comes() {
        let mut splitter = Splitter::new(Rule::Line, 4);
        assert_eq!(splitter.next(b"abcd", false), Ok(None));
        assert!(splitter.next(b"abcde", false).is_err());
    }

    fn rule() -> impl Strategy<Value = Rule> {
        prop_oneof![
            Just(Rule::Line),
            Just(Rule::Nul),
            (1..9usize).prop_map(Rule::Size),
            Just(Rule::Len16),
            Just(Rule::None),
        ]
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages(
            rule in rule(),
            limit in 9..30usize,
            input in prop::collection::vec(prop_oneof![Just(0u8), Just(b'\n'), 0..12u8, any::<u8>()], 0..120),
            pieces in prop::collection::vec(1..40usize, 1..8),
        ) {
            prop_assert_eq!(cut(rule, limit, &input, &pieces), cut(rule, limit, &input, &[usize::MAX]));
        }

        #[test]
        fn what_is_framed_is_cut_into_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(1..9u8, 0..20), 0..20),
            pieces in prop::collection::vec(1..40usize, 1..8),
        ) {
            for (framing, rule) in [
                (Framing::Line, Rule::Line), (Framing::Nul, Rule::Nul), (Framing::Len16, Rule::Len16)
            ] {
                let mut stream = Vec::new();
                for message in &messages {
                    stream.extend_from_slice(framing.before(message.len()).unwrap().as_bytes());
                    stream.extend_from_slice(message);
                    stream.extend_from_slice(framing.after());
                }
                let (found, wrong) = cut(rule, 20, &stream, &pieces);
                prop_assert_eq!((&found, wrong), (&messages, None));
            }
        }
    }

    #[test]
    fn a_length_that_two_bytes_cannot_say_is_refused() {
        assert!(Framing::Len16.before(65_536).is_none());
        assert!(Framing::Line.before(65_536).is_some());
    }
}
