#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! A handshake holds its keys, and one message of ours until it leaves: under 4 KiB together with what it needs while it works, at most 8 KiB for the largest payload of a stranger.
//! Sealer and opener hold a key and a counter. Incomplete messages stay with the caller: at most 8 194 bytes during the handshake, 65 537 after it.

extern crate alloc;

mod config;
mod error;
mod handshake;
mod payload;
mod provider;
mod symmetric;
mod transport;
mod xx;

pub use config::{Config, Limits};
pub use error::Error;
pub use handshake::{Finished, Handshake};
#[cfg(feature = "aws-lc-rs")]
pub use provider::AwsLc;
#[cfg(feature = "ring")]
pub use provider::Ring;
pub use provider::{Aead, KeyPair, Provider, RustCrypto, Shared};
pub use transport::{MAX_FRAME, MAX_PLAINTEXT, Opener, Sealer};

/// `/noise`.
pub const NAME: libp2p_proto_core::ProtocolName = libp2p_proto_core::ProtocolName::from_static("/noise");
