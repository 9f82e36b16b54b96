//! What the multiplexer tells.

use crate::{
    Muxer, Streams,
    backlog::Backlog,
    framer::Framer,
    orders::NEGOTIATION,
    slot::{InboundEnd, Negotiating, Open, Phase, Slot},
    table::Proposals,
};
use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use core::{fmt, mem};
use libp2p_proto_core::{Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_multistream_select::Outcome;
use libp2p_proto_stream_protocol::{Closed, Framing, FromConnection, SpecId};
use smallvec::SmallVec;

/// A list of streams that grew larger gives its memory back after the read.
const KEPT_IDS: usize = 16;

/// The answers of one negotiation at once: a header, 32 refusals and an echo of a kilobyte.
const ANSWERS: usize = 2048;

impl<I: Copy + Ord + fmt::Debug> Streams<I> {
    /// The remote opened a stream.
    pub fn handle_opened<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I) {
        let now = self.at(now);
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
            negotiation: self.negotiation(Side::Listener),
            proposals: SmallVec::new(),
            lazy: false,
            handed_over: false,
            pending: VecDeque::new(),
        };
        self.slots.insert(id, Box::new(Slot::new(stream, negotiating)));
        self.by_stream.insert(stream, id);
        self.timers.set(stream, now + NEGOTIATION);
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
        let now = self.at(now);
        let mut rest = bytes;
        if self.slots.get(&id).is_some_and(|slot| slot.is_negotiating()) {
            let taken = self.negotiate(mux, id, bytes);
            mux.grant(now, id, taken);
            rest = bytes.get(taken..).unwrap_or_default();
        }
        if let Some(slot) = self.slots.get_mut(&id).filter(|_| !rest.is_empty()) {
            slot.unread = slot.unread.saturating_add(rest.len());
            slot.withheld = slot.withheld.saturating_add(rest.len());
            self.unread = self.unread.saturating_add(rest.len());
            self.parse(now, mux, id, rest, more);
        }
    }

    /// The end of one read: raw bytes that were gathered go up, opens that waited are tried.
    pub fn end_read<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M) {
        let now = self.at(now);
        let mut raw = mem::take(&mut self.raw);
        for id in raw.drain(..) {
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            if let Phase::Open(open) = &mut slot.phase {
                if let Some(data) = open.framer.flush() {
                    let stream = slot.stream;
                    self.news.push(FromConnection::Frame { stream, data });
                }
            }
        }
        // Its memory serves the next read, unless it is much.
        if raw.capacity() <= KEPT_IDS {
            self.raw = raw;
        }
        if self.unread >= self.limits.unread && self.full_since.is_none() {
            self.full_since = Some(now);
        }
        self.let_grow(now, mux);
        self.open_waiting(mux);
    }

    /// The swarm has taken messages: what waited for room is parsed.
    pub fn handle_room<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M) {
        let now = self.at(now);
        if self.stalled.is_empty() || self.is_news_full() {
            return;
        }
        for _ in 0..self.stalled.len() {
            let Some(id) = self.stalled.pop_front() else { break };
            self.parse(now, mux, id, &[], 0);
            self.end_if_finished(mux, id);
        }
        self.end_read(now, mux);
    }

    /// Bytes of a stream have left.
    pub fn handle_drained(&mut self, id: I, bytes: usize) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.sent.drained(bytes);
            self.report(id);
        }
    }

    /// The remote sends no more on a stream.
    pub fn handle_finished<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I) {
        let now = self.at(now);
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.inbound_end = InboundEnd::Waiting;
        if let Phase::Negotiating(negotiating) = &mut slot.phase {
            let stream = slot.stream;
            match negotiating.negotiation.handle_eof() {
                // It gave up after our refusals, which are to reach it.
                Ok(()) => mux.finish(id),
                Err(_) => self.close_stream(mux, stream, Closed::UnexpectedEnd),
            }
            return;
        }
        self.end_read(now, mux);
        self.end_if_finished(mux, id);
    }

    /// Tells the end of a stream once everything before it was told.
    pub(crate) fn end_if_finished<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I) {
        let waits = |slot: &&mut Box<Slot>| slot.inbound_end == InboundEnd::Waiting;
        let Some(slot) = self.slots.get_mut(&id).filter(waits) else {
            return;
        };
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        let to_be_handed_over = open.held && open.framer.framing() == Framing::Raw;
        if to_be_handed_over || !open.backlog.is_empty() {
            return;
        }
        let stream = slot.stream;
        match open.framer.end() {
            Ok(last) => {
                slot.inbound_end = InboundEnd::Told;
                let over = slot.mux_closed;
                if let Some(data) = last {
                    self.news.push(FromConnection::Frame { stream, data });
                }
                self.news.push(FromConnection::Finished { stream });
                if over {
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
        if slot.inbound_end == InboundEnd::Told || slot.is_negotiating() {
            self.forget(id, Closed::Finished);
        }
    }

    /// The remote reset a stream.
    pub fn handle_reset(&mut self, id: I) {
        self.forget(id, Closed::Reset);
    }

    // ── the parts ──

    /// Feeds a negotiation; answers how many bytes it took.
    fn negotiate<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I, bytes: &[u8]) -> usize {
        let Some(slot) = self.slots.get_mut(&id) else {
            return bytes.len();
        };
        let stream = slot.stream;
        let Phase::Negotiating(negotiating) = &mut slot.phase else {
            return 0;
        };
        let negotiation = &mut negotiating.negotiation;
        let before = slot.unread;
        let result = if stream.is_inbound() {
            negotiation.handle_input(bytes, &self.table)
        } else {
            let specs = &*negotiating.proposals;
            let table = &self.table;
            negotiation.handle_input(bytes, &Proposals { table, specs })
        };
        // An incomplete message is memory like an incomplete frame, although its credit is returned at once.
        slot.unread = negotiation.buffered();
        self.unread = self.unread.saturating_add(slot.unread);
        let outcome = negotiation.outcome();
        let line = negotiation.agreed_line().map(String::from);
        self.give_back(before);
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

    /// Hands what a negotiation has to say to the multiplexer.
    pub(crate) fn send_negotiation<M: Muxer<Id = I>>(&mut self, mux: &mut M, id: I) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Negotiating(negotiating) = &mut slot.phase else {
            return;
        };
        let negotiation = &mut negotiating.negotiation;
        let mut out = Vec::new();
        let mut buf = TransmitBuf::new(&mut out, ANSWERS);
        if slot.stream.is_inbound() {
            while negotiation.poll_transmit(&self.table, &mut buf) {}
        } else {
            let specs = &*negotiating.proposals;
            let table = &self.table;
            while negotiation.poll_transmit(&Proposals { table, specs }, &mut buf) {}
        }
        if !out.is_empty() {
            slot.sent.push_negotiation(out.len());
            mux.write(id, out.into());
        }
    }

    /// A name is agreed.
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
        let entry = spec.and_then(|spec| Some((spec, self.table.get(spec)?)));
        let Some((spec, entry)) = entry else { return };
        let (framing, window) = (entry.spec.framing, entry.spec.recv_window);
        let held = entry.spec.handed_over && !negotiating.handed_over;
        let name = line
            .and_then(|line| ProtocolName::new(line).ok())
            .unwrap_or_else(|| entry.spec.name.clone());
        if stream.is_inbound() {
            let same = |slot: &Slot| slot.stream.is_inbound() && slot.spec() == Some(spec);
            let open = self.slots.values().filter(|slot| same(slot)).count();
            if open >= self.table.max_inbound(spec) {
                self.close_stream(mux, stream, Closed::Limit);
                return;
            }
            self.negotiating = self.negotiating.saturating_sub(1);
        }
        self.timers.clear(stream);
        mux.set_max_window(id, window);
        self.news.push(FromConnection::Opened { stream, spec, name });
        let open = Open {
            spec,
            framer: Framer::new(framing),
            outbound: framing,
            held,
            backlog: Backlog::default(),
        };
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
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

    /// Feeds the framer of an open stream: first what it holds back, then `bytes`. What can't be told now is held back.
    pub(crate) fn parse<M: Muxer<Id = I>>(
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
        let stream = slot.stream;
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        // What may follow is promised to one stream alone, and as far as the budget lets it be read.
        let room = self.limits.unread.saturating_sub(self.unread);
        let more = if self.raw.is_empty() { more.min(room) } else { 0 };
        let held_before = open.held_bytes();
        let gathered_before = open.framer.buffered();
        let mut delivered = 0_usize;
        let mut failure = None;
        let mut rest = bytes;
        loop {
            let full = self.news.len() >= self.limits.news || self.news.bytes() >= self.limits.unread;
            if full || open.held {
                open.backlog.push(rest);
                break;
            }
            match open.next(&mut rest, more) {
                Ok(Some(data)) => {
                    open.held = matches!(open.framer.framing(), Framing::Held { .. });
                    delivered = delivered.saturating_add(data.len());
                    self.news.push(FromConnection::Frame { stream, data });
                }
                Ok(None) => break,
                Err(reason) => {
                    failure = Some(reason);
                    break;
                }
            }
        }
        if let Some(reason) = failure {
            self.close_stream(mux, stream, reason);
            return;
        }
        if !open.held && !open.backlog.is_empty() && !self.stalled.contains(&id) {
            self.stalled.push_back(id);
        }
        if matches!(open.framer.framing(), Framing::Raw) {
            if gathered_before == 0 && open.framer.buffered() > 0 {
                self.raw.push(id);
            }
            return;
        }
        // Length prefixes never reach the swarm, so nobody else returns their credit.
        let prefixes = held_before
            .saturating_add(bytes.len())
            .saturating_sub(delivered)
            .saturating_sub(open.held_bytes());
        let credit = prefixes.min(slot.withheld);
        slot.withheld = slot.withheld.saturating_sub(credit);
        slot.unread = slot.unread.saturating_sub(prefixes);
        self.give_back(prefixes);
        mux.grant(now, id, credit);
        self.grow(now, mux, id, delivered > 0);
    }
}

impl Open {
    /// The next frame, out of what was held back and then out of `rest`.
    fn next(&mut self, rest: &mut &[u8], more: usize) -> Result<Option<bytes::Bytes>, Closed> {
        if !self.backlog.is_empty() {
            let mut held = self.backlog.bytes();
            let frame = self.framer.next(&mut held, rest.len())?;
            let taken = self.backlog.len().saturating_sub(held.len());
            self.backlog.advance(taken);
            if frame.is_some() {
                return Ok(frame);
            }
        }
        self.framer.next(rest, more)
    }

    /// Bytes that arrived and are not delivered.
    fn held_bytes(&self) -> usize {
        self.framer.buffered().saturating_add(self.backlog.len())
    }
}
