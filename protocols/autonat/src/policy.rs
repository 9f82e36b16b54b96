//! Whom a server dials, and whom never.

use crate::addrs::{at_ip, ip_of, is_reachable_by_ip};
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use libp2p_proto_core::{ConnectionId, Multiaddr};
use libp2p_proto_stream_protocol::{Context, OwnAddresses};

/// What a server dials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Whether addresses that are not public are dialed.
    private: bool,
}

impl Policy {
    pub(crate) const fn new(private: bool) -> Self {
        Self { private }
    }

    /// For version 1: the address that a question comes from, if dials there are allowed at all.
    pub(crate) fn observed(
        self,
        cx: &Context<'_>,
        own: &OwnAddresses,
        conn: ConnectionId,
    ) -> Option<(Multiaddr, IpAddr)> {
        let remote = direct(cx, conn)?;
        let ip = ip_of(remote)?;
        self.is_allowed(own, remote).then(|| (remote.clone(), ip))
    }

    /// For version 1: the listed addresses, all at the IP address that the question comes from, and then that very address.
    pub(crate) fn candidates(
        self,
        cx: &Context<'_>,
        own: &OwnAddresses,
        listed: &[Bytes],
        remote: &Multiaddr,
        ip: IpAddr,
    ) -> Vec<Multiaddr> {
        let listed = listed.iter().filter_map(parse);
        let moved = listed.filter_map(|addr| at_ip(&addr, ip));
        let mut fit = Vec::new();
        for addr in moved.chain(core::iter::once(remote.clone())) {
            if !fit.contains(&addr) && self.is_allowed(own, &addr) && cx.can_dial(&addr) {
                fit.push(addr);
            }
        }
        fit
    }

    /// For version 2: the first address that we are able and willing to dial, its place in the list, and its IP address.
    pub(crate) fn choose(
        self,
        cx: &Context<'_>,
        own: &OwnAddresses,
        listed: &[Bytes],
    ) -> Option<(u32, Multiaddr, IpAddr)> {
        (0..).zip(listed).find_map(|(place, bytes)| {
            let addr = parse(bytes)?;
            let fit = self.is_allowed(own, &addr) && has_family(own, &addr) && cx.can_dial(&addr);
            ip_of(&addr).filter(|_| fit).map(|ip| (place, addr, ip))
        })
    }

    /// Names are not dialed: what they lead to is known too late. Neither is our own machine.
    fn is_allowed(self, own: &OwnAddresses, addr: &Multiaddr) -> bool {
        let ours = || {
            own.all()
                .any(|known| known.ip().is_some() && ip_of(known) == ip_of(addr))
        };
        is_reachable_by_ip(addr, self.private) && (self.private || !ours())
    }
}

/// Where a question comes from. `None` if that is a relay: what we see is not who asks.
pub(crate) fn direct<'a>(cx: &'a Context<'_>, conn: ConnectionId) -> Option<&'a Multiaddr> {
    let info = cx.connection_info(conn)?;
    let direct = !info.limited && !info.remote.is_relayed();
    direct.then_some(&info.remote)
}

fn parse(bytes: &Bytes) -> Option<Multiaddr> {
    Multiaddr::from_bytes(bytes.clone()).ok()?.split_peer_id().0
}

/// Whether we have an address of the same family ourselves, as far as we know any.
fn has_family(own: &OwnAddresses, addr: &Multiaddr) -> bool {
    let is_ip4 = |addr: &Multiaddr| ip_of(addr).map(|ip| ip.is_ipv4());
    let mut families = own.all().filter_map(is_ip4).peekable();
    let none = families.peek().is_none();
    none || families.any(|family| Some(family) == is_ip4(addr))
}
