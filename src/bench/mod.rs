//! Measuring traffic: how much, how fast and how late, told as iperf3 tells it.

pub mod histogram;
pub mod result;
