//! What the application is told.

use crate::{Failure, InboundFailure};
use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, PeerId, ProtocolName};

/// A request of ours. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// A request of another peer. Never reused, and a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub(crate) u64);

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer asks. Answer with [`RequestResponse::respond`](crate::RequestResponse::respond) or in parts, refuse with
    /// [`reject`](crate::RequestResponse::reject), or leave it with [`omit`](crate::RequestResponse::omit).
    Request {
        /// The request.
        id: InboundId,
        /// Who asks.
        peer: PeerId,
        /// On which connection.
        conn: ConnectionId,
        /// Under which name.
        name: ProtocolName,
        /// The message.
        data: Bytes,
    },
    /// The last part of an answer was taken; the next one may be given.
    Continue {
        /// The request.
        id: InboundId,
    },
    /// An answer of ours has left.
    ResponseSent {
        /// The request.
        id: InboundId,
    },
    /// An answer of ours did not leave.
    InboundFailed {
        /// The request.
        id: InboundId,
        /// Why.
        failure: InboundFailure,
    },
    /// A chunk of a response, or the next bytes of one that was asked for in parts. [`Response`](Self::Response) or [`Failed`](Self::Failed) follows.
    Part {
        /// The request.
        id: RequestId,
        /// What stood in front of the chunk, if the spec has such context.
        context: Option<[u8; 4]>,
        /// The bytes.
        data: Bytes,
    },
    /// A request of ours was answered.
    Response {
        /// The request.
        id: RequestId,
        /// Who answered.
        peer: PeerId,
        /// On which connection.
        conn: ConnectionId,
        /// Under which name.
        name: ProtocolName,
        /// The message; empty if it came in parts.
        data: Bytes,
    },
    /// A request of ours failed.
    Failed {
        /// The request.
        id: RequestId,
        /// Whom it was for.
        peer: PeerId,
        /// On which connection, if it got that far.
        conn: Option<ConnectionId>,
        /// Under which name, if one was agreed.
        name: Option<ProtocolName>,
        /// Why.
        failure: Failure,
    },
    /// A peer sent more behind its whole response; its stream was reset. Lost if too many events wait.
    Surplus {
        /// The request that had ended.
        id: RequestId,
        /// Who answered.
        peer: PeerId,
        /// On which connection.
        conn: ConnectionId,
        /// Under which name.
        name: ProtocolName,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests of ours that were answered.
    pub responses: u64,
    /// Requests of ours that failed.
    pub failures: u64,
    /// Requests of others that the application was told of.
    pub requests: u64,
    /// Answers that have left.
    pub answers: u64,
    /// Streams of others that ended without a request: refused, malformed, too slow, or over a limit.
    pub refused: u64,
    /// Responses with more behind them.
    pub surplus: u64,
}

/// What is held now: all zero when nothing is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Requests of ours that have not ended.
    pub requests: usize,
    /// Peers for which requests of ours wait or are under way.
    pub lines: usize,
    /// Streams of ours, also those that have served.
    pub outbound: usize,
    /// Dials that requests wait for.
    pub dials: usize,
    /// Streams of others.
    pub inbound: usize,
    /// Bytes of requests of others that are incomplete or not read.
    pub held: usize,
    /// Deadlines.
    pub timers: usize,
}
