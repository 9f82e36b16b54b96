//! Our own addresses, as facts tell them.

use alloc::{collections::BTreeSet, vec::Vec};
use libp2p_proto_core::{AddressClass, Component, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::Fact;

/// Addresses that are remembered.
const MAX_ADDRS: usize = 64;

/// Our own direct addresses.
#[derive(Debug, Default)]
pub(crate) struct Own(BTreeSet<Multiaddr>);

impl Own {
    pub(crate) fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::ListenAddress { addr, up: false } => {
                self.0.remove(addr);
            }
            Fact::ListenAddress { addr, up: true }
            | Fact::ExternalAddress {
                addr,
                confirmed: true,
            } if !addr.is_relayed() && self.0.len() < MAX_ADDRS => {
                self.0.insert(addr.clone());
            }
            _ => {}
        }
    }

    /// What clients are told: each with our id.
    pub(crate) fn told(&self, local: PeerId, private: bool) -> Vec<Multiaddr> {
        let fit = self.0.iter().filter(|addr| is_usable(addr, private));
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
