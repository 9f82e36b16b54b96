//! One stream: where it stands, what it holds, what it owes.

use crate::framer::Framer;
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::StreamId;
use libp2p_proto_multistream_select::{Names, Negotiation};
use libp2p_proto_stream_protocol::{SpecId, SpecTable};
use smallvec::SmallVec;

/// A stream that the multiplexer knows.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) stream: StreamId,
    pub(crate) phase: Phase,
    /// Bytes handed to the multiplexer that have not left, write by write: bytes on the wire, and bytes of the frame that they end, if they end one.
    pub(crate) sent: VecDeque<(usize, Option<usize>)>,
    /// Receive credit that was not returned to the multiplexer.
    pub(crate) withheld: usize,
    /// Bytes that the swarm holds, or that wait for it.
    pub(crate) unread: usize,
    /// Frames that have left since the last notice; counted once a notice was asked for.
    pub(crate) flushed: u32,
    /// A notice is owed when everything has left.
    pub(crate) flush_wanted: bool,
    /// Send credit to be reported.
    pub(crate) credit: usize,
    /// Whether it stands in the queue of streams with news.
    pub(crate) has_news: bool,
    pub(crate) finishing: bool,
    /// The remote has finished; `Finished` may still wait behind what is held.
    pub(crate) peer_finished: bool,
    pub(crate) finished_told: bool,
    /// The multiplexer has forgotten it.
    pub(crate) mux_closed: bool,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Negotiating(Box<Negotiating>),
    Open(Box<Open>),
}

#[derive(Debug)]
pub(crate) struct Negotiating {
    pub(crate) negotiation: Negotiation,
    /// What we propose; empty for a stream of theirs.
    pub(crate) proposals: SmallVec<[SpecId; 2]>,
    pub(crate) lazy: bool,
    /// Frames written before the name is agreed, on a stream that is not lazy.
    pub(crate) pending: VecDeque<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) spec: SpecId,
    pub(crate) framer: Framer,
    /// How outbound frames are framed.
    pub(crate) outbound: libp2p_proto_stream_protocol::Framing,
    /// A held frame was delivered, and nothing behind it is parsed.
    pub(crate) held: bool,
    /// Bytes behind the held frame.
    pub(crate) backlog: Vec<u8>,
}

impl Slot {
    pub(crate) const fn new(stream: StreamId, phase: Phase) -> Self {
        Self {
            stream,
            phase,
            sent: VecDeque::new(),
            withheld: 0,
            unread: 0,
            flushed: 0,
            flush_wanted: false,
            credit: 0,
            has_news: false,
            finishing: false,
            peer_finished: false,
            finished_told: false,
            mux_closed: false,
        }
    }

    pub(crate) const fn is_negotiating(&self) -> bool {
        matches!(self.phase, Phase::Negotiating(_))
    }

    pub(crate) fn spec(&self) -> Option<SpecId> {
        match &self.phase {
            Phase::Open(open) => Some(open.spec),
            Phase::Negotiating(_) => None,
        }
    }
}

/// The names of one negotiation, out of the node's table.
pub(crate) struct TableNames<'a> {
    pub(crate) table: &'a SpecTable,
    pub(crate) proposals: &'a [SpecId],
    /// Specs that the remote may open now.
    pub(crate) accepts: &'a dyn Fn(SpecId) -> bool,
}

impl Names for TableNames<'_> {
    fn name(&self, place: usize) -> Option<&str> {
        let id = if self.proposals.is_empty() {
            SpecId(u16::try_from(place).ok()?)
        } else {
            *self.proposals.get(place)?
        };
        self.table.get(id).map(|entry| entry.spec.name.as_str())
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        let found = self
            .table
            .iter()
            .find(|(id, entry)| entry.spec.matches(proposed) && (self.accepts)(*id));
        found.map(|(id, _)| usize::from(id.0))
    }
}
