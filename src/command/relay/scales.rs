//! Which of several targets a client is joined to, and in which order the others are tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::plan::relay::Balance;

/// What is known of the targets of one listener; sessions of every thread count.
#[derive(Debug)]
pub(super) struct Scales {
    balance: Balance,
    /// Where the next round begins.
    next: AtomicUsize,
    started: Instant,
    pans: Vec<Pan>,
}

#[derive(Debug, Default)]
struct Pan {
    /// Sessions that have it or try to.
    sessions: AtomicU64,
    /// When a connection failed, in milliseconds since the start and plus one; 0 for never.
    failed_at: AtomicU64,
}

/// One session's weight on a target; taken off when it is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    scales: Arc<Scales>,
    target: usize,
}

impl Scales {
    /// Scales for so many targets.
    pub(super) fn new(balance: Balance, targets: usize, now: Instant) -> Arc<Self> {
        let pans = (0..targets).map(|_| Pan::default()).collect();
        Arc::new(Scales { balance, next: AtomicUsize::new(0), started: now, pans })
    }

    /// The targets in the order in which a new session tries them; those that have just failed come last.
    pub(super) fn order(&self, now: Instant) -> Vec<usize> {
        let count = self.pans.len();
        if count < 2 {
            return (0..count).collect();
        }
        let (failed, mut order): (Vec<_>, Vec<_>) = (0..count).partition(|target| self.has_just_failed(*target, now));
        match self.balance {
            Balance::First => {}
            // among those that can be had: the turns of the others are not all the next one's
            Balance::RoundRobin => {
                let turn = self.next.fetch_add(1, Relaxed) % order.len().max(1);
                order.rotate_left(turn);
            }
            Balance::Least => order.sort_by_key(|target| self.pans[*target].sessions.load(Relaxed)),
        }
        order.extend(failed);
        order
    }

    /// Puts a session on a target.
    pub(super) fn put(self: &Arc<Self>, target: usize) -> Weight {
        if let Some(pan) = self.pans.get(target) {
            pan.sessions.fetch_add(1, Relaxed);
        }
        Weight { scales: Arc::clone(self), target }
    }

    /// A connection to this target failed.
    pub(super) fn failed(&self, target: usize, now: Instant) {
        if let Some(pan) = self.pans.get(target) {
            pan.failed_at.store(self.clock(now), Relaxed);
        }
    }

    fn has_just_failed(&self, target: usize, now: Instant) -> bool {
        let at = self.pans[target].failed_at.load(Relaxed);
        at > 0 && self.clock(now) < at + AVOIDED.as_millis() as u64
    }

    fn clock(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis() as u64 + 1
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        if let Some(pan) = self.scales.pans.get(self.target) {
            pan.sessions.fetch_sub(1, Relaxed);
        }
    }
}

/// How long a target that failed is only tried when the others fail, too.
const AVOIDED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_balance_has_its_order() {
        let now = Instant::now();
        let first = Scales::new(Balance::First, 3, now);
        assert_eq!([first.order(now), first.order(now)], [[0, 1, 2], [0, 1, 2]]);
        let round = Scales::new(Balance::RoundRobin, 3, now);
        let rounds: Vec<_> = (0..4).map(|_| round.order(now)[0]).collect();
        assert_eq!(rounds, [0, 1, 2, 0]);
        let least = Scales::new(Balance::Least, 3, now);
        let (a, b) = (least.put(0), least.put(1));
        assert_eq!(least.order(now), [2, 0, 1]);
        let _c = least.put(2);
        drop(b);
        assert_eq!(least.order(now), [1, 0, 2]);
        drop(a);
        assert_eq!(least.order(now), [0, 1, 2]);
    }

    #[test]
    fn the_turns_of_a_target_that_failed_are_shared_out() {
        let now = Instant::now();
        let round = Scales::new(Balance::RoundRobin, 4, now);
        round.failed(1, now);
        let rounds: Vec<_> = (0..6).map(|_| round.order(now)).collect();
        assert_eq!(rounds.iter().map(|order| order[0]).collect::<Vec<_>>(), [0, 2, 3, 0, 2, 3]);
        assert!(rounds.iter().all(|order| order[3] == 1));
        (0..4).for_each(|target| round.failed(target, now));
        assert_eq!(round.order(now), [0, 1, 2, 3]);
    }

    #[test]
    fn a_target_that_failed_is_the_last_choice_for_a_while() {
        let now = Instant::now();
        let scales = Scales::new(Balance::First, 2, now);
        scales.failed(0, now);
        assert_eq!(scales.order(now), [1, 0]);
        assert_eq!(scales.order(now + AVOIDED), [0, 1]);
    }
}
