//! What can go wrong with a configuration, a message, and an upgrade.

use libp2p_proto_core::{Fault, protobuf::ProtobufError};
use libp2p_proto_stream_protocol::{Closed, DialError, DialRefused, OpenError};

/// Why a machine was not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It is no protobuf.
    #[error("malformed message: {0}")]
    Protobuf(#[from] ProtobufError),
    /// The type is missing.
    #[error("no type")]
    NoType,
    /// The type is none that is known.
    #[error("unknown type")]
    UnknownType,
}

impl WireError {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        Fault::Peer
    }
}

/// Why an attempt, or a whole upgrade, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer does not speak the protocol, and could not be dialed just so.
    #[error("the peer does not speak dcutr")]
    Unsupported,
    /// No address of ours is known that could be punched.
    #[error("no address of our own is known")]
    NoOwnAddress,
    /// The peer named no address that may be dialed.
    #[error("the peer names no usable address")]
    NoAddress,
    /// No stream could be opened.
    #[error("no stream: {0}")]
    NoStream(OpenError),
    /// The stream ended in the middle of the exchange.
    #[error("the stream ended: {0}")]
    StreamClosed(Closed),
    /// The peer sent a message that can't be read.
    #[error("{0}")]
    Malformed(WireError),
    /// The peer sent a message out of order, or ended instead of sending one.
    #[error("unexpected message")]
    Unexpected,
    /// The peer did not speak in time.
    #[error("the exchange timed out")]
    TimedOut,
    /// The round trip is longer than may be waited for.
    #[error("the round trip is too long")]
    TooSlow,
    /// Both ends began, and the other one goes on.
    #[error("the peer has begun too")]
    Yielded,
    /// A new attempt of the peer has replaced this one.
    #[error("replaced by another attempt")]
    Replaced,
    /// The relayed connection is gone.
    #[error("the relayed connection is gone")]
    RelayLost,
    /// The dial was refused at once.
    #[error("not dialed: {0}")]
    NotDialed(DialRefused),
    /// Every address failed, or none answered in time.
    #[error("{0}")]
    DialFailed(DialError),
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoOwnAddress | Self::Yielded | Self::Replaced => Fault::Local,
            Self::NoStream(_) | Self::NotDialed(_) => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}
