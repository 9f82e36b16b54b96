#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! One record of constant size for each transfer, of which there is one inbound for each connection and at most `max_runs` of our own; each transfer has at most
//! `send_capacity` bytes waiting, all of them one shared block. The event queue holds at most `max_events`.

extern crate alloc;

mod command;
mod config;
mod error;
mod perf;
mod serve;

pub use command::Command;
pub use config::Config;
pub use error::{Error, Failure};
pub use perf::{Event, NAME, Perf, RunId};
