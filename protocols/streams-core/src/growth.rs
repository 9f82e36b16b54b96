//! Frames that might not fit the receive window of their stream: the credit of what has come is returned while they are put together, but only as far as the
//! budget of the connection has room for them. So of many that come side by side, one is completed and the next can follow; if all of them grew at once, they
//! would fill the budget and none could end. A frame whose sender stops in its middle holds up the others of that peer that are as large; whoever waits for it
//! has a deadline for that.

use crate::{
    Muxer, Streams,
    slot::{Growth, Phase, Slot},
};
use alloc::collections::VecDeque;
use core::{fmt, mem};
use libp2p_proto_core::Instant;
use libp2p_proto_stream_protocol::Framing;

/// The least window of a stream, that of yamux.
const LEAST_WINDOW: usize = 256 * 1024;

/// Frames up to this size fit every window, whatever else of their stream is not returned.
const WINDOW_SHARE: usize = LEAST_WINDOW / 2;

impl<I: Copy + Ord + fmt::Debug> Streams<I> {
    /// A stream was fed. `next`: since the last time, a frame of it was completed, and another may have begun.
    pub(crate) fn grow<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M, id: I, next: bool) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let Phase::Open(open) = &slot.phase else { return };
        let is_large = open.framer.buffered() > WINDOW_SHARE;
        let missing = open.framer.missing();
        match slot.growth {
            Growth::Growing(before) if is_large && !next => {
                slot.growth = Growth::Growing(missing);
                let credit = mem::take(&mut slot.withheld);
                self.promised = self.promised.saturating_sub(before).saturating_add(missing);
                mux.grant(now, id, credit);
                return;
            }
            Growth::Waiting if is_large && !next => {}
            before => {
                slot.growth = if is_large { Growth::Waiting } else { Growth::Small };
                self.stop_growing(id, before);
                if is_large {
                    self.growing_next.push_back(id);
                }
            }
        }
        self.let_grow(now, mux);
    }

    /// The frames that wait grow as far as there is room; one does in any case.
    pub(crate) fn let_grow<M: Muxer<Id = I>>(&mut self, now: Instant, mux: &mut M) {
        while let Some(id) = self.growing_next.front().copied() {
            let slot = self.slots.get(&id);
            let waits = slot.filter(|slot| slot.growth == Growth::Waiting);
            if let Some(slot) = waits {
                let missing = match &slot.phase {
                    Phase::Open(open) => open.framer.missing(),
                    Phase::Negotiating(_) => 0,
                };
                if self.promised > 0 && !self.has_room_for(id, missing) {
                    return;
                }
                let Some(slot) = self.slots.get_mut(&id) else {
                    return;
                };
                slot.growth = Growth::Growing(missing);
                self.promised = self.promised.saturating_add(missing);
                let credit = mem::take(&mut slot.withheld);
                mux.grant(now, id, credit);
            }
            self.growing_next.pop_front();
        }
        if self.growing_next.capacity() > 0 {
            self.growing_next = VecDeque::new();
        }
    }

    /// Whether the budget has room for so many bytes more of stream `id`, for what was promised, and for the frames that may come on all other streams without another
    /// promise.
    fn has_room_for(&self, id: I, missing: usize) -> bool {
        let promised = self.unread.saturating_add(self.promised).saturating_add(missing);
        let others = self.slots.iter().filter(|(other, _)| **other != id);
        let all = others.fold(promised, |all, (_, slot)| all.saturating_add(self.may_come(slot)));
        all <= self.limits.unread
    }

    /// Bytes of a frame that may come on a stream within its window.
    fn may_come(&self, slot: &Slot) -> usize {
        match (&slot.phase, slot.growth) {
            (Phase::Open(open), Growth::Small | Growth::Waiting) => {
                let spec = self.table.get(open.spec).map(|entry| &entry.spec);
                let window = spec.map_or(0, |spec| spec.recv_window).max(LEAST_WINDOW);
                let frame = match open.framer.framing() {
                    Framing::Fixed { len: max }
                    | Framing::LengthDelimited { max }
                    | Framing::Held { max }
                    | Framing::UntilEnd { max } => max,
                    Framing::Raw => 0,
                };
                frame.min(window).saturating_sub(open.framer.buffered())
            }
            (Phase::Open(_), Growth::Growing(_)) | (Phase::Negotiating(_), _) => 0,
        }
    }

    /// A frame is complete or gone: what was promised to it is free, and it waits no longer.
    pub(crate) fn stop_growing(&mut self, id: I, growth: Growth) {
        match growth {
            Growth::Small => {}
            Growth::Waiting => self.growing_next.retain(|other| *other != id),
            Growth::Growing(missing) => self.promised = self.promised.saturating_sub(missing),
        }
    }
}
