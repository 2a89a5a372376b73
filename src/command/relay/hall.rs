//! What all threads of a relay have in common beside the meter: numbers of sessions, and what datagrams count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::datagram::police::{Portion, SharedPolicer};
use crate::event::Traffic;
use crate::units::Rate;

/// Shared by every thread. Locks are taken when a flow begins or ends, and per datagram only under `--limit-total`.
#[derive(Debug)]
pub(super) struct Hall {
    /// Sessions so far; the number of the newest.
    sessions: AtomicU64,
    /// With `--once`: a session has begun.
    taken: AtomicBool,
    once: bool,
    /// Flows there are, and may be.
    flows: AtomicU64,
    most: u64,
    most_per_ip: Option<u64>,
    per_ip: Mutex<HashMap<IpAddr, u64>>,
    /// `--limit-total` for datagrams, to the clients and from them.
    total: Option<[SharedPolicer; 2]>,
    counts: [AtomicU64; COUNTS],
    /// A copy is not complete (`-o`).
    misses_copies: AtomicBool,
}

/// Why a newcomer is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many flows as there may be.
    Flows,
    /// There are as many from that address.
    Address,
    /// The one session of `--once` has begun.
    Once,
}

impl Full {
    /// For a note.
    pub(super) fn why(self) -> &'static str {
        match self {
            Full::Flows => "too many clients at once",
            Full::Address => "too many from its address",
            Full::Once => "somebody else was first",
        }
    }
}

impl Hall {
    /// For at most `most` flows, and so many from one address; with `once` for one session alone.
    pub(super) fn new(most: u64, most_per_ip: Option<u64>, once: bool) -> Self {
        Hall {
            sessions: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            once,
            flows: AtomicU64::new(0),
            most,
            most_per_ip,
            per_ip: Mutex::default(),
            total: None,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            misses_copies: AtomicBool::new(false),
        }
    }

    /// The same with a rate for all flows together.
    pub(super) fn with_total(self, rate: Option<Rate>, now: Instant) -> Self {
        let police = |rate: Rate| [0, 1].map(|_| SharedPolicer::new(rate.0, now));
        Hall { total: rate.map(police), ..self }
    }

    /// The number of a new session.
    pub(super) fn number(&self) -> u64 {
        self.sessions.fetch_add(1, Relaxed) + 1
    }

    /// Takes a number back whose session has not begun and was not told, unless somebody has a later one.
    pub(super) fn give_back(&self, number: u64) {
        let _ = self.sessions.compare_exchange(number, number.saturating_sub(1), Relaxed, Relaxed);
    }

    /// Takes the one place of `--once`, for ever; always true without it.
    pub(super) fn comes_first(&self) -> bool {
        !self.once || !self.taken.swap(true, Relaxed)
    }

    /// Lets a flow in, or says why not. The place of `--once` is not taken by that: a flow may still find no target.
    pub(super) fn enter(&self, ip: Option<IpAddr>) -> Result<(), Full> {
        if self.once && self.taken.load(Relaxed) {
            return Err(Full::Once);
        }
        if self.flows.fetch_add(1, Relaxed) >= self.most {
            self.flows.fetch_sub(1, Relaxed);
            return Err(Full::Flows);
        }
        if let (Some(most), Some(ip)) = (self.most_per_ip, ip) {
            let mut per_ip = locked(&self.per_ip);
            let there = per_ip.entry(ip.to_canonical()).or_default();
            if *there >= most {
                self.flows.fetch_sub(1, Relaxed);
                return Err(Full::Address);
            }
            *there += 1;
        }
        Ok(())
    }

    /// A flow that was let in is over.
    pub(super) fn leave(&self, ip: Option<IpAddr>) {
        self.flows.fetch_sub(1, Relaxed);
        if let (Some(_), Some(ip)) = (self.most_per_ip, ip) {
            let (mut per_ip, ip) = (locked(&self.per_ip), ip.to_canonical());
            if let Some(there) = per_ip.get_mut(&ip) {
                *there -= 1;
                if *there == 0 {
                    per_ip.remove(&ip);
                }
            }
        }
    }

    /// Whether a datagram of the flow with this portion may go on under `--limit-total`.
    pub(super) fn admits(&self, way: usize, portion: &mut Portion, now: Instant, bytes: usize) -> bool {
        self.total.as_ref().is_none_or(|total| total[way].admits(portion, now, bytes))
    }

    /// True if each datagram has to ask.
    pub(super) fn has_limit(&self) -> bool {
        self.total.is_some()
    }

    /// A copy could not be made, or not be completed.
    pub(super) fn miss_copy(&self) {
        self.misses_copies.store(true, Relaxed);
    }

    /// True if there was such a copy.
    pub(super) fn misses_copies(&self) -> bool {
        self.misses_copies.load(Relaxed)
    }

    /// Adds what one thread has seen.
    pub(super) fn add(&self, traffic: &Traffic) {
        for (total, count) in self.counts.iter().zip(fields(traffic)) {
            if count > 0 {
                total.fetch_add(count, Relaxed);
            }
        }
    }

    /// What all of them have seen.
    pub(super) fn traffic(&self) -> Traffic {
        let [received, bytes_in, sent, bytes_out, dropped, refused, beyond, unread, truncated, limited, unsent] =
            std::array::from_fn(|index| self.counts[index].load(Relaxed));
        Traffic { received, bytes_in, sent, bytes_out, dropped, refused, beyond, unread, truncated, limited, unsent }
    }
}

const COUNTS: usize = 11;

fn fields(traffic: &Traffic) -> [u64; COUNTS] {
    let Traffic { received, bytes_in, sent, bytes_out, dropped, refused, beyond, unread, truncated, limited, unsent } =
        *traffic;
    [received, bytes_in, sent, bytes_out, dropped, refused, beyond, unread, truncated, limited, unsent]
}

/// A panic elsewhere leaves numbers behind that are still numbers.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_a_flow_is_over() {
        let (here, mapped, there) = ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2");
        let ip = |text: &str| Some(text.parse().unwrap());
        let hall = Hall::new(2, Some(1), false);
        assert_eq!(hall.enter(ip(here)), Ok(()));
        assert_eq!(hall.enter(ip(mapped)), Err(Full::Address), "the same address in other clothes");
        assert_eq!(hall.enter(ip(there)), Ok(()));
        assert_eq!(hall.enter(None), Err(Full::Flows));
        hall.leave(ip(mapped));
        assert_eq!(hall.enter(ip(here)), Ok(()));
        hall.leave(ip(here));
        hall.leave(ip(there));
        assert!(locked(&hall.per_ip).is_empty());
    }

    #[test]
    fn the_number_of_a_session_that_has_not_begun_is_the_next_ones() {
        let hall = Hall::new(10, None, false);
        assert_eq!(hall.number(), 1);
        hall.give_back(1);
        assert_eq!([hall.number(), hall.number()], [1, 2]);
        hall.give_back(1);
        assert_eq!(hall.number(), 3, "2 is in use");
    }

    #[test]
    fn with_once_one_comes_first() {
        let hall = Hall::new(10, None, true);
        assert_eq!([hall.enter(None), hall.enter(None)], [Ok(()), Ok(())], "nobody has begun yet");
        assert_eq!([hall.comes_first(), hall.comes_first()], [true, false]);
        assert_eq!(hall.enter(None), Err(Full::Once));
    }
}
