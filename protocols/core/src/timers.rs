//! Many deadlines in one machine: the earliest is found at once, whatever their number.

use crate::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// At most one deadline for each key, ordered by time and then by key, so equal times fire in the same order everywhere.
///
/// Every call costs the logarithm of the number of keys.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Timers<K> {
    /// No deadlines.
    pub const fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }

    /// Sets the deadline of `key`, in place of the one it had.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.by_key.insert(key, at) {
            self.by_time.remove(&(old, key));
        }
        self.by_time.insert((at, key));
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
        if let Some(old) = self.by_key.remove(&key) {
            self.by_time.remove(&(old, key));
        }
    }

    /// The deadline of `key`.
    pub fn get(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.by_time.first().copied()
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
}
