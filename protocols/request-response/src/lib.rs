#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! * Requests of ours: `max_queued` that wait for each peer, `max_requests` in all, counted until their end is read; each as large as its spec allows. Of a response in parts
//!   at most `max_unread` bytes wait, and one receive window more.
//! * Requests of others: `max_inbound` streams for each spec and connection and `max_inbound_total` in all, reset beyond it; `max_held` bytes of each
//!   connection that are incomplete or not read; `max_events` events. Memory grows with what arrived, never with what was announced.
//! * Answers: one encoded message for each stream.
//! * Rates and denied peers: `max_peers` each.

extern crate alloc;

mod codec;
mod command;
mod config;
mod error;
mod event;
mod inbound;
mod machine;
mod outbound;
mod request;

pub use codec::{Decoder, Item, encode_rejection, encode_request, encode_response};
pub use command::Command;
pub use config::{Config, Excess, MAX_CHUNK, Spec, Support};
pub use error::{Error, Failure, InboundFailure, Rejection};
pub use event::{Census, Event, InboundId, RequestId, Stats};
pub use machine::RequestResponse;
pub use request::Request;
