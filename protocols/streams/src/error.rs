//! Errors of commands.

use libp2p_proto_core::Fault;

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name was not registered when the machine was built.
    #[error("name not registered")]
    UnknownName,
    /// The stream is closed, or never was.
    #[error("stream closed")]
    Closed,
    /// We have finished this stream.
    #[error("stream finished")]
    Finished,
    /// The write capacity is used up; [`Event::Writable`](crate::Event::Writable) follows.
    #[error("blocked")]
    Blocked,
    /// Too many opens wait.
    #[error("too many opens wait")]
    TooManyOpening,
    /// More than 255 names.
    #[error("too many names")]
    TooManyNames,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::UnknownName | Self::Finished | Self::TooManyNames => Fault::Local,
            Self::Closed => Fault::Peer,
            Self::Blocked | Self::TooManyOpening => Fault::Limit,
        }
    }
}
