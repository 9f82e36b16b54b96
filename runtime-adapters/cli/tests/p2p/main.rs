//! The built command, as processes on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod autonat;
mod bad_peers;
mod config;
mod decode;
mod demo;
mod dial;
mod kad;
mod keys;
mod listen;
mod metrics;
mod puppet;
mod readme;
mod record;
mod runtimes;
mod sim;
mod support;
mod usage;
