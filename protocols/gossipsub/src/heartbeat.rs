//! The heartbeat: every interval the meshes are mended, and what we have is gossiped about.

use crate::{Event, Gossipsub, Topic, config::MeshParams};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

/// Heartbeat at which explicit peers are looked for first: after a second, as in go.
const FIRST_LOOK: u64 = 1;

type ScoreTable = BTreeMap<PeerId, f64>;

impl Gossipsub {
    pub(crate) fn heartbeat(&mut self, cx: &mut Context<'_>) {
        self.tick = self.tick.saturating_add(1);
        self.stats.heartbeats = self.stats.heartbeats.saturating_add(1);
        let slack = self.config.heartbeat.saturating_mul(self.config.backoff_slack);
        self.backoffs.sweep(self.now - slack);
        self.seen.expire(self.now);
        self.reset_counts(cx);
        self.reset_stuck(cx);
        for (peer, broken) in self.promises.broken(self.now) {
            self.penalize_now(peer, broken);
        }
        if self.tick == FIRST_LOOK || self.is_tick(self.config.explicit_ticks) {
            self.dial_explicit(cx);
        }
        let scores: ScoreTable = match &self.scores {
            Some(_) => self.peers.keys().map(|peer| (*peer, self.score(peer))).collect(),
            None => BTreeMap::new(),
        };
        let mut meshes: Vec<Topic> = self.mesh.keys().cloned().collect();
        Self::shuffle(cx, &mut meshes);
        for topic in meshes {
            self.mend_mesh(cx, &topic, &scores);
            let members = self.mesh.get(&topic).cloned().unwrap_or_default();
            self.emit_gossip(cx, &topic, &members, &scores);
            self.gossip_parts(cx, &topic, &members);
        }
        self.mend_fanouts(cx, &scores);
        self.cache.shift();
        self.expire_groups();
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
        }
        let now = self.now;
        for (peer, own, others) in slow {
            if let Some(scores) = &mut self.scores {
                scores.slow(now, peer, own.saturating_add(others));
            }
            self.emit(cx, Event::SlowPeer { peer, own, others });
        }
    }

    fn mend_mesh(&mut self, cx: &mut Context<'_>, topic: &Topic, scores: &ScoreTable) {
        let params = self.config.mesh_of(topic);
        self.drop_bad(cx, topic, scores);
        let len = self.mesh.get(topic).map_or(0, BTreeSet::len);
        if len < params.d_lo {
            self.graft_some(cx, topic, params.d.saturating_sub(len), scores, |_, _| true);
        } else if len > params.d && len >= params.d_hi {
            self.trim(cx, topic, params, scores);
        }
        self.keep_outbound(cx, topic, params, scores);
        if self.is_tick(self.config.opportunistic_ticks) {
            self.graft_opportunistically(cx, topic, scores);
        }
    }

    /// Members with a negative score go.
    fn drop_bad(&mut self, cx: &mut Context<'_>, topic: &Topic, scores: &ScoreTable) {
        let Some(table) = &self.scores else { return };
        let bad: Vec<PeerId> = self
            .mesh
            .get(topic)
            .into_iter()
            .flatten()
            .filter(|peer| score_of(scores, **peer) < 0.0 || table.is_below_floor(peer, topic))
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
        scores: &ScoreTable,
        wanted: impl Fn(&Self, PeerId) -> bool,
    ) {
        if count == 0 {
            return;
        }
        let members = self.mesh.get(topic);
        let mut found = self.candidates(cx, topic, |peer, entry| {
            entry.gossips()
                && members.is_none_or(|members| !members.contains(&peer))
                && !self.explicit.contains(&peer)
                && self.backoffs.get(topic, peer).is_none()
                && score_of(scores, peer) >= 0.0
                && wanted(self, peer)
        });
        found.truncate(count);
        for peer in found {
            self.graft(topic, peer);
        }
    }

    /// Trims a mesh to D: the best by score stay, and as many outbound ones as are wanted, the rest by chance.
    fn trim(&mut self, cx: &mut Context<'_>, topic: &Topic, params: MeshParams, scores: &ScoreTable) {
        let mut members: Vec<PeerId> = self.mesh.get(topic).into_iter().flatten().copied().collect();
        // Equal scores are in random order.
        Self::shuffle(cx, &mut members);
        members.sort_by(|a, b| score_of(scores, *b).total_cmp(&score_of(scores, *a)));
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
    fn keep_outbound(
        &mut self,
        cx: &mut Context<'_>,
        topic: &Topic,
        params: MeshParams,
        scores: &ScoreTable,
    ) {
        let Some(members) = self.mesh.get(topic) else {
            return;
        };
        if members.len() < params.d_lo {
            return;
        }
        let is_outbound =
            |router: &Self, peer: PeerId| router.peers.get(&peer).is_some_and(|entry| entry.outbound);
        let outbound = members.iter().filter(|peer| is_outbound(self, **peer)).count();
        let missing = params.d_out.saturating_sub(outbound);
        self.graft_some(cx, topic, missing, scores, is_outbound);
    }

    /// A mesh of mediocre members takes in some better ones.
    fn graft_opportunistically(&mut self, cx: &mut Context<'_>, topic: &Topic, scores: &ScoreTable) {
        if self.scores.is_none() {
            return;
        }
        let Some(members) = self.mesh.get(topic).filter(|members| members.len() > 1) else {
            return;
        };
        let mut sorted: Vec<f64> = members.iter().map(|peer| score_of(scores, *peer)).collect();
        sorted.sort_by(f64::total_cmp);
        // The upper middle, as go takes it.
        let middle = sorted.len().checked_div(2).unwrap_or(0);
        let median = sorted.get(middle).copied().unwrap_or(0.0);
        if median < self.config.thresholds.opportunistic_graft {
            let count = self.config.opportunistic_peers;
            self.graft_some(cx, topic, count, scores, |_, peer| {
                score_of(scores, peer) > median
            });
        }
    }

    /// Fanouts expire, lose who left or fell, are filled up, and are gossiped to.
    fn mend_fanouts(&mut self, cx: &mut Context<'_>, scores: &ScoreTable) {
        let (now, ttl) = (self.now, self.config.fanout_ttl);
        self.fanout.retain(|_, fanout| now.since(fanout.published) < ttl);
        let threshold = if self.scores.is_some() {
            self.config.thresholds.publish
        } else {
            0.0
        };
        let topics: Vec<Topic> = self.fanout.keys().cloned().collect();
        for topic in topics {
            let listed = self.topics.get(&topic);
            if let Some(fanout) = self.fanout.get_mut(&topic) {
                fanout.peers.retain(|peer| {
                    listed.is_some_and(|listed| listed.contains(peer)) && score_of(scores, *peer) >= threshold
                });
            }
            self.refill_fanout(cx, &topic, false);
            let members = self
                .fanout
                .get(&topic)
                .map(|fanout| fanout.peers.clone())
                .unwrap_or_default();
            self.emit_gossip(cx, &topic, &members, scores);
            self.gossip_parts(cx, &topic, &members);
        }
    }
}

fn score_of(scores: &ScoreTable, peer: PeerId) -> f64 {
    scores.get(&peer).copied().unwrap_or(0.0)
}
