//! Limits and rhythm.

use crate::Error;
use core::time::Duration;

/// Limits and rhythm of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the request or answer that upgrades, its empty line included. Range 256 to 1 MiB. Default 8 KiB.
    pub max_head: usize,
    /// Header lines in it. Range 8 to 1 024. Default 64: a browser sends about fifteen.
    pub max_headers: usize,
    /// Payload that one frame may announce. Range 125 to 2⁶³−1 bytes. Default 16 MiB.
    pub max_frame: u64,
    /// Payload of all frames of a message. At least `max_frame`. Default 16 MiB. Nothing of it is kept, so it costs no memory.
    pub max_message: u64,
    /// Payload of the largest frame that we send; each is a message of its own. Range 1 to 65 535. Default 65 535: the deployed implementations take 1 MiB at least.
    pub max_sent_frame: usize,
    /// Pings and pongs that may come in one second. Default 100.
    pub controls_per_second: u32,
    /// Time for the upgrade, progress or not. Default 10 s.
    pub upgrade_timeout: Duration,
    /// Time for the last frame to leave and for the remote's to come. Default 500 ms, as js.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_head: 8 * 1024,
            max_headers: 64,
            max_frame: 16 << 20,
            max_message: 16 << 20,
            max_sent_frame: 65_535,
            controls_per_second: 100,
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_millis(500),
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
        if self.max_head < 256 || self.max_head > 1 << 20 {
            return Err(Error::BadConfig("max_head"));
        }
        if self.max_headers < 8 || self.max_headers > 1024 {
            return Err(Error::BadConfig("max_headers"));
        }
        if self.max_frame < 125 || self.max_frame > u64::MAX >> 1 {
            return Err(Error::BadConfig("max_frame"));
        }
        if self.max_message < self.max_frame {
            return Err(Error::BadConfig("max_message"));
        }
        if self.max_sent_frame == 0 || self.max_sent_frame > 65_535 {
            return Err(Error::BadConfig("max_sent_frame"));
        }
        Ok(())
    }
}
