//! What the application is told, counters, and what is held.

use crate::{MessageId, PublishError, Topic, wire::Message};
use bytes::Bytes;
use libp2p_proto_core::PeerId;

/// One publication. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publication(pub(crate) u64);

/// What the application finds of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: it is passed on.
    Accept,
    /// Invalid: everyone that sent it is to blame.
    Reject,
    /// Neither: it is not passed on, and nobody is to blame.
    Ignore,
}

/// What a peer did for us, as the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It brought something useful: as the first delivery of a message.
    Useful,
    /// It brought something invalid: as an invalid message.
    Invalid,
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message of a topic that we subscribe to, once.
    Message {
        /// Its id.
        id: MessageId,
        /// The peer that sent it to us; ourselves for an own message.
        source: PeerId,
        /// The topic.
        topic: Topic,
        /// The message.
        message: Message,
        /// Whether it waits for [`report`](crate::Gossipsub::report).
        waits: bool,
    },
    /// A peer joined a topic.
    Subscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A peer left a topic, or is gone.
    Unsubscribed {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
    },
    /// A publication is in the queues of its receivers, and in the cache for those that ask.
    Published {
        /// The publication.
        publication: Publication,
        /// Its id.
        id: MessageId,
        /// Receivers whose queue took it.
        peers: usize,
    },
    /// A publication went to nobody.
    PublishFailed {
        /// The publication.
        publication: Publication,
        /// Why.
        error: PublishError,
    },
    /// A reported publication has left, as far as it will.
    Flushed {
        /// The publication.
        publication: Publication,
        /// Peers for which it has left the connection.
        flushed: usize,
        /// Peers for which it was dropped: too slow, gone, or not wanted.
        dropped: usize,
    },
    /// Messages for a peer were dropped since the last heartbeat.
    SlowPeer {
        /// The peer.
        peer: PeerId,
        /// Own messages.
        own: u32,
        /// Messages of others, and answers.
        others: u32,
    },
    /// The id of a message is longer than 1 KiB, or than control may be: it is passed on, but not gossiped about.
    NotGossiped {
        /// The id.
        id: MessageId,
    },
    /// A peer's score fell below the graylist threshold.
    Graylisted {
        /// The peer.
        peer: PeerId,
    },
    /// An explicit peer tried to graft us: it doesn't count us as explicit.
    NotReciprocal {
        /// The peer.
        peer: PeerId,
    },
    /// Parts of a message, or what a peer has and wants of it.
    Partial {
        /// The peer.
        peer: PeerId,
        /// The topic.
        topic: Topic,
        /// The message whose parts these are.
        group: Bytes,
        /// Parts.
        parts: Option<Bytes>,
        /// What the peer has and wants; `None` says nothing of it.
        metadata: Option<Bytes>,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RPCs read.
    pub rpcs_received: u64,
    /// RPCs written.
    pub rpcs_sent: u64,
    /// Messages that came for the first time.
    pub received: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Messages rejected.
    pub rejected: u64,
    /// Messages ignored.
    pub ignored: u64,
    /// Own messages.
    pub published: u64,
    /// Copies of messages put into queues.
    pub queued: u64,
    /// Copies dropped from queues.
    pub dropped: u64,
    /// Copies not sent, or taken out of a queue, because of IDONTWANT.
    pub unwanted: u64,
    /// Messages dropped because too many wait for a verdict.
    pub throttled: u64,
    /// Ids asked for.
    pub iwant_sent: u64,
    /// Messages served to peers that asked.
    pub served: u64,
    /// Times that a signature was verified.
    pub verified: u64,
    /// Misbehaviour counted.
    pub penalties: u64,
    /// RPCs that could not be read.
    pub malformed: u64,
    /// RPCs that the inspector refused.
    pub refused: u64,
    /// RPCs ignored for the score of their sender.
    pub graylisted: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connected peers.
    pub peers: usize,
    /// Topics that a peer subscribes to.
    pub topics: usize,
    /// Subscriptions of all peers.
    pub subscriptions: usize,
    /// Copies of messages in queues.
    pub queued: usize,
    /// Their bytes; a message in several queues is counted in each, and held once.
    pub queued_bytes: usize,
    /// Ids that peers don't want.
    pub unwanted: usize,
    /// Ids remembered as seen.
    pub seen: usize,
    /// Messages in the cache.
    pub cached: usize,
    /// Their bytes.
    pub cached_bytes: usize,
    /// Messages that wait for a verdict.
    pub pending: usize,
    /// Ids asked for and not yet here.
    pub promises: usize,
    /// Back-offs.
    pub backoffs: usize,
    /// Peers with counters, gone ones included.
    pub scored: usize,
    /// Messages of which it is remembered who sent them.
    pub deliveries: usize,
    /// Groups of partial messages.
    pub groups: usize,
    /// What peers have and want of such groups.
    pub metadata: usize,
    /// Publications whose way out is reported.
    pub publications: usize,
}
