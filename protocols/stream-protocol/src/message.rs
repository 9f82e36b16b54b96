//! The owned messages between a swarm and its connections. `Send`, so that a connection may live on another core.

use crate::{Closed, Framing, LinkError, StreamSpec};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::{fmt, time::Duration};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, ProtocolName, Side, StreamId, WebSocketTarget};
use smallvec::SmallVec;

/// The place of a spec in the node's [`SpecTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecId(pub u16);

/// One spec and whose it is.
#[derive(Clone, Debug)]
pub struct SpecEntry {
    /// The place of its protocol in the lent list.
    pub protocol: u8,
    /// Its place in that protocol's list.
    pub index: u8,
    /// The spec.
    pub spec: StreamSpec,
}

/// All specs of a node, shared by its connections.
#[derive(Clone, Debug, Default)]
pub struct SpecTable {
    entries: Vec<SpecEntry>,
}

impl SpecTable {
    /// A table of these entries; their order gives the ids.
    pub fn new(entries: Vec<SpecEntry>) -> Self {
        Self { entries }
    }

    /// The entry of an id.
    pub fn get(&self, id: SpecId) -> Option<&SpecEntry> {
        self.entries.get(usize::from(id.0))
    }

    /// The id of spec `index` of protocol `protocol`.
    pub fn id_of(&self, protocol: u8, index: u8) -> Option<SpecId> {
        let place = self
            .entries
            .iter()
            .position(|entry| entry.protocol == protocol && entry.index == index)?;
        u16::try_from(place).ok().map(SpecId)
    }

    /// All entries with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SpecId, &SpecEntry)> {
        (0..=u16::MAX).map(SpecId).zip(&self.entries)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a connection may hold, whatever its multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Streams that the remote may have open. Default 250.
    pub inbound: usize,
    /// Streams that we may have open. Default 250 (rust closes a connection at 512 in all, nim at 256).
    pub outbound: usize,
    /// Inbound streams whose name is not agreed. Default 128, as in rust-libp2p.
    pub negotiating: usize,
    /// Bytes received and not yet taken by the swarm, over all streams. Default 640 KiB, so that with the spare memory of incomplete frames, one read and
    /// 250 streams the worst peer makes a connection hold 1 MiB.
    ///
    /// A frame is put together within this budget too, however many come side by side: of frames on `n` streams with windows of 256 KiB, each is
    /// completed if the largest and 256 KiB for each of the others fit. With the default, that is two frames of 384 KiB.
    pub unread: usize,
    /// How long the link pauses at `unread` before the stream that holds most is reset. Default 10 s.
    pub unread_pause: Duration,
    /// Messages that may wait for the swarm before no more input is taken. Default 256.
    pub news: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            inbound: 250,
            outbound: 250,
            negotiating: 128,
            unread: 640 * 1024,
            unread_pause: Duration::from_secs(10),
            news: 256,
        }
    }
}

/// A place that the swarm reserved for a link: its id, its role, its limits. A connection sits down in it.
#[derive(Clone)]
pub struct Seat {
    /// The connection's id.
    pub conn: ConnectionId,
    /// The role that we take in the upgrade.
    pub side: Side,
    /// The peer that must answer, if known.
    pub expect: Option<PeerId>,
    /// The connection's own dice.
    pub seed: [u8; 32],
    /// When the upgrade must be done, progress or not.
    pub upgrade_by: Instant,
    /// Whether the link is limited (relayed); specs that don't allow it are not served.
    pub limited: bool,
    /// The link is a WebSocket: what to ask for, if we dialed. `None`: the connection has the link to itself.
    pub websocket: Option<WebSocketTarget>,
    /// What streams look like.
    pub specs: Arc<SpecTable>,
    /// Specs whose inbound limit differs from the table by now.
    pub inbound: SmallVec<[(SpecId, u16); 2]>,
    /// What the connection may hold.
    pub limits: StreamLimits,
}

impl Seat {
    /// A seat without streams or limits of its own, and without a deadline: for a connection on its own.
    pub fn new(conn: ConnectionId, side: Side, seed: [u8; 32]) -> Self {
        Self {
            conn,
            side,
            expect: None,
            seed,
            upgrade_by: Instant::MAX,
            limited: false,
            websocket: None,
            specs: Arc::default(),
            inbound: SmallVec::new(),
            limits: StreamLimits::default(),
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({:?}, {:?})", self.conn, self.side)
    }
}

/// An order on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOrder {
    /// We send no more.
    Finish,
    /// End both directions at once.
    Reset,
    /// Withhold receive credit. The swarm executes it; a connection never sees it.
    Pause,
    /// Return receive credit again. The swarm executes it; a connection never sees it.
    Resume,
    /// Parse the next frame of a held stream.
    Next,
    /// Switch the framing.
    Reframe(Framing),
    /// Report when everything written so far has left.
    NotifyFlushed,
    /// Route the data of this stream to the application.
    HandOver,
}

/// An order from the swarm to a connection. Orders are bounded by stream credit and stream slots, so they are never awaited.
#[derive(Clone, Debug)]
pub enum ToConnection {
    /// The authenticated peer is welcome: go on with the multiplexer.
    Admit,
    /// Open a stream under this id (an id of ours) and propose these specs in order.
    Open {
        /// The new stream.
        stream: StreamId,
        /// What to propose.
        specs: SmallVec<[SpecId; 2]>,
        /// Whether data may leave with the only proposal.
        lazy: bool,
    },
    /// Send one frame.
    Write {
        /// The stream.
        stream: StreamId,
        /// The frame, without length prefix.
        data: Bytes,
    },
    /// The swarm has delivered this many bytes of frames; return the credit to the peer.
    Grant {
        /// The stream.
        stream: StreamId,
        /// Delivered bytes.
        bytes: usize,
    },
    /// An order on one stream.
    Order {
        /// The stream.
        stream: StreamId,
        /// The order.
        order: StreamOrder,
    },
    /// From now on the remote may have `max` inbound streams of this spec.
    SetInbound {
        /// The spec.
        spec: SpecId,
        /// 0: refused.
        max: u16,
    },
    /// From here on the bytes of a raw stream are the link of another connection, which sits down in this seat: the connection of the stream runs it.
    Promote {
        /// The stream.
        stream: StreamId,
        /// The place of the new connection.
        seat: Box<Seat>,
    },
    /// An order for a connection that runs inside of this one, where no stream says so.
    Inner {
        /// The inner connection.
        conn: ConnectionId,
        /// The order.
        order: Box<ToConnection>,
    },
    /// Close in an orderly way: no new streams, go-away, flush for at most one second.
    Close,
    /// Drop the link at once.
    Abort,
}

/// What a connection has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes taken from the link so far; of a WebSocket, those of what it carries.
    pub bytes_in: u64,
    /// Bytes given to the link so far; of a WebSocket, those of what it carries.
    pub bytes_out: u64,
    /// The round trip that the multiplexer measured last. `None`: not yet.
    pub rtt: Option<Duration>,
}

impl ToConnection {
    /// The stream that the order concerns, if any.
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Open { stream, .. }
            | Self::Write { stream, .. }
            | Self::Grant { stream, .. }
            | Self::Order { stream, .. }
            | Self::Promote { stream, .. } => Some(*stream),
            Self::Admit | Self::SetInbound { .. } | Self::Inner { .. } | Self::Close | Self::Abort => None,
        }
    }
}

/// News from a connection to the swarm.
#[derive(Clone, Debug)]
pub enum FromConnection {
    /// The remote proved its identity. The connection waits for [`ToConnection::Admit`] or [`ToConnection::Close`].
    Authenticated {
        /// The peer.
        peer: PeerId,
    },
    /// Another peer answered than the seat expects; [`Disconnected`](Self::Disconnected) follows.
    WrongPeer {
        /// Who claims to have answered. Nobody verified that.
        got: PeerId,
    },
    /// The upgrade is done; streams may be opened.
    Established {
        /// The agreed security protocol.
        security: ProtocolName,
        /// The agreed multiplexer.
        muxer: ProtocolName,
    },
    /// What the connection has carried so far. Told at most once a second, and once before the end, if anything has changed; little that has changed waits
    /// for an occasion to be told.
    Carried(Traffic),
    /// A stream has its name agreed: one of theirs is new, one of ours was ordered.
    Opened {
        /// The stream.
        stream: StreamId,
        /// The agreed spec.
        spec: SpecId,
        /// The agreed name.
        name: ProtocolName,
    },
    /// A frame. Once it is delivered, its length is returned with [`ToConnection::Grant`].
    Frame {
        /// The stream.
        stream: StreamId,
        /// Without length prefix.
        data: Bytes,
    },
    /// This many bytes of written frames have left; the send credit is free again.
    Sent {
        /// The stream.
        stream: StreamId,
        /// Bytes of frames, prefixes not counted.
        bytes: usize,
    },
    /// Everything written before a `NotifyFlushed` has left.
    Flushed {
        /// The stream.
        stream: StreamId,
        /// Frames since the last notice.
        frames: u32,
    },
    /// The remote sends no more.
    Finished {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is gone; its slot may be freed.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: Closed,
    },
    /// News of a connection that runs inside of this one, where no stream says so.
    Inner {
        /// The inner connection.
        conn: ConnectionId,
        /// The news.
        news: Box<FromConnection>,
    },
    /// The connection is gone; always the last message. Every stream was closed before.
    Disconnected {
        /// Why, if it was not an orderly end.
        error: Option<LinkError>,
    },
}

impl FromConnection {
    /// The stream that the message concerns, if any: what a router of handed-over streams looks at.
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Opened { stream, .. }
            | Self::Frame { stream, .. }
            | Self::Sent { stream, .. }
            | Self::Flushed { stream, .. }
            | Self::Finished { stream }
            | Self::Closed { stream, .. } => Some(*stream),
            Self::Authenticated { .. }
            | Self::WrongPeer { .. }
            | Self::Established { .. }
            | Self::Carried(_)
            | Self::Inner { .. }
            | Self::Disconnected { .. } => None,
        }
    }
}
