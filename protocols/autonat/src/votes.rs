//! What servers say, and when it is believed: one voice for each server and each network, and a majority with a margin.

use alloc::collections::VecDeque;
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId, Subnet};
use libp2p_proto_stream_protocol::Reachability;

/// When voices are believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) quorum: usize,
    pub(crate) margin: usize,
    pub(crate) window: usize,
    pub(crate) life: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    server: PeerId,
    network: Subnet,
    reachable: bool,
    at: Instant,
}

/// The voices on one matter.
#[derive(Debug)]
pub(crate) struct Votes {
    votes: VecDeque<Vote>,
    state: Reachability,
}

impl Votes {
    pub(crate) const fn new() -> Self {
        Self {
            votes: VecDeque::new(),
            state: Reachability::Unknown,
        }
    }

    pub(crate) const fn state(&self) -> Reachability {
        self.state
    }

    /// A server has its say; what it, or its network, said before no longer counts.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        server: PeerId,
        network: Subnet,
        reachable: bool,
        rules: Rules,
    ) {
        self.votes
            .retain(|vote| vote.server != server && vote.network != network);
        let at = now;
        self.votes.push_back(Vote {
            server,
            network,
            reachable,
            at,
        });
        if self.votes.len() > rules.window {
            self.votes.pop_front();
        }
        self.judge(now, rules);
    }

    /// Forgets what is old, and judges anew. What was believed is believed until as many say otherwise, or nobody says so any more.
    pub(crate) fn judge(&mut self, now: Instant, rules: Rules) {
        self.votes.retain(|vote| vote.at + rules.life > now);
        let (yes, no) = (self.count(true), self.count(false));
        let wins =
            |side: usize, other: usize| side >= rules.quorum && side >= other.saturating_add(rules.margin);
        self.state = match self.state {
            _ if wins(yes, no) => Reachability::Public,
            _ if wins(no, yes) => Reachability::Private,
            Reachability::Public if yes == 0 => Reachability::Unknown,
            Reachability::Private if no == 0 => Reachability::Unknown,
            kept => kept,
        };
    }

    /// Voices for one side.
    pub(crate) fn count(&self, reachable: bool) -> usize {
        self.votes
            .iter()
            .filter(|vote| vote.reachable == reachable)
            .count()
    }

    /// Voices that are missing until the side which leads is believed; one if it is.
    pub(crate) fn missing(&self, rules: Rules) -> usize {
        let (yes, no) = (self.count(true), self.count(false));
        let lead = rules.margin.saturating_add(yes.min(no)).max(rules.quorum);
        lead.saturating_sub(yes.max(no)).max(1)
    }

    /// Networks that have had their say since.
    pub(crate) fn networks(&self, since: Instant) -> impl Iterator<Item = Subnet> {
        self.votes
            .iter()
            .filter(move |vote| vote.at >= since)
            .map(|vote| vote.network)
    }

    /// Whether as many voices as count are of one mind.
    pub(crate) fn is_unanimous(&self, rules: Rules) -> bool {
        let most = self.count(true).max(self.count(false));
        most >= rules.quorum && most == self.votes.len()
    }

    /// When the oldest voice is forgotten.
    pub(crate) fn next_expiry(&self, rules: Rules) -> Option<Instant> {
        self.votes
            .iter()
            .map(|vote| vote.at)
            .min()
            .map(|at| at + rules.life)
    }
}
