//! What the machine did, step by step, under the names of go's tracer, for comparing runs.

use crate::{MessageId, Reject, Topic};
use libp2p_proto_core::{Instant, PeerId};

/// One step, and when it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When.
    pub at: Instant,
    /// What.
    pub step: Step,
}

/// What the machine did. The names are those of go's `TraceEvent`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// We published a message.
    PublishMessage(Topic, MessageId),
    /// A message of a peer breaks a rule.
    RejectMessage(PeerId, Topic, Reject),
    /// A message came again.
    DuplicateMessage(PeerId, MessageId),
    /// A message is valid.
    DeliverMessage(PeerId, Topic, MessageId),
    /// A peer is connected.
    AddPeer(PeerId),
    /// A peer is gone.
    RemovePeer(PeerId),
    /// An RPC was read.
    RecvRpc(PeerId),
    /// An RPC was written, of so many bytes.
    SendRpc(PeerId, usize),
    /// A message was dropped from the queue of a peer.
    DropRpc(PeerId, MessageId),
    /// We joined a topic.
    Join(Topic),
    /// We left a topic.
    Leave(Topic),
    /// A peer came into our mesh.
    Graft(PeerId, Topic),
    /// A peer left our mesh.
    Prune(PeerId, Topic),
}
