#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! Before authentication nothing but a handshake of constant size; incomplete frames are held by the caller. After it: the streams
//! and bytes that `StreamLimits` and the yamux limits allow.

extern crate alloc;

mod config;
mod connection;
mod error;
mod running;

pub use config::Config;
pub use connection::{Connection, ConnectionStats};
pub use error::Error;
