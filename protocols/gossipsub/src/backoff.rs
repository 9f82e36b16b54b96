//! Who must not be grafted, and until when.

use crate::Topic;
use alloc::collections::{BTreeMap, BTreeSet};
use libp2p_proto_core::{Instant, PeerId};

#[derive(Clone, Copy, Debug)]
struct Standing {
    until: Instant,
    /// Until when a GRAFT may come that its sender sent before it heard of the back-off.
    crossing: Option<Instant>,
}

/// Back-offs by topic and peer. They outlive leaving, and the connection.
#[derive(Clone, Debug)]
pub(crate) struct Backoffs {
    until: BTreeMap<(Topic, PeerId), Standing>,
    order: BTreeSet<(Instant, Topic, PeerId)>,
    max: usize,
}

impl Backoffs {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            until: BTreeMap::new(),
            order: BTreeSet::new(),
            max,
        }
    }

    /// Never shortens a back-off that stands. When full, the one that ends first is forgotten.
    pub(crate) fn set(&mut self, topic: &Topic, peer: PeerId, until: Instant) {
        let key = (topic.clone(), peer);
        if let Some(standing) = self.until.get_mut(&key) {
            // Whoever speaks of it, or hears our answer, knows it.
            standing.crossing = None;
            if standing.until >= until {
                return;
            }
            self.order.remove(&(standing.until, topic.clone(), peer));
        } else if self.until.len() >= self.max {
            if let Some((_, topic, peer)) = self.order.pop_first() {
                self.until.remove(&(topic, peer));
            }
        }
        self.order.insert((until, topic.clone(), peer));
        let crossing = None;
        self.until.insert(key, Standing { until, crossing });
    }

    /// The peer hears of its back-off by a message that is on its way: until `at` one GRAFT may cross it.
    pub(crate) fn expect_crossing(&mut self, topic: &Topic, peer: PeerId, at: Instant) {
        if let Some(standing) = self.until.get_mut(&(topic.clone(), peer)) {
            standing.crossing = Some(at);
        }
    }

    /// Whether a GRAFT that came now may be the one that crossed our PRUNE. Only once.
    pub(crate) fn take_crossing(&mut self, topic: &Topic, peer: PeerId, now: Instant) -> bool {
        let standing = self.until.get_mut(&(topic.clone(), peer));
        let crossing = standing.and_then(|standing| standing.crossing.take());
        crossing.is_some_and(|at| now < at)
    }

    pub(crate) fn get(&self, topic: &Topic, peer: PeerId) -> Option<Instant> {
        let standing = self.until.get(&(topic.clone(), peer));
        standing.map(|standing| standing.until)
    }

    /// Forgets those that ended before `now`.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some((until, topic, peer)) = self.order.pop_first() {
            if until > now {
                self.order.insert((until, topic, peer));
                break;
            }
            self.until.remove(&(topic, peer));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: GSP-233, GSP-240
    #[test]
    fn a_backoff_is_never_shortened_and_swept_when_it_has_ended() {
        let mut backoffs = Backoffs::new(100_000);
        let topic = Topic::from("t");
        let peer = |seed: u64| PeerId::from_encoded_key(&[&[1; 28][..], &seed.to_be_bytes()].concat());
        backoffs.set(&topic, peer(0), Instant::from_millis(60_000));
        backoffs.set(&topic, peer(0), Instant::from_millis(15_000));
        assert_eq!(backoffs.get(&topic, peer(0)), Some(Instant::from_millis(60_000)));
        for seed in 1..10_000 {
            backoffs.set(&topic, peer(seed), Instant::from_millis(50_000));
        }
        backoffs.sweep(Instant::from_millis(50_000));
        assert_eq!(backoffs.len(), 1);
        backoffs.sweep(Instant::from_millis(60_000));
        assert_eq!(backoffs.len(), 0);
    }

    #[test]
    fn a_full_table_forgets_the_backoff_that_ends_first() {
        let mut backoffs = Backoffs::new(2);
        let topic = Topic::from("t");
        let [a, b, c] = [1, 2, 3].map(|seed| PeerId::from_encoded_key(&[seed; 36]));
        for (peer, at) in [(a, 1), (b, 3), (c, 2)] {
            backoffs.set(&topic, peer, Instant::from_millis(at));
        }
        assert_eq!((backoffs.get(&topic, a), backoffs.len()), (None, 2));
    }
}
