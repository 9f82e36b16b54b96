#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! For each connected peer one record of at most `max_protocols` names and `max_addrs` addresses, `max_kept` bytes in all; equal lists and agents are stored once for all peers.
//! For each exchange that is being read, at most `max_messages` messages of `max_message` bytes, merged as they come within the same limits. Pushes that wait: one for each peer.
//! Rate buckets of inbound pushes: one for each peer and for each network prefix that pushed lately, at most `max_prefixes` each. Events: at most `max_events`.

extern crate alloc;

mod answer;
mod command;
mod config;
mod error;
mod identify;
mod known;
mod push;
mod wire;

pub use command::Command;
pub use config::Config;
pub use error::{Error, Failure};
pub use identify::{Census, Event, Identify, NAME, PUSH_NAME, Stats};
pub use known::PeerInfo;
pub use wire::Message;
