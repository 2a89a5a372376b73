//! The tasks that send and receive, and who runs them.
//!
//! A [`Flow`] is one stream in one direction; its task moves bytes and counts them in a [`Tally`], which the task that
//! leads the test reads when it wants to. All flows of a test look at one [`Phase`]; whoever changes it nudges the
//! [`Crew`], the threads that run them.

pub mod crew;
pub mod pattern;
pub mod stream;
pub mod tally;

pub use crew::{Band, Crew};
pub use stream::{Flow, Way};
pub use tally::{Bell, Budget, Phase, Stage, Tally};

/// Bytes of one write of a TCP sender: what the cache of one CPU holds.
pub const BLOCK: usize = 128 << 10;
