//! What must hold in every run, whatever the faults.

use crate::{direct::Direct, pipe::Full};
use libp2p_proto_core::{Instant, TransmitBuf};
use libp2p_proto_stream_protocol::FromConnection;
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

impl Full {
    /// What a look finds wrong: a budget that is exceeded, something that was forgotten.
    pub(crate) fn wrong(
        &mut self,
        local: Instant,
        wants: bool,
        room: bool,
        scratch: &mut Vec<u8>,
    ) -> Option<(&'static str, &'static str)> {
        /// A quarter more than the unread budget, one frame of Noise, and a little.
        const MOST: usize = (1 << 20) + (1 << 18) + (1 << 17);
        if self.machine.stats().unread > MOST || self.tail.len() > MOST {
            return Some(("G3", "more unread bytes than a connection may hold"));
        }
        if room
            && self
                .machine
                .poll_transmit(local, &mut TransmitBuf::new(scratch, 1 << 20))
        {
            return Some(("G5", "bytes to send were forgotten"));
        }
        // What it has carried it tells on occasion, and a look is one.
        let told = wants.then(|| self.machine.poll_message()).flatten();
        if told.is_some_and(|told| !tells_traffic(&told)) {
            return Some(("G5", "a message to the swarm was forgotten"));
        }
        let due = self.machine.poll_timeout();
        if due.is_some_and(|deadline| deadline.is_due(local)) {
            return Some(("G5", "a deadline was passed over"));
        }
        None
    }
}

impl Direct {
    /// A budget that is exceeded.
    pub(crate) fn wrong(&self) -> Option<(&'static str, &'static str)> {
        let most = self.limits().unread.saturating_mul(2);
        (self.unread() > most).then_some(("G3", "more unread bytes than a connection may hold"))
    }
}

/// Whether it is about what a connection has carried, be it one inside of another.
fn tells_traffic(news: &FromConnection) -> bool {
    match news {
        FromConnection::Inner { news, .. } => tells_traffic(news),
        news => matches!(news, FromConnection::Carried(_)),
    }
}
