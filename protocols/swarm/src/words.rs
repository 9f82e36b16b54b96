//! The swarm's words: what it asks of its adapter and what it tells its application.

use alloc::string::String;
use core::net::IpAddr;
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_stream_protocol::{ConnectionInfo, DialError, LinkError, ToConnection};

/// One question to a resolver. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub(crate) u64);

impl ResolveId {
    /// The question with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

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
        /// Whether to connect from a port where we listen, if the adapter can.
        reuse_port: bool,
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
    /// An inbound connection was not upgraded. The only event that an application may miss: while it is behind by half of `max_events`, these are only counted.
    IncomingFailed {
        /// Where it came from.
        remote: Multiaddr,
        /// Why.
        error: LinkError,
    },
    /// The adapter listens at this address.
    Listening {
        /// The concrete address.
        addr: Multiaddr,
    },
    /// The adapter no longer listens at this address.
    ListenClosed {
        /// The concrete address.
        addr: Multiaddr,
    },
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that stand.
    pub established: usize,
    /// Of them, those that others dialed.
    pub established_inbound: usize,
    /// Inbound connections that are being upgraded.
    pub pending_inbound: usize,
    /// Links that are being connected or upgraded for a dial.
    pub pending_outbound: usize,
    /// Connections that were ordered to end and have not.
    pub closing: usize,
    /// Streams that stand.
    pub streams: usize,
    /// Of them, those that others opened.
    pub streams_inbound: usize,
    /// Dials under way.
    pub dials: usize,
    /// Peers and addresses in the book take about so many bytes.
    pub book_bytes: usize,
    /// News that waits.
    pub news: usize,
    /// Events that wait.
    pub events: usize,
    /// Inbound connections refused so far.
    pub refused: u64,
    /// Inbound connections that made room for others while they were being upgraded, so far.
    pub crowded_out: u64,
    /// Inbound connections that failed so far.
    pub incoming_failed: u64,
    /// Connections that were trimmed so far.
    pub trimmed: u64,
    /// Inbound streams that were reset because a scope was full, so far.
    pub streams_refused: u64,
    /// Bytes that connections took from their links so far, those that have ended included; see [`Traffic`](libp2p_proto_stream_protocol::Traffic).
    pub bytes_in: u64,
    /// Bytes that connections gave to their links so far, those that have ended included.
    pub bytes_out: u64,
    /// Frames delivered to protocols so far.
    pub frames_in: u64,
    /// Frames written by protocols so far.
    pub frames_out: u64,
}
