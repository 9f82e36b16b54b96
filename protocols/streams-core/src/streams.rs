//! All streams of one connection: the state, what the swarm is told, and how a stream ends. Orders are in `orders`, what arrives is in `receive`.

use crate::{
    Muxer,
    news::News,
    slot::{Phase, Slot},
    table::Table,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::{fmt, mem};
use libp2p_proto_core::{ConnectionId, Deadline, Instant, Side, StreamId, Timers};
use libp2p_proto_multistream_select::{Limits, Negotiation};
use libp2p_proto_stream_protocol::{Closed, FromConnection, SpecId, SpecTable, StreamLimits, ToConnection};
use smallvec::SmallVec;

/// The streams of one connection over a multiplexer that names them `I`.
pub struct Streams<I> {
    pub(crate) conn: ConnectionId,
    /// The latest time that was given.
    pub(crate) now: Instant,
    negotiation: Limits,
    pub(crate) table: Table,
    pub(crate) limits: StreamLimits,
    /// Boxed, since a node of the tree has room for eleven.
    pub(crate) slots: BTreeMap<I, Box<Slot>>,
    pub(crate) by_stream: BTreeMap<StreamId, I>,
    /// Opens that the multiplexer could not serve yet, or that gather what leaves with them.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Streams of theirs so far.
    pub(crate) accepted: u64,
    /// Streams of theirs.
    pub(crate) inbound: usize,
    /// Streams of theirs without a name.
    pub(crate) negotiating: usize,
    /// When a name must be agreed.
    pub(crate) timers: Timers<StreamId>,
    pub(crate) news: News<I>,
    /// Streams with raw bytes of this read.
    pub(crate) raw: Vec<I>,
    /// Streams with bytes that wait for room in `news`.
    pub(crate) stalled: VecDeque<I>,
    /// Bytes that the swarm has not returned, over all streams.
    pub(crate) unread: usize,
    /// Since when `unread` is at its limit.
    pub(crate) full_since: Option<Instant>,
    /// Bytes that the frames which grow past their windows still need.
    pub(crate) promised: usize,
    /// Streams whose frames wait to do so, the first come first.
    pub(crate) growing_next: VecDeque<I>,
}

/// A stream that the multiplexer does not know yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stream: StreamId,
    pub(crate) proposals: SmallVec<[SpecId; 2]>,
    pub(crate) lazy: bool,
    /// It waits for its first frame, or its end, to leave with the proposal.
    pub(crate) gathers: bool,
    /// What was ordered meanwhile; bounded by the stream's send credit.
    pub(crate) orders: Vec<ToConnection>,
}

impl<I: Copy + Ord + fmt::Debug> Streams<I> {
    /// The streams of a fresh connection.
    pub fn new(
        conn: ConnectionId,
        limited: bool,
        specs: Arc<SpecTable>,
        inbound_limits: SmallVec<[(SpecId, u16); 2]>,
        limits: StreamLimits,
    ) -> Self {
        Self {
            conn,
            now: Instant::ZERO,
            negotiation: Limits::DEFAULT,
            table: Table::new(specs, inbound_limits, limited),
            limits,
            slots: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            waiting: VecDeque::new(),
            accepted: 0,
            inbound: 0,
            negotiating: 0,
            timers: Timers::new(),
            news: News::new(),
            raw: Vec::new(),
            stalled: VecDeque::new(),
            unread: 0,
            full_since: None,
            promised: 0,
            growing_next: VecDeque::new(),
        }
    }

    /// Sets other limits of the negotiation of names. Limits out of their range are the default ones.
    #[must_use]
    pub const fn with_negotiation(mut self, limits: Limits) -> Self {
        self.negotiation = limits;
        self
    }

    pub(crate) fn negotiation(&self, side: Side) -> Negotiation {
        Negotiation::with_limits(side, self.negotiation).unwrap_or_else(|_| Negotiation::of(side))
    }

    /// Streams that stand.
    pub fn len(&self) -> usize {
        self.slots.len().saturating_add(self.waiting.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this stream stands.
    pub fn contains(&self, stream: StreamId) -> bool {
        self.by_stream.contains_key(&stream)
    }

    /// Bytes that the swarm has not returned.
    pub const fn unread(&self) -> usize {
        self.unread
    }

    /// Whether more input may come: neither the unread budget nor the queue to the swarm is full.
    pub fn wants_input(&self) -> bool {
        self.unread < self.limits.unread && !self.is_news_full() && self.stalled.is_empty()
    }

    pub(crate) fn is_news_full(&self) -> bool {
        self.news.len() >= self.limits.news || self.news.bytes() >= self.limits.unread
    }

    /// The next message for the swarm.
    pub fn poll_message(&mut self) -> Option<FromConnection> {
        loop {
            if let Some(message) = self.news.pop() {
                return Some(message);
            }
            let id = self.news.pop_report()?;
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            slot.reports = false;
            let stream = slot.stream;
            let bytes = slot.sent.take_credit();
            if let Some(frames) = slot.sent.take_flushed() {
                self.news.push(FromConnection::Flushed { stream, frames });
            }
            if bytes > 0 {
                return Some(FromConnection::Sent { stream, bytes });
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let negotiation = self.timers.next().map(|(at, _)| Deadline::new(at, "negotiation"));
        let full = self
            .full_since
            .map(|since| Deadline::new(since + self.limits.unread_pause, "unread"));
        Deadline::earliest(negotiation, full)
    }

    /// The deadline has come; harmless if early.
    pub fn handle_timeout<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M) {
        let now = self.at(now);
        while let Some(stream) = self.timers.pop_due(now) {
            if !self.stop_gathering(mux, stream) {
                self.close_stream(mux, stream, Closed::TimedOut);
            }
        }
        let pause = self.limits.unread_pause;
        if self.full_since.is_some_and(|since| since + pause <= now) {
            self.full_since = Some(now);
            let most = self.slots.values().max_by_key(|slot| slot.unread);
            if let Some(stream) = most.map(|slot| slot.stream) {
                self.close_stream(mux, stream, Closed::Limit);
            }
        }
        self.let_grow(now, mux);
    }

    /// The connection is gone: every stream is.
    pub fn close_all(&mut self) {
        let reason = Closed::ConnectionLost;
        for slot in mem::take(&mut self.slots).into_values() {
            self.tell_closed(&slot, reason);
        }
        for Waiting { stream, .. } in mem::take(&mut self.waiting) {
            self.news.push(FromConnection::Closed { stream, reason });
        }
        self.by_stream = BTreeMap::new();
        self.timers = Timers::new();
        self.raw = Vec::new();
        self.stalled = VecDeque::new();
        self.growing_next = VecDeque::new();
        (self.inbound, self.negotiating, self.unread, self.promised) = (0, 0, 0, 0);
        self.full_since = None;
    }

    // ── the parts ──

    /// Time never runs back: an older one counts as the last.
    pub(crate) fn at(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(crate) fn slot_mut(&mut self, stream: StreamId) -> Option<(I, &mut Slot)> {
        let id = *self.by_stream.get(&stream)?;
        self.slots.get_mut(&id).map(|slot| (id, &mut **slot))
    }

    pub(crate) fn report(&mut self, id: I) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| !slot.reports) {
            slot.reports = true;
            self.news.push_report(id);
        }
    }

    /// The swarm has these bytes no longer.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_sub(bytes);
        if self.unread < self.limits.unread {
            self.full_since = None;
        }
    }

    /// Ends a stream from our side, wherever it stands. Of what it received, nothing more is told.
    pub(crate) fn close_stream<M: Muxer<Id = I>>(&mut self, mux: &mut M, stream: StreamId, reason: Closed) {
        if let Some(id) = self.by_stream.get(&stream).copied() {
            self.news.forget(stream);
            let unnamed = self.slots.get(&id).is_some_and(|slot| slot.is_negotiating());
            if stream.is_inbound() && unnamed {
                mux.refuse(id);
            } else {
                mux.reset(id);
            }
            self.remove(id, reason);
        } else if let Some(place) = self.waiting.iter().position(|waiting| waiting.stream == stream) {
            self.waiting.remove(place);
            self.timers.clear(stream);
            self.news.push(FromConnection::Closed { stream, reason });
        }
    }

    /// Ends a stream that the multiplexer has ended. What a raw stream received before is still told, and that
    /// everything written has left.
    pub(crate) fn forget(&mut self, id: I, reason: Closed) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let stream = slot.stream;
            if let Phase::Open(open) = &mut slot.phase {
                if let Some(data) = open.framer.flush() {
                    self.news.push(FromConnection::Frame { stream, data });
                }
            }
            if let Some(frames) = slot.sent.take_flushed() {
                self.news.push(FromConnection::Flushed { stream, frames });
            }
        }
        self.remove(id, reason);
    }

    fn remove(&mut self, id: I, reason: Closed) {
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        self.by_stream.remove(&slot.stream);
        self.timers.clear(slot.stream);
        self.stalled.retain(|other| *other != id);
        self.give_back(slot.unread);
        self.stop_growing(id, slot.growth);
        if slot.stream.is_inbound() {
            self.inbound = self.inbound.saturating_sub(1);
            let unnamed = usize::from(slot.is_negotiating());
            self.negotiating = self.negotiating.saturating_sub(unnamed);
        }
        self.tell_closed(&slot, reason);
    }

    /// The swarm never heard of a stream of theirs whose name was not agreed.
    fn tell_closed(&mut self, slot: &Slot, reason: Closed) {
        let stream = slot.stream;
        if !(stream.is_inbound() && slot.is_negotiating()) {
            self.news.push(FromConnection::Closed { stream, reason });
        }
    }
}

impl<I> fmt::Debug for Streams<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({:?}, {} open)", self.conn, self.slots.len())
    }
}
