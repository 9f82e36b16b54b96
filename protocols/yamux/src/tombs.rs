//! Streams that we have reset: the remote may not know yet, and what it still sends is no fault.

use alloc::collections::{BTreeMap, VecDeque};

/// Ids of streams that we reset or refused, with the credit that the remote had left.
#[derive(Debug, Default)]
pub(crate) struct Tombs {
    credit: BTreeMap<u32, u32>,
    /// Every id once, the oldest first.
    order: VecDeque<u32>,
    /// How many of the oldest were there when our last ping was answered.
    settled: usize,
}

impl Tombs {
    /// Remembers a stream; over `max`, the oldest is forgotten.
    pub(crate) fn bury(&mut self, id: u32, credit: u32, max: usize) {
        if self.credit.insert(id, credit).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > max {
            self.forget_oldest();
        }
    }

    /// The credit that a stream has left; `None`: it is not here.
    pub(crate) fn credit_mut(&mut self, id: u32) -> Option<&mut u32> {
        self.credit.get_mut(&id)
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.credit.contains_key(&id)
    }

    /// One of our pings was answered: what was here at the answer before is forgotten.
    pub(crate) fn handle_pong(&mut self) {
        for _ in 0..self.settled {
            self.forget_oldest();
        }
        self.settled = self.order.len();
        if self.order.is_empty() {
            self.order = VecDeque::new();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(id) = self.order.pop_front() {
            self.credit.remove(&id);
            self.settled = self.settled.saturating_sub(1);
        }
    }
}
