//! What can go wrong in a negotiation.

use libp2p_proto_core::Fault;

/// What can go wrong in a negotiation. After an error the negotiation takes and gives nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message of more bytes than [`Limits::message`](crate::Limits::message), or with a length of more than two bytes.
    #[error("message too long")]
    LineTooLong,
    /// A length of zero, or one that is not minimal.
    #[error("bad message length")]
    BadLength,
    /// A message that does not end in a line break.
    #[error("message without line break")]
    NoNewline,
    /// The first message is not the header of multistream-select 1.0.
    #[error("not multistream-select 1.0")]
    NotMultistream,
    /// The dialer sent its header twice.
    #[error("second header")]
    SecondHeader,
    /// The answer is neither the proposal, nor `na`, nor the header.
    #[error("unexpected reply")]
    UnexpectedReply,
    /// More refused proposals than [`Limits::refusals`](crate::Limits::refusals).
    #[error("too many proposals")]
    TooManyProposals,
    /// The stream ended before a name was agreed.
    #[error("ended before agreement")]
    UnexpectedEnd,
    /// A limit is outside of its range.
    #[error("limit {0} is out of range")]
    BadLimit(&'static str),
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyProposals => Fault::Limit,
            Self::BadLimit(_) => Fault::Local,
            _ => Fault::Peer,
        }
    }

    /// The cause in one word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LineTooLong => "line-too-long",
            Self::BadLength => "bad-length",
            Self::NoNewline => "no-newline",
            Self::NotMultistream => "not-multistream",
            Self::SecondHeader => "second-header",
            Self::UnexpectedReply => "unexpected-reply",
            Self::TooManyProposals => "too-many-proposals",
            Self::UnexpectedEnd => "unexpected-end",
            Self::BadLimit(_) => "bad-limit",
        }
    }
}
