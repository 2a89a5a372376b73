//! What both sides of the opening handshake need (RFC 6455, section 4): a header that comes in pieces, and its parts.

use data_encoding::BASE64;

use super::mask::Entropy;
use crate::buffer::Buffer;
use crate::error::{Cause, Error};
use crate::outcome::ExitStatus;

/// A header of an HTTP message, as far as it has come; at most [`LONGEST`] bytes, with those that it came after.
#[derive(Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// Bytes of those that came before it and did not count.
    before: usize,
    /// How much of the empty line that ends it stands at the end of `bytes`.
    ending: Ending,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    None,
    LineEnd,
    LineEndReturn,
}

/// There are more bytes than a header may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Head {
    /// Takes bytes up to the end of the header, and none behind it; true once it is whole.
    pub(super) fn take(&mut self, wire: &mut Buffer) -> Result<bool, TooLong> {
        let mut whole = false;
        let mut count = 0;
        for byte in wire.filled() {
            count += 1;
            (self.ending, whole) = match (byte, self.ending) {
                (b'\n', Ending::LineEnd | Ending::LineEndReturn) => (Ending::None, true),
                (b'\n', Ending::None) => (Ending::LineEnd, false),
                (b'\r', Ending::LineEnd) => (Ending::LineEndReturn, false),
                _ => (Ending::None, false),
            };
            if whole {
                break;
            }
        }
        if self.before + self.bytes.len() + count > LONGEST {
            return Err(TooLong);
        }
        self.bytes.extend_from_slice(&wire.filled()[..count]);
        wire.consume(count);
        Ok(whole)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// This one did not count: another follows.
    pub(super) fn pass_over(&mut self) {
        self.before += self.bytes.len();
        self.bytes.clear();
    }
}

/// Most bytes of a header.
const LONGEST: usize = 64 * 1024;

/// Most fields of a header.
pub(super) const MOST_FIELDS: usize = 128;

/// The values of a field that may stand several times.
pub(super) fn values<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.trim_ascii())
}

/// The value of a field that stands once.
pub(super) fn value<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> Option<&'a [u8]> {
    let mut found = values(fields, name);
    found.next().filter(|_| found.next().is_none())
}

/// The words of a list separated by commas.
pub(super) fn words<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    values(fields, name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// True if a list holds this word, in whatever case.
pub(super) fn has_word(fields: &[httparse::Header], name: &str, word: &str) -> bool {
    words(fields, name).any(|other| other.eq_ignore_ascii_case(word.as_bytes()))
}

/// A fresh key, as it stands in a request.
///
/// # Errors
/// The system has no random bytes.
pub(super) fn fresh_key(entropy: Entropy) -> std::io::Result<String> {
    let mut nonce = [0; NONCE];
    entropy(&mut nonce)?;
    Ok(BASE64.encode(&nonce))
}

/// True for the Base64 of 16 bytes.
pub(super) fn is_key(key: &[u8]) -> bool {
    BASE64.decode(key).is_ok_and(|nonce| nonce.len() == NONCE)
}

const NONCE: usize = 16;

/// What the answer to a key is.
pub(super) fn accept(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(MAGIC);
    BASE64.encode(&sha1.digest().bytes())
}

const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Basic …` (RFC 7617).
pub(super) fn basic(credentials: &str) -> String {
    format!("Basic {}", BASE64.encode(credentials.as_bytes()))
}

/// Appends fields; a field of the user's replaces one of the same name.
pub(super) fn write_fields<'a>(
    head: &mut String,
    own: impl IntoIterator<Item = (&'a str, &'a str)>,
    users: &'a [(String, String)],
) {
    let users_too = |name: &str| users.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let own = own.into_iter().filter(|(name, _)| !users_too(name));
    for (name, value) in own.chain(users.iter().map(|(name, value)| (&**name, &**value))) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
}

/// A handshake that led nowhere. What came from the peer must be escaped.
pub(super) fn failure(said: impl Into<String>, status: ExitStatus) -> Error {
    Error::begun("WebSocket handshake failed", Cause::Said(said.into())).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ==") && !is_key(b"c2hvcnQ=") && !is_key(b"?"));
    }

    #[test]
    fn a_header_ends_with_an_empty_line_and_what_follows_stays() {
        for whole in [&b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..], b"GET / HTTP/1.1\nA: b\n\n", b"x\r\n\n"] {
            let mut head = Head::default();
            let mut wire = Buffer::new(64);
            for byte in &whole[..whole.len() - 1] {
                wire.push(&[*byte]);
                assert_eq!(head.take(&mut wire), Ok(false));
            }
            wire.push(&whole[whole.len() - 1..]);
            wire.push(b"rest");
            assert_eq!(head.take(&mut wire), Ok(true));
            assert_eq!((head.bytes(), wire.filled()), (whole, &b"rest"[..]));
        }
    }

    #[test]
    fn a_header_without_end_is_refused_at_64_kib() {
        let mut head = Head::default();
        let mut wire = Buffer::new(1000);
        let mut taken = 0;
        loop {
            wire.push(&[b'a'; 1000]);
            match head.take(&mut wire) {
                Ok(whole) => assert!(!whole),
                Err(TooLong) => break,
            }
            taken += 1000;
        }
        assert!((LONGEST - 1000..=LONGEST).contains(&taken));
    }
}
