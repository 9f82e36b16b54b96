//! Our own addresses, as facts tell them.

use alloc::vec::Vec;
use libp2p_proto_core::{AddressClass, Component, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{Fact, OwnAddresses, Reachability};

/// Our own direct addresses, and whether others reach us.
#[derive(Debug, Default)]
pub(crate) struct Own {
    addrs: OwnAddresses,
    reachability: Reachability,
}

impl Own {
    pub(crate) fn learn(&mut self, fact: &Fact) {
        if let Fact::Reachability(reachability) = fact {
            self.reachability = *reachability;
        }
        let _changed = self.addrs.learn(fact);
    }

    /// What clients are told: each with our id.
    pub(crate) fn told(&self, local: PeerId, private: bool) -> Vec<Multiaddr> {
        self.usable(private)
            .filter_map(|addr| addr.with_peer_id(local).ok())
            .collect()
    }

    /// Whether clients could reach us: there is an address to tell, and others have not tried in vain. Among private addresses only the first counts, since those who try stand elsewhere.
    pub(crate) fn can_serve(&self, private: bool) -> bool {
        (private || self.reachability != Reachability::Private) && self.usable(private).next().is_some()
    }

    fn usable(&self, private: bool) -> impl Iterator<Item = &Multiaddr> {
        self.addrs.all().filter(move |addr| is_usable(addr, private))
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
