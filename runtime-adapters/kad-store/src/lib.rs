#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! The index: the limits of [`StoreLimits`](libp2p_proto_kad::StoreLimits). The file: the same entries. Changes that wait to be written: one for each key, and 65 536 in all; beyond that a
//! call waits for the disk.

mod disk;
mod row;

use bytes::Bytes;
use core::time::Duration;
use disk::{Change, Disk};
use libp2p_proto_core::{Instant, PeerId, UnixTime};
use libp2p_proto_kad::{Config, MemoryStore, Refused, Store, StoredProvider, StoredValue};
use std::{collections::BTreeSet, path::Path, sync::Arc};

pub use disk::{Error, Handle};

/// The two clocks, read at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic one, as the machine is told it.
    pub now: Instant,
    /// The wall clock.
    pub unix: UnixTime,
}

impl Clock {
    /// What the wall clock showed at an instant of this run.
    fn unix_at(&self, at: Instant) -> UnixTime {
        let forward = at.since(self.now);
        let back = self.now.since(at);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let unix = self.unix.as_nanos().saturating_add(nanos(forward));
        UnixTime::from_nanos(unix.saturating_sub(nanos(back)))
    }

    /// The instant of a time: not before the monotonic clock began.
    fn instant_at(&self, unix: UnixTime) -> Instant {
        let age = self.unix.as_nanos().saturating_sub(unix.as_nanos());
        self.now - Duration::from_nanos(age)
    }
}

/// A store of values and provider records that outlive a restart.
#[derive(Debug)]
pub struct DiskStore {
    index: MemoryStore,
    clock: Clock,
    disk: Arc<Disk>,
    /// Keys of the file, so that what the index forgets is forgotten there too.
    values: BTreeSet<Bytes>,
    contents: BTreeSet<Bytes>,
}

impl DiskStore {
    /// Opens or makes a file. What is older than the ages of `config` is forgotten, and what goes beyond its limits is not taken.
    ///
    /// # Errors
    ///
    /// [`Error`] if the file can't be opened, is in use, or is none of ours.
    pub fn open(path: &Path, local: &PeerId, config: &Config, clock: Clock) -> Result<Self, Error> {
        let disk = Disk::open(path)?;
        let mut store = Self {
            index: MemoryStore::new(local, config.store),
            clock,
            disk: Arc::new(disk),
            values: BTreeSet::new(),
            contents: BTreeSet::new(),
        };
        let rows = store.disk.read()?;
        for (key, row) in rows.values {
            let key = Bytes::from(key);
            store.values.insert(key.clone());
            store.restore_value(&key, &row, config.value_age);
        }
        for (key, row) in rows.providers {
            let key = Bytes::from(key);
            store.contents.insert(key.clone());
            store.restore_providers(&key, &row, config.provider_age);
        }
        store.forget_what_is_gone();
        store.disk.begin()?;
        Ok(store)
    }

    /// For whoever wants to know when all is on the disk.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.disk)
    }

    fn is_old(&self, unix: UnixTime, age: Duration) -> bool {
        Duration::from_nanos(self.clock.unix.as_nanos().saturating_sub(unix.as_nanos())) > age
    }

    fn restore_value(&mut self, key: &Bytes, row: &[u8], age: Duration) {
        let Some((value, received)) = row::read_value(row) else {
            return;
        };
        if self.is_old(received, age) {
            return;
        }
        let stored = StoredValue {
            record: libp2p_proto_kad::Record {
                key: key.clone(),
                value,
                ..libp2p_proto_kad::Record::default()
            },
            stored: self.clock.instant_at(received),
            received,
        };
        // Limits may have become smaller.
        let _kept = self.index.put(stored);
    }

    fn restore_providers(&mut self, key: &Bytes, row: &[u8], age: Duration) {
        for saved in row::read_providers(row) {
            if !self.is_old(saved.unix, age) {
                let provider = StoredProvider {
                    peer: saved.peer,
                    addrs: saved.addrs,
                    source: saved.source,
                    stored: self.clock.instant_at(saved.unix),
                };
                let _kept = self.index.add(key, provider);
            }
        }
    }

    /// Takes out of the file what the index no longer has, and writes anew what it has fewer providers of.
    fn forget_what_is_gone(&mut self) {
        let (index, disk) = (&mut self.index, &self.disk);
        self.values.retain(|key| {
            let there = index.value(key).is_some();
            if !there {
                disk.push(Change::Value(key.clone(), None));
            }
            there
        });
        let clock = self.clock;
        self.contents.retain(|key| {
            let left = index.providers(key);
            let row = (!left.is_empty()).then(|| row::write_providers(&left, &clock));
            let there = row.is_some();
            disk.push(Change::Providers(key.clone(), row));
            there
        });
    }
}

impl Store for DiskStore {
    fn value(&mut self, key: &[u8]) -> Option<StoredValue> {
        self.index.value(key)
    }

    fn put_value(&mut self, value: StoredValue) -> Result<(), Refused> {
        let (key, row) = (value.record.key.clone(), row::write_value(&value));
        if let Some(gone) = self.index.put(value)? {
            self.values.remove(&gone);
            self.disk.push(Change::Value(gone, None));
        }
        self.values.insert(key.clone());
        self.disk.push(Change::Value(key, Some(row)));
        Ok(())
    }

    fn remove_value(&mut self, key: &[u8]) {
        self.index.remove_value(key);
        if let Some(key) = self.values.take(key) {
            self.disk.push(Change::Value(key, None));
        }
    }

    fn add_provider(&mut self, key: &Bytes, provider: StoredProvider) -> Result<(), Refused> {
        if let Some(gone) = self.index.add(key, provider)? {
            self.contents.remove(&gone);
            self.disk.push(Change::Providers(gone, None));
        }
        self.contents.insert(key.clone());
        let row = row::write_providers(&self.index.providers(key), &self.clock);
        self.disk.push(Change::Providers(key.clone(), Some(row)));
        Ok(())
    }

    fn providers(&mut self, key: &[u8]) -> Vec<StoredProvider> {
        self.index.providers(key)
    }

    fn sweep(&mut self, now: Instant, values: Duration, providers: Duration) {
        self.index.sweep(now, values, providers);
        // What came before this run may be older than its instant can say.
        let unix = self.clock.unix_at(now);
        let old = |stored: &StoredValue| {
            Duration::from_nanos(unix.as_nanos().saturating_sub(stored.received.as_nanos())) > values
        };
        let keys: Vec<Bytes> = self.values.iter().cloned().collect();
        for key in keys {
            if self.index.value(&key).is_some_and(|stored| old(&stored)) {
                self.index.remove_value(&key);
            }
        }
        self.forget_what_is_gone();
    }
}
