//! When a task is to be woken.

use crate::{Timer, runtime::FAR};
use core::task::Context;
use libp2p_proto_core::Instant;
use libp2p_proto_os::Clock;

/// A timer that is set as seldom as possible: deadlines move with everything that happens, mostly back, and being woken too early once costs less than setting the
/// timer each time.
pub(crate) struct Alarm<T> {
    timer: T,
    set: Option<Instant>,
}

impl<T: Timer> Alarm<T> {
    pub(crate) fn new() -> Self {
        let (timer, set) = (T::new(), None);
        Self { timer, set }
    }

    /// Whether this deadline has come; if not, the task is woken then at the latest.
    pub(crate) fn is_due(&mut self, clock: Clock, at: Instant, cx: &mut Context<'_>) -> bool {
        loop {
            let now = clock.now();
            if at <= now {
                return true;
            }
            // A deadline beyond the clock of the system is looked at again and again.
            let set = self.set.filter(|set| *set <= at).unwrap_or(at).min(now + FAR);
            let Some(time) = clock.to_std(set) else {
                return false;
            };
            if self.timer.poll_at(time, cx).is_pending() {
                self.set = Some(set);
                return false;
            }
            self.set = None;
        }
    }
}
