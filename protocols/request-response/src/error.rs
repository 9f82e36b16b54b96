//! Errors of commands, and how requests fail.

use bytes::Bytes;
use libp2p_proto_core::Fault;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit is missing or out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// There is no spec of this number, or it is not for requests of ours.
    #[error("unknown spec")]
    UnknownSpec,
    /// The message exceeds the spec's limit, or is below its least size; nothing was sent.
    #[error("message too large or too small")]
    TooLarge,
    /// Too many requests wait for this peer, too many are under way in all, or too many peers are denied.
    #[error("queue full")]
    QueueFull,
    /// The request is gone: timed out, reset, or its connection lost.
    #[error("request is gone")]
    Gone,
    /// The request was answered already.
    #[error("already answered")]
    AlreadyAnswered,
    /// The last part was not taken yet; [`Event::Continue`](crate::Event::Continue) follows.
    #[error("blocked")]
    Blocked,
    /// The spec's framing has no answers of this kind.
    #[error("not in this framing")]
    WrongFraming,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::QueueFull | Self::Blocked => Fault::Limit,
            Self::Gone => Fault::Peer,
            _ => Fault::Local,
        }
    }
}

/// What a responder says instead of an answer (Ethereum only).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejection {
    /// 1: invalid request, 2: server error, 3: resource unavailable, 4 to 127: reserved, others: as the request defines.
    pub code: u8,
    /// Up to 256 bytes. Not necessarily text, and untrusted.
    pub message: Bytes,
}

/// How a request of ours failed. Whether the peer has acted on it is unknown, so it is never sent again by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer is not connected, and was not to be dialed.
    #[error("not connected")]
    NotConnected,
    /// The peer could not be dialed, or not in time.
    #[error("dial failed")]
    DialFailed,
    /// The request got no stream in time, because others were under way.
    #[error("too many streams")]
    TooManyStreams,
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
    /// The peer sent more parts than were asked for.
    #[error("too many parts")]
    TooManyParts,
    /// The peer answered with an error.
    #[error("rejected with code {}", .0.code)]
    Rejected(Rejection),
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotConnected => Fault::Local,
            Self::TooLarge | Self::TooManyStreams => Fault::Limit,
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

impl InboundFailure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::ResponseOmission => Fault::Local,
            _ => Fault::Peer,
        }
    }
}
