//! Why a scenario can't be run.

use libp2p_proto_connection as connection;
use libp2p_proto_identity as identity;
use libp2p_proto_swarm as swarm;

/// Why a scenario can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field is out of its range.
    #[error("{0} is out of its range")]
    OutOfRange(&'static str),
    /// A key could not be made.
    #[error("{0}")]
    Identity(#[from] identity::Error),
    /// A limit of the swarm is out of its range.
    #[error("{0}")]
    Swarm(#[from] swarm::Error),
    /// The keys of the secure channel could not be made.
    #[error("{0}")]
    Connection(#[from] connection::Error),
    /// The application could not be built.
    #[error("{0}")]
    App(String),
    /// A scenario file is wrong: the line, and what is wrong there.
    #[error("line {line}: {what}")]
    File {
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the range that is right.
        what: String,
    },
}
