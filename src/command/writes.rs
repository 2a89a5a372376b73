//! Programs whose writes are datagrams: what one write put into the pipe of [`crate::endpoint::process::start_for_messages`].

use std::io;

use crate::endpoint::Transport;
use crate::reactor::Turn;

/// Reads what one write gave. `room` must have [`ROOM`] more than `limit`, the length of a datagram: a longer write is
/// as many datagrams as it needs.
///
/// # Errors
/// As read(2), of the first read; WouldBlock.
pub(super) fn one_write(from: &mut Transport, turn: &mut Turn, room: &mut [u8], limit: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < limit || filled == 0 {
        match from.read(turn, &mut room[filled..]) {
            Ok(count) => {
                filled += count;
                // the pages of one write are all there by the time that the first can be read
                if count == 0 || !count.is_multiple_of(PAGE) {
                    break;
                }
            }
            // what is wrong is told again
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The longest page there is: what is read of one into less is lost.
pub(super) const ROOM: usize = 64 * 1024;

/// What the length of every page is a multiple of: a write that is longer is cut into pages.
const PAGE: usize = 4096;
