//! The only place where the time is read.

use core::time::Duration;
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

    /// The runtime's name for an instant of ours. `None`: beyond the range of the operating system's clock.
    pub(crate) fn to_std(self, at: Instant) -> Option<time::Instant> {
        self.0.checked_add(Duration::from_nanos(at.as_nanos()))
    }

    pub(crate) fn unix() -> UnixTime {
        let since = time::SystemTime::now()
            .duration_since(time::UNIX_EPOCH)
            .unwrap_or_default();
        UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
