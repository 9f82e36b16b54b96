//! All streams of one connection.

use crate::{
    Muxer,
    framer::{self, Framer},
    slot::{Negotiating, Open, Phase, Slot, TableNames},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;
use core::{fmt, mem, time::Duration};
use libp2p_proto_core::{ConnectionId, Deadline, Instant, ProtocolName, StreamId, Timers, TransmitBuf};
use libp2p_proto_multistream_select::{Negotiation, Outcome};
use libp2p_proto_stream_protocol::{
    Closed, Framing, FromConnection, SpecId, SpecTable, StreamLimits, StreamOrder, ToConnection,
};
use smallvec::SmallVec;

/// Time for the remote to name a stream of its own.
const INBOUND_NEGOTIATION: Duration = Duration::from_secs(10);
/// Larger frames return their credit while they are put together, since they might not fit the window.
const WINDOW_SHARE: usize = 128 * 1024;

/// The streams of one connection over a multiplexer that names them `I`.
pub struct Streams<I> {
    conn: ConnectionId,
    limited: bool,
    specs: Arc<SpecTable>,
    inbound_limits: SmallVec<[(SpecId, u16); 2]>,
    limits: StreamLimits,
    slots: BTreeMap<I, Slot>,
    by_stream: BTreeMap<StreamId, I>,
    /// Opens that the multiplexer could not serve yet.
    waiting: VecDeque<(StreamId, SmallVec<[SpecId; 2]>, bool)>,
    accepted: u64,
    negotiating: usize,
    inbound: usize,
    timers: Timers<StreamId>,
    messages: VecDeque<FromConnection>,
    news: VecDeque<I>,
    /// Streams with raw bytes of this read.
    raw: Vec<I>,
    unread: usize,
    full_since: Option<Instant>,
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
            limited,
            specs,
            inbound_limits,
            limits,
            slots: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            waiting: VecDeque::new(),
            accepted: 0,
            negotiating: 0,
            inbound: 0,
            timers: Timers::new(),
            messages: VecDeque::new(),
            news: VecDeque::new(),
            raw: Vec::new(),
            unread: 0,
            full_since: None,
        }
    }

    /// Streams that stand.
    pub fn len(&self) -> usize {
        self.slots.len().saturating_add(self.waiting.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the swarm has not returned.
    pub const fn unread(&self) -> usize {
        self.unread
    }

    /// Whether more input may come: the unread budget is not used up.
    pub const fn wants_input(&self) -> bool {
        self.unread < self.limits.unread
    }

    /// The next message for the swarm.
    pub fn poll_message(&mut self) -> Option<FromConnection> {
        if let Some(message) = self.messages.pop_front() {
            return Some(message);
        }
        if self.messages.capacity() > 16 {
            self.messages = VecDeque::new();
        }
        while let Some(id) = self.news.pop_front() {
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            slot.has_news = false;
            let stream = slot.stream;
            if slot.flush_wanted && slot.sent.is_empty() {
                slot.flush_wanted = false;
                let frames = mem::take(&mut slot.flushed);
                self.messages
                    .push_back(FromConnection::Flushed { stream, frames });
            }
            let bytes = mem::take(&mut slot.credit);
            if bytes > 0 {
                return Some(FromConnection::Sent { stream, bytes });
            }
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
        }
        if self.news.capacity() > 16 {
            self.news = VecDeque::new();
        }
        None
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
        while let Some(stream) = self.timers.pop_due(now) {
            self.close_stream(mux, stream, Closed::TimedOut);
        }
        if self
            .full_since
            .is_some_and(|since| since + self.limits.unread_pause <= now)
        {
            self.full_since = Some(now);
            let most = self
                .slots
                .values()
                .max_by_key(|slot| slot.unread)
                .map(|slot| slot.stream);
            if let Some(stream) = most {
                self.close_stream(mux, stream, Closed::Limit);
            }
        }
    }

    /// The connection is gone: every stream is.
    pub fn close_all(&mut self) {
        for slot in mem::take(&mut self.slots).into_values() {
            self.tell_closed(&slot, Closed::ConnectionLost);
        }
        for (stream, ..) in mem::take(&mut self.waiting) {
            self.messages.push_back(FromConnection::Closed {
                stream,
                reason: Closed::ConnectionLost,
            });
        }
        self.by_stream.clear();
        self.timers = Timers::new();
        self.news.clear();
        self.raw.clear();
        self.full_since = None;
    }

    // ── orders ──

    /// Carries out an order of the swarm that concerns streams; others do nothing here.
    pub fn handle_order<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, order: ToConnection) {
        match order {
            ToConnection::Open { stream, specs, lazy } => self.open(now, mux, stream, specs, lazy),
            ToConnection::Write { stream, data } => self.write(mux, stream, data),
            ToConnection::Grant { stream, bytes } => self.grant(now, mux, stream, bytes),
            ToConnection::Order { stream, order } => self.order(now, mux, stream, order),
            ToConnection::SetInbound { spec, max } => {
                self.inbound_limits.retain(|(known, _)| *known != spec);
                self.inbound_limits.push((spec, max));
            }
            _ => {}
        }
    }

    fn open<M: Muxer<Id = I>>(
        &mut self,
        now: Instant,
        mux: &mut M,
        stream: StreamId,
        specs: SmallVec<[SpecId; 2]>,
        lazy: bool,
    ) {
        let timeout = specs
            .first()
            .and_then(|spec| self.specs.get(*spec))
            .map(|entry| entry.spec.open_timeout);
        self.timers
            .set(stream, now + timeout.unwrap_or(INBOUND_NEGOTIATION));
        self.waiting.push_back((stream, specs, lazy));
        self.open_waiting(mux);
    }

    /// Opens what the multiplexer has room for.
    pub fn open_waiting<M: Muxer<Id = I>>(&mut self, mux: &mut M) {
        while let Some((stream, proposals, lazy)) = self.waiting.pop_front() {
            let Ok(id) = mux.open() else {
                self.waiting.push_front((stream, proposals, lazy));
                return;
            };
            let negotiating = Negotiating {
                negotiation: Negotiation::dialer(),
                proposals,
                lazy,
                pending: VecDeque::new(),
            };
            self.slots
                .insert(id, Slot::new(stream, Phase::Negotiating(Box::new(negotiating))));
            self.by_stream.insert(stream, id);
            self.send_negotiation(mux, id);
        }
    }

    fn write<M: Muxer<Id = I>>(&mut self, mux: &mut M, stream: StreamId, data: Bytes) {
        let Some(id) = self.by_stream.get(&stream).copied() else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let framing = match &mut slot.phase {
            Phase::Open(open) => Some(open.outbound),
            Phase::Negotiating(negotiating) if negotiating.lazy => negotiating
                .proposals
                .first()
                .and_then(|spec| self.specs.get(*spec))
                .map(|entry| entry.spec.framing),
            Phase::Negotiating(negotiating) => {
                negotiating.pending.push_back(data);
                return;
            }
        };
        if let Some(framing) = framing {
            slot.send_frame(mux, id, framing, data);
        }
    }

    fn grant<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, stream: StreamId, bytes: usize) {
        let Some((id, slot)) = self.slot_mut(stream) else {
            return;
        };
        let freed = bytes.min(slot.unread);
        slot.unread = slot.unread.saturating_sub(freed);
        let credit = bytes.min(slot.withheld);
        slot.withheld = slot.withheld.saturating_sub(credit);
        mux.grant(now, id, credit);
        self.give_back(freed);
    }

    fn give_back(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_sub(bytes);
        if self.unread < self.limits.unread {
            self.full_since = None;
        }
    }

    fn order<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, stream: StreamId, order: StreamOrder) {
        if order == StreamOrder::Reset {
            self.close_stream(mux, stream, Closed::LocalReset);
            return;
        }
        let Some((id, slot)) = self.slot_mut(stream) else {
            return;
        };
        match order {
            StreamOrder::Finish => {
                slot.finishing = true;
                let ready = match &slot.phase {
                    Phase::Open(_) => true,
                    Phase::Negotiating(negotiating) => negotiating.lazy,
                };
                if ready {
                    mux.finish(id);
                }
            }
            StreamOrder::Next => self.release(now, mux, id, None),
            StreamOrder::Reframe(framing) => self.release(now, mux, id, Some(framing)),
            StreamOrder::NotifyFlushed => {
                slot.flush_wanted = true;
                self.mark_news(id);
            }
            StreamOrder::Reset | StreamOrder::Pause | StreamOrder::Resume | StreamOrder::HandOver => {}
        }
    }

    /// Parses what is behind a held frame.
    fn release<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I, framing: Option<Framing>) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        if let Some(framing) = framing {
            open.framer = Framer::new(framing);
            open.outbound = framing;
        }
        open.held = false;
        let backlog = mem::take(&mut open.backlog);
        // These bytes were counted when they arrived.
        slot.unread = slot.unread.saturating_sub(backlog.len());
        slot.withheld = slot.withheld.saturating_sub(backlog.len());
        self.unread = self.unread.saturating_sub(backlog.len());
        self.frames(now, mux, id, &backlog, 0);
        self.end_read(now, mux);
        self.end_if_finished(mux, id);
    }

    // ── what the multiplexer tells ──

    /// The remote opened a stream.
    pub fn handle_opened<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I) {
        if self.negotiating >= self.limits.negotiating || self.inbound >= self.limits.inbound {
            mux.reset(id);
            return;
        }
        mux.accept(id);
        let stream = StreamId::theirs(self.conn, self.accepted);
        self.accepted = self.accepted.saturating_add(1);
        self.negotiating = self.negotiating.saturating_add(1);
        self.inbound = self.inbound.saturating_add(1);
        let negotiating = Negotiating {
            negotiation: Negotiation::listener(),
            proposals: SmallVec::new(),
            lazy: false,
            pending: VecDeque::new(),
        };
        self.slots
            .insert(id, Slot::new(stream, Phase::Negotiating(Box::new(negotiating))));
        self.by_stream.insert(stream, id);
        self.timers.set(stream, now + INBOUND_NEGOTIATION);
    }

    /// Bytes of a stream. `more`: bytes that may follow in this read, a hint for memory.
    pub fn handle_data<M: Muxer<Id = I>>(
        &mut self,
        now: Instant,
        mux: &mut M,
        id: I,
        bytes: &[u8],
        more: usize,
    ) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if slot.is_negotiating() {
            let taken = self.negotiate(mux, id, bytes);
            mux.grant(now, id, taken);
            let rest = bytes.get(taken..).unwrap_or_default();
            if !rest.is_empty() {
                self.frames(now, mux, id, rest, more);
            }
        } else {
            self.frames(now, mux, id, bytes, more);
        }
    }

    /// The end of one read: raw bytes that were gathered go up, answers of negotiations leave.
    pub fn end_read<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M) {
        for id in mem::take(&mut self.raw) {
            if let Some(slot) = self.slots.get_mut(&id) {
                if let Phase::Open(open) = &mut slot.phase {
                    if let Some(data) = open.framer.flush() {
                        self.messages.push_back(FromConnection::Frame {
                            stream: slot.stream,
                            data,
                        });
                    }
                }
            }
        }
        if self.unread >= self.limits.unread && self.full_since.is_none() {
            self.full_since = Some(now);
        }
        self.open_waiting(mux);
    }

    /// Bytes of a stream have left.
    pub fn handle_drained(&mut self, id: I, bytes: usize) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let mut left = bytes;
        while let Some((wire, frame)) = slot.sent.front_mut() {
            let part = left.min(*wire);
            *wire = wire.saturating_sub(part);
            left = left.saturating_sub(part);
            if *wire > 0 {
                break;
            }
            if let Some(frame) = frame {
                slot.credit = slot.credit.saturating_add(*frame);
                slot.flushed = slot.flushed.saturating_add(1);
            }
            slot.sent.pop_front();
        }
        if slot.sent.is_empty() {
            slot.sent = VecDeque::new();
        }
        self.mark_news(id);
    }

    /// The remote sends no more on a stream.
    pub fn handle_finished<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.peer_finished = true;
        if let Phase::Negotiating(negotiating) = &mut slot.phase {
            if negotiating.negotiation.handle_eof().is_err() {
                let reason = Closed::UnexpectedEnd;
                let stream = slot.stream;
                self.close_stream(mux, stream, reason);
            }
            return;
        }
        self.end_read(now, mux);
        self.end_if_finished(mux, id);
    }

    /// Tells the end of a stream once everything before it was told.
    fn end_if_finished<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        if !slot.peer_finished || slot.finished_told || !open.backlog.is_empty() {
            return;
        }
        let stream = slot.stream;
        match open.framer.end() {
            Ok(last) => {
                slot.finished_told = true;
                if let Some(data) = last {
                    self.messages.push_back(FromConnection::Frame { stream, data });
                }
                self.messages.push_back(FromConnection::Finished { stream });
                if slot.mux_closed {
                    self.forget(id, Closed::Finished);
                }
            }
            Err(reason) => self.close_stream(mux, stream, reason),
        }
    }

    /// Both directions of a stream are done.
    pub fn handle_closed(&mut self, id: I) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.mux_closed = true;
        if slot.finished_told || slot.is_negotiating() {
            self.forget(id, Closed::Finished);
        }
    }

    /// The remote reset a stream.
    pub fn handle_reset(&mut self, id: I) {
        self.forget(id, Closed::Reset);
    }

    // ── the parts ──

    fn negotiate<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I, bytes: &[u8]) -> usize {
        let allowed: SmallVec<[bool; 16]> = self.specs.iter().map(|(spec, _)| self.accepts(spec)).collect();
        let accepts = |spec: SpecId| allowed.get(usize::from(spec.0)).copied().unwrap_or(false);
        let Some(slot) = self.slots.get_mut(&id) else {
            return bytes.len();
        };
        let stream = slot.stream;
        let Phase::Negotiating(negotiating) = &mut slot.phase else {
            return 0;
        };
        let Negotiating {
            negotiation,
            proposals,
            ..
        } = &mut **negotiating;
        let names = TableNames {
            table: &self.specs,
            proposals,
            accepts: &accepts,
        };
        let result = negotiation.handle_input(bytes, &names);
        let line = negotiation.agreed_line().map(String::from);
        let outcome = negotiation.outcome();
        let Ok(taken) = result else {
            self.close_stream(mux, stream, Closed::Malformed);
            return bytes.len();
        };
        self.send_negotiation(mux, id);
        match outcome {
            Outcome::Pending => {}
            Outcome::Agreed(place) => self.agreed(mux, id, place, line.as_deref()),
            // Our refusal must reach the remote, so the stream is finished and not reset; what follows is thrown away.
            Outcome::Refused if stream.is_inbound() => mux.finish(id),
            Outcome::Refused => self.close_stream(mux, stream, Closed::Refused),
        }
        taken
    }

    fn accepts(&self, spec: SpecId) -> bool {
        let on_this_link = |on_limited: bool| on_limited || !self.limited;
        self.specs
            .get(spec)
            .is_some_and(|entry| self.max_inbound(spec) > 0 && on_this_link(entry.spec.on_limited))
    }

    fn max_inbound(&self, spec: SpecId) -> usize {
        let table = self.specs.get(spec).map_or(0, |entry| entry.spec.max_inbound);
        let own = self
            .inbound_limits
            .iter()
            .find(|(known, _)| *known == spec)
            .map(|(_, max)| *max);
        usize::from(own.unwrap_or(table))
    }

    /// Hands what a negotiation has to say to the multiplexer.
    fn send_negotiation<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Negotiating(negotiating) = &mut slot.phase else {
            return;
        };
        let Negotiating {
            negotiation,
            proposals,
            ..
        } = &mut **negotiating;
        let names = TableNames {
            table: &self.specs,
            proposals,
            accepts: &|_| false,
        };
        let mut out = Vec::new();
        while negotiation.poll_transmit(&names, &mut TransmitBuf::new(&mut out, 2048)) {}
        if !out.is_empty() {
            slot.sent.push_back((out.len(), None));
            mux.write(id, out.into());
        }
    }

    fn agreed<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I, place: usize, line: Option<&str>) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Phase::Negotiating(negotiating) = &slot.phase else {
            return;
        };
        let stream = slot.stream;
        let spec = if stream.is_inbound() {
            u16::try_from(place).map(SpecId).ok()
        } else {
            negotiating.proposals.get(place).copied()
        };
        let Some((spec, entry)) = spec.and_then(|spec| self.specs.get(spec).map(|entry| (spec, entry)))
        else {
            return;
        };
        if stream.is_inbound() {
            let open = self
                .slots
                .values()
                .filter(|slot| slot.stream.is_inbound() && slot.spec() == Some(spec))
                .count();
            if open >= self.max_inbound(spec) {
                self.close_stream(mux, stream, Closed::Limit);
                return;
            }
            self.negotiating = self.negotiating.saturating_sub(1);
        }
        self.timers.clear(stream);
        let (framing, window) = (entry.spec.framing, entry.spec.recv_window);
        let name = line
            .and_then(|line| ProtocolName::new(line).ok())
            .unwrap_or_else(|| entry.spec.name.clone());
        mux.set_max_window(id, window);
        self.messages
            .push_back(FromConnection::Opened { stream, spec, name });
        let open = Open {
            spec,
            framer: Framer::new(framing),
            outbound: framing,
            held: false,
            backlog: Vec::new(),
        };
        if let Some(slot) = self.slots.get_mut(&id) {
            let before = mem::replace(&mut slot.phase, Phase::Open(Box::new(open)));
            if let Phase::Negotiating(negotiating) = before {
                for data in negotiating.pending {
                    slot.send_frame(mux, id, framing, data);
                }
                if slot.finishing && !negotiating.lazy {
                    mux.finish(id);
                }
            }
        }
    }

    /// Feeds the framer of an open stream.
    fn frames<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I, bytes: &[u8], more: usize) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let stream = slot.stream;
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        slot.unread = slot.unread.saturating_add(bytes.len());
        slot.withheld = slot.withheld.saturating_add(bytes.len());
        self.unread = self.unread.saturating_add(bytes.len());
        let mut rest = bytes;
        let (mut delivered, mut failure) = (0_usize, None);
        let buffered_before = open.framer.buffered();
        loop {
            if open.held {
                open.backlog.extend_from_slice(rest);
                break;
            }
            match open.framer.next(&mut rest, more) {
                Ok(Some(data)) => {
                    open.held = matches!(open.framer.framing(), Framing::Held { .. });
                    delivered = delivered.saturating_add(data.len());
                    self.messages.push_back(FromConnection::Frame { stream, data });
                }
                Ok(None) => break,
                Err(reason) => {
                    failure = Some(reason);
                    break;
                }
            }
        }
        if matches!(open.framer.framing(), Framing::Raw) {
            if open.framer.buffered() > 0 && self.raw.last() != Some(&id) {
                self.raw.push(id);
            }
        } else {
            // Length prefixes never reach the swarm, so nobody else returns their credit.
            let held = open.framer.buffered().saturating_add(open.backlog.len());
            let prefixes = buffered_before
                .saturating_add(bytes.len())
                .saturating_sub(delivered)
                .saturating_sub(held);
            slot.unread = slot.unread.saturating_sub(prefixes);
            let large = if open.framer.buffered() > WINDOW_SHARE {
                slot.withheld
            } else {
                prefixes.min(slot.withheld)
            };
            slot.withheld = slot.withheld.saturating_sub(large);
            mux.grant(now, id, large);
            self.unread = self.unread.saturating_sub(prefixes);
        }
        if let Some(reason) = failure {
            self.close_stream(mux, stream, reason);
        }
    }

    fn mark_news(&mut self, id: I) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| !slot.has_news) {
            slot.has_news = true;
            self.news.push_back(id);
        }
    }

    fn slot_mut(&mut self, stream: StreamId) -> Option<(I, &mut Slot)> {
        let id = *self.by_stream.get(&stream)?;
        self.slots.get_mut(&id).map(|slot| (id, slot))
    }

    /// Ends a stream from our side, wherever it stands.
    fn close_stream<M: Muxer<Id = I>>(&mut self, mux: &mut M, stream: StreamId, reason: Closed) {
        if let Some(id) = self.by_stream.get(&stream).copied() {
            mux.reset(id);
            self.forget(id, reason);
        } else if let Some(place) = self.waiting.iter().position(|(waiting, ..)| *waiting == stream) {
            self.waiting.remove(place);
            self.timers.clear(stream);
            self.messages.push_back(FromConnection::Closed { stream, reason });
        }
    }

    fn forget(&mut self, id: I, reason: Closed) {
        let Some(mut slot) = self.slots.remove(&id) else {
            return;
        };
        // What a raw stream received before its end is still told.
        if let Phase::Open(open) = &mut slot.phase {
            if let Some(data) = open.framer.flush() {
                self.messages.push_back(FromConnection::Frame {
                    stream: slot.stream,
                    data,
                });
            }
        }
        self.by_stream.remove(&slot.stream);
        self.timers.clear(slot.stream);
        self.give_back(slot.unread);
        if slot.stream.is_inbound() {
            self.inbound = self.inbound.saturating_sub(1);
            self.negotiating = self
                .negotiating
                .saturating_sub(usize::from(slot.is_negotiating()));
        }
        self.tell_closed(&slot, reason);
    }

    /// The swarm never heard of a stream of theirs whose name was not agreed.
    fn tell_closed(&mut self, slot: &Slot, reason: Closed) {
        if !(slot.stream.is_inbound() && slot.is_negotiating()) {
            self.messages.push_back(FromConnection::Closed {
                stream: slot.stream,
                reason,
            });
        }
    }
}

impl Slot {
    /// Hands one frame to the multiplexer, with its prefix.
    fn send_frame<M: Muxer>(&mut self, mux: &mut M, id: M::Id, framing: Framing, data: Bytes) {
        let mut wire = data.len();
        let frame = data.len();
        if let Some(prefix) = framer::prefix(framing, data.len()) {
            wire = wire.saturating_add(prefix.len());
            mux.write(id, prefix);
        }
        self.sent.push_back((wire, Some(frame)));
        mux.write(id, data);
    }
}

impl<I> fmt::Debug for Streams<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({:?}, {} open)", self.conn, self.slots.len())
    }
}
