//! Errors of floor 0, and whom an error accuses.

/// Whom an error accuses. Every error type of the family answers `fault()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The remote broke a rule of the protocol.
    Peer,
    /// The local side misused an interface or was configured wrongly.
    Local,
    /// A limit of ours was reached; nobody broke a rule.
    Limit,
}

/// What can be wrong with the small formats of floor 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A varint has more than nine bytes, or does not fit the integer that is asked for.
    #[error("varint too long")]
    VarintTooLong,
    /// A varint is not written in its shortest form.
    #[error("varint not minimal")]
    VarintNotMinimal,
    /// A length prefix exceeds the limit of its use.
    #[error("frame of {len} bytes exceeds the limit of {max}")]
    FrameTooLarge {
        /// Announced bytes.
        len: u64,
        /// Allowed bytes.
        max: usize,
    },
    /// The bytes end inside a value.
    #[error("unexpected end of input")]
    UnexpectedEnd,
    /// A protocol name breaks the rules of multistream-select.
    #[error("not a protocol name")]
    BadProtocolName,
    /// Bytes or text that are no peer id.
    #[error("not a peer id")]
    BadPeerId,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::FrameTooLarge { .. } => Fault::Limit,
            Self::BadProtocolName => Fault::Local,
            _ => Fault::Peer,
        }
    }
}
