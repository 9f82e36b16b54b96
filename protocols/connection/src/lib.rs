#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Measured by a counting allocator in `tests/memory.rs`:
//!
//! | when | at most | what it is |
//! |---|---|---|
//! | before the peer is known | 2 KiB, and 8 KiB that wait with the caller | the handshake, and a message of it that is not whole |
//! | inside a WebSocket | 1 KiB more, before the peer is known and after | its state |
//! | idle | 2.5 KiB, and 650 bytes for each idle stream | keys, counters, the multiplexer's session |
//! | under a peer that does its worst | 1 MiB: 640 KiB (`StreamLimits::unread`), an eighth more, 64 KiB, and 640 bytes for each of 250 streams | bytes that the swarm has not returned; the spare memory of incomplete frames; one frame of Noise; streams |
//!
//! What the swarm writes comes on top: it is bounded by the send capacity of each spec.

extern crate alloc;

mod bare;
mod config;
mod connection;
mod error;
mod inner;
mod meter;
mod running;

pub use bare::ConnectionStats;
pub use config::Config;
pub use connection::Connection;
pub use error::{Error, Step};
