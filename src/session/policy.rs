//! How a session runs and ends: decided before it begins, never changed.

use std::time::Duration;

pub use crate::plan::{AfterPeerEof, Flow};
use crate::units::Rate;

/// The rules of one session.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which directions carry payload.
    pub flow: Flow,
    /// False: nothing is read from the local end, and no end of file is sent.
    pub stdin: bool,
    /// False: the local end of file is not passed on.
    pub shutdown: bool,
    /// What the peer's end means for the other direction.
    pub after_peer_eof: AfterPeerEof,
    /// Longest wait after the local end of file; reaching it is success.
    pub quit_after: Option<Duration>,
    /// Longest time without progress while a send queue empties at the end.
    pub linger: Duration,
    /// Longest time that an aborted session may still deliver what is in transit.
    pub grace: Duration,
    /// Longest time without a byte either way.
    pub idle: Option<Duration>,
    /// Longest time without a byte once one direction has ended.
    pub half_close: Option<Duration>,
    /// Longest time in all.
    pub max_time: Option<Duration>,
    /// Received bytes after which the session ends, successfully.
    pub max_bytes: Option<u64>,
    /// Bytes after which the local end counts as ended; not one more is taken from it.
    pub stop_at: Option<u64>,
    /// The first end is a source and the second a sink (`pipe`): what the sink says is dropped unseen, and the end of a
    /// source that is a program is passed on only once the program has succeeded.
    pub one_way: bool,
    /// Most bytes per second, per direction.
    pub rate: Option<Rate>,
    /// Most bytes by one system call.
    pub block: usize,
    /// Bytes that one direction may take in one turn before others are served.
    pub budget: u64,
    /// False: every byte passes through memory.
    pub splice: bool,
    /// Pipes at either end are widened; not where the user has said how much may be in transit.
    pub widen: bool,
    /// Somebody at a terminal should be told when a silent standard input is all that is waited for.
    pub hint: bool,
}
