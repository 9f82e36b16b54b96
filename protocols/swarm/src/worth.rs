//! What peers are worth to us: whom to protect, and whom to let go first.

use alloc::collections::{BTreeMap, BTreeSet};
use libp2p_proto_core::PeerId;

/// Protected peers, and the tags that protocols and the application gave to others.
#[derive(Debug, Default)]
pub(crate) struct Worth {
    protected: BTreeSet<PeerId>,
    tags: BTreeMap<PeerId, BTreeMap<&'static str, i32>>,
}

impl Worth {
    /// Says whether that changed anything.
    pub(crate) fn protect(&mut self, peer: PeerId, protect: bool) -> bool {
        if protect {
            self.protected.insert(peer)
        } else {
            self.protected.remove(&peer)
        }
    }

    pub(crate) fn is_protected(&self, peer: &PeerId) -> bool {
        self.protected.contains(peer)
    }

    /// Sets a tag; 0 removes it. Says whether there was room for it.
    pub(crate) fn tag(&mut self, peer: PeerId, tag: &'static str, value: i32, max_tagged: usize) -> bool {
        if value == 0 {
            if let Some(tags) = self.tags.get_mut(&peer) {
                tags.remove(tag);
                if tags.is_empty() {
                    self.tags.remove(&peer);
                }
            }
            return true;
        }
        if self.tags.len() >= max_tagged && !self.tags.contains_key(&peer) {
            return false;
        }
        self.tags.entry(peer).or_default().insert(tag, value);
        true
    }

    /// The sum of a peer's tags.
    pub(crate) fn value(&self, peer: &PeerId) -> i32 {
        let tags = self.tags.get(peer).into_iter().flat_map(BTreeMap::values);
        tags.fold(0, |sum: i32, value| sum.saturating_add(*value))
    }
}
