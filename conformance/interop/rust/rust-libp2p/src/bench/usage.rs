//! What this process has used.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;

/// CPU time of this process so far, user and system.
pub fn cpu() -> Duration {
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
pub fn rss_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// Allows as many open files as the system lets this process have.
pub fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}

/// Wall and CPU time since it was made.
pub struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu(),
        }
    }

    /// Seconds of wall time and of CPU time.
    pub fn seconds(&self) -> (f64, f64) {
        (
            self.wall.elapsed().as_secs_f64(),
            (cpu() - self.cpu).as_secs_f64(),
        )
    }
}
