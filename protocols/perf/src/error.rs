//! Errors of commands, and why a transfer failed.

use libp2p_proto_core::Fault;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// Too many transfers of ours are under way.
    #[error("too many transfers")]
    TooManyRuns,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadConfig(_) => Fault::Local,
            Self::TooManyRuns => Fault::Limit,
        }
    }
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no connection to the peer, or none that perf may use.
    #[error("not connected")]
    NotConnected,
    /// A transfer of ours to the peer is under way.
    #[error("busy")]
    Busy,
    /// The peer does not serve perf.
    #[error("perf not supported")]
    Unsupported,
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// The peer sent more or fewer bytes than asked for.
    #[error("wrong number of bytes")]
    WrongCount,
    /// The stream was reset.
    #[error("stream closed")]
    StreamClosed,
    /// The connection was lost.
    #[error("connection lost")]
    ConnectionLost,
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotConnected | Self::Busy => Fault::Local,
            _ => Fault::Peer,
        }
    }
}
