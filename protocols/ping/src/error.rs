//! Errors of commands, and why a round failed.

use libp2p_proto_core::Fault;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// A run of no rounds.
    #[error("a run needs at least one round")]
    NoRounds,
    /// Too many runs wait or are under way.
    #[error("too many runs")]
    TooManyRuns,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadConfig(_) | Self::NoRounds => Fault::Local,
            Self::TooManyRuns => Fault::Limit,
        }
    }
}

/// Why a run of pings failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// The peer does not speak ping. It may be perfectly alive.
    #[error("ping not supported")]
    Unsupported,
    /// No echo in time.
    #[error("no echo in time")]
    TimedOut,
    /// Other bytes came back.
    #[error("the echo differs")]
    Mismatch,
    /// The stream was reset, or ended before the echo, twice in a row.
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
            Self::NotConnected => Fault::Local,
            _ => Fault::Peer,
        }
    }
}
