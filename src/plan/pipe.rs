//! What `haul pipe` was asked to do.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::{Report, Transfer};

/// `haul pipe`: one source, one or several sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipe {
    /// Where bytes come from.
    pub source: Address,
    /// Where they go, each to all of them. Invariant: at least one.
    pub sinks: Vec<Address>,
    /// `-2`: bytes go both ways; with one sink only.
    pub both_ways: bool,
    /// `--on-slow`: what becomes of a sink that holds the others back.
    pub on_slow: OnSlow,
    /// `--connect-timeout`: longest time that opening an endpoint, or waiting for its connection, may take.
    pub connect_timeout: Option<Duration>,
    /// `--size`: bytes that will come, for the estimate of the time left.
    pub size: Option<u64>,
    /// `--lines`, `-0`: the byte that ends a record, where records are counted.
    pub records: Option<u8>,
    /// `--stop-at`: bytes after which the source counts as ended.
    pub stop_at: Option<u64>,
    /// `--watchdog`: longest time in which nothing moves.
    pub watchdog: Option<Duration>,
    /// `--hash`: a digest of everything that passed.
    pub hash: Option<Hash>,
    /// How the bytes move and how it ends. Its `buffer` is a ring that is filled while a sink is not ready.
    pub transfer: Transfer,
    /// What is told, and to whom.
    pub report: Report,
}

/// What becomes of a sink that holds the others back (`--on-slow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSlow {
    /// Everybody waits for it.
    #[default]
    Wait,
    /// It is closed and reported, and the others go on.
    Drop,
}

/// `--hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Which function.
    pub algorithm: Algorithm,
    /// `--hash-file`: where the line goes; standard error where it is not given.
    pub file: Option<PathBuf>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// BLAKE3 with 256 bits, as b3sum prints it.
    Blake3,
    /// SHA-256 (FIPS 180-4), as sha256sum prints it.
    Sha256,
}
