//! What a receive gave, on its way to standard output or to programs; and what is told of it from time to time.

use std::sync::Arc;
use std::time::Instant;

use super::super::arrival;
use super::super::programs::Talk;
use super::account::{Books, Read};
use super::{INTERVAL, Joined, Server, Ticker};
use crate::event::{Event, Traffic};
use crate::outcome::Ended;
use crate::plan::{Local, Progress};
use crate::reactor::Turn;

impl Server {
    /// Passes on what the last receive gave.
    pub(super) fn take_in(&mut self, turn: &mut Turn) -> Result<(), Ended> {
        let now = turn.now();
        // jitter is about times that the turns are too long for
        let at = if self.plan.stamped { self.nanos(Instant::now()) } else { 0 };
        let (received, bytes) = (self.traffic.received, self.traffic.bytes_in);
        let mut left = self.left();
        let Server { plan, inbox, peers, traffic, joined, line, observer, drops, unfit, strangers, .. } = self;
        for run in inbox.runs() {
            if left == 0 {
                break;
            }
            let before = *drops;
            if run.drops != 0 {
                // as of its arrival; the socket may have been asked since
                *drops = run.drops;
                traffic.dropped = traffic.dropped.max(u64::from(run.drops));
            }
            let Some(admitted) = peers.admit(now, &run, traffic) else { continue };
            if let (Joined::Programs(programs), Local::Program(program)) = (&mut *joined, &plan.local)
                && let (true, Some(line)) = (admitted.is_new, &*line)
            {
                let talk = Talk { number: admitted.number, peer: *run.from, local: run.to };
                // a failure is told; what the peer sends is then dropped until it is forgotten
                if let Err(error) = programs.start(turn, program, talk, (line.protocol, &peers.local(run.to))) {
                    observer.observe(&Event::Error { session: Some(admitted.number), reason: error.line() });
                }
            }
            let Some(visit) = peers.visit(admitted.id) else { continue };
            if let (Joined::Output(output), false, false) = (&mut *joined, plan.stamped, run.truncated)
                && output.joins()
            {
                let (count, length) = run.first(left);
                output.joined(turn, &run.bytes[..length.min(run.bytes.len())])?;
                if self.talks {
                    observer.observe(&arrival::said(run.from, count, length, false));
                }
                left -= count;
                traffic.received += count;
                traffic.bytes_in += length as u64;
                visit.bytes[0] += length as u64;
                continue;
            }
            let mut books = plan.stamped.then(|| {
                let books = visit.books.get_or_insert_with(|| Box::new(Books::new(before)));
                if run.drops != 0 {
                    books.drops(run.drops);
                }
                books
            });
            for datagram in run.datagrams() {
                if left == 0 {
                    break;
                }
                let payload = match &mut books {
                    None => datagram.payload,
                    Some(books) => match books.enter(datagram.payload, at) {
                        Read::Payload(payload) => payload,
                        Read::Unknown(payload) => {
                            strangers.enter(payload);
                            payload
                        }
                        Read::End => {
                            books.tell(&**observer, run.from, 0);
                            continue;
                        }
                    },
                };
                left -= 1;
                traffic.received += 1;
                traffic.bytes_in += payload.len() as u64;
                visit.bytes[0] += payload.len() as u64;
                traffic.truncated += u64::from(datagram.truncated);
                if datagram.truncated || self.talks {
                    observer.observe(&arrival::said(run.from, 1, payload.len(), datagram.truncated));
                }
                match joined {
                    Joined::Output(output) => {
                        if datagram.truncated && !output.drops() {
                            unfit.get_or_insert_with(|| arrival::cut(payload.len()));
                        }
                        if let Err(error) = output.datagram(payload) {
                            traffic.truncated += u64::from(!datagram.truncated);
                            unfit.get_or_insert(error);
                        }
                    }
                    Joined::Programs(programs) => {
                        traffic.unread += u64::from(!programs.deliver(turn, admitted.number, payload));
                    }
                }
            }
        }
        if self.traffic.received > received {
            self.meter.add(1, self.traffic.bytes_in - bytes);
            self.came(turn);
        }
        Ok(())
    }

    /// Datagrams came in this turn.
    fn came(&mut self, turn: &mut Turn) {
        let now = turn.now();
        (self.moved_at, self.opened_by) = (now, None);
        if let Some(view) = self.progress.take() {
            turn.spawn(Box::new(Ticker::new(view, Arc::clone(&self.meter), None)));
        }
        let report = &self.plan.report;
        let lines = report.stats || report.progress == Progress::Line;
        let wanted = report.verbosity > 0 || self.plan.stamped && (lines || report.events.is_some());
        if self.report_at.is_none() && wanted {
            self.reported_at = Some(now);
            self.report_at = Some(now + INTERVAL);
        }
    }

    /// Nanoseconds since the start.
    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Tells what came in an interval that is over, and what the kernel has dropped in it.
    pub(super) fn tell_interval(&mut self, now: Instant) {
        let (Some(due), Some(since)) = (self.report_at, self.reported_at) else { return };
        if due > now {
            return;
        }
        self.report_at = None;
        let before = self.told_drops;
        self.count_drops();
        self.told_drops = self.traffic.dropped;
        if self.told_drops > before {
            let news = Traffic { dropped: self.told_drops - before, ..Traffic::default() };
            self.observer.observe(&Event::Note { verbosity: 1, text: news.losses().concat() });
        }
        let (span, observer) = (now.saturating_duration_since(since), &*self.observer);
        self.peers.books(|peer, books| books.tell_interval(observer, peer, span));
    }

    /// Asks the kernel what it has dropped, also after what came last.
    pub(super) fn count_drops(&mut self) {
        if let Some(drops) = self.line.as_ref().and_then(|line| line.socket.drops()) {
            self.traffic.dropped = u64::from(drops);
        }
    }

    /// What moved and what did not.
    pub(super) fn totals(&self, now: Instant) -> Event {
        Event::Datagrams { traffic: self.traffic, elapsed: now.saturating_duration_since(self.started) }
    }
}
