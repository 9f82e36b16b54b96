//! Errors of commands, and how requests fail.

use libp2p_proto_core::Fault;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit is missing or out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// There is no spec of this number.
    #[error("unknown spec")]
    UnknownSpec,
    /// The message exceeds the spec's limit; nothing was sent.
    #[error("message too large")]
    TooLarge,
    /// Too many requests wait for this peer, or too many are under way in all.
    #[error("queue full")]
    QueueFull,
    /// The request was answered already, or is gone: timed out, reset, or its connection lost.
    #[error("request is gone")]
    Gone,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::QueueFull => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// How a request of ours failed. Whether the peer has acted on it is unknown, so it is never sent again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer is not connected, and was not to be dialed.
    #[error("not connected")]
    NotConnected,
    /// The peer could not be dialed.
    #[error("dial failed")]
    DialFailed,
    /// The peer speaks none of the names.
    #[error("unsupported protocol")]
    UnsupportedProtocols,
    /// No whole response in time.
    #[error("timed out")]
    TimedOut,
    /// The connection was lost.
    #[error("connection closed")]
    ConnectionClosed,
    /// The peer reset the stream: it refuses the request.
    #[error("stream reset")]
    StreamReset,
    /// The stream ended without a whole response.
    #[error("unexpected end")]
    UnexpectedEnd,
    /// The response exceeds the spec's limit.
    #[error("response too large")]
    TooLarge,
    /// The peer broke the framing.
    #[error("malformed response")]
    Malformed,
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotConnected => Fault::Local,
            Self::TooLarge => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}

/// Why an answer did not reach the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum InboundFailure {
    /// The application or the network took too long.
    #[error("timed out")]
    TimedOut,
    /// The connection was lost.
    #[error("connection closed")]
    ConnectionClosed,
    /// The peer reset the stream: it has lost interest.
    #[error("stream reset")]
    StreamReset,
    /// The application dropped the request.
    #[error("response omitted")]
    ResponseOmission,
}
