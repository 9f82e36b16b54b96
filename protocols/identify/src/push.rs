//! When to push, and how many pushes to take.

use crate::Config;
use alloc::collections::{BTreeMap, BTreeSet};
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Rates, StreamId, Subnet};

/// Our pushes: gathered, then sent a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// When the gathered changes leave.
    pub(crate) due: Option<Instant>,
    /// Peers that are still to be told of the last change.
    pub(crate) waiting: BTreeSet<PeerId>,
    /// Pushes under way.
    pub(crate) under_way: BTreeMap<StreamId, PeerId>,
}

impl Outbox {
    /// Something changed: push after the delay, unless a push is being gathered already.
    pub(crate) fn changed(&mut self, now: Instant, config: &Config) {
        if self.due.is_none() {
            self.due = Some(now + config.push_delay);
        }
    }

    /// The next peer to push to, if there is room.
    pub(crate) fn next(&mut self, config: &Config) -> Option<PeerId> {
        if self.under_way.len() < config.push_parallel {
            self.waiting.pop_first()
        } else {
            None
        }
    }
}

/// How often others may push to us: each peer, each network prefix, and all together.
#[derive(Debug)]
pub(crate) struct Inbox {
    peers: Rates<PeerId>,
    prefixes: Rates<Subnet>,
    all: Rates<()>,
}

impl Inbox {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            peers: Rates::new(config.push_rate, config.max_prefixes),
            prefixes: Rates::new(config.push_rate, config.max_prefixes),
            all: Rates::new(config.push_rate_total, 1),
        }
    }

    /// Whether a push of `peer` from this address may be read now.
    pub(crate) fn admit(&mut self, now: Instant, peer: PeerId, from: &Multiaddr) -> bool {
        self.peers.take(now, peer).is_ok()
            && self.prefixes.take(now, from.subnet(24, 56)).is_ok()
            && self.all.take(now, ()).is_ok()
    }
}
