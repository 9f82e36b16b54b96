//! What the application is told.

use crate::{Failure, Status};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{Multiaddr, PeerId};

/// A question to a rendezvous point; its end names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) u64);

/// A peer that is registered at a point, by its own verified record. A point can leave out and repeat, but not forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Under which namespace.
    pub namespace: Arc<str>,
    /// Who.
    pub peer: PeerId,
    /// Where it says that it is.
    pub addrs: Vec<Multiaddr>,
    /// The number of its record: newer ones have greater numbers.
    pub seq: u64,
    /// How long the registration holds, at most [`max_ttl`](crate::Config::max_ttl).
    pub ttl: Duration,
}

/// Something that the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// We are registered, for the first time or again.
    Registered {
        /// The point.
        point: PeerId,
        /// The namespace.
        namespace: Arc<str>,
        /// How long; before it ends, we register again.
        ttl: Duration,
    },
    /// A registration of ours failed.
    RegisterFailed {
        /// The point.
        point: PeerId,
        /// The namespace.
        namespace: Arc<str>,
        /// Why.
        failure: Failure,
        /// After what time it is tried again; `None` if it is given up.
        retry: Option<Duration>,
    },
    /// A question of ours has ended. Comes once for each.
    Discovered {
        /// The question.
        query: QueryId,
        /// The point.
        point: PeerId,
        /// The peers that were not in earlier answers of this point for this namespace, each once; we ourselves among them if we are registered there.
        result: Result<Vec<Found>, Failure>,
    },
    /// The registration of a peer that we discovered has run out.
    Expired {
        /// The namespace.
        namespace: Arc<str>,
        /// The peer.
        peer: PeerId,
    },
    /// As a point: a peer has registered, for the first time or again.
    PeerRegistered {
        /// The peer.
        peer: PeerId,
        /// The namespace.
        namespace: Arc<str>,
        /// How long.
        ttl: Duration,
    },
    /// As a point: a peer was refused.
    PeerRefused {
        /// The peer.
        peer: PeerId,
        /// What it was answered.
        status: Status,
    },
    /// As a point: a peer has ended its registration.
    PeerUnregistered {
        /// The peer.
        peer: PeerId,
        /// The namespace.
        namespace: Arc<str>,
    },
    /// As a point: a registration has run out.
    PeerExpired {
        /// The peer.
        peer: PeerId,
        /// The namespace.
        namespace: Arc<str>,
    },
}
