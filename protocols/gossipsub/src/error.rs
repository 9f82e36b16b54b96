//! Errors of configuration and commands, and why a message was not taken.

use libp2p_proto_core::Fault;

/// What can be wrong with a configuration or a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// The subscription filter does not allow the topic.
    #[error("topic not allowed")]
    TopicNotAllowed,
    /// More topics than the limit.
    #[error("too many topics")]
    TooManyTopics,
    /// Too many commands wait for the next drive.
    #[error("too many commands wait")]
    TooManyCommands,
    /// The message is larger than a frame may be.
    #[error("message too large")]
    TooLarge,
    /// The topic can only be published to.
    #[error("topic is for publishing only")]
    FanoutOnly,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyTopics | Self::TooManyCommands => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// Why a message was published to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A message with the same id was seen lately.
    #[error("duplicate")]
    Duplicate,
    /// The message is larger than a frame, or a message of its topic, may be.
    #[error("message too large")]
    TooLarge,
    /// The identity could not sign it.
    #[error("could not sign")]
    Unsigned,
    /// The id function gave no id.
    #[error("no message id")]
    NoId,
    /// The queue of each of these peers is full.
    #[error("the queues of all {0} peers are full")]
    AllQueuesFull(usize),
}

/// Why a message from a peer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// The policy demands a signature.
    #[error("signature missing")]
    MissingSignature,
    /// The signature is not the author's.
    #[error("signature invalid")]
    InvalidSignature,
    /// The key is not the author's, or no key at all.
    #[error("key is not the author's")]
    WrongKey,
    /// The policy forbids author, sequence number, signature and key.
    #[error("author or signature not allowed")]
    UnexpectedAuthor,
    /// The sequence number has not eight bytes.
    #[error("bad sequence number")]
    BadSeqno,
    /// The author is no peer id.
    #[error("bad author")]
    BadAuthor,
    /// We are its author.
    #[error("own message")]
    SelfOrigin,
    /// The id function gave no id.
    #[error("no message id")]
    NoId,
    /// Larger than messages of its topic may be.
    #[error("message too large")]
    TooLarge,
    /// The application rejected it.
    #[error("rejected")]
    Invalid,
}
