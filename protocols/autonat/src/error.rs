//! What can go wrong with a configuration, a command, and a question.

use libp2p_proto_core::Fault;
use libp2p_proto_stream_protocol::Closed;

/// Why a configuration or a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the configuration is out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// This node asks nobody with this version.
    #[error("this version is not asked with")]
    NotAsking,
    /// No address that a server could be asked about.
    #[error("no address to ask about")]
    NoAddress,
    /// Too many questions are under way, or their ends were not read.
    #[error("too many questions")]
    TooManyQuestions,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyQuestions => Fault::Limit,
            _ => Fault::Local,
        }
    }
}

/// Why a question has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server is not connected directly, or nobody is who could be asked.
    #[error("no server to ask")]
    NoServer,
    /// Our own limits have no room for a dial back.
    #[error("no room for a dial back")]
    NoRoom,
    /// The server dials none of these addresses.
    #[error("the server refuses these addresses")]
    Refused,
    /// The server has too much to do.
    #[error("the server is busy")]
    Rejected,
    /// The server failed, or took the question for none.
    #[error("the server failed")]
    ServerFailed,
    /// The stream ended without an answer, or nothing came in time.
    #[error("no answer: {0}")]
    NoAnswer(Closed),
    /// The answer is none, or none to this question.
    #[error("not an answer to the question")]
    BadAnswer,
    /// The server says that it has reached us, and brought no proof.
    #[error("no proof of the dial")]
    Unproven,
    /// The server wants more dial data than we pay for this address.
    #[error("the server asks too much")]
    TooCostly,
}

impl Failure {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoServer | Self::NoRoom | Self::TooCostly => Fault::Local,
            Self::Rejected => Fault::Limit,
            _ => Fault::Peer,
        }
    }

    /// Whether the server has said that it won't.
    pub(crate) const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Rejected)
    }
}
