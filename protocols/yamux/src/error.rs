//! What can go wrong.

use libp2p_proto_core::Fault;

/// What can go wrong.
///
/// The errors of commands (from [`BadConfig`](Self::BadConfig) on) change nothing. All others end the session: at most one go-away frame leaves, then
/// nothing, and every later call answers the same error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A version other than 0.
    #[error("version {0}")]
    BadVersion(u8),
    /// A frame type over 3.
    #[error("frame type {0}")]
    BadType(u8),
    /// A frame on the session that belongs to a stream, or the other way round, or a stream id of the wrong parity.
    #[error("stream id {0} is wrong here")]
    BadStreamId(u32),
    /// A ping with both flags.
    #[error("bad ping flags")]
    BadPing,
    /// A second SYN for an open stream.
    #[error("stream {0} opened twice")]
    DuplicateStream(u32),
    /// Data beyond the granted window.
    #[error("{got} bytes exceed the window of {window}")]
    WindowExceeded {
        /// Announced bytes.
        got: u32,
        /// Bytes that were granted.
        window: u32,
    },
    /// An increment that takes our window over 2³²−1.
    #[error("window overflow")]
    WindowOverflow,
    /// Too many pings.
    #[error("too many pings")]
    PingFlood,
    /// Too many pongs that nobody asked for.
    #[error("too many unsolicited pongs")]
    PongFlood,
    /// Streams opened and reset too fast.
    #[error("streams are reset too fast")]
    ResetFlood,
    /// Too many frames that carry nothing.
    #[error("too many frames without progress")]
    NoProgress,
    /// Too many frames for streams that don't exist.
    #[error("too many frames for unknown streams")]
    UnknownFlood,
    /// No answer to a ping.
    #[error("no answer to a ping")]
    KeepAlive,
    /// Control frames could not be sent for too long.
    #[error("the peer does not read")]
    PeerNotReading,
    /// The byte stream ended inside a frame.
    #[error("ended inside a frame")]
    UnexpectedEnd,
    /// The byte stream ended between two frames while streams were open; they are lost, not finished.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The remote went away with this code, which is not 0.
    #[error("the remote went away with code {0}")]
    RemoteGoAway(u32),
    /// [`Yamux::abort`](crate::Yamux::abort) was called.
    #[error("aborted")]
    Aborted,

    /// A configuration out of its range.
    #[error("{0} is out of range")]
    BadConfig(&'static str),
    /// No such stream.
    #[error("unknown stream")]
    UnknownStream,
    /// The stream is finished on our side.
    #[error("stream finished")]
    Finished,
    /// Our limit of open streams is reached.
    #[error("too many streams")]
    TooManyStreams,
    /// Too many of our streams are not acknowledged; try again after one is.
    #[error("too many unacknowledged streams")]
    AckBacklog,
    /// No stream id is left.
    #[error("stream ids used up")]
    IdsExhausted,
    /// The remote goes away, or we do: no new streams.
    #[error("going away")]
    GoingAway,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadConfig(_) | Self::UnknownStream | Self::Finished | Self::Aborted => Fault::Local,
            Self::TooManyStreams | Self::AckBacklog | Self::IdsExhausted | Self::GoingAway => Fault::Limit,
            _ => Fault::Peer,
        }
    }

    /// The cause in one word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadVersion(_) => "yamux-bad-version",
            Self::BadType(_) => "yamux-bad-type",
            Self::BadStreamId(_) => "yamux-bad-stream-id",
            Self::BadPing => "yamux-bad-ping",
            Self::DuplicateStream(_) => "yamux-duplicate-stream",
            Self::WindowExceeded { .. } => "yamux-window-exceeded",
            Self::WindowOverflow => "yamux-window-overflow",
            Self::PingFlood => "yamux-ping-flood",
            Self::PongFlood => "yamux-pong-flood",
            Self::ResetFlood => "yamux-reset-flood",
            Self::NoProgress => "yamux-no-progress",
            Self::UnknownFlood => "yamux-unknown-flood",
            Self::KeepAlive => "keep-alive-timeout",
            Self::PeerNotReading => "peer-not-reading",
            Self::UnexpectedEnd => "yamux-unexpected-end",
            Self::ConnectionLost => "eof",
            Self::RemoteGoAway(_) => "yamux-go-away",
            Self::Aborted => "yamux-aborted",
            Self::BadConfig(_) => "yamux-bad-config",
            Self::UnknownStream => "yamux-unknown-stream",
            Self::Finished => "yamux-finished",
            Self::TooManyStreams => "yamux-too-many-streams",
            Self::AckBacklog => "yamux-ack-backlog",
            Self::IdsExhausted => "yamux-ids-exhausted",
            Self::GoingAway => "yamux-going-away",
        }
    }
}
