//! Who may send, who is there, and what each of them did: admission by datagram, and a session for each peer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::account::{Books, loss};
use crate::datagram::flows::{Flows, Heard, Limits};
use crate::datagram::inbox::Run;
use crate::datagram::sequence::Report;
use crate::datagram::{LocalIp, Peer, flows::FlowId};
use crate::endpoint::access::Access;
use crate::endpoint::printed;
use crate::error::Error;
use crate::event::{Event, LossReport, Observer, Traffic};

/// The peers of one socket.
pub(super) struct Peers {
    access: Access,
    flows: Flows<Peer, Visit>,
    /// Peers in all; those beyond are turned away.
    count: Option<u64>,
    /// Peers so far; the number of the newest session.
    seen: u64,
    protocol: &'static str,
    local: String,
    port: u16,
    /// Who sent stamps and is gone, and what these told together.
    senders: u64,
    total: Report,
    observer: Rc<dyn Observer>,
}

/// One peer, from its first datagram until it is forgotten.
pub(super) struct Visit {
    /// The number of its session, from 1.
    pub(super) number: u64,
    began: Instant,
    /// Bytes from it and to it.
    pub(super) bytes: [u64; 2],
    /// The address of this host that it wrote to last, where the socket is bound to all of them: answers leave from there.
    pub(super) local: Option<LocalIp>,
    /// What its stamps tell.
    pub(super) books: Option<Box<Books>>,
    /// That it takes no answers was told.
    told: bool,
}

/// Whom a datagram is from.
pub(super) struct Admitted {
    pub(super) id: FlowId,
    pub(super) number: u64,
    pub(super) is_new: bool,
}

impl Peers {
    /// Nobody yet. `most` and `spare` bound the table, see [`Limits`].
    pub(super) fn new(access: Access, count: Option<u64>, limits: Limits, observer: Rc<dyn Observer>) -> Self {
        let (protocol, local) = ("udp", String::new());
        let (flows, total) = (Flows::new(limits), Report::default());
        Peers { access, flows, count, seen: 0, protocol, local, port: 0, senders: 0, total, observer }
    }

    /// Where the socket was bound, for the events; no port is 0.
    pub(super) fn bound(&mut self, protocol: &'static str, local: &str, port: u16) {
        (self.protocol, self.local, self.port) = (protocol, local.into(), port);
    }

    /// Our side of a talk with whoever wrote to this address of ours, as printed.
    pub(super) fn local(&self, to: Option<LocalIp>) -> String {
        to.map_or_else(|| self.local.clone(), |to| printed::inet(&to.with_port(self.port)))
    }

    /// Who sent these datagrams at `now`; `None` if they are to be dropped, which is counted.
    pub(super) fn admit(&mut self, now: Instant, run: &Run<'_>, traffic: &mut Traffic) -> Option<Admitted> {
        let (from, count) = (run.from, run.count() as u64);
        let permitted = || from.ip().is_none_or(|address| self.access.permits(address.ip()));
        if !self.access.is_unlimited() && !permitted() {
            traffic.refused += count;
            self.note(from, "not allowed");
            return None;
        }
        if self.is_closed() && self.flows.find(from).is_none() {
            traffic.beyond += count;
            self.note(from, "no more peers are served");
            return None;
        }
        let number = self.seen + 1;
        let visit = || Visit { number, began: now, bytes: [0; 2], local: run.to, books: None, told: false };
        let heard = self.flows.heard(now, from, visit);
        match heard {
            Heard::Known(id) => {
                let visit = self.flows.get_mut(id);
                let number = visit.map_or(0, |visit| {
                    visit.local = run.to.or(visit.local);
                    visit.number
                });
                Some(Admitted { id, number, is_new: false })
            }
            Heard::New { id, evicted } => {
                if let Some((peer, visit)) = evicted {
                    self.see_off(now, &peer, visit, "made room for another peer");
                }
                self.seen = number;
                let (protocol, peer, local) = (self.protocol, printed::peer(from), self.local(run.to));
                self.observer.observe(&Event::Accepted { session: number, protocol, peer, local, secured: None });
                Some(Admitted { id, number, is_new: true })
            }
            Heard::Refused => {
                traffic.beyond += count;
                self.note(from, "too many peers at once");
                None
            }
        }
    }

    fn note(&self, from: &Peer, why: &str) {
        let text = format!("refused {}: {why}", printed::peer(from));
        self.observer.observe(&Event::Note { verbosity: 1, text });
    }

    /// True once as many peers came as are to be served.
    fn is_closed(&self) -> bool {
        self.count.is_some_and(|count| self.seen >= count)
    }

    /// True once all that were to come have come and gone.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed() && self.flows.is_empty()
    }

    /// What is kept for a peer.
    pub(super) fn visit(&mut self, id: FlowId) -> Option<&mut Visit> {
        self.flows.get_mut(id)
    }

    /// The same by its name.
    pub(super) fn find(&mut self, peer: &Peer) -> Option<&mut Visit> {
        let id = self.flows.find(peer)?;
        self.flows.get_mut(id)
    }

    /// Who was heard last, and the address of ours that an answer leaves from.
    pub(super) fn latest(&self) -> Option<(Peer, Option<LocalIp>)> {
        self.flows.latest().map(|(peer, visit)| (*peer, visit.local))
    }

    /// Something was sent to a peer of this session: it is not silent.
    pub(super) fn answered(&mut self, now: Instant, peer: &Peer, number: u64, bytes: u64) {
        // a program that outlives its session may answer a peer that has begun another
        if self.find(peer).is_some_and(|visit| visit.number == number)
            && let Some(id) = self.flows.answered(now, peer)
            && let Some(visit) = self.flows.get_mut(id)
        {
            visit.bytes[1] += bytes;
        }
    }

    /// True once for each peer that takes no answers; never for one that is forgotten.
    pub(super) fn is_news(&mut self, peer: &Peer) -> bool {
        self.find(peer).is_some_and(|visit| !std::mem::replace(&mut visit.told, true))
    }

    /// Forgets one peer that was silent for too long; the number of its session. Call until `None`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<u64> {
        let (peer, visit) = self.flows.expire(now)?;
        let number = visit.number;
        self.see_off(now, &peer, visit, "silent for too long");
        Some(number)
    }

    /// When the next is forgotten, if it stays silent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.flows.next_expiry()
    }

    /// A session is over for a reason of its own.
    pub(super) fn end(&mut self, now: Instant, peer: &Peer, number: u64, reason: &str) {
        if self.find(peer).is_some_and(|visit| visit.number == number)
            && let Some(visit) = self.flows.remove(peer)
        {
            self.see_off(now, peer, visit, reason);
        }
    }

    /// All sessions are over. Where there were several senders of stamps, all of them are told together, too. `dropped`
    /// is what the kernel had no room for while stamps were read: as far as no gap between them accounts for that, it
    /// came behind the last of them, and is told with the only sender or with all of them.
    pub(super) fn end_all(&mut self, now: Instant, reason: &str, dropped: u64) {
        let (mut senders, mut accounted) = (self.senders, self.total.dropped_here);
        self.books(|_, books| {
            let report = books.report();
            senders += u64::from(report.sent > 0);
            accounted += report.dropped_here;
        });
        let mut unseen = dropped.saturating_sub(accounted);
        if let (1, 0) = (senders, self.senders) {
            let observer = Rc::clone(&self.observer);
            self.books(|peer, books| {
                if books.report().sent > 0 {
                    books.tell(&*observer, peer, std::mem::take(&mut unseen));
                }
            });
        }
        let all: Vec<Peer> = self.flows.iter().map(|(peer, _)| *peer).collect();
        for peer in all {
            if let Some(visit) = self.flows.remove(&peer) {
                self.see_off(now, &peer, visit, reason);
            }
        }
        if self.senders > 1 || unseen > 0 {
            let loss = LossReport { dropped_unseen: unseen, ..loss(&self.total) };
            self.observer.observe(&Event::Loss { peer: None, interval: None, loss });
        }
    }

    fn see_off(&mut self, now: Instant, peer: &Peer, visit: Visit, reason: &str) {
        let Visit { number: session, began, bytes: [bytes_in, bytes_out], books, .. } = visit;
        let elapsed = now.saturating_duration_since(began);
        let reason = reason.to_string();
        self.observer.observe(&Event::Closed { session, bytes_in, bytes_out, elapsed, reason });
        if let Some(mut books) = books {
            books.tell(&*self.observer, peer, 0);
            let report = books.report();
            if report.sent > 0 {
                self.senders += 1;
                self.total.add(&report);
            }
        }
    }

    /// Everybody who sends stamps, with what they tell.
    pub(super) fn books(&mut self, mut each: impl FnMut(&Peer, &mut Books)) {
        let all: Vec<FlowId> = self.flows.iter().filter_map(|(peer, _)| self.flows.find(peer)).collect();
        for id in all {
            let Some((peer, _)) = self.flows.get(id) else { continue };
            let peer = *peer;
            if let Some(books) = self.flows.get_mut(id).and_then(|visit| visit.books.as_mut()) {
                each(&peer, books);
            }
        }
    }

    /// Reads the access lists again.
    ///
    /// # Errors
    /// A line is wrong; the lists are then what they were.
    pub(super) fn reload(&mut self) -> Result<(), Error> {
        self.access.reload()
    }
}

/// What a full table of nobody in particular is bound by: a flood of forged senders costs this many places.
pub(super) const MOST: usize = 65_536;

/// The same where each place is an account of 8 KiB.
pub(super) const MOST_ACCOUNTS: usize = 4096;

/// At that bound, whoever was silent for this long gives way.
pub(super) const SPARE: Duration = Duration::from_secs(1);
