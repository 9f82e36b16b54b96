//! Where others see us: claims, believed once enough networks agree.

use crate::hosts::Network;
use alloc::collections::{BTreeMap, BTreeSet};
use libp2p_proto_core::{AddressClass, Multiaddr};

/// Candidates that are kept.
const MAX_CANDIDATES: usize = 8;
/// Observers that are kept of one candidate.
const MAX_OBSERVERS: usize = 16;

/// Observed addresses, and the networks that saw them.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    seen: BTreeMap<Multiaddr, BTreeSet<Network>>,
}

impl Observed {
    /// Takes a claim in. Says whether just now enough networks agree on it.
    pub(crate) fn claim(&mut self, addr: &Multiaddr, from: &Multiaddr, needed: usize) -> bool {
        if addr.class() != AddressClass::Public || addr.socket_tcp().is_some_and(|(_, port)| port == 0) {
            return false;
        }
        if self.seen.len() >= MAX_CANDIDATES && !self.seen.contains_key(addr) {
            let weakest = self.seen.iter().min_by_key(|(_, by)| by.len());
            if let Some(weakest) = weakest.map(|(addr, _)| addr.clone()) {
                self.seen.remove(&weakest);
            }
        }
        let observers = self.seen.entry(addr.clone()).or_default();
        observers.len() < MAX_OBSERVERS
            && observers.insert(Network::of_observer(from))
            && observers.len() == needed
    }
}
