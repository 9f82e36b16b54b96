//! Addresses of peers, bounded, with back-off of those that failed.

use crate::ConfigError;
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, framing, varint};

/// Failures of one address.
#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    until: Instant,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    addrs: Vec<Multiaddr>,
    /// Whether a signed record carried the addresses.
    certified: bool,
    failed: BTreeMap<Multiaddr, Failed>,
    /// When the peer was last heard of; the least recent goes first.
    touched: u64,
}

/// What is known of where peers are.
#[derive(Clone, Debug)]
pub struct AddressBook {
    peers: BTreeMap<PeerId, Entry>,
    max_peers: usize,
    max_addrs: usize,
    clock: u64,
}

/// The largest address and the largest peer entry of a snapshot.
const MAX_ITEM: usize = 1 << 20;

impl AddressBook {
    /// An empty book of at most `max_peers` peers with `max_addrs` addresses each.
    pub const fn new(max_peers: usize, max_addrs: usize) -> Self {
        Self {
            peers: BTreeMap::new(),
            max_peers,
            max_addrs,
            clock: 0,
        }
    }

    /// The addresses of a peer, the newest last.
    pub fn addrs(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |entry| &entry.addrs)
    }

    /// Peers that are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Adds one address; the oldest goes if there are too many.
    pub fn add(&mut self, peer: PeerId, addr: Multiaddr) {
        let max = self.max_addrs;
        let entry = self.touch(peer);
        if !entry.addrs.contains(&addr) {
            if entry.addrs.len() >= max && !entry.addrs.is_empty() {
                entry.addrs.remove(0);
            }
            entry.addrs.push(addr);
        }
    }

    /// Replaces the addresses that a peer claims. Claims that are not certified don't replace certified ones.
    pub fn claim(&mut self, peer: PeerId, addrs: &Arc<[Multiaddr]>, certified: bool) {
        let max = self.max_addrs;
        let entry = self.touch(peer);
        if certified || !entry.certified {
            entry.certified = certified;
            entry.addrs = addrs.iter().take(max).cloned().collect();
            entry.failed.retain(|addr, _| addrs.contains(addr));
        }
    }

    fn touch(&mut self, peer: PeerId) -> &mut Entry {
        self.clock = self.clock.saturating_add(1);
        if self.peers.len() >= self.max_peers && !self.peers.contains_key(&peer) {
            let oldest = self
                .peers
                .iter()
                .min_by_key(|(_, entry)| entry.touched)
                .map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let entry = self.peers.entry(peer).or_default();
        entry.touched = self.clock;
        entry
    }

    /// Notes that an address failed: it is left alone for 5 s + 1 s × failures², at most 5 min.
    pub(crate) fn failed(&mut self, now: Instant, peer: PeerId, addr: &Multiaddr) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.addrs.contains(addr) {
            let times = entry.failed.get(addr).map_or(0, |failed| failed.times);
            let wait = Duration::from_secs(u64::from(times.saturating_mul(times)).saturating_add(5))
                .min(Duration::from_secs(300));
            entry.failed.insert(
                addr.clone(),
                Failed {
                    times: times.saturating_add(1),
                    until: now + wait,
                },
            );
        }
    }

    /// Notes that an address worked.
    pub(crate) fn worked(&mut self, peer: PeerId, addr: &Multiaddr) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.failed.remove(addr);
        }
    }

    pub(crate) fn is_backed_off(&self, now: Instant, peer: &PeerId, addr: &Multiaddr) -> bool {
        let failed = self.peers.get(peer).and_then(|entry| entry.failed.get(addr));
        failed.is_some_and(|failed| failed.until > now)
    }

    /// The book as bytes, for a restart.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (peer, entry) in &self.peers {
            let mut item = Vec::new();
            framing::encode(peer.as_bytes(), &mut item);
            varint::encode(u64::from(entry.certified), &mut item);
            for addr in &entry.addrs {
                framing::encode(addr.as_bytes(), &mut item);
            }
            framing::encode(&item, &mut out);
        }
        out
    }

    /// Adds what a snapshot holds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] if the bytes are no snapshot; what was read before stays.
    pub fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), ConfigError> {
        while !snapshot.is_empty() {
            let mut item = take(&mut snapshot)?;
            let peer = PeerId::from_bytes(take(&mut item)?).map_err(|_| BROKEN)?;
            let (certified, len) = varint::decode_usize(item).map_err(|_| BROKEN)?;
            item = item.get(len..).unwrap_or_default();
            let mut addrs = Vec::new();
            while !item.is_empty() {
                addrs.push(
                    Multiaddr::from_bytes(Bytes::copy_from_slice(take(&mut item)?)).map_err(|_| BROKEN)?,
                );
            }
            self.claim(peer, &addrs.into(), certified == 1);
        }
        Ok(())
    }
}

const BROKEN: ConfigError = ConfigError::OutOfRange("snapshot");

fn take<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], ConfigError> {
    let (len, prefix) = framing::decode_prefix(input, MAX_ITEM)
        .ok()
        .flatten()
        .ok_or(BROKEN)?;
    let (item, rest) = input
        .get(prefix..)
        .and_then(|rest| rest.split_at_checked(len))
        .ok_or(BROKEN)?;
    *input = rest;
    Ok(item)
}
