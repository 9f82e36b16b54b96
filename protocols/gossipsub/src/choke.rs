//! CHOKE and UNCHOKE, a draft: a member of the mesh whose copies nearly always come second is asked to tell us what it has, at its heartbeats, instead of sending it.
//!
//! Off unless [`Config::choke`](crate::Config::choke) is set, and then spoken only with peers of 1.3 that announce it. The draft (`libp2p/specs` pull request 681, after
//! "episub", pull request 413) has numbers that are taken by now; ours are experimental. Own messages are sent to everyone, choked or not. A member that we choked is not
//! expected to deliver: P3 does not count against it.

use crate::{Error, Gossipsub, Topic, config::check};
use alloc::vec::Vec;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

/// When members of a mesh are choked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choke {
    /// Heartbeats between two decisions, each of which chokes at most one member of a mesh. At least 1. Default 10.
    pub ticks: u64,
    /// Members of a mesh that stay unchoked; when there are fewer, others are unchoked at the next heartbeat. At least 1. Default 4.
    pub unchoked: usize,
    /// Copies since the last decision that came second, for each that came first, from which on a member may be choked. Default 4.
    pub ratio: u32,
    /// Copies that came second, below which nobody is choked. Default 10.
    pub least: u32,
}

impl Default for Choke {
    fn default() -> Self {
        Self {
            ticks: 10,
            unchoked: 4,
            ratio: 4,
            least: 10,
        }
    }
}

impl Choke {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        check(&[("choke", self.ticks > 0 && self.unchoked > 0)])
    }
}

/// What a member of a mesh and we asked of each other, and what it brought since the last decision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choking {
    /// It wants to be told only.
    pub(crate) us: bool,
    /// We want to be told only.
    pub(crate) them: bool,
    first: u32,
    later: u32,
}

impl Gossipsub {
    /// Whether a peer announced that it speaks the draft, as we do.
    fn speaks_choke(&self, peer: &PeerId) -> bool {
        let inbound = self.peers.get(peer).and_then(|entry| entry.inbound.as_ref());
        let said = inbound.and_then(|inbound| inbound.extensions);
        self.config.choke.is_some() && said.is_some_and(|said| said.choke == Some(true))
    }

    /// A copy of a message came from a peer.
    pub(crate) fn count_copy(&mut self, peer: PeerId, topic: &Topic, first: bool) {
        if self.config.choke.is_none() || !self.is_member(topic, &peer) {
            return;
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.choking.get(topic).is_none() {
            entry.choking.insert(topic.clone(), Choking::default());
        }
        if let Some(choking) = entry.choking.get_mut(topic) {
            let count = if first {
                &mut choking.first
            } else {
                &mut choking.later
            };
            *count = count.saturating_add(1);
        }
    }

    fn is_member(&self, topic: &Topic, peer: &PeerId) -> bool {
        self.mesh.get(topic).is_some_and(|members| members.contains(peer))
    }

    /// Whether a member of the mesh wants to be told only.
    pub(crate) fn is_choked_by(&self, peer: &PeerId, topic: &Topic) -> bool {
        let choking = self.peers.get(peer).and_then(|entry| entry.choking.get(topic));
        choking.is_some_and(|choking| choking.us)
    }

    /// A peer asks us to choke, or no longer to. Only a member of the mesh can: whoever is choked and leaves it is so no more.
    pub(crate) fn handle_chokes(&mut self, peer: PeerId, topics: Vec<Topic>, choke: bool) {
        if !self.speaks_choke(&peer) {
            return;
        }
        for topic in topics {
            if !self.is_member(&topic, &peer) {
                continue;
            }
            if let Some(entry) = self.peers.get_mut(&peer) {
                let mut choking = entry.choking.get(&topic).copied().unwrap_or_default();
                choking.us = choke;
                entry.choking.insert(topic, choking);
            }
        }
    }

    /// At a heartbeat: unchokes who is needed, and at times chokes who brings least.
    pub(crate) fn decide_chokes(&mut self, cx: &mut Context<'_>, topic: &Topic) {
        let Some(params) = self.config.choke else {
            return;
        };
        let mut members: Vec<PeerId> = self.mesh.get(topic).into_iter().flatten().copied().collect();
        Self::shuffle(cx, &mut members);
        let of = |router: &Self, peer: &PeerId| {
            let entry = router.peers.get(peer);
            let choking = entry.and_then(|entry| entry.choking.get(topic));
            choking.copied().unwrap_or_default()
        };
        let choked: Vec<PeerId> = members
            .iter()
            .filter(|peer| of(self, peer).them)
            .copied()
            .collect();
        let free = members.len().saturating_sub(choked.len());
        for peer in choked.iter().take(params.unchoked.saturating_sub(free)) {
            self.choke(topic, *peer, false);
        }
        if self.tick.checked_rem(params.ticks) != Some(0) {
            return;
        }
        let worst = members
            .iter()
            .map(|peer| (of(self, peer), *peer))
            .filter(|(choking, peer)| {
                let late = choking.later > choking.first.saturating_mul(params.ratio);
                let many = choking.later >= params.least;
                !choking.them && late && many && self.speaks_choke(peer)
            })
            .max_by_key(|(choking, _)| (choking.later, core::cmp::Reverse(choking.first)));
        if let Some((_, peer)) = worst.filter(|_| free > params.unchoked) {
            self.choke(topic, peer, true);
        }
        for peer in members {
            let entry = self.peers.get_mut(&peer);
            if let Some(choking) = entry.and_then(|entry| entry.choking.get_mut(topic)) {
                (choking.first, choking.later) = (0, 0);
            }
        }
    }

    fn choke(&mut self, topic: &Topic, peer: PeerId, choke: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let mut choking = entry.choking.get(topic).copied().unwrap_or_default();
        choking.them = choke;
        entry.choking.insert(topic.clone(), choking);
        entry.queue.chokes.insert(topic.clone(), choke);
        self.dirty.insert(peer);
        let now = self.now;
        if let Some(scores) = &mut self.scores {
            scores.excuse(now, peer, topic, choke);
        }
    }
}
