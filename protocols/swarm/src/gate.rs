//! Cheap decisions before and between the costly ones: who may connect at all.

use alloc::{collections::BTreeSet, vec::Vec};
use core::net::IpAddr;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_stream_protocol::ConnectionInfo;

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

/// The five points at which a connection can be refused, with what is known there.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Stage<'a> {
    /// Before any address of a peer is looked up.
    DialPeer {
        /// The wanted peer.
        peer: &'a PeerId,
    },
    /// Before a socket is connected.
    DialAddress {
        /// The wanted peer, if one was named.
        peer: Option<&'a PeerId>,
        /// Where to.
        addr: &'a Multiaddr,
    },
    /// A link came in; no byte was read.
    Accept {
        /// Where it came in.
        local: Option<&'a Multiaddr>,
        /// Where it comes from.
        remote: &'a Multiaddr,
    },
    /// The peer has proved who it is; there is no multiplexer.
    Secured {
        /// The peer.
        peer: &'a PeerId,
        /// The connection; its side is the direction.
        info: &'a ConnectionInfo,
    },
    /// The connection could stand.
    Upgraded {
        /// The peer.
        peer: &'a PeerId,
        /// The connection.
        info: &'a ConnectionInfo,
    },
}

/// A rule of the application's own: it must depend on its arguments only.
pub type Veto = fn(&Stage<'_>) -> Result<(), Denied>;

/// Whom to keep out, and whom to let in beyond the limits. Asked at each [`Stage`]; may be changed at any time.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Peers that are neither dialed nor admitted.
    pub denied_peers: BTreeSet<PeerId>,
    /// Networks that are neither dialed nor accepted.
    pub denied_networks: Vec<IpPrefix>,
    /// If not empty, only these peers are dialed or admitted.
    pub allowed_peers: BTreeSet<PeerId>,
    /// Networks whose inbound connections have a limit of their own, `max_exempt`, and no other.
    pub exempt_networks: Vec<IpPrefix>,
    /// A rule of the application's own, asked after the lists.
    pub veto: Option<Veto>,
}

impl Gate {
    /// Whether a connection may go on at this point.
    ///
    /// # Errors
    ///
    /// [`Denied`] with the rule that speaks against it.
    pub fn check(&self, stage: &Stage<'_>) -> Result<(), Denied> {
        match *stage {
            Stage::DialPeer { peer } => self.check_peer(peer)?,
            Stage::DialAddress { addr, .. } => self.check_network(addr)?,
            Stage::Accept { remote, .. } => self.check_network(remote)?,
            Stage::Secured { peer, info } | Stage::Upgraded { peer, info } => {
                self.check_peer(peer)?;
                self.check_network(&info.remote)?;
            }
        }
        self.veto.map_or(Ok(()), |veto| veto(stage))
    }

    fn check_peer(&self, peer: &PeerId) -> Result<(), Denied> {
        if self.denied_peers.contains(peer) {
            return Err(Denied("denied-peer"));
        }
        if !self.allowed_peers.is_empty() && !self.allowed_peers.contains(peer) {
            return Err(Denied("not-allowed-peer"));
        }
        Ok(())
    }

    fn check_network(&self, addr: &Multiaddr) -> Result<(), Denied> {
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
