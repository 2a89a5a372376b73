//! `--seq`: a stamp before each payload, and the receiver's account of what became of the datagrams.
//!
//! # The stamp, version 1
//!
//! 32 bytes before the payload; numbers are in network order, the most significant byte first.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `hseq` |
//! | 4 | version, 1 |
//! | 5 | flags: bit 0 says that this is the end and no datagram of the count; the others are 0 |
//! | 6..8 | 0 |
//! | 8..16 | session: a number that the sender picks at random when it starts |
//! | 16..24 | sequence: 0 for the first datagram, then one more each, wrapping; at the end, how many were sent |
//! | 24..32 | when it was sent, in nanoseconds since some moment of the sender's choice, on a clock that only goes forward |
//!
//! An end carries no payload, and is sent several times, since it can get lost as well. What a stamp of another version
//! holds behind the fifth byte is unknown, and it is counted as unstamped.
//!
//! # The account
//!
//! A datagram is *received* once, however often it comes. One that comes again is *duplicated*; one that comes after a
//! later one is *reordered*; one that comes when [`WINDOW`] later ones have been seen is *late*: whether it is there for
//! the first time is not known any more, and it stays in the books as lost. *Lost* is what was sent and not received.
//! Of these, *dropped here* is what the receive buffer had no room for: the kernel counts its drops before each packet,
//! and a gap in front of a packet for which that count went up was made here, up to as many datagrams as it may have
//! dropped. What it drops behind the last stamp is in no account; whoever knows its count in the end can tell. Jitter is that of RFC 3550, 6.4.1.

use std::time::Duration;

/// Bytes of a stamp.
pub const STAMP: usize = 32;

const MAGIC: [u8; 4] = *b"hseq";
const VERSION: u8 = 1;
const END: u8 = 1;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which run of the sender it belongs to.
    pub session: u64,
    /// Its place in the order; at the end, how many datagrams there were.
    pub sequence: u64,
    /// When it was sent, in nanoseconds of the sender's clock.
    pub sent_at: u64,
    /// Nothing comes after it.
    pub is_end: bool,
}

impl Stamp {
    /// Its bytes.
    pub fn encode(&self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = if self.is_end { END } else { 0 };
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[24..].copy_from_slice(&self.sent_at.to_be_bytes());
        bytes
    }

    /// The stamp of a datagram, and the payload behind it; `None` if it has none of this version.
    pub fn decode(datagram: &[u8]) -> Option<(Stamp, &[u8])> {
        let (stamp, payload) = datagram.split_first_chunk::<STAMP>()?;
        if stamp[..4] != MAGIC || stamp[4] != VERSION {
            return None;
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&stamp[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let is_end = stamp[5] & END != 0;
        Some((Stamp { session: number(8), sequence: number(16), sent_at: number(24), is_end }, payload))
    }
}

/// The version of a stamp that is not of this one.
pub fn foreign_version(datagram: &[u8]) -> Option<u8> {
    let version = *datagram.strip_prefix(&MAGIC)?.first()?;
    (version != VERSION).then_some(version)
}

/// Numbers of one account, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Datagrams sent, as far as is known: up to the highest sequence seen, or as the end said.
    pub sent: u64,
    /// Different datagrams that came.
    pub received: u64,
    /// Bytes of their payloads, without the stamps.
    pub bytes: u64,
    /// Sent and not received.
    pub lost: u64,
    /// Of these, what the receive buffer had no room for.
    pub dropped_here: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came too late to know.
    pub late: u64,
    /// Times that the sender started anew.
    pub restarts: u64,
    /// Smoothed difference of transit times.
    pub jitter: Duration,
}

impl Report {
    /// What the network lost.
    pub fn lost_on_the_way(&self) -> u64 {
        self.lost.saturating_sub(self.dropped_here)
    }

    /// The share of what was sent that was lost, in percent.
    pub fn loss_percent(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.lost as f64 * 100.0 / self.sent as f64 }
    }

    /// What came since `before`. What arrives in this part and was lost in an earlier one makes the loss of this one
    /// smaller, at least 0.
    pub fn since(&self, before: &Report) -> Report {
        Report {
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
            bytes: self.bytes.saturating_sub(before.bytes),
            lost: self.lost.saturating_sub(before.lost),
            dropped_here: self.dropped_here.saturating_sub(before.dropped_here),
            reordered: self.reordered.saturating_sub(before.reordered),
            duplicated: self.duplicated.saturating_sub(before.duplicated),
            late: self.late.saturating_sub(before.late),
            restarts: self.restarts.saturating_sub(before.restarts),
            jitter: self.jitter,
        }
    }

    /// Adds another account, say of another peer; the jitter is the greater one.
    pub fn add(&mut self, other: &Report) {
        // what a sender says of itself may be anything
        self.sent = self.sent.saturating_add(other.sent);
        self.received += other.received;
        self.bytes += other.bytes;
        self.lost = self.lost.saturating_add(other.lost);
        self.dropped_here += other.dropped_here;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.late += other.late;
        self.restarts += other.restarts;
        self.jitter = self.jitter.max(other.jitter);
    }
}

/// Datagrams before the latest one for which is known whether they came.
pub const WINDOW: u64 = 65_536;

const WORDS: usize = (WINDOW / 64) as usize;

/// A sequence further ahead than this is no gap but nonsense: a day at full speed.
const LEAP: u64 = 1 << 40;

/// What a stamp led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// In order, maybe after a gap.
    Next,
    /// After a later one.
    Reordered,
    /// Again.
    Duplicate,
    /// Too late to know.
    Late,
    /// The end; it carries nothing.
    End,
    /// Of a session that is over, or far from everything seen.
    Stray,
}

/// The receiver's account of one sender.
#[derive(Debug)]
pub struct Account {
    session: Option<u64>,
    /// The one before, whose stragglers must not start it anew.
    previous: Option<u64>,
    /// The first sequence that counts.
    first: u64,
    /// The one behind the highest seen.
    next: u64,
    /// As the end said: the one behind the last.
    end: Option<u64>,
    /// One bit for each of the last `WINDOW` sequences: it came.
    seen: Box<[u64; WORDS]>,
    /// Of this session; `sent` and `lost` are worked out when asked.
    counts: Report,
    /// Of the sessions that are over.
    past: Report,
    strays: u64,
    /// Transit time of the last datagram, which is meaningless but for its changes, in nanoseconds.
    transit: Option<u64>,
    /// Sixteen times the jitter, in nanoseconds.
    jitter16: u64,
    /// The kernel's count of drops before the last packet.
    drops: u32,
    /// Datagrams that the kernel has dropped since and no gap has accounted for.
    unexplained: u64,
}

impl Default for Account {
    fn default() -> Self {
        Account::new()
    }
}

impl Account {
    /// Nothing came yet.
    pub fn new() -> Self {
        Account {
            session: None,
            previous: None,
            first: 0,
            next: 0,
            end: None,
            seen: Box::new([0; WORDS]),
            counts: Report::default(),
            past: Report::default(),
            strays: 0,
            transit: None,
            jitter16: 0,
            drops: 0,
            unexplained: 0,
        }
    }

    /// Notes the kernel's count of dropped packets (it wraps at 32 bits) before the stamps of the packet that told it.
    /// Each may have held `each` datagrams: 64 if the kernel joins them, else 1.
    pub fn drops(&mut self, count: u32, each: u64) {
        let new = count.wrapping_sub(self.drops);
        self.drops = count;
        self.unexplained += u64::from(new) * each;
    }

    /// Notes a stamp with a payload of `bytes`, come at `at`, in nanoseconds of any clock that only goes forward.
    pub fn came(&mut self, stamp: &Stamp, bytes: usize, at: u64) -> Came {
        if self.session != Some(stamp.session) && !self.begin(stamp) {
            self.strays += 1;
            return Came::Stray;
        }
        if stamp.is_end {
            return self.ended(stamp.sequence);
        }
        let ahead = stamp.sequence.wrapping_sub(self.next);
        let came = if ahead < LEAP {
            self.advance(stamp.sequence, ahead);
            Came::Next
        } else if stamp.sequence.wrapping_sub(self.first) >= self.next.wrapping_sub(self.first) {
            self.strays += 1;
            return Came::Stray;
        } else if ahead.wrapping_neg() > WINDOW {
            self.counts.late += 1;
            return Came::Late;
        } else if self.mark(stamp.sequence) {
            self.counts.duplicated += 1;
            return Came::Duplicate;
        } else {
            self.counts.reordered += 1;
            Came::Reordered
        };
        self.counts.received += 1;
        self.counts.bytes += bytes as u64;
        self.smooth(at.wrapping_sub(stamp.sent_at));
        came
    }

    /// A session that is not the one of the books: false if it is an old one.
    fn begin(&mut self, stamp: &Stamp) -> bool {
        if self.previous == Some(stamp.session) {
            return false;
        }
        if self.session.is_some() {
            self.past = self.report();
            self.past.restarts += 1;
        }
        self.previous = self.session.replace(stamp.session);
        // what is far from the start was sent before anybody listened
        let joined = if stamp.is_end || stamp.sequence < WINDOW { 0 } else { stamp.sequence };
        (self.first, self.next, self.end) = (joined, joined, None);
        self.seen.fill(0);
        self.counts = Report::default();
        (self.transit, self.jitter16) = (None, 0);
        true
    }

    fn ended(&mut self, sequence: u64) -> Came {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead >= LEAP {
            self.strays += 1;
            return Came::Stray;
        }
        if self.end.is_none() {
            self.end = Some(sequence);
            self.explain(ahead);
        }
        Came::End
    }

    /// Takes note of a sequence that is the highest yet, with `gap` missing before it.
    fn advance(&mut self, sequence: u64, gap: u64) {
        if gap >= WINDOW {
            self.seen.fill(0);
        } else {
            for missing in 0..gap {
                self.clear(self.next.wrapping_add(missing));
            }
        }
        self.clear(sequence);
        self.mark(sequence);
        self.next = sequence.wrapping_add(1);
        if gap > 0 && self.end.is_none() {
            self.explain(gap);
        }
    }

    /// Blames a gap on the receive buffer, as far as that has dropped anything.
    fn explain(&mut self, gap: u64) {
        self.counts.dropped_here += gap.min(self.unexplained);
        self.unexplained = 0;
    }

    fn clear(&mut self, sequence: u64) {
        let at = sequence % WINDOW;
        self.seen[(at / 64) as usize] &= !(1 << (at % 64));
    }

    /// Sets the bit of a sequence in the window; true if it was set.
    fn mark(&mut self, sequence: u64) -> bool {
        let at = sequence % WINDOW;
        let (word, bit) = (&mut self.seen[(at / 64) as usize], 1 << (at % 64));
        let was = *word & bit != 0;
        *word |= bit;
        was
    }

    /// RFC 3550, A.8.
    fn smooth(&mut self, transit: u64) {
        if let Some(before) = self.transit.replace(transit) {
            let change = (transit.wrapping_sub(before) as i64).unsigned_abs();
            self.jitter16 = (self.jitter16 - self.jitter16.saturating_add(8) / 16).saturating_add(change);
        }
    }

    /// True once the sender has said that nothing more comes.
    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Stamps of sessions that are over, or far from everything seen; in no other count.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Everything so far, all sessions of this sender together.
    pub fn report(&self) -> Report {
        let seen = self.next.wrapping_sub(self.first);
        let sent = self.end.map_or(seen, |end| seen.max(end.wrapping_sub(self.first)));
        let lost = sent - self.counts.received;
        let jitter = Duration::from_nanos(self.jitter16 / 16);
        let dropped_here = self.counts.dropped_here.min(lost);
        let mut report = self.past;
        report.add(&Report { sent, lost, dropped_here, ..self.counts });
        report.jitter = jitter;
        report
    }
}

#[cfg(test)]
mod tests;
