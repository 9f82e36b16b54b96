//! What happened lately: the base of every limit of so many in so much time.

use alloc::collections::VecDeque;
use core::time::Duration;
use libp2p_proto_core::Instant;

/// Entries of the last while. Exact: in no window of that length were there more than were let in.
#[derive(Debug)]
pub(crate) struct Log<T> {
    entries: VecDeque<(Instant, T)>,
    window: Duration,
}

impl<T> Log<T> {
    pub(crate) const fn new(window: Duration) -> Self {
        let entries = VecDeque::new();
        Self { entries, window }
    }

    /// Notes something. The caller has counted first, so the log is as long as its limit.
    pub(crate) fn push(&mut self, now: Instant, entry: T) {
        self.entries.push_back((now, entry));
    }

    /// The entries of the last while; older ones are forgotten.
    pub(crate) fn recent(&mut self, now: Instant) -> impl Iterator<Item = &T> {
        while self
            .entries
            .front()
            .is_some_and(|(at, _)| *at + self.window <= now)
        {
            self.entries.pop_front();
        }
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// When the oldest entry is forgotten.
    pub(crate) fn next_free(&self) -> Option<Instant> {
        self.entries.front().map(|(at, _)| *at + self.window)
    }

    /// Forgets the oldest entry if there are more than `max`.
    pub(crate) fn keep(&mut self, max: usize) {
        if self.entries.len() > max {
            self.entries.pop_front();
        }
    }
}
