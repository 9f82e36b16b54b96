#![doc = include_str!("../README.md")]

#[cfg(feature = "mdns")]
mod discovery;
mod link;
mod node;

pub use libp2p_proto_os::Entropy;
#[cfg(feature = "mdns")]
pub use libp2p_proto_os::{Discovery, mdns};
pub use node::{Config, Error, Node, Resolve};
