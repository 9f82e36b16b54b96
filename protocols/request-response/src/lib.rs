#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Requests of ours: `max_queued` for each peer that is not connected or whose streams are all in use, `max_requests` in all, each as large as its spec allows. Requests of others: `max_inbound` for each
//! connection, refused beyond it; at most `max_events` events wait, and a request that finds no room is reset.

extern crate alloc;

mod config;
mod error;
mod machine;

pub use config::{Config, Spec};
pub use error::{Error, Failure, InboundFailure};
pub use machine::{Event, InboundId, RequestId, RequestResponse};
