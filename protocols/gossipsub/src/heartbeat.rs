//! The heartbeat: every interval the meshes are mended, and what we have is gossiped about.

use crate::{Event, Gossipsub, Topic, config::MeshParams, peers::Peer};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

/// Heartbeat at which explicit peers are looked for first: after a second, as in go.
const FIRST_LOOK: u64 = 1;

impl Gossipsub {
    pub(crate) fn heartbeat(&mut self, cx: &mut Context<'_>) {
        self.tick = self.tick.saturating_add(1);
        self.stats.heartbeats = self.stats.heartbeats.saturating_add(1);
        let slack = self.config.heartbeat.saturating_mul(self.config.backoff_slack);
        self.backoffs.sweep(self.now - slack);
        let now = self.now;
        self.left.retain(|_, until| *until > now);
        self.seen.expire(now);
        self.reset_counts(cx);
        self.reset_stuck(cx);
        for (peer, broken) in self.promises.broken(self.now) {
            self.penalize_now(peer, broken);
        }
        if self.tick == FIRST_LOOK || self.is_tick(self.config.explicit_ticks) {
            self.dial_explicit(cx);
        }
        self.take_scores();
        self.beating = true;
        let mut meshes: Vec<Topic> = self.mesh.keys().cloned().collect();
        Self::shuffle(cx, &mut meshes);
        for topic in meshes {
            self.mend_mesh(cx, &topic);
            self.decide_chokes(cx, &topic);
            let members = self.mesh.get(&topic).cloned().unwrap_or_default();
            self.emit_gossip(cx, &topic, &members);
            self.gossip_parts(cx, &topic, &members);
        }
        self.mend_fanouts(cx);
        self.beating = false;
        self.cache.shift();
        self.expire_groups();
    }

    /// Scores as they are now, for the whole of this heartbeat: with the peers, where they are needed.
    fn take_scores(&mut self) {
        if let Some(scores) = &self.scores {
            for (peer, entry) in &mut self.peers {
                entry.score = scores.score(peer);
            }
        }
    }

    /// The score of a peer at the beginning of this heartbeat.
    fn score_then(&self, peer: &PeerId) -> f64 {
        self.peers.get(peer).map_or(0.0, |entry| entry.score)
    }

    /// The score of a peer, during a heartbeat that at its beginning.
    pub(crate) fn rated(&self, peer: &PeerId, entry: &Peer) -> f64 {
        if self.beating {
            entry.score
        } else {
            self.score(peer)
        }
    }

    /// Whether this is one of every `ticks` heartbeats.
    fn is_tick(&self, ticks: u64) -> bool {
        self.tick.checked_rem(ticks) == Some(0)
    }

    /// What is counted by heartbeat starts anew; slow peers are told of.
    fn reset_counts(&mut self, cx: &mut Context<'_>) {
        let tick = self.tick;
        let mut slow = Vec::new();
        for (peer, entry) in &mut self.peers {
            let counts = core::mem::take(&mut entry.counts);
            if counts.dropped_own > 0 || counts.dropped_others > 0 {
                slow.push((*peer, counts.dropped_own, counts.dropped_others));
            }
            entry.unwanted.retain(|_, until| *until > tick);
            if entry.unwanted.is_empty() {
                // An empty tree keeps a node.
                entry.unwanted = BTreeMap::new();
            }
            entry.queue.shrink();
        }
        let now = self.now;
        for (peer, own, others) in slow {
            if let Some(scores) = &mut self.scores {
                scores.slow(now, peer, own.saturating_add(others));
            }
            self.emit(cx, Event::SlowPeer { peer, own, others });
        }
    }

    fn mend_mesh(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        let params = self.config.mesh_of(topic);
        self.drop_bad(cx, topic);
        let len = self.mesh.get(topic).map_or(0, BTreeSet::len);
        if len < params.d_lo {
            self.graft_some(cx, topic, params.d.saturating_sub(len), |_| true);
        } else if len > params.d && len >= params.d_hi {
            self.trim(cx, topic, params);
        }
        self.keep_outbound(cx, topic, params);
        if self.is_tick(self.config.opportunistic_ticks) {
            self.graft_opportunistically(cx, topic);
        }
    }

    /// Members with a negative score go.
    fn drop_bad(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        let Some(table) = &self.scores else { return };
        let bad: Vec<PeerId> = self
            .mesh
            .get(topic)
            .into_iter()
            .flatten()
            .filter(|peer| self.score_then(peer) < 0.0 || table.is_below_floor(peer, topic))
            .copied()
            .collect();
        for peer in bad {
            self.prune(cx, topic, peer, false, false);
        }
    }

    fn graft_some(
        &mut self,
        cx: &mut Context<'_>,
        topic: &Topic,
        count: usize,
        wanted: impl Fn(&Peer) -> bool,
    ) {
        if count == 0 {
            return;
        }
        let members = self.mesh.get(topic);
        // What lies with the peer first: of a thousand peers the rest need not be looked up.
        let found = self.candidates(cx, topic, count, |peer, entry| {
            wanted(entry)
                && entry.score >= 0.0
                && entry.gossips()
                && members.is_none_or(|members| !members.contains(&peer))
                && !self.explicit.contains(&peer)
                && self.backoffs.get(topic, peer).is_none()
        });
        for peer in found {
            self.graft(topic, peer);
        }
    }

    /// Trims a mesh to D: the best by score stay, and as many outbound ones as are wanted, the rest by chance.
    fn trim(&mut self, cx: &mut Context<'_>, topic: &Topic, params: MeshParams) {
        let mut members: Vec<PeerId> = self.mesh.get(topic).into_iter().flatten().copied().collect();
        // Equal scores are in random order.
        Self::shuffle(cx, &mut members);
        members.sort_by(|a, b| self.score_then(b).total_cmp(&self.score_then(a)));
        if let Some(rest) = members.get_mut(params.d_score.min(params.d)..) {
            Self::shuffle(cx, rest);
        }
        let outbound = |peer: &PeerId| self.peers.get(peer).is_some_and(|entry| entry.outbound);
        let kept = members.get(..params.d).unwrap_or_default();
        let mut missing = params
            .d_out
            .saturating_sub(kept.iter().filter(|peer| outbound(peer)).count());
        // Outbound members among the rest change places with the last inbound ones among the kept.
        let mut last = params.d;
        for place in params.d..members.len() {
            if missing == 0 || !members.get(place).is_some_and(outbound) {
                continue;
            }
            let inbound = (0..last)
                .rev()
                .find(|kept| members.get(*kept).is_some_and(|peer| !outbound(peer)));
            let Some(kept) = inbound else { break };
            members.swap(kept, place);
            last = kept;
            missing = missing.saturating_sub(1);
        }
        for peer in members.into_iter().skip(params.d) {
            self.prune(cx, topic, peer, false, true);
        }
    }

    /// Enough members that we connected to ourselves.
    fn keep_outbound(&mut self, cx: &mut Context<'_>, topic: &Topic, params: MeshParams) {
        let Some(members) = self.mesh.get(topic) else {
            return;
        };
        if members.len() < params.d_lo {
            return;
        }
        let is_outbound = |peer: &&PeerId| self.peers.get(*peer).is_some_and(|entry| entry.outbound);
        let outbound = members.iter().filter(is_outbound).count();
        let missing = params.d_out.saturating_sub(outbound);
        self.graft_some(cx, topic, missing, |entry| entry.outbound);
    }

    /// A mesh of mediocre members takes in some better ones.
    fn graft_opportunistically(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        if self.scores.is_none() {
            return;
        }
        let Some(members) = self.mesh.get(topic).filter(|members| members.len() > 1) else {
            return;
        };
        let mut sorted: Vec<f64> = members.iter().map(|peer| self.score_then(peer)).collect();
        sorted.sort_by(f64::total_cmp);
        // The upper middle, as go takes it.
        let middle = sorted.len().checked_div(2).unwrap_or(0);
        let median = sorted.get(middle).copied().unwrap_or(0.0);
        if median < self.config.thresholds.opportunistic_graft {
            let count = self.config.opportunistic_peers;
            self.graft_some(cx, topic, count, |entry| entry.score > median);
        }
    }

    /// Fanouts expire, lose who left or fell, are filled up, and are gossiped to.
    fn mend_fanouts(&mut self, cx: &mut Context<'_>) {
        let (now, ttl) = (self.now, self.config.fanout_ttl);
        self.fanout.retain(|_, fanout| now.since(fanout.published) < ttl);
        let threshold = if self.scores.is_some() {
            self.config.thresholds.publish
        } else {
            0.0
        };
        let topics: Vec<Topic> = self.fanout.keys().cloned().collect();
        for topic in topics {
            let (listed, peers) = (self.topics.get(&topic), &self.peers);
            let stays = |peer: &PeerId| {
                listed.is_some_and(|listed| listed.contains(peer))
                    && peers.get(peer).is_some_and(|entry| entry.score >= threshold)
            };
            if let Some(fanout) = self.fanout.get_mut(&topic) {
                fanout.peers.retain(stays);
            }
            self.refill_fanout(cx, &topic, false);
            let members = self
                .fanout
                .get(&topic)
                .map(|fanout| fanout.peers.clone())
                .unwrap_or_default();
            self.emit_gossip(cx, &topic, &members);
            self.gossip_parts(cx, &topic, &members);
        }
    }
}
