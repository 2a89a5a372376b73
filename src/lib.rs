//! haul: a netcat-style tool.
pub mod buffer;
pub mod endpoint;
pub mod error;
pub mod escape;
pub mod event;
pub mod layer;
pub mod meter;
pub mod outcome;
pub mod plan;
pub mod reactor;
pub mod report;
pub mod session;
pub mod sys;
pub mod units;
