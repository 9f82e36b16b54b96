//! What the application is told.

use alloc::vec::Vec;
use libp2p_proto_core::{Multiaddr, PeerId};

/// Something that was found, or is gone. Nothing of it is proven: anybody on the link can say anything, and only a handshake shows who is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer is said to be at these addresses. Each address is told once until it expires.
    Discovered {
        /// The peer.
        peer: PeerId,
        /// Its new addresses, without the final `/p2p`; those that are likeliest to work first.
        addrs: Vec<Multiaddr>,
        /// The interface where it was heard first.
        interface: u32,
    },
    /// Addresses that were told are not renewed, or taken back.
    Expired {
        /// The peer.
        peer: PeerId,
        /// The addresses.
        addrs: Vec<Multiaddr>,
    },
}
