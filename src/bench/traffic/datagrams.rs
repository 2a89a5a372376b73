//! One stream of datagrams in one direction: each has iperf3's header, and goes out with many others in one call.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::pattern::Pattern;
use super::stream::{Flow, Way};
use super::tally::Phase;
use crate::bench::pacer::Pacer;
use crate::bench::reception::{Counters, Header, Reception};
use crate::datagram::{DatagramSocket, Inbox, Outbox, Stop};
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::reactor::{Park, Task, Turn};

/// The task of a flow of datagrams.
pub struct Datagrams {
    flow: Flow,
    counters: Counters,
    /// `None` once it is closed.
    socket: Option<DatagramSocket>,
    side: Side,
}

enum Side {
    Sender(Box<Sender>),
    Receiver(Box<Receiver>),
}

struct Sender {
    outbox: Outbox,
    pacer: Option<Pacer>,
    next: u64,
    payload: Option<Pattern>,
}

struct Receiver {
    inbox: Inbox,
    reception: Reception,
    payload: Option<Pattern>,
}

/// What one try came to.
enum Tried {
    Moved,
    Paused(Instant),
    Blocked,
    Finished,
    Failed(io::Error),
}

impl Datagrams {
    /// The task that moves datagrams through `socket`, which is connected and registered with no reactor.
    pub fn new(flow: Flow, counters: Counters, socket: DatagramSocket) -> Self {
        socket.prepare(false);
        let payload = flow.check.then(|| Pattern::new(flow.block));
        let side = match flow.way {
            Way::Sends => {
                let outbox = Outbox::with_room_for(flow.block, true);
                Side::Sender(Box::new(Sender { outbox, pacer: None, next: 1, payload }))
            }
            Way::Receives => {
                let reception = Reception::new(counters);
                Side::Receiver(Box::new(Receiver { inbox: Inbox::new(), reception, payload }))
            }
        };
        Datagrams { flow, counters, socket: Some(socket), side }
    }

    fn close(&mut self, turn: &mut Turn, error: Option<io::Error>) -> Park {
        self.flow.tally.end(error);
        self.flow.bell.ring();
        if let Some(socket) = self.socket.take() {
            socket.close(turn);
        }
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }

    fn try_once(&mut self, turn: &mut Turn, phase: Phase) -> Option<Tried> {
        let Datagrams { flow, counters, socket: Some(socket), side } = self else { return Some(Tried::Finished) };
        match side {
            Side::Sender(sender) if phase == Phase::Running => Some(sender.send(turn, flow, *counters, socket)),
            Side::Sender(_) => None,
            Side::Receiver(receiver) => {
                // a server may begin before its word for that is here: what its datagrams would wait in is small
                let counts = phase <= Phase::Draining;
                Some(receiver.receive(turn, flow, *counters, socket, counts))
            }
        }
    }
}

impl Sender {
    fn send(&mut self, turn: &mut Turn, flow: &Flow, counters: Counters, socket: &DatagramSocket) -> Tried {
        if self.outbox.is_empty() {
            let most = match self.pacer.as_mut().map(|pacer| pacer.ready(turn.now(), flow.block)) {
                Some(Err(at)) => return Tried::Paused(at),
                Some(Ok(most)) => most,
                None => u64::MAX,
            };
            let most = match &flow.budget {
                // whole datagrams; the last may carry the total beyond what was asked for, as iperf3's does
                Some(budget) => {
                    let wanted = most.min(MOST_AT_ONCE) * flow.block as u64;
                    match budget.take(wanted).div_ceil(flow.block as u64) {
                        0 => return Tried::Finished,
                        count => count,
                    }
                }
                None => most,
            };
            let filled = self.fill(flow, counters, most);
            if let Some(budget) = &flow.budget
                && filled < most
            {
                budget.give_back((most - filled) * flow.block as u64);
            }
        }
        let flushed = socket.flush(turn, &mut self.outbox);
        if let Some(pacer) = &mut self.pacer {
            pacer.sent(flushed.bytes);
        }
        flow.tally.add(flushed.bytes as usize);
        flow.tally.add_sent(flushed.datagrams);
        match flushed.stop {
            Stop::Empty => Tried::Moved,
            Stop::Full => Tried::Blocked,
            Stop::Refused(error) | Stop::Failed(error) => Tried::Failed(error),
        }
    }

    /// Makes at most `most` datagrams; how many.
    fn fill(&mut self, flow: &Flow, counters: Counters, most: u64) -> u64 {
        let block = flow.block;
        let Some(space) = self.outbox.block(None, block, most) else { return 0 };
        let sent_at = since_epoch();
        for datagram in space.chunks_exact_mut(block) {
            Header { sent_at, number: self.next }.encode(counters, datagram);
            if let Some(pattern) = &self.payload {
                let payload = &mut datagram[counters.header()..];
                payload.copy_from_slice(pattern.at(0, payload.len()));
            }
            self.next += 1;
        }
        let length = space.len();
        match self.outbox.commit(None, length, block) {
            true => (length / block) as u64,
            false => 0,
        }
    }
}

impl Receiver {
    fn receive(
        &mut self,
        turn: &mut Turn,
        flow: &Flow,
        counters: Counters,
        socket: &DatagramSocket,
        counts: bool,
    ) -> Tried {
        match socket.receive(turn, &mut self.inbox) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Tried::Blocked,
            // about something that was sent here: whoever leads the test learns by the other connection
            Err(_) => return Tried::Moved,
        }
        if !counts {
            return Tried::Moved;
        }
        let at = since_epoch();
        let mut bytes = 0;
        for run in self.inbox.runs() {
            self.reception.drops(run.drops, JOINED);
            for datagram in run.datagrams() {
                if !self.reception.came(datagram.payload, datagram.payload.len(), at) {
                    continue;
                }
                bytes += datagram.payload.len();
                if let Some(pattern) = &self.payload
                    && !pattern.agrees(0, &datagram.payload[counters.header()..])
                {
                    flow.tally.spoil(1);
                }
            }
        }
        flow.tally.add(bytes);
        if let Some(budget) = &flow.budget
            && budget.take(bytes as u64) > 0
            && budget.is_spent()
        {
            flow.bell.ring();
        }
        Tried::Moved
    }
}

impl Task for Datagrams {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if let Some(socket) = &mut self.socket
            && let Err(error) = socket.start(turn)
        {
            self.flow.tally.end(Some(error));
            self.socket = None;
        }
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let phase = self.flow.stage.phase();
        if self.socket.is_none() || phase == Phase::Gone {
            return self.close(turn, None);
        }
        if phase == Phase::Waiting && matches!(self.side, Side::Sender(_)) {
            return Park::Wait;
        }
        if let Side::Sender(sender) = &mut self.side
            && sender.pacer.is_none()
        {
            sender.pacer = self.flow.pacer(turn.now());
        }
        let park = self.pump(turn, phase);
        if let Side::Receiver(receiver) = &self.side {
            self.flow.tally.publish(&receiver.reception.total());
        }
        park
    }
}

impl Datagrams {
    /// Everything that may be done in one turn.
    fn pump(&mut self, turn: &mut Turn, phase: Phase) -> Park {
        for _ in 0..TRIES {
            match self.try_once(turn, phase) {
                None => return Park::Wait,
                Some(Tried::Moved) if self.flow.stage.phase() != phase => return Park::Again,
                Some(Tried::Moved) => {}
                Some(Tried::Paused(at)) => {
                    turn.deadline(Some(at));
                    return Park::Wait;
                }
                Some(Tried::Blocked) => return Park::Wait,
                Some(Tried::Finished) => {
                    if !self.flow.tally.is_ended() {
                        self.flow.tally.end(None);
                        self.flow.bell.ring();
                    }
                    return Park::Wait;
                }
                Some(Tried::Failed(error)) => return self.close(turn, Some(error)),
            }
        }
        Park::Again
    }
}

fn since_epoch() -> Duration {
    // a clock before 1970 makes the jitter meaningless, and nothing else
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Calls in one turn, so that others have theirs.
const TRIES: usize = 32;

/// Datagrams for which the budget is asked at once.
const MOST_AT_ONCE: u64 = 64;

/// Datagrams that the kernel may have joined in what it drops.
const JOINED: u64 = 64;
