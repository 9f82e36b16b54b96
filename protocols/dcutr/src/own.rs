//! Where others may find us: listeners, proven addresses, and what peers say that they see.

use crate::Config;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{cmp::Reverse, net::IpAddr};
use libp2p_proto_core::{AddressClass, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{Context, Fact, OwnAddresses};

/// Observed addresses that are kept; the least observed makes room.
const MAX_SEEN: usize = 32;
/// Listeners that are kept.
const MAX_LISTENERS: usize = 64;
/// Observers that are kept of one.
const MAX_OBSERVERS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Own {
    told: OwnAddresses,
    /// Where we listen, whether or not others get through: that is what punching is for.
    listeners: BTreeSet<Multiaddr>,
    seen: BTreeMap<Multiaddr, BTreeSet<PeerId>>,
}

impl Own {
    /// Takes a fact in. Says whether it changed an address.
    pub(crate) fn learn(&mut self, cx: &Context<'_>, config: &Config, fact: &Fact) -> bool {
        match fact {
            Fact::ObservedAddress { addr, by, from } => self.observe(cx, config, addr, (*by, from)),
            Fact::ListenAddress { addr, up } => {
                if !up {
                    self.listeners.remove(addr);
                } else if self.listeners.len() < MAX_LISTENERS {
                    self.listeners.insert(addr.clone());
                }
                self.told.learn(fact)
            }
            fact => self.told.learn(fact),
        }
    }

    /// An observation counts if the observer's connection begins or ends at a port where we listen: a NAT maps others otherwise.
    fn observe(
        &mut self,
        cx: &Context<'_>,
        config: &Config,
        addr: &Multiaddr,
        (by, from): (PeerId, &Multiaddr),
    ) -> bool {
        let fits = is_tcp(addr) && may_be_used(config, addr, false);
        let at_listener = cx.connections(by).iter().any(|conn| {
            cx.connection_info(*conn)
                .filter(|info| info.remote == *from && !info.remote.is_relayed())
                .and_then(|info| info.local.as_ref())
                .is_some_and(|local| self.is_where_we_listen(local))
        });
        if !fits || !at_listener {
            return false;
        }
        if self.seen.len() >= MAX_SEEN && !self.seen.contains_key(addr) {
            let weakest = self.seen.iter().min_by_key(|(_, by)| by.len());
            if let Some(weakest) = weakest.map(|(addr, _)| addr.clone()) {
                self.seen.remove(&weakest);
            }
        }
        let observers = self.seen.entry(addr.clone()).or_default();
        let new = observers.is_empty();
        if observers.len() < MAX_OBSERVERS {
            observers.insert(by);
        }
        new
    }

    fn is_where_we_listen(&self, local: &Multiaddr) -> bool {
        let Some((ip, port)) = local.socket_tcp() else {
            return false;
        };
        self.listeners.iter().any(|addr| {
            addr.socket_tcp().is_some_and(|(at, listening)| {
                let anywhere = at.is_unspecified() && at.is_ipv4() == ip.is_ipv4();
                listening == port && (at == ip || anywhere)
            })
        })
    }

    /// An observer is gone, and what it saw may be gone with its connection.
    pub(crate) fn forget(&mut self, observer: &PeerId) {
        self.seen.retain(|_, by| {
            by.remove(observer);
            !by.is_empty()
        });
    }

    /// What peers are told, the likely ones first: proven addresses, then by how many see us there, then public listeners, then, where that is wanted, private ones.
    pub(crate) fn candidates(&self, config: &Config) -> Vec<Multiaddr> {
        let mut seen: Vec<_> = self.seen.iter().collect();
        seen.sort_by_key(|(_, by)| Reverse(by.len()));
        let seen = seen.into_iter().map(|(addr, _)| addr);
        let (public, rest): (Vec<_>, Vec<_>) = self
            .listeners
            .iter()
            .filter(|addr| may_be_used(config, addr, config.same_nat))
            .partition(|addr| addr.class() == AddressClass::Public);
        let confirmed = self.told.confirmed();
        let mut candidates: Vec<Multiaddr> = Vec::new();
        for addr in confirmed.chain(seen).chain(public).chain(rest) {
            let fits = is_tcp(addr) && may_be_used(config, addr, config.same_nat);
            if candidates.len() < config.max_own && fits && !candidates.contains(addr) {
                candidates.push(addr.clone());
            }
        }
        crate::wire::fitting(candidates, config.max_connect)
    }

    /// Whether this is an address of ours.
    pub(crate) fn has(&self, addr: &Multiaddr) -> bool {
        self.told.confirmed().any(|own| own == addr)
            || self.listeners.contains(addr)
            || self.seen.contains_key(addr)
    }

    /// Whether others see us at this public IP address.
    pub(crate) fn is_our_public_ip(&self, ip: IpAddr) -> bool {
        let public = |addr: &&Multiaddr| addr.class() == AddressClass::Public;
        let mut all = self
            .told
            .confirmed()
            .chain(&self.listeners)
            .chain(self.seen.keys())
            .filter(public);
        all.any(|own| own.ip() == Some(ip))
    }
}

/// Whether it is TCP on an IP address and nothing more: what can be punched.
pub(crate) fn is_tcp(addr: &Multiaddr) -> bool {
    addr.socket_tcp().is_some_and(|(_, port)| port > 0) && addr.components().count() == 2
}

/// Whether the address is public, or another one that is allowed: by `same_nat` a private one only.
pub(crate) fn may_be_used(config: &Config, addr: &Multiaddr, same_nat: bool) -> bool {
    match addr.class() {
        AddressClass::Public => true,
        AddressClass::Private => config.private_addrs || same_nat,
        AddressClass::Loopback => config.private_addrs,
        _ => false,
    }
}
