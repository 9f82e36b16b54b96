//! Limits.

use crate::Error;
use core::time::Duration;

/// Whether to serve, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether inbound transfers are accepted and announced. Default false, as the specification asks.
    pub serve: bool,
    /// Whether transfers may run over limited (relayed) connections, and use up what these may carry. Default false.
    pub on_limited: bool,
    /// Bytes that may wait on one stream. At least 64 KiB. Default 1 MiB.
    pub send_capacity: usize,
    /// Largest receive window, in bytes. Default 16 MiB.
    pub recv_window: usize,
    /// How long one transfer may take, served or asked for. Default 5 min, as in rust-libp2p.
    pub timeout: Duration,
    /// Bytes that a served transfer may receive, and send: a request over it is reset. Default `u64::MAX`, as the time limit bounds it.
    pub max_bytes: u64,
    /// Time between two progress events of a transfer of ours. Default 100 ms.
    pub progress: Duration,
    /// Transfers of ours at once. Default 16.
    pub max_runs: usize,
    /// Events that may wait. Default 256.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serve: false,
            on_limited: false,
            send_capacity: 1 << 20,
            recv_window: 16 << 20,
            timeout: Duration::from_secs(300),
            max_bytes: u64::MAX,
            progress: Duration::from_millis(100),
            max_runs: 16,
            max_events: 256,
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
        if self.send_capacity < 64 * 1024 {
            return Err(Error::BadConfig("send_capacity"));
        }
        Ok(())
    }
}
