//! Escapes, both ways: text from outside made safe for a terminal, and the C-style escapes that a user may type.
//!
//! [`Escaped`] is for people: control characters and bytes that are no UTF-8 are shown as escapes. [`unescape`] and
//! [`escape`] are for data, each the other's inverse: `text,escapes:`, `--send` and `--banner`.

use std::fmt::{self, Write};

/// Displays bytes of unknown origin: printable UTF-8 as it is, anything else as `\n`, `\x1b`, `\u{9b}`, ….
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
                    c if is_deceptive(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// C1 controls act like escape sequences on some terminals; bidirectional and line separators rearrange a line.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// A backslash that begins no escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape {
    /// Where the backslash stands, in bytes from the start.
    pub at: usize,
    /// Lower case, no full stop.
    pub cause: &'static str,
}

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.cause, self.at)
    }
}

impl std::error::Error for BadEscape {}

/// Replaces `\n \r \t \a \b \e \f \v \\ \' \"`, one to three octal digits (`\0`, `\033`) and `\x` with one or two
/// hexadecimal digits by the bytes that they stand for.
///
/// # Errors
/// [`BadEscape`] for any other backslash: a typing mistake must not be sent as it is.
pub fn unescape(text: &[u8]) -> Result<Vec<u8>, BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.iter().position(|byte| *byte == b'\\') {
        let at = text.len() - rest.len() + next;
        bytes.extend_from_slice(&rest[..next]);
        let (byte, length) = decode(&rest[next + 1..]).map_err(|cause| BadEscape { at, cause })?;
        bytes.push(byte);
        rest = &rest[next + 1 + length..];
    }
    bytes.extend_from_slice(rest);
    Ok(bytes)
}

/// One escape behind its backslash: the byte it stands for, and how many bytes spell it.
fn decode(spelled: &[u8]) -> Result<(u8, usize), &'static str> {
    let first = *spelled.first().ok_or("a backslash at the end has nothing to escape; a backslash itself is \\\\")?;
    let byte = match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        b'e' => 0x1b,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'\\' | b'\'' | b'"' => first,
        b'x' => {
            let (value, length) = digits(&spelled[1..], 16, 2);
            let byte = if length > 0 { u8::try_from(value).ok() } else { None };
            return byte.map(|byte| (byte, 1 + length)).ok_or("\\x is followed by two hexadecimal digits");
        }
        b'0'..=b'7' => {
            let (value, length) = digits(spelled, 8, 3);
            return u8::try_from(value).map(|byte| (byte, length)).map_err(|_| "the octal number is above 377");
        }
        _ => return Err("unknown escape; there are \\n \\r \\t \\a \\b \\e \\f \\v \\NNN (octal) \\xNN and \\\\"),
    };
    Ok((byte, 1))
}

/// The number that at most `most` leading digits make, and how many there were.
fn digits(spelled: &[u8], radix: u32, most: usize) -> (u32, usize) {
    let values = spelled.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    values.fold((0, 0), |(value, length), digit| (value * radix + digit, length + 1))
}

/// The spelling that [`unescape`] turns back into these bytes: backslashes and control characters are escaped.
pub fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\\' => text.extend_from_slice(b"\\\\"),
            byte if byte.is_ascii_control() => text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            byte => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn c_escapes_become_bytes_and_mistakes_are_located() {
        let text = br#"a\n\r\t\0\\\x41\e\a\033\1019\x7\'\""#;
        assert_eq!(unescape(text).unwrap(), b"a\n\r\t\0\\A\x1b\x07\x1bA9\x07'\"");
        assert_eq!(unescape(b"ok\\").unwrap_err().at, 2);
        for bad in [r"\x", r"\xg0", r"\400", r"\q", r"\8", r"ab\"] {
            assert!(unescape(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn escaping_is_undone_by_unescaping(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), Ok(bytes));
        }

        #[test]
        fn unescaping_never_panics(text in r"([a-z0-9]|\\){0,20}") {
            let _ = unescape(text.as_bytes());
        }
    }

    #[test]
    fn controls_and_broken_utf8_are_shown_not_sent() {
        assert_eq!(Escaped(b"a\x1b]0;x\x07\n\xff\xc2\x9b").to_string(), "a\\x1b]0;x\\x07\\n\\xff\\u{9b}");
        assert_eq!(Escaped("grüße".as_bytes()).to_string(), "grüße");
    }
}
