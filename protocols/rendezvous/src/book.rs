//! What a rendezvous point remembers.

use crate::{Config, MAX_NAMESPACE, Registration, Status, config::DEFAULT_TTL, wire};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;
use core::{ops::Bound, time::Duration};
use libp2p_proto_core::{AddressClass, Instant, Multiaddr, PeerId, Subnet, Timers};
use libp2p_proto_identity::PeerRecord;

#[derive(Debug)]
struct Entry {
    namespace: Arc<str>,
    peer: PeerId,
    record: Bytes,
    network: Option<Subnet>,
    expires: Instant,
}

/// One peer: the number of its newest record, and its registrations.
#[derive(Debug, Default)]
struct Registrant {
    seq: u64,
    registrations: Vec<(Arc<str>, u64)>,
}

/// All registrations, in the order in which their records came.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By a number that rises with each new record.
    entries: BTreeMap<u64, Entry>,
    last: u64,
    by_namespace: BTreeSet<(Arc<str>, u64)>,
    /// Namespaces that have a registration.
    namespaces: usize,
    registrants: BTreeMap<PeerId, Registrant>,
    networks: BTreeMap<(Arc<str>, Subnet), usize>,
    expiries: Timers<u64>,
    /// Records whose signature was looked at.
    pub(crate) verified: u64,
}

/// The registrations of one answer, and the number behind which the next goes on.
pub(crate) struct Page {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) end: u64,
}

impl Book {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Registers a peer that asks from this address. Cheap refusals come first: a signature is looked at last.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        config: &Config,
        peer: PeerId,
        from: &Multiaddr,
        asked: Registration,
    ) -> Result<Duration, Status> {
        let Registration {
            namespace,
            record,
            ttl,
        } = asked;
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE {
            return Err(Status::InvalidNamespace);
        }
        let ttl = ttl.map_or(
            DEFAULT_TTL.clamp(config.min_ttl, config.max_ttl),
            Duration::from_secs,
        );
        if ttl < config.min_ttl || ttl > config.max_ttl {
            return Err(Status::InvalidTtl);
        }
        if !(config.allow)(&peer, &namespace) {
            return Err(Status::NotAuthorized);
        }
        let network = (from.class() == AddressClass::Public).then(|| from.subnet(24, 48));
        let old = self.serial_of(&peer, &namespace);
        if old.is_none() && !self.has_room(config, &peer, &namespace, network) {
            return Err(Status::Unavailable);
        }
        let seq = self.verify(config, &peer, &record)?;
        if self.registrants.get(&peer).is_some_and(|known| seq < known.seq) {
            return Err(Status::InvalidSignedPeerRecord);
        }
        // The same record again is not new to those who asked before.
        let same = old.filter(|serial| {
            let entry = self.entries.get(serial);
            entry.is_some_and(|entry| entry.record == record)
        });
        let expires = now + ttl;
        if let Some(serial) = same {
            if let Some(entry) = self.entries.get_mut(&serial) {
                entry.expires = expires;
            }
            self.expiries.set(serial, expires);
        } else {
            if let Some(old) = old {
                self.remove(old);
            }
            self.insert(Entry {
                namespace,
                peer,
                record,
                network,
                expires,
            });
        }
        if let Some(registrant) = self.registrants.get_mut(&peer) {
            registrant.seq = seq;
        }
        Ok(ttl)
    }

    /// Looks at the record: its number, if the peer signed it and it is within the limits.
    fn verify(&mut self, config: &Config, peer: &PeerId, record: &Bytes) -> Result<u64, Status> {
        if record.len() > config.max_record {
            return Err(Status::InvalidSignedPeerRecord);
        }
        self.verified = self.verified.saturating_add(1);
        let record = PeerRecord::open(record).map_err(|_| Status::InvalidSignedPeerRecord)?;
        if record.peer_id() != *peer {
            return Err(Status::NotAuthorized);
        }
        if record.addrs().is_empty() || record.addrs().len() > config.max_addrs {
            return Err(Status::InvalidSignedPeerRecord);
        }
        Ok(record.seq())
    }

    fn has_room(
        &self,
        config: &Config,
        peer: &PeerId,
        namespace: &Arc<str>,
        network: Option<Subnet>,
    ) -> bool {
        let of_peer = self
            .registrants
            .get(peer)
            .map_or(0, |known| known.registrations.len());
        let of_network = network.map_or(0, |network| {
            let count = self.networks.get(&(namespace.clone(), network));
            count.copied().unwrap_or(0)
        });
        self.entries.len() < config.max_registrations
            && of_peer < config.max_per_peer
            && (network.is_none() || of_network < config.max_per_network)
            && (self.namespaces < config.max_namespaces || self.is_known(namespace))
    }

    fn serial_of(&self, peer: &PeerId, namespace: &str) -> Option<u64> {
        let registrations = &self.registrants.get(peer)?.registrations;
        let found = registrations.iter().find(|(name, _)| **name == *namespace);
        found.map(|(_, serial)| *serial)
    }

    fn is_known(&self, namespace: &Arc<str>) -> bool {
        self.behind(namespace, 0).next().is_some()
    }

    /// The numbers of a namespace that are greater than this one.
    fn behind(&self, namespace: &Arc<str>, after: u64) -> impl Iterator<Item = u64> {
        let from = Bound::Excluded((namespace.clone(), after));
        let to = Bound::Included((namespace.clone(), u64::MAX));
        self.by_namespace.range((from, to)).map(|(_, serial)| *serial)
    }

    fn insert(&mut self, entry: Entry) {
        self.last = self.last.saturating_add(1);
        let serial = self.last;
        let namespace = entry.namespace.clone();
        if !self.is_known(&namespace) {
            self.namespaces = self.namespaces.saturating_add(1);
        }
        self.by_namespace.insert((namespace.clone(), serial));
        if let Some(network) = entry.network {
            let count = self.networks.entry((namespace.clone(), network)).or_default();
            *count = count.saturating_add(1);
        }
        let registrant = self.registrants.entry(entry.peer).or_default();
        registrant.registrations.push((namespace, serial));
        self.expiries.set(serial, entry.expires);
        self.entries.insert(serial, entry);
    }

    fn remove(&mut self, serial: u64) -> Option<Entry> {
        let entry = self.entries.remove(&serial)?;
        self.expiries.clear(serial);
        self.by_namespace.remove(&(entry.namespace.clone(), serial));
        if !self.is_known(&entry.namespace) {
            self.namespaces = self.namespaces.saturating_sub(1);
        }
        if let Some(network) = entry.network {
            let key = (entry.namespace.clone(), network);
            if let Some(count) = self.networks.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.networks.remove(&key);
                }
            }
        }
        if let Some(registrant) = self.registrants.get_mut(&entry.peer) {
            registrant.registrations.retain(|(_, other)| *other != serial);
            if registrant.registrations.is_empty() {
                self.registrants.remove(&entry.peer);
            }
        }
        Some(entry)
    }

    /// Forgets a registration; says whether there was one.
    pub(crate) fn unregister(&mut self, peer: &PeerId, namespace: &str) -> bool {
        let serial = self.serial_of(peer, namespace);
        serial.is_some_and(|serial| self.remove(serial).is_some())
    }

    /// Forgets the next registration whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(PeerId, Arc<str>)> {
        let serial = self.expiries.pop_due(now)?;
        let entry = self.remove(serial)?;
        Some((entry.peer, entry.namespace))
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.next().map(|(at, _)| at)
    }

    /// The registrations of a namespace (empty: of all) whose number is greater than `after`, at most `limit` and as many as fit an answer, in the order of their numbers.
    pub(crate) fn discover(
        &self,
        now: Instant,
        config: &Config,
        namespace: &Arc<str>,
        after: u64,
        limit: usize,
    ) -> Page {
        if namespace.is_empty() {
            let behind = (Bound::Excluded(after), Bound::Unbounded);
            let serials = self.entries.range(behind).map(|(serial, _)| *serial);
            self.page(now, config, serials, after, limit)
        } else {
            self.page(now, config, self.behind(namespace, after), after, limit)
        }
    }

    fn page(
        &self,
        now: Instant,
        config: &Config,
        serials: impl Iterator<Item = u64>,
        after: u64,
        limit: usize,
    ) -> Page {
        let mut page = Page {
            registrations: Vec::new(),
            end: after,
        };
        let mut room = wire::room_for_registrations(config.max_answer_bytes);
        for serial in serials {
            let Some(entry) = self.entries.get(&serial).filter(|entry| entry.expires > now) else {
                continue;
            };
            let registration = Registration {
                namespace: entry.namespace.clone(),
                record: entry.record.clone(),
                ttl: Some(entry.expires.since(now).as_secs()),
            };
            let Some(left) = room.checked_sub(registration.encoded_len()) else {
                return page;
            };
            if page.registrations.len() >= limit {
                return page;
            }
            room = left;
            page.registrations.push(registration);
            page.end = serial;
        }
        // Nothing was cut: the next answer begins with what is yet to come.
        page.end = self.last;
        page
    }
}
