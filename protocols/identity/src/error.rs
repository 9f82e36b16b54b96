//! What can be wrong with keys, signatures, envelopes and records.

use crate::KeyType;
use libp2p_proto_core::Fault;

/// What can be wrong with keys, signatures, envelopes and records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the canonical encoding of a key: a field is missing, out of order, repeated, unknown or not minimal.
    #[error("malformed key encoding")]
    MalformedKey,
    /// More bytes than any key has.
    #[error("key too large")]
    KeyTooLarge,
    /// A key type that libp2p does not define.
    #[error("unknown key type {0}")]
    UnknownKeyType(u64),
    /// A key type whose feature is not built in, or that cannot do this.
    #[error("{0:?} keys are not supported here")]
    Unsupported(KeyType),
    /// An elliptic curve other than P-256.
    #[error("unsupported curve")]
    UnsupportedCurve,
    /// The key's numbers are not those of a key: not on the curve, wrong length, weak.
    #[error("invalid {0:?} key")]
    InvalidKey(KeyType),
    /// An RSA modulus of so many bits, outside of 2048 to 8192.
    #[error("RSA modulus of {0} bits")]
    RsaBits(usize),
    /// The public half that stands beside a secret is not its own.
    #[error("public and private key differ")]
    KeyMismatch,
    /// The signer could not sign, or made what is no signature of its key.
    #[error("signing failed")]
    SigningFailed,
    /// The envelope is larger than [`MAX_ENVELOPE`](crate::MAX_ENVELOPE), or its signature than 1 KiB.
    #[error("envelope too large")]
    EnvelopeTooLarge,
    /// The envelope is no protobuf, or a field is missing.
    #[error("malformed envelope")]
    MalformedEnvelope,
    /// An empty domain or payload type.
    #[error("empty domain or payload type")]
    EmptyDomain,
    /// The payload is not of the expected type.
    #[error("unexpected payload type")]
    PayloadType,
    /// The signature is not the key's signature over the content.
    #[error("bad signature")]
    BadSignature,
    /// The payload is no peer record.
    #[error("malformed record")]
    MalformedRecord,
    /// The record speaks of another peer than the one that signed it.
    #[error("record of another peer")]
    WrongPeer,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::SigningFailed | Self::EmptyDomain => Fault::Local,
            Self::KeyTooLarge | Self::EnvelopeTooLarge => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}
