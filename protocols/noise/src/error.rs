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
    /// A handshake message of more bytes than [`Limits::handshake_message`](crate::Limits::handshake_message).
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
    /// Another peer answered than the expected. The comparison costs nothing, so it comes before the signature is verified: nobody has proved to be `got`.
    #[error("expected {expected}, got {got}")]
    UnexpectedPeer {
        /// The wanted peer.
        expected: PeerId,
        /// Who claims to have answered.
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
    /// More frames without content in a row than [`Limits::empty_frames`](crate::Limits::empty_frames).
    #[error("too many empty frames")]
    TooManyEmptyFrames,
    /// 2⁶⁴−1 messages were sent or received.
    #[error("nonces used up")]
    NonceExhausted,
    /// The bytes ended before the handshake did, or inside a frame.
    #[error("unexpected end")]
    UnexpectedEnd,
    /// `finish` before the handshake is finished.
    #[error("handshake is not finished")]
    Unfinished,
    /// Our identity could not sign the static key.
    #[error("signing the static key failed")]
    SigningFailed,
    /// Our own identity key, signature and multiplexers make a payload of so many bytes: too large for the handshake messages of our own limits.
    #[error("own payload of {0} bytes is too large")]
    PayloadTooLarge(usize),
    /// More multiplexers, or longer names, than our own limits let us read: peers would ignore the list.
    #[error("own list of multiplexers is too long")]
    MuxersTooLong,
    /// A limit is outside of its range.
    #[error("limit {0} is out of range")]
    BadLimit(&'static str),
    /// The crypto provider failed at what can't fail.
    #[error("the crypto provider failed")]
    Provider,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Unfinished
            | Self::SigningFailed
            | Self::OwnIdentity
            | Self::PayloadTooLarge(_)
            | Self::MuxersTooLong
            | Self::BadLimit(_)
            | Self::Provider => Fault::Local,
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
            Self::UnexpectedEnd => "noise-unexpected-end",
            Self::PayloadTooLarge(_) => "noise-payload-too-large",
            Self::MuxersTooLong => "noise-muxers-too-long",
            Self::BadLimit(_) => "noise-bad-limit",
            Self::Provider => "noise-provider",
        }
    }
}
