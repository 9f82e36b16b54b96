//! What can be wrong with a configuration, a reservation or a voucher.

use crate::Status;
use libp2p_proto_core::Fault;

/// What can be wrong with a configuration.
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

/// What is wrong with a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// No envelope of this use, or its signature is not valid.
    #[error("bad envelope")]
    BadEnvelope,
    /// The payload is not the canonical form of a voucher.
    #[error("bad payload")]
    BadPayload,
    /// Signed by somebody else than the relay, or for another relay.
    #[error("of another relay")]
    WrongRelay,
    /// For another peer than us.
    #[error("for another peer")]
    WrongPeer,
    /// It has expired.
    #[error("expired")]
    Expired,
}

impl VoucherError {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        Fault::Peer
    }
}

/// Why there is no reservation. A connection to the relay, if there is one, stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The relay could not be dialed, or only through another relay.
    #[error("no direct connection to the relay")]
    NotConnected,
    /// The relay doesn't speak the protocol, or has too many of our streams.
    #[error("no stream to the relay")]
    NoStream,
    /// The stream ended without an answer.
    #[error("stream closed")]
    StreamClosed,
    /// No answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The relay refuses, with this status.
    #[error("refused with status {}", .0.code())]
    Refused(Status),
    /// The answer is malformed, or has no reservation in it.
    #[error("malformed answer")]
    Malformed,
    /// The reservation expires too soon, or has expired.
    #[error("expires too soon")]
    TooShort,
    /// The voucher is not valid.
    #[error("voucher: {0}")]
    Voucher(VoucherError),
    /// There are as many relays as may be.
    #[error("too many relays")]
    TooManyRelays,
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyRelays => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}
