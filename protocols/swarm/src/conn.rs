//! What the swarm keeps of a connection, of a peer, and what can become due.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use libp2p_proto_core::{ConnectionId, DialId, Instant, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{AttemptError, ConnectionInfo, Traffic};
use smallvec::SmallVec;

/// Where a connection stands. In all but one of these it has a deadline, [`Timer::Phase`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The adapter connects the link.
    Connecting,
    /// The link stands and is being upgraded.
    Upgrading,
    /// The peer is known and was admitted.
    Admitted,
    Established {
        since: Instant,
    },
    /// We ordered it to end: because of this, if it was not established.
    Closing(Option<Box<AttemptError>>),
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    pub(crate) info: ConnectionInfo,
    /// Who is there; until it has proved it, who should be.
    pub(crate) peer: Option<PeerId>,
    /// The connection whose stream is its link, if it is relayed.
    pub(crate) outer: Option<ConnectionId>,
    /// Whether the gate lets it in beyond the limits.
    pub(crate) exempt: bool,
    /// Whether it serves one purpose and goes with it.
    pub(crate) aside: bool,
    /// Streams of ours opened so far.
    pub(crate) opened: u64,
    pub(crate) streams: u32,
    /// Of them, those that keep the connection from being idle.
    pub(crate) keeping: u32,
    /// Whether a protocol keeps it without a stream.
    pub(crate) kept: bool,
    /// Streams with credit to return, each once, and how much that is in all.
    pub(crate) to_grant: Vec<StreamId>,
    pub(crate) ungranted: usize,
    /// Its news that waits.
    pub(crate) waiting: u32,
    pub(crate) traffic: Traffic,
}

impl Conn {
    pub(crate) fn new(phase: Phase, info: ConnectionInfo, peer: Option<PeerId>, exempt: bool) -> Self {
        Self {
            phase,
            info,
            peer,
            outer: None,
            exempt,
            aside: false,
            opened: 0,
            streams: 0,
            keeping: 0,
            kept: false,
            to_grant: Vec::new(),
            ungranted: 0,
            waiting: 0,
            traffic: Traffic::default(),
        }
    }

    pub(crate) const fn is_inbound(&self) -> bool {
        self.info.dial.is_none()
    }

    /// Whether the role is not the one that the link suggests.
    pub(crate) const fn is_punched(&self) -> bool {
        self.is_inbound() == self.info.side.is_dialer()
    }

    /// Whether something is on that keeps it from being idle.
    pub(crate) const fn is_kept(&self) -> bool {
        self.keeping > 0 || self.kept
    }

    pub(crate) const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established { .. })
    }
}

/// What is known of a connected peer.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Connections that were told with `Connected` and not yet with `Disconnected`, the preferred one first.
    pub(crate) conns: SmallVec<[ConnectionId; 2]>,
    pub(crate) protocols: Option<Arc<[ProtocolName]>>,
}

/// What can become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A dial has something to do.
    Dial(DialId),
    /// A connection must have left its phase.
    Phase(ConnectionId),
    /// A connection has been idle for too long.
    Idle(ConnectionId),
    /// A second connection to one peer may go.
    Redundant(ConnectionId),
    /// There are too many connections.
    Trim,
}

impl Timer {
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Dial(_) => "dial",
            Self::Phase(_) => "phase",
            Self::Idle(_) => "idle",
            Self::Redundant(_) => "redundant",
            Self::Trim => "trim",
        }
    }
}
