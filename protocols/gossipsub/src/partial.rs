//! Extensions of 1.3: the test extension, and partial messages as a draft has them. What parts are, the application knows.

use crate::{
    Event, Gossipsub, Topic,
    peers::Peer,
    wire::{Partial, Rpc},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

/// Heartbeats for which a group is remembered after it was last heard of, as in rust.
const GROUP_TTL: u64 = 5;
/// Partial RPCs that may wait for one peer.
const MAX_WAITING: usize = 256;

/// The groups of one topic.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Groups that peers began, with who did and until which heartbeat they are kept.
    begun: BTreeMap<Bytes, (PeerId, u64)>,
    /// What we told of our own groups, and until which heartbeat we gossip about it.
    own: BTreeMap<Bytes, (Bytes, u64)>,
    /// Peers that were told, in their present state.
    told: BTreeSet<(PeerId, Bytes)>,
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.begun.len().saturating_add(self.own.len())
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.begun.retain(|_, (by, _)| by != peer);
        self.told.retain(|(to, _)| to != peer);
    }
}

impl Peer {
    pub(crate) fn speaks_partial(&self) -> bool {
        let said = self.inbound.as_ref().and_then(|inbound| inbound.extensions);
        said.is_some_and(|said| said.partial_messages == Some(true))
    }

    pub(crate) fn requests_partial(&self, topic: &Topic) -> bool {
        self.speaks_partial() && self.topics.get(topic).is_some_and(|wants| wants.requests)
    }

    pub(crate) fn supports_partial(&self, topic: &Topic) -> bool {
        self.speaks_partial() && self.topics.get(topic).is_some_and(|wants| wants.supports)
    }
}

impl Gossipsub {
    /// The test extension: once each side said that it speaks it, each sends its message once.
    pub(crate) fn answer_test(&mut self, peer: PeerId) {
        if !self.config.test_extension {
            return;
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if let Some(inbound) = entry.inbound.as_mut().filter(|inbound| !inbound.tested) {
            inbound.tested = true;
            let rpc = Rpc {
                test_extension: true,
                ..Rpc::default()
            };
            entry.queue.partial.push_back(rpc.encode().into());
            self.dirty.insert(peer);
        }
    }

    pub(crate) fn handle_partial(&mut self, cx: &mut Context<'_>, peer: PeerId, partial: Partial) {
        let speaks = self.peers.get(&peer).is_some_and(Peer::speaks_partial);
        if !self.config.partial_messages || !speaks {
            return;
        }
        let Partial {
            topic: Some(topic),
            group: Some(group),
            parts,
            metadata,
        } = partial
        else {
            self.penalize_now(peer, 1);
            return;
        };
        if !self.config.partial_of(&topic).1 || !self.may_begin(&topic, &group, peer) {
            return;
        }
        self.emit(
            cx,
            Event::Partial {
                peer,
                topic,
                group,
                parts,
                metadata,
            },
        );
    }

    /// Whether a group is known, or a peer may begin it.
    fn may_begin(&mut self, topic: &Topic, group: &Bytes, peer: PeerId) -> bool {
        let until = self.tick.saturating_add(GROUP_TTL);
        let limits = &self.config.limits;
        let groups = self.groups.entry(topic.clone()).or_default();
        if groups.own.contains_key(group) {
            return true;
        }
        if let Some((_, known)) = groups.begun.get_mut(group) {
            *known = until;
            return true;
        }
        let by_peer = groups.begun.values().filter(|(by, _)| *by == peer).count();
        if by_peer >= limits.max_groups_per_peer || groups.begun.len() >= limits.max_groups {
            return false;
        }
        groups.begun.insert(Bytes::copy_from_slice(group), (peer, until));
        true
    }

    pub(crate) fn send_partial_now(
        &mut self,
        peer: Option<PeerId>,
        topic: &Topic,
        group: &Bytes,
        parts: Option<Bytes>,
        metadata: Option<Bytes>,
    ) {
        if !self.config.partial_messages {
            return;
        }
        if let Some(metadata) = &metadata {
            self.remember_own(topic, group, metadata);
        }
        let mesh = self.mesh.get(topic).filter(|members| !members.is_empty());
        let fanout = self.fanout.get(topic).map(|fanout| &fanout.peers);
        let all = mesh.or(fanout).into_iter().flatten().copied();
        let targets: Vec<PeerId> = peer.map_or_else(|| all.collect(), |peer| alloc::vec![peer]);
        for peer in targets {
            self.queue_partial(peer, topic, group, parts.as_ref(), metadata.as_ref());
        }
    }

    fn remember_own(&mut self, topic: &Topic, group: &Bytes, metadata: &Bytes) {
        let until = self.tick.saturating_add(GROUP_TTL);
        let max = self.config.limits.max_groups;
        let groups = self.groups.entry(topic.clone()).or_default();
        if groups.own.len() >= max && !groups.own.contains_key(group) {
            groups.own.pop_first();
        }
        let old = groups.own.insert(group.clone(), (metadata.clone(), until));
        if old.is_none_or(|(old, _)| old != *metadata) {
            groups.told.retain(|(_, told)| told != group);
        }
    }

    /// Parts go to peers that want them, what we have and want to all that can answer.
    fn queue_partial(
        &mut self,
        peer: PeerId,
        topic: &Topic,
        group: &Bytes,
        parts: Option<&Bytes>,
        metadata: Option<&Bytes>,
    ) {
        let (we_request, we_support) = self.config.partial_of(topic);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let wants = entry.requests_partial(topic) && we_support;
        let answers = entry.supports_partial(topic) && we_request;
        if !(wants || answers) || entry.queue.partial.len() >= MAX_WAITING {
            return;
        }
        let key = (peer, group.clone());
        let groups = self.groups.entry(topic.clone()).or_default();
        let news = metadata.is_some() && groups.told.insert(key);
        let parts = parts.filter(|_| wants);
        let metadata = metadata.filter(|_| news || parts.is_some());
        if parts.is_none() && metadata.is_none() {
            return;
        }
        let rpc = Rpc {
            partial: Some(Partial {
                topic: Some(topic.clone()),
                group: Some(group.clone()),
                parts: parts.cloned(),
                metadata: metadata.cloned(),
            }),
            ..Rpc::default()
        };
        entry.queue.partial.push_back(rpc.encode().into());
        self.dirty.insert(peer);
    }

    /// Tells some peers outside the mesh what we have and want of our groups.
    pub(crate) fn gossip_parts(&mut self, cx: &mut Context<'_>, topic: &Topic, members: &BTreeSet<PeerId>) {
        let own: Vec<(Bytes, Bytes)> = match self.groups.get(topic) {
            Some(groups) => groups
                .own
                .iter()
                .map(|(group, (metadata, _))| (group.clone(), metadata.clone()))
                .collect(),
            None => return,
        };
        if own.is_empty() {
            return;
        }
        let mut targets = self.listed(topic, |peer, entry| {
            entry.supports_partial(topic) && !members.contains(&peer) && !self.explicit.contains(&peer)
        });
        let most = self.gossip_targets(targets.len());
        Self::draw(cx, &mut targets, most);
        for peer in targets {
            for (group, metadata) in &own {
                self.queue_partial(peer, topic, group, None, Some(metadata));
            }
        }
    }

    pub(crate) fn expire_groups(&mut self) {
        let tick = self.tick;
        for groups in self.groups.values_mut() {
            groups.begun.retain(|_, (_, until)| *until > tick);
            groups.own.retain(|_, (_, until)| *until > tick);
            let own = &groups.own;
            groups.told.retain(|(_, group)| own.contains_key(group));
        }
        self.groups.retain(|_, groups| groups.len() > 0);
    }
}
