//! What happened, as data: the source of `-v` lines and of the NDJSON of `--events`.

use std::time::Duration;

/// Something that a person or a script may want to know as it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A listener is bound. `address` is in the fixed shape of the manual: `127.0.0.1:40123`, `*:40123`, a path.
    Listening {
        /// `tcp`, `unix`, `unix-seqpacket`, …
        protocol: &'static str,
        /// Where, as printed; never the bare `0` the user typed.
        address: String,
    },
    /// A listener took a connection that got through.
    Accepted {
        /// Number of the session, from 1.
        session: u64,
        /// `tcp`, `unix`, …
        protocol: &'static str,
        /// The peer, as printed.
        peer: String,
        /// Our side, as printed.
        local: String,
    },
    /// A connection that we asked for is up.
    Connected {
        /// Number of the session, from 1.
        session: u64,
        /// `tcp`, `unix`, …
        protocol: &'static str,
        /// The peer, as printed.
        peer: String,
        /// Our side, as printed.
        local: String,
    },
    /// One direction reached its source's end and everything was delivered.
    Eof {
        /// Number of the session.
        session: u64,
        /// `in` from the peer, `out` to it.
        direction: &'static str,
        /// Bytes delivered in that direction.
        bytes: u64,
    },
    /// A session is over.
    Closed {
        /// Number of the session.
        session: u64,
        /// Bytes received from the peer.
        bytes_in: u64,
        /// Bytes sent to the peer.
        bytes_out: u64,
        /// How long it lasted.
        elapsed: Duration,
        /// `clean`, or one line saying what went wrong.
        reason: String,
    },
    /// Something failed that is worth a line of its own.
    Error {
        /// Number of the session, where it concerns one.
        session: Option<u64>,
        /// The error, one line.
        reason: String,
    },
    /// Totals, at the end or on SIGUSR1.
    Stats {
        /// Bytes received.
        bytes_in: u64,
        /// Bytes sent.
        bytes_out: u64,
        /// Since the start.
        elapsed: Duration,
    },
    /// Totals of a pipe: what went from its source to its sinks.
    Piped {
        /// Bytes delivered.
        bytes: u64,
        /// Records whose end was delivered, where they are counted.
        records: Option<u64>,
        /// Since the start.
        elapsed: Duration,
    },
    /// A choice of path or another detail that only `-v` tells, as a finished sentence.
    Note {
        /// Shown from this many `-v` on.
        verbosity: u8,
        /// The sentence, lower case, no full stop.
        text: String,
    },
}

/// Somebody who wants to hear of events. Below `command` nothing prints: it tells an observer.
pub trait Observer {
    /// Takes note of one event. Must not block the loop.
    fn observe(&self, event: &Event);
}
