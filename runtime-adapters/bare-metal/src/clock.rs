//! Time, from the core's own timer.

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::{SYST, syst::SystClkSource};
use libp2p_proto::core::Instant;

/// What the core runs at. QEMU's board has the full speed from the start; a chip starts with 16 MHz and is set up for more by its program.
const CORE_HZ: u32 = 168_000_000;
const CYCLES_PER_MILLI: u32 = CORE_HZ / 1000;
const CYCLES_PER_MICRO: u32 = CORE_HZ / 1_000_000;

/// Milliseconds since the start, modulo 2³².
static MILLIS: AtomicU32 = AtomicU32::new(0);

/// Called by the timer's exception, once a millisecond.
pub(crate) fn tick() {
    MILLIS.fetch_add(1, Ordering::Relaxed);
}

/// The monotonic clock: nanoseconds since the start.
pub(crate) struct Clock {
    millis: u64,
}

impl Clock {
    pub(crate) fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(CYCLES_PER_MILLI.saturating_sub(1));
        timer.clear_current();
        timer.enable_counter();
        timer.enable_interrupt();
        Self { millis: 0 }
    }

    /// The time. To be asked at least once in 49 days, when the counter of milliseconds begins anew.
    pub(crate) fn now(&mut self) -> Instant {
        let (ticks, left) = loop {
            let before = MILLIS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            if MILLIS.load(Ordering::Relaxed) == before {
                break (before, left);
            }
        };
        let passed = ticks.wrapping_sub(low(self.millis));
        self.millis = self.millis.saturating_add(passed.into());
        let micros = CYCLES_PER_MILLI.saturating_sub(left) / CYCLES_PER_MICRO;
        let micros = self.millis.saturating_mul(1000).saturating_add(micros.into());
        Instant::from_nanos(micros.saturating_mul(1000))
    }
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "that is the intent")]
const fn low(number: u64) -> u32 {
    number as u32
}
