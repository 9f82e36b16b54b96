//! How many peers the network has, from how near the nearest to some keys are; and what follows from it.
//!
//! In a network of `N` peers whose places are even, the `i`-th nearest to a key is at a distance of about `i / (N + 1)` of the key space. The line through
//! the average distances of all ranks has the slope `1 / (N + 1)` (go-libp2p-kad-dht `netsize`).

use crate::Distance;
use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::Instant;

/// Lookups that are remembered, how long, and how many make an estimate (go-libp2p-kad-dht).
const MAX_LOOKUPS: usize = 150;
const MAX_AGE: Duration = Duration::from_secs(2 * 3600);
pub(crate) const MIN_LOOKUPS: usize = 5;
/// So many times farther or nearer than those of the newest lookups are the peers of older ones in a network that has changed since: four standard deviations of five lookups.
const CHANGED: f64 = 1.6;
/// So many times more peers than estimated are around our own place when the network has grown: two standard deviations of one lookup.
const OUTGROWN: f64 = 1.5;
/// Of a peer that is nearer than this to the key, one in ten of all keys has twenty (go-libp2p-kad-dht).
const NEAR: f64 = 0.1;
const NEAR_ON_AVERAGE: f64 = 0.9;
/// So small a part of all keys has its nearest peers as near as those of a crowded one.
const CROWDED: f64 = 0.001;

/// Why the nearest peers of a lookup say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongCount;

#[derive(Clone, Debug)]
struct Lookup {
    at: Instant,
    weight: f32,
    distances: Vec<f32>,
}

/// Lookups of keys that we drew ourselves, of which so many seem crowded when the network has grown. Whoever crowds one region is seen by fewer.
const DRAWN: usize = 5;
const GROWN: usize = 4;

/// What lookups of our own have shown.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    k: usize,
    lookups: VecDeque<Lookup>,
    /// Lookups of keys that we drew ourselves, and that seem crowded.
    suspects: Vec<Lookup>,
    /// Lookups of such keys since the first suspect.
    drawn: usize,
}

impl Sizes {
    pub(crate) const fn new(k: usize) -> Self {
        Self {
            k,
            lookups: VecDeque::new(),
            suspects: Vec::new(),
            drawn: 0,
        }
    }

    /// The distances of the `k` nearest peers of a key, nearest first. `in_bucket`: peers in the bucket of the key, of our table or of the nearest, whichever are more. Near us the
    /// network is known better than elsewhere, so that lookups there count less.
    pub(crate) fn track(
        &mut self,
        now: Instant,
        distances: &[Distance],
        in_bucket: usize,
    ) -> Result<(), WrongCount> {
        let lookup = self.lookup(now, distances, in_bucket)?;
        self.learn(now, lookup);
        Ok(())
    }

    /// The same of a key that we drew ourselves. Nobody could place peers around it; if nearly all such keys seem crowded, the network has grown.
    pub(crate) fn track_drawn(
        &mut self,
        now: Instant,
        distances: &[Distance],
        in_bucket: usize,
    ) -> Result<(), WrongCount> {
        let lookup = self.lookup(now, distances, in_bucket)?;
        self.drawn = self.drawn.saturating_add(1);
        if self.is_crowded(now, distances) {
            if self.suspects.is_empty() {
                self.drawn = 1;
            }
            self.suspects.push(lookup);
        } else {
            self.learn(now, lookup);
        }
        if self.suspects.len() >= GROWN && self.drawn <= DRAWN {
            for lookup in core::mem::take(&mut self.suspects) {
                self.learn(now, lookup);
            }
        } else if self.drawn >= DRAWN {
            self.suspects.clear();
        }
        Ok(())
    }

    fn lookup(&self, now: Instant, distances: &[Distance], in_bucket: usize) -> Result<Lookup, WrongCount> {
        if distances.len() != self.k {
            return Err(WrongCount);
        }
        let missing = self.k.saturating_sub(in_bucket).min(126);
        Ok(Lookup {
            at: now,
            weight: (0..missing).fold(1.0_f32, |weight, _| weight / 2.0),
            distances: distances.iter().map(|distance| narrow(share(distance))).collect(),
        })
    }

    fn learn(&mut self, now: Instant, lookup: Lookup) {
        self.forget(now);
        if self.lookups.len() >= MAX_LOOKUPS {
            self.lookups.pop_front();
        }
        self.lookups.push_back(lookup);
        self.forget_changed();
    }

    /// Forgets lookups of a network that was much smaller or larger than the newest ones show: on average they would tell of neither. go-libp2p-kad-dht keeps them for two hours,
    /// and an average of distances is led by the large ones, those of the small network.
    fn forget_changed(&mut self) {
        let reach = |lookup: &Lookup| f64::from(lookup.distances.last().copied().unwrap_or(0.0));
        let mean =
            |part: &[f64]| part.iter().sum::<f64>() / f64::from(u32::try_from(part.len()).unwrap_or(1));
        let reaches: Vec<f64> = self.lookups.iter().map(reach).collect();
        let mut newest = MIN_LOOKUPS;
        while let Some(split) = reaches
            .len()
            .checked_sub(newest)
            .filter(|old| *old >= MIN_LOOKUPS)
        {
            let (old, new) = reaches.split_at(split);
            let before = old.get(split.saturating_sub(newest)..).unwrap_or(old);
            let ratio = mean(before) / mean(new);
            if !(1.0 / CHANGED..=CHANGED).contains(&ratio) {
                self.lookups.drain(..split);
                return;
            }
            newest = newest.saturating_mul(2);
        }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .lookups
            .front()
            .is_some_and(|lookup| now.since(lookup.at) > MAX_AGE)
        {
            self.lookups.pop_front();
        }
    }

    /// Whether more lookups are needed for an estimate.
    pub(crate) fn is_short(&self, now: Instant) -> bool {
        self.young(now).count() < MIN_LOOKUPS
    }

    /// Whether fewer lookups than an estimate needs have ended within this time.
    pub(crate) fn is_stale(&self, now: Instant, within: Duration) -> bool {
        let newest = self.lookups.iter().rev().take(MIN_LOOKUPS);
        newest.filter(|lookup| now.since(lookup.at) <= within).count() < MIN_LOOKUPS
    }

    /// Whether the peers around our own place, which we always know, are so near that the network has outgrown its estimate. `farthest`: of the `k` nearest of our table.
    pub(crate) fn is_outgrown(&self, now: Instant, farthest: &Distance) -> bool {
        let k = f64::from(u32::try_from(self.k).unwrap_or(u32::MAX));
        let here = k / share(farthest);
        self.estimate(now).is_some_and(|size| here > size * OUTGROWN)
    }

    fn young(&self, now: Instant) -> impl Iterator<Item = &Lookup> + Clone {
        self.lookups
            .iter()
            .filter(move |lookup| now.since(lookup.at) <= MAX_AGE)
    }

    /// Peers of the network. `None` while too few lookups of the last two hours have ended.
    pub(crate) fn estimate(&self, now: Instant) -> Option<f64> {
        if self.is_short(now) {
            return None;
        }
        let (mut xy, mut xx) = (0.0, 0.0);
        for rank in 0..self.k {
            let all = || {
                self.young(now).filter_map(move |lookup| {
                    Some((f64::from(lookup.weight), f64::from(*lookup.distances.get(rank)?)))
                })
            };
            let weights: f64 = all().map(|(weight, _)| weight).sum();
            let mean = all().map(|(weight, distance)| weight * distance).sum::<f64>() / weights;
            let spread = all()
                .map(|(weight, distance)| weight * (distance - mean) * (distance - mean))
                .sum::<f64>()
                / weights;
            let weight = libm::sqrt(spread).max(f64::MIN_POSITIVE);
            let x = f64::from(u32::try_from(rank).unwrap_or(u32::MAX)) + 1.0;
            xy += weight * x * mean;
            xx += weight * x * x;
        }
        let size = xx / xy - 1.0;
        // Fewer than we have seen there are not.
        (size.is_finite()).then(|| size.max(f64::from(u32::try_from(self.k).unwrap_or(u32::MAX))))
    }

    /// Distances that decide where a record may go before its lookup is over.
    pub(crate) fn thresholds(&self, now: Instant) -> Option<Thresholds> {
        let size = self.estimate(now)?;
        Some(Thresholds {
            peer: inverse_gamma(self.k, NEAR) / size,
            average: inverse_gamma((self.k / 2).saturating_add(1), NEAR_ON_AVERAGE) / size,
        })
    }

    /// Whether peers stand nearer to a key than an honest network of this size lets one expect.
    pub(crate) fn is_crowded(&self, now: Instant, nearest: &[Distance]) -> bool {
        let Some(size) = self.estimate(now) else {
            return false;
        };
        let Some(farthest) = nearest.last() else {
            return false;
        };
        nearest.len() >= self.k && gamma(nearest.len(), share(farthest) * size) < CROWDED
    }

    /// Bits that the whole region of a key shares, so that it has at least `k` honest peers, also if there are half as many as estimated: who crowds a key
    /// is seen by lookups of others, too.
    pub(crate) fn region(&self, now: Instant) -> Option<u16> {
        let size = self.estimate(now)?;
        let k = f64::from(u32::try_from(self.k).unwrap_or(u32::MAX));
        Some(bits_of(size / k / 2.0))
    }
}

/// Whole bits of a ratio: how often it can be halved.
pub(crate) fn bits_of(ratio: f64) -> u16 {
    let mut bits: u16 = 0;
    let mut left = ratio;
    while left >= 2.0 && bits < 255 {
        left /= 2.0;
        bits = bits.saturating_add(1);
    }
    bits
}

/// See [`Sizes::thresholds`]: parts of the key space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    /// A peer this near is one of the nearest with a chance of nine in ten.
    pub(crate) peer: f64,
    /// A set of peers this near on average is that of the nearest.
    pub(crate) average: f64,
}

/// A distance as a part of the key space, 0 to 1.
pub(crate) fn share(distance: &Distance) -> f64 {
    let mut share = 0.0;
    let mut unit = 1.0;
    for chunk in distance.as_bytes().chunks_exact(4).take(4) {
        unit /= 4_294_967_296.0;
        let chunk = chunk.try_into().unwrap_or_default();
        share += f64::from(u32::from_be_bytes(chunk)) * unit;
    }
    share
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// The regularised lower incomplete gamma function `P(k, x)` of a whole `k`: the chance that at least `k` peers are where `x` are expected.
fn gamma(k: usize, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for j in 1..k {
        term *= x / f64::from(u32::try_from(j).unwrap_or(u32::MAX));
        sum += term;
    }
    1.0 - libm::exp(-x) * sum
}

/// Where [`gamma`] is `p`, by halving.
fn inverse_gamma(k: usize, p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1000.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if gamma(k, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "tests fail by panicking"
    )]
    extern crate std;

    use super::{MIN_LOOKUPS, Sizes, WrongCount, gamma, inverse_gamma, share};
    use crate::{Distance, Key};
    use alloc::vec::Vec;
    use libp2p_proto_core::{Instant, Rng};

    const NOW: Instant = Instant::from_millis(1000);

    fn network(size: usize, dice: &mut Rng) -> Vec<Key> {
        let mut peers: Vec<Key> = (0..size).map(|_| Key::from_raw(dice.bytes32())).collect();
        peers.sort_unstable();
        peers
    }

    /// The distances of the `k` nearest, from the longest shared prefix that has as many.
    fn nearest(network: &[Key], key: &Key, k: usize) -> Vec<Distance> {
        let shares = |bits: u16| {
            let first = network.partition_point(|peer| peer < key && peer.common_prefix(key) < bits);
            let rest = &network[first..];
            &rest[..rest.partition_point(|peer| peer.common_prefix(key) >= bits)]
        };
        let near = (0..20).rev().map(shares).find(|near| near.len() >= k).unwrap();
        let mut all: Vec<_> = near.iter().map(|peer| peer.distance(key)).collect();
        all.sort_unstable();
        all.truncate(k);
        all
    }

    // covers: KAD-195
    #[test]
    fn the_thresholds_are_those_of_the_list() {
        assert!((inverse_gamma(20, 0.1) - 14.525_261_465_272_75).abs() < 1e-9);
        assert!((inverse_gamma(11, 0.9) - 15.406_641_171_976_517).abs() < 1e-9);
        assert!((gamma(1, 1.0) - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
        let mut dice = Rng::from_seed([1; 32]);
        let peers = network(10_000, &mut dice);
        let mut sizes = Sizes::new(20);
        for _ in 0..150 {
            let key = Key::from_raw(dice.bytes32());
            sizes.track(NOW, &nearest(&peers, &key, 20), 20).unwrap();
        }
        let size = sizes.estimate(NOW).unwrap();
        let thresholds = sizes.thresholds(NOW).unwrap();
        assert!((thresholds.peer * size - 14.525_261).abs() < 1e-3);
        assert!((thresholds.average * size - 15.406_641).abs() < 1e-3);
    }

    // covers: KAD-193
    #[test]
    fn the_size_of_ten_thousand_is_estimated_within_a_fifth() {
        for seed in 0..10 {
            let mut dice = Rng::from_seed([seed; 32]);
            let peers = network(10_000, &mut dice);
            let mut sizes = Sizes::new(20);
            for lookups in 1..=20 {
                let key = Key::from_raw(dice.bytes32());
                sizes.track(NOW, &nearest(&peers, &key, 20), 20).unwrap();
                assert_eq!(sizes.estimate(NOW).is_some(), lookups >= MIN_LOOKUPS);
            }
            let size = sizes.estimate(NOW).unwrap();
            assert!((8000.0..12_000.0).contains(&size), "{size}");
            // Two hours later nothing is known.
            assert!(sizes.estimate(NOW + super::MAX_AGE * 2).is_none());
        }
    }

    // covers: KAD-194
    #[test]
    fn a_list_of_another_length_is_not_taken() {
        let mut dice = Rng::from_seed([2; 32]);
        let peers = network(100, &mut dice);
        let mut sizes = Sizes::new(20);
        for k in [0, 1, 19, 21, 100] {
            let distances = nearest(&peers, &Key::of(b"k"), k);
            assert_eq!(sizes.track(NOW, &distances, 20), Err(WrongCount));
        }
        assert!(sizes.lookups.is_empty());
        for _ in 0..1000 {
            sizes.track(NOW, &nearest(&peers, &Key::of(b"k"), 20), 0).unwrap();
        }
        assert_eq!(sizes.lookups.len(), 150);
        // All alike: no spread, and still a size.
        assert!(sizes.estimate(NOW).is_some());
    }

    #[test]
    fn vul_105_peers_that_were_placed_around_a_key_are_noticed_and_honest_keys_are_not() {
        let mut dice = Rng::from_seed([3; 32]);
        let peers = network(10_000, &mut dice);
        let mut sizes = Sizes::new(20);
        for _ in 0..20 {
            let key = Key::from_raw(dice.bytes32());
            sizes.track(NOW, &nearest(&peers, &key, 20), 20).unwrap();
        }
        let (mut wrong, mut missed) = (0, 0);
        for number in 0..10_000_u32 {
            let key = Key::from_raw(dice.bytes32());
            let mut honest = nearest(&peers, &key, 20);
            wrong += u32::from(sizes.is_crowded(NOW, &honest));
            if number < 1000 {
                // Forty-five that are nearer than any honest one, as by mining.
                let first = *honest[0].as_bytes();
                let place = first.iter().position(|byte| *byte != 0).unwrap();
                honest.extend((0..45).map(|_| {
                    let mut near = dice.bytes32();
                    near[..place].fill(0);
                    near[place] = u8::try_from(dice.below(u64::from(first[place]))).unwrap();
                    Key::from_raw(near).distance(&Key::from_raw([0; 32]))
                }));
                honest.sort_unstable();
                honest.truncate(20);
                missed += u32::from(!sizes.is_crowded(NOW, &honest));
            }
        }
        assert!(wrong <= 100, "{wrong} of 10 000 clean keys");
        assert!(missed <= 10, "{missed} of 1 000 crowded keys");
    }

    #[test]
    fn a_network_that_has_grown_or_shrunk_is_measured_anew_by_the_next_five_lookups() {
        for (before, after) in [(200, 1000), (500, 1000), (100, 10_000), (4000, 1000)] {
            let (mut right, mut all) = (0, 0);
            for seed in 0..40 {
                let mut dice = Rng::from_seed([seed; 32]);
                let (old, new) = (network(before, &mut dice), network(after, &mut dice));
                let mut sizes = Sizes::new(20);
                let mut look = |peers: &[Key], sizes: &mut Sizes| {
                    let key = Key::from_raw(dice.bytes32());
                    sizes.track_drawn(NOW, &nearest(peers, &key, 20), 20).unwrap();
                };
                (0..15).for_each(|_| look(&old, &mut sizes));
                (0..10).for_each(|_| look(&new, &mut sizes));
                let size = sizes.estimate(NOW).unwrap();
                let wanted = f64::from(u32::try_from(after).unwrap());
                all += 1;
                right += u32::from((wanted * 0.7..wanted * 1.3).contains(&size));
            }
            assert!(right * 10 >= all * 8, "{before} to {after}: {right} of {all}");
        }
    }

    #[test]
    fn lookups_of_a_network_that_stays_as_it_is_are_kept() {
        let mut dice = Rng::from_seed([8; 32]);
        let peers = network(5000, &mut dice);
        let mut sizes = Sizes::new(20);
        let mut kept = 0;
        for _ in 0..1000 {
            let key = Key::from_raw(dice.bytes32());
            sizes.track(NOW, &nearest(&peers, &key, 20), 20).unwrap();
            kept += sizes.lookups.len();
        }
        assert!(kept > 1000 * 50, "{kept} lookups in all estimates");
    }

    #[test]
    fn a_distance_is_a_part_of_the_key_space() {
        let share = |bytes: [u8; 32]| share(&Key::from_raw(bytes).distance(&Key::from_raw([0; 32])));
        assert!((share([0xff; 32]) - 1.0).abs() < 1e-9);
        let mut half = [0; 32];
        half[0] = 0x80;
        assert!((share(half) - 0.5).abs() < 1e-12);
    }
}
