//! A link between two ends: what is on its way, in order, in both directions.

use crate::{
    direct::{Direct, Wire},
    nat::{Sock, Trail},
};
use libp2p_proto_connection::Connection;
use libp2p_proto_core::{ConnectionId, Instant};
use std::{collections::VecDeque, time::Duration};

/// A pipe. Never reused.
pub(crate) type PipeId = u32;

/// What is on its way.
#[derive(Debug)]
pub(crate) enum Load {
    /// The link stands: the first thing that a dialer hears.
    Accepted,
    /// Bytes of the full path, or of an actor.
    Bytes(Vec<u8>),
    /// A message between two swarm-level connections.
    Wire(Wire),
    /// The sender sends no more.
    End,
    /// The link is broken, for a cause of one word.
    Reset(&'static str),
}

impl Load {
    /// Bytes that it takes on the link.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Wire(wire) => wire.size(),
            _ => 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) at: Instant,
    pub(crate) load: Load,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) queue: VecDeque<Parcel>,
    /// When the last parcel arrives: nothing overtakes it.
    pub(crate) last_at: Instant,
    /// When the link is free to take the next one.
    pub(crate) free_at: Instant,
    pub(crate) latency: Duration,
    pub(crate) in_flight: usize,
    pub(crate) sent: u64,
    /// The link breaks behind so many bytes.
    pub(crate) break_at: Option<u64>,
    /// Whether an arrival is in the heap.
    pub(crate) scheduled: bool,
    /// Whether the receiver does not read.
    pub(crate) unread: bool,
    /// Whether the sender waits for room.
    pub(crate) choked: bool,
    /// Whether it is about to hear that there is room.
    pub(crate) room_due: bool,
    /// Everything is lost from now on.
    pub(crate) dead: bool,
    /// Something waits until a fault is over.
    pub(crate) held: bool,
    /// When something was last sent, for the patience of NATs.
    pub(crate) used: Instant,
}

/// What sits at an end.
#[derive(Debug)]
pub(crate) enum Body {
    /// The dialer has not heard that the link stands.
    Dialing,
    /// A real connection machine.
    Full(Box<Full>),
    /// A swarm-level stand-in.
    Direct(Box<Direct>),
    /// A program that reads and writes bytes as it likes.
    Actor,
    /// It is closed.
    Gone,
    /// Its host crashed.
    Lost,
}

impl Body {
    /// Bytes that came and were not taken.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Full(full) => full.machine.stats().unread.saturating_add(full.tail.len()),
            Self::Direct(direct) => direct.unread(),
            _ => 0,
        }
    }
}

/// A connection machine with what it has not taken.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) machine: Connection,
    pub(crate) tail: Vec<u8>,
    /// Whether it has said its last bytes.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) place: u32,
    pub(crate) conn: ConnectionId,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    /// The dialer and the listener.
    pub(crate) ends: [End; 2],
    /// What the dialer sends, and what the listener sends.
    pub(crate) ways: [Way; 2],
    /// Dialer and listener, as each sees the other.
    pub(crate) socks: [Sock; 2],
    /// How often the pipe fell silent, if it is swarm-level.
    pub(crate) silences: u32,
    /// Since when a direction of a swarm-level pipe is silent.
    pub(crate) silent: bool,
    /// How long NATs on the way remember an idle link.
    pub(crate) patience: Option<Duration>,
    /// The ports that dialer and listener use themselves.
    pub(crate) locals: [u16; 2],
    /// The NATs on the way.
    pub(crate) trail: Trail,
    /// Whether messages cross it, not bytes: both ends are hosts at swarm level.
    pub(crate) direct: bool,
}

impl Pipe {
    pub(crate) fn way(&mut self, from: u8) -> Option<&mut Way> {
        self.ways.get_mut(usize::from(from))
    }

    pub(crate) fn end(&mut self, end: u8) -> Option<&mut End> {
        self.ends.get_mut(usize::from(end))
    }

    /// The port that an end uses itself.
    pub(crate) fn local(&self, end: u8) -> u16 {
        self.locals.get(usize::from(end)).copied().unwrap_or_default()
    }

    /// The other end as it looks from this one.
    pub(crate) fn far(&self, end: u8) -> Sock {
        let [dialer, listener] = self.socks;
        if end == 0 { listener } else { dialer }
    }

    /// Whether both ends are closed.
    pub(crate) fn is_over(&self) -> bool {
        let over = |end: &End| matches!(end.body, Body::Gone | Body::Lost);
        self.ends.iter().all(over)
    }
}

/// The other end.
pub(crate) const fn other(end: u8) -> u8 {
    1_u8.saturating_sub(end)
}
