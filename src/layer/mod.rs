//! Filters between bytes as an application sees them and bytes on the wire: TLS, WebSocket, proxies, framing.
//!
//! A layer is sans-IO: bytes in, bytes out; no socket, no clock, no mio. It is driven by a [`stack::Stack`], which
//! owns the buffers, and so it can be tested by feeding it any chunking of the wire.

pub mod crlf;
pub mod prologue;
pub mod proxy;
pub mod proxy_header;
pub mod stack;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod verify;
pub mod websocket;

use std::time::Instant;

use crate::buffer::{Buffer, Portion};
use crate::error::Error;

/// One protocol transform, both directions. Every call does what fits into the buffers it is given and is legal in
/// every state. A connection may go to another thread with what stands on it.
pub trait Layer: Send {
    /// Takes bytes from `wire`, appends application bytes to `plain`.
    ///
    /// # Errors
    /// The peer broke the protocol. What was decoded before stays in `plain`; the stack reports the error after it.
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error>;

    /// Takes application bytes from the front of `plain`, appends wire bytes; how many bytes of `plain` were taken,
    /// 0 during a handshake or when `wire` has no room.
    ///
    /// # Errors
    /// The layer cannot send any more.
    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error>;

    /// Appends what the protocol itself has to say: handshakes, answers, alerts. Legal in every state, after errors too.
    fn flush(&mut self, wire: &mut Buffer);

    /// Tells the layer what happened around it.
    fn note(&mut self, note: Note);

    /// When the layer wants a [`Note::Tick`] at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Where the protocol stands.
    fn state(&self) -> LayerState;

    /// What can be done about the end of the application's bytes; asked when it is reached.
    fn half_close(&self) -> HalfClose;

    /// True if the peer hears of the end of our bytes by this layer, and need not hear it from the transport.
    fn says_end(&self) -> bool {
        false
    }

    /// False while the peer has yet to answer the end of our bytes, where the protocol wants an answer.
    fn is_settled(&self) -> bool {
        true
    }

    /// True once one side has told the other, in the protocol's own words, that this is no orderly end: how the transport
    /// ends then has nothing to add.
    fn is_failure_told(&self) -> bool {
        false
    }

    /// False while the peer may still refuse us altogether, although payload passes already; it stays false if it does.
    fn is_accepted(&self) -> bool {
        true
    }

    /// How many bytes the buffers at its two seams should hold; less than what the stack was made with is no wish.
    fn seam(&self) -> usize {
        0
    }

    /// What was agreed on with the peer, once a handshake is over that agrees on something.
    fn summary(&self) -> Option<tls::Summary> {
        None
    }

    /// True if what it says must not stay in memory once it is gone: a password.
    fn has_secrets(&self) -> bool {
        false
    }

    /// How it stands with the receipts of a protocol that has them.
    fn receipts(&self) -> Option<Receipts> {
        None
    }

    /// Says what has to go before these application bytes, so that they can go out as they are.
    fn announce(&mut self, _: Portion<'_>, _: &mut Buffer) {}

    /// How many of the next application bytes go out as they are, right behind what `wire` holds. Where this layer is
    /// the only one they may pass it by, and [`Layer::passed_out`] tells which did.
    fn raw_out(&self) -> usize {
        0
    }

    /// These bytes, at most [`Layer::raw_out`], were given to the transport.
    fn passed_out(&mut self, _: &[u8]) {}

    /// How many of the next wire bytes are application bytes as they are, once `wire` and `plain` are empty. Where this
    /// layer is the only one they may pass it by, and [`Layer::passed_in`] tells which did.
    fn raw_in(&self) -> usize {
        0
    }

    /// These bytes, at most [`Layer::raw_in`], were given to the application.
    fn passed_in(&mut self, _: Portion<'_>) {}
}

/// Something that a layer should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The application has nothing more to send.
    PlainClosed,
    /// The wire gave an end of file; more than was in `wire` will not come.
    WireEof,
    /// The time that [`Layer::deadline`] asked for has come.
    Tick(Instant),
    /// Before a tick: when the last one came the peer had not acknowledged everything that was sent to it, and since then
    /// it has acknowledged more.
    Taken,
    /// Everything up to the peer's end is where it belongs, so many bytes; or writing failed after so many, and why in a
    /// few words.
    Delivered(Result<u64, (u64, String)>),
    /// The session ends before its own end, and why in a few words: the rest of what the application was to send will
    /// not come, and what still comes for it is not taken.
    Stopped(String),
}

/// Where a protocol with receipts stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// The peer has not confirmed what it was sent: our direction is not over, although its end may be said.
    pub awaited: bool,
    /// Ours has not been said: the wire must not end before, whatever else has.
    pub owed: bool,
}

/// Where a layer's protocol stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// No application bytes can pass yet.
    Handshaking,
    /// Both directions are open.
    Open,
    /// The peer has said that no more application bytes come.
    PlainEof,
    /// The layer has done its part and leaves the stack; what it did not take stays in `wire` as payload.
    Finished,
    /// The protocol was broken.
    Failed,
}

/// What a protocol can do when one direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// It has a way to say so while the other direction goes on (TLS 1.3), or leaves it to the transport.
    Supported,
    /// Saying so ends both directions (TLS 1.2, WebSocket).
    EndsBoth,
}
