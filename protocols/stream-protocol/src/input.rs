//! What a protocol is told, and what its calls answer. Inputs are values: they can be logged, replayed and made by a fuzzer.

use crate::Fact;
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;
use core::fmt;
use libp2p_proto_core::{
    ConnectionId, DialId, Fault, Instant, Multiaddr, PeerId, ProtocolName, Side, StreamId,
};

/// What the swarm tells a protocol.
///
/// Order is guaranteed: `Connected` before `Opened` before `Frame`\* before `Finished`? before `Closed` before `Disconnected`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A connection to a peer stands.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// The connection.
        conn: ConnectionId,
        /// Whether it is the only connection to that peer.
        first: bool,
        /// How it came about.
        info: ConnectionInfo,
    },
    /// A connection is gone. All its streams were closed before.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// The connection.
        conn: ConnectionId,
        /// Whether it was the last connection to that peer.
        last: bool,
    },
    /// A stream of this protocol has its name agreed. For a stream of ours it answers `open`.
    Opened {
        /// The stream.
        stream: StreamId,
        /// The peer at its other end.
        peer: PeerId,
        /// Which of the protocol's specs it follows.
        spec: u8,
        /// The agreed name; the spec's own, unless the spec matches prefixes.
        name: ProtocolName,
    },
    /// A whole frame (or, under [`Framing::Raw`](crate::Framing::Raw), the next bytes).
    Frame {
        /// The stream.
        stream: StreamId,
        /// The frame, without its length prefix.
        data: Bytes,
    },
    /// A write that was `Blocked` may be tried again.
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// Everything written before a [`notify_flushed`](crate::Context::notify_flushed) has left the connection.
    Flushed {
        /// The stream.
        stream: StreamId,
        /// Frames flushed since the last notice.
        frames: u32,
    },
    /// The remote sends no more; writing still works.
    Finished {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is gone. Terminal, comes once, also for a stream that never opened.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: Closed,
    },
    /// A dial that this protocol or the application began has failed.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// The wanted peer, if one was named.
        peer: Option<PeerId>,
        /// Why.
        error: DialError,
    },
    /// A link to a relayed address is wanted, over a stream of this protocol, whose spec says that it [carries links](crate::StreamSpec::carries_links). To be
    /// answered with [`promote`](crate::Context::promote) or [`link_failed`](crate::Context::link_failed); the swarm's own deadline stands behind it.
    LinkWanted {
        /// The connection-to-be.
        conn: ConnectionId,
        /// Who must be at its other end.
        peer: PeerId,
        /// The relay's address, its id, and `/p2p-circuit`.
        addr: Multiaddr,
    },
    /// Somebody else learned something.
    Fact(Fact),
    /// The deadline of [`poll_timeout`](crate::Protocol::poll_timeout) has come, or a command waits.
    Timeout,
}

impl Input {
    /// The stream that the input concerns, if any.
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Opened { stream, .. }
            | Self::Frame { stream, .. }
            | Self::Writable { stream }
            | Self::Flushed { stream, .. }
            | Self::Finished { stream }
            | Self::Closed { stream, .. } => Some(*stream),
            _ => None,
        }
    }
}

/// Which way a connection came about, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Our end of it.
    pub side: Side,
    /// Our address, if the transport tells.
    pub local: Option<Multiaddr>,
    /// The remote's address, without a final `/p2p`.
    pub remote: Multiaddr,
    /// Whether it is limited in time or bytes (relayed).
    pub limited: bool,
    /// The dial it answers, if we dialed.
    pub dial: Option<DialId>,
}

/// Why a stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// Both sides finished.
    #[error("finished")]
    Finished,
    /// The remote reset it.
    #[error("reset by the peer")]
    Reset,
    /// We reset it.
    #[error("reset")]
    LocalReset,
    /// The remote speaks none of the proposed names.
    #[error("protocol not supported by the peer")]
    Refused,
    /// Negotiation did not end in time.
    #[error("negotiation timed out")]
    TimedOut,
    /// The remote announced or sent a frame over the spec's limit.
    #[error("frame too large")]
    FrameTooLarge,
    /// The remote broke the framing or the negotiation.
    #[error("malformed")]
    Malformed,
    /// The stream ended inside a frame.
    #[error("ended inside a frame")]
    UnexpectedEnd,
    /// A budget of the connection was used up, and this stream held most.
    #[error("unread budget used up")]
    Limit,
    /// The connection is gone.
    #[error("connection lost")]
    ConnectionLost,
}

/// Why `open` was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no connection to the target.
    #[error("not connected")]
    NotConnected,
    /// A limit on streams is reached; try again after one is closed.
    #[error("too many streams")]
    TooManyStreams,
    /// The only connection is limited, and the spec may not run on it.
    #[error("connection is limited")]
    LimitedConnection,
    /// The protocol has no such spec, or no spec was named.
    #[error("unknown spec")]
    UnknownSpec,
}

/// Why a write was refused. Nothing of the frame was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream is not open yet, or its send capacity is used up; [`Input::Writable`] follows.
    #[error("blocked")]
    Blocked,
    /// The stream is closed or finished, or never was.
    #[error("closed")]
    Closed,
    /// The frame breaks the spec's framing (longer than `max`, or not of the fixed length).
    #[error("frame too large")]
    FrameTooLarge,
}

/// Why an order on a stream was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The stream or spec is not one of this protocol's, or gone.
    #[error("unknown stream or spec")]
    Unknown,
}

/// Why a fact was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// The queue of facts is full.
    #[error("too many facts")]
    Full,
}

/// What a stream becomes when it is [promoted](crate::Context::promote).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// The link that [`Input::LinkWanted`] asked for.
    Dialed {
        /// The connection-to-be.
        conn: ConnectionId,
        /// Whether it is limited in time or bytes.
        limited: bool,
    },
    /// A link that somebody made to us.
    Accepted {
        /// Who claims to be there, and must prove it.
        peer: PeerId,
        /// Its address.
        remote: Multiaddr,
        /// Whether it is limited in time or bytes.
        limited: bool,
    },
}

/// Why a stream did not become a link. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PromoteError {
    /// The stream is not one of this protocol's, not open, of another spec than those that carry links, or gone.
    #[error("unknown stream")]
    Unknown,
    /// The link is not wanted any more.
    #[error("cancelled")]
    Cancelled,
    /// The connection of the stream is such a link itself.
    #[error("a link within a link")]
    Nested,
    /// The gate or a limit refuses the connection.
    #[error("denied: {0}")]
    Denied(&'static str),
}

/// What to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The peer that must answer; without it, whoever does.
    pub peer: Option<PeerId>,
    /// Addresses to try, besides those known of `peer`.
    pub addrs: Vec<Multiaddr>,
    /// Dial although a connection stands, and although addresses are backed off. Default false.
    pub force: bool,
    /// The role that we take on the new connection; a hole punch may need the listener's. Default [`Side::Dialer`].
    pub side: Side,
    /// Whether the link is to begin at a port where we listen, so that a NAT on the way maps both alike: a hole punch needs it. An adapter that can't do so uses any port. Default false.
    pub reuse_port: bool,
    /// Try `addrs` and no other address of `peer`, and don't keep the one that works: a probe of these addresses. Default false.
    pub only: bool,
    /// Whether to try all addresses at once, instead of the likely ones first. Default false.
    pub at_once: bool,
}

impl Dial {
    /// Dials `peer` at its known addresses.
    pub const fn peer(peer: PeerId) -> Self {
        Self {
            peer: Some(peer),
            addrs: Vec::new(),
            force: false,
            side: Side::Dialer,
            reuse_port: false,
            only: false,
            at_once: false,
        }
    }

    /// Dials whoever answers at `addr`; a final `/p2p/<id>` names the peer that must.
    pub fn addr(addr: Multiaddr) -> Self {
        Self {
            peer: None,
            addrs: alloc::vec![addr],
            force: false,
            side: Side::Dialer,
            reuse_port: false,
            only: false,
            at_once: false,
        }
    }
}

/// A peer that may connect to us as the other half of a hole punch. Whichever socket connects, the roles of the two ends are agreed beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who may come.
    pub peer: PeerId,
    /// From where, as far as is known. A NAT may map another port, so one link from another port of each of these IP addresses counts too.
    pub addrs: Vec<Multiaddr>,
    /// Until when. One that has passed takes the expectation back.
    pub until: Instant,
    /// The role that we take on the connection; an accepted link has [`Side::Listener`] otherwise.
    pub side: Side,
}

/// What became of a dial command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialOutcome {
    /// A usable connection stands already.
    Connected(ConnectionId),
    /// The dial is under way, or has joined one that was; its end is reported under this id.
    Pending(DialId),
}

/// Why a dial command was refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DialRefused {
    /// The wanted peer is ourselves.
    #[error("dial to self")]
    SelfDial,
    /// Nobody can prove to be the wanted peer: its id holds something else than a key.
    #[error("no peer can have this id")]
    BadPeerId,
    /// No address to try: none given or known, or all filtered out.
    #[error("no dialable address")]
    NoAddress,
    /// Addresses name different peers, or another one than the wanted.
    #[error("addresses name another peer")]
    PeerMismatch,
    /// The gate refuses this peer.
    #[error("denied: {0}")]
    Denied(&'static str),
    /// Too many dials are under way.
    #[error("too many dials")]
    TooManyDials,
    /// Every address failed lately and waits for its back-off to end.
    #[error("backed off")]
    BackedOff,
}

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Names resolved to nothing that can be dialed.
    #[error("no dialable address")]
    NoAddress,
    /// Every address failed: each with its cause, in the order in which they failed.
    #[error("{}", Causes(.0))]
    AllFailed(Arc<[(Multiaddr, AttemptError)]>),
    /// The dial's own deadline passed.
    #[error("timed out")]
    TimedOut,
    /// Cancelled by the application.
    #[error("cancelled")]
    Cancelled,
}

/// Each address with its cause, on one line.
struct Causes<'a>(&'a [(Multiaddr, AttemptError)]);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (addr, error)) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(f, "{between}{addr}: {error}")?;
        }
        Ok(())
    }
}

/// Why one address failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The transport failed: a word for the cause, such as `refused`, `unreachable`, `reset`.
    #[error("transport: {0}")]
    Transport(&'static str),
    /// Connecting or upgrading took too long.
    #[error("timed out")]
    TimedOut,
    /// Another peer answered.
    #[error("wrong peer: expected {expected}, got {got}")]
    WrongPeer {
        /// The wanted peer.
        expected: PeerId,
        /// Who answered.
        got: PeerId,
    },
    /// We answered ourselves.
    #[error("dial to self")]
    SelfDial,
    /// The upgrade failed.
    #[error("upgrade: {}", .0.code)]
    Upgrade(LinkError),
    /// The gate or a limit refused the connection.
    #[error("denied: {0}")]
    Denied(&'static str),
    /// The name could not be resolved: a word for the cause.
    #[error("resolve: {0}")]
    Resolve(&'static str),
    /// Another address won.
    #[error("cancelled")]
    Cancelled,
}

/// What the swarm needs to know of any transport's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkError {
    /// Whom it accuses.
    pub fault: Fault,
    /// The cause in one or a few words, fixed at compile time.
    pub code: &'static str,
}
