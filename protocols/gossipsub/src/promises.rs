//! Messages that were asked for: who said to have them, and until when they must come.

use crate::MessageId;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use libp2p_proto_core::{Instant, PeerId};

/// For each id that was asked for, the one peer that was asked.
#[derive(Clone, Debug)]
pub(crate) struct Promises {
    asked: BTreeMap<MessageId, (PeerId, Instant)>,
    order: BTreeSet<(Instant, MessageId)>,
    max: usize,
}

impl Promises {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            asked: BTreeMap::new(),
            order: BTreeSet::new(),
            max,
        }
    }

    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.asked.contains_key(id)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.asked.len() >= self.max
    }

    pub(crate) fn add(&mut self, id: MessageId, peer: PeerId, until: Instant) {
        if self.is_full() || self.contains(&id) {
            return;
        }
        self.order.insert((until, id.clone()));
        self.asked.insert(id, (peer, until));
    }

    /// The message came, from whomever. Answers who was asked.
    pub(crate) fn kept(&mut self, id: &MessageId) -> Option<PeerId> {
        let (peer, until) = self.asked.remove(id)?;
        self.order.remove(&(until, id.clone()));
        Some(peer)
    }

    /// The peer is gone, and with it what it promised.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        let of_peer: Vec<_> = self
            .asked
            .iter()
            .filter(|(_, (asked, _))| *asked == peer)
            .map(|(id, _)| id.clone())
            .collect();
        for id in of_peer {
            self.kept(&id);
        }
    }

    /// Who broke how many promises by now.
    pub(crate) fn broken(&mut self, now: Instant) -> BTreeMap<PeerId, u32> {
        let mut broken = BTreeMap::<PeerId, u32>::new();
        while let Some((until, id)) = self.order.pop_first() {
            if until > now {
                self.order.insert((until, id));
                break;
            }
            if let Some((peer, _)) = self.asked.remove(&id) {
                let count = broken.entry(peer).or_default();
                *count = count.saturating_add(1);
            }
        }
        broken
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }
}
