//! What this process has used.

use crate::Failure;
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    time::TimeVal,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// CPU time of this process so far, user and system.
pub(crate) fn cpu() -> Duration {
    let time = |value: TimeVal| {
        let micros = value
            .tv_sec()
            .saturating_mul(1_000_000)
            .saturating_add(value.tv_usec());
        Duration::from_micros(micros.try_into().unwrap_or_default())
    };
    getrusage(UsageWho::RUSAGE_SELF)
        .map(|usage| time(usage.user_time()) + time(usage.system_time()))
        .unwrap_or_default()
}

/// Resident memory of this process, in KiB.
pub(crate) fn rss_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// Allows as many open files as the system lets this process have, and says how many these are.
pub(crate) fn raise_file_limit() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// Wall and CPU time since it was made.
pub(crate) struct Watch {
    wall: Instant,
    cpu: Duration,
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
impl Watch {
    /// Starts to measure.
    pub(crate) fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu(),
        }
    }

    /// Seconds of wall time and of CPU time.
    pub(crate) fn seconds(&self) -> (f64, f64) {
        (
            self.wall.elapsed().as_secs_f64(),
            cpu().saturating_sub(self.cpu).as_secs_f64(),
        )
    }
}

/// Waits until a counter has reached a number, or longer than that is worth.
pub(crate) fn until(counter: &AtomicUsize, wanted: usize, patience: Duration) -> Result<(), Failure> {
    let watch = Watch::start();
    while counter.load(Ordering::Relaxed) < wanted {
        if watch.seconds().0 > patience.as_secs_f64() {
            let got = counter.load(Ordering::Relaxed);
            return Err(format!("{got} of {wanted} came").into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
