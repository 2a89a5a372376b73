//! `--seq`: the books of one sender, and when they are told: when it says that it is done, when it is forgotten or haul
//! ends if they have changed since, and from time to time.

use std::time::Duration;

use crate::datagram::Peer;
use crate::datagram::sequence::{Account, Came, Report, Stamp};
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
        let Some((stamp, payload)) = Stamp::decode(datagram) else { return Read::Payload(datagram) };
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
