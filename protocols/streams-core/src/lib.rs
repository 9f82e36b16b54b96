#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Streams: the limits of the seat (inbound, outbound, negotiating) and of each spec. Bytes that the swarm has not taken: `StreamLimits::unread` over all streams; at the limit no more input is
//! wanted, and after `unread_pause` the stream that holds most is reset. Bytes to be sent: the swarm writes within the send capacity of each spec.

extern crate alloc;

mod framer;
mod muxer;
mod slot;
mod streams;

pub use muxer::{Blocked, Muxer};
pub use streams::Streams;
