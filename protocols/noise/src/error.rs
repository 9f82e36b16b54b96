//! What can go wrong in handshake and transport. Every error is final.

use libp2p_proto_core::{Fault, PeerId};
use libp2p_proto_identity as identity;

/// What can go wrong in handshake and transport. Every error is final: the machine takes and gives nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A handshake message shorter than its pattern, or a first message that is not exactly 32 bytes.
    #[error("handshake message of {0} bytes")]
    BadLength(usize),
    /// A handshake message of more than 8 192 bytes.
    #[error("handshake message of {0} bytes exceeds the limit")]
    TooLarge(usize),
    /// A Diffie-Hellman result of zeros: the remote sent a point of low order.
    #[error("key exchange is not contributory")]
    NonContributory,
    /// A tag that does not fit: the frame was changed, replayed, reordered or forged.
    #[error("authentication failed")]
    BadTag,
    /// The payload is no protobuf, or key or signature is missing.
    #[error("malformed payload")]
    BadPayload,
    /// The identity key in the payload is no key.
    #[error("identity key: {0}")]
    BadKey(identity::Error),
    /// The identity key did not sign the static key.
    #[error("bad signature")]
    BadSignature,
    /// Another peer answered than the expected.
    #[error("expected {expected}, got {got}")]
    UnexpectedPeer {
        /// The wanted peer.
        expected: PeerId,
        /// Who answered.
        got: PeerId,
    },
    /// The remote has our own identity or static key.
    #[error("connected to ourselves")]
    OwnIdentity,
    /// Both sides list multiplexers, and none of them in common.
    #[error("no common multiplexer")]
    NoCommonMuxer,
    /// A transport frame of fewer bytes than its tag.
    #[error("frame of {0} bytes is shorter than its tag")]
    FrameTooShort(usize),
    /// More than 1 000 frames without content in a row.
    #[error("too many empty frames")]
    TooManyEmptyFrames,
    /// 2⁶⁴−1 messages were sent or received.
    #[error("nonces used up")]
    NonceExhausted,
    /// `finish` before the handshake is finished.
    #[error("handshake is not finished")]
    Unfinished,
    /// Our identity could not sign the static key.
    #[error("signing the static key failed")]
    SigningFailed,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Unfinished | Self::SigningFailed | Self::OwnIdentity => Fault::Local,
            Self::TooLarge(_) | Self::NonceExhausted | Self::TooManyEmptyFrames => Fault::Limit,
            _ => Fault::Peer,
        }
    }

    /// The cause in one word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadLength(_) => "noise-bad-length",
            Self::TooLarge(_) => "noise-too-large",
            Self::NonContributory => "noise-low-order-point",
            Self::BadTag => "noise-bad-tag",
            Self::BadPayload => "noise-bad-payload",
            Self::BadKey(_) => "noise-bad-key",
            Self::BadSignature => "noise-bad-signature",
            Self::UnexpectedPeer { .. } => "wrong-peer",
            Self::OwnIdentity => "self-dial",
            Self::NoCommonMuxer => "no-common-muxer",
            Self::FrameTooShort(_) => "noise-short-frame",
            Self::TooManyEmptyFrames => "noise-empty-frames",
            Self::NonceExhausted => "noise-nonce-exhausted",
            Self::Unfinished => "noise-unfinished",
            Self::SigningFailed => "noise-signing-failed",
        }
    }
}
