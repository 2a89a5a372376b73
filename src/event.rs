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
        /// What protects it, if anything does.
        secured: Option<Box<Secured>>,
    },
    /// A connection that a listener took did not get through: its handshake failed.
    Refused {
        /// The peer, as printed.
        peer: String,
        /// Why, a part of a sentence.
        reason: String,
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
        /// What protects it, if anything does.
        secured: Option<Box<Secured>>,
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
    /// Totals where datagrams are moved, instead of [`Event::Stats`].
    Datagrams {
        /// What moved, and what was dropped.
        traffic: Traffic,
        /// Since the start.
        elapsed: Duration,
    },
    /// What the stamps of one sender's datagrams tell (`--seq`).
    Loss {
        /// The sender as printed; `None` for all of them together.
        peer: Option<String>,
        /// The time that it is about; `None` for everything up to the end.
        interval: Option<Duration>,
        /// The numbers.
        loss: LossReport,
    },
    /// A choice of path or another detail that only `-v` tells, as a finished sentence.
    Note {
        /// Shown from this many `-v` on.
        verbosity: u8,
        /// The sentence, lower case, no full stop.
        text: String,
    },
}

/// What protects a connection; texts from outside are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `TLS 1.3`
    pub version: String,
    /// `TLS13_AES_128_GCM_SHA256`
    pub cipher: String,
    /// The protocol that was agreed on by ALPN.
    pub alpn: Option<String>,
    /// It goes on with the keys of an earlier connection.
    pub resumed: bool,
    /// What the peer showed, if it showed anything.
    pub certificate: Option<Certificate>,
    /// All of it for people, a line each.
    pub lines: Vec<String>,
}

/// A certificate that a peer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// From when it is valid, in UTC.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
    /// Of its public key: `sha256/…`.
    pub pin: String,
}

/// What became of datagrams, at one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams received and passed on.
    pub received: u64,
    /// Bytes of their payloads.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes of their payloads.
    pub bytes_out: u64,
    /// Packets that the receive buffer had no room for, as far as the kernel tells.
    pub dropped: u64,
    /// Datagrams from whom the access lists do not let in.
    pub refused: u64,
    /// Datagrams from peers beyond the limits on their number.
    pub beyond: u64,
    /// Datagrams that a program had no room for, or did not read any more.
    pub unread: u64,
    /// Datagrams that were longer than what there was room for, and were cut.
    pub truncated: u64,
    /// Datagrams beyond the rate that they may have.
    pub limited: u64,
    /// Datagrams that could not be sent, or were refused at the other side, as far as is known.
    pub unsent: u64,
}

impl Traffic {
    /// The numbers of what was lost, in words for people, none that is zero.
    pub fn losses(&self) -> Vec<String> {
        let packets = if self.dropped == 1 { "packet" } else { "packets" };
        [
            (self.dropped, &*format!("{packets} dropped because they were not read fast enough")),
            (self.refused, "not allowed"),
            (self.beyond, "from too many peers"),
            (self.unread, "not taken by a program"),
            (self.truncated, "cut short"),
            (self.limited, "beyond the rate"),
            (self.unsent, "not sent or refused"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect()
    }
}

/// What stamps tell of the way of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossReport {
    /// Datagrams sent, as far as is known.
    pub sent: u64,
    /// Different datagrams that came.
    pub received: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Sent and not received.
    pub lost: u64,
    /// Of these, what the receive buffer had no room for.
    pub dropped_here: u64,
    /// What the receive buffer had no room for besides, as far as that is known: behind the last stamp, or of nobody who
    /// sends stamps.
    pub dropped_unseen: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came too late to know.
    pub late: u64,
    /// Times that a sender started anew.
    pub restarts: u64,
    /// Smoothed difference of transit times (RFC 3550).
    pub jitter: Duration,
}

/// Somebody who wants to hear of events. Below `command` nothing prints: it tells an observer.
pub trait Observer {
    /// Takes note of one event. Must not block the loop.
    fn observe(&self, event: &Event);

    /// False where what is told of each connection would be heard by nobody: it need not be found out, nor put into words.
    fn wants_details(&self) -> bool {
        true
    }
}
