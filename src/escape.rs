//! Text from outside, made safe for a terminal: control characters and bytes that are no UTF-8 are shown as escapes.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_broken_utf8_are_shown_not_sent() {
        assert_eq!(Escaped(b"a\x1b]0;x\x07\n\xff\xc2\x9b").to_string(), "a\\x1b]0;x\\x07\\n\\xff\\u{9b}");
        assert_eq!(Escaped("grüße".as_bytes()).to_string(), "grüße");
    }
}
