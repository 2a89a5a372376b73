//! haul: a netcat-style tool.
pub mod cli;
pub mod error;
pub mod escape;
pub mod event;
pub mod meter;
pub mod outcome;
pub mod plan;
pub mod units;
