//! The full table: a crawl finds everybody, and then the nearest peers of a key are known without a lookup.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_kad::{Config, Diversity, Event, Key, MessageType, Outcome, QueryError};
use support::{Fake, Net, Node, Reply, SECOND, contact, oracle, peer, private};

fn full() -> Config {
    Config {
        full_table: true,
        ..private()
    }
}

/// Node 0 has a full table of these others, which all know each other.
fn crawled(config: Config, others: usize) -> Net {
    let nodes = (1..=others).map(|_| Node::Fake(Fake::new(oracle(1..=others, 20))));
    let mut net = Net::with(config, nodes.collect());
    net.connect(0, 1);
    net.run(SECOND * 20);
    net
}

fn nearest(others: usize, key: &[u8], n: usize) -> Vec<usize> {
    let key = Key::of(key);
    let mut all: Vec<usize> = (1..=others).collect();
    all.sort_by_key(|index| key.distance(&Key::of_peer(&peer(*index))));
    all.truncate(n);
    all
}

// covers: KAD-197
#[test]
fn a_crawl_finds_every_server_of_a_network_once_an_interval_and_lookups_ask_nobody_then() {
    let mut net = crawled(full(), 300);
    let found = net
        .events(0)
        .into_iter()
        .find(|event| matches!(event, Event::Crawled { .. }));
    let everybody = Event::Crawled {
        servers: 300,
        asked: 300,
    };
    assert_eq!(found, Some(everybody.clone()));
    assert_eq!(net.kad(0).full_table(), 300);
    let before = net.kad(0).stats().requests_sent;
    for key in [&b"one"[..], b"two", b"three"] {
        let query = net.kad(0).closest_peers(key).unwrap();
        let Ok(Outcome::Closest(found)) = net.end(0, query) else {
            panic!("not found")
        };
        let wanted: Vec<_> = nearest(300, key, 20).into_iter().map(contact).collect();
        assert_eq!(found, wanted);
    }
    assert_eq!(net.kad(0).stats().requests_sent, before);
    // Those who have gone are no longer there after the next one.
    for index in 250..=300 {
        net.down.insert(index);
        net.isolate(index);
    }
    net.run(SECOND * 3700);
    assert_eq!(net.kad(0).full_table(), 249);
}

// covers: KAD-198
#[test]
fn a_put_goes_to_the_nearest_at_once_and_waits_for_no_more_when_three_in_ten_have_it_and_nothing_comes_for_half_a_second()
 {
    let key = &b"/x/key"[..];
    let quick: Vec<_> = nearest(60, key, 20).into_iter().take(7).map(peer).collect();
    let nodes = (1..=60).map(|index| {
        let (mut answers, quick) = (oracle(1..=60, 20), quick.clone());
        Node::Fake(Fake::new(move |from, request| match request.kind {
            MessageType::PutValue if !quick.contains(&peer(index)) => Reply::Silence,
            MessageType::PutValue => Reply::Message(request.clone()),
            _ => answers(from, request),
        }))
    });
    let mut net = Net::with(full(), nodes.collect());
    net.connect(0, 1);
    net.run(SECOND * 20);
    let (before, began) = (net.kad(0).stats().requests_sent, net.bench.now());
    let query = net.kad(0).put_value(key, &b"value"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 7, failed: 0 }));
    let took = net.bench.now().since(began);
    assert!(took >= SECOND / 2 && took <= SECOND, "{took:?}");
    assert_eq!(
        net.kad(0).stats().requests_sent - before,
        20,
        "nobody was asked first"
    );
    // With two of twenty it is waited for the others, five seconds each.
    let (nobody, began) = (&b"/x/nobody"[..], net.bench.now());
    let query = net.kad(0).put_value(nobody, &b"value"[..]).unwrap();
    let ended = net.end(0, query);
    assert!(
        matches!(ended, Err(QueryError::NotSent) | Ok(Outcome::Sent { .. })),
        "{ended:?}"
    );
    assert!(net.bench.now().since(began) <= SECOND * 16);
}

#[test]
fn what_others_hold_is_asked_of_the_nearest_alone() {
    let nodes =
        (1..=60).map(|_| Node::Kad(Box::new(libp2p_proto_kad::Kad::new(peer(0), private()).unwrap())));
    drop(nodes);
    let mut net = crawled(full(), 60);
    let before = net.kad(0).stats().requests_sent;
    let query = net.kad(0).get_value(&b"/x/none"[..], Some(0)).unwrap();
    assert_eq!(net.end(0, query), Err(QueryError::NotFound));
    assert_eq!(net.kad(0).stats().requests_sent - before, 20);
}

// covers: KAD-199
#[test]
fn thirty_peers_of_one_network_nearest_to_a_key_get_three_of_its_places() {
    let key = &b"wanted"[..];
    let config = Config {
        diversity: Some(Diversity::default()),
        ..full()
    };
    let nodes: Vec<_> = (1..=90)
        .map(|_| Node::Fake(Fake::new(|_, _| Reply::Silence)))
        .collect();
    let mut net = Net::with(config, nodes);
    // The thirty nearest stand in one network.
    let crowd = nearest(90, key, 30);
    for (place, index) in crowd.iter().enumerate() {
        let last = u8::try_from(place).unwrap();
        net.addrs[*index] = libp2p_proto_core::Multiaddr::tcp([99, 1, 1, last].into(), 4001);
    }
    let told: Vec<_> = (1..=90)
        .map(|index| libp2p_proto_kad::Contact {
            peer: peer(index),
            addrs: vec![net.addrs[index].clone()],
        })
        .collect();
    for index in 1..=90 {
        net.nodes[index] = Node::Fake(Fake::new(support::oracle_of(told.clone(), 20)));
    }
    let honest = (1..=90).find(|index| !crowd.contains(index)).unwrap();
    net.connect(0, honest);
    net.run(SECOND * 30);
    assert!(net.kad(0).full_table() > 80, "{}", net.kad(0).full_table());
    let query = net.kad(0).closest_peers(key).unwrap();
    let Ok(Outcome::Closest(found)) = net.end(0, query) else {
        panic!("not found")
    };
    let of_crowd = found
        .iter()
        .filter(|found| crowd.iter().any(|index| peer(*index) == found.peer));
    assert_eq!((found.len(), of_crowd.count()), (20, 3));
}
