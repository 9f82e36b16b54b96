#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! As a point: registrations (`max_registrations`, of one peer `max_per_peer`, of one network in one namespace `max_per_network`), each of at most `max_record` bytes and a
//! namespace of 255; namespaces (`max_namespaces`); rates (`max_rated`); streams of one connection (`max_inbound`), each with one request of at most `max_request` bytes for at most
//! `timeout`. Cookies take no memory here. As a client: registrations of ours (`max_own`), questions and their unread ends (`max_questions`), peers that were discovered and cookies
//! (`max_discovered`). Other events: `max_events`.

extern crate alloc;

mod book;
mod client;
mod command;
mod config;
mod cookie;
mod error;
mod event;
mod ourselves;
mod rendezvous;
mod wire;

pub use command::Command;
pub use config::{Config, DEFAULT_TTL, MAX_NAMESPACE, MAX_TTL};
pub use error::{Error, Failure};
pub use event::{Event, Found, QueryId};
pub use libp2p_proto_core::protobuf::Malformed;
pub use rendezvous::{Census, NAME, Rendezvous, Stats};
pub use wire::{Message, Registration, Status};
