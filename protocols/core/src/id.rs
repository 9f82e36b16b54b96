//! Names of connections, streams and dials. None is ever reused within one node.

use core::fmt;

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// We opened the connection: Noise initiator, odd yamux ids, proposer of protocols.
    Dialer,
    /// We accepted the connection.
    Listener,
}

impl Side {
    /// Whether this is the dialer's side.
    pub const fn is_dialer(self) -> bool {
        matches!(self, Self::Dialer)
    }

    /// The other end's side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// One connection of one node, also while it is only an address being dialed. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The connection with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// One stream of one connection. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The connection that carries the stream.
    pub conn: ConnectionId,
    seq: u64,
}

impl StreamId {
    /// The `count`-th stream that we opened on `conn`, counted from 0.
    pub const fn ours(conn: ConnectionId, count: u64) -> Self {
        Self {
            conn,
            seq: count.saturating_mul(2),
        }
    }

    /// The `count`-th stream that the remote opened on `conn`, counted from 0.
    pub const fn theirs(conn: ConnectionId, count: u64) -> Self {
        Self {
            conn,
            seq: count.saturating_mul(2).saturating_add(1),
        }
    }

    /// Whether the remote opened the stream.
    pub const fn is_inbound(self) -> bool {
        self.seq % 2 == 1
    }

    /// The sequence number on its connection: even for ours, odd for theirs.
    pub const fn seq(self) -> u64 {
        self.seq
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.conn, self.seq)
    }
}

/// One call to dial, whatever number of addresses it tries. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(u64);

impl DialId {
    /// The dial with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}
