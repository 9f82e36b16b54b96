//! What can go wrong when a swarm is built or its state is restored.

/// What can be wrong with a configuration, a lent list of protocols or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit is out of its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Two protocols have the same name, or one accepts it under two specs.
    #[error("a name is accepted twice")]
    DuplicateName,
    /// More than 255 protocols, or more than 255 specs of one, or 65 535 of all.
    #[error("too many protocols")]
    TooManyProtocols,
    /// A spec allows frames that are larger than a connection may hold.
    #[error("a spec's frames exceed the unread budget of a connection")]
    FrameOverBudget,
    /// The bytes are no snapshot of an address book.
    #[error("not a snapshot of an address book")]
    BadSnapshot,
}
