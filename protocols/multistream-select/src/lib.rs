#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! The bytes of one incomplete message, at most 1 026, held only while it is incomplete. Answers that wait: at most one header, 32 times `na` and one echo.

extern crate alloc;

mod error;
mod line;
mod negotiation;

pub use error::Error;
pub use negotiation::{MAX_PROPOSALS, Names, Negotiation, Outcome};
