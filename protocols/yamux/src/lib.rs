#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! | what | limit | answer at the limit |
//! |---|---|---|
//! | streams that the remote opens | `max_inbound` | RST |
//! | streams that wait for `accept` | `max_unaccepted` | RST |
//! | streams that we open | `max_outbound`, `max_unacknowledged` | [`Error::TooManyStreams`], [`Error::AckBacklog`] |
//! | bytes that wait to be sent on one stream | the capacity given with `open` and `accept` | `write` takes less |
//! | answers to pings | `max_pongs` | dropped |
//! | resets that wait to be sent | `max_resets` | [`Error::PeerNotReading`] |
//! | memory of streams that we have reset | `max_tombstones` | the oldest is forgotten |
//! | granted credit | `max_window` for each stream, `growth_budget` for all | no growth |
//! | pings, resets, frames without progress, frames for unknown streams | rates in the config | go-away 1 |

extern crate alloc;

mod config;
mod error;
mod event;
mod rate;
mod receive;
mod rtt;
mod send;
mod stream;
#[cfg(test)]
mod tests;
mod tombs;
mod wire;
mod yamux;

pub use config::Config;
pub use error::Error;
pub use event::{Event, Stats};
pub use yamux::Yamux;

/// `/yamux/1.0.0`.
pub const NAME: libp2p_proto_core::ProtocolName =
    libp2p_proto_core::ProtocolName::from_static("/yamux/1.0.0");

/// Credit that every stream starts with, in each direction, in bytes.
pub const INITIAL_WINDOW: u32 = 256 * 1024;
