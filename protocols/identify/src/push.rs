//! When to push, and how many pushes to take.

use crate::Config;
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, StreamId};

/// Our pushes: gathered, then sent a few at a time.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// When the gathered changes leave.
    pub(crate) due: Option<Instant>,
    /// Peers that are still to be told of the last change.
    pub(crate) waiting: BTreeSet<PeerId>,
    /// Pushes under way.
    pub(crate) under_way: BTreeSet<StreamId>,
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

/// How often each network prefix may push to us.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// For each prefix, when its next push would be on time if it pushed at exactly the average rate.
    on_time: BTreeMap<u64, Instant>,
}

impl Inbox {
    /// Whether a push from this address may be read now.
    pub(crate) fn admit(&mut self, now: Instant, from: &Multiaddr, config: &Config) -> bool {
        let prefix = prefix(from);
        let on_time = self.on_time.get(&prefix).copied().unwrap_or(now).max(now);
        let early = config
            .push_gap
            .saturating_mul(config.push_burst.saturating_sub(1));
        if on_time - early > now {
            return false;
        }
        if self.on_time.len() >= config.max_prefixes && !self.on_time.contains_key(&prefix) {
            self.on_time.retain(|_, on_time| *on_time > now);
            if self.on_time.len() >= config.max_prefixes {
                return false;
            }
        }
        self.on_time.insert(prefix, on_time + config.push_gap);
        true
    }
}

/// The network of an address as a number: IPv4 /24, IPv6 /56, one for all others.
fn prefix(addr: &Multiaddr) -> u64 {
    match addr.ip() {
        Some(IpAddr::V4(ip)) => u64::from(u32::from(ip) >> 8),
        Some(IpAddr::V6(ip)) => u64::try_from(u128::from(ip) >> 72).unwrap_or(u64::MAX) | 1 << 63,
        None => u64::MAX,
    }
}
