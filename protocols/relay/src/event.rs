//! What the application is told.

use crate::{Failure, Limit, Status};
use alloc::vec::Vec;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId};

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A relay keeps a slot for us.
    Reserved {
        /// The relay.
        relay: PeerId,
        /// Until when, in seconds since 1970.
        expire: u64,
        /// What circuits may carry.
        limit: Limit,
        /// Where others reach us now; `/p2p/<us>` goes behind it.
        addrs: Vec<Multiaddr>,
        /// Whether we held a slot there before.
        renewed: bool,
    },
    /// A relay keeps no slot for us. One that we hold stays until it expires.
    NotReserved {
        /// The relay.
        relay: PeerId,
        /// Why.
        failure: Failure,
    },
    /// A slot is gone: its connection has ended, it has expired, or it is not wanted any more.
    Lost {
        /// The relay.
        relay: PeerId,
    },
    /// A slot is missing, and few peers are known that offer one: whoever knows more may [`suggest`](crate::Relay::suggest) them, or connect to peers that do. Comes at most
    /// once in [`ClientConfig::ask_interval`](crate::ClientConfig::ask_interval).
    CandidatesWanted,
    /// A circuit came in, and is being upgraded to a connection.
    Accepted {
        /// The relay that brought it.
        relay: PeerId,
        /// Who claims to be there.
        peer: PeerId,
        /// The connection-to-be.
        conn: ConnectionId,
    },
    /// We keep a slot for a peer.
    Granted {
        /// The peer.
        peer: PeerId,
        /// Whether it held one before.
        renewed: bool,
    },
    /// The slot of a peer is gone.
    Expired {
        /// The peer.
        peer: PeerId,
    },
    /// We refused a request.
    Refused {
        /// Who asked.
        peer: PeerId,
        /// The answer.
        status: Status,
    },
    /// We joined two peers.
    Joined {
        /// Who asked.
        from: PeerId,
        /// To whom.
        to: PeerId,
    },
    /// A circuit has ended.
    Parted {
        /// Who had asked.
        from: PeerId,
        /// To whom.
        to: PeerId,
    },
}

/// What is held now, and what was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether we offer to be a relay: there is an address to tell, and nobody tried in vain to reach us.
    pub serving: bool,
    /// Slots that we keep for others.
    pub reservations: usize,
    /// Circuits that we carry or are making.
    pub circuits: usize,
    /// Hop requests that are being read or ended.
    pub requests: usize,
    /// Slots that others keep for us.
    pub slots: usize,
    /// Circuits of ours that are being made.
    pub dialing: usize,
    /// Circuits that others brought to us and that stand.
    pub inbound: usize,
    /// Vouchers signed so far.
    pub signed: u64,
    /// Requests refused so far.
    pub refused: u64,
    /// Events lost to a full queue so far.
    pub events_dropped: u64,
}
