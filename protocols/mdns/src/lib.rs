#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! A packet: bytes ([`MAX_DATAGRAM`]), questions ([`MAX_QUESTIONS`]), records ([`MAX_RECORDS`]), strings of a record ([`MAX_STRINGS`]), jumps of a name ([`MAX_JUMPS`]). Interfaces
//! (`max_interfaces`), each with addresses (`max_interface_addrs`); addresses of our own (`max_own`). Peers that were found (`max_peers`), of one source (`max_per_source`), each with
//! addresses (`max_addrs`). What waits to be sent: a few packets for each interface and family, and replies (`max_replies`); whose rate is remembered (`max_rated`). Events: while
//! `max_events` wait, answers of others are not looked at and nobody expires.

extern crate alloc;

mod config;
mod error;
mod event;
mod found;
mod interface;
mod mdns;
mod name;
mod ours;
mod schedule;
mod wire;

pub use config::{Config, HOST_TTL, MAX_TTL, SERVICE};
pub use error::{Dropped, Error, Malformed};
pub use event::Event;
pub use interface::{Family, GROUP4, GROUP6, Interface, PORT, Received, Transmit};
pub use mdns::{Census, Mdns, Stats};
pub use name::{MAX_JUMPS, Name};
pub use wire::{
    Data, MAX_DATAGRAM, MAX_QUESTIONS, MAX_RECORDS, MAX_STRINGS, Message, Question, Record, class, kind,
};
