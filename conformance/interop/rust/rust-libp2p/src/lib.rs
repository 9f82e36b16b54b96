//! rust-libp2p behind the interoperability command line.

pub mod keys;
pub mod node;
pub mod streams;
pub mod swarm;
