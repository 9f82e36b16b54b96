//! How often somebody may do something: one bucket for each key, in bounded memory.

use crate::{Instant, Timers};
use core::time::Duration;

/// An average rate and how much of it may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time that one event costs on average.
    pub gap: Duration,
    /// Events at once before the average counts. 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// `count` events a second on average, `burst` at once. A count of 0 counts as 1.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        let count = if count == 0 { 1 } else { count };
        let gap = match Duration::from_secs(1).checked_div(count) {
            Some(gap) => gap,
            None => Duration::from_secs(1),
        };
        Self { gap, burst }
    }

    /// The generic cell rate algorithm: `on_time` is when the next event would be due if events came at exactly the average rate. Answers the new
    /// value, or when the event may come.
    #[expect(clippy::arithmetic_side_effects, reason = "arithmetic of instants saturates")]
    fn take(self, now: Instant, on_time: Instant) -> Result<Instant, Instant> {
        let free = on_time - self.gap.saturating_mul(self.burst.saturating_sub(1));
        if free > now {
            Err(free)
        } else {
            Ok(on_time.max(now) + self.gap)
        }
    }
}

/// The buckets of many keys under one rate.
///
/// A key whose bucket is full again takes no memory. When `max` keys are held, the one that is nearest to a full bucket makes room: a flood of new keys
/// shortens the memory of the table, and never shuts out a newcomer.
///
/// ```
/// use core::time::Duration;
/// use libp2p_proto_core::{Instant, Rate, Rates};
///
/// let mut rates = Rates::new(Rate::per_second(1, 2), 100);
/// let now = Instant::ZERO;
/// assert_eq!(rates.take(now, "a"), Ok(()));
/// assert_eq!(rates.take(now, "a"), Ok(()));
/// assert_eq!(rates.take(now, "a"), Err(now + Duration::from_secs(1)));
/// assert_eq!(rates.take(now, "b"), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Rates<K> {
    rate: Rate,
    max: usize,
    on_time: Timers<K>,
}

impl<K: Ord + Copy> Rates<K> {
    /// Buckets of this rate for at most `max` keys.
    pub const fn new(rate: Rate, max: usize) -> Self {
        Self {
            rate,
            max,
            on_time: Timers::new(),
        }
    }

    /// Counts one event of `key`.
    ///
    /// # Errors
    ///
    /// When the event may come; nothing is counted.
    pub fn take(&mut self, now: Instant, key: K) -> Result<(), Instant> {
        let next = self.rate.take(now, self.on_time.get(key).unwrap_or(now))?;
        while self.on_time.pop_due(now).is_some() {}
        if self.on_time.get(key).is_none() && self.on_time.len() >= self.max {
            let _nearest = self.on_time.pop_due(Instant::MAX);
        }
        self.on_time.set(key, next);
        Ok(())
    }

    /// Keys whose bucket is not full.
    pub fn len(&self) -> usize {
        self.on_time.len()
    }

    /// Whether every bucket is full.
    pub fn is_empty(&self) -> bool {
        self.on_time.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gets_its_burst_and_then_its_average() {
        let mut rates = Rates::new(Rate::per_second(10, 3), 4);
        let taken = |at: u64, rates: &mut Rates<u8>| rates.take(Instant::from_millis(at), 1).is_ok();
        let times: alloc::vec::Vec<_> = (0..1000).filter(|at| taken(*at, &mut rates)).collect();
        assert_eq!(times, [0, 1, 2, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn a_flood_of_keys_stays_bounded_and_lets_newcomers_in() {
        let mut rates = Rates::new(Rate::per_second(1, 1), 8);
        for key in 0..1000 {
            assert_eq!(rates.take(Instant::from_millis(key), key), Ok(()));
            assert!(rates.len() <= 8);
        }
        assert!(rates.take(Instant::from_millis(1000), 999).is_err());
    }

    #[test]
    fn a_rate_of_any_numbers_does_not_overflow() {
        for (gap, burst) in [(Duration::MAX, u32::MAX), (Duration::ZERO, 0), (Duration::MAX, 1)] {
            let mut rates = Rates::new(Rate { gap, burst }, 0);
            assert_eq!(rates.take(Instant::MAX, 0), Ok(()));
            let _any = rates.take(Instant::ZERO, 0);
        }
        assert_eq!(Rate::per_second(0, 1).gap, Duration::from_secs(1));
    }
}
