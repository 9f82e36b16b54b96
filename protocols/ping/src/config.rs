//! Limits and rhythm.

use crate::Error;
use core::time::Duration;

/// How often to ping, how long to wait, and how much to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time between two rounds on an idle connection; `None`: only by command. Default 15 s, as rust-libp2p.
    pub interval: Option<Duration>,
    /// How long one round may take, from opening the stream where one is opened. Default 10 s, as js-libp2p.
    pub timeout: Duration,
    /// Rounds by interval that may time out in a row before the connection is closed; 0: never. Default 2.
    pub max_failures: u32,
    /// Blocks echoed in one second on one inbound stream, on average. Range 1 to 1 000 000. Default 10.
    pub rate: u32,
    /// Blocks echoed at once before the average counts. At least 1. Default 20.
    pub burst: u32,
    /// How long an inbound stream may be silent before we finish it. Default 30 s, as go-libp2p.
    pub inbound_idle: Duration,
    /// Inbound streams of each peer. Default 2, as the specification says.
    pub max_inbound: u16,
    /// Commanded runs that may wait or be under way. Default 1 024.
    pub max_runs: usize,
    /// Events that may wait. Default 1 024.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(15)),
            timeout: Duration::from_secs(10),
            max_failures: 2,
            rate: 10,
            burst: 20,
            inbound_idle: Duration::from_secs(30),
            max_inbound: 2,
            max_runs: 1024,
            max_events: 1024,
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
        if self.rate == 0 || self.rate > 1_000_000 {
            return Err(Error::BadConfig("rate"));
        }
        if self.burst == 0 {
            return Err(Error::BadConfig("burst"));
        }
        Ok(())
    }
}
