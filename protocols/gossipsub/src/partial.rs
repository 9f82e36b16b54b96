//! Extensions of 1.3: the test extension, and partial messages as a draft has them. What parts are, the application knows.

use crate::{
    Event, Gossipsub, MessageId, Topic,
    peers::Peer,
    queue::Kind,
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

/// The groups of one topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Groups that peers began, with who did and until which heartbeat they are kept.
    begun: BTreeMap<Bytes, (PeerId, u64)>,
    /// What we told of our own groups, and until which heartbeat we gossip about it.
    own: BTreeMap<Bytes, (Bytes, u64)>,
    /// Peers that were told, in their present state.
    told: BTreeSet<(PeerId, Bytes)>,
    /// What each peer said last that it has and wants, of groups that are known.
    said: BTreeMap<PeerId, BTreeMap<Bytes, Bytes>>,
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.begun.len().saturating_add(self.own.len())
    }

    /// How much is kept of what peers said.
    pub(crate) fn said(&self) -> usize {
        self.said.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn said_by(&self, peer: &PeerId, group: &Bytes) -> Option<&Bytes> {
        self.said.get(peer)?.get(group)
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.begun.retain(|_, (by, _)| by != peer);
        self.told.retain(|(to, _)| to != peer);
        self.said.remove(peer);
    }

    /// What a peer has and wants of a group replaces what it said before.
    fn hear(&mut self, peer: PeerId, group: &Bytes, metadata: &Bytes, max: usize) {
        let said = self.said.entry(peer).or_default();
        if said.len() < max || said.contains_key(group) {
            said.insert(Bytes::copy_from_slice(group), Bytes::copy_from_slice(metadata));
        }
    }

    /// Forgets what is due at this heartbeat.
    fn expire(&mut self, tick: u64) {
        self.begun.retain(|_, (_, until)| *until > tick);
        self.own.retain(|_, (_, until)| *until > tick);
        let (begun, own) = (&self.begun, &self.own);
        self.told.retain(|(_, group)| own.contains_key(group));
        for said in self.said.values_mut() {
            said.retain(|group, _| begun.contains_key(group) || own.contains_key(group));
        }
        self.said.retain(|_, said| !said.is_empty());
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
        let limits = &self.config.limits;
        if group.len() > limits.max_group || metadata.as_ref().map_or(0, Bytes::len) > limits.max_metadata {
            self.stats.refused = self.stats.refused.saturating_add(1);
            return;
        }
        let max = limits.max_metadata_per_peer;
        if !self.config.partial_of(&topic).1 || !self.may_begin(&topic, &group, peer) {
            return;
        }
        // Nothing said is not the same as nothing had.
        if let (Some(metadata), Some(groups)) = (&metadata, self.groups.get_mut(&topic)) {
            groups.hear(peer, &group, metadata, max);
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
        cx: &mut Context<'_>,
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
        if peer.is_none() && !self.mesh.contains_key(topic) {
            self.refill_fanout(cx, topic, true);
        }
        let mesh = self.mesh.get(topic).filter(|members| !members.is_empty());
        let fanout = self.fanout.get(topic).map(|fanout| &fanout.peers);
        let all = mesh.or(fanout).into_iter().flatten().copied();
        let targets: Vec<PeerId> = peer.map_or_else(|| all.collect(), |peer| alloc::vec![peer]);
        for peer in targets {
            self.queue_partial(cx, peer, topic, group, parts.as_ref(), metadata.as_ref());
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

    /// Parts go to peers that want them, behind the messages that wait; what we have and want goes to all that can answer, with control. Says whether anything goes.
    fn queue_partial(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        topic: &Topic,
        group: &Bytes,
        parts: Option<&Bytes>,
        metadata: Option<&Bytes>,
    ) -> bool {
        let (we_request, we_support) = self.config.partial_of(topic);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return false;
        };
        let wants = entry.requests_partial(topic) && we_support;
        let answers = entry.supports_partial(topic) && we_request;
        let full = entry.queue.partial.len() >= self.config.limits.max_queue_partial;
        if !(wants || answers) || (full && !(wants && parts.is_some())) {
            return false;
        }
        let key = (peer, group.clone());
        let groups = self.groups.entry(topic.clone()).or_default();
        let news = metadata.is_some() && groups.told.insert(key.clone());
        let parts = parts.filter(|_| wants);
        let metadata = metadata.filter(|_| news || parts.is_some());
        if parts.is_none() && metadata.is_none() {
            return false;
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
        let frame = Bytes::from(rpc.encode());
        if parts.is_none() {
            entry.queue.partial.push_back(frame);
            self.dirty.insert(peer);
            return true;
        }
        let until = self.now + self.config.publish_age;
        let id = MessageId::from(group.clone());
        let taken = self.enqueue(cx, peer, id, frame, Kind::Parts, until, None);
        if let (false, Some(groups)) = (taken, self.groups.get_mut(topic)) {
            groups.told.remove(&key);
        }
        taken
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
        let most = self.config.limits.max_groups_told;
        for peer in targets {
            for (group, metadata) in &own {
                let told = self
                    .peers
                    .get(&peer)
                    .map_or(most, |entry| entry.counts.groups_told);
                if told >= most {
                    break;
                }
                if self.queue_partial(cx, peer, topic, group, None, Some(metadata)) {
                    if let Some(entry) = self.peers.get_mut(&peer) {
                        entry.counts.groups_told = told.saturating_add(1);
                    }
                }
            }
        }
    }

    pub(crate) fn expire_groups(&mut self) {
        let tick = self.tick;
        for groups in self.groups.values_mut() {
            groups.expire(tick);
        }
        self.groups.retain(|_, groups| groups.len() > 0);
    }
}
