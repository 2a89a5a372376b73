//! Measuring traffic: how much, how fast and how late, told as iperf3 tells it.
//!
//! [`protocol`] is what two ends say to each other, [`traffic`] the tasks that send and receive; [`histogram`] holds
//! latencies. What was measured is one struct, [`result`], from which text, JSON, thresholds and comparisons are made.

pub mod histogram;
pub mod protocol;
pub mod result;
pub mod traffic;
