//! The swarm's words: what it asks of its adapter and tells its application, and what it keeps of connections and streams.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_stream_protocol::{ConnectionInfo, DialError, LinkError, SpecId, ToConnection};
use smallvec::SmallVec;

/// One question to a resolver. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub(crate) u64);

/// What to ask a resolver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveKind {
    /// A records.
    Ip4,
    /// AAAA records.
    Ip6,
    /// A and AAAA records.
    Ip,
    /// TXT records.
    Txt,
}

/// One answer of a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An A or AAAA record.
    Ip(IpAddr),
    /// A TXT record.
    Txt(String),
}

/// What the adapter must do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect a link, then call `handle_dialed` or `handle_dial_failed`.
    Dial {
        /// The connection-to-be.
        conn: ConnectionId,
        /// Where to.
        addr: Multiaddr,
    },
    /// Forget a link that is being connected; no answer is expected.
    CancelDial {
        /// The connection that is not to be.
        conn: ConnectionId,
    },
    /// Ask a resolver, then call `handle_resolved`.
    Resolve {
        /// The question.
        query: ResolveId,
        /// The name.
        name: String,
        /// The records wanted.
        kind: ResolveKind,
    },
    /// Carry a message to a connection.
    Order {
        /// The connection.
        conn: ConnectionId,
        /// The message.
        message: ToConnection,
    },
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection stands.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// The connection.
        conn: ConnectionId,
        /// Whether it is the only one to that peer.
        first: bool,
        /// How it came about.
        info: ConnectionInfo,
        /// The agreed security protocol.
        security: ProtocolName,
        /// The agreed multiplexer.
        muxer: ProtocolName,
    },
    /// A connection is gone.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// The connection.
        conn: ConnectionId,
        /// Whether it was the last one to that peer.
        last: bool,
        /// Why, unless it ended in an orderly way.
        error: Option<LinkError>,
    },
    /// A dial failed.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// The wanted peer.
        peer: Option<PeerId>,
        /// Why.
        error: DialError,
    },
    /// An inbound connection was not upgraded.
    IncomingFailed {
        /// Where it came from.
        remote: Multiaddr,
        /// Why.
        error: LinkError,
    },
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that stand.
    pub established: usize,
    /// Of them, those that others dialed.
    pub established_inbound: usize,
    /// Inbound connections that are not upgraded.
    pub pending_inbound: usize,
    /// Links that are being connected or upgraded for a dial.
    pub pending_outbound: usize,
    /// Streams that stand.
    pub streams: usize,
    /// Dials under way.
    pub dials: usize,
    /// Inbound connections refused so far.
    pub refused: u64,
    /// Frames delivered to protocols so far.
    pub frames_in: u64,
    /// Frames written by protocols so far.
    pub frames_out: u64,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The adapter connects the link.
    Connecting,
    /// The link stands and is being upgraded.
    Upgrading,
    /// The peer is known and was admitted.
    Admitted,
    Established,
    /// We ordered it to close.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    pub(crate) info: ConnectionInfo,
    pub(crate) peer: Option<PeerId>,
    pub(crate) host: u128,
    /// Streams of ours opened so far.
    pub(crate) opened: u64,
    pub(crate) streams: u32,
    /// Streams that keep the connection from being idle.
    pub(crate) keeping: u32,
    /// Streams with credit to return, and how much that is in all.
    pub(crate) ungranted: usize,
    pub(crate) to_grant: Vec<libp2p_proto_core::StreamId>,
    /// Why it is being dropped, if we decided so before it was established.
    pub(crate) verdict: Option<libp2p_proto_stream_protocol::AttemptError>,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) protocol: u8,
    pub(crate) spec: SpecId,
    pub(crate) proposals: SmallVec<[SpecId; 2]>,
    pub(crate) peer: PeerId,
    pub(crate) opened: bool,
    pub(crate) lazy: bool,
    pub(crate) finished: bool,
    /// Bytes written that have not left.
    pub(crate) unsent: usize,
    pub(crate) blocked: bool,
    pub(crate) paused: bool,
    /// Delivered bytes whose credit was not returned.
    pub(crate) ungranted: usize,
    pub(crate) framing: libp2p_proto_stream_protocol::Framing,
    pub(crate) gone: bool,
}

/// What can become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A dial has something to do.
    Dial(DialId),
    /// A connection has been idle for too long.
    Idle(ConnectionId),
    /// A second connection to one peer may go.
    Redundant(ConnectionId),
}

impl Timer {
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Dial(_) => "dial",
            Self::Idle(_) => "idle",
            Self::Redundant(_) => "redundant",
        }
    }
}

/// How long two connections to one peer stand side by side at least.
pub(crate) const REDUNDANT_AFTER: core::time::Duration = core::time::Duration::from_secs(2);

/// One dial: addresses that wait for their time, and attempts under way.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) peer: Option<PeerId>,
    pub(crate) side: libp2p_proto_core::Side,
    pub(crate) planned: Vec<(Instant, Multiaddr)>,
    pub(crate) active: SmallVec<[ConnectionId; 2]>,
    pub(crate) resolving: SmallVec<[ResolveId; 2]>,
    pub(crate) failures: Vec<(Multiaddr, libp2p_proto_stream_protocol::AttemptError)>,
    pub(crate) tried: Vec<Multiaddr>,
    pub(crate) resolved: usize,
    pub(crate) give_up_at: Instant,
    /// No new attempt before this, because one is being upgraded.
    pub(crate) hold_until: Instant,
    /// The book has its addresses from here on; failures are noted.
    pub(crate) began: Instant,
}
