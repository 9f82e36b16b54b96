#![doc = include_str!("../README.md")]

#[cfg(feature = "mdns")]
mod discovery;
mod link;
mod node;

#[cfg(feature = "mdns")]
pub use libp2p_proto_os::{Discovery, mdns};
pub use libp2p_proto_os::{Entropy, Error};
pub use node::{Config, Node, Resolve};
