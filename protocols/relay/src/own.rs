//! Our own addresses, as facts tell them.

use alloc::vec::Vec;
use libp2p_proto_core::{AddressClass, Component, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{Fact, OwnAddresses};

/// Our own direct addresses.
#[derive(Debug, Default)]
pub(crate) struct Own(OwnAddresses);

impl Own {
    pub(crate) fn learn(&mut self, fact: &Fact) {
        let _changed = self.0.learn(fact);
    }

    /// What clients are told: each with our id.
    pub(crate) fn told(&self, local: PeerId, private: bool) -> Vec<Multiaddr> {
        let fit = self.0.all().filter(|addr| is_usable(addr, private));
        fit.filter_map(|addr| addr.with_peer_id(local).ok()).collect()
    }
}

/// Whether others can use a direct address.
pub(crate) fn is_usable(addr: &Multiaddr, private: bool) -> bool {
    match addr.class() {
        AddressClass::Public | AddressClass::Name => true,
        AddressClass::Loopback | AddressClass::LinkLocal | AddressClass::Private => private,
        _ => false,
    }
}

/// The address of a circuit through a relay, from an address of the relay: with its id, whatever stands there. `None` if it names another peer.
pub(crate) fn circuit(addr: &Multiaddr, relay: PeerId) -> Option<Multiaddr> {
    addr.with_peer_id(relay).ok()?.with(Component::P2pCircuit).ok()
}
