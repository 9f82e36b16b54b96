//! The JSON vectors of the pure functions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::cmp::Ordering;
use libp2p_proto_core::{AddressClass, ConnectionId, Instant, Multiaddr, PeerId, Side};
use libp2p_proto_swarm::{Standing, backoff, drop_lesser_twins, preference, rank, redundant_from};
use serde_json::Value;
use std::{fs, path::Path};

fn vectors(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/swarm");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

fn addrs(list: &Value) -> Vec<Multiaddr> {
    let text = |value: &Value| value.as_str().unwrap().parse().unwrap();
    list.as_array().unwrap().iter().map(text).collect()
}

// covers: CON-038, CON-039, CON-040, CON-041, CON-042, CON-052
#[test]
fn addresses_are_ranked_as_go_ranks_them_in_whatever_order_they_come() {
    for vector in vectors("ranking.json") {
        let ranked = vector["ranked"].as_array().unwrap();
        let wanted: Vec<(Multiaddr, u64)> = ranked
            .iter()
            .map(|pair| {
                (
                    pair[0].as_str().unwrap().parse().unwrap(),
                    pair[1].as_u64().unwrap(),
                )
            })
            .collect();
        let class = |addr: &Multiaddr| match vector["class"].as_str() {
            Some("public") => AddressClass::Public,
            Some("private") => AddressClass::Private,
            _ => addr.class(),
        };
        let mut given: Vec<_> = wanted.iter().map(|(addr, _)| addr.clone()).collect();
        for _ in 0..given.len() {
            given.rotate_left(1);
            for reversed in [false, true] {
                if reversed {
                    given.reverse();
                }
                let mut found: Vec<_> = rank(&given, class)
                    .into_iter()
                    .map(|(addr, delay)| (addr, u64::try_from(delay.as_millis()).unwrap()))
                    .collect();
                let mut wanted = wanted.clone();
                // Equal delays are in no order of their own.
                wanted.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                found.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
                assert_eq!(found, wanted, "{}", vector["name"]);
            }
        }
    }
}

// covers: CON-037
#[test]
fn lesser_twins_of_an_address_are_dropped_and_nothing_else() {
    for vector in vectors("twins.json") {
        let mut given = addrs(&vector["given"]);
        drop_lesser_twins(&mut given);
        assert_eq!(given, addrs(&vector["kept"]), "{}", vector["name"]);
    }
}

// covers: CON-048
#[test]
fn the_back_off_is_that_of_go() {
    for vector in vectors("backoff.json") {
        let number = |value: &Value| value.as_u64().unwrap();
        let failed = vector["failed_before"].as_array().unwrap().iter().map(number);
        let found: Vec<_> = failed
            .map(|failed| backoff(u32::try_from(failed).unwrap()).as_secs())
            .collect();
        let wanted: Vec<_> = vector["seconds"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(found, wanted, "{}", vector["name"]);
    }
}

fn standing(value: &Value) -> Standing {
    Standing {
        conn: ConnectionId::new(value["conn"].as_u64().unwrap()),
        side: if value["side"] == "dialer" {
            Side::Dialer
        } else {
            Side::Listener
        },
        limited: value["limited"].as_bool().unwrap(),
        aside: value["aside"].as_bool().unwrap_or(false),
        punched: value["punched"].as_bool().unwrap_or(false),
        streams: u32::try_from(value["streams"].as_u64().unwrap()).unwrap(),
        kept: value["kept"].as_bool().unwrap_or(false),
        since: Instant::from_millis(value["since"].as_u64().unwrap()),
    }
}

// covers: CON-032
#[test]
fn the_preferred_connection_and_the_needless_one_are_as_the_vectors_say() {
    for vector in vectors("preference.json") {
        let id = |name: &str| -> PeerId { vector[name].as_str().unwrap().parse().unwrap() };
        let (local, peer) = (id("local"), id("peer"));
        let mut all: Vec<_> = vector["standing"]
            .as_array()
            .unwrap()
            .iter()
            .map(standing)
            .collect();
        all.sort_by_key(|standing| preference(&local, &peer, standing));
        let order: Vec<_> = all.iter().map(|standing| standing.conn.get()).collect();
        let wanted: Vec<_> = vector["preferred"]
            .as_array()
            .unwrap()
            .iter()
            .map(|conn| conn.as_u64().unwrap())
            .collect();
        assert_eq!(order, wanted, "{}", vector["name"]);
        for other in &all {
            let at = redundant_from(&all[0], other).map(|at| at.as_nanos() / 1_000_000);
            let wanted = vector["redundant"][other.conn.get().to_string()].as_u64();
            assert_eq!(at, wanted, "{} of {}", other.conn.get(), vector["name"]);
        }
    }
}

// The choice is the same at both ends, for any two ids and whoever dialed first: 10 000 pairs.
#[test]
fn vul_172_both_ends_of_simultaneous_dials_choose_the_same_connection() {
    let mut number = 1_u32;
    for _ in 0..10_000 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let id = |number: u32| {
            PeerId::from_encoded_key(&[&[8, 1, 0x12, 0x20][..], &[0; 28], &number.to_be_bytes()].concat())
        };
        let (a, b) = (id(number), id(number.rotate_left(16) ^ 0x55));
        // Link x was dialed by a, link y by b; each end numbers them as it meets them.
        let at = |side, conn| Standing {
            conn: ConnectionId::new(conn),
            side,
            limited: false,
            aside: false,
            punched: false,
            streams: 0,
            kept: false,
            since: Instant::ZERO,
        };
        let (ax, ay) = (
            at(Side::Dialer, u64::from(number % 2)),
            at(Side::Listener, u64::from(1 - number % 2)),
        );
        let (bx, by) = (at(Side::Listener, 5), at(Side::Dialer, 6));
        let a_prefers_x = preference(&a, &b, &ax).cmp(&preference(&a, &b, &ay)) == Ordering::Less;
        let b_prefers_x = preference(&b, &a, &bx).cmp(&preference(&b, &a, &by)) == Ordering::Less;
        assert_eq!(a_prefers_x, b_prefers_x);
        assert_eq!(a_prefers_x, a > b, "the larger id dialed it");
        // Exactly one end closes the other link.
        let closers = if a_prefers_x {
            [redundant_from(&ax, &ay), redundant_from(&bx, &by)]
        } else {
            [redundant_from(&ay, &ax), redundant_from(&by, &bx)]
        };
        assert_eq!(closers.iter().flatten().count(), 1);
    }
}
