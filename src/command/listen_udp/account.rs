//! `--seq`: the books of one sender, and when they are told: when it says that it is done, when it is forgotten or haul
//! ends if they have changed since, and from time to time.

use std::time::Duration;

use crate::datagram::Peer;
use crate::datagram::sequence::{self, Account, Came, Report, Stamp};
use crate::endpoint::printed;
use crate::event::{Event, LossReport, Observer};

/// What the stamps of one sender tell.
pub(super) struct Books {
    account: Account,
    /// What was told at the end of the last interval.
    before: Report,
    /// What was told last as the whole.
    told: Option<Report>,
}

/// A datagram as its stamp says.
pub(super) enum Read<'a> {
    /// A payload, without its stamp.
    Payload(&'a [u8]),
    /// A payload with no stamp, or one of another version.
    Unknown(&'a [u8]),
    /// No payload: the sender says that it is done.
    End,
}

impl Books {
    /// Nothing came yet; the kernel has dropped `drops` packets before.
    pub(super) fn new(drops: u32) -> Self {
        let mut account = Account::new();
        account.drops(drops, 0);
        Books { account, before: Report::default(), told: None }
    }

    /// The kernel has dropped `drops` packets in all before what comes next.
    pub(super) fn drops(&mut self, drops: u32) {
        // nothing is joined where there are stamps: each packet is a datagram
        self.account.drops(drops, 1);
    }

    /// Enters a datagram that came at `at`, in nanoseconds; one without a stamp is a payload and in no books.
    pub(super) fn enter<'a>(&mut self, datagram: &'a [u8], at: u64) -> Read<'a> {
        let Some((stamp, payload)) = Stamp::decode(datagram) else { return Read::Unknown(datagram) };
        let came = self.account.came(&stamp, payload.len(), at);
        if stamp.is_end || came == Came::End { Read::End } else { Read::Payload(payload) }
    }

    /// Tells everything so far, unless it was told. `unseen`: what was dropped here besides.
    pub(super) fn tell(&mut self, observer: &dyn Observer, peer: &Peer, unseen: u64) {
        let report = self.account.report();
        // a sender of which nothing is known sends no stamps
        if (self.told != Some(report) || unseen > 0) && report.sent > 0 {
            self.told = Some(report);
            let loss = LossReport { dropped_unseen: unseen, ..loss(&report) };
            observer.observe(&Event::Loss { peer: Some(printed::peer(peer)), interval: None, loss });
        }
    }

    /// Tells what came in the last `span`, if anything did.
    pub(super) fn tell_interval(&mut self, observer: &dyn Observer, peer: &Peer, span: Duration) {
        let report = self.account.report();
        let part = report.since(&self.before);
        self.before = report;
        if part.sent > 0 || part.received > 0 {
            observer.observe(&Event::Loss { peer: Some(printed::peer(peer)), interval: Some(span), loss: loss(&part) });
        }
    }

    /// Everything so far.
    pub(super) fn report(&self) -> Report {
        self.account.report()
    }
}

/// Datagrams that came without a stamp that could be read.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    unstamped: u64,
    /// Those of another version, and the last such version.
    foreign: u64,
    version: u8,
}

impl Strangers {
    /// Counts one.
    pub(super) fn enter(&mut self, datagram: &[u8]) {
        match sequence::foreign_version(datagram) {
            Some(version) => (self.foreign, self.version) = (self.foreign + 1, version),
            None => self.unstamped += 1,
        }
    }

    /// Tells of them, if there were any.
    pub(super) fn tell(&self, observer: &dyn Observer) {
        let counted = |count: u64| format!("{count} datagram{}", if count == 1 { "" } else { "s" });
        let told = [
            (self.unstamped, "without a stamp".to_string()),
            (self.foreign, format!("with stamps of version {}, which are not understood", self.version)),
        ];
        for (count, what) in told.into_iter().filter(|(count, _)| *count > 0) {
            observer.observe(&Event::Note { verbosity: 0, text: format!("{} {what}", counted(count)) });
        }
    }
}

/// A report as observers take it.
pub(super) fn loss(report: &Report) -> LossReport {
    LossReport {
        sent: report.sent,
        received: report.received,
        bytes: report.bytes,
        lost: report.lost,
        dropped_here: report.dropped_here,
        dropped_unseen: 0,
        reordered: report.reordered,
        duplicated: report.duplicated,
        late: report.late,
        restarts: report.restarts,
        jitter: report.jitter,
    }
}
