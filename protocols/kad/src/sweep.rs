//! The sweeping provider: many keys are announced region by region of the key space, each region at its own time, so that the servers of a region are searched once for all of
//! its keys and the load is even (go-libp2p-kad-dht `provider`).
//!
//! A region is a prefix that has at least `k` servers, so the nearest of each of its keys are among them. What is new is announced at once (a burst); after that each region
//! has its time in every [`republish`](crate::Config::republish) interval, which follows from its prefix and our own id. Nobody's records are computed in advance: each server has a
//! cursor in the ordered set of keys, so the memory is that of the keys alone.

mod job;
mod saved;

use crate::{
    Error, Kad, Key,
    kad::{Timer, part, provider_key},
    query::{Kind, Owner},
    region::MAX_BITS,
    size,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::{ops::RangeInclusive, time::Duration};
use job::{Explored, Job};
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_stream_protocol::Context;
use saved::Saved;

/// Regions at the same time; of these so many are kept for regions whose turn it is, and for new keys (go-libp2p-kad-dht).
const WORKERS: usize = 4;
const FOR_TURNS: usize = 2;
const FOR_BURSTS: usize = 1;
/// A region that could not be served is tried again after this (go-libp2p-kad-dht).
const RETRY: Duration = Duration::from_secs(300);
/// The servers of a region are remembered for so long, and for so many regions.
const REMEMBERED: Duration = Duration::from_secs(300);
const MAX_REMEMBERED: usize = 8;
/// Waits between looks whether anybody can be reached, and when we count as offline (go-libp2p-kad-dht).
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const OFFLINE_AFTER: Duration = Duration::from_secs(2 * 3600);
/// Without an address of ours nothing can be announced: look again.
const NO_ADDRESS: Duration = Duration::from_secs(60);

/// Whether anybody can be reached, as far as the provider of many keys knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// The last region went well, or nothing was tried.
    #[default]
    Online,
    /// A region failed, and since then nobody has answered. It is tried with growing waits, up to a minute.
    Disconnected,
    /// The same for two hours.
    Offline,
}

/// What is provided region by region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provided {
    /// Keys.
    pub keys: usize,
    /// Those of them that were not announced yet.
    pub fresh: usize,
    /// Regions that have their turn in each interval.
    pub regions: usize,
    /// Regions that are served now.
    pub running: usize,
    /// Whether anybody can be reached.
    pub link: Link,
}

/// All places with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    first: Key,
    bits: u16,
}

impl Prefix {
    pub(crate) fn of(key: &Key, bits: u16) -> Self {
        let first = *key.region(bits).start();
        Self { first, bits }
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.first.common_prefix(key) >= self.bits
    }

    pub(crate) fn range(&self) -> RangeInclusive<Key> {
        self.first.region(self.bits)
    }

    /// The first 32 bits, as a number.
    fn head(&self) -> u32 {
        head(&self.first)
    }

    fn halves(&self) -> [Self; 2] {
        let bits = self.bits.saturating_add(1);
        [Self::of(&self.first, bits), Self::of(self.range().end(), bits)]
    }
}

fn head(key: &Key) -> u32 {
    key.as_bytes()
        .first_chunk()
        .map_or(0, |head| u32::from_be_bytes(*head))
}

/// When each region has its turn. Prefixes in it never overlap.
#[derive(Debug, Default)]
struct Turns {
    at: BTreeMap<Prefix, Instant>,
    order: BTreeSet<(Instant, Prefix)>,
}

impl Turns {
    fn set(&mut self, prefix: Prefix, at: Instant) {
        let inside: Vec<_> = self
            .at
            .range(Prefix { bits: 0, ..prefix }..)
            .map(|(known, _)| *known)
            .take_while(|known| prefix.contains(&known.first))
            .filter(|known| known.bits >= prefix.bits)
            .collect();
        for known in inside {
            self.remove(known);
        }
        self.at.insert(prefix, at);
        self.order.insert((at, prefix));
    }

    fn remove(&mut self, prefix: Prefix) {
        if let Some(at) = self.at.remove(&prefix) {
            self.order.remove(&(at, prefix));
        }
    }

    fn of(&self, key: &Key) -> Option<Prefix> {
        let last = Prefix {
            first: *key,
            bits: u16::MAX,
        };
        let (prefix, _) = self.at.range(..=last).next_back()?;
        prefix.contains(key).then_some(*prefix)
    }

    fn next(&self) -> Option<(Instant, Prefix)> {
        self.order.first().copied()
    }
}

/// Whether jobs may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Up,
    /// It is being looked at whether anybody answers.
    Probing { since: Instant, wait: Duration },
    /// Nobody did; the next look is due.
    Down { since: Instant, wait: Duration },
}

/// Everything that is provided region by region.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    keys: BTreeMap<Key, Box<[u8]>>,
    fresh: BTreeSet<Key>,
    turns: Turns,
    /// New keys of regions that failed wait.
    blocked: BTreeMap<Prefix, Instant>,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    /// Regions with fewer bits are too large.
    least_bits: u16,
    state: State,
    /// Where in the interval we are: at `origin` it was at `phase`.
    origin: Option<Instant>,
    phase: Duration,
    restored: Option<Saved>,
    remembered: VecDeque<(Instant, Prefix, Explored)>,
}

impl Sweep {
    pub(crate) fn provides(&self, key: &[u8]) -> bool {
        !self.keys.is_empty() && self.keys.get(&Key::of(key)).is_some_and(|known| **known == *key)
    }

    pub(crate) fn withdraw(&mut self, key: &[u8]) {
        let place = Key::of(key);
        self.keys.remove(&place);
        self.fresh.remove(&place);
    }

    fn add(&mut self, key: &[u8]) -> bool {
        let place = Key::of(key);
        let new = self.keys.insert(place, key.into()).is_none();
        if new {
            self.fresh.insert(place);
        }
        new
    }

    /// Where in the interval we are.
    fn position(&self, now: Instant, interval: Duration) -> Duration {
        let since = now.since(self.origin.unwrap_or(now)).saturating_add(self.phase);
        remainder(since, interval)
    }

    /// The next turn of a region: `interval * (prefix XOR our own place) / 2^bits` after the beginning of an interval.
    fn turn(&self, now: Instant, interval: Duration, local: &Key, prefix: Prefix) -> Instant {
        let mask = u32::MAX
            .checked_shl(32_u32.saturating_sub(u32::from(prefix.bits.min(32))))
            .unwrap_or(0);
        let share = (prefix.head() ^ head(local)) & mask;
        let slot = interval.mul_f64(f64::from(share) / 4_294_967_296.0);
        let wait = slot
            .saturating_add(interval)
            .saturating_sub(self.position(now, interval));
        let mut wait = remainder(wait, interval);
        if wait < part(interval, 1000) {
            // That is the turn that has just been.
            wait = wait.saturating_add(interval);
        }
        now + wait
    }

    fn running(&self, periodic: bool) -> usize {
        self.jobs.values().filter(|job| job.periodic == periodic).count()
    }

    /// The first new key that may be announced now.
    fn next_fresh(&self, now: Instant) -> Option<Key> {
        let mut from = self.fresh.first().copied()?;
        loop {
            let key = *self.fresh.range(from..).next()?;
            let blocked = self
                .blocked
                .iter()
                .find(|(prefix, until)| prefix.contains(&key) && **until > now);
            match blocked {
                None => return Some(key),
                Some((prefix, _)) => from = prefix.range().end().next()?,
            }
        }
    }

    fn remembered(&mut self, now: Instant, prefix: Prefix) -> Option<Explored> {
        self.remembered.retain(|(until, ..)| *until > now);
        let fits = |known: &Prefix| known.bits <= prefix.bits && known.contains(&prefix.first);
        self.remembered
            .iter()
            .find(|(_, known, _)| fits(known))
            .map(|(.., explored)| explored.clone())
    }

    fn remember(&mut self, now: Instant, explored: &Explored) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered
            .push_back((now + REMEMBERED, explored.prefix, explored.clone()));
    }
}

fn remainder(of: Duration, by: Duration) -> Duration {
    let nanos = of.as_nanos().checked_rem(by.as_nanos()).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Kad {
    /// Says that we provide all these contents, region by region of the key space: at once, and again every [`republish`](crate::Config::republish), spread evenly over that time. For many
    /// keys this costs a small part of the lookups of [`provide`](Self::provide). Events [`Provided`](crate::Event::Provided) tell how it goes; [`stop_providing`](Self::stop_providing) ends it
    /// for a key. Answers how many of them are new.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyKeys`] beyond [`max_swept`](crate::Config::max_swept), [`Error::BadKey`] for a multihash of 0 bytes or more than 80. Then none of them is taken.
    pub fn provide_many(&mut self, multihashes: Vec<Bytes>) -> Result<usize, Error> {
        self.journal.note(|| crate::Command::ProvideMany {
            multihashes: multihashes.clone(),
        });
        let unknown = multihashes.iter().filter(|key| !self.sweep.provides(key)).count();
        if self.sweep.keys.len().saturating_add(unknown) > self.config.max_swept {
            return Err(Error::TooManyKeys);
        }
        for key in &multihashes {
            provider_key(key.clone())?;
        }
        let added = multihashes.iter().filter(|key| self.sweep.add(key)).count();
        self.wish = true;
        Ok(added)
    }

    /// What is provided region by region.
    pub fn provided(&self, now: Instant) -> Provided {
        let link = match self.sweep.state {
            State::Up => Link::Online,
            State::Probing { since, .. } | State::Down { since, .. } => {
                if now.since(since) >= OFFLINE_AFTER {
                    Link::Offline
                } else {
                    Link::Disconnected
                }
            }
        };
        Provided {
            keys: self.sweep.keys.len(),
            fresh: self.sweep.fresh.len(),
            regions: self.sweep.turns.at.len(),
            running: self.sweep.jobs.len(),
            link,
        }
    }

    /// The keys that are provided region by region, and when each region has its turn, as bytes that an owner may keep: 40 bytes for a key of SHA-256.
    pub fn save_provided(&self, now: Instant, unix: UnixTime) -> Vec<u8> {
        let phase = self.sweep.position(now, self.config.republish);
        saved::write(&self.sweep, now, unix, phase)
    }

    /// Goes on with what an earlier run provided: regions whose turn was missed are served at once, the oldest first, and nothing else is. Answers how many keys there are.
    ///
    /// # Errors
    ///
    /// [`Error::BadSnapshot`], [`Error::TooManyKeys`].
    pub fn restore_provided(&mut self, snapshot: &[u8]) -> Result<usize, Error> {
        self.journal.note(|| crate::Command::RestoreProvided {
            snapshot: Bytes::copy_from_slice(snapshot),
        });
        let mut saved = saved::read(snapshot).ok_or(Error::BadSnapshot)?;
        let count = saved.keys.len();
        if self.sweep.keys.len().saturating_add(count) > self.config.max_swept {
            return Err(Error::TooManyKeys);
        }
        for (key, fresh) in core::mem::take(&mut saved.keys) {
            let place = Key::of(&key);
            if self.sweep.keys.insert(place, key).is_none() && fresh {
                self.sweep.fresh.insert(place);
            }
        }
        self.sweep.restored = Some(saved);
        self.wish = true;
        Ok(count)
    }

    /// Begins what is due. To be called after every input.
    pub(crate) fn sweep_on(&mut self, cx: &mut Context<'_>) {
        let sweep = &mut self.sweep;
        if sweep.keys.is_empty() && sweep.jobs.is_empty() {
            return;
        }
        sweep.origin.get_or_insert(cx.now);
        if let Some(saved) = sweep.restored.take() {
            sweep.resume(cx.now, cx.unix, saved);
        }
        if sweep.state != State::Up {
            return;
        }
        // Checks of those who were invited are about to fill the table.
        if self.table.is_empty() && self.full.len() == 0 {
            if !self.upkeep.has_hope() {
                self.look_around(cx);
            }
            return;
        }
        let due = self.sweep.turns.next().is_some_and(|(at, _)| at <= cx.now);
        if !due && self.sweep.fresh.is_empty() || self.sweep.jobs.len() >= WORKERS {
            self.set_regions_timer(cx.now);
            return;
        }
        if self.ourselves.addrs(self.filters.own).is_empty() {
            self.timers.set(Timer::Regions, cx.now + NO_ADDRESS);
            return;
        }
        while self.sweep.jobs.len() < WORKERS && self.sweep.running(true) < WORKERS.saturating_sub(FOR_BURSTS)
        {
            let Some((_, prefix)) = self.sweep.turns.next().filter(|(at, _)| *at <= cx.now) else {
                break;
            };
            self.sweep.turns.remove(prefix);
            if self.sweep.keys.range(prefix.range()).next().is_some() {
                self.begin_job(cx, prefix, true);
            }
        }
        while self.sweep.jobs.len() < WORKERS && self.sweep.running(false) < WORKERS.saturating_sub(FOR_TURNS)
        {
            let Some(key) = self.sweep.next_fresh(cx.now) else {
                break;
            };
            let bits = match self.sweep.turns.of(&key) {
                Some(prefix) => prefix.bits,
                None => self.region_bits(cx.now),
            };
            self.begin_job(cx, Prefix::of(&key, bits), false);
        }
        self.set_regions_timer(cx.now);
    }

    fn set_regions_timer(&mut self, now: Instant) {
        let sweep = &mut self.sweep;
        sweep.blocked.retain(|_, until| *until > now);
        let turn = sweep
            .turns
            .next()
            .map(|(at, _)| at)
            .filter(|at| *at > now || sweep.jobs.len() < WORKERS);
        let retry = sweep.blocked.values().min().copied();
        let next = turn.into_iter().chain(retry).filter(|at| *at > now).min();
        self.timers.set_or_clear(Timer::Regions, next);
    }

    /// Bits of a region that probably has twice as many servers as are needed: by the estimate of the network's size, or by the buckets that are full.
    fn region_bits(&self, now: Instant) -> u16 {
        let k = f64::from(u32::try_from(self.config.replication).unwrap_or(u32::MAX));
        let bits = match self.sizes.estimate(now) {
            Some(size) => size::bits_of(size / k),
            None => (0..MAX_BITS)
                .take_while(|bits| self.table.in_bucket(*bits) >= self.config.replication)
                .fold(0_u16, |bits, _| bits.saturating_add(1)),
        };
        bits.saturating_sub(1).max(self.sweep.least_bits).min(MAX_BITS)
    }

    /// A region failed: is anybody there?
    fn look_around(&mut self, cx: &mut Context<'_>) {
        if self.sweep.state == State::Up {
            let (since, wait) = (cx.now, FIRST_WAIT);
            self.sweep.state = State::Down { since, wait };
            self.probe(cx);
        }
    }

    /// Looks whether anybody answers.
    pub(crate) fn probe(&mut self, _cx: &mut Context<'_>) {
        if let State::Down { since, wait } = self.sweep.state {
            self.sweep.state = State::Probing { since, wait };
            let key = Bytes::copy_from_slice(self.local.as_bytes());
            self.begin(key, Kind::Closest, Owner::Probe);
        }
    }

    pub(crate) fn probed(&mut self, cx: &mut Context<'_>, anybody: bool) {
        if let State::Probing { since, wait } = self.sweep.state {
            if anybody {
                // Regions whose turn was missed come first: they are the oldest.
                self.sweep.state = State::Up;
                self.sweep_on(cx);
            } else {
                self.timers.set(Timer::Probe, cx.now + wait);
                let wait = wait.saturating_mul(2).min(LONGEST_WAIT);
                self.sweep.state = State::Down { since, wait };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tests fail by panicking"
    )]

    use super::{Prefix, Sweep, Turns};
    use crate::Key;
    use alloc::vec::Vec;
    use core::time::Duration;
    use libp2p_proto_core::Instant;

    const INTERVAL: Duration = Duration::from_secs(22 * 3600);
    const START: Instant = Instant::from_millis(1000);

    fn all(bits: u16) -> Vec<Prefix> {
        (0..1_u32 << bits)
            .map(|number| {
                let mut bytes = [0; 32];
                bytes[..4].copy_from_slice(&(number << (32 - bits)).to_be_bytes());
                Prefix::of(&Key::from_raw(bytes), bits)
            })
            .collect()
    }

    fn sweep() -> Sweep {
        Sweep {
            origin: Some(START),
            ..Sweep::default()
        }
    }

    // covers: KAD-201
    #[test]
    fn the_turns_of_all_regions_are_spread_evenly_and_differ_between_nodes() {
        let sweep = sweep();
        let turns = |local: &Key, now| -> Vec<Instant> {
            let turn = |prefix| sweep.turn(now, INTERVAL, local, prefix);
            all(6).into_iter().map(turn).collect()
        };
        let mut one = turns(&Key::of(b"one"), START);
        let two = turns(&Key::of(b"two"), START);
        assert_ne!(one, two);
        one.sort_unstable();
        for pair in one.windows(2) {
            assert_eq!(
                pair[1].since(pair[0]).as_secs(),
                INTERVAL.as_secs() / 64
                    + u64::from(pair[1].since(pair[0]).as_secs() > INTERVAL.as_secs() / 64)
            );
        }
        assert!(one[63] <= START + INTERVAL * 2);
        // A turn that was taken comes again after one interval, and none comes twice in one.
        for prefix in all(6) {
            let local = Key::of(b"one");
            let first = sweep.turn(START, INTERVAL, &local, prefix);
            let late = first + Duration::from_secs(600);
            let second = sweep.turn(late, INTERVAL, &local, prefix);
            assert!(
                second.since(first + INTERVAL) < Duration::from_millis(1),
                "{prefix:?}"
            );
        }
    }

    #[test]
    fn a_region_takes_the_place_of_those_inside_of_it() {
        let mut turns = Turns::default();
        for prefix in all(4) {
            turns.set(prefix, START);
        }
        assert_eq!(turns.at.len(), 16);
        let key = Key::of(b"key");
        assert_eq!(turns.of(&key), Some(Prefix::of(&key, 4)));
        turns.set(Prefix::of(&key, 2), START + INTERVAL);
        assert_eq!((turns.at.len(), turns.order.len()), (13, 13));
        assert_eq!(turns.of(&key), Some(Prefix::of(&key, 2)));
        let [left, right] = Prefix::of(&key, 2).halves();
        turns.remove(Prefix::of(&key, 2));
        assert_eq!(turns.of(&key), None);
        for half in [left, right] {
            turns.set(half, START);
        }
        assert_eq!(turns.of(&key), Some(Prefix::of(&key, 3)));
        assert_eq!([left, right].iter().filter(|half| half.contains(&key)).count(), 1);
    }
}
