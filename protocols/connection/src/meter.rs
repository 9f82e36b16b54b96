//! What the connection has carried, and when the swarm is to hear of it.

use crate::ConnectionStats;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant};
use libp2p_proto_stream_protocol::Traffic;

/// Time between two reports at least.
const EVERY: Duration = Duration::from_secs(1);
/// Fewer bytes wait for an occasion: nobody is woken to report a ping.
const MUCH: u64 = 4096;

#[derive(Default)]
pub(crate) struct Meter {
    bytes_in: u64,
    bytes_out: u64,
    /// Bytes of both directions that were reported.
    told: u64,
    told_rtt: Option<Duration>,
    /// When to report, if there is anything to report.
    due: Option<Instant>,
}

impl Meter {
    pub(crate) const fn take_in(&mut self, bytes: usize) {
        self.bytes_in = self.bytes_in.saturating_add(bytes as u64);
    }

    pub(crate) const fn take_out(&mut self, bytes: usize) {
        self.bytes_out = self.bytes_out.saturating_add(bytes as u64);
    }

    const fn untold(&self) -> u64 {
        self.bytes_in
            .saturating_add(self.bytes_out)
            .saturating_sub(self.told)
    }

    /// Something may have changed: it is to be reported in a while.
    pub(crate) fn watch(&mut self, now: Instant) {
        if self.due.is_none() && self.untold() > 0 {
            self.due = Some(now + EVERY);
        }
    }

    /// The report, if its time has come.
    pub(crate) fn poll_report(&mut self, now: Instant, rtt: Option<Duration>) -> Option<Traffic> {
        self.due.filter(|due| *due <= now)?;
        self.last_report(rtt)
    }

    /// The report, if anything has changed since the last one.
    pub(crate) fn last_report(&mut self, rtt: Option<Duration>) -> Option<Traffic> {
        self.due = None;
        if self.untold() == 0 && rtt == self.told_rtt {
            return None;
        }
        self.told = self.bytes_in.saturating_add(self.bytes_out);
        self.told_rtt = rtt;
        Some(Traffic {
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            rtt,
        })
    }

    /// When to report although nothing else happens: much was carried, or the first round trip was measured.
    pub(crate) fn poll_timeout(&self, rtt: Option<Duration>) -> Option<Deadline> {
        let much = self.untold() >= MUCH || (self.told_rtt.is_none() && rtt.is_some());
        let due = self.due.filter(|_| much)?;
        Some(Deadline::new(due, "report"))
    }

    pub(crate) const fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            streams: 0,
            unread: 0,
            rtt: None,
        }
    }
}
