//! One stream: two windows, a queue, and what is to be said of it.

use crate::{Config, INITIAL_WINDOW};
use alloc::collections::VecDeque;
use bytes::{Buf, Bytes};
use core::{mem, time::Duration};
use libp2p_proto_core::{Instant, TransmitBuf};

/// Which side knows of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Ours: SYN is to be sent, and nothing before it.
    SynDue,
    /// Ours: SYN has left, the remote has not acknowledged.
    SynSent,
    /// The remote's: it waits for `accept`, and nothing is sent on it before.
    Unaccepted,
    /// The remote's: accepted, ACK goes with our first frame.
    AckDue,
    /// Both sides know, and have said so.
    Done,
}

/// Our side of the sending direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    /// `finish` was called; FIN goes behind the queue.
    Finishing,
    /// FIN has left.
    Finished,
}

/// Chunks that wait to be sent. One chunk needs no memory beside its own.
#[derive(Debug, Default)]
struct Queue {
    front: Bytes,
    rest: VecDeque<Bytes>,
    len: usize,
}

impl Queue {
    fn push(&mut self, chunk: Bytes) {
        self.len = self.len.saturating_add(chunk.len());
        if self.front.is_empty() {
            self.front = chunk;
        } else {
            self.rest.push_back(chunk);
        }
    }

    /// Moves `len` bytes into `out`; answers how many it was.
    fn take_into(&mut self, len: usize, out: &mut TransmitBuf<'_>) -> usize {
        let mut left = len.min(self.len);
        let wanted = left;
        while left > 0 {
            let part = left.min(self.front.len());
            if !out.put(self.front.get(..part).unwrap_or_default()) {
                break;
            }
            left = left.saturating_sub(part);
            self.front.advance(part);
            if self.front.is_empty() {
                self.front = self.rest.pop_front().unwrap_or_default();
            }
        }
        let moved = wanted.saturating_sub(left);
        self.len = self.len.saturating_sub(moved);
        if self.len == 0 && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        moved
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    queue: Queue,
    capacity: usize,
    /// Bytes that left since the last `Drained`.
    drained: usize,
    /// Credit that the remote gave us.
    pub(crate) send_window: u32,
    /// Credit that the remote has left.
    pub(crate) recv_window: u32,
    /// The most credit that we let it have.
    pub(crate) recv_max: u32,
    /// The most that `recv_max` may grow to.
    recv_limit: u32,
    /// Bytes granted back and not yet added to `recv_window`.
    pub(crate) consumed: u32,
    /// Credit that the next window update announces; part of `recv_window` already.
    pub(crate) update_due: u32,
    last_update: Instant,
    pub(crate) opening: Opening,
    pub(crate) sending: Sending,
    pub(crate) peer_finished: bool,
    /// What arrives is granted back and thrown away.
    pub(crate) discarding: bool,
    /// Whether it stands in the queue of streams with control frames.
    pub(crate) in_control: bool,
    /// Whether it stands in the queue of streams with data.
    pub(crate) in_data: bool,
    /// Whether it stands in the queue of drained streams.
    pub(crate) in_drained: bool,
}

impl Stream {
    pub(crate) fn new(now: Instant, opening: Opening, capacity: usize, config: &Config) -> Self {
        Self {
            queue: Queue::default(),
            capacity,
            drained: 0,
            send_window: INITIAL_WINDOW,
            recv_window: INITIAL_WINDOW,
            recv_max: INITIAL_WINDOW,
            recv_limit: config.max_window,
            consumed: 0,
            update_due: 0,
            last_update: now,
            opening,
            sending: Sending::Open,
            peer_finished: false,
            discarding: false,
            in_control: false,
            in_data: false,
            in_drained: false,
        }
    }

    pub(crate) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(crate) fn set_limit(&mut self, limit: usize, config: &Config) {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.recv_limit = limit.max(INITIAL_WINDOW).min(config.max_window);
    }

    /// Takes what fits.
    pub(crate) fn push(&mut self, data: &mut Bytes) -> usize {
        let take = data.len().min(self.capacity.saturating_sub(self.queue.len));
        if take > 0 {
            self.queue.push(data.split_to(take));
        }
        take
    }

    pub(crate) const fn queued(&self) -> usize {
        self.queue.len
    }

    /// Whether it is one that the remote does not know yet, or that we have not agreed to.
    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.opening, Opening::SynDue | Opening::Unaccepted)
    }

    pub(crate) const fn is_unacknowledged(&self) -> bool {
        matches!(self.opening, Opening::SynDue | Opening::SynSent)
    }

    /// Whether there is something for a data frame: bytes within credit, or a FIN behind no bytes.
    pub(crate) const fn has_payload(&self) -> bool {
        let bytes = self.queue.len > 0 && self.send_window > 0;
        bytes || (matches!(self.sending, Sending::Finishing) && self.queue.len == 0)
    }

    /// Whether a data frame could leave now.
    pub(crate) const fn has_data(&self) -> bool {
        self.has_payload() && !self.is_silent()
    }

    /// Whether SYN, ACK or credit could leave now.
    pub(crate) const fn has_control(&self) -> bool {
        match self.opening {
            Opening::SynDue | Opening::AckDue => true,
            Opening::Unaccepted => false,
            Opening::SynSent | Opening::Done => self.update_due > 0,
        }
    }

    /// Bytes of the next data frame.
    pub(crate) fn next_frame(&self, max: usize) -> usize {
        let window = usize::try_from(self.send_window).unwrap_or(usize::MAX);
        self.queue.len.min(window).min(max)
    }

    /// Moves bytes from the queue into `out`.
    pub(crate) fn take_into(&mut self, len: usize, out: &mut TransmitBuf<'_>) {
        let moved = self.queue.take_into(len, out);
        self.drained = self.drained.saturating_add(moved);
        let spent = u32::try_from(moved).unwrap_or(u32::MAX);
        self.send_window = self.send_window.saturating_sub(spent);
    }

    /// Bytes that left since the last call.
    pub(crate) const fn take_drained(&mut self) -> usize {
        mem::replace(&mut self.drained, 0)
    }

    /// Bytes that arrived and were not granted back.
    pub(crate) const fn held(&self) -> u32 {
        self.recv_max
            .saturating_sub(self.recv_window)
            .saturating_sub(self.consumed)
    }

    /// Returns credit. Answers how much the window has grown, out of `budget`.
    pub(crate) fn grant(&mut self, now: Instant, bytes: u32, rtt: Option<Duration>, budget: usize) -> u32 {
        self.consumed = self.consumed.saturating_add(bytes.min(self.held()));
        if self.peer_finished || self.consumed < self.recv_max / 2 {
            return 0;
        }
        let fast = rtt.is_some_and(|rtt| now.since(self.last_update) < rtt.saturating_mul(2));
        let room = u32::try_from(budget)
            .unwrap_or(u32::MAX)
            .min(self.recv_limit.saturating_sub(self.recv_max));
        let growth = if fast { self.recv_max.min(room) } else { 0 };
        let update = mem::take(&mut self.consumed).saturating_add(growth);
        self.recv_max = self.recv_max.saturating_add(growth);
        self.recv_window = self.recv_window.saturating_add(update);
        self.update_due = self.update_due.saturating_add(update);
        self.last_update = now;
        growth
    }

    /// Credit beyond the initial window.
    pub(crate) fn growth(&self) -> usize {
        usize::try_from(self.recv_max.saturating_sub(INITIAL_WINDOW)).unwrap_or(usize::MAX)
    }

    /// Whether both directions are done.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.sending, Sending::Finished) && self.peer_finished
    }
}
