//! The only place where the time is read and dice are thrown.

use libp2p_proto_core::{Instant, UnixTime};
use std::time;

/// The monotonic clock of the machine, counted from the start of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(time::Instant);

#[expect(clippy::disallowed_methods, reason = "an adapter is where time comes from")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The runtime's name for an instant of ours.
    pub(crate) fn sleep_until(self, at: Instant) -> tokio::time::Sleep {
        let since = core::time::Duration::from_nanos(at.as_nanos());
        // A deadline beyond the range of the operating system's clock is looked at again in an hour.
        let hour = core::time::Duration::from_secs(3600);
        let at = self
            .0
            .checked_add(since)
            .or_else(|| time::Instant::now().checked_add(hour))
            .unwrap_or(self.0);
        tokio::time::sleep_until(at.into())
    }

    pub(crate) fn unix() -> UnixTime {
        let since = time::SystemTime::now()
            .duration_since(time::UNIX_EPOCH)
            .unwrap_or_default();
        UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
