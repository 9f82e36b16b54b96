#![doc = include_str!("../README.md")]

mod link;
mod node;

pub use libp2p_proto_os::Entropy;
pub use node::{Config, Error, Node, Resolve};
