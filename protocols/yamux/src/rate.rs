//! Counting what happens too often.

use core::time::Duration;
use libp2p_proto_core::Instant;

/// At most so much in one window of time; the window begins with the first event after the last one ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    since: Instant,
    count: u64,
}

impl Rate {
    /// Counts `amount`. `false`: more than `max` in the window.
    pub(crate) fn count(&mut self, now: Instant, window: Duration, max: u64, amount: u64) -> bool {
        if now.since(self.since) >= window {
            self.since = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(amount);
        self.count <= max
    }

    /// Takes one back.
    pub(crate) const fn refund(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

/// A bucket that holds twice the rate of one second: `true` while it is not empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    on_time: Instant,
}

impl Bucket {
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let Some(gap) = Duration::from_secs(1).checked_div(per_second) else {
            return false;
        };
        let early = gap.saturating_mul(per_second.saturating_mul(2).saturating_sub(1));
        let on_time = self.on_time.max(now);
        if on_time - early > now {
            return false;
        }
        self.on_time = on_time + gap;
        true
    }
}
