//! The bounded queue in which a protocol's events wait for the application.

use alloc::collections::VecDeque;

/// A bounded queue of typed events. Every event carries the number of the drive that made it
/// ([`Context::seq`](crate::Context)), so an application that reads several queues can put them in order with [`next_seq`](Self::next_seq).
#[derive(Clone, Debug)]
pub struct EventQueue<T> {
    events: VecDeque<(u64, T)>,
    capacity: usize,
}

impl<T> EventQueue<T> {
    /// A queue of at most `capacity` events; its memory grows with what waits.
    pub const fn new(capacity: usize) -> Self {
        Self {
            events: VecDeque::new(),
            capacity,
        }
    }

    /// Adds an event of drive `seq`. A full queue gives the event back.
    ///
    /// # Errors
    ///
    /// The event, if the queue is full.
    pub fn push(&mut self, seq: u64, event: T) -> Result<(), T> {
        if self.events.len() >= self.capacity {
            return Err(event);
        }
        self.events.push_back((seq, event));
        Ok(())
    }

    /// The oldest event.
    pub fn pop(&mut self) -> Option<T> {
        let (_, event) = self.events.pop_front()?;
        if self.events.is_empty() {
            self.events.shrink_to(8);
        }
        Some(event)
    }

    /// The number of the drive that made the oldest event.
    pub fn next_seq(&self) -> Option<u64> {
        self.events.front().map(|(seq, _)| *seq)
    }

    /// Number of events that wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events that still fit.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.events.len())
    }
}
