//! The tree of BLAKE3 behind the beginning of a stream: subtrees that come in order, and may be hashed in any.
//!
//! A subtree has a power of two of groups and stands at a multiple of its own length. Its chaining value is joined with
//! that of its left neighbour of the same size as soon as it is certain that it is not the last one: the last join makes
//! the root, which is another hash (BLAKE3 specification, 2.1 and 5.1.2).

use std::collections::VecDeque;
use std::sync::Arc;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};

use super::helper::{self, Errand};
use super::{GROUP, HEAD};
use crate::buffer::Portion;

/// What is known of a stream that is longer than its head.
#[derive(Debug)]
pub(super) struct Tree {
    joined: Joined,
    /// Groups that have come.
    groups: u64,
    /// Subtrees behind those that are joined; the first one is not done yet.
    queue: VecDeque<Subtree>,
    /// How many of those are with the helper.
    errands: usize,
}

/// Subtrees side by side, the longest first.
#[derive(Clone, Debug)]
struct Joined {
    values: Vec<ChainingValue>,
    groups: u64,
}

#[derive(Debug)]
struct Subtree {
    groups: u64,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Known(ChainingValue),
    Asked(Arc<Errand>),
}

impl Tree {
    /// The tree of a stream whose whole head is in `head`.
    pub(super) fn behind(head: &Hasher) -> Self {
        let groups = (HEAD / GROUP) as u64;
        let mut values = Vec::with_capacity(DEEPEST);
        values.push(head.finalize_non_root());
        let joined = Joined { values, groups };
        Tree { joined, groups, queue: VecDeque::with_capacity(LONGEST_QUEUE + 1), errands: 0 }
    }

    /// Takes whole groups.
    pub(super) fn take(&mut self, mut bytes: Portion<'_>) {
        while !bytes.is_empty() {
            // the largest subtree that may begin here
            let most = 1 << (bytes.len() / GROUP).ilog2();
            let groups = most.min(1 << self.groups.trailing_zeros());
            let (part, behind) = bytes.split_at(groups as usize * GROUP);
            self.collect();
            let value = self.entrust(part).unwrap_or_else(|| Value::Known(hash(self.groups, part.bytes())));
            self.groups += groups;
            self.queue.push_back(Subtree { groups, value });
            bytes = behind;
        }
        self.collect();
        while self.queue.len() > LONGEST_QUEUE {
            self.join_first(); // the helper is late
            self.collect();
        }
    }

    /// Asks the helper for a subtree, if it is worth that and can be kept, and the helper has not enough to do already.
    fn entrust(&mut self, part: Portion<'_>) -> Option<Value> {
        if part.len() < LEAST_ERRAND || self.errands >= MOST_ERRANDS {
            return None;
        }
        let errand = helper::ask(self.groups, part)?;
        self.errands += 1;
        Some(Value::Asked(errand))
    }

    /// Joins what is known.
    fn collect(&mut self) {
        while self.queue.front().is_some_and(|subtree| match &subtree.value {
            Value::Known(_) => true,
            Value::Asked(errand) => errand.is_done(),
        }) {
            self.join_first();
        }
    }

    fn join_first(&mut self) {
        let Some(Subtree { groups, value }) = self.queue.pop_front() else { return };
        let value = match value {
            Value::Known(value) => value,
            Value::Asked(errand) => {
                self.errands -= 1;
                errand.value()
            }
        };
        self.joined.push(value, groups);
    }

    /// The digest of everything that has come, and of `rest`, less than a group.
    pub(super) fn finalize(&self, rest: &[u8]) -> Hash {
        let mut joined = self.joined.clone();
        for Subtree { groups, value } in &self.queue {
            let value = match value {
                Value::Known(value) => *value,
                Value::Asked(errand) => errand.value(),
            };
            joined.push(value, *groups);
        }
        if !rest.is_empty() {
            joined.push(hash(joined.groups, rest), 0);
        }
        joined.root()
    }
}

impl Joined {
    /// Adds the next subtree: those before it are now known not to be the last.
    fn push(&mut self, value: ChainingValue, groups: u64) {
        while self.values.len() > self.groups.count_ones() as usize {
            self.join_last_two();
        }
        self.values.push(value);
        self.groups += groups;
    }

    fn join_last_two(&mut self) {
        let (right, left) = (self.values.pop(), self.values.pop());
        if let (Some(left), Some(right)) = (left, right) {
            self.values.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// The root, where there are two values at least: the head's, and of something behind it.
    fn root(mut self) -> Hash {
        while self.values.len() > 2 {
            self.join_last_two();
        }
        match &self.values[..] {
            [left, right] => merge_subtrees_root(left, right, Mode::Hash),
            _ => unreachable!("a tree has more than its head"),
        }
    }
}

/// The chaining value of a subtree, which stands behind so many groups.
pub(super) fn hash(groups: u64, bytes: &[u8]) -> ChainingValue {
    Hasher::new().set_input_offset(groups * GROUP as u64).update(bytes).finalize_non_root()
}

/// Values side by side at any time: one for each bit of a length in groups, and one that is not joined yet.
const DEEPEST: usize = 52;

/// Less is hashed in the time in which another thread wakes up.
const LEAST_ERRAND: usize = 64 * 1024;

/// Subtrees of one stream that may be with the helper: as much memory of its sender is kept meanwhile.
const MOST_ERRANDS: usize = 6;

/// Subtrees that may wait for an earlier one that is with the helper.
const LONGEST_QUEUE: usize = 32;
