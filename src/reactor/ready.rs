//! Readiness as a remembered bit.
//!
//! mio reports edges: it says once that a descriptor became ready. A [`Latch`] remembers that until a system call on
//! that very descriptor answers WouldBlock; nothing else may clear it (invariant 2 of the crate).

/// What is known of one registered source's readiness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latch {
    /// A read may succeed.
    pub read: bool,
    /// A write may succeed.
    pub write: bool,
    /// An event carried a closed, error or priority bit: a short read no longer proves that nothing is left.
    pub odd: bool,
}

impl Latch {
    /// Both directions worth a try: how a latch is after any event but that of plain room. A full pipe whose reader leaves
    /// reports an error alone, an empty one whose writer leaves a hang-up alone; a spurious try costs a system call, a
    /// missing one a hang.
    pub const SET: Latch = Latch { read: true, write: true, odd: false };

    /// There is room to write and nothing else: each event tells the whole state of its descriptor when it is taken, and
    /// what comes later to be read raises an event of its own.
    pub const ROOM: Latch = Latch { read: false, write: true, odd: false };

    /// What is known after an event that told this.
    pub(super) fn after(self, told: Latch) -> Latch {
        Latch { read: self.read || told.read, write: self.write || told.write, odd: self.odd || told.odd }
    }
}
