//! Why a connection ended.

use core::fmt;
use libp2p_proto_core::Fault;
use libp2p_proto_stream_protocol::LinkError;
use libp2p_proto_yamux as yamux;
use {
    libp2p_proto_multistream_select as multistream, libp2p_proto_noise as noise,
    libp2p_proto_websocket as websocket,
};

/// Why a connection ended. Every error is final.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The negotiation of security or multiplexer failed.
    #[error("negotiation: {0}")]
    Multistream(#[from] multistream::Error),
    /// No security protocol or multiplexer in common.
    #[error("no common protocol")]
    NoCommonProtocol,
    /// The secure channel failed.
    #[error("noise: {0}")]
    Noise(#[from] noise::Error),
    /// The multiplexer failed.
    #[error("yamux: {0}")]
    Yamux(#[from] yamux::Error),
    /// The upgrade took too long: this step had not ended.
    #[error("timed out in the {0}")]
    UpgradeTimeout(Step),
    /// The link ended before the upgrade was done, inside a frame, or with open streams.
    #[error("unexpected end of the link")]
    UnexpectedEof,
    /// The remote went away with this code.
    #[error("remote went away with code {0}")]
    GoAway(u32),
    /// The WebSocket failed.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] websocket::Error),
    /// The remote closed the WebSocket with this code, which is no clean one.
    #[error("WebSocket closed with code {0}")]
    WebSocketClosed(u16),
    /// The transport failed.
    #[error("link: {0}")]
    Link(&'static str),
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Multistream(error) => error.fault(),
            Self::Noise(error) => error.fault(),
            Self::Yamux(error) => error.fault(),
            Self::WebSocket(error) => error.fault(),
            Self::UpgradeTimeout(Step::Admission) => Fault::Local,
            _ => Fault::Peer,
        }
    }

    /// The cause in one word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Multistream(error) => error.code(),
            Self::NoCommonProtocol => "no-common-protocol",
            Self::Noise(error) => error.code(),
            Self::Yamux(error) => error.code(),
            Self::UpgradeTimeout(step) => step.timeout(),
            Self::UnexpectedEof => "eof",
            Self::GoAway(_) => "go-away",
            Self::WebSocket(error) => error.code(),
            Self::WebSocketClosed(_) => "ws-closed",
            Self::Link(code) => code,
        }
    }

    pub(crate) const fn link_error(&self) -> LinkError {
        LinkError {
            fault: self.fault(),
            code: self.code(),
        }
    }
}

/// A step of the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Agreeing on the security protocol.
    Security,
    /// The handshake of the secure channel.
    Handshake,
    /// The peer is known, and waits for the swarm to admit it.
    Admission,
    /// Agreeing on the multiplexer.
    Muxer,
}

impl Step {
    const fn timeout(self) -> &'static str {
        match self {
            Self::Security => "security-timeout",
            Self::Handshake => "handshake-timeout",
            Self::Admission => "admission-timeout",
            Self::Muxer => "muxer-timeout",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "negotiation of the security protocol",
            Self::Handshake => "handshake of the secure channel",
            Self::Admission => "wait for the swarm",
            Self::Muxer => "negotiation of the multiplexer",
        })
    }
}
