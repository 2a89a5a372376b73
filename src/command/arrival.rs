//! What is told of datagrams that came.

use crate::datagram::Peer;
use crate::endpoint::printed;
use crate::error::{Error, Op};
use crate::event::Event;

/// One of so many bytes, or several that came joined and have so many together. One that was cut is told always.
pub(super) fn said(from: &Peer, count: u64, bytes: usize, truncated: bool) -> Event {
    let (from, byte) = (printed::peer(from), if bytes == 1 { "byte" } else { "bytes" });
    let text = match (truncated, count) {
        (true, _) => format!("{bytes} {byte} from {from}, and more that did not fit"),
        (false, 1) => format!("{bytes} {byte} from {from}"),
        (false, _) => format!("{count} datagrams, {bytes} {byte}, from {from}"),
    };
    Event::Note { verbosity: u8::from(!truncated), text }
}

/// Why a run that went well otherwise has failed: what standard output got of a datagram is only its first `bytes`.
pub(super) fn cut(bytes: usize) -> Error {
    Error::said(Op::Write, "a whole datagram to standard output", format!("it was cut after {bytes} bytes"))
}
