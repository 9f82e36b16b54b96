#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! One record for each connection, one run for each peer that is being pinged (`max_runs`), one block queue of at most 1 KiB for each inbound stream
//! (two streams for each peer), and the event queue (`max_events`, oldest kept: a full queue drops the new event and counts it).

extern crate alloc;

mod command;
mod config;
mod echo;
mod error;
mod ping;

pub use command::Command;
pub use config::Config;
pub use error::{Error, Failure};
pub use ping::{Event, NAME, Ping, RunId, Stats};
