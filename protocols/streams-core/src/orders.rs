//! What the swarm orders.

use crate::{
    Muxer, Streams,
    framer::Framer,
    slot::{Growth, Negotiating, Phase, Slot},
    streams::Waiting,
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use bytes::Bytes;
use core::{fmt, mem, time::Duration};
use libp2p_proto_core::{Instant, Side, StreamId};
use libp2p_proto_stream_protocol::{Closed, Framing, FromConnection, SpecId, StreamOrder, ToConnection};
use smallvec::SmallVec;

/// Time for the remote to name a stream of its own; so it is in go, rust and js.
pub(crate) const NEGOTIATION: Duration = Duration::from_secs(10);

impl<I: Copy + Ord + fmt::Debug> Streams<I> {
    /// Carries out an order of the swarm that concerns streams; others do nothing here.
    pub fn handle_order<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, order: ToConnection) {
        let now = self.at(now);
        let Some(order) = self.keep(mux, order) else {
            return;
        };
        match order {
            ToConnection::Open { stream, specs, lazy } => self.open(now, mux, stream, specs, lazy),
            ToConnection::Write { stream, data } => self.write(mux, stream, data),
            ToConnection::Grant { stream, bytes } => self.grant(now, mux, stream, bytes),
            ToConnection::Order { stream, order } => self.order(now, mux, stream, order),
            ToConnection::SetInbound { spec, max } => self.table.set_inbound(spec, max),
            _ => {}
        }
    }

    /// Specs that are not in the table are not proposed, and without one there is nothing to open.
    fn open<M: Muxer<Id = I>>(
        &mut self,
        now: Instant,
        mux: &mut M,
        stream: StreamId,
        mut proposals: SmallVec<[SpecId; 2]>,
        lazy: bool,
    ) {
        proposals.retain(|spec| self.table.get(*spec).is_some());
        let first = proposals.first().and_then(|spec| self.table.get(*spec));
        let Some(entry) = first else {
            let reason = Closed::Refused;
            self.news.push(FromConnection::Closed { stream, reason });
            return;
        };
        let gathers = lazy && !entry.spec.gather.is_zero();
        let patience = if gathers {
            entry.spec.gather
        } else {
            entry.spec.open_timeout
        };
        self.timers.set(stream, now + patience);
        self.waiting.push_back(Waiting {
            stream,
            proposals,
            lazy,
            gathers,
            orders: Vec::new(),
        });
        self.open_waiting(mux);
    }

    /// Keeps an order for a stream that the multiplexer does not know yet; gives every other back.
    fn keep<M: Muxer<Id = I>>(&mut self, mux: &mut M, order: ToConnection) -> Option<ToConnection> {
        let (stream, first) = match &order {
            ToConnection::Write { stream, .. } => (*stream, true),
            ToConnection::Order { stream, order } if *order != StreamOrder::Reset => {
                (*stream, *order == StreamOrder::Finish)
            }
            _ => return Some(order),
        };
        if self.by_stream.contains_key(&stream) {
            return Some(order);
        }
        let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.stream == stream) else {
            return Some(order);
        };
        waiting.orders.push(order);
        if first {
            self.stop_gathering(mux, stream);
        }
        None
    }

    /// Lets a stream be opened that gathers what leaves with its proposal. Says whether it did gather.
    pub(crate) fn stop_gathering<M: Muxer<Id = I>>(&mut self, mux: &mut M, stream: StreamId) -> bool {
        let gathering = |waiting: &&mut Waiting| waiting.stream == stream && waiting.gathers;
        let Some(waiting) = self.waiting.iter_mut().find(gathering) else {
            return false;
        };
        waiting.gathers = false;
        let first = waiting.proposals.first().and_then(|spec| self.table.get(*spec));
        let patience = first.map(|entry| entry.spec.open_timeout).unwrap_or_default();
        self.timers.set(stream, self.now + patience);
        self.open_waiting(mux);
        true
    }

    /// Opens what the multiplexer has room for.
    pub(crate) fn open_waiting<M: Muxer<Id = I>>(&mut self, mux: &mut M) {
        while let Some(place) = self.waiting.iter().position(|waiting| !waiting.gathers) {
            let Ok(id) = mux.open() else { return };
            let Some(waiting) = self.waiting.remove(place) else {
                return;
            };
            let Waiting {
                stream,
                proposals,
                lazy,
                orders,
                ..
            } = waiting;
            let negotiating = Negotiating {
                negotiation: self.negotiation(Side::Dialer),
                proposals,
                lazy,
                handed_over: false,
                pending: VecDeque::new(),
            };
            self.slots.insert(id, Box::new(Slot::new(stream, negotiating)));
            self.by_stream.insert(stream, id);
            self.send_negotiation(mux, id);
            for order in orders {
                self.handle_order(self.now, mux, order);
            }
        }
    }

    /// Writes to a stream that is gone, finished or never was do nothing: the swarm hears, or has heard, why.
    fn write<M: Muxer<Id = I>>(&mut self, mux: &mut M, stream: StreamId, data: Bytes) {
        let Some(id) = self.by_stream.get(&stream).copied() else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| !slot.finishing) else {
            return;
        };
        let framing = match &mut slot.phase {
            Phase::Open(open) => open.outbound,
            Phase::Negotiating(negotiating) if negotiating.lazy => {
                let first = negotiating.proposals.first();
                match first.and_then(|spec| self.table.get(*spec)) {
                    Some(entry) => entry.spec.framing,
                    None => return,
                }
            }
            Phase::Negotiating(negotiating) => {
                negotiating.pending.push_back(data);
                return;
            }
        };
        slot.send_frame(mux, id, framing, data);
    }

    fn grant<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, stream: StreamId, bytes: usize) {
        let Some((id, slot)) = self.slot_mut(stream) else {
            return;
        };
        let freed = bytes.min(slot.unread);
        // The credit of the oldest bytes was returned before, if a frame of them has grown.
        let returned = slot.unread.saturating_sub(slot.withheld);
        slot.unread = slot.unread.saturating_sub(freed);
        let credit = freed.saturating_sub(returned).min(slot.withheld);
        slot.withheld = slot.withheld.saturating_sub(credit);
        mux.grant(now, id, credit);
        self.give_back(freed);
        self.let_grow(now, mux);
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
                slot.sent.want_flush();
                self.report(id);
            }
            StreamOrder::HandOver => match &mut slot.phase {
                Phase::Negotiating(negotiating) => negotiating.handed_over = true,
                Phase::Open(_) => self.release(now, mux, id, None),
            },
            StreamOrder::Reset | StreamOrder::Pause | StreamOrder::Resume => {}
        }
    }

    /// Parses what is behind a held frame, or what came before the stream was handed over.
    fn release<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I, framing: Option<Framing>) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Open(open) = &mut slot.phase else {
            return;
        };
        let mut lost = 0;
        if let Some(framing) = framing {
            // A frame that was incomplete under the old framing means nothing under the new one.
            lost = open.framer.buffered();
            open.framer = Framer::new(framing);
            open.outbound = framing;
        }
        open.held = false;
        let stream = slot.stream;
        if framing.is_some() {
            let growth = mem::replace(&mut slot.growth, Growth::Small);
            self.stop_growing(id, growth);
        }
        self.grant(now, mux, stream, lost);
        self.parse(now, mux, id, &[], 0);
        self.end_read(now, mux);
        self.end_if_finished(mux, id);
    }
}
