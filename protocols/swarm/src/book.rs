//! Addresses of peers: bounded, with a time to live by where they come from, and with back-off of those that failed.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId};

/// Where an address was learned. It decides for how long the address is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Others spoke of it.
    Heard,
    /// The peer claims it.
    Claimed,
    /// The peer claims it in a signed record.
    Certified,
    /// A connection stood there.
    Dialed,
    /// The application gave it: it never expires.
    Told,
}

/// Limits of an [`AddressBook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookLimits {
    /// Peers; the one that was heard of longest ago makes room. Default 10 000.
    pub max_peers: usize,
    /// Addresses of one peer. Default 64.
    pub max_addrs: usize,
    /// Bytes of memory of the whole book, about. Default 16 MiB.
    pub max_bytes: usize,
    /// Time to live of [`Source::Heard`]. Default 10 min.
    pub heard: Duration,
    /// Time to live of [`Source::Claimed`]. Default 1 h, as js-libp2p.
    pub claimed: Duration,
    /// Time to live of [`Source::Certified`]. Default 24 h.
    pub certified: Duration,
    /// Time to live of [`Source::Dialed`], and of every address of a peer from the end of its last connection. Default 30 min.
    pub dialed: Duration,
}

impl Default for BookLimits {
    fn default() -> Self {
        Self {
            max_peers: 10_000,
            max_addrs: 64,
            max_bytes: 16 << 20,
            heard: Duration::from_secs(10 * 60),
            claimed: Duration::from_secs(60 * 60),
            certified: Duration::from_secs(24 * 60 * 60),
            dialed: Duration::from_secs(30 * 60),
        }
    }
}

impl BookLimits {
    pub(crate) fn expiry(&self, now: Instant, source: Source) -> Instant {
        now + match source {
            Source::Heard => self.heard,
            Source::Claimed => self.claimed,
            Source::Certified => self.certified,
            Source::Dialed => self.dialed,
            Source::Told => return Instant::MAX,
        }
    }
}

/// Failures of one address.
#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    until: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) addr: Multiaddr,
    pub(crate) source: Source,
    pub(crate) expires: Instant,
    failed: Option<Failed>,
}

impl Known {
    fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.addr.as_bytes().len())
    }
}

#[derive(Clone, Debug, Default)]
struct Entry {
    addrs: Vec<Known>,
    /// When the peer was last heard of, as a count.
    touched: u64,
}

/// Memory of a peer without addresses: its entry and its place in the order of eviction.
const PEER_BYTES: usize = 2 * (size_of::<PeerId>() + size_of::<Entry>());

/// What is known of where peers are.
#[derive(Clone, Debug)]
pub struct AddressBook {
    limits: BookLimits,
    peers: BTreeMap<PeerId, Entry>,
    /// The order in which peers make room.
    by_touch: BTreeSet<(u64, PeerId)>,
    bytes: usize,
    clock: u64,
}

impl AddressBook {
    /// An empty book.
    pub const fn new(limits: BookLimits) -> Self {
        Self {
            limits,
            peers: BTreeMap::new(),
            by_touch: BTreeSet::new(),
            bytes: 0,
            clock: 0,
        }
    }

    /// The limits.
    pub const fn limits(&self) -> &BookLimits {
        &self.limits
    }

    /// The addresses of a peer that have not expired, the newest last.
    pub fn addrs(&self, now: Instant, peer: &PeerId) -> impl Iterator<Item = &Multiaddr> {
        self.live(now, peer).map(|known| &known.addr)
    }

    /// Where an address was learned, if it is known and has not expired.
    pub fn source(&self, now: Instant, peer: &PeerId, addr: &Multiaddr) -> Option<Source> {
        self.live(now, peer)
            .find(|known| known.addr == *addr)
            .map(|known| known.source)
    }

    /// The peers, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.keys()
    }

    /// Peers that are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Bytes of memory, about.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn live(&self, now: Instant, peer: &PeerId) -> impl Iterator<Item = &Known> {
        let entry = self.peers.get(peer).into_iter();
        entry
            .flat_map(|entry| &entry.addrs)
            .filter(move |known| known.expires > now)
    }

    /// Adds one address, or prolongs its life. If there are too many, the one that expires first makes room, which may be this one.
    pub fn add(&mut self, now: Instant, peer: PeerId, addr: Multiaddr, source: Source) {
        let expires = self.limits.expiry(now, source);
        self.insert(peer, addr, source, expires);
    }

    pub(crate) fn insert(&mut self, peer: PeerId, addr: Multiaddr, source: Source, expires: Instant) {
        let max = self.limits.max_addrs.max(1);
        self.change(peer, |addrs| {
            if let Some(known) = addrs.iter_mut().find(|known| known.addr == addr) {
                known.source = known.source.max(source);
                known.expires = known.expires.max(expires);
                return;
            }
            if addrs.len() >= max {
                let places = addrs.iter().enumerate();
                let first = places.min_by_key(|(_, known)| known.expires);
                match first {
                    // What is heard of a peer drives out nothing that holds for longer.
                    Some((_, known)) if known.expires > expires => return,
                    Some((place, _)) => drop(addrs.remove(place)),
                    None => {}
                }
            }
            // Most peers have one address, and there are thousands of them.
            if addrs.len() == addrs.capacity() {
                addrs.reserve_exact(addrs.len().max(1));
            }
            addrs.push(Known {
                addr,
                source,
                expires,
                failed: None,
            });
        });
    }

    /// Takes in what a peer claims: all its addresses, in place of what it claimed before. A signed record also replaces what was learned in other ways,
    /// except from the application; a claim without signature changes nothing while a signed one lives.
    pub fn claim(&mut self, now: Instant, peer: PeerId, addrs: &[Multiaddr], certified: bool) {
        if !certified
            && self
                .live(now, &peer)
                .any(|known| known.source == Source::Certified)
        {
            return;
        }
        let replaced = if certified {
            Source::Dialed
        } else {
            Source::Claimed
        };
        self.change(peer, |known| {
            known.retain(|known| known.source > replaced || addrs.contains(&known.addr));
        });
        let source = if certified {
            Source::Certified
        } else {
            Source::Claimed
        };
        for addr in addrs.iter().take(self.limits.max_addrs) {
            self.add(now, peer, addr.clone(), source);
        }
    }

    /// Forgets a peer.
    pub fn remove(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.remove(peer) {
            self.by_touch.remove(&(entry.touched, *peer));
            let freed = PEER_BYTES.saturating_add(bytes_of(&entry.addrs));
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }

    /// The peers as they would make room.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &PeerId> {
        self.by_touch.iter().map(|(_, peer)| peer)
    }

    /// Changes the addresses of a peer, which becomes the newest, and makes room.
    fn change(&mut self, peer: PeerId, change: impl FnOnce(&mut Vec<Known>)) {
        self.clock = self.clock.saturating_add(1);
        let entry = self.peers.entry(peer).or_insert_with(|| {
            self.bytes = self.bytes.saturating_add(PEER_BYTES);
            Entry::default()
        });
        self.by_touch.remove(&(entry.touched, peer));
        entry.touched = self.clock;
        self.by_touch.insert((entry.touched, peer));
        self.bytes = self.bytes.saturating_sub(bytes_of(&entry.addrs));
        change(&mut entry.addrs);
        self.bytes = self.bytes.saturating_add(bytes_of(&entry.addrs));
        if entry.addrs.is_empty() {
            self.remove(&peer);
        }
        while self.peers.len() > self.limits.max_peers || self.bytes > self.limits.max_bytes {
            let Some((_, oldest)) = self.by_touch.first().copied() else {
                return;
            };
            self.remove(&oldest);
        }
    }

    fn known(&mut self, peer: &PeerId, addr: &Multiaddr) -> Option<&mut Known> {
        let entry = self.peers.get_mut(peer)?;
        entry.addrs.iter_mut().find(|known| known.addr == *addr)
    }

    /// The last connection to a peer has ended: its addresses begin to age now.
    pub(crate) fn last_seen(&mut self, now: Instant, peer: &PeerId) {
        let expires = self.limits.expiry(now, Source::Dialed);
        if let Some(entry) = self.peers.get_mut(peer) {
            for known in &mut entry.addrs {
                known.expires = known.expires.max(expires);
            }
        }
    }

    /// Notes that an address failed: it is left alone for 5 s + 1 s × failures², at most 5 min, counted from the failures before.
    pub(crate) fn failed(&mut self, now: Instant, peer: &PeerId, addr: &Multiaddr) {
        if let Some(known) = self.known(peer, addr) {
            let times = known.failed.map_or(0, |failed| failed.times);
            known.failed = Some(Failed {
                times: times.saturating_add(1),
                until: now + backoff(times),
            });
        }
    }

    /// Notes that an address worked.
    pub(crate) fn worked(&mut self, peer: &PeerId, addr: &Multiaddr) {
        if let Some(known) = self.known(peer, addr) {
            known.failed = None;
        }
    }

    pub(crate) fn is_backed_off(&self, now: Instant, peer: &PeerId, addr: &Multiaddr) -> bool {
        self.live(now, peer)
            .any(|known| known.addr == *addr && known.failed.is_some_and(|failed| failed.until > now))
    }
}

fn bytes_of(addrs: &[Known]) -> usize {
    addrs
        .iter()
        .fold(0, |sum, known| sum.saturating_add(known.bytes()))
}

/// How long an address that failed is left alone, given how often it had failed before: 5 s + 1 s × tries², at most 5 min, as go-libp2p.
pub fn backoff(failed_before: u32) -> Duration {
    let square = u64::from(failed_before).saturating_mul(failed_before.into());
    Duration::from_secs(square.saturating_add(5)).min(Duration::from_secs(300))
}
