//! Errors of the configuration, of commands, of messages and of records, and why a request failed.

use libp2p_proto_core::{Fault, protobuf::ProtobufError};

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// The public network has fixed rules, and this field breaks them.
    #[error("the public network fixes {0}")]
    PublicNetwork(&'static str),
    /// Too many queries run, or their ends were not read.
    #[error("too many queries")]
    TooManyQueries,
    /// Too many keys are provided, or too many values republished.
    #[error("too many keys")]
    TooManyKeys,
    /// A key of no bytes or too many.
    #[error("bad key")]
    BadKey,
    /// The record is not valid.
    #[error("record refused: {0}")]
    BadRecord(#[from] Invalid),
    /// A better record is stored here.
    #[error("a better record is known")]
    OldRecord,
    /// The store is full.
    #[error("the store is full")]
    StoreFull,
    /// No address of ours is known that others could use.
    #[error("no address of our own is known")]
    NoAddress,
    /// The saved bytes are no snapshot of a routing table.
    #[error("not a snapshot")]
    BadSnapshot,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyQueries | Self::TooManyKeys | Self::StoreFull => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It is no protobuf, or a known field has another wire type.
    #[error("not a message: {0}")]
    Protobuf(#[from] ProtobufError),
    /// Its type is none of the six.
    #[error("unknown type {0}")]
    UnknownType(u64),
    /// A request without a key, or with one that is too long.
    #[error("bad key")]
    BadKey,
    /// A record is missing, or filed under another key than the message says.
    #[error("record missing or under another key")]
    BadRecord,
}

impl Malformed {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Protobuf(error) => error.fault(),
            _ => Fault::Peer,
        }
    }
}

/// Why a record is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The key is not `/namespace/rest`.
    #[error("the key is not /namespace/rest")]
    BadKey,
    /// No validator is responsible for the namespace.
    #[error("unknown namespace")]
    UnknownNamespace,
    /// The value is larger than its kind may be.
    #[error("too large")]
    TooLarge,
    /// The value can't be read.
    #[error("malformed")]
    Malformed,
    /// The value belongs to another key.
    #[error("belongs to another key")]
    WrongKey,
    /// No public key, or one of a kind that can't be verified.
    #[error("no usable public key")]
    NoPublicKey,
    /// A signature that does not verify.
    #[error("bad signature")]
    BadSignature,
    /// The record's own time is over.
    #[error("expired")]
    Expired,
}

/// Why a peer did not answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection, and none could be made.
    #[error("not reachable")]
    Unreachable,
    /// Too many dials to that address lately, or no address that may be dialed.
    #[error("not dialed")]
    NotDialed,
    /// The peer does not speak the protocol.
    #[error("protocol not supported")]
    Unsupported,
    /// A step took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The stream ended before the answer.
    #[error("stream closed")]
    StreamClosed,
    /// The answer can't be read, is of another type, or echoes another value.
    #[error("wrong answer")]
    BadAnswer,
    /// A limit on streams of ours.
    #[error("too many streams")]
    Busy,
}

impl Failure {
    /// Whom the failure accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotDialed | Self::Busy => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}
