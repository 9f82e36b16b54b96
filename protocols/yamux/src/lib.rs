#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! | what | limit in [`Config`], default | answer at the limit |
//! |---|---|---|
//! | streams that the remote opens | `max_inbound`, 250 | RST |
//! | streams that wait for `accept` | `max_unaccepted`, 256 | RST |
//! | streams that we open | `max_outbound`, 250; `max_unacknowledged`, 256 | [`Error::TooManyStreams`], [`Error::AckBacklog`] |
//! | streams that we announce to a silent remote | `max_early`, 10 | SYN waits for its first frame |
//! | bytes that wait to be sent on a stream | the capacity given with `open` and `accept` | `write` takes less |
//! | events that wait to be polled | two for each stream | the streams count as open |
//! | answers to pings | `max_pongs`, 32 | dropped |
//! | resets that wait to be sent | `max_resets`, 512, and one for each stream | not [`wants_input`](Yamux::wants_input), then [`Error::PeerNotReading`] |
//! | control frames that can't leave | `write_timeout`, 10 s | [`Error::PeerNotReading`] |
//! | memory of streams that we have reset | `max_tombstones`, 256; two of our pings | the oldest is forgotten |
//! | granted credit | `max_window`, 16 MiB each; `growth_budget`, 64 MiB | no growth |
//! | pings | `pings_per_second`, 100 | [`Error::PingFlood`] |
//! | streams opened and reset | `resets_per_second`, 200, twice that at once | [`Error::ResetFlood`] |
//! | frames that change nothing, less those that do | `empty_frames`, 10 000 in 10 s | [`Error::NoProgress`] |
//! | frames and bytes for unknown streams | `unknown_frames`, 1 000 in 1 s; `unknown_bytes`, 64 MiB in 1 min | [`Error::UnknownFlood`] |
//! | pongs that nobody asked for | 10 between two that we did ask for | [`Error::PongFlood`] |
//! | silence while a pong is due | `ping_timeout`, 10 s | [`Error::KeepAlive`] |
//!
//! Received bytes are not in the table, since none is kept. An idle stream costs about 160 bytes, a session without streams under a kilobyte and a half.

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
