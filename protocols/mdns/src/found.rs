//! Who was found: a bounded table of what others say of themselves.

use crate::{
    Config, Event, Interface,
    config::MAX_TTL,
    name::Name,
    ours::{KEY, Ours, at, is_local_name},
    schedule::{SECOND, jitter, share},
    wire::{Data, Message, Record, class},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{AddressClass, Instant, Multiaddr, PeerId, Rng, Timers};

/// Shares of its life, in percent, after which an entry is asked for again (RFC 6762, § 5.2).
const REFRESH: [u32; 4] = [80, 85, 90, 95];
/// Random share that is added (RFC 6762, § 5.2).
const REFRESH_JITTER: u32 = 2;
/// Entries that live for less are not asked for again: somebody else could make us ask all the time.
const SHORT: Duration = Duration::from_secs(10);

/// A peer on an interface.
type Key = (PeerId, u32);

#[derive(Debug)]
struct Address {
    addr: Multiaddr,
    heard: Instant,
    expires: Instant,
}

#[derive(Debug)]
struct Entry {
    instance: Name,
    source: IpAddr,
    age: u64,
    heard: Instant,
    expires: Instant,
    /// Steps of [`REFRESH`] that were taken.
    asked: usize,
    ask_at: Option<Instant>,
    addrs: Vec<Address>,
}

/// Where and when something was heard, and of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) now: Instant,
    pub(crate) interface: &'a Interface,
    pub(crate) from: IpAddr,
}

/// What one packet says of one instance.
struct Claim {
    instance: Name,
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    ttl: Duration,
    flush: bool,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Found {
    entries: BTreeMap<Key, Entry>,
    by_instance: BTreeMap<(u32, Name), Key>,
    /// The order in which they make room.
    by_age: BTreeSet<(u64, Key)>,
    /// The same for each source.
    by_source: BTreeMap<IpAddr, BTreeSet<(u64, Key)>>,
    timers: Timers<Key>,
    clock: u64,
    addrs: usize,
    pub(crate) events: VecDeque<Event>,
}

impl Found {
    pub(crate) fn peers(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn addrs(&self) -> usize {
        self.addrs
    }

    /// Whether there is no room for events.
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        self.events.len() >= config.max_events
    }

    /// When an entry expires, or is to be asked for again; not while nobody reads what is told of it.
    pub(crate) fn poll_timeout(&self, config: &Config) -> Option<Instant> {
        let next = self.timers.next().map(|(at, _)| at);
        next.filter(|_| !self.is_full(config))
    }

    /// Takes in a response of somebody on the link.
    pub(crate) fn learn(
        &mut self,
        heard: Heard<'_>,
        message: &Message,
        ours: &Ours,
        config: &Config,
        rng: &mut Rng,
    ) {
        let Heard { now, interface, .. } = heard;
        let pointers = pointers(message, ours);
        for (instance, ttl) in &pointers {
            if *ttl == 0 {
                self.part(now, interface.id, instance);
            }
        }
        for claim in claims(&pointers, message, heard, config) {
            if claim.ttl.is_zero() {
                self.part(now, interface.id, &claim.instance);
            } else if claim.peer != ours.local() {
                self.take(heard, claim, config, rng);
            }
        }
    }

    /// An instance says goodbye: what is known of it expires in a second, unless it is said again (RFC 6762, § 10.1).
    fn part(&mut self, now: Instant, interface: u32, instance: &Name) {
        let Some(key) = self.by_instance.get(&(interface, instance.clone())).copied() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            let end = now + SECOND;
            entry.expires = entry.expires.min(end);
            entry.ask_at = None;
            for addr in &mut entry.addrs {
                addr.expires = addr.expires.min(end);
            }
        }
        self.set_timer(key);
    }

    fn take(&mut self, heard: Heard<'_>, claim: Claim, config: &Config, rng: &mut Rng) {
        let Heard { now, interface, from } = heard;
        let key = (claim.peer, interface.id);
        self.make_room(key, from, config);
        self.clock = self.clock.saturating_add(1);
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            instance: claim.instance.clone(),
            source: from,
            age: 0,
            heard: now,
            expires: now,
            asked: 0,
            ask_at: None,
            addrs: Vec::new(),
        });
        let before = (entry.source, entry.age);
        (entry.source, entry.age) = (from, self.clock);
        let same_instance = entry.instance == claim.instance;
        let old_name = (
            interface.id,
            core::mem::replace(&mut entry.instance, claim.instance.clone()),
        );
        if !same_instance && self.by_instance.get(&old_name) == Some(&key) {
            self.by_instance.remove(&old_name);
        }
        self.by_instance.insert((interface.id, claim.instance), key);
        forget_age(&mut self.by_age, &mut self.by_source, before, key);
        self.by_age.insert((self.clock, key));
        self.by_source.entry(from).or_default().insert((self.clock, key));
        let count = entry.addrs.len();
        let new = entry.update(now, &claim.addrs, claim.ttl, claim.flush && same_instance, config);
        entry.plan(now, claim.ttl, rng);
        self.addrs = self.addrs.saturating_sub(count).saturating_add(entry.addrs.len());
        self.set_timer(key);
        self.tell(key, new, |peer, addrs| Event::Discovered {
            peer,
            addrs,
            interface: interface.id,
        });
    }

    /// Lets the ones go that were heard of longest ago: of one source, and of all.
    fn make_room(&mut self, key: Key, from: IpAddr, config: &Config) {
        let known = self.entries.get(&key);
        if known.is_none_or(|entry| entry.source != from) {
            let of_source = self.by_source.get(&from);
            let full = of_source.filter(|all| all.len() >= config.max_per_source);
            if let Some((_, oldest)) = full.and_then(BTreeSet::first).copied() {
                self.remove(oldest);
            }
        }
        if !self.entries.contains_key(&key) && self.entries.len() >= config.max_peers {
            if let Some((_, oldest)) = self.by_age.first().copied() {
                self.remove(oldest);
            }
        }
    }

    fn remove(&mut self, key: Key) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        let place = (entry.source, entry.age);
        forget_age(&mut self.by_age, &mut self.by_source, place, key);
        let name = (key.1, entry.instance);
        if self.by_instance.get(&name) == Some(&key) {
            self.by_instance.remove(&name);
        }
        self.timers.clear(key);
        self.addrs = self.addrs.saturating_sub(entry.addrs.len());
        let addrs = entry.addrs.into_iter().map(|addr| addr.addr).collect();
        self.tell(key, addrs, |peer, addrs| Event::Expired { peer, addrs });
    }

    /// Tells of addresses that are not known of another interface.
    fn tell(
        &mut self,
        key: Key,
        mut addrs: Vec<Multiaddr>,
        event: impl FnOnce(PeerId, Vec<Multiaddr>) -> Event,
    ) {
        let (peer, here) = key;
        for (_, entry) in self
            .entries
            .range((peer, 0)..=(peer, u32::MAX))
            .filter(|((_, interface), _)| *interface != here)
        {
            addrs.retain(|addr| !entry.addrs.iter().any(|known| known.addr == *addr));
        }
        if !addrs.is_empty() {
            self.events.push_back(event(peer, addrs));
        }
    }

    fn set_timer(&mut self, key: Key) {
        let at = self.entries.get(&key).and_then(Entry::poll_timeout);
        self.timers.set_or_clear(key, at);
    }

    /// Lets go what has expired, as long as there is room to tell it. Answers the interfaces on which to ask again.
    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config, rng: &mut Rng) -> BTreeSet<u32> {
        let mut ask = BTreeSet::new();
        while !self.is_full(config) {
            let Some(key) = self.timers.pop_due(now) else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let addrs = core::mem::take(&mut entry.addrs).into_iter();
            let (gone, kept): (Vec<_>, Vec<_>) = addrs.partition(|addr| addr.expires <= now);
            entry.addrs = kept;
            self.addrs = self.addrs.saturating_sub(gone.len());
            if entry.ask_at.is_some_and(|at| at <= now) {
                entry.asked = entry.asked.saturating_add(1);
                entry.plan_next(rng);
                ask.insert(key.1);
            }
            let is_empty = entry.addrs.is_empty();
            self.set_timer(key);
            let gone = gone.into_iter().map(|addr| addr.addr).collect();
            self.tell(key, gone, |peer, addrs| Event::Expired { peer, addrs });
            if is_empty {
                self.remove(key);
            }
        }
        ask
    }

    /// Pointers to those who are known on an interface for at least half of their life to come, behind the one of `after`, with the seconds that are left.
    pub(crate) fn known(
        &self,
        now: Instant,
        interface: u32,
        after: Option<Key>,
    ) -> impl Iterator<Item = (Key, &Name, u32)> {
        let from = after.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
        self.entries
            .range((from, core::ops::Bound::Unbounded))
            .filter(move |((_, on), _)| *on == interface)
            .filter_map(move |(key, entry)| {
                let left = entry.expires.since(now);
                let fresh = left >= share(entry.expires.since(entry.heard), 50);
                let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
                (fresh && seconds > 0).then_some((*key, &entry.instance, seconds))
            })
    }

    /// Forgets everybody without a word.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Takes a key out of the orders in which entries make room.
fn forget_age(
    by_age: &mut BTreeSet<(u64, Key)>,
    by_source: &mut BTreeMap<IpAddr, BTreeSet<(u64, Key)>>,
    (source, age): (IpAddr, u64),
    key: Key,
) {
    by_age.remove(&(age, key));
    if let Some(of_source) = by_source.get_mut(&source) {
        of_source.remove(&(age, key));
        if of_source.is_empty() {
            by_source.remove(&source);
        }
    }
}

impl Entry {
    /// Answers the addresses that are new.
    fn update(
        &mut self,
        now: Instant,
        addrs: &[Multiaddr],
        ttl: Duration,
        flush: bool,
        config: &Config,
    ) -> Vec<Multiaddr> {
        let expires = now + ttl;
        (self.heard, self.expires) = (now, expires);
        if flush {
            // What was heard within the last second belongs to the same answer (RFC 6762, § 10.2).
            for known in &mut self.addrs {
                if known.heard + SECOND < now {
                    known.expires = known.expires.min(now + SECOND);
                }
            }
        }
        let mut new = Vec::new();
        for addr in addrs {
            if let Some(known) = self.addrs.iter_mut().find(|known| known.addr == *addr) {
                (known.heard, known.expires) = (now, expires);
            } else if self.addrs.len() < config.max_addrs {
                new.push(addr.clone());
                self.addrs.push(Address {
                    addr: addr.clone(),
                    heard: now,
                    expires,
                });
            }
        }
        new
    }

    /// Plans when to ask for the entry again.
    fn plan(&mut self, now: Instant, ttl: Duration, rng: &mut Rng) {
        self.asked = 0;
        self.heard = now;
        self.ask_at = None;
        if ttl >= SHORT {
            self.plan_next(rng);
        }
    }

    fn plan_next(&mut self, rng: &mut Rng) {
        let life = self.expires.since(self.heard);
        let late = jitter(rng, Duration::ZERO, share(life, REFRESH_JITTER));
        let percent = REFRESH.get(self.asked);
        self.ask_at = percent.map(|percent| self.heard + share(life, *percent) + late);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let addrs = self.addrs.iter().map(|addr| addr.expires);
        addrs.chain(self.ask_at).min()
    }
}

/// Who is pointed to, with the time to live; ourselves left out.
fn pointers<'a>(message: &'a Message, ours: &Ours) -> BTreeMap<&'a Name, u32> {
    let mut found = BTreeMap::new();
    for record in message.answers.iter().chain(&message.additionals) {
        if let Record {
            name,
            class: class::IN,
            ttl,
            data: Data::Ptr(instance),
            ..
        } = record
        {
            if *name == ours.service && *instance != ours.instance {
                found.insert(instance, *ttl);
            }
        }
    }
    found
}

/// What the strings say of those who are pointed to.
fn claims(
    pointers: &BTreeMap<&Name, u32>,
    message: &Message,
    heard: Heard<'_>,
    config: &Config,
) -> Vec<Claim> {
    let mut claims: BTreeMap<&Name, Claim> = BTreeMap::new();
    for record in message.answers.iter().chain(&message.additionals) {
        let Some(pointed) = pointers.get(&record.name).filter(|ttl| **ttl > 0) else {
            continue;
        };
        let ttl = lifetime(record.ttl.min(*pointed));
        for (peer, addr) in record.data.strings().filter_map(address) {
            if !claims.contains_key(&record.name) && claims.len() >= config.max_per_source {
                break;
            }
            let claim = claims.entry(&record.name).or_insert_with(|| Claim {
                instance: record.name.clone(),
                peer,
                addrs: Vec::new(),
                ttl,
                flush: false,
            });
            // One instance is one peer: the one that it names first.
            if claim.peer != peer {
                continue;
            }
            claim.ttl = claim.ttl.min(ttl);
            claim.flush |= record.flush;
            for addr in believed(addr, heard, config) {
                if claim.addrs.len() < config.max_addrs && !claim.addrs.contains(&addr) {
                    claim.addrs.push(addr);
                }
            }
        }
    }
    claims
        .into_values()
        .filter(|claim| !claim.addrs.is_empty())
        .collect()
}

/// How long a record is believed.
fn lifetime(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into()).min(MAX_TTL)
}

/// Peer and address of a string. Its key is compared without regard to case (RFC 6763, § 6.4).
fn address(string: &[u8]) -> Option<(PeerId, Multiaddr)> {
    let (key, text) = string.split_at_checked(KEY.len())?;
    if !key.eq_ignore_ascii_case(KEY.as_bytes()) {
        return None;
    }
    let addr: Multiaddr = core::str::from_utf8(text).ok()?.parse().ok()?;
    let (addr, peer) = addr.split_peer_id();
    Some((peer?, addr?))
}

/// What of a claimed address is worth telling. An IP address that is not of this link is also tried as the sender's, which comes first: a container or a virtual machine may know itself by another one.
fn believed(addr: Multiaddr, heard: Heard<'_>, config: &Config) -> Vec<Multiaddr> {
    let Heard { interface, from, .. } = heard;
    let Some(ip) = addr.ip() else {
        let keep = addr.class() == AddressClass::Name && is_local_name(&addr);
        return keep.then_some(addr).into_iter().collect();
    };
    let here = interface.is_on_link(ip);
    let keep = match addr.class() {
        // Of any other machine it would be our own.
        AddressClass::Loopback => from.is_loopback() || interface.has(from),
        AddressClass::LinkLocal | AddressClass::Private => true,
        AddressClass::Public => here || config.distant_addrs,
        _ => false,
    };
    let needs_zone = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let by_source = keep
        && !here
        && !ip.is_loopback()
        && ip.is_ipv4() == from.is_ipv4()
        && !from.is_loopback()
        && !needs_zone(from);
    let source = by_source.then(|| at(&addr, from)).flatten();
    source.into_iter().chain(keep.then_some(addr)).collect()
}
