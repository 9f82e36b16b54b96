//! One stream: where it stands, what it holds, what it owes.

use crate::{
    Muxer,
    backlog::Backlog,
    framer::{self, Framer},
};
use alloc::{boxed::Box, collections::VecDeque};
use bytes::Bytes;
use libp2p_proto_core::StreamId;
use libp2p_proto_multistream_select::Negotiation;
use libp2p_proto_stream_protocol::{Framing, SpecId};
use smallvec::SmallVec;

/// Writes up to this size share one entry of the books, so that many small ones cost little memory.
const SHARED_ENTRY: usize = 1024;

/// A stream that the multiplexer knows.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) stream: StreamId,
    pub(crate) phase: Phase,
    pub(crate) sent: Sent,
    /// Receive credit that was not returned to the multiplexer.
    pub(crate) withheld: usize,
    /// Bytes that the swarm holds, or that wait for it.
    pub(crate) unread: usize,
    pub(crate) growth: Growth,
    /// Whether it stands in the queue of streams with something to report.
    pub(crate) reports: bool,
    /// We have finished, or do so once the name is agreed.
    pub(crate) finishing: bool,
    pub(crate) inbound_end: InboundEnd,
    /// The multiplexer has forgotten it.
    pub(crate) mux_closed: bool,
}

/// Whether a frame that might not fit the window may grow past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// No frame is that large.
    Small,
    /// It waits for room in the budget, with the credit of what has come withheld.
    Waiting,
    /// It may, by so many bytes at most.
    Growing(usize),
}

/// How far the end of the remote's direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InboundEnd {
    Open,
    /// The remote has finished; that waits behind bytes which are not parsed.
    Waiting,
    /// The swarm was told.
    Told,
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
    /// It was handed over before its name is agreed.
    pub(crate) handed_over: bool,
    /// Frames written before the name is agreed, on a stream that is not lazy.
    pub(crate) pending: VecDeque<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) spec: SpecId,
    pub(crate) framer: Framer,
    /// How outbound frames are framed.
    pub(crate) outbound: Framing,
    /// A held frame was delivered, or the stream is still to be handed over: nothing is parsed.
    pub(crate) held: bool,
    /// Bytes that are not parsed: the stream is held, or the queue to the swarm is full.
    pub(crate) backlog: Backlog,
}

/// What was handed to the multiplexer and has not left.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    entries: VecDeque<Entry>,
    /// Send credit to be reported.
    credit: usize,
    /// Frames that have left since the last notice.
    flushed: u32,
    /// A notice is owed when everything has left.
    flush_wanted: bool,
}

/// Some writes in a row.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Bytes on the wire that have not left.
    wire: usize,
    /// Credit that returns when all of them have.
    credit: usize,
    /// Frames that end here.
    frames: u32,
}

impl Sent {
    /// Bytes of a negotiation.
    pub(crate) fn push_negotiation(&mut self, wire: usize) {
        self.push(Entry {
            wire,
            credit: 0,
            frames: 0,
        });
    }

    /// One frame of the swarm, of `wire` bytes with its prefix.
    pub(crate) fn push_frame(&mut self, wire: usize, credit: usize) {
        self.push(Entry {
            wire,
            credit,
            frames: 1,
        });
    }

    fn push(&mut self, new: Entry) {
        match self.entries.back_mut() {
            Some(last) if last.wire.saturating_add(new.wire) <= SHARED_ENTRY => {
                last.wire = last.wire.saturating_add(new.wire);
                last.credit = last.credit.saturating_add(new.credit);
                last.frames = last.frames.saturating_add(new.frames);
            }
            _ => self.entries.push_back(new),
        }
        // What takes no room on the wire has left when all before it has.
        if new.wire == 0 {
            self.drained(0);
        }
    }

    /// So many bytes have left.
    pub(crate) fn drained(&mut self, bytes: usize) {
        let mut left = bytes;
        while let Some(entry) = self.entries.front_mut() {
            let part = left.min(entry.wire);
            entry.wire = entry.wire.saturating_sub(part);
            left = left.saturating_sub(part);
            if entry.wire > 0 {
                break;
            }
            self.credit = self.credit.saturating_add(entry.credit);
            self.flushed = self.flushed.saturating_add(entry.frames);
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.entries.capacity() > 4 {
            self.entries = VecDeque::new();
        }
    }

    pub(crate) const fn want_flush(&mut self) {
        self.flush_wanted = true;
    }

    /// The notice that everything has left, once it is due.
    pub(crate) fn take_flushed(&mut self) -> Option<u32> {
        (self.flush_wanted && self.entries.is_empty()).then(|| {
            self.flush_wanted = false;
            core::mem::take(&mut self.flushed)
        })
    }

    pub(crate) const fn take_credit(&mut self) -> usize {
        core::mem::replace(&mut self.credit, 0)
    }
}

impl Slot {
    pub(crate) fn new(stream: StreamId, negotiating: Negotiating) -> Self {
        Self {
            stream,
            phase: Phase::Negotiating(Box::new(negotiating)),
            sent: Sent::default(),
            withheld: 0,
            unread: 0,
            growth: Growth::Small,
            reports: false,
            finishing: false,
            inbound_end: InboundEnd::Open,
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

    /// Hands one frame to the multiplexer, with its prefix.
    pub(crate) fn send_frame<M: Muxer>(&mut self, mux: &mut M, id: M::Id, framing: Framing, data: Bytes) {
        let frame = data.len();
        let prefix = framer::prefix(framing, frame);
        let wire = prefix.as_ref().map_or(0, Bytes::len).saturating_add(frame);
        self.sent.push_frame(wire, frame);
        if let Some(prefix) = prefix {
            mux.write(id, prefix);
        }
        mux.write(id, data);
    }
}
