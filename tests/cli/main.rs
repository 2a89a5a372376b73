//! The real binary over real sockets: one file per feature, one test per promise (Linux; peers where they are installed).
//!
//! Nothing here sleeps to synchronise and nothing has a fixed port or path: copies of this suite may run side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

#[macro_use]
mod harness;
mod data;

mod architecture;
mod backpressure;
mod banner;
mod bench;
mod bench_bad_servers;
mod bench_iperf3;
mod bench_paths;
mod checks;
mod closing;
mod connect_udp;
mod crowd;
mod dialogue;
mod endpoints;
mod errors;
mod examples;
mod full_disk;
mod half_close;
mod injection;
mod leaks;
mod limits;
mod listen_udp;
mod listen_udp_local;
mod listen_udp_peers;
mod listen_udp_seq;
mod manual;
mod out;
mod peers;
mod pipe;
mod pipe_opening;
mod pipe_reports;
mod pipe_seen;
mod pipe_sinks;
mod pipe_usage;
mod pipe_verify;
mod programs;
mod proxies;
mod proxies_real;
mod proxies_tls;
mod proxy_protocol;
mod readme;
mod relay;
mod relay_faults;
mod relay_names;
mod relay_soak;
mod relay_targets;
mod relay_udp;
mod relay_udp_once;
mod relay_udp_peers;
mod screen;
mod scripts;
mod send_udp;
mod seqpacket;
mod serve;
mod signals;
mod stdio;
mod surface;
mod tap;
mod terminal;
mod then;
mod tls;
mod tls_peers;
mod tls_refusals;
mod tls_relay;
mod tls_server;
mod transfer;
mod unix_paths;
mod verify;
mod verify_ends;
mod websocket;
mod websocket_bad;
mod websocket_many;
mod websocket_peers;
mod whole;
