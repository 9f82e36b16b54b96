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

#[cfg(test)]
mod tests {
    use super::*;
    use core::{task::Poll, time::Duration};
    use std::{task::Waker, time};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Counts how often it is set to another time, and never goes off.
    struct Counted {
        at: Option<time::Instant>,
        settings: usize,
    }

    impl Timer for Counted {
        fn new() -> Self {
            let (at, settings) = (None, 0);
            Self { at, settings }
        }

        fn poll_at(&mut self, at: time::Instant, _: &mut Context<'_>) -> Poll<()> {
            if self.at.replace(at) != Some(at) {
                self.settings = self.settings.saturating_add(1);
            }
            Poll::Pending
        }
    }

    #[test]
    fn a_timer_is_set_for_the_first_deadline_and_for_earlier_ones_not_for_later_ones() {
        let (clock, mut alarm) = (Clock::start(), Alarm::<Counted>::new());
        let mut cx = Context::from_waker(Waker::noop());
        let mut ask = |at: Instant| (alarm.is_due(clock, at, &mut cx), alarm.timer.settings);
        assert_eq!(ask(Instant::ZERO + HOUR / 2), (false, 1));
        assert_eq!(ask(Instant::ZERO + HOUR / 2), (false, 1));
        assert_eq!(ask(Instant::ZERO + HOUR * 20), (false, 1));
        assert_eq!(ask(Instant::ZERO + HOUR / 4), (false, 2));
        assert_eq!(ask(Instant::MAX), (false, 2));
        assert_eq!(ask(Instant::ZERO), (true, 2));
    }
}
