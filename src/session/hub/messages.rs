//! What goes to clients that take each line as a message (WebSocket in text mode): nobody gets a part of a message that it
//! did not get the beginning of, and none gets into the midst of another's.
//!
//! - *`--broker`*: a client's line goes to the others when it is whole. One of [`LONGEST`] bytes goes on as several, cut
//!   between two characters. What a client leaves unfinished goes to nobody.
//! - *`--fan-out`*: whoever comes in the midst of a line gets what follows it.

use super::backlog::Backlog;
use super::client::Client;
use super::lines::LONGEST;

/// Bytes of a line that may be read from a client now.
pub(super) fn room(client: &Client) -> usize {
    LONGEST.saturating_sub(client.held.len()).max(1)
}

/// Passes on the lines that `new` makes whole, and holds the rest. Invariant: none is longer than a push may be.
pub(super) fn pass(backlog: &mut Backlog, client: &mut Client, new: &[u8], ended: bool) {
    client.held.extend_from_slice(new);
    if let Some(at) = memchr::memrchr(b'\n', &client.held) {
        backlog.push(client.cursor.as_ref(), &client.held[..=at]);
        client.held.drain(..=at);
    }
    if client.held.len() >= LONGEST {
        let rest = client.held.split_off(whole_characters(&client.held[..LONGEST - 1]));
        let mut part = std::mem::replace(&mut client.held, rest);
        part.push(b'\n');
        backlog.push(client.cursor.as_ref(), &part);
    }
    if ended {
        client.held.clear();
    }
    if client.held.is_empty() {
        // most of the time nothing is held, by most clients
        client.held = Vec::new();
    }
}

/// Takes a client that came in the midst of a line to the end of that.
pub(super) fn skip(backlog: &mut Backlog, client: &mut Client) {
    while let Some(cursor) = client.cursor.as_mut().filter(|_| client.skips) {
        let piece = backlog.next(cursor);
        if piece.is_empty() {
            return;
        }
        let end = memchr::memchr(b'\n', piece);
        let count = end.map_or(piece.len(), |at| at + 1);
        client.skips = end.is_none();
        backlog.advance(cursor, count);
    }
}

/// Bytes of a text, cut anywhere, up to its last whole character; all of them if it is no text.
fn whole_characters(text: &[u8]) -> usize {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(b"\xc3"), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3);
    }
}
