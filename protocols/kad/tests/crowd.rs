//! The size of the network and what follows from it: optimistic provide, keys that somebody has crowded, claims that are proved.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_kad::{Config, Contact, Event, Key, Message, MessageType, Outcome, QueryError};
use std::collections::BTreeSet;
use support::{Fake, Net, Node, Reply, SECOND, addr, contact, peer, private};

/// Those of the nearest peers of a key that tell of a provider of it.
fn holders(net: &mut Net, among: &[usize], key: &'static [u8]) -> Vec<usize> {
    let held = |net: &mut Net, index: usize| {
        let before = net.kad(index).stats().requests_sent;
        let query = net.kad(index).find_providers(key, 1).unwrap();
        let found = net.end(index, query).is_ok();
        // Without a question to others: its own store.
        found && net.kad(index).stats().requests_sent == before
    };
    among.iter().copied().filter(|index| held(net, *index)).collect()
}

fn nearest(count: usize, key: &[u8], n: usize) -> Vec<usize> {
    let key = Key::of(key);
    let mut all: Vec<usize> = (0..count).collect();
    all.sort_by_key(|index| key.distance(&Key::of_peer(&peer(*index))));
    all.truncate(n);
    all
}

// covers: KAD-195, KAD-196
#[test]
fn an_optimistic_provide_asks_less_and_reaches_the_nearest_and_without_an_estimate_it_is_the_classic_one() {
    let config = Config {
        optimistic: true,
        ..private()
    };
    let mut net = Net::of(7, 100, &config);
    net.join();
    let now = net.bench.now();
    let size = net.kad(3).network_size(now).unwrap();
    assert!((50.0..200.0).contains(&size), "{size}");
    let sent = |net: &mut Net, index: usize| net.kad(index).stats().requests_sent;
    let mut effort = [0, 0];
    for (key, optimistic) in [(&b"fast"[..], true), (b"classic", false)] {
        net.kad(3).set_optimistic(optimistic);
        let before = sent(&mut net, 3);
        let query = net.kad(3).provide(key).unwrap();
        let Ok(Outcome::Sent { peers, .. }) = net.end(3, query) else {
            panic!("not sent")
        };
        assert!(peers >= if optimistic { 12 } else { 20 }, "{peers}");
        net.run(SECOND * 5);
        effort[usize::from(optimistic)] = sent(&mut net, 3) - before;
        let wanted = nearest(100, key, 20);
        let wanted: Vec<_> = wanted.into_iter().filter(|index| *index != 3).collect();
        let held = holders(&mut net, &wanted, key).len();
        assert!(
            held * 10 >= wanted.len() * 8,
            "{held} of {} hold it",
            wanted.len()
        );
    }
    assert!(effort[1] <= effort[0], "{effort:?}");
    // A fresh node has no estimate.
    let mut net = Net::of(8, 30, &config);
    for index in 1..30 {
        net.connect(index, 0);
    }
    net.run(SECOND / 4);
    let now = net.bench.now();
    assert_eq!(net.kad(0).network_size(now), None);
    let query = net.kad(0).provide(&b"classic"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 20, failed: 0 }));
}

/// Ids that are nearer to a key than any of the honest ones.
fn mined(honest: &[PeerId], key: &Key, count: usize) -> Vec<PeerId> {
    let best = honest
        .iter()
        .map(|peer| key.distance(&Key::of_peer(peer)))
        .min()
        .unwrap();
    let mut dice = Rng::from_seed([99; 32]);
    let mut ids = std::iter::from_fn(|| Some(PeerId::from_encoded_key(&dice.bytes32())));
    let near = |id: &PeerId| key.distance(&Key::of_peer(id)) < best;
    ids.by_ref().filter(near).take(count).collect()
}

/// Swallows records, names its friends, and provides nothing.
fn sybil(friends: Vec<Contact>) -> Fake {
    Fake::new(move |_, request| {
        let mut answer = Message::new(request.kind, Bytes::new());
        answer.closer.clone_from(&friends);
        match request.kind {
            MessageType::AddProvider => Reply::Silence,
            _ => Reply::Message(answer),
        }
    })
}

// covers: KAD-207
#[test]
fn vul_105_a_key_that_forty_five_sybils_surround_is_noticed_and_its_records_reach_the_honest_peers_of_its_region()
 {
    const HONEST: usize = 100;
    let key = &b"censored"[..];
    let mut ids: Vec<PeerId> = (0..HONEST).map(peer).collect();
    let sybils = mined(&ids, &Key::of(key), 45);
    let friends: Vec<Contact> = (0..)
        .zip(&sybils)
        .map(|(index, peer)| Contact {
            peer: *peer,
            addrs: vec![addr(HONEST + index)],
        })
        .collect();
    ids.extend(&sybils);
    let kad = |index| {
        Node::Kad(Box::new(
            libp2p_proto_kad::Kad::new(peer(index), private()).unwrap(),
        ))
    };
    let mut nodes: Vec<Node> = (0..HONEST).map(kad).collect();
    nodes.extend((0..45).map(|index| {
        let mut named = friends.clone();
        named.rotate_left(index);
        named.truncate(20);
        Node::Fake(sybil(named))
    }));
    let mut net = Net::with_ids(9, ids, nodes);
    for index in 1..HONEST {
        net.connect(index, index / 2);
        net.connect(index, 0);
    }
    // The sybils are everywhere.
    for index in HONEST..HONEST + 45 {
        for turn in 0..8 {
            net.connect(index, (index * 7 + turn * 31) % HONEST);
        }
        net.run(SECOND / 10);
    }
    net.run(SECOND * 30);
    for round in 0..2 {
        (0..HONEST).for_each(|index| net.kad(index).refresh());
        net.run(SECOND * (30 + round));
    }
    let ended = |net: &mut Net, index: usize, query| {
        for _ in 0..9000 {
            for event in net.events(index) {
                if let Event::Finished {
                    query: ended,
                    result,
                    effort,
                } = event
                {
                    if ended == query {
                        return (result, effort);
                    }
                }
            }
            net.run(SECOND / 50);
        }
        panic!("does not end")
    };
    let query = net.kad(5).provide(key).unwrap();
    let (result, effort) = ended(&mut net, 5, query);
    assert!(effort.crowded, "noticed");
    let Ok(Outcome::Sent { peers, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(peers > 45 + 10, "the sybils and the region: {peers}");
    let (mut found, mut seen) = (0, Vec::new());
    for index in (20..100).step_by(8) {
        let query = net.kad(index).find_providers(key, 0).unwrap();
        let (result, effort) = ended(&mut net, index, query);
        seen.push((index, effort));
        found += usize::from(
            matches!(result, Ok(Outcome::Providers(found)) if found.iter().any(|found| found.peer == peer(5))),
        );
    }
    assert_eq!(found, 10, "{seen:?}");
    // A clean key is not suspected, and costs no more than it must.
    let query = net.kad(6).provide(&b"clean"[..]).unwrap();
    let (result, effort) = ended(&mut net, 6, query);
    assert!(!effort.crowded);
    assert_eq!(result, Ok(Outcome::Sent { peers: 20, failed: 0 }));
    // But it does when it is told.
    let query = net.kad(6).provide(&b"wide"[..]).unwrap();
    net.kad(6).widen(query);
    let (result, _) = ended(&mut net, 6, query);
    assert!(
        matches!(result, Ok(Outcome::Sent { peers: 20.., .. })),
        "{result:?}"
    );
}

#[test]
fn vul_106_invented_providers_do_not_end_the_search_for_one_that_can_be_reached() {
    let key = &b"content"[..];
    // Nineteen of twenty name twenty providers each that nobody reaches; one names a true one.
    let mut fakes: Vec<Node> = Vec::new();
    for liar in 0..19_usize {
        let named: Vec<Contact> = (0..20).map(|number| contact(1000 + liar * 20 + number)).collect();
        fakes.push(Node::Fake(Fake::new(move |_, request| {
            let mut answer = Message::new(request.kind, Bytes::new());
            answer.closer = vec![contact(900)];
            if request.kind == MessageType::GetProviders {
                answer.providers.clone_from(&named);
            }
            Reply::Message(answer)
        })));
    }
    fakes.push(Node::Fake(Fake::new(|_, request| {
        let mut answer = Message::new(request.kind, Bytes::new());
        answer.closer = vec![contact(900)];
        if request.kind == MessageType::GetProviders {
            answer.providers = vec![contact(21)];
        }
        Reply::Message(answer)
    })));
    fakes.push(Node::Fake(Fake::silent()));
    let mut net = Net::with(private(), fakes);
    net.shy.insert(21);
    for index in 1..=20 {
        net.connect(0, index);
    }
    net.run(SECOND * 20);
    let query = net.kad(0).find_providers(key, 1).unwrap();
    assert!(net.end(0, query).is_ok(), "a claim is enough for this one");
    let query = net.kad(0).find_reachable_providers(key, 1).unwrap();
    let Ok(Outcome::Providers(found)) = net.end(0, query) else {
        panic!("not found")
    };
    assert_eq!(
        found.iter().map(|found| found.peer).collect::<BTreeSet<_>>(),
        [peer(21)].into()
    );
    let query = net.kad(0).find_reachable_providers(key, 0).unwrap();
    assert!(matches!(net.end(0, query), Ok(Outcome::Providers(found)) if found.len() == 1));
    net.isolate(21);
    net.down.insert(21);
    let query = net.kad(0).find_reachable_providers(key, 1).unwrap();
    assert!(matches!(
        net.end(0, query),
        Err(QueryError::NotFound | QueryError::TimedOut)
    ));
    assert_eq!(net.kad(0).census().queries, 0);
}
