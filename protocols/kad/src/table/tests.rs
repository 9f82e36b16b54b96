#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::{Diversity, Insert, Table, restore};
use crate::{Contact, Key};
use alloc::{collections::BTreeMap, format, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId};
use proptest::prelude::*;

const NOW: Instant = Instant::from_millis(1_000_000);
const SILENCE: Duration = Duration::from_secs(600);

fn peer(index: usize) -> PeerId {
    PeerId::from_encoded_key(format!("peer {index}").as_bytes())
}

fn at(index: usize, addr: [u8; 4]) -> Contact {
    Contact {
        peer: peer(index),
        addrs: alloc::vec![Multiaddr::tcp(addr.into(), 4001)],
    }
}

/// A network of its own for each.
fn far(index: usize) -> Contact {
    at(
        index,
        [
            60 + u8::try_from(index / 250).unwrap(),
            u8::try_from(index % 250).unwrap(),
            1,
            1,
        ],
    )
}

fn table(diversity: Option<Diversity>) -> Table {
    Table::new(Key::of_peer(&peer(0)), 20, diversity, SILENCE)
}

fn prefix(index: usize) -> u16 {
    Key::of_peer(&peer(0)).common_prefix(&Key::of_peer(&peer(index)))
}

/// Peers of one bucket.
fn of_bucket(wanted: u16) -> impl Iterator<Item = usize> {
    (1..).filter(move |index| prefix(*index) == wanted)
}

// covers: KAD-063, KAD-065, KAD-070
#[test]
fn a_bucket_takes_twenty_and_no_newcomer_drives_a_live_peer_out_and_we_are_never_in() {
    let mut table = table(None);
    for index in of_bucket(0).take(1000) {
        let wanted = if table.len() < 20 {
            Insert::Added
        } else {
            Insert::Full
        };
        assert_eq!(table.insert(NOW, far(index), false), wanted);
    }
    assert_eq!(table.len(), 20);
    let first: Vec<_> = of_bucket(0).take(20).map(peer).collect();
    assert!(first.iter().all(|peer| table.contains(peer)));
    assert_eq!(table.insert(NOW, far(0), false), Insert::OwnId);
}

// covers: KAD-071
#[test]
fn a_replaceable_peer_gives_its_place_to_a_newcomer() {
    let mut table = table(None);
    let peers: Vec<_> = of_bucket(0).take(22).collect();
    for (place, index) in peers[..20].iter().enumerate() {
        table.insert(NOW, far(*index), place == 7);
    }
    assert_eq!(
        table.insert(NOW, far(peers[20]), false),
        Insert::Replaced(peer(peers[7]))
    );
    assert_eq!(table.insert(NOW, far(peers[21]), false), Insert::Full);
    table.settle();
    assert!(!table.contains(&peer(peers[7])) && table.contains(&peer(peers[20])));
}

// covers: KAD-072
#[test]
fn a_newcomer_waits_for_the_most_silent_peer_and_takes_its_place_if_that_is_gone() {
    let mut table = table(None);
    let peers: Vec<_> = of_bucket(0).take(21).collect();
    for index in &peers[..20] {
        table.insert(NOW, far(*index), false);
    }
    let later = NOW + SILENCE;
    for index in peers[..20].iter().filter(|index| **index != peers[3]) {
        table.saw(later, &peer(*index));
    }
    assert_eq!(
        table.insert(later, far(peers[20]), false),
        Insert::Waits(peer(peers[3]))
    );
    assert_eq!(
        table.remove(later, &peer(peers[3])),
        (true, Some(peer(peers[20])))
    );
    assert_eq!(table.len(), 20);
    // If it answers after all, the newcomer is forgotten.
    let late = later + SILENCE;
    for index in peers[..20]
        .iter()
        .filter(|index| ![peers[3], peers[4]].contains(index))
    {
        table.saw(late, &peer(*index));
    }
    table.saw(late, &peer(peers[20]));
    assert_eq!(
        table.insert(late, far(peers[3]), false),
        Insert::Waits(peer(peers[4]))
    );
    table.saw(late, &peer(peers[4]));
    assert_eq!(table.remove(late, &peer(peers[5])), (true, None));
}

// covers: KAD-078, KAD-079, KAD-081
#[test]
fn peers_of_one_network_are_three_in_a_table_and_two_in_a_bucket() {
    let mut table = table(Some(Diversity::default()));
    let crowd = |index: usize| at(index, [198, 51, u8::try_from(index % 200).unwrap(), 7]);
    let same: Vec<_> = of_bucket(0).take(5).collect();
    let results: Vec<_> = same
        .iter()
        .map(|index| table.insert(NOW, crowd(*index), false))
        .collect();
    assert_eq!(results[..3], [Insert::Added, Insert::Added, Insert::Crowded]);
    for depth in 1..8 {
        table.insert(NOW, crowd(of_bucket(depth).next().unwrap()), false);
    }
    assert_eq!(table.len(), 3);
    // One address of a full network is enough to be refused.
    let mut mixed = far(of_bucket(2).nth(1).unwrap());
    mixed.addrs.extend(crowd(1).addrs);
    assert_eq!(table.insert(NOW, mixed, false), Insert::Crowded);
    table.remove(NOW, &peer(same[0]));
    assert_eq!(table.insert(NOW, crowd(same[4]), false), Insert::Added);
}

// covers: KAD-078, KAD-080
#[test]
fn a_legacy_range_of_eight_bits_is_one_network_and_each_ipv6_allocation_another() {
    let mut table = table(Some(Diversity::default()));
    let legacy = |index: usize, second| at(index, [17, second, 1, 1]);
    for (depth, second) in [(0, 1), (1, 2), (2, 3)] {
        let index = of_bucket(depth).next().unwrap();
        assert_eq!(table.insert(NOW, legacy(index, second), false), Insert::Added);
    }
    assert_eq!(
        table.insert(NOW, legacy(of_bucket(3).next().unwrap(), 4), false),
        Insert::Crowded
    );
    for (number, index) in (0..20_u16).zip(of_bucket(0).skip(1)) {
        let ip = core::net::Ipv6Addr::new(0x2001, number + 0x1000, 0, 0, 0, 0, 0, 1);
        let contact = Contact {
            peer: peer(index),
            addrs: alloc::vec![Multiaddr::tcp(ip.into(), 4001)],
        };
        let wanted = if number < 19 { Insert::Added } else { Insert::Full };
        assert_eq!(table.insert(NOW, contact, false), wanted, "{number}");
    }
}

#[test]
fn vul_104_an_attacker_of_two_networks_gets_no_more_than_its_share_and_drives_nobody_out() {
    let mut table = table(Some(Diversity::default()));
    for index in 1..=40 {
        table.insert(NOW, far(index), false);
    }
    let honest = table.len();
    let mut now = NOW;
    for index in 1000..20_000 {
        now = now + Duration::from_secs(4);
        // The honest ones answer when they are asked.
        if let Insert::Waits(oldest) = table.insert(
            now,
            at(index, [203, 0, 113, u8::try_from(index % 250).unwrap()]),
            false,
        ) {
            table.saw(now, &oldest);
        }
        table.insert(
            now,
            at(index + 30_000, [198, 18, 7, u8::try_from(index % 250).unwrap()]),
            false,
        );
    }
    let sybils = table
        .iter()
        .filter(|known| !(1..=40).any(|index| peer(index) == known.peer))
        .count();
    assert!(sybils <= 6, "{sybils}");
    assert_eq!(table.len() - sybils, honest);
    let mut by_bucket: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
    for known in table.iter() {
        let counts = by_bucket.entry(table.prefix(&known.peer).unwrap()).or_default();
        if (1..=40).any(|index| peer(index) == known.peer) {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
    }
    assert!(by_bucket.values().all(|(_, sybils)| *sybils <= 4));
}

// covers: KAD-085
#[test]
fn a_snapshot_holds_everybody_and_broken_bytes_are_refused() {
    let mut table = table(None);
    for index in 1..=30 {
        table.insert(NOW, far(index), false);
    }
    table.was_useful(NOW, &peer(9));
    let bytes = table.snapshot(NOW);
    let contacts = restore(&bytes).unwrap();
    assert_eq!(contacts.len(), table.len());
    assert_eq!(contacts[0], far(9), "who helped last comes first");
    assert!(contacts.iter().all(|contact| table.contains(&contact.peer)));
    assert!(
        restore(b"").is_err() && restore(b"\x08\x02").is_err() && restore(&bytes[..bytes.len() - 1]).is_err()
    );
}

proptest! {
    // covers: KAD-064, KAD-084, KAD-007
    #[test]
    fn the_nearest_are_those_of_a_sort_of_the_whole_table(
        indices in prop::collection::vec(1_usize..5000, 0..400),
        gone in prop::collection::vec(1_usize..5000, 0..100),
        target in any::<[u8; 32]>(),
    ) {
        let mut table = table(None);
        for index in &indices {
            table.insert(NOW, far(*index), false);
        }
        for index in indices.iter().take(20).chain(&gone) {
            table.remove(NOW, &peer(*index));
        }
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for known in table.iter() {
            *counts.entry(table.prefix(&known.peer).unwrap()).or_default() += 1;
        }
        prop_assert!(counts.values().all(|count| *count <= 20));
        for target in [Key::from_raw(target), Key::of_peer(&peer(0)), Key::of_peer(&peer(1))] {
            let mut all: Vec<_> = table.iter().map(|known| (target.distance(&known.key), known.peer)).collect();
            all.sort();
            for n in [1, 20, 100] {
                let found: Vec<_> = table.closest(&target, n, |_| true).iter().map(|known| known.peer).collect();
                let wanted: Vec<_> = all.iter().take(n).map(|(_, peer)| *peer).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }
}

#[test]
fn a_check_is_worth_a_request_only_where_there_is_a_place_or_somebody_has_been_silent() {
    let mut table = table(Some(Diversity::default()));
    let peers: Vec<_> = of_bucket(0).take(21).collect();
    let newcomer = far(peers[20]);
    for index in &peers[..20] {
        assert!(table.may_take(NOW, &newcomer));
        table.insert(NOW, far(*index), true);
    }
    assert!(!table.may_take(NOW, &newcomer));
    assert!(table.may_take(NOW + SILENCE, &newcomer));
    // Two of its network are in the bucket.
    let crowd = |index: usize, low: u8| at(index, [99, 1, 1, low]);
    let mut table = self::table(Some(Diversity::default()));
    for (index, low) in peers.iter().zip(0..2) {
        table.insert(NOW, crowd(*index, low), false);
    }
    assert!(!table.may_take(NOW, &crowd(peers[2], 2)));
}
