#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Peers with relayed connections (`max_peers`), each with at most one upgrade under way, one list of claimed addresses (64) and the times of three answered exchanges for each of its
//! relayed connections. Our own listeners: 64; addresses that others saw: 32, each with 16 observers. Dials of the last minute: 4 096. Streams: one for each upgrade under way, and those that have said all and wait for
//! their end, each for a time. Events: `max_events`. Commands that wait: 64.

extern crate alloc;

mod answer;
mod command;
mod config;
mod dcutr;
mod error;
mod event;
mod lately;
mod offer;
mod own;
mod peer;
mod usable;
mod wire;

pub use command::Command;
pub use config::Config;
pub use dcutr::{Census, Dcutr, MAX_MESSAGE, NAME, Stats};
pub use error::{Error, Failure, WireError};
pub use event::{Attempt, Event, How, Role};
pub use wire::HolePunch;
