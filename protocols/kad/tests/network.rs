//! Whole networks in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::PeerId;
use libp2p_proto_kad::{Key, Outcome};
use std::collections::BTreeSet;
use support::{Net, peer, private};

/// The `n` nodes of a network nearest to a key, without one.
fn nearest(count: usize, key: &Key, n: usize, without: usize) -> BTreeSet<PeerId> {
    let mut peers: Vec<PeerId> = (0..count).filter(|index| *index != without).map(peer).collect();
    peers.sort_by_key(|peer| key.distance(&Key::of_peer(peer)));
    peers.into_iter().take(n).collect()
}

// covers: KAD-103
#[test]
fn a_lookup_in_a_network_of_sixty_finds_exactly_the_twenty_nearest() {
    let mut net = Net::of(7, 60, &private());
    net.join();
    for (index, key) in [(3, &b"one"[..]), (17, b"two"), (41, b"three"), (59, b"four")] {
        let query = net.kad(index).closest_peers(key).unwrap();
        let Ok(Outcome::Closest(found)) = net.end(index, query) else {
            panic!("not found")
        };
        let found: BTreeSet<PeerId> = found.iter().map(|contact| contact.peer).collect();
        assert_eq!(found, nearest(60, &Key::of(key), 20, index));
    }
}

// covers: KAD-061, KAD-181
#[test]
fn what_one_provides_and_puts_any_other_finds() {
    let mut net = Net::of(8, 40, &private());
    net.join();
    let query = net.kad(5).provide(&b"content"[..]).unwrap();
    assert_eq!(net.end(5, query), Ok(Outcome::Sent { peers: 20, failed: 0 }));
    let query = net.kad(33).find_providers(&b"content"[..], 0).unwrap();
    let Ok(Outcome::Providers(found)) = net.end(33, query) else {
        panic!("no providers")
    };
    assert_eq!(found, [support::contact(5)]);

    let query = net.kad(6).put_value(&b"/x/key"[..], &b"value"[..]).unwrap();
    assert_eq!(net.end(6, query), Ok(Outcome::Sent { peers: 20, failed: 0 }));
    let query = net.kad(38).get_value(&b"/x/key"[..], Some(3)).unwrap();
    let Ok(Outcome::Value { value, agreed }) = net.end(38, query) else {
        panic!("no value")
    };
    assert_eq!((&value[..], agreed), (&b"value"[..], 3));

    let query = net.kad(11).find_peer(peer(29)).unwrap();
    let Ok(Outcome::Peer { addrs, verified, .. }) = net.end(11, query) else {
        panic!("no peer")
    };
    assert_eq!((addrs, verified), (vec![support::addr(29)], true));
}
