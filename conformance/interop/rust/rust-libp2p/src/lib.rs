//! rust-libp2p behind the interoperability command line.

pub mod answers;
pub mod keys;
pub mod more;
pub mod node;
pub mod streams;
pub mod swarm;
