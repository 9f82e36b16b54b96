//! Joining and leaving: who is in which mesh, GRAFT, PRUNE, back-off, and peer exchange.

use crate::{
    Event, Gossipsub, Level, Step, Topic,
    queue::Change,
    wire::{PeerInfo, Prune},
};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{AddressClass, Multiaddr, PeerId};
use libp2p_proto_identity::PeerRecord;
use libp2p_proto_stream_protocol::{Context, Dial, DialOutcome};

impl Gossipsub {
    /// JOIN: the peers that we published to first, then others, up to D.
    pub(crate) fn join(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        if !self.local.contains_key(topic) {
            return;
        }
        if self.config.is_fanout_only(topic) {
            return;
        }
        if self.mesh.contains_key(topic) {
            return;
        }
        self.mesh.insert(topic.clone(), BTreeSet::new());
        self.trace(|| Step::Join(topic.clone()));
        self.announce(topic, true);
        let wanted = self.config.mesh_of(topic).d;
        let mut members: Vec<PeerId> = match self.fanout.remove(topic) {
            Some(fanout) => fanout.peers.into_iter().collect(),
            None => Vec::new(),
        };
        members.retain(|peer| self.may_graft(topic, *peer));
        members.truncate(wanted);
        let missing = wanted.saturating_sub(members.len());
        let others = self.candidates(cx, topic, missing, |peer, _| {
            !members.contains(&peer) && self.may_graft(topic, peer)
        });
        members.extend(others);
        for peer in members {
            self.graft(topic, peer);
        }
    }

    /// LEAVE: PRUNE with the short back-off to every member.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        if self.local.contains_key(topic) {
            return;
        }
        let Some(members) = self.mesh.get(topic).cloned() else {
            return;
        };
        self.trace(|| Step::Leave(topic.clone()));
        self.announce(topic, false);
        for peer in members {
            let px = self.score(&peer) >= 0.0;
            self.prune(cx, topic, peer, true, px);
        }
        self.mesh.remove(topic);
        if self.left.len() < self.config.limits.max_topics {
            let until = self.now + self.config.unsubscribe_backoff;
            self.left.insert(topic.clone(), until);
        }
        for entry in self.peers.values_mut() {
            entry.queue.forget_ihave(topic);
        }
    }

    /// Tells every peer that we join or leave a topic.
    fn announce(&mut self, topic: &Topic, subscribe: bool) {
        let subscription = self.subscription(topic, subscribe);
        for (peer, entry) in &mut self.peers {
            if entry.level().is_some() {
                entry
                    .queue
                    .subscriptions
                    .insert(topic.clone(), subscription.clone());
                self.dirty.insert(*peer);
            }
        }
    }

    /// Whether we may put a peer into a mesh: it gossips, subscribes, is not explicit, not backed off, and its score is not negative.
    pub(crate) fn may_graft(&self, topic: &Topic, peer: PeerId) -> bool {
        let known = self
            .peers
            .get(&peer)
            .is_some_and(|entry| entry.gossips() && entry.topics.contains_key(topic));
        known
            && !self.explicit.contains(&peer)
            && !self.config.is_filtered(&peer, topic)
            && self.backoffs.get(topic, peer).is_none()
            && self.score(&peer) >= 0.0
    }

    /// Puts a peer into a mesh and tells it.
    pub(crate) fn graft(&mut self, topic: &Topic, peer: PeerId) {
        self.add_to_mesh(topic, peer);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.queue.changes.insert(topic.clone(), Change::Graft);
            self.dirty.insert(peer);
        }
    }

    fn add_to_mesh(&mut self, topic: &Topic, peer: PeerId) {
        let now = self.now;
        let Some(members) = self.mesh.get_mut(topic) else {
            return;
        };
        if members.insert(peer) {
            if let Some(scores) = &mut self.scores {
                scores.grafted(now, peer, topic);
            }
            self.count_mesh(peer, true);
            self.trace(|| Step::Graft(peer, topic.clone()));
        }
    }

    /// Takes a peer out of a mesh without telling it. Says whether it was in.
    pub(crate) fn remove_from_mesh(&mut self, topic: &Topic, peer: PeerId) -> bool {
        let now = self.now;
        let was = self
            .mesh
            .get_mut(topic)
            .is_some_and(|members| members.remove(&peer));
        if let (true, Some(scores)) = (was, &mut self.scores) {
            scores.pruned(now, peer, topic);
        }
        if was {
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.choking.remove(topic);
                entry.queue.chokes.remove(topic);
            }
            self.count_mesh(peer, false);
            self.trace(|| Step::Prune(peer, topic.clone()));
        }
        was
    }

    /// Takes a peer out of a mesh, if it is in, tells it, and backs it off for as long as it is told to.
    pub(crate) fn prune(
        &mut self,
        cx: &mut Context<'_>,
        topic: &Topic,
        peer: PeerId,
        leaving: bool,
        px: bool,
    ) {
        let was_member = self.remove_from_mesh(topic, peer);
        let seconds = self.config.prune_seconds(leaving);
        self.backoffs
            .set(topic, peer, self.now + Duration::from_secs(seconds));
        // It does not know yet, and may be grafting us at this moment. What answers a GRAFT crosses nothing: one is sent, and then the peer waits.
        if was_member {
            let at = self.now + self.config.graft_crossing;
            self.backoffs.expect_crossing(topic, peer, at);
        }
        let level = self.peers.get(&peer).and_then(crate::peers::Peer::level);
        let (Some(level), true) = (level, level.is_some_and(|level| level >= Level::V10)) else {
            return;
        };
        let modern = level >= Level::V11;
        let peers = if modern && px && self.config.px {
            self.exchange(cx, topic, peer)
        } else {
            Vec::new()
        };
        let prune = Prune {
            topic: topic.clone(),
            peers,
            backoff: modern.then_some(seconds),
        };
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.queue.changes.insert(topic.clone(), Change::Prune(prune));
            self.dirty.insert(peer);
        }
    }

    /// Other peers of a topic, for one that is pruned: gossiping ones with a score that is not negative, with their signed record where we hold one.
    fn exchange(&mut self, cx: &mut Context<'_>, topic: &Topic, pruned: PeerId) -> Vec<PeerInfo> {
        let peers = self.candidates(cx, topic, self.config.px_peers, |peer, entry| {
            peer != pruned && entry.gossips() && self.rated(&peer, entry) >= 0.0
        });
        peers
            .iter()
            .map(|peer| PeerInfo {
                peer_id: Some(Bytes::copy_from_slice(peer.as_bytes())),
                record: self.records.get(peer).filter(|record| is_public(record)).cloned(),
            })
            .collect()
    }

    /// A peer joined a topic whose mesh of ours is short: it is grafted at once.
    pub(crate) fn graft_if_short(&mut self, topic: &Topic, peer: PeerId) {
        let Some(members) = self.mesh.get(topic) else {
            return;
        };
        let short = members.len() < self.config.mesh_of(topic).d_lo && !members.contains(&peer);
        if short && self.may_graft(topic, peer) {
            self.graft(topic, peer);
        }
    }

    /// Our stream to a peer stands: what it subscribed to before can be grafted now.
    pub(crate) fn graft_newcomer(&mut self, peer: PeerId) {
        let topics: Vec<Topic> = self
            .mesh
            .iter()
            .filter(|(topic, _)| self.topics.get(*topic).is_some_and(|peers| peers.contains(&peer)))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in topics {
            // A member whose stream was opened again must hear of it again.
            if self
                .mesh
                .get(&topic)
                .is_some_and(|members| members.contains(&peer))
            {
                self.graft(&topic, peer);
            } else {
                self.graft_if_short(&topic, peer);
            }
        }
    }

    pub(crate) fn handle_graft(&mut self, cx: &mut Context<'_>, peer: PeerId, topics: Vec<Topic>) {
        let mut px = true;
        let mut refused = BTreeSet::new();
        let mut unknown = 0_usize;
        for topic in topics {
            match self.judge_graft(cx, &topic, peer) {
                Graft::Taken => {}
                Graft::Unknown => {
                    px = false;
                    unknown = unknown.saturating_add(1);
                }
                Graft::Refused => {
                    px = false;
                    refused.insert(topic);
                }
                Graft::Full => {
                    refused.insert(topic);
                }
            }
        }
        for topic in refused {
            self.prune(cx, &topic, peer, false, px);
        }
        self.count_unknown(peer, unknown);
    }

    /// A GRAFT for a topic that we are not in may have crossed our leaving; more than there can be of these are an attack.
    fn count_unknown(&mut self, peer: PeerId, grafts: usize) {
        let Some(entry) = self.peers.get_mut(&peer).filter(|_| grafts > 0) else {
            return;
        };
        let counts = &mut entry.counts;
        counts.unknown_grafts = counts.unknown_grafts.saturating_add(grafts);
        if counts.unknown_grafts > self.config.limits.max_unknown_grafts {
            self.penalize_now(peer, 1);
        }
    }

    fn judge_graft(&mut self, cx: &mut Context<'_>, topic: &Topic, peer: PeerId) -> Graft {
        if self.config.is_filtered(&peer, topic) {
            return Graft::Unknown;
        }
        let Some(members) = self.mesh.get(topic) else {
            return Graft::Unknown;
        };
        if members.contains(&peer) {
            return Graft::Taken;
        }
        let full = !self.config.take_all_grafts && members.len() >= self.config.mesh_of(topic).d_hi;
        if self.explicit.contains(&peer) {
            self.emit(cx, Event::NotReciprocal { peer });
            return Graft::Refused;
        }
        if let Some(until) = self.backoffs.get(topic, peer).filter(|until| self.now < *until) {
            if self.backoffs.take_crossing(topic, peer, self.now) {
                return Graft::Refused;
            }
            self.penalize_now(peer, 1);
            // So long before the end means: soon after the beginning.
            if self.now + self.config.prune_backoff < until + self.config.graft_flood {
                self.penalize_now(peer, 1);
            }
            return Graft::Refused;
        }
        if self.score(&peer) < 0.0 {
            return Graft::Refused;
        }
        let outbound = self.peers.get(&peer).is_some_and(|entry| entry.outbound);
        if full && !outbound {
            return Graft::Full;
        }
        self.add_to_mesh(topic, peer);
        if let Some(entry) = self.peers.get_mut(&peer) {
            // A PRUNE that still waits is no longer true.
            entry.queue.changes.remove(topic);
        }
        Graft::Taken
    }

    pub(crate) fn handle_prune(&mut self, cx: &mut Context<'_>, peer: PeerId, prunes: Vec<Prune>) {
        for prune in prunes {
            // A PRUNE that answers a GRAFT of ours may come when we have left: whoever joins again must know of it.
            let lately = self.left.get(&prune.topic).is_some_and(|until| self.now < *until);
            if !self.mesh.contains_key(&prune.topic) && !lately {
                continue;
            }
            self.remove_from_mesh(&prune.topic, peer);
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.queue.changes.remove(&prune.topic);
            }
            let backoff = match prune.backoff.filter(|seconds| *seconds > 0) {
                Some(seconds) => Duration::from_secs(seconds.min(self.config.max_backoff.as_secs())),
                None => self.config.prune_backoff,
            };
            self.backoffs.set(&prune.topic, peer, self.now + backoff);
            if !prune.peers.is_empty() && self.score(&peer) >= self.accept_px() {
                self.dial_exchanged(cx, prune.peers);
            }
        }
    }

    fn accept_px(&self) -> f64 {
        if self.scores.is_some() {
            self.config.thresholds.accept_px
        } else {
            0.0
        }
    }

    /// Dials peers of a PRUNE that are not connected, at the addresses that they signed. A record that is not valid, or of another peer, counts against its entry.
    fn dial_exchanged(&mut self, cx: &mut Context<'_>, mut peers: Vec<PeerInfo>) {
        Self::shuffle(cx, &mut peers);
        peers.truncate(self.config.px_peers);
        for info in peers {
            let Some(Ok(peer)) = info.peer_id.as_deref().map(PeerId::from_bytes) else {
                continue;
            };
            let known = self.peers.contains_key(&peer) || self.px_dials.contains(&peer);
            if known || peer == cx.local || self.px_dials.len() >= self.config.limits.max_px_dials {
                continue;
            }
            let addrs = match info.record.as_deref().map(PeerRecord::open) {
                None => Vec::new(),
                Some(Ok(record)) if record.peer_id() == peer => record.addrs().to_vec(),
                Some(_) => continue,
            };
            let dial = Dial {
                addrs,
                ..Dial::peer(peer)
            };
            if let Ok(DialOutcome::Pending(_)) = cx.dial(dial) {
                self.px_dials.insert(peer);
            }
        }
    }

    /// Makes a peer explicit: out of every mesh, and connected.
    pub(crate) fn add_explicit_now(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        if self.explicit.len() >= self.config.limits.max_topics || !self.explicit.insert(peer) {
            return;
        }
        self.shifted.insert(peer);
        let topics: Vec<Topic> = self
            .mesh
            .iter()
            .filter(|(_, members)| members.contains(&peer))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in topics {
            self.prune(cx, &topic, peer, false, false);
        }
        for fanout in self.fanout.values_mut() {
            fanout.peers.remove(&peer);
        }
        self.dial_explicit(cx);
    }

    pub(crate) fn dial_explicit(&mut self, cx: &mut Context<'_>) {
        for peer in &self.explicit {
            if !self.peers.contains_key(peer) {
                // No address known yet: the next look tries again.
                let _refused_is_fine = cx.dial(Dial::peer(*peer));
            }
        }
    }
}

/// Whether a signed record has an address that can be reached from elsewhere; others are of no use to strangers, and none of their business.
fn is_public(record: &Bytes) -> bool {
    let reachable = |record: &PeerRecord| {
        let class = |addr: &Multiaddr| {
            matches!(
                addr.class(),
                AddressClass::Public | AddressClass::Relayed | AddressClass::Name
            )
        };
        record.addrs().iter().any(class)
    };
    PeerRecord::open(record).is_ok_and(|record| reachable(&record))
}

/// What became of a GRAFT.
enum Graft {
    /// It is a member.
    Taken,
    /// We are not in that topic: no answer.
    Unknown,
    /// It must not: PRUNE without peers.
    Refused,
    /// No room: PRUNE, perhaps with peers.
    Full,
}
