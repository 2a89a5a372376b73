//! Who is there: the peers of one datagram socket, when each was last heard, and who has to go.
//!
//! Pure: the time is passed in and never runs backwards. Flows stand in one list in the order in which they were last
//! heard, so that the head is always the next to expire, and every operation takes constant time. The rule at the cap:
//! a newcomer takes the place of the flow that has been silent the longest, if that has been silent for at least
//! `spare`; else the newcomer is refused. So a flood of new peers never throws out one that is in the middle of a talk.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use slab::Slab;

/// What the table is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A flow that was silent for this long is over; `None` keeps it for ever.
    pub idle: Option<Duration>,
    /// Flows at most.
    pub most: usize,
    /// At the cap, a flow that was silent for this long gives way to a newcomer; `None` refuses every newcomer.
    pub spare: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { idle: Some(Duration::from_secs(60)), most: 65_536, spare: Some(Duration::from_secs(1)) }
    }
}

/// What became of all flows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows that were opened.
    pub opened: u64,
    /// Flows that ended in silence.
    pub expired: u64,
    /// Flows that had to give way.
    pub evicted: u64,
    /// Times that a newcomer was turned away.
    pub refused: u64,
}

/// What hearing from a peer led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<K, V> {
    /// It has a flow.
    Known(FlowId),
    /// It has one now; another may have given way for it.
    New {
        /// Its flow.
        id: FlowId,
        /// Whose place it took.
        evicted: Option<(K, V)>,
    },
    /// The table is full.
    Refused,
}

/// Names a flow until it ends; then the name may come to mean another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(usize);

#[derive(Debug)]
struct Flow<K, V> {
    key: K,
    value: V,
    heard: Instant,
    /// Towards those heard earlier.
    earlier: Option<usize>,
    /// Towards those heard later.
    later: Option<usize>,
}

/// The table. `K` names a peer, `V` is what the owner keeps for it.
#[derive(Debug)]
pub struct Flows<K, V> {
    limits: Limits,
    flows: Slab<Flow<K, V>>,
    /// Invariant: exactly the flows of the slab.
    by_key: HashMap<K, usize>,
    /// Ends of the list, `None` if it is empty. Invariant: `heard` never falls from `first` to `last`.
    first: Option<usize>,
    last: Option<usize>,
    counts: Counts,
}

impl<K: Eq + Hash + Copy, V> Flows<K, V> {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        let counts = Counts::default();
        Flows { limits, flows: Slab::new(), by_key: HashMap::new(), first: None, last: None, counts }
    }

    /// Notes that `key` was heard at `now`; `make` gives the value of a new flow.
    pub fn heard(&mut self, now: Instant, key: &K, make: impl FnOnce() -> V) -> Heard<K, V> {
        if let Some(last) = self.last
            && let Some(flow) = self.flows.get_mut(last)
            && flow.key == *key
        {
            // most datagrams come from whom the last one came from: no need to look it up
            flow.heard = flow.heard.max(now);
            return Heard::Known(FlowId(last));
        }
        if let Some(&index) = self.by_key.get(key) {
            self.unlink(index);
            self.link_last(index, now);
            return Heard::Known(FlowId(index));
        }
        let evicted = match self.flows.len() < self.limits.most {
            true => None,
            false => match self.give_way(now) {
                Some(gone) => Some(gone),
                None => {
                    self.counts.refused += 1;
                    return Heard::Refused;
                }
            },
        };
        let flow = Flow { key: *key, value: make(), heard: now, earlier: None, later: None };
        let index = self.flows.insert(flow);
        self.by_key.insert(*key, index);
        self.link_last(index, now);
        self.counts.opened += 1;
        Heard::New { id: FlowId(index), evicted }
    }

    /// Ends the flow that was silent the longest, if that is long enough for a newcomer.
    pub fn give_way(&mut self, now: Instant) -> Option<(K, V)> {
        let spare = self.limits.spare?;
        let first = self.first?;
        if now.saturating_duration_since(self.flows.get(first)?.heard) < spare {
            return None;
        }
        self.counts.evicted += 1;
        self.take_out(first)
    }

    /// Notes that something was sent to `key` at `now`, which keeps its flow from ending as well; nothing if it has none.
    pub fn answered(&mut self, now: Instant, key: &K) -> Option<FlowId> {
        let index = *self.by_key.get(key)?;
        self.unlink(index);
        self.link_last(index, now);
        Some(FlowId(index))
    }

    /// Ends one flow that is over at `now`, the longest silent first; call until `None`.
    pub fn expire(&mut self, now: Instant) -> Option<(K, V)> {
        if self.next_expiry()? > now {
            return None;
        }
        self.counts.expired += 1;
        self.take_out(self.first?)
    }

    /// When the next flow is over, if it stays silent.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.flows.get(self.first?)?.heard.checked_add(self.limits.idle?)
    }

    /// Ends a flow at the owner's wish; no counter counts it.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let index = *self.by_key.get(key)?;
        self.take_out(index).map(|(_, value)| value)
    }

    /// The flow of a peer.
    pub fn find(&self, key: &K) -> Option<FlowId> {
        self.by_key.get(key).map(|index| FlowId(*index))
    }

    /// Who a flow is with, and what is kept for it.
    pub fn get(&self, id: FlowId) -> Option<(&K, &V)> {
        self.flows.get(id.0).map(|flow| (&flow.key, &flow.value))
    }

    /// What is kept for a flow.
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut V> {
        self.flows.get_mut(id.0).map(|flow| &mut flow.value)
    }

    /// The peer that was heard last.
    pub fn latest(&self) -> Option<(&K, &V)> {
        self.get(FlowId(self.last?))
    }

    /// All flows, the longest silent first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let flow = self.flows.get(next?)?;
            next = flow.later;
            Some((&flow.key, &flow.value))
        })
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// What became of all flows so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn take_out(&mut self, index: usize) -> Option<(K, V)> {
        self.unlink(index);
        let flow = self.flows.try_remove(index)?;
        self.by_key.remove(&flow.key);
        Some((flow.key, flow.value))
    }

    fn unlink(&mut self, index: usize) {
        let Some(flow) = self.flows.get(index) else { return };
        let (earlier, later) = (flow.earlier, flow.later);
        match earlier.and_then(|earlier| self.flows.get_mut(earlier)) {
            Some(flow) => flow.later = later,
            None => self.first = later,
        }
        match later.and_then(|later| self.flows.get_mut(later)) {
            Some(flow) => flow.earlier = earlier,
            None => self.last = earlier,
        }
    }

    /// Puts a flow that is in no list behind the one heard last.
    fn link_last(&mut self, index: usize, now: Instant) {
        let last = self.last.replace(index);
        // a clock that went back would break the order of the list
        let now = last.and_then(|last| self.flows.get(last)).map_or(now, |flow| flow.heard.max(now));
        match last.and_then(|last| self.flows.get_mut(last)) {
            Some(flow) => flow.later = Some(index),
            None => self.first = Some(index),
        }
        if let Some(flow) = self.flows.get_mut(index) {
            (flow.heard, flow.earlier, flow.later) = (now, last, None);
        }
    }
}

#[cfg(test)]
mod tests;
