//! A host's own clocks: they may run fast, slow, jump, or stand still.

use core::time::Duration;
use libp2p_proto_core::{Instant, UnixTime};

/// Parts per million.
const MILLION: u128 = 1_000_000;
/// As far as a clock may be off, in parts per million.
const MOST: i32 = 900_000;

/// How a host's clocks differ from the simulation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// What the monotonic clock says when the simulation starts. Default 0.
    pub start: Instant,
    /// What the wall clock says then. Default 1 700 000 000 s.
    pub unix: UnixTime,
    /// Parts per million by which both run fast (or slow). Default 0; −900 000 to 900 000, others count as the nearest.
    pub ppm: i32,
}

impl Default for Skew {
    fn default() -> Self {
        Self {
            start: Instant::ZERO,
            unix: UnixTime::from_secs(1_700_000_000),
            ppm: 0,
        }
    }
}

/// Both clocks of one host as functions of the simulation's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// At `since` the clocks said `local` and `unix`.
    since: Instant,
    local: Instant,
    unix: UnixTime,
    ppm: i32,
    frozen: bool,
}

impl Clock {
    pub(crate) fn new(skew: Skew) -> Self {
        Self {
            since: Instant::ZERO,
            local: skew.start,
            unix: skew.unix,
            ppm: skew.ppm.clamp(-MOST, MOST),
            frozen: false,
        }
    }

    /// How long the host believes that the time since `since` was.
    fn believed(&self, now: Instant) -> Duration {
        let real = now.since(self.since);
        if self.frozen {
            Duration::ZERO
        } else if self.ppm == 0 {
            real
        } else {
            let nanos = real.as_nanos().saturating_mul(self.rate()) / MILLION;
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        }
    }

    fn rate(&self) -> u128 {
        u128::try_from(i128::from(self.ppm).saturating_add(1_000_000)).unwrap_or(MILLION)
    }

    pub(crate) fn local(&self, now: Instant) -> Instant {
        self.local + self.believed(now)
    }

    pub(crate) fn unix(&self, now: Instant) -> UnixTime {
        self.unix + self.believed(now)
    }

    /// When the host's monotonic clock will say `local`. `None`: never.
    pub(crate) fn when(&self, local: Instant) -> Option<Instant> {
        let ahead = local.since(self.local).as_nanos();
        if ahead == 0 {
            return Some(self.since);
        }
        if self.frozen {
            return None;
        }
        let nanos = if self.ppm == 0 {
            ahead
        } else {
            ahead.saturating_mul(MILLION).div_ceil(self.rate())
        };
        let at = self.since + Duration::from_nanos(u64::try_from(nanos).ok()?);
        (at < Instant::MAX).then_some(at)
    }

    fn rebase(&mut self, now: Instant) {
        (self.local, self.unix) = (self.local(now), self.unix(now));
        self.since = now;
    }

    /// Both clocks jump by so many seconds.
    pub(crate) fn step(&mut self, now: Instant, seconds: i64) {
        self.rebase(now);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            self.local = self.local - by;
            let unix = self.unix.as_nanos();
            let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            self.unix = UnixTime::from_nanos(unix.saturating_sub(nanos));
        } else {
            self.local = self.local + by;
            self.unix = self.unix + by;
        }
    }

    /// Both clocks stand still, or run again.
    pub(crate) fn freeze(&mut self, now: Instant, frozen: bool) {
        self.rebase(now);
        self.frozen = frozen;
    }

    pub(crate) fn drift(&mut self, now: Instant, ppm: i32) {
        self.rebase(now);
        self.ppm = ppm.clamp(-MOST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_exactly_when_the_hosts_clock_says_so() {
        for ppm in [-500, 0, 500, 900_000, -900_000] {
            let clock = Clock::new(Skew {
                ppm,
                ..Skew::default()
            });
            for millis in [1, 999, 86_400_000] {
                let wanted = Instant::from_millis(millis);
                let at = clock.when(wanted).unwrap();
                assert!(clock.local(at) >= wanted, "{ppm} {millis}");
                assert!(
                    clock.local(at - Duration::from_nanos(20)) < wanted,
                    "{ppm} {millis}"
                );
            }
        }
    }

    #[test]
    fn a_frozen_clock_reaches_no_deadline_and_a_step_moves_both_clocks() {
        let mut clock = Clock::new(Skew::default());
        let now = Instant::from_millis(1000);
        clock.freeze(now, true);
        assert_eq!(clock.when(Instant::from_millis(1001)), None);
        clock.freeze(Instant::from_millis(5000), false);
        assert_eq!(
            clock.local(Instant::from_millis(6000)),
            Instant::from_millis(2000)
        );
        clock.step(Instant::from_millis(6000), -1);
        assert_eq!(
            clock.local(Instant::from_millis(6000)),
            Instant::from_millis(1000)
        );
        assert_eq!(
            clock.unix(Instant::from_millis(6000)),
            UnixTime::from_secs(1_700_000_001)
        );
    }
}
