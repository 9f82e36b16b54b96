//! How many connections stand where. Counted when a connection changes its place, so that no limit costs a look at all of them.

use crate::{
    conn::{Conn, Phase},
    hosts::{Host, Network},
};
use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;
use libp2p_proto_core::{ConnectionId, Multiaddr};

/// Connections of one kind by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connecting: usize,
    pub(crate) upgrading_in: usize,
    pub(crate) upgrading_out: usize,
    pub(crate) admitted_in: usize,
    pub(crate) admitted_out: usize,
    pub(crate) established_in: usize,
    pub(crate) established_out: usize,
    pub(crate) closing: usize,
}

impl Counts {
    fn place(&mut self, phase: &Phase, inbound: bool) -> &mut usize {
        match (phase, inbound) {
            (Phase::Connecting, _) => &mut self.connecting,
            (Phase::Upgrading, true) => &mut self.upgrading_in,
            (Phase::Upgrading, false) => &mut self.upgrading_out,
            (Phase::Admitted, true) => &mut self.admitted_in,
            (Phase::Admitted, false) => &mut self.admitted_out,
            (Phase::Established { .. }, true) => &mut self.established_in,
            (Phase::Established { .. }, false) => &mut self.established_out,
            (Phase::Closing(_), _) => &mut self.closing,
        }
    }

    pub(crate) const fn established(&self) -> usize {
        self.established_in.saturating_add(self.established_out)
    }

    pub(crate) const fn pending_in(&self) -> usize {
        self.upgrading_in.saturating_add(self.admitted_in)
    }

    pub(crate) const fn pending_out(&self) -> usize {
        self.connecting
            .saturating_add(self.upgrading_out)
            .saturating_add(self.admitted_out)
    }

    /// Inbound connections that stand or are about to.
    pub(crate) const fn welcome_in(&self) -> usize {
        self.established_in.saturating_add(self.admitted_in)
    }

    /// Outbound connections that stand or are about to.
    pub(crate) const fn welcome_out(&self) -> usize {
        self.established_out.saturating_add(self.admitted_out)
    }

    const fn links(&self) -> usize {
        self.pending_in()
            .saturating_add(self.upgrading_out)
            .saturating_add(self.admitted_out)
            .saturating_add(self.established())
            .saturating_add(self.closing)
    }
}

/// Links of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostCounts {
    /// In any place but `Connecting`.
    pub(crate) all: usize,
    /// Inbound ones that are being upgraded.
    pub(crate) pending: usize,
}

/// The count of all connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Connections that the limits concern.
    pub(crate) ordinary: Counts,
    /// Connections that the gate exempts.
    pub(crate) exempt: Counts,
    hosts: BTreeMap<Host, HostCounts>,
    crowd: Crowd,
}

impl Census {
    /// Counts a connection where it stands now.
    pub(crate) fn enter(&mut self, id: ConnectionId, conn: &Conn) {
        self.count(id, conn, |count| count.saturating_add(1));
        if is_in_crowd(conn) {
            self.crowd.insert(Network::of(&conn.info.remote), id);
        }
    }

    /// Takes a connection from where it has stood.
    pub(crate) fn leave(&mut self, id: ConnectionId, conn: &Conn) {
        self.count(id, conn, |count| count.saturating_sub(1));
        if is_in_crowd(conn) {
            self.crowd.remove(Network::of(&conn.info.remote), id);
        }
    }

    fn count(&mut self, _: ConnectionId, conn: &Conn, change: impl Fn(usize) -> usize) {
        let inbound = conn.is_inbound();
        let counts = if conn.exempt {
            &mut self.exempt
        } else {
            &mut self.ordinary
        };
        let place = counts.place(&conn.phase, inbound);
        *place = change(*place);
        if conn.exempt || conn.phase == Phase::Connecting {
            return;
        }
        let host = Host::of(&conn.info.remote);
        let counts = self.hosts.entry(host).or_default();
        counts.all = change(counts.all);
        if inbound && matches!(conn.phase, Phase::Upgrading | Phase::Admitted) {
            counts.pending = change(counts.pending);
        }
        if *counts == HostCounts::default() {
            self.hosts.remove(&host);
        }
    }

    pub(crate) fn host(&self, host: Host) -> HostCounts {
        self.hosts.get(&host).copied().unwrap_or_default()
    }

    pub(crate) fn established(&self) -> usize {
        self.ordinary
            .established()
            .saturating_add(self.exempt.established())
    }

    pub(crate) fn exempt_links(&self) -> usize {
        self.exempt.links()
    }

    /// The pending connection that makes room for one more from `remote`, if its network has more of them than that of `remote`.
    pub(crate) fn makes_room_for(&self, remote: &Multiaddr) -> Option<ConnectionId> {
        self.crowd.makes_room_for(Network::of(remote))
    }
}

/// Only strangers are crowded out: whoever has proved its identity has earned its place.
fn is_in_crowd(conn: &Conn) -> bool {
    conn.is_inbound() && !conn.exempt && conn.phase == Phase::Upgrading
}

/// Inbound connections of strangers by network, and the order in which networks make room.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crowd {
    networks: BTreeMap<Network, BTreeSet<ConnectionId>>,
    /// The last is first to make room: most connections, then the oldest one.
    order: BTreeSet<(usize, Reverse<ConnectionId>, Network)>,
}

impl Crowd {
    fn insert(&mut self, network: Network, id: ConnectionId) {
        self.change(network, |members| {
            members.insert(id);
        });
    }

    fn remove(&mut self, network: Network, id: ConnectionId) {
        self.change(network, |members| {
            members.remove(&id);
        });
    }

    fn change(&mut self, network: Network, change: impl FnOnce(&mut BTreeSet<ConnectionId>)) {
        let mut members = self.networks.remove(&network).unwrap_or_default();
        if let Some(oldest) = members.first() {
            self.order.remove(&(members.len(), Reverse(*oldest), network));
        }
        change(&mut members);
        if let Some(oldest) = members.first() {
            self.order.insert((members.len(), Reverse(*oldest), network));
            self.networks.insert(network, members);
        }
    }

    fn makes_room_for(&self, network: Network) -> Option<ConnectionId> {
        let own = self.networks.get(&network).map_or(0, BTreeSet::len);
        let (most, Reverse(oldest), _) = self.order.last()?;
        (*most > own).then_some(*oldest)
    }
}
