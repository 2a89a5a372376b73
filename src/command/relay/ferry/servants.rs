//! Programs as targets: each flow has one of its own, which reads what the client sends and answers it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use signal_hook::consts::SIGCHLD;

use super::flight::Key;
use super::{Ferry, Name, ROUNDS, UNIX};
use crate::command::client::Closing;
use crate::command::programs::{Audience, Programs, Talk};
use crate::command::relay::floor::{Floor, Goal};
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

    /// The flow of a talk, which may be over.
    fn name_of(&self, talk: &Talk) -> Name {
        let key = Key { client: talk.peer, local: talk.local };
        Name { id: self.flows.find(&key), number: talk.number }
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
        let name = self.name_of(talk);
        let draft = std::mem::take(&mut self.draft);
        let answers = draft[..count.min(draft.len())].chunks(limit);
        let living = self.living(name);
        if living.is_some() {
            self.answered(turn, &Key { client: talk.peer, local: talk.local });
        }
        self.pass_down(turn, name, answers);
        // it may be all that is waited for
        if self.drained
            && let Some(id) = living
            && let Some(flight) = self.flows.get_mut(id)
            && !std::mem::replace(&mut flight.queued, true)
        {
            self.ready.push_back(id);
        }
        self.draft = draft;
    }

    fn unread(&mut self, count: u64) {
        self.traffic.unread += count;
    }

    fn over(&mut self, turn: &mut Turn, talk: &Talk, reason: &str) {
        let name = self.name_of(talk);
        self.fall_silent(turn, name, talk.peer.ip().map(|address| address.ip()), reason);
    }
}
