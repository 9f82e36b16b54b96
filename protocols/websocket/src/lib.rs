#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! | what | limit in [`Config`], default | answer at the limit |
//! |---|---|---|
//! | the head of the upgrade, which waits with the caller | `max_head`, 8 KiB | [`Error::HeadTooLarge`] |
//! | its header lines, for the moment of parsing | `max_headers`, 64 | [`Error::TooManyHeaders`] |
//! | announced bytes of a frame, of a message | `max_frame`, `max_message`, 16 MiB | [`Error::FrameTooLarge`], [`Error::MessageTooLarge`] |
//! | answers to pings | 1: the newest, as the RFC allows | the older is dropped |
//! | pings and pongs | `controls_per_second`, 100 | [`Error::ControlFlood`] |
//! | time for the upgrade | `upgrade_timeout`, 10 s | [`Error::UpgradeTimeout`] |
//! | time for the end | `close_timeout`, 500 ms | closed |
//!
//! Payload is in no line of the table: it stays where the caller read it. A machine costs about 600 bytes, and a client that has not sent its request the bytes of that.

extern crate alloc;

mod close;
mod config;
mod error;
mod http;
mod mask;
mod websocket;
mod wire;

pub use close::CloseCode;
pub use config::Config;
pub use error::Error;
pub use websocket::{Event, Stats, WebSocket};
