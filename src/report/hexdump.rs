//! Bytes as lines that a person can read and `grep` can cut: direction, offset, hexadecimal, text.
//!
//! ```text
//! > 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|
//! < 00000000  48 54 54 50 2f 31 2e 30  20 32 30 30 20 4f 4b 0d  |HTTP/1.0 200 OK.|
//! ```
//!
//! Each direction has offsets of its own. A chunk (one read, one write) begins a new line, so that a conversation is
//! shown as it happens; whoever wants fixed lines has the offsets. Nothing but printable ASCII is ever in a line.

use std::time::SystemTime;

/// Bytes in a full line.
pub const WIDTH: usize = 16;

/// What stands before the bytes of a line.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// When the bytes passed, shown in UTC.
    pub time: Option<SystemTime>,
    /// Which session they belong to, where there may be several.
    pub session: Option<u64>,
    /// `<` for what was received, `>` for what was sent.
    pub mark: char,
    /// Bytes of this direction before these.
    pub offset: u64,
}

/// One line of the dump, with its newline; at most [`WIDTH`] bytes.
pub fn line(head: Head, bytes: &[u8]) -> Vec<u8> {
    let mut line = String::with_capacity(LINE);
    if let Some(time) = head.time {
        line.push_str(&humantime::format_rfc3339_millis(time).to_string());
        line.push(' ');
    }
    if let Some(session) = head.session {
        line.push_str(&format!("{session} "));
    }
    line.push_str(&format!("{} {:08x} ", head.mark, head.offset));
    for column in 0..WIDTH {
        if column % (WIDTH / 2) == 0 {
            line.push(' ');
        }
        match bytes.get(column) {
            Some(byte) => line.extend([digit(byte >> 4), digit(byte & 15), ' ']),
            None => line.push_str("   "),
        }
    }
    line.push_str(" |");
    line.extend(bytes.iter().take(WIDTH).map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    }));
    line.push_str("|\n");
    line.into_bytes()
}

fn digit(nibble: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(nibble & 15)])
}

/// A full line with its time.
const LINE: usize = 112;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const HEAD: Head = Head { time: None, session: None, mark: '<', offset: 0 };

    fn text(head: Head, bytes: &[u8]) -> String {
        String::from_utf8(line(head, bytes)).unwrap()
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
        let time = Some(UNIX_EPOCH + Duration::from_millis(1_763_624_377_042));
        assert!(
            text(Head { time, session: Some(7), mark: '>', offset: 1 << 33 }, b"x")
                .starts_with("2025-11-20T07:39:37.042Z 7 > 200000000  78  ")
        );
    }

    #[test]
    fn no_byte_reaches_a_terminal_as_a_control() {
        for byte in 0..=255u8 {
            let line = line(HEAD, &[byte; WIDTH]);
            let (newline, rest) = line.split_last().unwrap();
            assert_eq!(*newline, b'\n');
            assert!(rest.iter().all(|byte| matches!(byte, b' '..=b'~')), "{byte:02x}");
        }
    }
}
