//! What moves the bytes of a link: between two ends, or from one source to many sinks.

use std::time::Instant;

use crate::endpoint::process::Child;
use crate::outcome::Ended;
use crate::reactor::{Park, Turn};
use crate::session::Session;
use crate::session::spread::Spread;

/// One of the two.
pub(super) enum Mover {
    /// Two ends.
    Session(Box<Session>),
    /// A source and its sinks.
    Spread(Box<Spread>),
}

impl Mover {
    /// Does everything possible now.
    pub(super) fn turn(&mut self, turn: &mut Turn) -> Park {
        match self {
            Mover::Session(session) => session.turn(turn),
            Mover::Spread(spread) => spread.turn(turn),
        }
    }

    /// Ends it before its own end.
    pub(super) fn stop(&mut self, ended: Ended, now: Instant) {
        match self {
            Mover::Session(session) => session.stop(ended, now),
            Mover::Spread(spread) => spread.stop(ended, now),
        }
    }

    /// Has its time (`--max-time`) run from then: its connections took a while to be ready.
    pub(super) fn count_from(&mut self, began: Instant) {
        match self {
            Mover::Session(session) => session.count_from(began),
            Mover::Spread(spread) => spread.count_from(began),
        }
    }

    /// True if nothing is on its way and no direction has ended.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        matches!(self, Mover::Session(session) if session.is_idle(now))
    }

    /// True if a program stands at one of its ends.
    pub(super) fn has_programs(&self) -> bool {
        match self {
            Mover::Session(session) => session.has_programs(),
            Mover::Spread(spread) => spread.has_programs(),
        }
    }

    /// Bytes delivered in each direction so far.
    pub(super) fn bytes(&self) -> [u64; 2] {
        match self {
            Mover::Session(session) => session.bytes(),
            Mover::Spread(spread) => spread.bytes(),
        }
    }

    /// True once everything from the first end was delivered and its end passed on.
    pub(super) fn has_delivered_everything(&self) -> bool {
        match self {
            Mover::Session(session) => session.has_delivered_everything(),
            Mover::Spread(spread) => spread.has_delivered_everything(),
        }
    }

    /// True if the sink of this place, counted from 0, did not fail while the others went on.
    pub(super) fn has_served(&self, index: usize) -> bool {
        match self {
            Mover::Session(_) => true,
            Mover::Spread(spread) => spread.has_served(index),
        }
    }

    /// The programs of one that is over, to be waited for. True for one whose status says nothing about what was read:
    /// it may only have found out that nobody reads its output any more.
    pub(super) fn take_children(&mut self) -> Vec<(Child, bool)> {
        match self {
            Mover::Session(session) => {
                let children = session.take_children().into_iter().enumerate();
                children.filter_map(|(end, child)| Some((child?, session.has_enough_of(end)))).collect()
            }
            Mover::Spread(spread) => {
                let enough = spread.has_enough();
                let children = spread.take_children().into_iter();
                children.map(|(sink, child)| (child, sink.is_none() && enough)).collect()
            }
        }
    }
}
