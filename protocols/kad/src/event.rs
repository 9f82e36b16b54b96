//! What the application is told.

use crate::{Contact, Failure, Invalid, Key};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Multiaddr, PeerId};

/// One query. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) u64);

impl QueryId {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What the application is told. Steps and found things may be lost when the application does not read (they are counted, and what was found is in the end again);
/// the end of a query never is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A query goes on. Only with [`Config::progress`](crate::Config::progress).
    Step {
        /// The query.
        query: QueryId,
        /// The peer that it concerns.
        peer: PeerId,
        /// What happened.
        step: Step,
        /// When, since the query began.
        at: Duration,
    },
    /// A search has found a value, or a better one than before.
    Value {
        /// The query.
        query: QueryId,
        /// The valid value.
        value: Bytes,
    },
    /// A search has found providers: claims of whoever named them, each peer once.
    Providers {
        /// The query.
        query: QueryId,
        /// New ones.
        providers: Vec<Contact>,
    },
    /// A query is over. Comes once for each.
    Finished {
        /// The query.
        query: QueryId,
        /// What it came to.
        result: Result<Outcome, QueryError>,
        /// What it took.
        effort: Effort,
    },
    /// A peer came into the routing table.
    Added {
        /// The peer.
        peer: PeerId,
        /// Bits that its place shares with ours. Connections to those below 2 are worth keeping most (go-libp2p-kad-dht protects them).
        prefix: u16,
    },
    /// A peer left the routing table.
    Removed {
        /// The peer.
        peer: PeerId,
    },
    /// The provider records of a region have been sent: see [`Kad::provide_many`](crate::Kad::provide_many).
    Provided {
        /// Keys of the region.
        keys: usize,
        /// Servers of the region that should hold some of them.
        servers: usize,
        /// Those of them that took at least one.
        reached: usize,
        /// Records that left, over all servers.
        sent: usize,
        /// Whether it was the turn of the region; otherwise its keys were new.
        periodic: bool,
        /// Whether one in five servers was reached. Otherwise the region is tried again in five minutes.
        done: bool,
    },
    /// A crawl is over, and the full table is new.
    Crawled {
        /// Servers that answered.
        servers: usize,
        /// Peers that were asked.
        asked: usize,
    },
    /// We began or ceased to answer others.
    Serving(bool),
}

/// One step of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The peer is asked.
    Asked {
        /// Answers that led to it: 0 for those that we knew.
        hop: u16,
        /// Its place.
        key: Key,
        /// Who named it first; nobody if we knew it.
        from: Option<PeerId>,
    },
    /// It answered.
    Answered {
        /// Peers that it named and that are of use.
        named: usize,
    },
    /// It did not.
    Failed(Failure),
    /// A record was sent to it.
    Sent,
}

/// What a query came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The addresses of a peer.
    Peer {
        /// The peer.
        peer: PeerId,
        /// Where it is.
        addrs: Vec<Multiaddr>,
        /// Whether a connection proved that it is there. Otherwise the addresses are what others say.
        verified: bool,
    },
    /// The nearest peers, nearest first.
    Closest(Vec<Contact>),
    /// The best value that was found.
    Value {
        /// The value.
        value: Bytes,
        /// Answers that had this value, a copy of ours included.
        agreed: usize,
    },
    /// Everybody who was named as a provider.
    Providers(Vec<Contact>),
    /// A record was sent to so many peers. No count says how many of them keep it: some confirm what they discard.
    Sent {
        /// Peers that took it.
        peers: usize,
        /// Peers that did not.
        failed: usize,
    },
}

/// Why a query came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The routing table is empty and there is nobody to begin with.
    #[error("no peers to ask")]
    NoPeers,
    /// Everybody near was asked, and nobody has it.
    #[error("not found")]
    NotFound,
    /// The query's time was over before anything was found.
    #[error("timed out")]
    TimedOut,
    /// Not one peer took the record.
    #[error("no peer took the record")]
    NotSent,
    /// The record that was to be stored is not valid.
    #[error("record refused: {0}")]
    BadRecord(Invalid),
    /// A better record than the one that was to be stored is known here.
    #[error("a better record is known")]
    OldRecord,
    /// By command.
    #[error("cancelled")]
    Cancelled,
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Peers that were asked, those that a record was sent to not counted.
    pub asked: usize,
    /// Those that answered.
    pub answered: usize,
    /// Those that did not.
    pub failed: usize,
    /// The longest chain of answers that led to one of the peers in the result: 1 if those that we knew were enough.
    pub hops: u16,
    /// From command to end.
    pub took: Duration,
    /// The nearest peers stand nearer to the key than the size of the network lets one expect: of a thousand honest keys not one looks like this. Somebody may have placed them
    /// there to take the key. Known only with an [estimate](crate::Kad::network_size).
    pub crowded: bool,
}
