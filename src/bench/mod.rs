//! Measuring traffic: how much, how fast and how late, told as iperf3 tells it.
//!
//! [`protocol`] is what two ends say to each other, [`traffic`] the tasks that send and receive. [`histogram`] holds
//! latencies, [`latency`] decides when a request is due and runs the blocking exchange, [`reception`] is the account of
//! a UDP receiver and [`pacer`] the pace of a sender. What was measured is one struct, [`result`], from which text, JSON,
//! thresholds and comparisons are made; [`plot`] draws it.

pub mod histogram;
pub mod latency;
pub mod pacer;
pub mod plot;
pub mod protocol;
pub mod reception;
pub mod result;
pub mod traffic;
