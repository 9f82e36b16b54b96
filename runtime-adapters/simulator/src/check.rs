//! What must hold in every run, whatever the faults.

use libp2p_proto_core::Instant;
use std::fmt;

/// The first thing that was wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which criterion: `G2` (identity and data), `G3` (budgets), `G4` (nothing is left), `G5` (busy loop, lost wake-up), `G7` (a goal in time).
    pub criterion: &'static str,
    /// When, in the simulation's time.
    pub at: Instant,
    /// The host that it concerns.
    pub host: usize,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_nanos() / 1_000_000;
        let Self {
            criterion,
            host,
            what,
            ..
        } = self;
        write!(f, "{criterion} at {millis} ms, host {host}: {what}")
    }
}

impl std::error::Error for Violation {}
