//! Errors of the configuration and of messages, and why an exchange failed.

use libp2p_proto_core::Fault;

/// What can be wrong with a configuration or a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// The message is no protobuf, or a string in it is not UTF-8.
    #[error("malformed message")]
    Malformed,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadConfig(_) => Fault::Local,
            Self::Malformed => Fault::Peer,
        }
    }
}

/// Why a peer was not identified, or a push of its was not taken. The connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer does not speak identify.
    #[error("identify not supported")]
    Unsupported,
    /// No whole message came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The stream ended without a whole message.
    #[error("stream closed")]
    StreamClosed,
    /// A message is malformed or too large, or there are too many.
    #[error("malformed message")]
    Malformed,
    /// The message carries a key of another peer.
    #[error("key of another peer")]
    WrongKey,
    /// The peer pushes too often.
    #[error("too many pushes")]
    TooManyPushes,
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyPushes => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}
