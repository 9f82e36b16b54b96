//! Gossip: IHAVE, IWANT, IDONTWANT.

use crate::{
    Gossipsub, Level, MessageId, Topic,
    queue::{Item, Kind},
    wire::IHave,
};
use alloc::{collections::BTreeSet, vec::Vec};
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

impl Gossipsub {
    fn gossip_threshold(&self) -> f64 {
        if self.scores.is_some() {
            self.config.thresholds.gossip
        } else {
            0.0
        }
    }

    /// Tells some peers outside the mesh or fanout which messages of a topic we have.
    pub(crate) fn emit_gossip(&mut self, cx: &mut Context<'_>, topic: &Topic, members: &BTreeSet<PeerId>) {
        let longest = self.config.longest_id();
        let mut ids = self.cache.ids(topic);
        ids.retain(|id| id.as_bytes().len() <= longest);
        if ids.is_empty() {
            return;
        }
        let threshold = self.gossip_threshold();
        let supports = self.config.partial_of(topic).1;
        // Members that asked to be told only are always told.
        let choked: Vec<PeerId> = members
            .iter()
            .filter(|peer| self.is_choked_by(peer, topic))
            .copied()
            .collect();
        let mut targets = self.listed(topic, |peer, entry| {
            entry.score >= threshold
                && entry.gossips()
                && !members.contains(&peer)
                && !self.explicit.contains(&peer)
                && !(supports && entry.requests_partial(topic))
        });
        let most = self.gossip_targets(targets.len());
        Self::draw(cx, &mut targets, most);
        targets.extend(choked);
        let max = self.config.limits.max_ihave_ids;
        Self::shuffle(cx, &mut ids);
        for peer in targets {
            let mut told = ids.clone();
            if told.len() > max {
                Self::shuffle(cx, &mut told);
                told.truncate(max);
            }
            if self.config.iwant_strict {
                self.cache.told(&told, peer);
            }
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.queue.announce(topic, told, &self.config.limits);
                self.dirty.insert(peer);
            }
        }
    }

    /// How many of so many peers are told.
    pub(crate) fn gossip_targets(&self, candidates: usize) -> usize {
        // The factor in parts of a million keeps this in integers: 0.25 of 27 is 6.
        let millionths = self.config.gossip_factor * 1e6;
        let millionths = (0..=20_u32).rev().fold(0_u64, |found, bit| {
            let with = found | (1_u64 << bit);
            let value = f64::from(u32::try_from(with).unwrap_or(u32::MAX));
            if value <= millionths { with } else { found }
        });
        let part = (candidates as u64)
            .saturating_mul(millionths)
            .checked_div(1_000_000)
            .unwrap_or(0);
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        part.max(self.config.d_lazy).min(candidates)
    }

    pub(crate) fn handle_ihave(&mut self, cx: &mut Context<'_>, peer: PeerId, entries: Vec<IHave>) {
        if entries.is_empty() || self.score(&peer) < self.gossip_threshold() {
            return;
        }
        let limits = &self.config.limits;
        let Some(counts) = self.peers.get_mut(&peer).map(|entry| &mut entry.counts) else {
            return;
        };
        counts.ihave_rpcs = counts.ihave_rpcs.saturating_add(1);
        if counts.ihave_rpcs > limits.max_ihave_rpcs || counts.asked >= limits.max_ihave_ids {
            return;
        }
        let room = limits.max_ihave_ids.saturating_sub(counts.asked);
        let longest = self.config.longest_id();
        let mut wanted = BTreeSet::new();
        for entry in entries {
            if !self.mesh.contains_key(&entry.topic) || self.config.is_filtered(&peer, &entry.topic) {
                continue;
            }
            for id in entry.ids.into_iter().take(limits.max_ihave_ids) {
                let short = id.as_bytes().len() <= longest && self.config.fits(&id);
                if short && !self.is_known(&id) && !self.promises.contains(&id.key()) {
                    wanted.insert(id);
                }
            }
        }
        let mut wanted: Vec<MessageId> = wanted.into_iter().collect();
        Self::shuffle(cx, &mut wanted);
        wanted.truncate(room);
        self.ask(peer, wanted);
    }

    fn ask(&mut self, peer: PeerId, wanted: Vec<MessageId>) {
        let until = self.now + self.config.iwant_followup;
        for id in wanted {
            let Some(entry) = self.peers.get_mut(&peer).filter(|entry| entry.gossips()) else {
                return;
            };
            if self.promises.is_full() || entry.queue.iwant.len() >= self.config.limits.max_queue_ids {
                return;
            }
            entry.counts.asked = entry.counts.asked.saturating_add(1);
            let copy = MessageId::from(bytes::Bytes::copy_from_slice(id.as_bytes()));
            entry.queue.iwant.push_back(copy);
            self.promises.add(id.kept(), peer, until);
            self.stats.iwant_sent = self.stats.iwant_sent.saturating_add(1);
            self.dirty.insert(peer);
        }
    }

    /// Whether a message was seen, or waits for a verdict.
    pub(crate) fn is_known(&self, id: &MessageId) -> bool {
        self.seen.contains(id, self.now) || self.pending.contains_key(id)
    }

    pub(crate) fn handle_iwant(&mut self, cx: &mut Context<'_>, peer: PeerId, entries: Vec<Vec<MessageId>>) {
        if entries.iter().all(Vec::is_empty) || self.score(&peer) < self.gossip_threshold() {
            return;
        }
        let limits = self.config.limits.clone();
        let until = self.now + self.config.publish_age;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.counts.iwant_rpcs = entry.counts.iwant_rpcs.saturating_add(1);
        if entry.counts.iwant_rpcs > limits.max_iwant_rpcs || entry.level().is_none() {
            return;
        }
        let ids = entries.into_iter().flatten();
        let wanted: BTreeSet<MessageId> = ids.filter(|id| self.config.fits(id)).collect();
        for id in wanted {
            let topic = self.cache.topic_of(&id);
            if topic.is_some_and(|topic| self.config.is_filtered(&peer, topic)) {
                continue;
            }
            let Some(entry) = self.peers.get_mut(&peer) else {
                return;
            };
            if entry.unwanted.contains_key(&id.key()) {
                continue;
            }
            // What does not fit into the queue was not served, and may be asked for again.
            let full = entry.queue.messages() >= limits.max_queue_messages
                || entry.queue.bytes() >= limits.max_queue_bytes;
            if full {
                break;
            }
            let Some(frame) =
                self.cache
                    .serve(&id, peer, limits.max_retransmissions, self.config.iwant_strict)
            else {
                continue;
            };
            self.stats.served = self.stats.served.saturating_add(1);
            self.enqueue(cx, peer, id.kept(), frame, Kind::Reply, until, None);
        }
    }

    /// Puts a message into the queue of a peer. Says whether it was taken.
    #[expect(clippy::too_many_arguments, reason = "the parts of one queued copy")]
    pub(crate) fn enqueue(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        id: MessageId,
        frame: bytes::Bytes,
        kind: Kind,
        until: libp2p_proto_core::Instant,
        publication: Option<u64>,
    ) -> bool {
        let Some(entry) = self.peers.get_mut(&peer).filter(|entry| entry.level().is_some()) else {
            if let Some(publication) = publication {
                self.finish_copy(cx, publication, false);
            }
            return false;
        };
        let late = entry.queue.expire(self.now);
        let item = Item {
            id: id.clone(),
            frame,
            kind,
            until,
            publication,
        };
        let gone = entry.queue.push(item, &self.config.limits);
        let refused = gone.last().is_some_and(|item| item.id == id && item.kind == kind);
        self.drop_items(cx, peer, late, true);
        self.drop_items(cx, peer, gone, true);
        if !refused {
            self.stats.queued = self.stats.queued.saturating_add(1);
            self.dirty.insert(peer);
        }
        !refused
    }

    pub(crate) fn handle_idontwant(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        entries: Vec<Vec<MessageId>>,
    ) {
        let limits = &self.config.limits;
        let until = self.tick.saturating_add(u64::from(self.config.idontwant_ttl));
        let mut gone = Vec::new();
        for id in entries.into_iter().flatten().take(limits.max_idontwant_per_rpc) {
            if !self.config.fits(&id) {
                continue;
            }
            let Some(entry) = self.peers.get_mut(&peer) else {
                return;
            };
            if entry.counts.idontwant >= limits.max_idontwant {
                break;
            }
            entry.counts.idontwant = entry.counts.idontwant.saturating_add(1);
            // Of a message that we have, all peers speak by one copy of its id.
            let id = self.seen.known(&id).unwrap_or_else(|| id.kept());
            gone.extend(entry.queue.unqueue(&id));
            entry.unwanted.insert(id, until);
        }
        self.stats.unwanted = self.stats.unwanted.saturating_add(gone.len() as u64);
        self.drop_items(cx, peer, gone, false);
    }

    /// Tells the members of a mesh, and who was asked for it, that we have a large message already.
    pub(crate) fn tell_unwanted(
        &mut self,
        topic: &Topic,
        id: &MessageId,
        source: Option<PeerId>,
        asked: Option<PeerId>,
    ) {
        if id.as_bytes().len() > self.config.longest_id() {
            return;
        }
        let requests = self.config.partial_of(topic).0;
        let members = self.mesh.get(topic).into_iter().flatten().copied();
        let told: BTreeSet<PeerId> = members.chain(asked).collect();
        for peer in told {
            let Some(entry) = self.peers.get_mut(&peer) else {
                continue;
            };
            let modern = entry.level().is_some_and(|level| level >= Level::V12);
            let parts = requests && entry.supports_partial(topic);
            if Some(peer) == source || !modern || parts {
                continue;
            }
            if entry.queue.idontwant.len() < self.config.limits.max_idontwant {
                entry.queue.idontwant.push_back(id.clone());
                self.dirty.insert(peer);
            }
        }
    }
}
