//! What happens when: one heap for the whole world.

use crate::pipe::PipeId;
use libp2p_proto_core::{Instant, Rng};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A host or an actor asked to be woken.
    Wake(u32),
    /// Something arrives that was sent by this end of a pipe.
    Arrive(PipeId, u8),
    /// There is room again for what this end of a pipe sends.
    Room(PipeId, u8),
    /// A link that somebody dials gets an answer.
    Syn(u32),
    /// A link that somebody dials is asked for again.
    Again(u32),
    /// A dial is refused.
    Refused(u32),
    /// A swarm-level pipe gave no sign of life for as long as a multiplexer waits. The number tells whether it is still the same silence.
    Silent(PipeId, u32),
    /// A swarm-level stream should be open by now: end, and its number there.
    OpenBy(PipeId, u8, u32),
    /// A fault begins.
    Fault(u32),
    /// A fault is over.
    Heal(u32),
    /// Figures are to be sampled.
    Sample,
}

/// Who goes first among what is due at the same instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Whoever was scheduled first.
    #[default]
    Fifo,
    /// The dice decide.
    Shuffled,
    /// The list decides, one choice after the other; behind its end, whoever was scheduled first. For exhaustive tests.
    Script(Vec<usize>),
}

/// The heap.
#[derive(Debug)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    next: u64,
    order: Order,
    dice: Rng,
    /// For [`Order::Script`]: among how many was chosen, each time that there was a choice.
    choices: Vec<usize>,
}

impl Queue {
    pub(crate) const fn new(order: Order, dice: Rng) -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
            order,
            dice,
            choices: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, at: Instant, due: Due) {
        let tie = match self.order {
            Order::Shuffled => self.dice.next_u64(),
            _ => self.next,
        };
        self.next = self.next.saturating_add(1);
        self.heap.push(Reverse((at, tie, due)));
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, Due)> {
        let Reverse(first) = self.heap.pop()?;
        let Order::Script(script) = &self.order else {
            return Some((first.0, first.2));
        };
        let mut tied = vec![first];
        while self.heap.peek().is_some_and(|Reverse(next)| next.0 == first.0) {
            tied.extend(self.heap.pop().map(|Reverse(next)| next));
        }
        let mut pick = 0;
        if tied.len() > 1 {
            pick = script.get(self.choices.len()).copied().unwrap_or(0);
            self.choices.push(tied.len());
        }
        let chosen = tied.remove(pick.min(tied.len().saturating_sub(1)));
        self.heap.extend(tied.into_iter().map(Reverse));
        Some((chosen.0, chosen.2))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn choices(&self) -> &[usize] {
        &self.choices
    }
}
