#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! The bytes of one incomplete message, at most [`Limits::message`] and its length, held only while it is incomplete. Answers that wait: at most one header,
//! [`Limits::refusals`] times `na` and one echo, and they are counted, not stored; only the echo of a name that a predicate accepted is.

extern crate alloc;

mod error;
mod limits;
mod line;
mod negotiation;

pub use error::Error;
pub use limits::Limits;
pub use negotiation::{Names, Negotiation, Outcome};
