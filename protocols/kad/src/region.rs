//! All peers of a part of the key space, found by lookups in it.

use crate::{
    Contact, Kad, Key, QueryId,
    kad::Timer,
    lookup::State,
    query::{Kind, Owner, Query, Reach},
    run,
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

/// Lookups in one region at most. It is known when all of it is covered, or when so many in a row bring nobody new (go-libp2p-kad-dht, sweeping provider).
const MAX_LOOKUPS: u32 = 64;
const MAX_BARREN: u32 = 2;
/// The longest prefix of a region: a target in it costs as many hashes as there are regions.
pub(crate) const MAX_BITS: u16 = 24;
/// Ids that one drive tries, the wait before the next round, and how many rounds a target may take.
const TRIES: u32 = 2048;
const ROUND: Duration = Duration::from_millis(1);
const MAX_ROUNDS: u32 = 1 << 15;

/// Regions that are being explored.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    open: BTreeMap<u64, Region>,
    next: u64,
}

#[derive(Debug)]
struct Region {
    /// Who waits for it.
    of: Waiting,
    /// A place in it, and how many bits all of it shares.
    key: Key,
    bits: u16,
    found: BTreeMap<PeerId, (Contact, Key)>,
    /// Parts that no lookup has covered yet: a place, and how many bits all of the part shares.
    open: Vec<(Key, u16)>,
    lookups: u32,
    barren: u32,
    rounds: u32,
    lookup: Option<QueryId>,
    known: bool,
}

/// Who waits for a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Query(QueryId),
    Sweep(u64),
}

impl Region {
    /// The largest part that is not covered.
    fn next_part(&self) -> Option<(Key, u16)> {
        self.open.iter().min_by_key(|(_, bits)| *bits).copied()
    }

    /// Everybody who shares so many bits with a place is known now.
    fn cover(&mut self, place: &Key, bits: u16) {
        let (covered, open): (Vec<_>, Vec<_>) = core::mem::take(&mut self.open)
            .into_iter()
            .partition(|(part, part_bits)| part.common_prefix(place) >= bits.min(*part_bits));
        self.open = open;
        for (_, part_bits) in covered {
            // What of a part lies beside the covered places: one sibling for each further bit.
            self.open
                .extend((part_bits..bits).map(|shared| (place.beside(shared), shared.saturating_add(1))));
        }
    }
}

impl Kad {
    /// Searches the peers of the region of a query's key. Says whether that is possible.
    pub(crate) fn explore(&mut self, cx: &mut Context<'_>, query: &mut Query) -> bool {
        let Some(bits) = self.sizes.region(cx.now) else {
            query.reach = Reach::Explored;
            return false;
        };
        let id = self.begin_region(
            *query.lookup.target(),
            bits.min(MAX_BITS),
            Waiting::Query(query.id),
        );
        query.reach = Reach::Exploring(id);
        self.explore_on(cx, id);
        true
    }

    pub(crate) fn begin_region(&mut self, key: Key, bits: u16, of: Waiting) -> u64 {
        let id = self.regions.next;
        self.regions.next = self.regions.next.saturating_add(1);
        let region = Region {
            of,
            key,
            bits,
            found: BTreeMap::new(),
            open: alloc::vec![(key, bits)],
            lookups: 0,
            barren: 0,
            rounds: 0,
            lookup: None,
            known: false,
        };
        self.regions.open.insert(id, region);
        id
    }

    /// Begins the next lookup in a region.
    pub(crate) fn explore_on(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(region) = self.regions.open.get_mut(&id) else {
            return;
        };
        if region.known || region.lookup.is_some() {
            return;
        }
        let Some((key, bits)) = region.next_part() else {
            return self.know(cx, id);
        };
        match run::target(cx, TRIES, |place| place.common_prefix(&key) >= bits) {
            Some(target) => {
                region.rounds = 0;
                let key = Bytes::copy_from_slice(target.as_bytes());
                let lookup = self.begin(key, Kind::Closest, Owner::Region(id));
                if let Some(region) = self.regions.open.get_mut(&id) {
                    region.lookup = Some(lookup);
                }
            }
            None if region.rounds < MAX_ROUNDS => {
                region.rounds = region.rounds.saturating_add(1);
                self.timers.set(Timer::Region(id), cx.now + ROUND);
            }
            None => self.know(cx, id),
        }
    }

    /// A lookup in a region is over.
    pub(crate) fn region_looked_up(&mut self, cx: &mut Context<'_>, id: u64, query: &Query) {
        let Some(region) = self.regions.open.get_mut(&id) else {
            return;
        };
        region.lookup = None;
        let before = region.found.len();
        let target = *query.lookup.target();
        let mut farthest = None;
        for (_, known) in query.lookup.nearest() {
            farthest = Some(known.key.common_prefix(&target));
            if known.state == State::Answered && known.key.common_prefix(&region.key) >= region.bits {
                let found = (known.contact.clone(), known.key);
                region.found.insert(known.contact.peer, found);
            }
        }
        // The `k` nearest are everybody who shares more bits with the target than the farthest of them does; fewer are everybody.
        let whole = query.lookup.nearest().count() < self.config.replication;
        let covered = farthest
            .filter(|_| !whole)
            .map_or(0, |bits| bits.saturating_add(1));
        region.cover(&target, covered);
        region.lookups = region.lookups.saturating_add(1);
        region.barren = if region.found.len() > before {
            0
        } else {
            region.barren.saturating_add(1)
        };
        if region.lookups >= MAX_LOOKUPS || region.barren >= MAX_BARREN || region.open.is_empty() {
            self.know(cx, id);
        } else {
            self.explore_on(cx, id);
        }
    }

    /// A region is known as well as it can be.
    fn know(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(region) = self.regions.open.get_mut(&id) else {
            return;
        };
        region.known = true;
        match region.of {
            Waiting::Query(query) => {
                self.ready.insert(query);
            }
            Waiting::Sweep(job) => self.explored(cx, job, id),
        }
    }

    /// Whether a region turned out to be larger than the lookups that one may take.
    pub(crate) fn region_is_too_large(&self, id: u64) -> bool {
        let large = |region: &Region| region.lookups >= MAX_LOOKUPS && !region.open.is_empty();
        self.regions.open.get(&id).is_some_and(large)
    }

    /// The peers of a region that is known; it is forgotten.
    pub(crate) fn region_peers(&mut self, id: u64) -> Option<(u16, Vec<(Contact, Key)>)> {
        if !self.regions.open.get(&id)?.known {
            return None;
        }
        let region = self.regions.open.remove(&id)?;
        Some((region.bits, region.found.into_values().collect()))
    }

    /// Makes candidates of the peers of a query's region. Says whether they are known.
    pub(crate) fn take_region(&mut self, query: &mut Query) -> bool {
        let Reach::Exploring(id) = query.reach else {
            return true;
        };
        let Some((bits, peers)) = self.region_peers(id) else {
            return !self.regions.open.contains_key(&id);
        };
        query
            .lookup
            .widen(bits, peers.into_iter(), self.config.max_region);
        query.reach = Reach::Explored;
        true
    }

    /// Nobody waits for a region any more.
    pub(crate) fn end_region(&mut self, cx: &mut Context<'_>, id: u64) {
        self.timers.clear(Timer::Region(id));
        let lookup = self.regions.open.remove(&id).and_then(|region| region.lookup);
        if let Some(query) = lookup.and_then(|lookup| self.queries.remove(&lookup)) {
            self.finish(cx, query, Err(crate::QueryError::Cancelled));
        }
    }
}
