//! Why a run ends early, and with which status.

use std::{fmt::Display, io, path::Path, process::ExitCode};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All went well.
    Ok,
    /// Something asked for is not supported; nothing else failed.
    Unsupported,
    /// The connection or an action failed, or time ran out.
    Failed,
    /// Wrong usage.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Unsupported => 2,
            Exit::Usage => 64,
        })
    }
}

/// Why there is no result. One line each, with the cause and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The command line or the configuration file is wrong.
    #[error("{0}")]
    Usage(String),
    /// The operating system, or what we were given, did not do.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Failed(_) => Exit::Failed,
        }
    }

    /// Something went wrong with a file.
    pub(crate) fn file(path: &Path, error: impl Display) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }
}

impl From<libp2p_proto_driver::Error> for Error {
    fn from(error: libp2p_proto_driver::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<libp2p_proto_driver::Closed> for Error {
    fn from(error: libp2p_proto_driver::Closed) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
