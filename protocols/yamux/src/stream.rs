//! One stream: two windows, a queue, and what is to be said of it.

use crate::{Config, INITIAL_WINDOW};
use alloc::collections::VecDeque;
use bytes::{Buf, Bytes};
use core::time::Duration;
use libp2p_proto_core::{Instant, TransmitBuf};

/// Our side of the sending direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    /// `finish` was called; FIN goes behind the queue.
    Finishing,
    /// FIN has left.
    Finished,
}

#[derive(Debug)]
pub(crate) struct Stream {
    queue: VecDeque<Bytes>,
    queued: usize,
    capacity: usize,
    /// Bytes that left since the last `Drained`.
    pub(crate) drained: usize,
    /// Credit that the remote gave us.
    pub(crate) send_window: u32,
    /// Credit that the remote has left.
    pub(crate) recv_window: u32,
    /// The most credit that we let it have.
    recv_max: u32,
    /// The most that `recv_max` may grow to.
    recv_limit: u32,
    /// Bytes granted back and not announced.
    consumed: u32,
    last_update: Instant,
    pub(crate) sending: Sending,
    pub(crate) peer_finished: bool,
    /// SYN is to be sent.
    pub(crate) syn_due: bool,
    /// ACK is to be sent with the next frame.
    pub(crate) ack_due: bool,
    /// The remote opened it, and `accept` has not been called.
    pub(crate) unaccepted: bool,
    /// We opened it, and the remote has not acknowledged.
    pub(crate) unacknowledged: bool,
    /// Credit to announce with the next window update.
    pub(crate) update_due: Option<u32>,
    /// Whether it stands in the queue of streams with control frames.
    pub(crate) in_control: bool,
    /// Whether it stands in the queue of streams with data.
    pub(crate) in_data: bool,
    /// Whether it stands in the queue of drained streams.
    pub(crate) in_drained: bool,
    /// What arrives is granted back and thrown away.
    pub(crate) discarding: bool,
}

impl Stream {
    pub(crate) const fn new(now: Instant, capacity: usize, config: &Config) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            capacity,
            drained: 0,
            send_window: INITIAL_WINDOW,
            recv_window: INITIAL_WINDOW,
            recv_max: INITIAL_WINDOW,
            recv_limit: config.max_window,
            consumed: 0,
            last_update: now,
            sending: Sending::Open,
            peer_finished: false,
            syn_due: false,
            ack_due: false,
            unaccepted: false,
            unacknowledged: false,
            update_due: None,
            in_control: false,
            in_data: false,
            in_drained: false,
            discarding: false,
        }
    }

    pub(crate) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(crate) fn set_limit(&mut self, limit: usize, config: &Config) {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.recv_limit = limit.clamp_to(INITIAL_WINDOW, config.max_window);
    }

    /// Takes what fits.
    pub(crate) fn push(&mut self, data: &mut Bytes) -> usize {
        let take = data.len().min(self.capacity.saturating_sub(self.queued));
        if take > 0 {
            self.queue.push_back(data.split_to(take));
            self.queued = self.queued.saturating_add(take);
        }
        take
    }

    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Whether a data frame could leave now: bytes within credit, or a FIN behind no bytes.
    pub(crate) const fn has_data(&self) -> bool {
        let bytes = self.queued > 0 && self.send_window > 0;
        bytes || (matches!(self.sending, Sending::Finishing) && self.queued == 0)
    }

    /// Bytes of the next data frame.
    pub(crate) fn next_frame(&self, max: usize) -> usize {
        let window = usize::try_from(self.send_window).unwrap_or(usize::MAX);
        self.queued.min(window).min(max)
    }

    /// Moves bytes from the queue into `out`.
    pub(crate) fn take_into(&mut self, len: usize, out: &mut TransmitBuf<'_>) {
        let mut left = len;
        while let Some(front) = self.queue.front_mut() {
            let part = left.min(front.len());
            if !out.put(front.get(..part).unwrap_or_default()) {
                break;
            }
            left = left.saturating_sub(part);
            front.advance(part);
            if front.is_empty() {
                self.queue.pop_front();
            }
            if left == 0 {
                break;
            }
        }
        let moved = len.saturating_sub(left);
        self.queued = self.queued.saturating_sub(moved);
        self.drained = self.drained.saturating_add(moved);
        self.send_window = self
            .send_window
            .saturating_sub(u32::try_from(moved).unwrap_or(u32::MAX));
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Returns credit. Answers how much the window has grown, out of `budget`.
    pub(crate) fn grant(
        &mut self,
        now: Instant,
        bytes: usize,
        rtt: Option<Duration>,
        budget: usize,
    ) -> usize {
        let held = self
            .recv_max
            .saturating_sub(self.recv_window)
            .saturating_sub(self.consumed);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(held);
        self.consumed = self.consumed.saturating_add(bytes);
        if self.peer_finished || self.consumed < self.recv_max / 2 {
            return 0;
        }
        let fast = rtt.is_some_and(|rtt| now.since(self.last_update) < rtt.saturating_mul(2));
        let room = u32::try_from(budget)
            .unwrap_or(u32::MAX)
            .min(self.recv_limit.saturating_sub(self.recv_max));
        let growth = if fast { self.recv_max.min(room) } else { 0 };
        self.recv_max = self.recv_max.saturating_add(growth);
        let update = self.consumed.saturating_add(growth);
        self.consumed = 0;
        self.recv_window = self.recv_window.saturating_add(update);
        self.last_update = now;
        self.update_due = Some(self.update_due.unwrap_or(0).saturating_add(update));
        usize::try_from(growth).unwrap_or(usize::MAX)
    }

    /// Credit beyond the initial window.
    pub(crate) fn growth(&self) -> usize {
        usize::try_from(self.recv_max.saturating_sub(INITIAL_WINDOW)).unwrap_or(usize::MAX)
    }

    /// Whether both directions are done.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.sending, Sending::Finished) && self.peer_finished
    }

    /// Whether anything but data is to be said.
    pub(crate) const fn has_control(&self) -> bool {
        self.syn_due || self.ack_due || self.update_due.is_some()
    }
}

/// `clamp` panics if the bounds are swapped; this one prefers the upper.
trait ClampTo {
    fn clamp_to(self, low: Self, high: Self) -> Self;
}

impl ClampTo for u32 {
    fn clamp_to(self, low: Self, high: Self) -> Self {
        self.max(low).min(high)
    }
}
