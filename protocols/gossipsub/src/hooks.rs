//! Functions of the user's that see what comes before the machine does. All must be pure.

use crate::{
    Level, Topic,
    wire::{Message, Rpc},
};
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use libp2p_proto_core::{PeerId, ProtocolName};

type ByPeerAndTopic = dyn Fn(&PeerId, &Topic) -> bool + Send + Sync;
type ByName = dyn Fn(&ProtocolName) -> Option<Level> + Send + Sync;
type ByPeerAndRpc = dyn Fn(&PeerId, &Rpc) -> bool + Send + Sync;

/// Whether a peer takes part in a topic with us: one that does not is in no mesh or fanout of it, and no message or gossip of it goes to it or is taken from it.
#[derive(Clone)]
pub struct PeerFilter(Arc<ByPeerAndTopic>);

impl PeerFilter {
    /// The filter of this function.
    pub fn new(function: impl Fn(&PeerId, &Topic) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn allows(&self, peer: &PeerId, topic: &Topic) -> bool {
        (self.0)(peer, topic)
    }
}

impl fmt::Debug for PeerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerFilter")
    }
}

/// Whether an RPC is looked at at all: one that is refused changes nothing.
#[derive(Clone)]
pub struct Inspector(Arc<ByPeerAndRpc>);

impl Inspector {
    /// The inspector of this function.
    pub fn new(function: impl Fn(&PeerId, &Rpc) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn allows(&self, peer: &PeerId, rpc: &Rpc) -> bool {
        (self.0)(peer, rpc)
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inspector")
    }
}

/// Which level a peer is heard at whose protocol has a name that is not in the list: names that begin with `prefix`, for which the function knows one.
#[derive(Clone)]
pub struct NameMatcher {
    pub(crate) prefix: ProtocolName,
    function: Arc<ByName>,
}

impl NameMatcher {
    /// The matcher of this function. Names that it gives no level for are refused.
    pub fn new(
        prefix: ProtocolName,
        function: impl Fn(&ProtocolName) -> Option<Level> + Send + Sync + 'static,
    ) -> Self {
        Self {
            prefix,
            function: Arc::new(function),
        }
    }

    pub(crate) fn level_of(&self, name: &ProtocolName) -> Option<Level> {
        (self.function)(name)
    }
}

impl fmt::Debug for NameMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameMatcher({})", self.prefix)
    }
}

/// A cheap fingerprint of a message as it is on the wire, so that the id of a copy with the same fingerprint need not be computed again. Messages with different
/// ids must have different fingerprints: a keyed hash over all of the message, not a checksum.
#[derive(Clone)]
pub struct FastId(Arc<dyn Fn(&Message) -> Bytes + Send + Sync>);

impl FastId {
    /// The fingerprint of this function.
    pub fn new(function: impl Fn(&Message) -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn of(&self, message: &Message) -> Bytes {
        (self.0)(message)
    }
}

impl fmt::Debug for FastId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FastId")
    }
}
