//! Many deadlines in one machine: the earliest is found at once, whatever their number.

use crate::Instant;
use alloc::collections::{BTreeMap, BinaryHeap};
use core::cmp::Reverse;

/// Deadlines that no longer count and may wait to be swept out, beyond as many as do count.
const STALE: usize = 16;

/// At most one deadline for each key, ordered by time and then by key, so equal times fire in the same order everywhere.
///
/// Setting one costs the logarithm of the number of keys. What was replaced or removed leaves its place in the order when its time comes, or once there is more of it than of
/// what counts.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    /// All that count, and some that do not. The first always counts.
    by_time: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord + Copy> Timers<K> {
    /// No deadlines.
    pub const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_time: BinaryHeap::new(),
        }
    }

    /// Sets the deadline of `key`, in place of the one it had.
    pub fn set(&mut self, key: K, at: Instant) {
        let old = self.by_key.insert(key, at);
        if old == Some(at) {
            return;
        }
        self.by_time.push(Reverse((at, key)));
        if old.is_some() {
            self.sweep(key);
        }
    }

    /// Sets the deadline of `key`, or removes it.
    pub fn set_or_clear(&mut self, key: K, at: Option<Instant>) {
        match at {
            Some(at) => self.set(key, at),
            None => self.clear(key),
        }
    }

    /// Removes the deadline of `key`, if it has one.
    pub fn clear(&mut self, key: K) {
        if self.by_key.remove(&key).is_some() {
            self.sweep(key);
        }
    }

    /// The deadline of `key`.
    pub fn get(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.by_time.peek().map(|Reverse(first)| *first)
    }

    /// Removes and answers the key of the earliest deadline, if it is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(key);
        Some(key)
    }

    /// Number of deadlines.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no deadline.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A deadline of `key` counts no longer: the first must be one that does, and the others must not be too many.
    fn sweep(&mut self, key: K) {
        if self.by_key.is_empty() {
            // With its memory.
            self.by_time = BinaryHeap::new();
            return;
        }
        if self.next().is_some_and(|(_, first)| first == key) {
            while self.next().is_some_and(|(at, first)| self.get(first) != Some(at)) {
                self.by_time.pop();
            }
        }
        let most = self.by_key.len().saturating_mul(2).saturating_add(STALE);
        if self.by_time.len() > most {
            let known = self.by_key.iter();
            self.by_time = known.map(|(key, at)| Reverse((*at, *key))).collect();
        }
    }
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_fires_first_and_equal_times_fire_in_key_order() {
        let mut timers = Timers::new();
        timers.set(2, Instant::from_nanos(5));
        timers.set(1, Instant::from_nanos(5));
        timers.set(3, Instant::from_nanos(4));
        timers.set(3, Instant::from_nanos(9));
        timers.clear(7);
        assert_eq!(timers.next(), Some((Instant::from_nanos(5), 1)));
        assert_eq!(timers.pop_due(Instant::from_nanos(4)), None);
        let order: alloc::vec::Vec<_> = core::iter::from_fn(|| timers.pop_due(Instant::MAX)).collect();
        assert_eq!(order, [1, 2, 3]);
        assert!(timers.is_empty());
    }

    #[test]
    fn deadlines_are_those_of_two_sorted_lists_whatever_is_set_and_removed_and_what_is_past_takes_no_room() {
        let (mut timers, mut list) = (Timers::new(), BTreeMap::new());
        let mut dice = crate::Rng::from_seed([7; 32]);
        for _ in 0..20_000 {
            let (key, at) = (dice.below(40), Instant::from_nanos(dice.below(30)));
            match dice.below(4) {
                0 => {
                    timers.clear(key);
                    list.remove(&key);
                }
                1 => {
                    let first = list.iter().map(|(key, at)| (*at, *key)).min();
                    let due = first.filter(|(due, _)| *due <= at).map(|(_, key)| key);
                    due.map(|key| list.remove(&key));
                    assert_eq!(timers.pop_due(at), due);
                }
                _ => {
                    timers.set(key, at);
                    list.insert(key, at);
                }
            }
            assert_eq!(timers.next(), list.iter().map(|(key, at)| (*at, *key)).min());
            assert_eq!(
                (timers.len(), timers.get(key)),
                (list.len(), list.get(&key).copied())
            );
            assert!(timers.by_time.len() <= 2 * list.len() + STALE);
        }
    }
}
