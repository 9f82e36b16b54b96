//! All hosts of a network in the order of their keys: what a table holds that has been kept for long.

use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_kad::Key;

/// Bits of a key.
const BITS: usize = 256;

/// The places of all hosts, by key.
#[derive(Debug)]
pub(super) struct Population {
    sorted: Vec<(Key, usize)>,
    keys: Vec<Key>,
}

impl Population {
    pub(super) fn new(peers: &[PeerId]) -> Self {
        let keys: Vec<Key> = peers.iter().map(Key::of_peer).collect();
        let mut sorted: Vec<_> = keys.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Self { sorted, keys }
    }

    /// Up to `size` random peers of each bucket of the host at a place, and all of the buckets that have no more.
    pub(super) fn table_of(&self, place: usize, size: usize, dice: &mut Rng) -> Vec<usize> {
        let mut table = Vec::new();
        let Some(key) = self.keys.get(place) else {
            return table;
        };
        // Those who share a prefix of so many bits are neighbours in the order.
        let mut near = self.sorted.as_slice();
        for bit in 0..BITS {
            if near.len() <= 1 {
                break;
            }
            let middle = near.partition_point(|(other, _)| !is_set(other, bit));
            let (low, high) = near.split_at(middle);
            let (own, others) = if is_set(key, bit) {
                (high, low)
            } else {
                (low, high)
            };
            table.extend(drawn(others, size, dice));
            near = own;
        }
        table
    }
}

fn is_set(key: &Key, bit: usize) -> bool {
    let byte = key.as_bytes().get(bit / 8).copied().unwrap_or(0);
    byte & (0x80_u8.wrapping_shr(u32::try_from(bit % 8).unwrap_or(0))) != 0
}

/// Up to `size` of a bucket, none twice.
fn drawn(bucket: &[(Key, usize)], size: usize, dice: &mut Rng) -> Vec<usize> {
    let mut left: Vec<usize> = if bucket.len() <= size.saturating_mul(4) {
        bucket.iter().map(|(_, place)| *place).collect()
    } else {
        // So many that those drawn twice are not missed.
        let bound = u64::try_from(bucket.len()).unwrap_or(u64::MAX);
        let some = (0..size.saturating_mul(2)).filter_map(|_| {
            let at = usize::try_from(dice.below(bound)).ok()?;
            bucket.get(at).map(|(_, place)| *place)
        });
        let mut some: Vec<usize> = some.collect();
        some.sort_unstable();
        some.dedup();
        some
    };
    for last in (1..left.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        left.swap(last, usize::try_from(dice.below(bound)).unwrap_or(0));
    }
    left.truncate(size);
    left
}

#[cfg(test)]
mod tests {
    use super::{Population, is_set};
    use libp2p_proto_core::{PeerId, Rng};
    use libp2p_proto_kad::Key;

    #[test]
    fn a_table_holds_as_many_of_each_bucket_as_there_are_and_no_more_than_asked() {
        let mut dice = Rng::from_seed([5; 32]);
        let peers: Vec<PeerId> = (0..500)
            .map(|_| PeerId::from_encoded_key(&dice.bytes32()))
            .collect();
        let population = Population::new(&peers);
        let own = Key::of_peer(&peers[7]);
        let prefix = |other: &Key| {
            (0..256)
                .take_while(|bit| is_set(&own, *bit) == is_set(other, *bit))
                .count()
        };
        let mut there = [0_usize; 257];
        for peer in &peers {
            there[prefix(&Key::of_peer(peer))] += 1;
        }
        let table = population.table_of(7, 6, &mut dice);
        let mut held = [0_usize; 257];
        for place in &table {
            held[prefix(&Key::of_peer(&peers[*place]))] += 1;
        }
        for (there, held) in there.iter().zip(held).take(256) {
            assert_eq!(held, (*there).min(6));
        }
        let mut once = table.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), table.len());
    }
}
