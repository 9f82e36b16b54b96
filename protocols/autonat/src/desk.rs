//! What the application is told, in bounded memory.

use crate::{Event, Stats};
use libp2p_proto_stream_protocol::{Context, EventQueue};

/// The application's queue, and counters. The ends of questions that the application began have had their room since then.
#[derive(Debug)]
pub(crate) struct Desk {
    events: EventQueue<(Event, bool)>,
    max_events: usize,
    /// Ends of questions that the application began and has not read.
    unread: usize,
    pub(crate) stats: Stats,
}

impl Desk {
    pub(crate) fn new(max_events: usize) -> Self {
        Self {
            events: EventQueue::new(usize::MAX),
            max_events,
            unread: 0,
            stats: Stats::default(),
        }
    }

    /// Tells something, if there is room.
    pub(crate) fn tell(&mut self, cx: &Context<'_>, event: Event) {
        if self.events.len().saturating_sub(self.unread) >= self.max_events {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        } else {
            let _unbounded = self.events.push(cx.seq, (event, false));
        }
    }

    /// Tells the end of what the application began.
    pub(crate) fn tell_end(&mut self, cx: &Context<'_>, event: Event) {
        self.unread = self.unread.saturating_add(1);
        let _unbounded = self.events.push(cx.seq, (event, true));
    }

    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let (event, is_end) = self.events.pop()?;
        self.unread = self.unread.saturating_sub(usize::from(is_end));
        Some(event)
    }

    pub(crate) fn next_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }
}
