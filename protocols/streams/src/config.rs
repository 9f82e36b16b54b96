//! Limits.

use core::time::Duration;

/// What one stream may hold, and how many there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Unread bytes on one stream beyond which the peer's window closes. Default 256 KiB.
    pub read_capacity: usize,
    /// Unsent bytes on one stream beyond which a write is blocked. Default 256 KiB.
    pub write_capacity: usize,
    /// Largest receive window of one stream, in bytes. Default 512 KiB.
    pub recv_window: usize,
    /// Inbound streams of one name on one connection. Default 128.
    pub max_inbound: u16,
    /// Outbound streams of one name on one connection. Default 128.
    pub max_outbound: u16,
    /// Time until a name must be agreed. Default 10 s.
    pub open_timeout: Duration,
    /// How long the proposal of a name that the peer is known to speak waits for the application's first bytes, to leave with them. Default 1 ms.
    pub gather: Duration,
    /// Opens that may wait for the next drive. Default 1 024.
    pub max_opening: usize,
    /// Streams that are open, or gone with bytes that were not read; beyond it, streams of others are reset and opens refused. Default 4 096.
    pub max_streams: usize,
    /// Events that may wait before streams of others are reset and opens refused. Streams that are open go on: each has at most one event of each kind. Default 1 024.
    pub max_events: usize,
    /// Whether bytes go from the connection to the application, past this machine, for adapters that can do it: `read`, `write` and `finish` are not used then. Default
    /// false.
    pub hand_over: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_capacity: 256 * 1024,
            write_capacity: 256 * 1024,
            recv_window: 512 * 1024,
            max_inbound: 128,
            max_outbound: 128,
            open_timeout: Duration::from_secs(10),
            gather: Duration::from_millis(1),
            max_opening: 1024,
            max_streams: 4096,
            max_events: 1024,
            hand_over: false,
        }
    }
}
