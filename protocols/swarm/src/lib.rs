#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Connections by place, host and peer, dials and their attempts: [`Config`]; counted where they change their place, and each has a deadline until it stands.
//! Streams: the limits of specs and connections, and [`StreamScopes`]. Bytes between protocols and connections: the send capacity and receive window of each
//! stream. Peers and their addresses: [`BookLimits`]. Facts, news and events that wait: their limits; while the application reads no events, no more news is
//! taken from connections, failed dials wait to be told, and failed inbound connections are only counted. [`Swarm::audit`] recounts all of it.
//!
//! # What it does not do yet
//!
//! Receive windows have a budget for each connection, none over all of them. Which stream of a connection leaves first is the multiplexer's matter.

extern crate alloc;

mod admission;
mod audit;
mod blackhole;
mod book;
mod census;
mod config;
mod conn;
mod core;
mod dial;
mod drive;
mod error;
mod expected;
mod filter;
mod gate;
mod host;
mod hosts;
mod lifecycle;
mod news;
mod observed;
mod rank;
mod relayed;
mod resolve;
mod scopes;
mod slot;
mod snapshot;
mod swarm;
mod tie;
mod watch;
mod words;
mod worth;

pub use book::{AddressBook, BookLimits, Source, backoff};
pub use config::{Config, Trim};
pub use error::Error;
pub use filter::drop_lesser_twins;
pub use gate::{Denied, Gate, IpPrefix, Stage, Veto};
pub use rank::{Ranked, rank};
pub use scopes::{StreamLimit, StreamScopes};
pub use swarm::Swarm;
pub use tie::{SIDE_BY_SIDE, Standing, preference, redundant_from};
pub use watch::{Call, Watcher};
pub use words::{Action, Event, Record, ResolveId, ResolveKind, Stats};
