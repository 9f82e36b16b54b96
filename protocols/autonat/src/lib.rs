#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! As a client: our addresses (`max_addrs`), each with the voices of `window` servers and the times of `max_checks` questions; servers (`max_servers`) and who of them was asked lately;
//! questions of the application and their unread ends (`max_questions`), and of our own (`max_parallel` with each version), each with a nonce; dial backs that bring one (`max_dial_backs`);
//! payments of ten minutes (250 at most). As a server: questions of the last minute (`v1_per_minute`, `v2_per_minute`) and the dials for them, streams of one connection (`max_inbound`),
//! each with one message of at most 4 096 bytes, or 8 192 with version 2; dial data is counted and dropped. Other events: `max_events`.

extern crate alloc;

mod addrs;
mod autonat;
mod client;
mod command;
mod config;
mod desk;
mod error;
mod event;
mod log;
mod policy;
mod questions;
mod server;
mod votes;
mod watch;
pub mod wire;

pub use autonat::{Autonat, Census, DIAL_BACK, DIAL_REQUEST, Stats, V1};
pub use command::Command;
pub use config::{ClientConfig, Config, Serve, ServerConfig};
pub use error::{Error, Failure};
pub use event::{Event, Outcome, QuestionId, Verdict, Version};
pub use libp2p_proto_core::protobuf::Malformed;
