//! What a session has to remember from the end of its first direction on.

use std::time::Instant;

use super::Session;
use super::holding::Held;

/// It. A session that goes on both ways has none of it, and of those there may be thousands.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// When the first direction ended.
    pub(super) half_closed_at: Option<Instant>,
    /// When the local side's end of file was passed on (`-q` runs from here).
    pub(super) quiet_since: Option<Instant>,
    /// When to tell that we wait for a silent standard input, once.
    pub(super) hint_at: Option<Instant>,
    /// The peer that takes nothing any more: what it sent before is read, and then nothing is waited for.
    pub(super) forsaken: Option<usize>,
    /// What each end is not told yet, because that would end both directions.
    pub(super) held: [Option<Held>; 2],
    /// Until when what is to be sent to each end may come to its end, after it has ended both directions.
    pub(super) closing_by: [Option<Instant>; 2],
}

/// What a session has that goes on both ways.
const NOTHING: Late = Late {
    half_closed_at: None,
    quiet_since: None,
    hint_at: None,
    forsaken: None,
    held: [None, None],
    closing_by: [None, None],
};

impl Session {
    pub(super) fn late(&self) -> &Late {
        self.late.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn late_mut(&mut self) -> &mut Late {
        self.late.get_or_insert_default()
    }
}
