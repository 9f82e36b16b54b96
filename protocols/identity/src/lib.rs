#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(any(feature = "ecdsa", feature = "rsa"))]
mod der;
mod ed25519;
mod envelope;
mod error;
mod identity;
mod keypair;
mod public_key;
mod record;
#[cfg(feature = "rsa")]
mod rsa_key;

pub use envelope::{Envelope, MAX_ENVELOPE};
pub use error::Error;
pub use identity::{Identity, Signer};
pub use keypair::Keypair;
pub use public_key::{KeyType, MAX_ENCODED_KEY, PublicKey};
pub use record::{Dialect, MAX_RECORD_ADDRS, PeerRecord, RecordClock};
