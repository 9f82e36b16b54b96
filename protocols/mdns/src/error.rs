//! What can go wrong with a configuration, and with what others send.

use libp2p_proto_core::Fault;

/// Why a configuration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// A name that DNS can't write: an empty label, one of more than 63 bytes, or more than 255 bytes in all.
    #[error("not a DNS name")]
    BadName,
    /// There are `max_interfaces` already.
    #[error("too many interfaces")]
    TooManyInterfaces,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyInterfaces => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// What is wrong with a packet. It is dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It ends inside of what it promised.
    #[error("the packet ends too early")]
    Truncated,
    /// Bytes behind the last record.
    #[error("bytes behind the last record")]
    TrailingBytes,
    /// A label of a kind that DNS does not have.
    #[error("a label that begins with {0:#04x}")]
    BadLabel(u8),
    /// A compression pointer that does not point back.
    #[error("a pointer that does not point back")]
    ForwardPointer,
    /// A name through more than [`MAX_JUMPS`](crate::MAX_JUMPS) pointers.
    #[error("too many pointers in one name")]
    TooManyJumps,
    /// A name of more than 255 bytes.
    #[error("a name of more than 255 bytes")]
    LongName,
    /// Data of a record that does not fit its kind.
    #[error("bad data in a record of kind {0}")]
    BadData(u16),
    /// More than [`MAX_DATAGRAM`](crate::MAX_DATAGRAM) bytes.
    #[error("too large")]
    TooLarge,
    /// More than [`MAX_QUESTIONS`](crate::MAX_QUESTIONS) questions.
    #[error("too many questions")]
    TooManyQuestions,
    /// More than [`MAX_RECORDS`](crate::MAX_RECORDS) records.
    #[error("too many records")]
    TooManyRecords,
    /// More than [`MAX_STRINGS`](crate::MAX_STRINGS) strings in one record.
    #[error("too many strings")]
    TooManyStrings,
}

impl Malformed {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooLarge | Self::TooManyQuestions | Self::TooManyRecords | Self::TooManyStrings => {
                Fault::Limit
            }
            _ => Fault::Peer,
        }
    }
}

/// Why a datagram changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// The machine was not started, or was stopped.
    #[error("discovery is off")]
    Off,
    /// The interface is not one that was told.
    #[error("unknown interface")]
    UnknownInterface,
    /// Its source is not on this link, or it went to somebody else.
    #[error("not of this link")]
    OffLink,
    /// It is no DNS message.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// Its operation or response code is not zero.
    #[error("neither a query nor an answer")]
    OtherOperation,
    /// An answer, while [`max_events`](crate::Config::max_events) wait to be read.
    #[error("too many events wait")]
    Busy,
}

impl Dropped {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Off | Self::UnknownInterface => Fault::Local,
            Self::OffLink | Self::OtherOperation => Fault::Peer,
            Self::Malformed(error) => error.fault(),
            Self::Busy => Fault::Limit,
        }
    }
}
