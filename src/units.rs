//! Sizes, rates and spans as people write them: parse and Display, each the other's inverse.
//!
//! `k M G T` are decimal, `Ki Mi Gi Ti` binary; `10M` as a rate is bytes per second, `100Mbit` bits per second;
//! a plain number as a span is seconds, `ms s m h` are accepted.

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes per second, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);
