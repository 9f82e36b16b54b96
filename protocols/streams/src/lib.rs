#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Bytes that the application has not read: while more than `read_capacity` wait on a stream, the stream is paused, so at most one receive window more can
//! arrive. Bytes that the connection has not taken: at most `write_capacity` for each stream. Streams: the limits of the specs, and
//! `max_streams`. Events: one of each kind for each stream; when `max_events` wait, new inbound streams are reset and opens refused.

extern crate alloc;

mod command;
mod config;
mod error;
mod streams;

pub use command::Command;
pub use config::Config;
pub use error::Error;
pub use streams::{Event, Streams, Ticket};
