//! How many streams may stand, by scope: in all, of one protocol machine ("service"), of one name, of one peer, and of a machine or name with one peer.
//!
//! A stream counts in all its scopes or in none.

use crate::slot::Slot;
use alloc::collections::BTreeMap;
use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::SpecId;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    System,
    Service(u8),
    Protocol(SpecId),
    Peer(PeerId),
    ServicePeer(u8, PeerId),
    ProtocolPeer(SpecId, PeerId),
}

/// What a stream belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) inbound: bool,
    pub(crate) service: u8,
    pub(crate) spec: SpecId,
    pub(crate) peer: PeerId,
}

impl Owner {
    const fn scopes(&self) -> [Scope; 6] {
        [
            Scope::System,
            Scope::Service(self.service),
            Scope::Protocol(self.spec),
            Scope::Peer(self.peer),
            Scope::ServicePeer(self.service, self.peer),
            Scope::ProtocolPeer(self.spec, self.peer),
        ]
    }
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

/// The streams that stand, counted in each scope. Scopes without streams take no memory.
#[derive(Debug)]
pub(crate) struct Scopes {
    limits: StreamScopes,
    usage: BTreeMap<Scope, Usage>,
}

impl Scopes {
    pub(crate) const fn new(limits: StreamScopes) -> Self {
        Self {
            limits,
            usage: BTreeMap::new(),
        }
    }

    const fn limit(&self, scope: &Scope) -> StreamLimit {
        match scope {
            Scope::System => self.limits.system,
            Scope::Service(_) => self.limits.service,
            Scope::Protocol(_) => self.limits.protocol,
            Scope::Peer(_) => self.limits.peer,
            Scope::ServicePeer(..) => self.limits.service_peer,
            Scope::ProtocolPeer(..) => self.limits.protocol_peer,
        }
    }

    fn of(&self, scope: &Scope) -> Usage {
        self.usage.get(scope).copied().unwrap_or_default()
    }

    /// Counts a stream in all its scopes, or in none if one of them is full.
    pub(crate) fn reserve(&mut self, owner: &Owner) -> bool {
        let fits = |scope: &Scope| self.of(scope).plus(owner.inbound).fits(self.limit(scope));
        if !owner.scopes().iter().all(fits) {
            return false;
        }
        self.add(owner);
        true
    }

    /// Counts a stream that was reserved under one name as one of another, which was agreed.
    pub(crate) fn shift(&mut self, from: &Owner, to: &Owner) {
        self.release(from);
        self.add(to);
    }

    fn add(&mut self, owner: &Owner) {
        for scope in owner.scopes() {
            let usage = self.of(&scope).plus(owner.inbound);
            self.usage.insert(scope, usage);
        }
    }

    pub(crate) fn release(&mut self, owner: &Owner) {
        for scope in owner.scopes() {
            let usage = self.of(&scope).minus(owner.inbound);
            if usage == Usage::default() {
                self.usage.remove(&scope);
            } else {
                self.usage.insert(scope, usage);
            }
        }
    }

    /// Whether these streams, counted one by one, are what is counted.
    pub(crate) fn is_count_of<'a>(&self, slots: impl Iterator<Item = (&'a StreamId, &'a Slot)>) -> bool {
        let mut recount = Self::new(self.limits);
        for (stream, slot) in slots {
            recount.add(&slot.owner(*stream));
        }
        recount.usage == self.usage
    }

    pub(crate) fn inbound(&self) -> u32 {
        self.of(&Scope::System).inbound
    }
}
