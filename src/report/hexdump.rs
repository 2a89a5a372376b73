//! Bytes as lines that a person can read and `grep` can cut: direction, offset, hexadecimal, text.
//!
//! ```text
//! > 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|
//! < 00000000  48 54 54 50 2f 31 2e 30  20 32 30 30 20 4f 4b 0d  |HTTP/1.0 200 OK.|
//! ```
//!
//! Each direction has offsets of its own. A chunk (one read, one write) begins a new line, so that a conversation is
//! shown as it happens; whoever wants fixed lines has the offsets. Nothing but printable ASCII is ever in a line.

use std::io::Write;
use std::time::SystemTime;

/// Bytes in a full line.
pub const WIDTH: usize = 16;

/// What stands before the bytes of a line.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// When the bytes passed, as [`utc`] writes it.
    pub time: Option<&'a str>,
    /// Which session they belong to, where there may be several.
    pub session: Option<u64>,
    /// `<` for what was received, `>` for what was sent.
    pub mark: char,
    /// Bytes of this direction before these.
    pub offset: u64,
}

/// The time in UTC to the millisecond (RFC 3339).
pub fn utc(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Appends one line with its newline; of `bytes` it shows the first [`WIDTH`].
pub fn append(head: Head, bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(WIDTH)];
    if let Some(time) = head.time {
        out.extend_from_slice(time.as_bytes());
        out.push(b' ');
    }
    // writing into memory cannot fail
    if let Some(session) = head.session {
        let _ = write!(out, "{session} ");
    }
    let _ = write!(out, "{} {:08x}  ", head.mark, head.offset);
    let mut columns = [b' '; 3 * WIDTH + 1];
    for (i, byte) in bytes.iter().enumerate() {
        let at = 3 * i + usize::from(i >= WIDTH / 2);
        columns[at] = DIGITS[usize::from(byte >> 4)];
        columns[at + 1] = DIGITS[usize::from(byte & 15)];
    }
    out.extend_from_slice(&columns);
    out.extend_from_slice(b" |");
    out.extend(bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { *byte } else { b'.' }));
    out.extend_from_slice(b"|\n");
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const HEAD: Head<'_> = Head { time: None, session: None, mark: '<', offset: 0 };

    fn text(head: Head, bytes: &[u8]) -> String {
        let mut line = Vec::new();
        append(head, bytes, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_full_line_shows_its_bytes_twice() {
        assert_eq!(
            text(Head { offset: 0x1f0, ..HEAD }, b"GET / HTTP/1.0\r\n"),
            "< 000001f0  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|\n"
        );
    }

    #[test]
    fn a_short_line_keeps_the_text_in_its_column() {
        let full = text(HEAD, b"0123456789abcdef");
        for length in 1..=WIDTH {
            let short = text(HEAD, &b"0123456789abcdef"[..length]);
            assert_eq!(short.find('|'), full.find('|'));
            assert!(short.ends_with(&format!("|{}|\n", &"0123456789abcdef"[..length])));
        }
    }

    #[test]
    fn time_and_session_come_first() {
        let time = utc(UNIX_EPOCH + Duration::from_millis(1_763_624_377_042));
        let head = Head { time: Some(&time), session: Some(7), mark: '>', offset: 1 << 33 };
        assert!(text(head, b"x").starts_with("2025-11-20T07:39:37.042Z 7 > 200000000  78  "));
    }

    #[test]
    fn no_byte_reaches_a_terminal_as_a_control() {
        for byte in 0..=255u8 {
            let line = text(HEAD, &[byte; WIDTH]);
            let rest = line.strip_suffix('\n').unwrap();
            assert!(rest.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{byte:02x}");
        }
    }
}
