//! What goes back: standard input to whoever was heard last, what programs say to the peer of each.

use std::io;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGCHLD;

use super::peers::Peers;
use super::{INTERVAL, Joined, ROUNDS, Server, Step};
use crate::command::messages::Next;
use crate::command::programs::{Audience, Talk};
use crate::datagram::{Outbox, Peer, Stop};
use crate::endpoint::printed;
use crate::error::sentence;
use crate::event::{Event, Traffic};
use crate::outcome::Ended;
use crate::reactor::Turn;

impl Server {
    /// Sends what standard input holds to whoever was heard last.
    pub(super) fn answer(&mut self, turn: &mut Turn) -> Result<Step, Ended> {
        for _ in 0..ROUNDS {
            // nobody came yet: standard input waits
            let (Some(input), Some((peer, from))) = (&mut self.input, self.peers.latest()) else {
                return Ok(Step::Wait);
            };
            let length = match input.next(turn).map_err(Ended::Failed)? {
                Next::Later => return Ok(Step::Wait),
                Next::Over => {
                    input.close(turn);
                    self.input = None;
                    return Ok(Step::Wait);
                }
                Next::Payload(_) if peer == Peer::Unnamed => {
                    input.take();
                    self.traffic.unsent += 1;
                    if self.peers.is_news(&peer) {
                        let reason = "cannot answer a client of a Unix socket that has no name of its own".into();
                        self.observer.observe(&Event::Error { session: None, reason });
                    }
                    continue;
                }
                Next::Payload(payload) => self.outbox.push_from(from, Some(&peer), payload).then_some(payload.len()),
            };
            let Some(length) = length else {
                if self.flush(turn) {
                    return Ok(Step::Wait);
                }
                continue;
            };
            input.take();
            if let Some(number) = self.peers.find(&peer).map(|visit| visit.number) {
                self.peers.answered(turn.now(), &peer, number, length as u64);
            }
        }
        Ok(Step::Again)
    }

    /// Gives the programs their turn.
    pub(super) fn run_programs(&mut self, turn: &mut Turn, signals: u64) -> Step {
        let Joined::Programs(programs) = &mut self.joined else { return Step::Wait };
        programs.wake(turn, signals & 1 << SIGCHLD != 0);
        for _ in 0..ROUNDS {
            let Joined::Programs(programs) = &mut self.joined else { break };
            let Server { peers, outbox, traffic, .. } = self;
            match programs.turn(turn, &mut Surroundings { peers, outbox, traffic }) {
                Some(true) => return Step::Again,
                Some(false) => return Step::Wait,
                None if self.flush(turn) => return Step::Wait,
                None => {}
            }
        }
        Step::Again
    }

    /// Gives the kernel what waits; true if it takes no more.
    pub(super) fn flush(&mut self, turn: &mut Turn) -> bool {
        loop {
            let Some(line) = &self.line else { return false };
            let flushed = line.socket.flush(turn, &mut self.outbox);
            self.traffic.sent += flushed.datagrams;
            self.traffic.bytes_out += flushed.bytes;
            self.retry_at = None;
            if flushed.datagrams > 0 {
                self.stuck_since = None;
                self.moved_at = turn.now();
                self.meter.add(0, flushed.bytes);
            }
            match flushed.stop {
                Stop::Empty => return false,
                Stop::Full if line.socket.is_untold() && self.is_stuck(turn.now()) => {
                    self.traffic.unsent += u64::from(self.outbox.give_up_first());
                }
                Stop::Full => return true,
                Stop::Refused(error) => self.refused(turn, &error),
                Stop::Failed(error) => {
                    self.traffic.unsent += 1;
                    self.refused(turn, &error);
                }
            }
        }
    }

    /// The queue of a peer is full: true once it has been for so long that others need not wait any more.
    fn is_stuck(&mut self, now: Instant) -> bool {
        let since = *self.stuck_since.get_or_insert(now);
        let stuck = since + PATIENCE <= now;
        self.retry_at = (!stuck).then_some(now + RETRY);
        stuck
    }

    /// Answers did not get through, which concerns their peers alone; told once for each of them, and once a second
    /// where the system does not say whom it is about.
    pub(super) fn refused(&mut self, turn: &Turn, error: &io::Error) {
        let mut known = false;
        while let Some(refusal) = self.line.as_ref().and_then(|line| line.socket.take_refusal()) {
            known = true;
            self.traffic.unsent += 1;
            if self.peers.is_news(&refusal.to) {
                let reason = format!("cannot answer {}: {}", printed::peer(&refusal.to), sentence(&refusal.error));
                self.observer.observe(&Event::Error { session: None, reason });
            }
        }
        if !known && self.failed_at.is_none_or(|at| at + INTERVAL <= turn.now()) {
            self.failed_at = Some(turn.now());
            let reason = format!("cannot answer a peer: {}", sentence(error));
            self.observer.observe(&Event::Error { session: None, reason });
        }
    }
}

/// What the programs may use in one turn.
struct Surroundings<'a> {
    peers: &'a mut Peers,
    outbox: &'a mut Outbox,
    traffic: &'a mut Traffic,
}

impl Audience for Surroundings<'_> {
    fn room(&mut self, least: usize) -> Option<&mut [u8]> {
        self.outbox.space(least)
    }

    fn answer(&mut self, turn: &mut Turn, talk: &Talk, count: usize, limit: usize) {
        let Talk { number, peer, local } = talk;
        if *peer == Peer::Unnamed {
            // a Unix socket without a name cannot be sent to
            self.traffic.unsent += 1;
            return;
        }
        // it may write to another address of ours than at first; or be forgotten
        let local = self.peers.find(peer).and_then(|visit| visit.local).or(*local);
        if self.outbox.commit_from(local, Some(peer), count, limit) {
            self.peers.answered(turn.now(), peer, *number, count as u64);
        }
    }

    fn unread(&mut self, count: u64) {
        self.traffic.unread += count;
    }

    fn over(&mut self, turn: &mut Turn, talk: &Talk, reason: &str) {
        self.peers.end(turn.now(), &talk.peer, talk.number, reason);
    }
}

/// How long a Unix peer may keep the others waiting by not reading.
const PATIENCE: Duration = Duration::from_millis(250);

/// From one try to the next where no event tells that there is room.
const RETRY: Duration = Duration::from_millis(5);
