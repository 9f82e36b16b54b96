//! Cheap decisions before any crypto: who may connect at all.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{Instant, Multiaddr, PeerId};

/// Why a connection was refused: one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("denied: {0}")]
pub struct Denied(pub &'static str);

/// An IP network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpPrefix {
    ip: IpAddr,
    bits: u8,
}

impl IpPrefix {
    /// The network of the first `bits` bits of `ip`.
    pub const fn new(ip: IpAddr, bits: u8) -> Self {
        Self { ip, bits }
    }

    /// Whether `ip` is in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                same(u32::from(own).into(), u32::from(ip).into(), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => same(own.into(), ip.into(), 128, self.bits),
            _ => false,
        }
    }
}

fn same(a: u128, b: u128, width: u8, bits: u8) -> bool {
    let shift = u32::from(width.saturating_sub(bits));
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

/// Whom to keep out, and whom to let in beyond the limits. Asked before a peer is dialed, before an address is dialed, on accept, and once the peer is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Peers that are neither dialed nor admitted.
    pub denied_peers: BTreeSet<PeerId>,
    /// Networks that are neither dialed nor accepted.
    pub denied_networks: Vec<IpPrefix>,
    /// If not empty, only these peers are dialed or admitted.
    pub allowed_peers: BTreeSet<PeerId>,
    /// Networks whose connections the limits on inbound connections do not concern.
    pub exempt_networks: Vec<IpPrefix>,
}

impl Gate {
    pub(crate) fn check_peer(&self, peer: &PeerId) -> Result<(), Denied> {
        if self.denied_peers.contains(peer) {
            return Err(Denied("denied-peer"));
        }
        if !self.allowed_peers.is_empty() && !self.allowed_peers.contains(peer) {
            return Err(Denied("not-allowed-peer"));
        }
        Ok(())
    }

    pub(crate) fn check_addr(&self, addr: &Multiaddr) -> Result<(), Denied> {
        match addr.ip() {
            Some(ip) if self.denied_networks.iter().any(|net| net.contains(ip)) => {
                Err(Denied("denied-network"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_exempt(&self, addr: &Multiaddr) -> bool {
        addr.ip()
            .is_some_and(|ip| self.exempt_networks.iter().any(|net| net.contains(ip)))
    }
}

/// What counts as one remote host: an IPv4 address, an IPv6 /56, or everything without an IP address.
pub(crate) fn host_of(addr: &Multiaddr) -> u128 {
    match addr.ip().map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => u32::from(ip).into(),
        Some(IpAddr::V6(ip)) => (u128::from(ip) >> 72) | (1 << 127),
        None => u128::MAX,
    }
}

/// How often each host begins a connection: as many at once as in one second.
#[derive(Debug, Default)]
pub(crate) struct AcceptRates {
    on_time: BTreeMap<u128, Instant>,
}

impl AcceptRates {
    pub(crate) fn admit(&mut self, now: Instant, host: u128, per_second: u32, max_hosts: usize) -> bool {
        let Some(gap) = Duration::from_secs(1).checked_div(per_second) else {
            return false;
        };
        let on_time = self.on_time.get(&host).copied().unwrap_or(now).max(now);
        if on_time - gap.saturating_mul(per_second.saturating_sub(1)) > now {
            return false;
        }
        if self.on_time.len() >= max_hosts {
            self.on_time.retain(|_, at| *at > now);
            if self.on_time.len() >= max_hosts && !self.on_time.contains_key(&host) {
                return false;
            }
        }
        self.on_time.insert(host, on_time + gap);
        true
    }
}
