#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Connections, pending ones, and those of one peer or address: [`Config`]. Streams: the limits of specs and connections. Bytes between protocols and connections: the send capacity and
//! receive window of each stream. Addresses of peers: the book's limits. Facts and events that wait: their limits; while the application reads no events, no more news is
//! taken from connections.

extern crate alloc;

mod book;
mod config;
mod dial;
mod error;
mod gate;
mod host;
mod observed;
mod rank;
mod snapshot;
mod state;
mod swarm;

pub use book::{AddressBook, BookLimits, Source, backoff};
pub use config::Config;
pub use error::Error;
pub use gate::{Denied, Gate, IpPrefix};
pub use rank::{Ranked, rank};
pub use state::{Action, Event, Record, ResolveId, ResolveKind, Stats};
pub use swarm::Swarm;
