//! What counts as one remote host and one remote network, and how often each host begins a connection.

use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, Subnet, Timers};

/// One remote host: an IPv4 address, an IPv6 /56, or everything without an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(Subnet);

/// One remote network: an IPv4 /24, an IPv6 /48, or everything without an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(Subnet);

impl Host {
    pub(crate) fn of(addr: &Multiaddr) -> Self {
        Self(addr.subnet(32, 56))
    }
}

impl Network {
    pub(crate) fn of(addr: &Multiaddr) -> Self {
        Self(addr.subnet(24, 48))
    }

    /// The network of an observer of our address: IPv4 /24, IPv6 /56.
    pub(crate) fn of_observer(addr: &Multiaddr) -> Self {
        Self(addr.subnet(24, 56))
    }
}

/// How often each host begins a connection: as many at once as in one second.
#[derive(Debug, Default)]
pub(crate) struct AcceptRates {
    /// When each host will have waited for all that it began.
    on_time: Timers<Host>,
}

impl AcceptRates {
    pub(crate) fn admit(&mut self, now: Instant, host: Host, per_second: u32, max_hosts: usize) -> bool {
        let Some(gap) = Duration::from_secs(1).checked_div(per_second) else {
            return false;
        };
        let on_time = self.on_time.get(host).unwrap_or(now).max(now);
        if on_time - gap.saturating_mul(per_second.saturating_sub(1)) > now {
            return false;
        }
        // Those that have waited are as good as unknown.
        while self.on_time.pop_due(now).is_some() {}
        // Whoever owes least is forgotten first, so a crowd of hosts can't shut newcomers out.
        while self.on_time.len() >= max_hosts && self.on_time.get(host).is_none() {
            if self.on_time.pop_due(Instant::MAX).is_none() {
                break;
            }
        }
        self.on_time.set(host, on_time + gap);
        true
    }
}
