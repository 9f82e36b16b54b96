//! Limits and rhythm.

use crate::{Error, INITIAL_WINDOW};
use core::time::Duration;

/// Limits of one session. Shared limits of several streams are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest body of a data frame that we send. Range 1 to 65 524 (go's maximum). Default 16 KiB, as rust-yamux.
    pub max_frame: u32,
    /// Streams of the remote that may be open. Default 250: rust closes the connection at 512 in all, nim refuses at 256.
    pub max_inbound: usize,
    /// Streams of ours that may be open. Default 250.
    pub max_outbound: usize,
    /// Streams of ours that may be unacknowledged. Range 1 to 256. Default 256, as the specification says.
    pub max_unacknowledged: usize,
    /// Streams of the remote that may wait for `accept`. Default 256.
    pub max_unaccepted: usize,
    /// Largest receive window of one stream. At least 256 KiB. Default 16 MiB, as in go and js.
    pub max_window: u32,
    /// Credit beyond the first 256 KiB of each stream, summed over the session. Default 64 MiB.
    pub growth_budget: usize,
    /// Time between two pings; the first is sent at once. They measure the round trip and find dead peers. Default 30 s, as go.
    pub ping_interval: Duration,
    /// How long an answer to a ping may take. Default 10 s, as go.
    pub ping_timeout: Duration,
    /// The longest round trip that growth believes, so that a peer gains nothing from late pongs. Default 2 s.
    pub max_rtt: Duration,
    /// How long control frames may wait for the link before the session ends. Default 10 s, as go.
    pub write_timeout: Duration,
    /// Answers to pings that may wait. Default 32, as go.
    pub max_pongs: usize,
    /// Resets that may wait. Default 1 024, as smoldot.
    pub max_resets: usize,
    /// Streams that we have reset and whose late frames are still recognised. Default 256.
    pub max_tombstones: usize,
    /// Pings in one second. Default 100.
    pub pings_per_second: u32,
    /// Streams that the remote opens and resets in one second, on average; twice as many at once. Default 200.
    pub resets_per_second: u32,
    /// Frames that carry nothing, in ten seconds. Default 10 000.
    pub empty_frames: u32,
    /// Frames for unknown streams in one second. Default 1 000.
    pub unknown_frames: u32,
    /// Bytes for unknown streams in one minute. Default 64 MiB.
    pub unknown_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame: 16 * 1024,
            max_inbound: 250,
            max_outbound: 250,
            max_unacknowledged: 256,
            max_unaccepted: 256,
            max_window: 16 << 20,
            growth_budget: 64 << 20,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            max_rtt: Duration::from_secs(2),
            write_timeout: Duration::from_secs(10),
            max_pongs: 32,
            max_resets: 1024,
            max_tombstones: 256,
            pings_per_second: 100,
            resets_per_second: 200,
            empty_frames: 10_000,
            unknown_frames: 1_000,
            unknown_bytes: 64 << 20,
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.max_frame == 0 || self.max_frame > 65_524 {
            return Err(Error::BadConfig("max_frame"));
        }
        if self.max_unacknowledged == 0 || self.max_unacknowledged > 256 {
            return Err(Error::BadConfig("max_unacknowledged"));
        }
        if self.max_window < INITIAL_WINDOW {
            return Err(Error::BadConfig("max_window"));
        }
        Ok(())
    }
}
