//! What a server keeps for others: values and provider records. A store in memory, and the trait for the owner's.

use crate::{Key, Record};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use core::{fmt, time::Duration};
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime};

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// The record; its own time is not kept.
    pub record: Record,
    /// When it came, on the monotonic clock: what its age is counted from.
    pub stored: Instant,
    /// When it came, on the wall clock: what others are told.
    pub received: UnixTime,
}

/// One provider of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProvider {
    /// The provider.
    pub peer: PeerId,
    /// Its addresses, as it told them. Maybe none.
    pub addrs: Vec<Multiaddr>,
    /// The network it came from, for the limit on providers of one network.
    pub source: Option<Bytes>,
    /// When it was last announced.
    pub stored: Instant,
}

/// Why a store did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no room, and nothing that should make some.
    #[error("no room")]
    Full,
    /// The value is too large.
    #[error("too large")]
    TooLarge,
    /// One provider, or one network, has its share already.
    #[error("share used up")]
    Share,
}

/// What a server keeps for others. Every call answers at once; an owner that keeps records on a disk answers from its index and writes behind.
///
/// The machine has validated and compared a value before it is put. Ages are judged by the machine too; a store that forgets early does no harm.
pub trait Store: fmt::Debug + Send {
    /// The value under a key.
    fn value(&mut self, key: &[u8]) -> Option<StoredValue>;

    /// Stores a value in place of the one that stands there.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    fn put_value(&mut self, value: StoredValue) -> Result<(), Refused>;

    /// Forgets the value under a key.
    fn remove_value(&mut self, key: &[u8]);

    /// Adds a provider, or renews the one that is there: the same peer never appears twice under a key.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    fn add_provider(&mut self, key: &Bytes, provider: StoredProvider) -> Result<(), Refused>;

    /// The providers of a content.
    fn providers(&mut self, key: &[u8]) -> Vec<StoredProvider>;

    /// Forgets values and providers that are older than these ages. Called every hour.
    fn sweep(&mut self, now: Instant, values: Duration, providers: Duration);
}

/// The limits of a [`MemoryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Values. Default 1 024, as rust-libp2p and litep2p.
    pub values: usize,
    /// Bytes of one value. Default 65 536; the public network's records have 10 240 at most.
    pub value_bytes: usize,
    /// Contents that have providers. Default 8 192.
    pub provided: usize,
    /// Providers of one content. Default 20, as rust-libp2p and litep2p.
    pub providers: usize,
    /// Contents of one provider. Default 1 024.
    pub per_provider: usize,
    /// Providers of one content that came from one network (IPv4 /16, IPv6 /32). Default 10.
    pub per_network: usize,
    /// Addresses kept of one provider. Default 8.
    pub addrs: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            values: 1024,
            value_bytes: 65_536,
            provided: 8192,
            providers: 20,
            per_provider: 1024,
            per_network: 10,
            addrs: 8,
        }
    }
}

/// A store in memory with hard limits.
///
/// A full store of values gives up the one that is farthest from our own place for a nearer one. Providers of a content stay until they expire, whoever else comes, so that
/// invented peers near a key drive nobody out; when there are too many contents, the one whose newest announcement is oldest makes room.
#[derive(Debug)]
pub struct MemoryStore {
    local: Key,
    limits: StoreLimits,
    values: BTreeMap<Bytes, StoredValue>,
    /// Keys of values by their distance from us.
    by_distance: BTreeSet<(crate::Distance, Bytes)>,
    provided: BTreeMap<Bytes, Vec<StoredProvider>>,
    /// Contents by their newest announcement.
    by_age: BTreeSet<(Instant, Bytes)>,
    /// How many contents each provider has.
    shares: BTreeMap<PeerId, usize>,
}

impl MemoryStore {
    /// An empty store of the node with this id.
    pub fn new(local: &PeerId, limits: StoreLimits) -> Self {
        Self {
            local: Key::of_peer(local),
            limits,
            values: BTreeMap::new(),
            by_distance: BTreeSet::new(),
            provided: BTreeMap::new(),
            by_age: BTreeSet::new(),
            shares: BTreeMap::new(),
        }
    }

    /// Number of values.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Number of contents that have providers.
    pub fn contents(&self) -> usize {
        self.provided.len()
    }

    fn distance(&self, key: &[u8]) -> crate::Distance {
        self.local.distance(&Key::of(key))
    }

    fn newest(providers: &[StoredProvider]) -> Instant {
        providers
            .iter()
            .map(|provider| provider.stored)
            .max()
            .unwrap_or(Instant::ZERO)
    }

    fn release(&mut self, peer: &PeerId) {
        if let Some(share) = self.shares.get_mut(peer) {
            *share = share.saturating_sub(1);
            if *share == 0 {
                self.shares.remove(peer);
            }
        }
    }

    fn remove_content(&mut self, key: &Bytes) {
        if let Some(providers) = self.provided.remove(key) {
            self.by_age.remove(&(Self::newest(&providers), key.clone()));
            for provider in &providers {
                self.release(&provider.peer);
            }
        }
    }

    /// Stores a value, and says which key made room for it: for a store that keeps a copy elsewhere.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn put(&mut self, value: StoredValue) -> Result<Option<Bytes>, Refused> {
        let mut gone = None;
        if value.record.value.len() > self.limits.value_bytes {
            return Err(Refused::TooLarge);
        }
        let key = value.record.key.clone();
        if !self.values.contains_key(&key) {
            let distance = self.distance(&key);
            if self.values.len() >= self.limits.values {
                let farthest = self.by_distance.last().cloned().ok_or(Refused::Full)?;
                if farthest.0 <= distance {
                    return Err(Refused::Full);
                }
                self.values.remove(&farthest.1);
                self.by_distance.remove(&farthest);
                gone = Some(farthest.1);
            }
            self.by_distance.insert((distance, key.clone()));
        }
        self.values.insert(key, value);
        Ok(gone)
    }

    /// Adds or renews a provider, and says which content made room for it.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn add(&mut self, key: &Bytes, mut provider: StoredProvider) -> Result<Option<Bytes>, Refused> {
        let mut gone = None;
        provider.addrs.truncate(self.limits.addrs);
        let known = self.provided.get(key);
        let place = known.and_then(|known| known.iter().position(|other| other.peer == provider.peer));
        if place.is_none() {
            self.admit(key, &provider)?;
            if known.is_none() && self.provided.len() >= self.limits.provided {
                let oldest = self.by_age.first().map(|(_, key)| key.clone());
                let oldest = oldest.ok_or(Refused::Full)?;
                self.remove_content(&oldest);
                gone = Some(oldest);
            }
            let share = self.shares.entry(provider.peer).or_default();
            *share = share.saturating_add(1);
        }
        let providers = self.provided.entry(key.clone()).or_default();
        self.by_age.remove(&(Self::newest(providers), key.clone()));
        match place.and_then(|place| providers.get_mut(place)) {
            Some(slot) => *slot = provider,
            None => providers.push(provider),
        }
        self.by_age.insert((Self::newest(providers), key.clone()));
        Ok(gone)
    }

    /// Whether a provider that is new under this key may be added.
    fn admit(&self, key: &Bytes, provider: &StoredProvider) -> Result<(), Refused> {
        let share = self.shares.get(&provider.peer).copied().unwrap_or(0);
        if share >= self.limits.per_provider {
            return Err(Refused::Share);
        }
        let Some(known) = self.provided.get(key) else {
            return if self.limits.provided == 0 {
                Err(Refused::Full)
            } else {
                Ok(())
            };
        };
        if known.len() >= self.limits.providers {
            return Err(Refused::Full);
        }
        let same = known
            .iter()
            .filter(|other| other.source == provider.source)
            .count();
        if provider.source.is_some() && same >= self.limits.per_network {
            return Err(Refused::Share);
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn value(&mut self, key: &[u8]) -> Option<StoredValue> {
        self.values.get(key).cloned()
    }

    fn put_value(&mut self, value: StoredValue) -> Result<(), Refused> {
        self.put(value).map(drop)
    }

    fn remove_value(&mut self, key: &[u8]) {
        if let Some((key, _)) = self.values.remove_entry(key) {
            let distance = self.distance(&key);
            self.by_distance.remove(&(distance, key));
        }
    }

    fn add_provider(&mut self, key: &Bytes, provider: StoredProvider) -> Result<(), Refused> {
        self.add(key, provider).map(drop)
    }

    fn providers(&mut self, key: &[u8]) -> Vec<StoredProvider> {
        self.provided.get(key).cloned().unwrap_or_default()
    }

    fn sweep(&mut self, now: Instant, values: Duration, providers: Duration) {
        let old = |stored: Instant, age: Duration| now.since(stored) > age;
        let keys: Vec<Bytes> = self
            .values
            .iter()
            .filter(|(_, value)| old(value.stored, values))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.remove_value(&key);
        }
        let keys: Vec<Bytes> = self
            .provided
            .iter()
            .filter(|(_, known)| known.iter().any(|provider| old(provider.stored, providers)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            let known = self.provided.get(&key).cloned().unwrap_or_default();
            let (gone, left): (Vec<_>, Vec<_>) = known
                .into_iter()
                .partition(|provider| old(provider.stored, providers));
            if left.is_empty() {
                self.remove_content(&key);
            } else {
                for provider in &gone {
                    self.release(&provider.peer);
                }
                // The newest one stays, so the order by age does too.
                self.provided.insert(key, left);
            }
        }
    }
}
