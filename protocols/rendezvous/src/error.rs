//! What can go wrong with a configuration, a command, and a request.

use crate::Status;
use libp2p_proto_core::Fault;
use libp2p_proto_stream_protocol::Closed;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// A namespace of more than 255 bytes, or an empty one where one is needed.
    #[error("bad namespace")]
    BadNamespace,
    /// No address of ours is known that others could use.
    #[error("no address of our own is known")]
    NoAddress,
    /// Too many registrations or questions are under way, or their ends were not read.
    #[error("too many requests")]
    TooManyRequests,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyRequests => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// Why a request to a rendezvous point failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The point refuses, with this status.
    #[error("refused: {0:?}")]
    Refused(Status),
    /// The point could not be reached.
    #[error("the point can not be reached")]
    Unreachable,
    /// The stream ended without an answer.
    #[error("no answer: {0}")]
    NoAnswer(Closed),
    /// The answer is none, or one to another kind of request.
    #[error("not an answer to the request")]
    BadAnswer,
    /// Our addresses are gone, or our key can't sign.
    #[error("no record of our own can be signed")]
    NoRecord,
}

impl Failure {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Refused(Status::Unavailable) => Fault::Limit,
            Self::NoRecord => Fault::Local,
            _ => Fault::Peer,
        }
    }

    /// Whether asking again later may help.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(
                status,
                Status::Unavailable | Status::InternalError | Status::Unknown(_)
            ),
            Self::NoAnswer(closed) => !matches!(closed, Closed::Refused),
            Self::Unreachable | Self::BadAnswer | Self::NoRecord => true,
        }
    }
}
