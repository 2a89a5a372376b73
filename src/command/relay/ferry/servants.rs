//! Programs as targets: each flow has one of its own, which reads what the client sends and answers it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use signal_hook::consts::SIGCHLD;

use super::flight::{DOWN, Key};
use super::{Ferry, ROUNDS, UNIX};
use crate::command::client::Closing;
use crate::command::programs::{Audience, Programs, Talk};
use crate::command::relay::floor::{Floor, Goal};
use crate::datagram::Peer;
use crate::datagram::flows::FlowId;
use crate::outcome::Ended;
use crate::plan::datagram::{MOST_OVER_V4, MOST_OVER_V6};
use crate::reactor::Turn;

/// Those of a listener for datagrams that was bound to `local`; `None` where no target is a program.
pub(super) fn of(floor: &Floor, pair: usize, local: Option<SocketAddr>) -> Option<Programs> {
    let place = floor.place(pair)?;
    let (_, joint) = place.goals.iter().find(|(goal, _)| matches!(goal, Goal::Run(_)))?;
    let most = match local.map(|local| local.ip()) {
        None => UNIX,
        Some(IpAddr::V4(_)) => MOST_OVER_V4,
        Some(IpAddr::V6(_)) => MOST_OVER_V6,
    };
    Some(Programs::new(joint.grace, most, floor.observer().clone()))
}

impl Ferry {
    /// Gives programs their turn.
    pub(super) fn run_programs(&mut self, turn: &mut Turn) {
        let Some(mut programs) = self.programs.take() else { return };
        let all = turn.signals() & 1 << SIGCHLD != 0;
        programs.wake(turn, all);
        for _ in 0..ROUNDS {
            match programs.turn(turn, self) {
                Some(true) => {}
                Some(false) => break,
                None if self.flush_down(turn) => break,
                None => {}
            }
        }
        self.programs = Some(programs);
    }

    /// Once haul was asked to end: what is not over in time is signalled, and ended when it was asked again.
    pub(super) fn press_programs(&mut self, turn: &mut Turn, until: Option<Instant>) {
        let (Some(programs), Some(until)) = (&mut self.programs, until) else { return };
        if until > turn.now() {
            return;
        }
        if !std::mem::replace(&mut self.hurried, true) {
            programs.hurry_all(turn);
        }
        if self.floor.closing.get() == Some(Closing::Now) && !std::mem::replace(&mut self.killed, true) {
            programs.kill_all(turn.now());
        }
    }

    /// True while no program is there.
    pub(super) fn is_alone(&self) -> bool {
        self.programs.as_ref().is_none_or(|programs| programs.is_empty())
    }

    /// How the one flow of `--once` has ended: its program's status is the session's.
    pub(super) fn ended_alone(&self) -> Ended {
        match self.programs.as_ref().map_or(0, |programs| programs.status) {
            0 => Ended::Clean,
            status => Ended::Program(status),
        }
    }

    /// Passes on what a program says when its flow is over, within the limits of that; nothing once its client talks with
    /// another, which would have to take it for that one's answer.
    fn last_words<'a>(&mut self, turn: &Turn, key: &Key, number: u64, answers: impl Iterator<Item = &'a [u8]>) {
        let is_heard = key.client != Peer::Unnamed && self.flows.find(key).is_none();
        for answer in answers {
            let (now, police) = (turn.now(), self.parting.get_mut(&number));
            if is_heard
                && (police.is_some_and(|police| !police.admits(now, answer.len()))
                    || !self.floor.hall.admits(DOWN, now, answer.len()))
            {
                self.traffic.limited += 1;
            } else if !is_heard || !self.down.push_from(key.local, Some(&key.client), answer) {
                Ferry::lose(&mut self.traffic, 1);
            }
        }
    }

    /// True if a flow is the session of this talk.
    fn is_of(&self, id: FlowId, talk: &Talk) -> bool {
        self.flows.get(id).is_some_and(|(_, flight)| flight.number == talk.number)
    }
}

impl Audience for Ferry {
    fn room(&mut self, least: usize) -> Option<&mut [u8]> {
        self.down.space(self.longest)?;
        if self.draft.len() < least {
            self.draft.resize(least, 0);
        }
        Some(&mut self.draft)
    }

    fn answer(&mut self, turn: &mut Turn, talk: &Talk, count: usize, limit: usize) {
        let key = Key { client: talk.peer, local: talk.local };
        let draft = std::mem::take(&mut self.draft);
        let answers = draft[..count.min(draft.len())].chunks(limit);
        match self.flows.find(&key).filter(|id| self.is_of(*id, talk)) {
            Some(id) => {
                self.answered(turn, &key);
                self.pass_down(turn, id, answers);
                // it may be all that is waited for
                if self.drained
                    && let Some(flight) = self.flows.get_mut(id)
                    && !std::mem::replace(&mut flight.queued, true)
                {
                    self.ready.push_back(id);
                }
            }
            None => self.last_words(turn, &key, talk.number, answers),
        }
        self.draft = draft;
    }

    fn unread(&mut self, count: u64) {
        self.traffic.unread += count;
    }

    fn over(&mut self, turn: &mut Turn, talk: &Talk, reason: &str) {
        let key = Key { client: talk.peer, local: talk.local };
        self.floor.hall.leave(talk.peer.ip().map(|address| address.ip()));
        if let Some(id) = self.flows.find(&key).filter(|id| self.is_of(*id, talk)) {
            self.end(turn, id, reason);
        }
        self.parting.remove(&talk.number);
    }
}
