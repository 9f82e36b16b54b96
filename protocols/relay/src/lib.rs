#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! At the relay: reservations (`max_reservations`, and fewer for each IP address and network), circuits (`max_circuits`, and fewer for each peer and IP address), requests
//! that are being read (ten streams for each connection, each for a time), rates of reservations (`max_rated`). At the client: relays (`max_relays`), candidates
//! (`max_candidates`), circuits that are being made or stand (`max_circuits`, and fewer for each relay). Events: `max_events`. What circuits carry waits with their streams: at most one receive
//! window of the sender's stream each way.

extern crate alloc;

mod circuits;
mod client;
mod command;
mod config;
mod error;
mod event;
mod own;
mod relay;
mod server;
mod voucher;
mod wire;

pub use circuits::Left;
pub use command::Command;
pub use config::{Access, ClientConfig, Request, ServerConfig};
pub use error::{Error, Failure, VoucherError};
pub use event::{Event, Stats};
pub use relay::{HOP, MAX_MESSAGE, Relay, STOP};
pub use voucher::Voucher;
pub use wire::{HopMessage, Limit, Reservation, Status, StopMessage, WireError};
