//! The routing table: for each shared prefix length at most `k` peers that have shown to work.

use crate::{Contact, Error, Key, address::Group, key::BITS};
use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId};
use smallvec::SmallVec;

/// How many peers of one network a table takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diversity {
    /// In the whole table. Default 3.
    pub table: usize,
    /// Under one shared prefix length. Default 2.
    pub bucket: usize,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { table: 3, bucket: 2 }
    }
}

/// A peer of the routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The peer.
    pub peer: PeerId,
    /// Where it is reached.
    pub addrs: Vec<Multiaddr>,
    /// Its place, hashed once.
    pub key: Key,
    /// When it came in.
    pub added: Instant,
    /// When it last answered.
    pub seen: Instant,
    /// When it last helped a lookup along.
    pub useful: Instant,
    /// Came in while the table was small and has not helped yet, so a better one may take its place.
    pub replaceable: bool,
    groups: SmallVec<[Group; 2]>,
}

/// One peer that waits for a place.
#[derive(Clone, Debug)]
struct Pending {
    contact: Contact,
    key: Key,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    peers: Vec<Neighbour>,
    pending: Option<Pending>,
}

/// What became of a peer that should enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    Added,
    /// It was in the table; its addresses and times are renewed.
    Renewed,
    /// It took the place of this peer.
    Replaced(PeerId),
    /// The bucket is full; the newcomer waits until it is known whether this one still answers.
    Waits(PeerId),
    /// The bucket is full of peers that answered lately.
    Full,
    /// Too many peers of one network.
    Crowded,
    /// It is ourselves.
    OwnId,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    local: Key,
    k: usize,
    diversity: Option<Diversity>,
    /// A full bucket asks after its most silent peer when that was silent for so long.
    silence: Duration,
    buckets: BTreeMap<u16, Bucket>,
    places: BTreeMap<PeerId, u16>,
    groups: BTreeMap<Group, usize>,
}

impl Table {
    pub(crate) fn new(local: Key, k: usize, diversity: Option<Diversity>, silence: Duration) -> Self {
        Self {
            local,
            k,
            diversity,
            silence,
            buckets: BTreeMap::new(),
            places: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.places.contains_key(peer)
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Neighbour> {
        let bucket = self.buckets.get(self.places.get(peer)?)?;
        bucket.peers.iter().find(|known| known.peer == *peer)
    }

    fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Neighbour> {
        let bucket = self.buckets.get_mut(self.places.get(peer)?)?;
        bucket.peers.iter_mut().find(|known| known.peer == *peer)
    }

    /// All peers, by shared prefix length.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.buckets.values().flat_map(|bucket| &bucket.peers)
    }

    /// How many peers share exactly so many bits with us.
    pub(crate) fn in_bucket(&self, prefix: u16) -> usize {
        self.buckets.get(&prefix).map_or(0, |bucket| bucket.peers.len())
    }

    /// The bucket of a place, as the protection of connections needs it.
    pub(crate) fn prefix(&self, peer: &PeerId) -> Option<u16> {
        self.places.get(peer).copied()
    }

    /// The longest shared prefix that has a peer.
    pub(crate) fn deepest(&self) -> Option<u16> {
        self.buckets
            .iter()
            .rev()
            .find(|(_, bucket)| !bucket.peers.is_empty())
            .map(|(prefix, _)| *prefix)
    }

    /// Lets a peer in that has shown to work.
    pub(crate) fn insert(&mut self, now: Instant, contact: Contact, replaceable: bool) -> Insert {
        if let Some(known) = self.get_mut(&contact.peer) {
            known.seen = now;
            if !contact.addrs.is_empty() {
                known.addrs = contact.addrs;
            }
            return Insert::Renewed;
        }
        let key = Key::of_peer(&contact.peer);
        let prefix = self.local.common_prefix(&key);
        if prefix >= BITS {
            return Insert::OwnId;
        }
        let groups = Group::all(&contact.addrs);
        if !self.has_room(prefix, &groups) {
            return Insert::Crowded;
        }
        let neighbour = Neighbour {
            peer: contact.peer,
            addrs: contact.addrs,
            key,
            added: now,
            seen: now,
            useful: Instant::ZERO,
            replaceable,
            groups,
        };
        if self.in_bucket(prefix) < self.k {
            self.place(prefix, neighbour);
            return Insert::Added;
        }
        self.insert_full(now, prefix, neighbour)
    }

    fn insert_full(&mut self, now: Instant, prefix: u16, newcomer: Neighbour) -> Insert {
        let peers = self.buckets.get(&prefix).map_or(&[][..], |bucket| &bucket.peers);
        if let Some(out) = peers
            .iter()
            .find(|known| known.replaceable)
            .map(|known| known.peer)
        {
            self.take_out(&out);
            self.place(prefix, newcomer);
            return Insert::Replaced(out);
        }
        let oldest = peers.iter().min_by_key(|known| known.seen);
        let Some(oldest) = oldest.filter(|known| now.since(known.seen) >= self.silence) else {
            return Insert::Full;
        };
        let oldest = oldest.peer;
        let bucket = self.buckets.entry(prefix).or_default();
        bucket.pending = Some(Pending {
            contact: Contact {
                peer: newcomer.peer,
                addrs: newcomer.addrs,
            },
            key: newcomer.key,
        });
        Insert::Waits(oldest)
    }

    /// Whether a peer that is not here is worth a check: its bucket has a place, or somebody in it has been silent for long. Whoever may only take the place of a replaceable peer
    /// comes in when it answers a lookup.
    pub(crate) fn may_take(&self, now: Instant, contact: &Contact) -> bool {
        let prefix = self.local.common_prefix(&Key::of_peer(&contact.peer));
        let peers = self.buckets.get(&prefix).map_or(&[][..], |bucket| &bucket.peers);
        let yields = |known: &Neighbour| now.since(known.seen) >= self.silence;
        let has_place = peers.len() < self.k || peers.iter().any(yields);
        has_place && self.has_room(prefix, &Group::all(&contact.addrs))
    }

    fn place(&mut self, prefix: u16, neighbour: Neighbour) {
        for group in &neighbour.groups {
            let count = self.groups.entry(*group).or_default();
            *count = count.saturating_add(1);
        }
        self.places.insert(neighbour.peer, prefix);
        self.buckets.entry(prefix).or_default().peers.push(neighbour);
    }

    /// Whether every network of a newcomer has room.
    fn has_room(&self, prefix: u16, groups: &[Group]) -> bool {
        let Some(diversity) = self.diversity else {
            return true;
        };
        let here = self.buckets.get(&prefix).map_or(&[][..], |bucket| &bucket.peers);
        groups.iter().all(|group| {
            let in_table = self.groups.get(group).copied().unwrap_or(0);
            let in_bucket = here.iter().filter(|known| known.groups.contains(group)).count();
            in_table < diversity.table && in_bucket < diversity.bucket
        })
    }

    fn take_out(&mut self, peer: &PeerId) -> Option<u16> {
        let prefix = self.places.remove(peer)?;
        let bucket = self.buckets.get_mut(&prefix)?;
        let place = bucket.peers.iter().position(|known| known.peer == *peer)?;
        let gone = bucket.peers.remove(place);
        if bucket.peers.is_empty() && bucket.pending.is_none() {
            self.buckets.remove(&prefix);
        }
        for group in &gone.groups {
            if let Some(count) = self.groups.get_mut(group) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.groups.remove(group);
                }
            }
        }
        Some(prefix)
    }

    /// Takes a peer out. Answers whether it was in, and who came in for it.
    pub(crate) fn remove(&mut self, now: Instant, peer: &PeerId) -> (bool, Option<PeerId>) {
        let Some(prefix) = self.take_out(peer) else {
            return (false, None);
        };
        let pending = self
            .buckets
            .get_mut(&prefix)
            .and_then(|bucket| bucket.pending.take());
        let Some(Pending { contact, key }) = pending else {
            return (true, None);
        };
        let newcomer = contact.peer;
        if contact.peer == *peer || self.local.common_prefix(&key) != prefix {
            return (true, None);
        }
        let came = self.insert(now, contact, false) == Insert::Added;
        (true, came.then_some(newcomer))
    }

    /// A peer answered; in a bucket that waited for its silence, the newcomer is forgotten.
    pub(crate) fn saw(&mut self, now: Instant, peer: &PeerId) {
        let silence = self.silence;
        if let Some(known) = self.get_mut(peer) {
            known.seen = now;
        }
        let Some(prefix) = self.places.get(peer) else {
            return;
        };
        if let Some(bucket) = self.buckets.get_mut(prefix) {
            if bucket.peers.iter().all(|known| now.since(known.seen) < silence) {
                bucket.pending = None;
            }
        }
    }

    /// A peer helped a lookup along: it is no longer replaceable.
    pub(crate) fn was_useful(&mut self, now: Instant, peer: &PeerId) {
        if let Some(known) = self.get_mut(peer) {
            known.useful = now;
            known.replaceable = false;
        }
    }

    /// The start is over: who is in now is kept like everybody else.
    pub(crate) fn settle(&mut self) {
        for bucket in self.buckets.values_mut() {
            for known in &mut bucket.peers {
                known.replaceable = false;
            }
        }
    }

    /// The `n` peers nearest to a place, nearest first; those that `keep` refuses are passed over.
    ///
    /// Buckets are visited in the order of their distance from `target`, so only as many are sorted as are needed.
    pub(crate) fn closest(
        &self,
        target: &Key,
        n: usize,
        mut keep: impl FnMut(&Neighbour) -> bool,
    ) -> Vec<&Neighbour> {
        let mut found: Vec<&Neighbour> = Vec::new();
        let own = self.local.common_prefix(target);
        // Who shares our bucket with the target is nearest, then everybody deeper, then one bucket after the other outwards.
        let deeper = (own < BITS).then(|| own.saturating_add(1)..=BITS);
        let shells = [own..=own].into_iter().chain(deeper);
        for shell in shells.chain((0..own).rev().map(|prefix| prefix..=prefix)) {
            let left = n.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let mut peers: Vec<_> = self.peers_at(shell).filter(|known| keep(known)).collect();
            peers.sort_by_cached_key(|known| target.distance(&known.key));
            found.extend(peers.into_iter().take(left));
        }
        found
    }

    fn peers_at(&self, prefixes: core::ops::RangeInclusive<u16>) -> impl Iterator<Item = &Neighbour> {
        self.buckets.range(prefixes).flat_map(|(_, bucket)| &bucket.peers)
    }

    /// The table as bytes that an owner may keep: who is in it, where, and how long ago each helped.
    pub(crate) fn snapshot(&self, now: Instant) -> Vec<u8> {
        snapshot::write(self.iter(), now)
    }
}

/// Reads what [`Table::snapshot`] wrote: peers that are still to be checked.
pub(crate) fn restore(bytes: &[u8]) -> Result<Vec<Contact>, Error> {
    snapshot::read(bytes).ok_or(Error::BadSnapshot)
}

#[cfg(test)]
mod tests;

mod snapshot {
    //! Protobuf: a version, and one entry for each peer.

    use super::Neighbour;
    use crate::Contact;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use libp2p_proto_core::{
        Instant, Multiaddr, PeerId,
        protobuf::{Limits, Reader, Writer, encode},
    };

    const VERSION: u32 = 1;
    const PEER: u32 = 2;
    const ID: u32 = 1;
    const ADDR: u32 = 2;
    const USEFUL: u32 = 3;
    /// Bytes and peers that are read: more than any table has.
    const MAX_BYTES: usize = 16 << 20;
    const MAX_PEERS: usize = 5120;

    pub(super) fn write<'a>(peers: impl Iterator<Item = &'a Neighbour>, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.varint(VERSION, 1);
        for known in peers {
            let entry = encode(|entry| {
                entry.bytes(ID, known.peer.as_bytes());
                for addr in &known.addrs {
                    entry.bytes(ADDR, addr.as_bytes());
                }
                entry.varint(USEFUL, now.since(known.useful).as_secs());
            });
            writer.bytes(PEER, &entry);
        }
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Vec<Contact>> {
        let limits = Limits {
            bytes: MAX_BYTES,
            ..Limits::default()
        };
        let mut reader = Reader::new(bytes, limits);
        let mut peers: Vec<(u64, Contact)> = Vec::new();
        let mut version = 0;
        while let Some(field) = reader.next_field().ok()? {
            match field.number {
                VERSION => version = field.value.to_u64().ok()?,
                PEER if peers.len() < MAX_PEERS => {
                    let entry = reader.nested(field.value.to_bytes().ok()?).ok()?;
                    read_peer(entry, &mut peers)?;
                }
                _ => {}
            }
        }
        // Those that helped lately are asked first.
        peers.sort_by_key(|(useful, _)| *useful);
        (version == 1).then(|| peers.into_iter().map(|(_, contact)| contact).collect())
    }

    /// `None`: broken. An entry without a valid id is left out alone.
    fn read_peer(mut entry: Reader<'_>, peers: &mut Vec<(u64, Contact)>) -> Option<()> {
        let (mut id, mut addrs, mut useful) = (&[][..], Vec::new(), 0);
        while let Some(field) = entry.next_field().ok()? {
            match field.number {
                ID => id = field.value.to_bytes().ok()?,
                ADDR => {
                    let addr = Bytes::copy_from_slice(field.value.to_bytes().ok()?);
                    addrs.extend(Multiaddr::from_bytes(addr).ok());
                }
                USEFUL => useful = field.value.to_u64().ok()?,
                _ => {}
            }
        }
        if let Ok(peer) = PeerId::from_bytes(id) {
            peers.push((useful, Contact { peer, addrs }));
        }
        Some(())
    }
}
