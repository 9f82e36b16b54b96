//! How many streams may stand, by scope: in all, of one protocol machine ("service"), of one name, of one peer, and of a machine or name with one peer.
//!
//! A stream counts in all its scopes or in none.

use crate::slot::Slot;
use alloc::collections::BTreeMap;
use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::SpecId;
use smallvec::SmallVec;

/// How many streams one scope may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimit {
    /// Opened by others.
    pub inbound: u32,
    /// Opened by us.
    pub outbound: u32,
    /// In all.
    pub total: u32,
}

impl StreamLimit {
    const fn new(inbound: u32, outbound: u32, total: u32) -> Self {
        Self {
            inbound,
            outbound,
            total,
        }
    }
}

/// Limits on streams over all connections. Those of one connection are in `StreamLimits`, those of one spec and connection in its `StreamSpec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamScopes {
    /// All streams. Default 32 768 each way and in all.
    pub system: StreamLimit,
    /// Those of one protocol machine. Default 16 384 each way and in all.
    pub service: StreamLimit,
    /// Those of one protocol name. Default 16 384 each way and in all.
    pub protocol: StreamLimit,
    /// Those of one peer. Default 256 in, 512 out, 512 in all, as go-libp2p.
    pub peer: StreamLimit,
    /// Those of one protocol machine with one peer. Default 256 each way and in all.
    pub service_peer: StreamLimit,
    /// Those of one protocol name with one peer. Default 64 in, 256 out, 256 in all, as go-libp2p; specs have lower limits of their own.
    pub protocol_peer: StreamLimit,
}

impl StreamScopes {
    /// The base limits of go-libp2p, before it scales them with memory.
    pub const GO_BASE: Self = Self {
        system: StreamLimit::new(1024, 2048, 2048),
        service: StreamLimit::new(1024, 4096, 4096),
        protocol: StreamLimit::new(512, 2048, 2048),
        peer: StreamLimit::new(256, 512, 512),
        service_peer: StreamLimit::new(128, 256, 256),
        protocol_peer: StreamLimit::new(64, 256, 256),
    };
}

impl Default for StreamScopes {
    fn default() -> Self {
        Self {
            system: StreamLimit::new(32_768, 32_768, 32_768),
            service: StreamLimit::new(16_384, 16_384, 16_384),
            protocol: StreamLimit::new(16_384, 16_384, 16_384),
            service_peer: StreamLimit::new(256, 256, 256),
            ..Self::GO_BASE
        }
    }
}

/// What a stream belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) inbound: bool,
    pub(crate) service: u8,
    pub(crate) spec: SpecId,
    pub(crate) peer: PeerId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    inbound: u32,
    outbound: u32,
}

impl Usage {
    const fn plus(self, inbound: bool) -> Self {
        if inbound {
            Self {
                inbound: self.inbound.saturating_add(1),
                ..self
            }
        } else {
            Self {
                outbound: self.outbound.saturating_add(1),
                ..self
            }
        }
    }

    const fn minus(self, inbound: bool) -> Self {
        if inbound {
            Self {
                inbound: self.inbound.saturating_sub(1),
                ..self
            }
        } else {
            Self {
                outbound: self.outbound.saturating_sub(1),
                ..self
            }
        }
    }

    const fn fits(self, limit: StreamLimit) -> bool {
        self.inbound <= limit.inbound
            && self.outbound <= limit.outbound
            && self.inbound.saturating_add(self.outbound) <= limit.total
    }
}

/// Usage by service or by name: a few of each, in order.
type Counts<K> = SmallVec<[(K, Usage); 2]>;

fn count<K: Ord>(counts: &Counts<K>, key: &K) -> Usage {
    let place = counts.binary_search_by(|(other, _)| other.cmp(key)).ok();
    let entry = place.and_then(|place| counts.get(place));
    entry.map_or_else(Usage::default, |(_, usage)| *usage)
}

fn change<K: Ord>(counts: &mut Counts<K>, key: K, change: impl FnOnce(Usage) -> Usage) {
    match counts.binary_search_by(|(other, _)| other.cmp(&key)) {
        Ok(place) => {
            if let Some((_, usage)) = counts.get_mut(place) {
                *usage = change(*usage);
                if *usage == Usage::default() {
                    counts.remove(place);
                }
            }
        }
        Err(place) => {
            let usage = change(Usage::default());
            if usage != Usage::default() {
                counts.insert(place, (key, usage));
            }
        }
    }
}

/// The streams of the node, or of one peer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shares {
    all: Usage,
    services: Counts<u8>,
    protocols: Counts<SpecId>,
}

impl Shares {
    /// Whether one more stream of `owner` keeps the limits on all, on its service and on its name.
    fn has_room(&self, owner: &Owner, limits: [StreamLimit; 3]) -> bool {
        let used = [
            self.all,
            count(&self.services, &owner.service),
            count(&self.protocols, &owner.spec),
        ];
        let mut pairs = used.into_iter().zip(limits);
        pairs.all(|(used, limit)| used.plus(owner.inbound).fits(limit))
    }

    fn change(&mut self, owner: &Owner, by: fn(Usage, bool) -> Usage) {
        self.all = by(self.all, owner.inbound);
        change(&mut self.services, owner.service, |used| by(used, owner.inbound));
        change(&mut self.protocols, owner.spec, |used| by(used, owner.inbound));
    }
}

/// The streams that stand, counted in each scope. Scopes without streams take no memory.
#[derive(Debug)]
pub(crate) struct Scopes {
    limits: StreamScopes,
    node: Shares,
    peers: BTreeMap<PeerId, Shares>,
}

impl Scopes {
    pub(crate) fn new(limits: StreamScopes) -> Self {
        Self {
            limits,
            node: Shares::default(),
            peers: BTreeMap::new(),
        }
    }

    /// Counts a stream in all its scopes, or in none if one of them is full.
    pub(crate) fn reserve(&mut self, owner: &Owner) -> bool {
        let limits = &self.limits;
        let of_node = [limits.system, limits.service, limits.protocol];
        let of_peer = [limits.peer, limits.service_peer, limits.protocol_peer];
        let nothing = Shares::default();
        let peer = self.peers.get(&owner.peer).unwrap_or(&nothing);
        let room = self.node.has_room(owner, of_node) && peer.has_room(owner, of_peer);
        if room {
            self.add(owner);
        }
        room
    }

    /// Counts a stream that was reserved under one name as one of another, which was agreed.
    pub(crate) fn shift(&mut self, from: &Owner, to: &Owner) {
        self.release(from);
        self.add(to);
    }

    fn add(&mut self, owner: &Owner) {
        self.node.change(owner, Usage::plus);
        let peer = self.peers.entry(owner.peer).or_default();
        peer.change(owner, Usage::plus);
    }

    pub(crate) fn release(&mut self, owner: &Owner) {
        self.node.change(owner, Usage::minus);
        if let Some(peer) = self.peers.get_mut(&owner.peer) {
            peer.change(owner, Usage::minus);
            if *peer == Shares::default() {
                self.peers.remove(&owner.peer);
            }
        }
    }

    /// Whether these streams, counted one by one, are what is counted.
    pub(crate) fn is_count_of<'a>(&self, slots: impl Iterator<Item = (&'a StreamId, &'a Slot)>) -> bool {
        let mut recount = Self::new(self.limits);
        for (stream, slot) in slots {
            recount.add(&slot.owner(*stream));
        }
        recount.node == self.node && recount.peers == self.peers
    }

    pub(crate) const fn inbound(&self) -> u32 {
        self.node.all.inbound
    }
}
