//! What can be seen of the machine without changing it.

use super::Gossipsub;
use crate::{Level, ScoreExplanation, Topic, event::Census, partial::Groups, peers::Peer, score::Scores};
use alloc::collections::BTreeSet;
use bytes::Bytes;
use libp2p_proto_core::{Instant, PeerId};

impl Gossipsub {
    /// Topics that we take part in, sorted.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.local.keys()
    }

    /// Connected peers that subscribe to a topic, sorted.
    pub fn peers_of(&self, topic: &Topic) -> impl Iterator<Item = &PeerId> {
        self.topics.get(topic).into_iter().flatten()
    }

    /// Members of our mesh of a topic, sorted.
    pub fn mesh_of(&self, topic: &Topic) -> impl Iterator<Item = &PeerId> {
        self.mesh.get(topic).into_iter().flatten()
    }

    /// Peers that a topic is published to without our taking part in it, sorted.
    pub fn fanout_of(&self, topic: &Topic) -> impl Iterator<Item = &PeerId> {
        self.fanout
            .get(topic)
            .into_iter()
            .flat_map(|fanout| &fanout.peers)
    }

    /// What our stream to a peer was agreed on.
    pub fn level_of(&self, peer: &PeerId) -> Option<Level> {
        self.peers.get(peer)?.level()
    }

    /// A peer's score: 0 if scores are off, or the peer is not known.
    pub fn score(&self, peer: &PeerId) -> f64 {
        self.scores.as_ref().map_or(0.0, |scores| scores.score(peer))
    }

    /// What a peer's score is made of; `None` if scores are off, or the peer is not known.
    pub fn explain(&self, peer: &PeerId) -> Option<ScoreExplanation> {
        self.scores.as_ref()?.explain(peer)
    }

    /// Whether a topic has enough peers to publish to: `wanted` (or `D_lo`) of FloodSub and the mesh together, or `D_hi` in the mesh.
    pub fn has_enough_peers(&self, topic: &Topic, wanted: Option<usize>) -> bool {
        let Some(peers) = self.topics.get(topic) else {
            return false;
        };
        let params = self.config.mesh_of(topic);
        let flood = peers
            .iter()
            .filter(|peer| self.level_of(peer) == Some(Level::Flood));
        let mesh = self.mesh.get(topic).map_or(0, BTreeSet::len);
        let all = flood.count().saturating_add(mesh);
        all >= wanted.unwrap_or(params.d_lo) || (mesh > 0 && mesh >= params.d_hi)
    }

    /// When a peer may be grafted again.
    pub fn backoff_of(&self, topic: &Topic, peer: PeerId) -> Option<Instant> {
        self.backoffs.get(topic, peer)
    }

    /// What a peer said last that it has and wants of a group of partial messages, while the group is remembered. `None`: nothing.
    pub fn metadata_of(&self, topic: &Topic, group: &Bytes, peer: &PeerId) -> Option<&Bytes> {
        self.groups.get(topic)?.said_by(peer, group)
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        let sum = |of: fn(&Peer) -> usize| self.peers.values().map(of).fold(0, usize::saturating_add);
        Census {
            peers: self.peers.len(),
            topics: self.topics.len(),
            subscriptions: sum(|peer| peer.topics.len()),
            queued: sum(|peer| peer.queue.messages()),
            queued_bytes: sum(|peer| peer.queue.bytes()),
            unwanted: sum(|peer| peer.unwanted.len()),
            seen: self.seen.len(),
            cached: self.cache.len(),
            cached_bytes: self.cache.bytes(),
            pending: self.pending.len(),
            promises: self.promises.len(),
            backoffs: self.backoffs.len(),
            scored: self.scores.as_ref().map_or(0, Scores::len),
            deliveries: self.scores.as_ref().map_or(0, Scores::deliveries),
            groups: self.groups.values().map(Groups::len).sum(),
            metadata: self.groups.values().map(Groups::said).sum(),
            publications: self.publications.len(),
        }
    }
}
