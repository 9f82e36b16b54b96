//! Peers that are expected to connect to us, as the other half of a hole punch.

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::IpAddr;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Side};
use libp2p_proto_stream_protocol::Expected;

/// Addresses that are kept of one peer.
const MAX_ADDRS: usize = 16;

/// Who is expected, from where, in which role.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    by_peer: BTreeMap<PeerId, Entry>,
}

#[derive(Debug)]
struct Entry {
    addrs: Vec<(IpAddr, u16)>,
    /// Hosts of which another port counts, once.
    hosts: Vec<IpAddr>,
    until: Instant,
    side: Side,
}

impl Expectations {
    /// `false`: there are `max` already.
    pub(crate) fn add(&mut self, now: Instant, expected: Expected, max: usize) -> bool {
        self.by_peer.retain(|_, entry| entry.until > now);
        self.by_peer.remove(&expected.peer);
        if expected.until <= now {
            return true;
        }
        if self.by_peer.len() >= max {
            return false;
        }
        let sockets = expected.addrs.iter().filter_map(socket);
        let addrs: Vec<_> = sockets.take(MAX_ADDRS).collect();
        let mut hosts: Vec<_> = addrs.iter().map(|(ip, _)| *ip).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let entry = Entry {
            addrs,
            hosts,
            until: expected.until,
            side: expected.side,
        };
        self.by_peer.insert(expected.peer, entry);
        true
    }

    /// Whom a link from there may bring, and our role on it. The exact address counts as often as it comes, another port of its host once.
    pub(crate) fn find(&mut self, now: Instant, remote: &Multiaddr) -> Option<(PeerId, Side)> {
        let from = socket(remote)?;
        let alive = |entry: &Entry| entry.until > now;
        let exact = self
            .by_peer
            .iter()
            .find(|(_, entry)| alive(entry) && entry.addrs.contains(&from));
        if let Some((peer, entry)) = exact {
            return Some((*peer, entry.side));
        }
        let (peer, entry) = self
            .by_peer
            .iter_mut()
            .find(|(_, entry)| alive(entry) && entry.hosts.contains(&from.0))?;
        entry.hosts.retain(|host| *host != from.0);
        Some((*peer, entry.side))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_peer.len()
    }
}

fn socket(addr: &Multiaddr) -> Option<(IpAddr, u16)> {
    let (ip, port) = addr.socket_tcp()?;
    Some((ip.to_canonical(), port))
}
