//! The one gate of admission: who may come in, and how many at once.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::endpoint::access::Access;
use crate::error::Error;
use crate::plan::Serving;
use crate::sys;

/// Access lists, and who is inside.
pub(super) struct Gate {
    access: Access,
    most: u64,
    most_per_ip: Option<u64>,
    inside: u64,
    per_ip: HashMap<IpAddr, u64>,
}

impl Gate {
    /// A gate for at most `most` connections at once.
    pub(super) fn new(access: Access, serving: &Serving, most: u64) -> Self {
        Gate { access, most, most_per_ip: serving.most_per_ip, inside: 0, per_ip: HashMap::new() }
    }

    /// While every place is taken, connections wait in the backlog.
    pub(super) fn is_full(&self) -> bool {
        self.inside >= self.most
    }

    /// Why somebody may not come in. Unix peers have no address and always may.
    pub(super) fn refuses(&self, ip: Option<IpAddr>) -> Option<&'static str> {
        self.refuses_beside(0, ip)
    }

    /// The same where so many of its address have come this far, and are not inside yet.
    pub(super) fn refuses_beside(&self, waiting: u64, ip: Option<IpAddr>) -> Option<&'static str> {
        let ip = ip?;
        if !self.access.permits(ip) {
            return Some("not allowed");
        }
        let there = self.per_ip.get(&ip).copied().unwrap_or(0) + waiting;
        self.most_per_ip.is_some_and(|most| there >= most).then_some("too many connections from its address")
    }

    /// The lists, as they were read last.
    pub(super) fn lists(&self) -> &Access {
        &self.access
    }

    /// True if no list says who may come in.
    pub(super) fn is_open(&self) -> bool {
        self.access.is_unlimited()
    }

    /// Somebody came in.
    pub(super) fn enter(&mut self, ip: Option<IpAddr>) {
        self.inside += 1;
        if let Some(ip) = ip {
            *self.per_ip.entry(ip).or_default() += 1;
        }
    }

    /// Somebody left.
    pub(super) fn leave(&mut self, ip: Option<IpAddr>) {
        self.inside = self.inside.saturating_sub(1);
        let Some(ip) = ip else { return };
        if let Some(there) = self.per_ip.get_mut(&ip) {
            *there -= 1;
            if *there == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }

    /// Reads the access lists again.
    ///
    /// # Errors
    /// A line is wrong; the lists are then what they were.
    pub(super) fn reload(&mut self) -> Result<(), Error> {
        self.access.reload()
    }
}

/// Connections of `each` descriptors that the descriptor limit has room for, with some left for everything else.
pub(super) fn possible(each: u64) -> u64 {
    let limit = sys::descriptor_limit();
    ((limit - RESERVED.min(limit / 4)) / each).max(1)
}

/// Standard streams, the loop, listeners, kernel pipes, connections that are being made.
const RESERVED: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_somebody_leaves() {
        let serving = Serving { most: Some(2), most_per_ip: Some(1), ..Serving::default() };
        let mut gate = Gate::new(Access::default(), &serving, 2);
        let (here, there) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        assert!(gate.refuses_beside(1, here).is_some());
        gate.enter(here);
        assert!(gate.refuses(here).is_some() && gate.refuses(there).is_none());
        gate.enter(there);
        assert!(gate.is_full());
        gate.leave(here);
        assert!(!gate.is_full() && gate.refuses(here).is_none());
        assert_eq!(gate.per_ip.len(), 1);
    }
}
