//! The sweeping provider: many keys, region by region, each at its time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_kad::{Config, Error, Event, Kad, Key, Link, MessageType};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use support::{Fake, Net, Node, SECOND, oracle, peer, private};

const HOUR: Duration = Duration::from_secs(3600);

fn config() -> Config {
    Config {
        republish: HOUR,
        refresh_interval: Some(HOUR * 24),
        max_events: 100_000,
        ..private()
    }
}

/// Node 0, and servers that all know each other.
fn net(config: Config, servers: usize) -> Net {
    let fakes = (1..=servers).map(|_| Node::Fake(Fake::new(oracle(1..=servers, 20))));
    let mut net = Net::with(config, fakes.collect());
    net.connect(0, 1);
    net.run(SECOND * 5);
    net
}

fn keys(name: &str, count: usize) -> Vec<Bytes> {
    (0..count)
        .map(|number| Bytes::from(format!("{name} {number}")))
        .collect()
}

/// Who was told of each key, and how often in all.
fn told(net: &mut Net) -> (BTreeMap<Bytes, BTreeSet<usize>>, usize) {
    let (mut told, mut count) = (BTreeMap::<Bytes, BTreeSet<usize>>::new(), 0);
    for index in 1..net.nodes.len() {
        for (_, _, message) in &net.fake(index).asked {
            if message.kind == MessageType::AddProvider {
                told.entry(message.key.clone()).or_default().insert(index);
                count += 1;
            }
        }
    }
    (told, count)
}

fn forget(net: &mut Net) {
    for index in 1..net.nodes.len() {
        net.fake(index).asked.clear();
    }
}

fn lookups(net: &mut Net) -> usize {
    let asks = |net: &mut Net, index: usize| {
        let kinds = net.fake(index).kinds();
        kinds
            .iter()
            .filter(|kind| **kind == MessageType::FindNode)
            .count()
    };
    (1..net.nodes.len()).map(|index| asks(net, index)).sum()
}

fn nearest(servers: usize, key: &[u8]) -> BTreeSet<usize> {
    let key = Key::of(key);
    let mut all: Vec<usize> = (1..=servers).collect();
    all.sort_by_cached_key(|index| key.distance(&Key::of_peer(&peer(*index))));
    all.into_iter().take(20).collect()
}

/// Runs until nothing is new and nothing runs.
fn settle(net: &mut Net) {
    for _ in 0..600 {
        net.run(SECOND);
        let now = net.bench.now();
        let state = net.kad(0).provided(now);
        if state.fresh == 0 && state.running == 0 {
            return;
        }
    }
    panic!("it does not end");
}

// covers: KAD-198, KAD-200
#[test]
fn every_key_reaches_its_true_twenty_nearest_with_few_lookups_and_one_connection_to_each_server() {
    let mut net = net(config(), 300);
    let keys = keys("key", 1500);
    net.run(SECOND * 60);
    let before = lookups(&mut net);
    assert_eq!(net.kad(0).provide_many(keys.clone()), Ok(1500));
    settle(&mut net);
    let (told, count) = told(&mut net);
    for key in &keys {
        assert_eq!(told.get(key), Some(&nearest(300, key)), "{key:?}");
    }
    assert_eq!(count, 1500 * 20, "each once");
    let asked = lookups(&mut net) - before;
    assert!(
        asked < 3000,
        "{asked} requests for what 1500 lookups would ask 45 000"
    );
    let mut dials: BTreeMap<_, usize> = BTreeMap::new();
    for dial in net.bench.dials(0) {
        *dials.entry(dial.peer).or_default() += 1;
    }
    assert!(dials.values().all(|times| *times == 1));
    let now = net.bench.now();
    let state = net.kad(0).provided(now);
    assert!(state.regions >= 4, "{state:?}");
    let served: usize = net
        .events(0)
        .iter()
        .map(|event| match event {
            Event::Provided {
                keys,
                done: true,
                periodic: false,
                ..
            } => *keys,
            _ => 0,
        })
        .sum();
    assert_eq!(served, 1500);
}

// covers: KAD-201
#[test]
fn each_region_has_its_turn_once_in_every_interval_and_never_all_at_once() {
    let mut net = net(config(), 150);
    let keys = keys("key", 600);
    net.kad(0).provide_many(keys.clone()).unwrap();
    settle(&mut net);
    // The first interval after the burst is whatever is left of it.
    net.run(HOUR);
    forget(&mut net);
    net.events(0);
    net.run(HOUR);
    let (told, count) = told(&mut net);
    for key in &keys {
        let there = told.get(key).map_or(0, BTreeSet::len);
        assert!(there >= 20, "{key:?} at {there}");
    }
    assert!((600 * 20..=600 * 20 * 5 / 4).contains(&count), "{count}");
    let turns = net.events(0);
    let turns: Vec<_> = turns
        .iter()
        .filter(|event| matches!(event, Event::Provided { periodic: true, .. }))
        .collect();
    assert!(turns.len() >= 2, "{turns:?}");
}

// covers: KAD-185
#[test]
fn a_key_that_is_no_longer_provided_is_neither_announced_nor_told() {
    let mut net = net(config(), 60);
    let keys = keys("key", 30);
    net.kad(0).provide_many(keys.clone()).unwrap();
    settle(&mut net);
    let query = net.kad(0).find_providers(keys[0].clone(), 1).unwrap();
    assert!(net.end(0, query).is_ok());
    forget(&mut net);
    net.kad(0).stop_providing(&keys[0]);
    net.run(HOUR * 2);
    let (told, _) = told(&mut net);
    assert!(!told.contains_key(&keys[0]));
    assert!(keys[1..].iter().all(|key| told.contains_key(key)));
    let query = net.kad(0).find_providers(keys[0].clone(), 1).unwrap();
    assert!(net.end(0, query).is_err());
}

// covers: KAD-202
#[test]
fn a_network_that_names_the_same_twenty_peers_for_ever_is_searched_with_three_lookups() {
    let mut net = net(config(), 20);
    net.run(SECOND * 60);
    let before = net.kad(0).stats().requests_sent;
    net.kad(0).provide_many(keys("key", 3)).unwrap();
    settle(&mut net);
    let sent = net.kad(0).stats().requests_sent - before;
    // Each lookup asks twenty; then each of the twenty gets three records.
    assert!((20 + 3 * 20..=3 * 20 + 3 * 20).contains(&sent), "{sent}");
    let (told, _) = told(&mut net);
    assert_eq!(told.len(), 3);
}

// covers: KAD-203
#[test]
fn two_keys_of_a_region_are_provided_singly() {
    let mut net = net(config(), 30);
    net.run(SECOND * 60);
    net.kad(0).provide_many(keys("key", 2)).unwrap();
    settle(&mut net);
    let (told, _) = told(&mut net);
    assert_eq!(told.len(), 2);
    for (key, there) in told {
        assert_eq!(there, nearest(30, &key));
    }
    let events = net.events(0);
    let single = |event: &&Event| {
        matches!(
            event,
            Event::Provided {
                keys: 2,
                servers: 0,
                sent: 40,
                done: true,
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(single).count(), 1, "{events:?}");
}

// covers: KAD-203
#[test]
fn a_region_of_which_three_in_twenty_are_reached_is_tried_again_and_one_of_which_four_are_is_done() {
    for (alive, done) in [(3, false), (4, true)] {
        let mut net = net(config(), 20);
        net.kad(0).provide_many(keys("before", 3)).unwrap();
        settle(&mut net);
        // The servers are still remembered.
        for index in alive + 1..=20 {
            net.down.insert(index);
            net.isolate(index);
        }
        net.events(0);
        net.kad(0).provide_many(keys("after", 5)).unwrap();
        net.run(SECOND * 60);
        let first = net.events(0).into_iter().find_map(|event| match event {
            Event::Provided {
                servers,
                reached,
                done,
                ..
            } => Some((servers, reached, done)),
            _ => None,
        });
        assert_eq!(first, Some((20, alive, done)));
        // Three failures in a row, and a server is left alone.
        let tried = net
            .bench
            .dials(0)
            .iter()
            .filter(|dial| dial.peer == Some(peer(20)))
            .count();
        assert!((1..=5).contains(&tried), "{tried}");
        let now = net.bench.now();
        assert_eq!(net.kad(0).provided(now).fresh, if done { 0 } else { 5 });
        for index in alive + 1..=20 {
            net.down.remove(&index);
        }
        net.run(SECOND * 330);
        assert_eq!(net.kad(0).provided(now).fresh, 0);
    }
}

// covers: KAD-204
#[test]
fn three_hours_without_a_network_lose_no_key_and_the_missed_turns_come_first() {
    let bootstrap = vec![support::addr(1).with_peer_id(peer(1)).unwrap()];
    let mut net = net(
        Config {
            bootstrap,
            ..config()
        },
        60,
    );
    let early = keys("early", 50);
    net.kad(0).provide_many(early.clone()).unwrap();
    settle(&mut net);
    for index in 1..=60 {
        net.down.insert(index);
        net.isolate(index);
    }
    let late = keys("late", 50);
    net.kad(0).provide_many(late.clone()).unwrap();
    let link = |net: &mut Net| {
        let now = net.bench.now();
        net.kad(0).provided(now).link
    };
    net.run(SECOND * 1200);
    assert_eq!(link(&mut net), Link::Disconnected);
    net.run(HOUR * 3);
    assert_eq!(link(&mut net), Link::Offline);
    net.down.clear();
    forget(&mut net);
    net.run(SECOND * 900);
    assert_eq!(link(&mut net), Link::Online);
    let (told, _) = told(&mut net);
    assert!(
        early.iter().chain(&late).all(|key| told.contains_key(key)),
        "{}",
        told.len()
    );
}

// covers: KAD-205
#[test]
fn a_burst_does_not_stop_the_regions_whose_turn_it_is() {
    let mut net = net(config(), 200);
    net.kad(0).provide_many(keys("old", 400)).unwrap();
    settle(&mut net);
    net.events(0);
    let until = net.bench.now() + HOUR;
    let (mut number, mut most) = (0, 0);
    let mut periodic = 0;
    while net.bench.now() < until {
        // Always more that is new than can be sent.
        number += 1;
        net.kad(0)
            .provide_many(keys(&format!("burst {number}"), 50))
            .unwrap();
        net.run(SECOND * 60);
        let now = net.bench.now();
        most = most.max(net.kad(0).provided(now).running);
        for event in net.events(0) {
            periodic += usize::from(matches!(event, Event::Provided { periodic: true, .. }));
        }
    }
    let now = net.bench.now();
    let regions = net.kad(0).provided(now).regions;
    assert!(
        periodic + 1 >= regions && regions > 1,
        "{periodic} turns of {regions} regions"
    );
    assert!(most <= 4, "{most}");
}

// covers: KAD-187
#[test]
fn after_a_restart_only_what_is_due_is_announced() {
    let slow = Config {
        republish: HOUR * 22,
        ..config()
    };
    let mut first = net(slow.clone(), 60);
    let keys = keys("key", 1000);
    first.kad(0).provide_many(keys.clone()).unwrap();
    settle(&mut first);
    let now = first.bench.now();
    let unix = UnixTime::from_secs(1_800_000_000);
    let state = first.kad(0).provided(now);
    let snapshot = first.kad(0).save_provided(now, unix);
    assert!(snapshot.len() < 1000 * 40);
    assert_eq!((state.keys, state.fresh), (1000, 0));
    // The clock of the bench says what time it is after the restart.
    let mut second = net(slow, 60);
    assert_eq!(second.kad(0).restore_provided(&snapshot), Ok(1000));
    second.run(SECOND * 120);
    let (told, _) = told(&mut second);
    let now = second.bench.now();
    let after = second.kad(0).provided(now);
    assert_eq!((after.keys, after.fresh, after.regions), (1000, 0, state.regions));
    assert!(told.is_empty(), "{} keys", told.len());
    assert_eq!(
        second.kad(0).restore_provided(b"nonsense"),
        Err(Error::BadSnapshot)
    );
}

#[test]
fn keys_are_bounded_and_a_call_that_goes_too_far_takes_none() {
    let mut kad = Kad::new(
        peer(0),
        Config {
            max_swept: 10,
            ..config()
        },
    )
    .unwrap();
    assert_eq!(kad.provide_many(keys("key", 10)), Ok(10));
    assert_eq!(kad.provide_many(keys("key", 10)), Ok(0), "known already");
    assert_eq!(kad.provide_many(keys("other", 1)), Err(Error::TooManyKeys));
    kad.stop_providing(b"key 3");
    assert_eq!(kad.provide_many(keys("other", 2)), Err(Error::TooManyKeys));
    assert_eq!(kad.provide_many(keys("other", 1)), Ok(1));
    assert_eq!(kad.provide_many(vec![Bytes::new()]), Err(Error::TooManyKeys));
    kad.stop_providing(b"key 4");
    assert_eq!(kad.provide_many(vec![Bytes::new()]), Err(Error::BadKey));
    assert_eq!(kad.provided(Instant::ZERO).keys, 9);
}

#[test]
fn a_region_that_is_too_large_to_be_searched_is_cut_in_smaller_ones_and_every_key_still_reaches_its_nearest()
{
    // Nothing is known of the size of the network yet, so that the first region is all of it.
    let mut net = net(config(), 1200);
    let keys = keys("key", 60);
    net.kad(0).provide_many(keys.clone()).unwrap();
    settle(&mut net);
    let (told, _) = told(&mut net);
    for key in &keys {
        assert_eq!(told.get(key), Some(&nearest(1200, key)), "{key:?}");
    }
}
