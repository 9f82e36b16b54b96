//! What one RPC of a peer does, in order: subscriptions, then, unless the peer is graylisted, extensions, messages, control.

use crate::{
    Event, Gossipsub, Level, Step, Topic,
    peers::Wants,
    wire::{Control, Extensions, Rpc, Subscription},
};
use bytes::Bytes;
use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::Context;

/// Extensions behind the first RPC of a stream cost this much, as in go.
const LATE_EXTENSIONS: u32 = 10;

impl Gossipsub {
    pub(crate) fn handle_frame(&mut self, cx: &mut Context<'_>, stream: StreamId, frame: &Bytes) {
        let Some(peer) = self.streams.get(&stream).copied() else {
            return;
        };
        let current = self
            .peers
            .get(&peer)
            .and_then(|entry| entry.inbound.as_ref())
            .is_some_and(|inbound| inbound.stream == stream);
        if frame.is_empty() || !current {
            return;
        }
        self.stats.rpcs_received = self.stats.rpcs_received.saturating_add(1);
        let Ok(rpc) = Rpc::decode(frame, &self.config.limits.wire) else {
            self.stats.malformed = self.stats.malformed.saturating_add(1);
            self.penalize_now(peer, 1);
            cx.reset(stream);
            return;
        };
        let refused = self.config.inspector.as_ref();
        if refused.is_some_and(|inspector| !inspector.allows(&peer, &rpc)) {
            self.stats.refused = self.stats.refused.saturating_add(1);
            return;
        }
        self.trace(|| Step::RecvRpc(peer));
        self.handle_rpc(cx, peer, rpc);
    }

    fn handle_rpc(&mut self, cx: &mut Context<'_>, peer: PeerId, rpc: Rpc) {
        let Rpc {
            subscriptions,
            publish,
            control,
            partial,
            test_extension,
        } = rpc;
        let said = control.as_ref().and_then(|control| control.extensions);
        self.handle_extensions(peer, said);
        self.handle_subscriptions(cx, peer, subscriptions);
        if self.is_graylisted(cx, peer) {
            self.stats.graylisted = self.stats.graylisted.saturating_add(1);
            return;
        }
        if test_extension || said.is_some_and(|said| said.test_extension == Some(true)) {
            self.answer_test(peer);
        }
        for message in publish {
            self.handle_message(cx, peer, message);
        }
        if let Some(control) = control {
            self.handle_control(cx, peer, control);
        }
        if let Some(partial) = partial {
            self.handle_partial(cx, peer, partial);
        }
    }

    /// Whether nothing but subscriptions is heard of a peer. Explicit peers are always heard.
    fn is_graylisted(&mut self, cx: &mut Context<'_>, peer: PeerId) -> bool {
        if self.scores.is_none() || self.explicit.contains(&peer) {
            return false;
        }
        let below = self.score(&peer) < self.config.thresholds.graylist;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return true;
        };
        let news = below && !entry.graylisted;
        entry.graylisted = below;
        if news {
            self.emit(cx, Event::Graylisted { peer });
        }
        below
    }

    /// The first RPC of a stream fixes what the peer speaks beyond the protocol.
    fn handle_extensions(&mut self, peer: PeerId, said: Option<Extensions>) {
        let inbound = self.peers.get_mut(&peer).and_then(|entry| entry.inbound.as_mut());
        let Some(inbound) = inbound else { return };
        let new_enough = inbound.level >= Level::V13;
        match (inbound.extensions, said) {
            (None, Some(said)) if new_enough => inbound.extensions = Some(said),
            (None, _) => inbound.extensions = Some(Extensions::default()),
            // Older versions don't know the field, but rust sends it to all.
            (Some(_), Some(_)) if new_enough => self.penalize_now(peer, LATE_EXTENSIONS),
            (Some(_), _) => {}
        }
    }

    fn handle_subscriptions(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        entries: alloc::vec::Vec<Subscription>,
    ) {
        for entry in entries {
            if !self.config.filter.allows(&entry.topic) {
                continue;
            }
            if entry.subscribe {
                self.peer_joins(cx, peer, entry);
            } else {
                self.peer_leaves(cx, peer, &entry.topic);
            }
        }
    }

    fn peer_joins(&mut self, cx: &mut Context<'_>, peer: PeerId, said: Subscription) {
        let limits = &self.config.limits;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let requests = said.requests_partial == Some(true);
        let wants = Wants {
            requests,
            supports: requests || said.supports_partial == Some(true),
        };
        if let Some(known) = entry.topics.get_mut(&said.topic) {
            *known = wants;
            return;
        }
        let bytes = entry.topic_bytes.saturating_add(said.topic.as_str().len());
        if entry.topics.len() >= limits.max_topics_per_peer || bytes > limits.max_topic_bytes_per_peer {
            return;
        }
        entry.topic_bytes = bytes;
        // One copy of the name for all peers.
        let shared = self
            .topics
            .get_key_value(&said.topic)
            .map(|(topic, _)| topic.clone());
        let topic = shared.unwrap_or(said.topic);
        entry.topics.insert(topic.clone(), wants);
        self.topics.entry(topic.clone()).or_default().insert(peer);
        self.emit(
            cx,
            Event::Subscribed {
                peer,
                topic: topic.clone(),
            },
        );
        self.graft_if_short(&topic, peer);
    }

    fn peer_leaves(&mut self, cx: &mut Context<'_>, peer: PeerId, topic: &Topic) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.topics.remove(topic).is_none() {
            return;
        }
        entry.topic_bytes = entry.topic_bytes.saturating_sub(topic.as_str().len());
        self.remove_from_topic(topic, peer);
        self.remove_from_mesh(topic, peer);
        if let Some(fanout) = self.fanout.get_mut(topic) {
            fanout.peers.remove(&peer);
        }
        if let Some(groups) = self.groups.get_mut(topic) {
            groups.forget(&peer);
        }
        self.emit(
            cx,
            Event::Unsubscribed {
                peer,
                topic: topic.clone(),
            },
        );
    }

    /// Control of a peer that agreed to FloodSub alone means nothing.
    fn handle_control(&mut self, cx: &mut Context<'_>, peer: PeerId, control: Control) {
        let flood = self
            .peers
            .get(&peer)
            .and_then(|entry| entry.inbound.as_ref())
            .is_none_or(|inbound| inbound.level == Level::Flood);
        if flood {
            return;
        }
        self.handle_ihave(cx, peer, control.ihave);
        self.handle_iwant(cx, peer, control.iwant);
        self.handle_graft(cx, peer, control.graft);
        self.handle_prune(cx, peer, control.prune);
        self.handle_chokes(peer, control.choke, true);
        self.handle_chokes(peer, control.unchoke, false);
        self.handle_idontwant(cx, peer, control.idontwant);
    }
}
