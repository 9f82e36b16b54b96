//! What can go wrong.

use crate::CloseCode;
use libp2p_proto_core::Fault;

/// What can go wrong.
///
/// The errors of construction (from [`BadConfig`](Self::BadConfig) on) come from no machine. All others end the connection: one last frame, or a server's refusal, is left to send,
/// then nothing, and every later call answers the same error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What came is no request (to a server) or no answer (to a client) of HTTP/1.1.
    #[error("not HTTP/1.1")]
    NotHttp,
    /// The head is longer than `max_head`.
    #[error("head of HTTP too large")]
    HeadTooLarge,
    /// It has more lines than `max_headers`.
    #[error("too many headers")]
    TooManyHeaders,
    /// A header that the upgrade needs is missing, double or wrong, or one stands there that must not.
    #[error("header {0} is wrong")]
    BadHeader(&'static str),
    /// The client asks for another version than 13.
    #[error("another version than 13")]
    BadVersion,
    /// The server answers with another status than 101. Redirects are not followed.
    #[error("the server answered {0}")]
    Status(u16),
    /// The server accepts an extension or a subprotocol that we did not offer.
    #[error("the server accepts what was not offered: {0}")]
    NotOffered(&'static str),
    /// The upgrade was not done in time.
    #[error("the upgrade takes too long")]
    UpgradeTimeout,
    /// A reserved bit is set, although no extension is agreed.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// A reserved opcode.
    #[error("opcode {0}")]
    BadOpcode(u8),
    /// A client's frame without a mask.
    #[error("a client's frame without a mask")]
    Unmasked,
    /// A server's frame with a mask.
    #[error("a server's frame with a mask")]
    Masked,
    /// A length that would fit into a shorter form, or has its first bit set.
    #[error("length {0} in a wrong form")]
    BadLength(u64),
    /// A frame over `max_frame`.
    #[error("a frame of {0} bytes")]
    FrameTooLarge(u64),
    /// A message over `max_message`.
    #[error("a message of {0} bytes and more")]
    MessageTooLarge(u64),
    /// A control frame in fragments, or of more than 125 bytes.
    #[error("a control frame that is fragmented or too long")]
    BadControl,
    /// A continuation of nothing.
    #[error("a continuation without a beginning")]
    UnexpectedContinuation,
    /// A new message inside another.
    #[error("a message inside another")]
    UnfinishedMessage,
    /// A text message.
    #[error("a text message")]
    Text,
    /// A close frame of one byte, or with a code that must not be on the wire.
    #[error("a bad close frame")]
    BadClose,
    /// A close frame whose reason is not UTF-8.
    #[error("the reason of the end is not UTF-8")]
    BadReason,
    /// More than `controls_per_second`.
    #[error("too many pings and pongs")]
    ControlFlood,
    /// The bytes ended without a close frame (1006 in the RFC's words).
    #[error("ended without a close frame")]
    UnexpectedEof,

    /// A configuration out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// A host that can't stand in a header: empty, over 261 bytes, or with other characters than letters, digits, and `.:-_[]`.
    #[error("a bad host")]
    BadHost,
    /// A path of more than 2 048 bytes.
    #[error("a bad path")]
    BadPath,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadConfig(_) | Self::BadHost | Self::BadPath => Fault::Local,
            Self::HeadTooLarge | Self::TooManyHeaders | Self::FrameTooLarge(_) | Self::MessageTooLarge(_) => {
                Fault::Limit
            }
            _ => Fault::Peer,
        }
    }

    /// The cause in one word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotHttp => "ws-not-http",
            Self::HeadTooLarge => "ws-head-too-large",
            Self::TooManyHeaders => "ws-too-many-headers",
            Self::BadHeader(_) => "ws-bad-header",
            Self::BadVersion => "ws-bad-version",
            Self::Status(_) => "ws-status",
            Self::NotOffered(_) => "ws-not-offered",
            Self::UpgradeTimeout => "ws-upgrade-timeout",
            Self::ReservedBit => "ws-reserved-bit",
            Self::BadOpcode(_) => "ws-bad-opcode",
            Self::Unmasked => "ws-unmasked",
            Self::Masked => "ws-masked",
            Self::BadLength(_) => "ws-bad-length",
            Self::FrameTooLarge(_) => "ws-frame-too-large",
            Self::MessageTooLarge(_) => "ws-message-too-large",
            Self::BadControl => "ws-bad-control",
            Self::UnexpectedContinuation => "ws-unexpected-continuation",
            Self::UnfinishedMessage => "ws-unfinished-message",
            Self::Text => "ws-text",
            Self::BadClose => "ws-bad-close",
            Self::BadReason => "ws-bad-reason",
            Self::ControlFlood => "ws-control-flood",
            Self::UnexpectedEof => "eof",
            Self::BadConfig(_) => "ws-bad-config",
            Self::BadHost => "ws-bad-host",
            Self::BadPath => "ws-bad-path",
        }
    }

    /// What the last frame says about it.
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Text => CloseCode::UNSUPPORTED,
            Self::FrameTooLarge(_) | Self::MessageTooLarge(_) => CloseCode::TOO_BIG,
            Self::BadReason => CloseCode::BAD_DATA,
            Self::ControlFlood => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL,
        }
    }
}
