//! Limits and rhythm.

use crate::{Error, INITIAL_WINDOW};
use core::time::Duration;

/// Limits and rhythm of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest body of a data frame that we send. Range 1 to 65 524 (go's maximum). Default 16 KiB, as rust-yamux.
    pub max_frame: u32,
    /// Whether SYN rides on the first data if that is ready in the same poll; otherwise SYN leaves on a window update of its own, ahead of the data in
    /// the same flight. Default `false`: nim does not skip the body of a SYN that it refuses, and loses its place.
    pub syn_on_data: bool,
    /// Streams of ours that may be announced before the first frame of the remote has come; others wait for it. Default 10: js aborts the session
    /// over more.
    pub max_early: u32,
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
    /// How long the remote may be silent while it owes the answer to a ping. Default 10 s, as go.
    pub ping_timeout: Duration,
    /// The longest round trip that growth believes, so that a peer gains nothing from late pongs. Default 2 s.
    pub max_rtt: Duration,
    /// How long control frames may wait for the link before the session ends. Default 10 s, as go.
    pub write_timeout: Duration,
    /// Answers to pings that may wait. Default 32, as go.
    pub max_pongs: usize,
    /// Resets that may wait when the remote opens another stream; half of it ends [`wants_input`](crate::Yamux::wants_input). Default 512, so that all
    /// control frames that can wait at once stay under 16 KiB.
    pub max_resets: usize,
    /// Streams that we have reset and whose late frames are still recognised, until two of our pings were answered. Default 256.
    pub max_tombstones: usize,
    /// Pings in one second. Default 100.
    pub pings_per_second: u32,
    /// Streams that the remote opens and resets in one second, on average; twice as many at once. Default 200.
    pub resets_per_second: u32,
    /// Frames without progress in ten seconds, net of those with progress. Default 10 000.
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
            syn_on_data: false,
            max_early: 10,
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
            max_resets: 512,
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
