#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod buffer;
mod error;
pub mod framing;
mod id;
pub mod multiaddr;
mod name;
mod peer_id;
pub mod protobuf;
mod rates;
mod rng;
mod time;
mod timers;
pub mod varint;

pub use buffer::{RecvBuf, TransmitBuf};
pub use error::{Error, Fault};
pub use id::{ConnectionId, DialId, Side, StreamId};
pub use multiaddr::{AddressClass, Component, Multiaddr, Subnet, WebSocketTarget};
pub use name::ProtocolName;
pub use peer_id::PeerId;
pub use rates::{Rate, Rates};
pub use rng::Rng;
pub use time::{Deadline, Instant, UnixTime};
pub use timers::Timers;

/// Re-exported, so that a machine and its caller name the same types.
pub use {bytes, rand_core};
