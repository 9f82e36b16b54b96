//! What runs on a host.

use crate::trace::Trace;
use core::{fmt, time::Duration};
use libp2p_proto_core::{Instant, Rng, UnixTime};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_swarm::{Event, Swarm};
use smallvec::SmallVec;

/// Protocols, lent for one drive.
pub type Lent<'a> = SmallVec<[&'a mut dyn Protocol; 6]>;

/// An application on a simulated host: it owns the protocols.
pub trait App {
    /// The protocols, always the same ones in the same order.
    fn protocols(&mut self) -> Lent<'_>;

    /// An event of the swarm.
    fn handle_event(&mut self, _cx: &mut Step<'_>, _event: &Event) {}

    /// After each drive: the place to read the protocols' own events, and to command.
    fn step(&mut self, _cx: &mut Step<'_>) {}

    /// When [`step`](Self::step) is to be called although nothing happened, on the host's clock.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The host is to close: nothing is to be begun any more.
    fn close(&mut self) {}

    /// Bytes that its protocols hold, by their own account, for the report. Default 0.
    fn held(&self) -> usize {
        0
    }

    /// Things that belong to connections, and are to be none once all are gone (G4).
    fn census(&self) -> usize {
        0
    }
}

/// Lent to an application for one call.
pub struct Step<'a> {
    /// The host's own monotonic clock.
    pub now: Instant,
    /// The host's own wall clock.
    pub unix: UnixTime,
    /// The swarm, for its commands and getters.
    pub swarm: &'a mut Swarm,
    /// The application's own dice.
    pub dice: &'a mut Rng,
    pub(crate) place: u32,
    pub(crate) at: Instant,
    pub(crate) trace: &'a mut Trace,
    pub(crate) latencies: &'a mut crate::stats::Histogram,
    pub(crate) deliveries: &'a mut crate::stats::Histogram,
    pub(crate) stats: &'a mut crate::stats::Stats,
    pub(crate) wrong: &'a mut Option<String>,
}

impl Step<'_> {
    /// The number of this host.
    pub fn place(&self) -> usize {
        usize::try_from(self.place).unwrap_or_default()
    }

    /// Writes a line into the trace.
    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.tell(self.at, self.place, what);
    }

    /// One more round trip, for the report.
    pub fn measure(&mut self, rtt: Duration) {
        self.latencies.add(rtt);
    }

    /// A message that was published at `at`, in the simulation's time, is here, for the report.
    pub fn delivered(&mut self, at: Instant) {
        self.stats.delivered = self.stats.delivered.saturating_add(1);
        self.deliveries.add(self.at.since(at));
    }

    /// A lookup is over, for the report.
    pub fn looked_up(&mut self, found: bool) {
        self.stats.looked_up = self.stats.looked_up.saturating_add(1);
        self.stats.found = self.stats.found.saturating_add(u64::from(found));
    }

    /// What a peer sent is not what was sent to us: a violation of G2.
    pub fn accuse(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert(what.into());
    }
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step(host {}, {:?})", self.place, self.now)
    }
}

/// What an application is built of, at the start of a host and after each crash.
#[derive(Debug)]
pub struct Birth<'a> {
    /// The number of the host.
    pub place: usize,
    /// Who it is; the same after a crash.
    pub identity: &'a Identity,
    /// How often it was started before.
    pub boot: u32,
    /// Dice.
    pub dice: Rng,
}
