//! Figures of a run.

use libp2p_proto_core::Instant;
use std::time::Duration;

/// Counters of a run so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events delivered: parcels that arrived, deadlines that fired, links that were answered.
    pub events: u64,
    /// Of them, parcels.
    pub parcels: u64,
    /// Bytes that arrived, as they would be on the wire (swarm-level messages: without their encryption).
    pub bytes: u64,
    /// Links that were asked for.
    pub dials: u64,
    /// Connections that stood, counted at both ends.
    pub connected: u64,
    /// Connections that ended, counted at both ends.
    pub disconnected: u64,
    /// Faults that began.
    pub faults: u64,
    /// Messages that a scenario had published with GossipSub.
    pub published: u64,
    /// Deliveries that should follow: one for each other host that was up.
    pub wanted: u64,
    /// Deliveries that followed.
    pub delivered: u64,
    /// Lookups that a scenario had begun with Kademlia.
    pub lookups: u64,
    /// Of them, those that are over.
    pub looked_up: u64,
    /// Of them, those that found the peer.
    pub found: u64,
}

/// Figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Events delivered so far.
    pub events: u64,
    /// Connections that stand, counted at both ends.
    pub connections: usize,
    /// Streams that stand, counted at both ends.
    pub streams: usize,
    /// Bytes on their way or waiting to be read.
    pub bytes_waiting: usize,
    /// Bytes that everybody holds by its own account: links, unread bytes of connections, address books, and what applications tell in [`App::held`](crate::App::held).
    /// Equal in equal runs, which no allocator's count would be.
    pub held: usize,
}

/// How often values of each size came: 64 buckets for each power of two are enough for percentiles within 2 %.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

/// Buckets for each power of two.
const STEPS: u64 = 64;

impl Histogram {
    fn place(value: Duration) -> usize {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        if micros < STEPS {
            return usize::try_from(micros).unwrap_or(0);
        }
        let power = u64::from(micros.ilog2()).saturating_sub(6);
        let rest = (micros >> power).saturating_sub(STEPS);
        usize::try_from(power.saturating_add(1).saturating_mul(STEPS).saturating_add(rest)).unwrap_or(0)
    }

    /// The least value of a bucket.
    fn value(place: usize) -> Duration {
        let place = place as u64;
        let (power, rest) = (place / STEPS, place % STEPS);
        let micros = match power.checked_sub(1) {
            None => rest,
            Some(power) => STEPS
                .saturating_add(rest)
                .checked_shl(u32::try_from(power).unwrap_or(u32::MAX))
                .unwrap_or(u64::MAX),
        };
        Duration::from_micros(micros)
    }

    /// One more value.
    pub fn add(&mut self, value: Duration) {
        self.add_many(value, 1);
    }

    /// The same value several times.
    pub(crate) fn add_many(&mut self, value: Duration, times: u64) {
        let place = Self::place(value);
        if self.buckets.len() <= place {
            self.buckets.resize(place.saturating_add(1), 0);
        }
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket = bucket.saturating_add(times);
        }
        self.count = self.count.saturating_add(times);
        self.max = self.max.max(value);
    }

    /// The largest value is known to be this, although its bucket begins below.
    pub(crate) fn raise_max(&mut self, value: Duration) {
        self.max = self.max.max(value);
    }

    /// All values of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.max = self.max.max(other.max);
    }

    /// How many values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The largest value.
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// The value below which so many per mille are. Zero without values.
    pub fn per_mille(&self, share: u64) -> Duration {
        let wanted = self.count.saturating_mul(share).div_ceil(1000).max(1);
        let mut seen = 0_u64;
        for (place, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return Self::value(place).min(self.max);
            }
        }
        Duration::ZERO
    }

    /// Each size that came, at least, with how often.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let came = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        came.map(|(place, count)| (Self::value(place), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_two_per_cent() {
        let mut histogram = Histogram::default();
        for micros in 1..=100_000_u64 {
            histogram.add(Duration::from_micros(micros));
        }
        for share in [10, 500, 900, 990, 1000] {
            let exact = share * 100;
            let told = u64::try_from(histogram.per_mille(share).as_micros()).unwrap();
            assert!(
                told <= exact && exact - told <= exact / 50 + 1,
                "{share}: {told} of {exact}"
            );
        }
        assert_eq!(histogram.max(), Duration::from_millis(100));
    }
}
