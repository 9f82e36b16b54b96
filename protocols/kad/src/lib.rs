#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! The routing table: `replication` peers for each shared prefix length, of at most 32 addresses each. For each query at most `max_candidates` peers that were heard of
//! and `max_asked` that were asked; `max_queries` queries, counting those whose end was not read. Requests under way: `max_requests`; more wait within their queries.
//! For each inbound stream one request or one answer, `max_inbound` streams for each connection. Checks of newcomers: `max_checks`; failures that are remembered: 1 024; peers that were lost and are asked again: 64; clients that have left: 256 for 15 minutes.
//! A crawl: `max_crawled` peers, and as many in the full table; its targets 256 KiB. What is provided region by region: `max_swept` keys; four regions at a time, with their servers.
//! The store: its own limits. Keys and values that we publish: `max_published` each. Regions of crowded keys: one for each query, `max_region` peers of it; sizes: 150 lookups.
//! Events: `max_events` and the ends of queries.

extern crate alloc;

mod address;
mod answer;
mod command;
mod config;
mod dual;
mod error;
mod event;
mod full;
pub mod ipns;
mod kad;
mod key;
mod lookup;
mod query;
mod region;
mod rfc3339;
mod rpc;
mod run;
mod server;
mod size;
mod store;
mod sweep;
mod table;
mod upkeep;
mod validator;
mod wire;

pub use address::{Filters, Network};
pub use command::Command;
pub use config::{Config, LAN, Mode, PUBLIC};
pub use dual::{Dual, DualEvent, DualQuery, Half};
pub use error::{Error, Failure, Invalid, Malformed};
pub use event::{Effort, Event, Outcome, QueryError, QueryId, Step};
pub use kad::{Census, Kad, Stats};
pub use key::{Distance, Key};
pub use store::{MemoryStore, Refused, Store, StoreLimits, StoredProvider, StoredValue};
pub use sweep::{Link, Provided};
pub use table::{Diversity, Neighbour};
pub use validator::{AnyValue, PublicKeys, Validator, Validators};
pub use wire::{Contact, Message, MessageType, Record};
